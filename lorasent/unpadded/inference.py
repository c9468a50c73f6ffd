"""The forward pass of BERT's family over unpadded tokens; it computes nothing that the head does not read.

    x = norm(x + O attention(Q x, K x, V x)),   x = norm(x + W2 gelu(W1 x))        x: (rows, h)        (Devlin et al. 2019)

All reviews are in one matrix, one behind the other; attention runs review by review. The head reads the first token only, so the
last layer computes queries, and everything after them, of first tokens only.

The bits of a matrix product may depend on its number of rows, but not on a row's place. With `invariant`, shapes follow from a
review's own length, so no other review changes its logits by a bit. In float32 such reviews also do not share a call of attention:
its products are MKL's, whose bits depend, on AMD, on the alignment of the memory that a thread gets.
"""

import copy
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import nn
from torch.nn import functional

from lorasent import machine
from lorasent.adapter.encoding import Ids
from lorasent.unpadded import products
from lorasent.unpadded.parts import Layer, Parts, parts

ROWS = 2048
"""Rows of a full matrix: enough for the products' full rate, few enough for the caches."""

SPARE = 15
"""Rows at the end of a matrix without a token: keys are read in whole tiles, and those after the last token are masked."""

CAPACITY = ROWS - SPARE
"""Tokens that fit into a full matrix."""

TILED_ROWS = 256
"""Largest row count that is rounded up to a tile. Larger ones are rounded to 256: oneDNN compiles a kernel for every row count."""

SHORT, SHORT_ROWS = 96, 512
"""Largest number of tokens of a short review, and rows of its matrix if answers are invariant: one takes less time there."""

HEAD_ROWS = 16
"""Number of first tokens in a block, in the end of the last layer and in the head."""


class Run(NamedTuple):
    """Reviews of one length that share a call of attention: the place of the first in the order, and its first row."""

    length: int
    place: int
    size: int
    start: int


class Engine:
    """Computes logits of one model on the CPU, see `build`. It takes over the layers' weights of `source`."""

    def __init__(self, source: Parts, dtype: torch.dtype, *, invariant: bool) -> None:
        self.parts = source
        self.dtype = dtype
        self.invariant = invariant
        self.tile = products.tile()
        self.layers = [_Packed(layer, dtype, source.activation, last=layer is source.layers[-1]) for layer in source.layers]
        for layer in source.layers:
            for module in vars(layer).values():
                module.to("meta")  # the packed weights are the only copy
        self.masks: dict[int, tuple[torch.Tensor | None, int]] = {}

    def logits(self, reviews: Sequence[Ids]) -> NDArray[np.float32]:
        """Logits (B, L), under `torch.inference_mode`, of reviews that fill one `capacity` at most, or of one longer review."""
        if len(reviews) == 1 and len(reviews[0]) <= TILED_ROWS and not self.invariant:
            return self._alone(reviews[0])
        order = sorted(range(len(reviews)), key=lambda row: len(reviews[row]))
        lengths = [len(reviews[row]) for row in order]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        needed = max(start + self._tiled(length) for start, length in zip(starts.tolist(), lengths, strict=True))
        rows = self._rows(needed, lengths[-1])
        apart = self.invariant and self.dtype == torch.float32
        groups = (list(same) for _, same in groupby(range(len(order)), lambda place: (lengths[place], apart and place)))
        runs = [Run(lengths[places[0]], places[0], len(places), int(starts[places[0]])) for places in groups]

        states = self.parts.embedded([reviews[row] for row in order], rows).to(self.dtype)
        for layer in self.layers[:-1]:
            mixed = states.new_zeros(states.shape)
            projected = layer.projections[0](states)
            for length, _, count, start in runs:
                mixed[start : start + count * length] = self._attend(projected[start:].chunk(3, dim=1), length, length, count)
            states = layer.rest(mixed, states)
        answers = self._last(states, runs, torch.from_numpy(starts))
        logits = np.empty((len(order), answers.shape[1]), np.float32)
        logits[order] = answers.numpy()
        return logits

    def _last(self, states: torch.Tensor, runs: list[Run], starts: torch.Tensor) -> torch.Tensor:
        """The last layer and the head, of first tokens only, in blocks of one shape."""
        layer = self.layers[-1]
        query, key_value = layer.projections
        blocks = -(-len(starts) // HEAD_ROWS)
        first = states[functional.pad(starts, (0, blocks * HEAD_ROWS - len(starts)))]
        queries = torch.cat([query(block) for block in first.chunk(blocks)])
        mixed = first.new_zeros(first.shape)
        key, value = key_value(states).chunk(2, dim=1)
        for length, place, count, start in runs:
            mixed[place : place + count] = self._attend((queries[place:], key[start:], value[start:]), length, 1, count)
        pairs = zip(mixed.chunk(blocks), first.chunk(blocks), strict=True)
        return torch.cat([self.parts.head(layer.rest(*pair).float()) for pair in pairs])[: len(starts)]

    def _alone(self, review: Ids) -> NDArray[np.float32]:
        """Logits (1, L) of one short review. Sorting and copying would take a ninth of the time."""
        length = len(review)
        _, rows = self._mask(length)
        states = self.parts.embedded([review], rows).to(self.dtype)
        for layer in self.layers[:-1]:
            states = layer.rest(self._attend(layer.projections[0](states).chunk(3, dim=1), length, rows, 1), states)
        layer, first = self.layers[-1], states[:1]
        query, key_value = layer.projections
        mixed = self._attend((query(first), *key_value(states).chunk(2, dim=1)), length, 1, 1)
        return self.parts.head(layer.rest(mixed, first).float()).numpy()

    def _rows(self, needed: int, longest: int) -> int:
        """The number of rows of a matrix for `needed` rows, with a longest review of `longest` tokens."""
        if self.invariant and needed <= ROWS:
            return capacity(longest, invariant=True) + SPARE
        return self._tiled(needed) if needed <= TILED_ROWS else -(-needed // 256) * 256

    def _tiled(self, rows: int) -> int:
        return -(-rows // self.tile) * self.tile

    def _attend(self, projected: Sequence[torch.Tensor], length: int, queries: int, count: int) -> torch.Tensor:
        """Attention of `count` reviews of `length` tokens each, with `queries` queries each: (count x queries, h)."""
        mask, read = self._mask(length)
        query, *key_value = projected
        key, value = (_windows(states, count, length, read, self.parts.heads) for states in key_value)
        mixed = functional.scaled_dot_product_attention(
            _windows(query, count, queries, queries, self.parts.heads), key, value, attn_mask=mask
        )
        return mixed.transpose(1, 2).reshape(count * queries, -1)

    def _mask(self, length: int) -> tuple[torch.Tensor | None, int]:
        """The mask over a review's keys, and their number: whole tiles, without which the kernel is slow."""
        if length not in self.masks:
            read = self._tiled(length)
            mask = torch.zeros(1, 1, 1, read, dtype=self.dtype)
            mask[..., length:] = torch.finfo(self.dtype).min
            self.masks[length] = (None if read == length else mask, read)
        return self.masks[length]


def capacity(length: int, *, invariant: bool) -> int:
    """Tokens that fit into the matrix of a review with `length` tokens. With `invariant` its shape depends on nothing else."""
    return SHORT_ROWS - SPARE if invariant and length <= SHORT else CAPACITY


def build(model: nn.Module, *, bf16: bool, invariant: bool) -> Engine | None:
    """An engine with the model's current weights, LoRA merged; None where its architecture, device or CPU has none.

    Invariant answers need a width that is a multiple of 4: otherwise bits in the head depend on a row's place.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    known = parts(model.get_base_model() if isinstance(model, PeftModel) else model)
    if known is None or not products.available(next(model.parameters()).device, dtype):
        return None
    if invariant and known.layers[0].attended.normalized_shape[0] % 4:
        return None
    merged = copy.deepcopy(model)
    machine.keep_memory()
    source = parts((merged.merge_and_unload() if isinstance(merged, PeftModel) else merged).eval())
    return None if source is None else Engine(source, dtype, invariant=invariant)


class _Packed:
    def __init__(self, layer: Layer, dtype: torch.dtype, activation: tuple[str, str], *, last: bool) -> None:
        *self.projections, self.output, self.inner, self.outer = (
            products.pack(*products.joined(linears, dtype), ROWS, activation if layer.inner in linears else products.NO_ACTIVATION)
            for linears in layer.linears(last=last)
        )
        self.attended, self.answered = (products.frozen_norm(norm, dtype) for norm in (layer.attended, layer.answered))

    def rest(self, mixed: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """The part of the layer after attention: (rows, h) -> (rows, h)."""
        states = self.attended(self.output(mixed, states))
        return self.answered(self.outer(self.inner(states), states))


def _windows(states: torch.Tensor, count: int, stride: int, length: int, heads: int) -> torch.Tensor:
    """`count` windows of `length` rows, one every `stride` rows, as (count, heads, length, h / heads); they may overlap."""
    row, size = states.stride(0), states.shape[1] // heads
    return states.as_strided((count, heads, length, size), (stride * row, size, row, 1))
