"""Slices: the reviews by the values of a column, each with a margin of its own. A slice only blocks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lorasent.data.reviews import Reviews
from lorasent.data.slices import cut
from lorasent.errors import DataError, PolicyError
from lorasent.gate.decisions import Decisions, change, paired
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, only_blocks
from lorasent.text import shown

SMALLEST_SLICE = 20
"""Smallest number of reviews of a slice that is checked. The overall metric covers smaller ones."""

MOST_NAMED = 10
"""Largest number of small slices that a message names."""


def check(
    column: str, reviews: Reviews, lengths: NDArray[np.int64], max_length: int, decisions: Decisions, margin: float
) -> Iterator[Finding | Claim]:
    """How many values of a column are checked, and a claim for each: the damage in accuracy there is at most the margin.

    `lengths` (N,) are those of the reviews in tokens. Raises PolicyError for a column that is missing.
    """
    try:
        rows_of = cut(column, reviews, lengths, max_length)
    except DataError as error:
        raise PolicyError(f"quality.slices: {error}") from None
    small = {value: len(rows) for value, rows in rows_of.items() if len(rows) < SMALLEST_SLICE}
    checked = len(rows_of) - len(small)
    message = f"{checked} of {len(rows_of)} values checked"
    if small:
        named = ", ".join(f"{shown(value, 40)} ({size})" for value, size in list(small.items())[:MOST_NAMED])
        message += f"; not checked, with fewer than {SMALLEST_SLICE} reviews: {named}{', ...' if len(small) > MOST_NAMED else ''}"
    figures = {"checked": checked, "values": len(rows_of), "unchecked": small}
    yield Finding(f"quality::slice::{column}", Outcome.PASS, "" if checked else NOT_CHECKED, message, figures=figures)
    yield from (_claim(column, value, rows, decisions, margin) for value, rows in rows_of.items() if value not in small)


def _claim(column: str, value: str, rows: NDArray[np.int64], decisions: Decisions, margin: float) -> Claim:
    labels, incumbent = decisions.labels[rows], decisions.incumbent[rows]
    damage = paired(labels, incumbent, decisions.candidate[rows])
    return only_blocks(
        f"quality::slice::{column}::{value}",
        "slice",
        f"accuracy on the {len(rows)} reviews with {column} = {value}: {change(damage)} (margin {100 * margin:g} points)",
        {"n": len(rows), "damage": damage.value, "margin": margin},
        damage,
        margin,
        is_lost=damage.worse == (incumbent == labels).sum(),
    )
