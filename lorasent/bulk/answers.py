"""Texts in memory -> logits and lengths, by an engine: what recorded evidence needs of many texts."""

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np

from lorasent.bulk import model
from lorasent.bulk.engines import ENGINES, Workers
from lorasent.bulk.model import Model
from lorasent.scoring import progress
from lorasent.scoring.evidence import Answers

TEXTS = 2048
"""Largest number of texts of a piece of work."""


def answer(described: Model, texts: Sequence[str], *, engine: str = "local", workers: Workers | None = None) -> Answers:
    """The answers to texts, in their order, with the same bits from either engine and any number of workers.

    `workers.cpus` must be the threads of the model. Raises LorasentError.
    """
    logits, lengths = np.empty((len(texts), len(described.labels)), np.float32), np.empty(len(texts), np.int64)
    pieces = [(start, texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)]
    with progress.stage(f"answering {len(texts):,} texts", len(texts)):
        for start, found in ENGINES[engine](partial(_piece, described), pieces, workers or Workers()) if pieces else ():
            end = start + len(found.lengths)
            logits[start:end], lengths[start:end] = found.logits, found.lengths
            progress.advance(end - start)
    return Answers(logits, lengths, described.adapter)


def answer_each(described: Model, questions: Sequence[Sequence[str]], engine: str, workers: Workers) -> list[Answers]:
    """The answers to each of several lists of texts, as of `answer`: the engine is started once."""
    found = answer(described, [*itertools.chain.from_iterable(questions)], engine=engine, workers=workers)
    ends = [*itertools.accumulate(map(len, questions))]
    return [
        Answers(found.logits[end - len(texts) : end], found.lengths[end - len(texts) : end], described.adapter)
        for texts, end in zip(questions, ends, strict=True)
    ]


def _piece(described: Model, piece: tuple[int, Sequence[str]]) -> tuple[int, Answers]:
    start, texts = piece
    return start, Answers(model.logits(described, texts), model.lengths(described, texts), described.adapter)
