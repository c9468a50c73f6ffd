"""What a label is called in a source -> its id, which is its position among a classifier's labels."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent.errors import DataError
from lorasent.text import shown

POLES = ("negative", "positive")
"""The labels of the embedded reviews and cases, in lower case."""

SHORTEST = 3
"""Fewest letters of a label's beginning that mean the label."""


def names_of(labels: Any) -> tuple[str, ...]:
    """Labels as names in the order of their ids. Raises DataError for a collection without such an order, and for equal names."""
    ordered = isinstance(labels, Iterable) and not isinstance(labels, str | bytes | Mapping | AbstractSet)
    names = tuple(labels) if ordered else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"labels: expected a list of names, in the order of their ids, found {shown(labels)}")
    if len(set(map(folded, names))) < len(names):
        raise DataError(f"labels: expected names that differ in more than case, found {', '.join(map(shown, names))}")
    return names


def label_id(name: str, labels: Sequence[str]) -> int | None:
    """The id of the one label that a name means, in any case; None if it means no label, or several.

    It is the label of that name; else the label of the same pole ("neg" means negative); else the label that begins with it.
    """
    known, name = [folded(label) for label in labels], folded(name)
    for matches in (
        [label == name for label in known],
        [_pole(label) == _pole(name) for label in known],
        [len(name) >= SHORTEST and label.startswith(name) for label in known],
    ):
        if any(matches):
            return matches.index(True) if sum(matches) == 1 else None
    return None


def are_poles(labels: Sequence[str]) -> bool:
    """Whether the labels are a negative and a positive one, in any order and case, as those of the embedded reviews are."""
    return len(labels) == len(POLES) and {label_id(pole, labels) for pole in POLES} == {0, 1}


def have_plain_poles(labels: Sequence[str]) -> bool:
    """Whether one label is plainly the negative and one the positive one, with at most a third between them."""
    ids = [label_id(pole, labels) for pole in POLES]
    between = [folded(label) for number, label in enumerate(labels) if number not in ids]
    return None not in ids and len(between) <= 1 and not any(pole in label for pole in POLES for label in between)


def ids_of(cells: Mapping[int, Any], labels: Sequence[str], where: str) -> NDArray[np.int64]:
    """Ids (N,) of the cells of a label column, which are given by row (from 1). Raises DataError with the row and the labels."""
    known: dict[str, int] = {}
    ids = []
    for row, cell in cells.items():
        # Cells are compared as text, so that a typed file and a CSV file give the same ids.
        text = folded(str(cell)) if isinstance(cell, str | int | float | Decimal) and not is_missing(cell) else ""
        if text not in known:
            meanings = _meanings(text, labels)
            if len(meanings) != 1:
                label = f"label '{'' if is_missing(cell) else shown(cell)}'"
                problem = f"{label} is the name of one label and the id of another" if meanings else f"unknown {label}"
                allowed = f"expected {', '.join(map(shown, labels))} or 0 to {len(labels) - 1}"
                raise DataError(f"{where}, row {row}: {problem}; {allowed}")
            known[text] = meanings.pop()
        ids.append(known[text])
    return np.array(ids, dtype=np.int64)


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN, or a text of nothing but spaces."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def folded(name: str) -> str:
    """A name without case and outer spaces."""
    return name.strip().casefold()


def _meanings(text: str, labels: Sequence[str]) -> set[int]:
    """The ids that a cell may mean: by name, as a number, or, of two labels, as false or true."""
    truth = {"false": 0, "true": 1}.get(text) if len(labels) == 2 else None
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    meanings = (label_id(text, labels), truth, int(number) if number in range(len(labels)) else None)
    return {meaning for meaning in meanings if meaning is not None}


def _pole(name: str) -> str:
    return next((pole for pole in POLES if len(name) >= SHORTEST and pole.startswith(name)), name)
