"""How an evaluation is printed: words in red at their place, lines that fit, and nothing in a review that a terminal obeys."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from lorasent.evaluation import console as evaluation
from lorasent.evaluation.mistakes import LocatedReview, Mistake, Mistakes, Slice
from lorasent.evaluation.occlusion import Word

TEXT = "First line.\nThe \x1b[31mawful 映画, was [bold]fine[/bold] and :smile: " + "so long " * 30 + "but, dull"


def shown(text, words=(), width=80, terminal=False, tag="long"):
    """The output for one mistake, on a terminal or in a file."""
    mistake = Mistake(
        row=3,
        line=None,
        text=text,
        label="Positive",
        decided="Negative",
        confidence=0.97,
        margin=3.5,
        tokens=90,
        words=tuple(words),
    )
    part = Slice(column="tags", value=tag, n=2, accuracy=0.5, low=0.1, high=0.9, mistakes=1, worst=(3,))
    mistakes = Mistakes(
        count=1,
        top=10,
        worst=[mistake],
        by_slice=[part],
        elsewhere=[],
        suspects=[],
        thresholds={},
        max_length=64,
        trained_on=None,
    )
    measured = evaluation.measure([[1.0, 0.0], [1.0, 0.0]], [0, 1], ("Negative", "Positive"))
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    evaluation.render(replace(measured, mistakes=mistakes), console)
    return file.getvalue()


def test_words_are_red_at_their_place():
    """A terminal shows them in bold red; a word before the part that is shown is only named."""
    start = TEXT.index("dull")
    lines = shown(TEXT, [Word("dull", start, start + 4, 2.0), Word("First", 0, 5, 1.0)], terminal=True)
    assert lines.count("\x1b[1;31m") == 1
    assert "\x1b[1;31mdull\x1b[0m" in lines
    assert "carried by dull +2.00, First +1.00" in lines


def test_a_review_is_printed_as_plain_text():
    """No control character, markup or emoji code of a review is obeyed."""
    lines = shown("It was \x1b[31m[bold]fine[/bold] \x07:smile:\r\ndull")
    assert "It was  [31m[bold]fine[/bold]  :smile:  dull" in lines
    assert "\x1b" not in lines


def test_a_slices_name_is_printed_as_plain_text():
    """It comes from a data file, too, and is escaped."""
    lines = shown("dull", tag="\x1b[2J[bold]\u202eup")
    assert r"tags \x1b[2J[bold]\u202eup" in lines
    assert "\x1b" not in lines


def test_words_of_small_share_are_not_named():
    """A word is named if it carried at least a fifth of what the first word did; if there is none, the output says so."""
    words = [Word("dull", 0, 4, 2.0), Word("film", 5, 9, 0.5), Word("a", 10, 11, 0.39), Word("b", 12, 13, -1.0)]
    assert "carried by dull +2.00, film +0.50\n" in shown("dull film a b", words)
    assert "carried by no single word\n" in shown("dull film a b", words[3:])


@pytest.mark.parametrize(("width", "terminal", "widest"), [(60, True, 60), (200, True, 80), (40, False, 80)])
def test_lines_fit(width, terminal, widest):
    """A terminal gets lines of its width, at most 80 columns; a file gets 80, whatever the environment says."""
    lines = shown("so very long " * 40, width=width, terminal=terminal).splitlines()
    assert widest - 15 < max(len(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()) for line in lines) <= widest


def test_the_end_of_a_review_begins_with_a_word():
    """An ellipsis marks what is left out; a short review is whole, and an endless word is cut."""
    for size in range(5, 13):
        end = evaluation._end(LocatedReview(1, None, "one two three", "Positive"), size).plain
        assert end in ("…three", "…two three", "one two three")
    assert evaluation._end(LocatedReview(1, None, "one two three", "Positive"), 13).plain == "one two three"
    assert evaluation._end(LocatedReview(1, None, "x" * 50, "Positive"), 10).plain == "…" + "x" * 10


def test_confusions_of_many_labels_are_a_list():
    """A matrix that does not fit would lose columns; the most frequent confusions come first, and right answers are none."""
    names = tuple(f"topic {letter}" for letter in "abcdefghijklmnopqrst")
    labels = [*range(20), 3, 3, 7]
    decided = [*range(19), 0, 5, 5, 2]
    few = evaluation.measure(np.eye(5)[[0, 1, 2, 3, 3]], range(5), names[:5])
    many = evaluation.measure(np.eye(20)[decided], labels, names)
    assert evaluation._confusion(few)[0] == ("label, decided as", *names[:5])
    heads, rows = evaluation._confusion(many)
    assert heads == ("label", "decided as", "reviews")
    assert rows == [("topic d", "topic f", 2), ("topic h", "topic c", 1), ("topic t", "topic a", 1)]
