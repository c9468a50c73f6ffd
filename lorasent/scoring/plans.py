"""Which reviews share a matrix, or a padded batch."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from lorasent.unpadded import inference as engine

TOKENS_PER_BATCH = {"cpu": 4096, "cuda": 32_768}
"""Largest size of a batch of more than one review, in tokens with padding, by kind of device: a GPU is idle in small ones."""

UNIFORM_BATCH = 1 / 4
"""Share of the largest size from which a batch accepts no review shorter than 7/8 of its longest."""


def matrices(lengths: Sequence[int], *, invariant: bool) -> Iterator[list[int]]:
    """Row numbers by matrix: reviews of one capacity, in as few matrices as `fill` finds. `lengths` are in tokens."""
    return grouped(lengths, [engine.capacity(length, invariant=invariant) for length in lengths], fill)


def fill(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Row numbers by batch of at most `capacity` tokens, or one review, by best fit: the longest first, into the fullest batch."""
    batches: list[list[int]] = []
    by_room: dict[int, list[int]] = defaultdict(list)
    rooms = 0  # bit r: some batch has room for exactly r more tokens
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        length = lengths[row]
        if fitting := rooms >> length:
            room = length + (fitting & -fitting).bit_length() - 1
            batch = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, batch = max(capacity, length), len(batches)
            batches.append([])
        batches[batch].append(row)
        by_room[room - length].append(batch)
        rooms |= 1 << (room - length)
    return batches


def plan_batches(lengths: Sequence[int], budget: int = TOKENS_PER_BATCH["cpu"]) -> list[list[int]]:
    """Row numbers by padded batch, longest first. A batch has at most `budget` tokens with padding, or one review."""
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        padded = len(batches[-1]) * longest if batches else 0
        too_short = padded >= UNIFORM_BATCH * budget and lengths[row] < longest * 7 / 8
        if not batches or padded + longest > budget or too_short:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    return batches


def grouped(lengths: Sequence[int], keys: Sequence[int], plan: Callable[[list[int], int], list[list[int]]]) -> Iterator[list[int]]:
    """Row numbers by batch. Rows with the same key share batches, which `plan` makes of their lengths and the key."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    for key, rows in groups.items():
        for batch in plan([lengths[row] for row in rows], key):
            yield [rows[place] for place in batch]
