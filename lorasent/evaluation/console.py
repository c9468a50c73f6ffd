"""The result of `lorasent evaluate`, as JSON and for a terminal: figures, figures by label, confusion, calibration, mistakes."""

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lorasent import metrics
from lorasent.evaluation.mistakes import LocatedReview, Mistake, Mistakes, Slice
from lorasent.evaluation.occlusion import Word
from lorasent.metrics import Bin, Figures, Ints
from lorasent.text import WIDTH, shown

TAIL, MAX_NAME = 180, 32
"""Characters that are shown: of a review its last, where the verdict is and which the model reads; of a label's or slice's name."""

MAX_WORDS, MIN_SHARE = 6, 0.2
"""Largest number of words that are named for a mistake, and their smallest delta, as a share of the first word's."""

MAX_VALUES, MAX_ROWS = 12, 4
"""Largest number of a column's values that are shown, those with the most mistakes, and of rows that are named for each."""

MOST_CONFUSED = 20
"""Largest number of pairs of labels that stand for a confusion matrix too wide to show."""

_COMMAND = re.compile(r":(?=:)|#(?=#?\[)")
"""The beginning of a command in a GitHub workflow log."""


@dataclass(frozen=True)
class Evaluation:
    """An adapter's figures on labelled reviews, for L labels."""

    figures: Figures
    labels: tuple[str, ...]
    confusion: Ints
    """Counts (L, L): rows are the labels, columns the decisions."""
    reliability: list[Bin]
    mistakes: Mistakes | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures by name; `labels` holds the figures of each label, `errors` the mistakes, with --errors."""
        content = self.figures.to_json()
        names = ("precision", "recall", "f1", "n")
        content["labels"] = {label: dict(zip(names, figures, strict=True)) for label, *figures in self.by_label()}
        content["confusion"] = {"labels": list(self.labels), "counts": self.confusion.tolist()}
        content["reliability"] = [each._asdict() for each in self.reliability]
        return content if self.mistakes is None else {**content, "errors": asdict(self.mistakes)}

    def by_label(self) -> Iterator[tuple[str, float, float, float, int]]:
        """The name, precision, recall, F1 and number of reviews of each label."""
        columns = [each.tolist() for each in (*metrics.by_label(self.confusion), self.confusion.sum(axis=1))]
        yield from zip(self.labels, *columns, strict=True)


def measure(logits: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Evaluation:
    """The evaluation, without mistakes, of logits (N, L) against label ids (N,); `names` are the L labels."""
    figures, array = metrics.evaluate(logits, labels, names), np.asarray(logits)
    counts = metrics.confusion(array.argmax(axis=1), labels, len(names))
    return Evaluation(figures, tuple(names), counts, metrics.reliability(metrics.probabilities(array), labels))


def render(evaluation: Evaluation, console: Console) -> None:
    """Prints an evaluation."""
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    mistakes = _mistakes(evaluation.mistakes, evaluation.figures.n, console.width) if evaluation.mistakes else ()
    for part in (*_figures(evaluation), *mistakes):
        console.print(part)


def known_reviews_warning(mistakes: Mistakes) -> str:
    """The warning if label errors are searched for among the adapter's own training reviews."""
    return (
        f"Warning: the adapter's manifest names these as its {_name(mistakes.trained_on)} reviews. "
        "An adapter rarely doubts labels that it was trained on: use other reviews to look for label errors."
    )


def _figures(evaluation: Evaluation) -> Iterator[RenderableType]:
    figures = evaluation.figures.to_json()
    average = figures.pop("average")
    for name, value in figures.items():
        note = f"  ({_name(average)})" if name in ("precision", "recall", "f1") else ""
        yield f"{name:<10}{value:>8}{note}" if name == "n" else f"{name:<10}{value:>8.4f}{note}"
    yield from _table(("label", "precision", "recall", "f1", "n"), evaluation.by_label())
    yield from _table(*_confusion(evaluation))
    bins = ((f"{low:.3f} to {high:.3f}", *rest) for low, high, *rest in evaluation.reliability)
    yield from _table(("confidence", "n", "mean", "accuracy"), bins)


def _confusion(evaluation: Evaluation) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    """Heads and rows of the confusion matrix, or, if it does not fit into WIDTH, of the most frequent confusions."""
    heads, counts = ("label, decided as", *map(_name, evaluation.labels)), evaluation.confusion
    if sum(cell_len(head) + 2 for head in heads) <= WIDTH:
        return heads, [*zip(evaluation.labels, *counts.T.tolist(), strict=True)]
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    pairs = [divmod(int(place), len(counts)) for place in np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]]
    rows = [(evaluation.labels[label], evaluation.labels[to], int(wrong[label, to])) for label, to in pairs if wrong[label, to]]
    return ("label", "decided as", "reviews"), rows


def _mistakes(mistakes: Mistakes, n: int, width: int) -> Iterator[RenderableType]:
    yield f"\nMistakes: {mistakes.count} of {n} reviews"
    slices = _shown_slices(mistakes.by_slice)
    yield from _table(("slice", "n", "accuracy", "95 % interval", "mistakes", "most confident in rows"), map(_slice_row, slices))
    if len(slices) < len(mistakes.by_slice):
        yield f"Of each column, the {MAX_VALUES} values with the most mistakes are shown; --json lists all."
    if mistakes.worst:
        yield (
            f"\nThe {len(mistakes.worst)} most confident mistakes: the end of each review, and the words that carried the decision "
            "(with the change of the margin, in logits)."
        )
    for mistake in mistakes.worst:
        yield from _mistake(mistake, mistakes.max_length)
    elsewhere = {each.row: each for each in mistakes.elsewhere}
    further = [(f"{each.column} {each.value}", elsewhere[row]) for each in slices for row in each.worst[:1] if row in elsewhere]
    if further:
        yield "\nThe most confident mistake of each further slice"
        rows = ((name, _place(worst), worst.label, worst.confidence, worst) for name, worst in further)
        yield from _table(("slice", "where", "label", "confidence", "end of the review"), rows, width)
    yield f"\nSuspected label errors: {len(mistakes.suspects)}, by confident learning, the most suspect first"
    if mistakes.trained_on:
        yield known_reviews_warning(mistakes)
    suspects = ((_place(each), each.label, each.suggested, each.probability, each) for each in mistakes.suspects[: mistakes.top])
    yield from _table(("where", "label", "suggested", "P(label)", "end of the review"), suspects, width)


def _shown_slices(slices: Sequence[Slice]) -> list[Slice]:
    """All slices, but of each column only the MAX_VALUES with the most mistakes."""
    columns = itertools.groupby(slices, lambda each: each.column)
    most = {each for _, column in columns for each in heapq.nlargest(MAX_VALUES, column, key=lambda each: each.mistakes)}
    return [each for each in slices if each in most]


def _slice_row(each: Slice) -> tuple[object, ...]:
    interval, rows = f"{each.low:.3f} to {each.high:.3f}", ", ".join(map(str, each.worst[:MAX_ROWS]))
    return f"{each.column} {each.value}", each.n, each.accuracy, interval, each.mistakes, rows


def _mistake(mistake: Mistake, max_length: int) -> Iterator[RenderableType]:
    cut = f" cut to {max_length}" if mistake.tokens > max_length else ""
    decided = f"decided {_name(mistake.decided)} {mistake.confidence:.3f} by a margin of {mistake.margin:.2f}"
    yield Text(f"\n{_place(mistake)}: {_name(mistake.label)}, {decided}; {mistake.tokens} tokens{cut}")
    words = [word for word in mistake.words[:MAX_WORDS] if word.delta > max(0, mistake.words[0].delta * MIN_SHARE)]
    carried = ", ".join(f"{_name(word.word)} {word.delta:+.2f}" for word in words) or "no single word"
    for line in (_end(mistake, TAIL, words), Text(f"carried by {carried}", "dim")):
        yield Padding(line, (0, 0, 0, 2), expand=False)


def _place(review: LocatedReview) -> str:
    return f"row {review.row}" if review.line is None else f"row {review.row} (line {review.line})"


def _end(review: LocatedReview, size: int, words: Sequence[Word] = ()) -> Text:
    """About the last `size` characters of a review, from the beginning of a word if one is near; `words` in red.

    Nothing in it controls a terminal or a workflow log, and it is on one line and no shorter, so that words keep their places.
    """
    begin = max(0, len(review.text) - size)
    if begin and (gap := re.compile(r"\s+").search(review.text, begin - 1, begin + 24)):  # no space in 24 characters: a long word
        begin = gap.end()
    end = Text(_COMMAND.sub(" ", "".join(char if char.isprintable() else " " for char in review.text[begin:])))
    for word in words:
        end.stylize("bold red", max(0, word.start - begin), max(0, word.end - begin))
    return Text("…").append_text(end) if begin else end


def _name(value: object) -> str:
    """A label, a word or a slice's name, made safe to print: adapters and data files may contain anything."""
    return shown(str(value), MAX_NAME)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH) -> Iterator[RenderableType]:
    """An empty line and a table, if there are rows: numbers on the right; of a review, as much of its end as fits."""
    if not (columns := list(zip(*rows, strict=True))):
        return
    table, texts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=""), []
    for head, cells in zip(heads, columns, strict=True):
        if isinstance(cells[0], LocatedReview):
            texts.append([_end(cell, max(20, width - 1)) for cell in cells])
            widest = None
        else:
            texts.append([Text(f"{cell:.4f}" if isinstance(cell, float) else _name(cell)) for cell in cells])
            widest = min(MAX_NAME, max(cell_len(head), *(cell.cell_len for cell in texts[-1])))
            width -= widest + 2
        side: Literal["left", "right"] = "left" if isinstance(cells[0], str | LocatedReview) else "right"
        table.add_column(head, justify=side, no_wrap=True, overflow="ellipsis", min_width=widest, max_width=widest)
    for line in zip(*texts, strict=True):
        table.add_row(*line)
    yield ""
    yield table
