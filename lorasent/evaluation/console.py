"""What `lorasent evaluate` found, for people and as JSON: figures, each label's, confusion, calibration, mistakes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lorasent import metrics
from lorasent.evaluation.mistakes import Found, Mistake, Mistakes, Slice
from lorasent.evaluation.occlusion import Word
from lorasent.metrics import Bin, Figures, Ints
from lorasent.text import shown

WIDTH = 100
"""Columns of a terminal that are used at most, and all of them elsewhere."""

TAIL = 180
"""Characters of a review that are shown: its last ones, where the verdict stands and the model reads."""

WORDS = 6
"""Words that are told of a mistake at most."""

SPACE, LONG = re.compile(r"\s+"), 24
"""What stands between words, and how long a word is cut nowhere."""

COMMAND = re.compile(r":(?=:)|#(?=#?\[)")
"""What commands of a workflow log begin with."""

NAME = 32
"""Characters of a slice's or a label's name that are shown."""

NAMED = 4
"""Rows that are named of a slice's mistakes."""

FAINT = 0.2
"""A word that carried less than this share of what the first one did is not told."""

VALUES = 12
"""Values of a column that are shown, those with the most mistakes; all of them are in the JSON."""


@dataclass(frozen=True)
class Evaluation:
    """Of L labels."""

    figures: Figures
    labels: tuple[str, ...]
    confusion: Ints
    """Counts (L, L): rows are the labels, columns the decisions."""
    reliability: list[Bin]
    mistakes: Mistakes | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures by name; `labels` has each label's; `errors` only where they were asked for."""
        told = self.figures.to_json()
        told["labels"] = {row[0]: dict(zip(("precision", "recall", "f1", "n"), row[1:], strict=True)) for row in self.by_label()}
        told["confusion"] = {"labels": list(self.labels), "counts": self.confusion.tolist()}
        told["reliability"] = [one._asdict() for one in self.reliability]
        return told if self.mistakes is None else {**told, "errors": self.mistakes.to_json()}

    def by_label(self) -> Iterator[tuple[str, float, float, float, int]]:
        """The name, precision, recall, F1 and number of reviews of each label."""
        columns = [each.tolist() for each in (*metrics.by_label(self.confusion), self.confusion.sum(axis=1))]
        yield from zip(self.labels, *columns, strict=True)


def measure(logits: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Evaluation:
    """Everything but the mistakes, of logits (N, L) against labels (N,), for labels called `names`."""
    figures, array = metrics.evaluate(logits, labels, names), np.asarray(logits)
    counts = metrics.confusion(array.argmax(axis=1), labels, len(names))
    return Evaluation(figures, tuple(names), counts, metrics.reliability(metrics.probabilities(array), labels))


def tell(found: Evaluation, console: Console) -> None:
    """Prints an evaluation."""
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    mistakes = _mistakes(found.mistakes, found.figures.n, console.width) if found.mistakes else ()
    for part in (*_figures(found), *mistakes):
        console.print(part)


def _figures(found: Evaluation) -> Iterator[RenderableType]:
    figures = found.figures.to_json()
    average = figures.pop("average")
    for name, value in figures.items():
        note = f"  ({_named(average)})" if name in ("precision", "recall", "f1") else ""
        yield f"{name:<10}{value:>8}{note}" if name == "n" else f"{name:<10}{value:>8.4f}{note}"
    yield from _table(("label", "precision", "recall", "f1", "n"), found.by_label())
    yield from _table(
        ("label, decided as", *map(_named, found.labels)), zip(found.labels, *found.confusion.T.tolist(), strict=True)
    )
    bins = ((f"{low:.3f} to {high:.3f}", *rest) for low, high, *rest in found.reliability)
    yield from _table(("confidence", "n", "mean", "accuracy"), bins)


def _mistakes(found: Mistakes, n: int, width: int) -> Iterator[RenderableType]:
    yield f"\nMistakes: {found.count} of {n} reviews"
    slices = _shown(found.by_slice)
    heads = ("slice", "n", "accuracy", "95 % interval", "mistakes", "most confident in rows")
    yield from _table(heads, map(_slice, slices))
    if len(slices) < len(found.by_slice):
        yield f"A column's {VALUES} values with the most mistakes are shown; --json lists all."
    if found.worst:
        yield (
            f"\nThe most confident {len(found.worst)}, each with its end, and the words that carried it: "
            "by so much the wrong label's margin falls without the word."
        )
    for mistake in found.worst:
        yield from _mistake(mistake, found.max_length)
    elsewhere = {one.row: one for one in found.elsewhere}
    further = [(one, elsewhere[one.worst[0]]) for one in slices if one.worst and one.worst[0] in elsewhere]
    if further:
        yield "\nThe most confident one of each further slice"
        rows = ((_name(one), _place(worst), worst.label, worst.confidence, worst) for one, worst in further)
        yield from _table(("slice", "where", "label", "confidence", "its end"), rows, width)
    yield f"\nSuspected label errors: {len(found.suspects)}, by confident learning, the most suspect first"
    if found.trained_on:
        yield doubt(found)
    suspects = ((_place(one), one.label, one.suggested, one.probability, one) for one in found.suspects[: found.top])
    yield from _table(("where", "label", "suggested", "P(label)", "its end"), suspects, width)


def doubt(found: Mistakes) -> str:
    """The warning that is due where the adapter knows the reviews."""
    return (
        f"Warning: the adapter's manifest names these as its {_named(found.trained_on)} reviews. "
        "What it has seen it hardly doubts: take others to look for label errors."
    )


def _shown(slices: Sequence[Slice]) -> list[Slice]:
    """All but the values with fewest mistakes of a column that has many."""
    most = {
        column: sorted((one for one in slices if one.column == column), key=lambda one: -one.mistakes)[:VALUES]
        for column in {one.column for one in slices}
    }
    return [one for one in slices if one in most[one.column]]


def _name(one: Slice) -> str:
    return f"{one.column} {one.value}"


def _slice(one: Slice) -> tuple[object, ...]:
    worst = ", ".join(map(str, one.worst[:NAMED]))
    return _name(one), one.n, one.accuracy, f"{one.low:.3f} to {one.high:.3f}", one.mistakes, worst


def _mistake(one: Mistake, max_length: int) -> Iterator[RenderableType]:
    cut = f" cut to {max_length}" if one.tokens > max_length else ""
    decided = f"decided {_named(one.decided)} {one.confidence:.3f} by a margin of {one.margin:.2f}"
    yield Text(f"\n{_place(one)}: {_named(one.label)}, {decided}; {one.tokens} tokens{cut}")
    words = [word for word in one.words[:WORDS] if word.delta > max(0, one.words[0].delta * FAINT)]
    carried = ", ".join(f"{_named(word.word)} {word.delta:+.2f}" for word in words) or "no single word"
    for line in (_end(one, TAIL, words), Text(f"carried by {carried}", "dim")):
        yield Padding(line, (0, 0, 0, 2), expand=False)


def _place(one: Found) -> str:
    return f"row {one.row}" if one.line is None else f"row {one.row} (line {one.line})"


def _end(one: Found, size: int, words: Sequence[Word] = ()) -> Text:
    """The last characters of a review in one line, from where a word begins if one begins soon; `words` stand out."""
    begin = max(0, len(one.text) - size)
    if begin and (gap := SPACE.search(one.text, begin - 1, begin + LONG)):
        begin = gap.end()
    end = Text(_printable(one.text[begin:]))
    for word in words:
        end.stylize("bold red", max(0, word.start - begin), max(0, word.end - begin))
    return Text("…").append_text(end) if begin else end


def _named(name: object) -> str:
    """A label, a word or the name of a slice: an adapter and a data file may say anything."""
    return shown(str(name), NAME)


def _printable(review: str) -> str:
    """A review, character by character, without what a terminal or a workflow log would obey wherever the line is broken."""
    return COMMAND.sub(" ", "".join(char if char.isprintable() else " " for char in review))


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH) -> Iterator[RenderableType]:
    """A table behind an empty line, if it has rows: numbers stand on the right, and a review shows what fits of its end."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return
    table, told = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=""), []
    for head, cells in zip(heads, columns, strict=True):
        if isinstance(cells[0], Found):
            told.append([_end(cell, max(20, width - 1)) for cell in cells])
            widest = None
        else:
            told.append([Text(f"{cell:.4f}" if isinstance(cell, float) else _named(cell)) for cell in cells])
            widest = min(NAME, max(cell_len(head), *(cell.cell_len for cell in told[-1])))
            width -= widest + 2
        side: Literal["left", "right"] = "left" if isinstance(cells[0], str | Found) else "right"
        table.add_column(head, justify=side, no_wrap=True, overflow="ellipsis", min_width=widest, max_width=widest)
    for line in zip(*told, strict=True):
        table.add_row(*line)
    yield ""
    yield table
