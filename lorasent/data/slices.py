"""Reviews by what they are like: the slices that the gate judges apart and in which mistakes are counted."""

import numpy as np
from numpy.typing import NDArray

from lorasent.data.reviews import Reviews
from lorasent.errors import DataError

Ints = NDArray[np.int64]


def require(column: str, reviews: Reviews) -> None:
    """Raises DataError unless reviews can be cut by it: by length, by truncation, or by a column of their source."""
    known = ["length", "truncated", *reviews.columns]
    if column not in known:
        raise DataError(f"{reviews.source} has no column {column}; it has {', '.join(known)}")


def cut(column: str, reviews: Reviews, lengths: Ints, max_length: int) -> dict[str, Ints]:
    """Row numbers by value of a column; a list belongs to each of its values. `lengths` (N,) are in tokens, before anything is cut.

    Lengths are cut into quarters. Raises DataError as `require` does.
    """
    require(column, reviews)
    if column == "length":
        edges = np.quantile(lengths, [0.25, 0.5, 0.75])
        return {f"quarter {quarter + 1}": np.flatnonzero(np.searchsorted(edges, lengths) == quarter) for quarter in range(4)}
    if column == "truncated":
        return {str(cut).lower(): np.flatnonzero((lengths > max_length) == cut) for cut in (True, False)}
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(reviews.columns[column]):
        for value in dict.fromkeys(map(str, cell if isinstance(cell, list) else [cell])):  # named twice, it is in the slice once
            rows.setdefault(value, []).append(row)
    return {value: np.array(rows[value]) for value in sorted(rows)}
