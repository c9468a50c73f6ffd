"""How mistakes are shown: words stand out where they stand in the text, nothing in a review reaches the terminal as a command."""

import io
import re

import pytest
from rich.console import Console

from lorasent.evaluation import console as evaluation
from lorasent.evaluation.mistakes import Found, Mistake, Mistakes, Slice
from lorasent.evaluation.occlusion import Word

TEXT = "First line.\nThe \x1b[31mawful 映画, was [bold]fine[/bold] and :smile: " + "so long " * 30 + "but, dull"


def shown(text, words=(), width=80, terminal=False, tag="long"):
    """What a terminal, or a file, gets of one mistake."""
    mistake = Mistake(3, None, text, "Positive", "Negative", 0.97, 3.5, 90, tuple(words))
    part = Slice("tags", tag, 2, 0.5, 0.1, 0.9, 1, (3,))
    found = Mistakes(1, 10, [mistake], [part], [], [], {}, 64, None)
    told = evaluation.measure([[1.0, 0.0], [1.0, 0.0]], [0, 1], ("Negative", "Positive"))
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
    evaluation.tell(evaluation.Evaluation(told.figures, told.labels, told.confusion, told.reliability, found), console)
    return file.getvalue()


def test_words_stand_out_where_they_stand():
    """A terminal shows them in bold red, at their own place and no other; what lies before the end that is shown is only named."""
    start = TEXT.index("dull")
    lines = shown(TEXT, [Word("dull", start, start + 4, 2.0), Word("First", 0, 5, 1.0)], terminal=True)
    assert lines.count("\x1b[1;31m") == 1
    assert "\x1b[1;31mdull\x1b[0m" in lines
    assert "carried by dull +2.00, First +1.00" in lines


def test_a_review_is_text():
    """No control character, markup or emoji code of a review is obeyed."""
    lines = shown("It was \x1b[31m[bold]fine[/bold] \x07:smile:\r\ndull")
    assert "It was  [31m[bold]fine[/bold]  :smile:  dull" in lines
    assert "\x1b" not in lines


def test_a_slices_name_is_text():
    """It comes from a data file, too."""
    lines = shown("dull", tag="\x1b[2J[bold]\u202eup")
    assert r"tags \x1b[2J[bold]\u202eup" in lines
    assert "\x1b" not in lines


def test_faint_words_are_not_told():
    """Only words that carried the decision, and a fifth of what the first did at least; without any that is said."""
    words = [Word("dull", 0, 4, 2.0), Word("film", 5, 9, 0.5), Word("a", 10, 11, 0.39), Word("b", 12, 13, -1.0)]
    assert "carried by dull +2.00, film +0.50\n" in shown("dull film a b", words)
    assert "carried by no single word\n" in shown("dull film a b", words[3:])


@pytest.mark.parametrize(("width", "terminal", "widest"), [(60, True, 60), (200, True, 100), (40, False, 100)])
def test_lines_fit(width, terminal, widest):
    """A terminal's width, 100 columns at most; a file gets 100, whatever stands in the environment."""
    lines = shown("so very long " * 40, width=width, terminal=terminal).splitlines()
    assert widest - 15 < max(len(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()) for line in lines) <= widest


def test_the_end_of_a_review_begins_with_a_word():
    """What is left out is told by an ellipsis; a short review is whole, and a word without end is cut."""
    for size in range(5, 13):
        end = evaluation._end(Found(1, None, "one two three", "Positive"), size).plain
        assert end in ("…three", "…two three", "one two three")
    assert evaluation._end(Found(1, None, "one two three", "Positive"), 13).plain == "one two three"
    assert evaluation._end(Found(1, None, "x" * 50, "Positive"), 10).plain == "…" + "x" * 10
