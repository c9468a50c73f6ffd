"""Slices of reviews: by length in tokens, by truncation, or by a column of their source."""

import numpy as np

from lorasent.data.labelled import Categories
from lorasent.data.reviews import Reviews
from lorasent.errors import DataError
from lorasent.metrics import Ints

OF_TOKENS = ("length", "truncated")
"""Slices that need the reviews' lengths in tokens."""


def require(column: str, reviews: Reviews) -> None:
    """Raises DataError unless `column` is "length", "truncated", or a column of the reviews."""
    known = [*OF_TOKENS, *reviews.columns]
    if column not in known:
        raise DataError(f"{reviews.source} has no column {column}; it has {', '.join(known)}")


def cut(column: str, reviews: Reviews, lengths: Ints, max_length: int) -> dict[str, Ints]:
    """Row numbers by value of a column; a review whose value is a list is in the slice of each element.

    `lengths` (N,) are in tokens before truncation, and cut into quarters. Raises DataError as `require` does.
    """
    require(column, reviews)
    if column == "length":
        edges = np.quantile(lengths, [0.25, 0.5, 0.75])
        return {f"quarter {quarter + 1}": np.flatnonzero(np.searchsorted(edges, lengths) == quarter) for quarter in range(4)}
    if column == "truncated":
        return {str(cut).lower(): np.flatnonzero((lengths > max_length) == cut) for cut in (True, False)}
    cells = reviews.columns[column]
    if isinstance(cells, Categories):
        by_value = np.split(cells.rows[np.argsort(cells.codes, kind="stable")], np.cumsum(np.bincount(cells.codes)))
        return {value: rows for value, rows in sorted(zip(cells.values, by_value, strict=False)) if len(rows)}
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        for value in dict.fromkeys(map(str, cell if isinstance(cell, list) else [cell])):  # a repeated element counts once
            rows.setdefault(value, []).append(row)
    return {value: np.array(rows[value]) for value in sorted(rows)}
