"""Texts to logits: matrices of unpadded reviews, or batches of about one length, and the choice of the precision."""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lorasent import files, machine
from lorasent.adapter import directory
from lorasent.adapter.classifier import forward, inference
from lorasent.adapter.encoding import Encoder, Ids
from lorasent.adapter.snapshot import Snapshot
from lorasent.data.reviews import require_text
from lorasent.errors import AdapterError, DataError, LorasentError
from lorasent.metrics import probabilities
from lorasent.text import shown
from lorasent.unpadded import inference as engine
from lorasent.unpadded import products

Precision = Literal["auto", "fp32", "bf16"]

TOKENS_PER_BATCH = 4096
"""Largest size of a batch of more than one review, in tokens with padding."""

UNIFORM_BATCH_TOKENS = 1024
"""Size of a batch, in tokens with padding, from which it accepts no review shorter than 7/8 of its longest."""

TEXTS_PER_CHUNK = 2048
"""Number of texts that are planned at once: memory does not grow with their number."""


@dataclass(frozen=True)
class Prediction:
    """One review with its label and that label's probability."""

    text: str
    label: str
    probability: float


class Scorer:
    """Computes logits of reviews with one model, with the weights that it has at the first call.

    Logits are float32 in every precision. With `invariant`, on the CPU, no other review changes a review's logits by a bit; other
    architectures than `unpadded` knows then score one review at a time. Without it, few reviews are scored faster.
    """

    def __init__(
        self, model: nn.Module, encoder: Encoder, labels: Sequence[str], precision: Precision = "fp32", *, invariant: bool = False
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.labels = tuple(labels)
        self.device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self.bf16 = uses_bf16(precision, self.device)
        self.invariant = invariant

    def logits(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Logits (N, L) of texts, in their order; an iterator may yield any number of them.

        Raises DataError for anything but a list of texts, and, when its turn comes, for a row (from 1) that is not a text.
        """
        none = np.zeros((0, len(self.labels)), np.float32)
        return np.concatenate([none, *(self.score(encoded) for _, encoded in self._encoded(texts))])

    def predict(self, texts: Iterable[str]) -> list[Prediction]:
        """A prediction for each text, in their order. Raises DataError as `logits` does."""
        return list(self.stream(texts))

    def stream(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Predictions one by one, in the texts' order, with at most two chunks of texts in memory. Raises DataError as `logits`."""
        for chunk, encoded in self._encoded(texts):
            for text, row in zip(chunk, probabilities(self.score(encoded)), strict=True):
                best = int(row.argmax())
                yield Prediction(text, self.labels[best], float(row[best]))

    def score(self, encoded: Sequence[Ids]) -> NDArray[np.float32]:
        """Logits (N, L) of encoded texts, in their order."""
        logits = np.empty((len(encoded), len(self.labels)), np.float32)
        lengths = [len(ids) for ids in encoded]
        if self._engine is not None:
            with torch.inference_mode():
                for rows in matrices(lengths, invariant=self.invariant):
                    logits[rows] = self._engine.logits([encoded[row] for row in rows])
            return logits
        # Single reviews have neither padding nor neighbours. On a GPU they would take many times as long.
        alone = self.invariant and self.device.type == "cpu"
        with inference(self.model), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            for rows in ([row] for row in range(len(encoded))) if alone else self._batches(encoded):
                logits[rows] = forward(self.model, self.encoder.pad([encoded[row] for row in rows]))
        return logits

    def _batches(self, encoded: Sequence[Ids]) -> Iterator[list[int]]:
        """Row numbers by batch. Encoder-decoders (BART, T5) need the same number of end tokens in all texts of a batch."""
        config: Any = getattr(self.model, "config", None)
        end = config.eos_token_id if getattr(config, "is_encoder_decoder", False) else None
        ends = [0 if end is None else int((ids == end).sum()) for ids in encoded]
        return _grouped([len(ids) for ids in encoded], ends, lambda lengths, _: plan_batches(lengths))

    @functools.cached_property
    def _engine(self) -> engine.Engine | None:
        return engine.build(self.model, bf16=self.bf16, invariant=self.invariant)

    def _encoded(self, texts: Iterable[str]) -> Iterator[tuple[list[str], list[Ids]]]:
        """Chunks of texts with their token ids. The next chunk is encoded while this one is scored."""
        checked = _checked(texts)
        chunks = iter(lambda: list(itertools.islice(checked, TEXTS_PER_CHUNK)), [])
        chunk = next(chunks, [])
        if 0 < len(chunk) < TEXTS_PER_CHUNK:
            yield chunk, self.encoder.encode(chunk)
        if len(chunk) < TEXTS_PER_CHUNK:
            return
        with ThreadPoolExecutor(1) as beside:
            encoded = beside.submit(self.encoder.encode, chunk)
            for following in itertools.chain(chunks, [[]]):
                ahead = beside.submit(self.encoder.encode, following)
                yield chunk, encoded.result()
                chunk, encoded = following, ahead


def load(path: str | Path | Snapshot, precision: Precision = "fp32", *, invariant: bool = False) -> Scorer:
    """A scorer of the adapter in a directory, verified as by `directory.load`. Raises LorasentError for an unknown precision."""
    uses_bf16(precision, torch.device("cpu"))
    loaded = directory.load(path if isinstance(path, Snapshot) else files.path_of(path, "an adapter's directory", AdapterError))
    return Scorer(loaded.model, loaded.encoder, loaded.labels, precision, invariant=invariant)


def matrices(lengths: Sequence[int], *, invariant: bool) -> Iterator[list[int]]:
    """Row numbers by matrix: reviews of one capacity, in as few matrices as `fill` finds. `lengths` are in tokens."""
    return _grouped(lengths, [engine.capacity(length, invariant=invariant) for length in lengths], fill)


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


def plan_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers by padded batch, longest first. A batch has at most `TOKENS_PER_BATCH` tokens with padding, or one review."""
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        padded = len(batches[-1]) * longest if batches else 0
        too_short = padded >= UNIFORM_BATCH_TOKENS and lengths[row] < longest * 7 / 8
        if not batches or padded + longest > TOKENS_PER_BATCH or too_short:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    return batches


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether a precision means bf16 on a device: "auto" does where hardware multiplies it. Raises LorasentError for others."""
    if precision not in get_args(Precision):
        raise LorasentError(f"precision {shown(precision)}: allowed are {', '.join(get_args(Precision))}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(machine.bf16()) and products.available(device, torch.bfloat16)


def _grouped(lengths: Sequence[int], keys: Sequence[int], plan: Callable[[list[int], int], list[list[int]]]) -> Iterator[list[int]]:
    """Row numbers by batch. Rows with the same key share batches, which `plan` makes of their lengths and the key."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    for key, rows in groups.items():
        for batch in plan([lengths[row] for row in rows], key):
            yield [rows[place] for place in batch]


def _checked(texts: Iterable[str]) -> Iterator[str]:
    """The texts, each checked when its turn comes. Raises DataError for one text or a table in place of a list of texts."""
    unordered = isinstance(texts, str | bytes | Mapping | set | frozenset) or getattr(texts, "ndim", 1) != 1
    if unordered or not isinstance(texts, Iterable):
        found = "one text" if isinstance(texts, str) else type(texts).__name__
        raise DataError(f"expected a list of texts, found {found}" + ("; give [text]" if isinstance(texts, str) else ""))
    return (require_text(text, "texts", row) for row, text in enumerate(texts, 1))
