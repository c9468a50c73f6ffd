"""An adapter as every worker loads it: small, picklable, and held once in each process."""

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorasent.adapter import base
from lorasent.errors import AdapterError, AnswersError
from lorasent.scoring.evidence import LiveSubject
from lorasent.text import shown


@dataclass(frozen=True)
class Model:
    """An adapter, and all that its answers depend on."""

    adapter: str
    """Its directory, absolute: every worker must find it there."""
    identity: str
    """The hash of what determines its answers, see `manifest.identity`."""
    labels: tuple[str, ...]
    precision: str
    device: str
    """The device of each worker: "cpu", or "cuda", of which Ray shows a worker its own."""
    made_on: str
    """Kind of device and number format, such as "cpu, fp32"."""
    threads: int
    """Threads of each worker. Bits of float32 products depend on their number, so it is part of every shard's name."""
    bases: str = ""
    """Directories in which a base that was moved is searched for, as in LORASENT_BASE."""


def describe(adapter: Path, precision: str, device: str, threads: int) -> Model:
    """The model of an adapter's directory; nothing is loaded. Raises LorasentError.

    "auto" is resolved here, so that every worker computes alike. What this machine cannot say of another's GPU stays "auto".
    """
    elsewhere = device == "cuda"
    subject = LiveSubject(adapter, precision, "cpu" if elsewhere else device)  # type: ignore[arg-type]
    made_on = f"cuda, {precision}" if elsewhere else subject.made_on
    return Model(
        str(adapter.absolute()),
        subject.identity,
        subject.labels,
        precision if elsewhere else made_on.partition(", ")[2],
        device if elsewhere else subject.device,
        made_on,
        threads,
        os.environ.get(base.VARIABLE, ""),
    )


def logits(model: Model, texts: Sequence[str]) -> NDArray[np.float32]:
    """Logits (N, L) of texts, all finite. Raises LorasentError."""
    subject = _subject(model)
    with _threads(model.threads):
        answers = subject.scorer.logits(texts)
    if wrong := np.flatnonzero(~np.isfinite(answers).all(axis=1)).tolist():
        raise AnswersError(f"{model.adapter}: the answer to '{shown(texts[wrong[0]], 80)}' is not a finite number")
    return answers


def lengths(model: Model, texts: Sequence[str]) -> NDArray[np.int64]:
    """Lengths (N,) of texts in tokens, before truncation."""
    return _subject(model).scorer.encoder.lengths(texts)


@functools.lru_cache(maxsize=1)
def _subject(model: Model) -> LiveSubject:
    """The adapter of a model, loaded in this process. Raises AdapterError if another adapter lies at its place."""
    os.environ[base.VARIABLE] = model.bases
    subject = LiveSubject(Path(model.adapter), model.precision, model.device)  # type: ignore[arg-type]
    if subject.identity != model.identity:
        raise AdapterError(
            f"{model.adapter}: expected the adapter {model.identity[:12]}, found {subject.identity[:12]}: it was changed, or "
            "another machine of the cluster has another one there"
        )
    return subject


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Inside, torch computes on this number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
