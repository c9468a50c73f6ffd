"""Texts to logits: matrices of unpadded reviews, or padded batches on any device, and the choice of the precision."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import nn

from lorasent import devices, files, machine
from lorasent.adapter import directory
from lorasent.adapter.classifier import inference
from lorasent.adapter.encoding import Encoder, Ids
from lorasent.adapter.snapshot import Snapshot
from lorasent.data.reviews import require_text
from lorasent.errors import AdapterError, DataError, LorasentError
from lorasent.metrics import probabilities
from lorasent.scoring import progress
from lorasent.scoring.plans import TOKENS_PER_BATCH, grouped, matrices, plan_batches
from lorasent.text import shown
from lorasent.unpadded import inference as engine
from lorasent.unpadded import products
from lorasent.unpadded.parts import parts

Precision = Literal["auto", "fp32", "bf16"]

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
        self.number_format = number_format(precision, self.device)
        self.bf16 = self.number_format == "bf16"
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
        """Logits (N, L) of encoded texts, in their order. Raises DeviceError where the device's memory is too small."""
        if self._engine is None:
            return self._padded(encoded)
        logits = np.empty((len(encoded), len(self.labels)), np.float32)
        with torch.inference_mode():
            for rows in matrices([len(ids) for ids in encoded], invariant=self.invariant):
                logits[rows] = self._engine.logits([encoded[row] for row in rows])
                progress.advance(len(rows))
        return logits

    def _padded(self, encoded: Sequence[Ids]) -> NDArray[np.float32]:
        """Logits of padded batches through the model itself. They stay on the device until the last batch is computed."""
        batches = list(self._batches(encoded))
        logits = np.empty((len(encoded), len(self.labels)), np.float32)
        reduced = torch.float16 if self.number_format == "fp16" else torch.bfloat16
        with (
            inference(self.model),
            torch.autocast(self.device.type, dtype=reduced, enabled=self.number_format != "fp32"),
            devices.fitting("a batch of reviews", self.device),
        ):
            if batches:
                logits[np.concatenate(batches)] = torch.cat(list(self._answers(encoded, batches))).cpu().numpy()
        return logits

    def _answers(self, encoded: Sequence[Ids], batches: Sequence[list[int]]) -> Iterator[torch.Tensor]:
        """Logits (B, L) in float32 of each batch, on the device. Nothing here waits for the device."""
        padded = (self.encoder.pad([encoded[row] for row in rows]) for rows in batches)
        if _takes_own_masks(self.model):
            padded = (_with_own_mask(batch, self.device) for batch in padded)
        for rows, inputs in zip(batches, _sent(padded, self.device), strict=True):
            yield self.model(**inputs).logits.float()
            progress.advance(len(rows))

    def _batches(self, encoded: Sequence[Ids]) -> Iterator[list[int]]:
        """Row numbers by batch. Encoder-decoders (BART, T5) need the same number of end tokens in all texts of a batch."""
        if self.invariant and self.device.type == "cpu":
            # Single reviews have neither padding nor neighbours. On a GPU they would take many times as long.
            return ([row] for row in range(len(encoded)))
        config: Any = getattr(self.model, "config", None)
        end = config.eos_token_id if getattr(config, "is_encoder_decoder", False) else None
        ends = [0 if end is None else int((ids == end).sum()) for ids in encoded]
        budget = TOKENS_PER_BATCH.get(self.device.type, TOKENS_PER_BATCH["cpu"])
        return grouped([len(ids) for ids in encoded], ends, lambda lengths, _: plan_batches(lengths, budget))

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


def load(path: str | Path | Snapshot, precision: Precision = "fp32", *, device: str = "auto", invariant: bool = False) -> Scorer:
    """A scorer of the adapter in a directory, verified on the CPU as by `directory.load`, then on a device of `devices.resolve`.

    Raises LorasentError, also for an unknown precision, a device that is not there, and one whose memory is too small.
    """
    where = torch.device(devices.resolve(device))
    uses_bf16(precision, where)
    loaded = directory.load(path if isinstance(path, Snapshot) else files.path_of(path, "an adapter's directory", AdapterError))
    size = sum(weight.numel() * weight.element_size() for weight in loaded.model.parameters()) / 2**30
    with devices.fitting(f"the model, {size:.1f} GiB of weights,", where):
        loaded.model.to(where)
    return Scorer(loaded.model, loaded.encoder, loaded.labels, precision, invariant=invariant)


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether a precision means bf16 on a device: "auto" does where hardware multiplies it. Raises LorasentError for others."""
    if precision not in get_args(Precision):
        raise LorasentError(f"precision {shown(precision)}: allowed are {', '.join(get_args(Precision))}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(machine.bf16()) and products.available(device, torch.bfloat16)


def number_format(precision: Precision, device: torch.device) -> str:
    """What a precision means on a device: "fp32", "bf16", or "fp16", which "auto" takes on CUDA cards that lack bf16 alone."""
    if uses_bf16(precision, device):
        return "bf16"
    fp16 = precision == "auto" and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return "fp16" if fp16 else "fp32"


def _takes_own_masks(model: nn.Module) -> bool:
    """Whether a model hands a mask of four dimensions to attention as it is."""
    model = model.get_base_model() if isinstance(model, PeftModel) else model
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return implementation == "sdpa" and parts(model) is not None


def _with_own_mask(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with attention's mask, (B, 1, 1, T). transformers would wait for the device, to learn whether it hides a key."""
    mask = batch["attention_mask"]
    if device.type == "cpu" and mask.all():
        return batch  # without a mask attention is faster
    return {**batch, "attention_mask": mask[:, None, None].astype(bool)}


def _sent(batches: Iterable[dict[str, Any]], device: torch.device) -> Iterator[dict[str, torch.Tensor]]:
    """Each batch on the device. CUDA copies it from pinned memory, on a stream of its own, beside the computation before it."""
    if device.type != "cuda":
        yield from ({name: torch.from_numpy(array).to(device) for name, array in batch.items()} for batch in batches)
        return
    beside, computing = torch.cuda.Stream(device), torch.cuda.current_stream(device)  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(beside):
            pinned = {name: torch.from_numpy(array).pin_memory() for name, array in batch.items()}
            inputs = {name: array.to(device, non_blocking=True) for name, array in pinned.items()}
        computing.wait_stream(beside)
        for array in inputs.values():
            array.record_stream(computing)  # the copy's memory is free only when the computation has read it
        yield inputs


def _checked(texts: Iterable[str]) -> Iterator[str]:
    """The texts, each checked when its turn comes. Raises DataError for one text or a table in place of a list of texts."""
    unordered = isinstance(texts, str | bytes | Mapping | set | frozenset) or getattr(texts, "ndim", 1) != 1
    if unordered or not isinstance(texts, Iterable):
        found = "one text" if isinstance(texts, str) else type(texts).__name__
        raise DataError(f"expected a list of texts, found {found}" + ("; give [text]" if isinstance(texts, str) else ""))
    return (require_text(text, "texts", row) for row, text in enumerate(texts, 1))
