"""The forward pass of BERT's family over unpadded tokens, with nothing in it that the head does not read.

    x = norm(x + O attention(Q x, K x, V x)),   x = norm(x + W2 gelu(W1 x))        x: (rows, h)        (Devlin et al. 2019)

Reviews lie behind each other in one matrix, so that no linear layer sees padding; attention looks at one review at a time. The
head reads the first token alone: the last layer asks queries, and everything behind them, of first tokens only. Weights are
packed once, as oneDNN wants them; biases, GELU and residual sums are fused into the products.

A matrix product's bits may depend on its number of rows, never on a row's place. In shapes that follow from a review's own length,
therefore, its logits do not depend, bit for bit, on the reviews beside it. Nor may those share a call of attention in float32: its
products are MKL's, whose bits follow, on AMD, how the memory lies that a thread is given.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

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
from lorasent.unpadded.products import TILE, Product

ROWS = 2048
"""Rows of the matrix: enough for the products' full rate, few enough for the caches."""

SPARE = 15
"""Rows at its end that hold no token: keys are read in whole tiles, a mask hides those behind a review's last."""

CAPACITY = ROWS - SPARE
"""Tokens that fit."""

FEW = 256
"""Rows up to which they come in tiles; beyond, each number of rows that is new costs more than it saves."""

SHORT, SHORT_ROWS = 96, 512
"""Tokens up to which, where answers are invariant, a review lies in a matrix of so few rows: five fit, and one alone is answered
sooner."""

HEAD_ROWS = 16
"""First tokens that the end of the last layer, and the head, take at a time."""


class Engine:
    """Answers with one model, whose layers' weights it takes, on the CPU. `build` says whether a model can be had as one."""

    def __init__(self, source: Parts, dtype: torch.dtype, *, invariant: bool) -> None:
        self.parts = source
        self.dtype = dtype
        self.invariant = invariant
        self.layers = [_Packed(layer, dtype, source.activation, last=layer is source.layers[-1]) for layer in source.layers]
        for layer in source.layers:
            for module in vars(layer).values():
                module.to("meta")  # what was packed is not kept twice
        self.masks: dict[int, tuple[torch.Tensor | None, int]] = {}

    def logits(self, reviews: Sequence[Ids]) -> NDArray[np.float32]:
        """Logits (B, L) of reviews of one `capacity`, together no more than it, or of one longer one. Under `inference`."""
        if len(reviews) == 1 and len(reviews[0]) <= FEW and not self.invariant:
            return self._alone(reviews[0])
        order = sorted(range(len(reviews)), key=lambda row: len(reviews[row]))
        lengths = [len(reviews[row]) for row in order]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        needed = max(start - (-length // TILE) * TILE for start, length in zip(starts.tolist(), lengths, strict=True))
        rows = self._rows(needed, lengths[-1])
        groups = [(length, list(same)) for length, same in groupby(range(len(order)), key=lengths.__getitem__)]
        if self.invariant and self.dtype == torch.float32:
            groups = [(length, [row]) for length, same in groups for row in same]
        runs = [(length, same[0], len(same), int(starts[same[0]])) for length, same in groups]

        states = self.parts.embedded([reviews[row] for row in order], rows).to(self.dtype)
        for layer in self.layers[:-1]:
            mixed = states.new_zeros(states.shape)
            projected = layer.query_key_value(states)
            for length, _, count, start in runs:
                mixed[start : start + count * length] = self._attend(projected[start:].chunk(3, dim=1), length, length, count)
            states = layer.rest(mixed, states)
        found = self._last(states, runs, torch.from_numpy(starts))
        logits = np.empty((len(order), found.shape[1]), np.float32)
        logits[order] = found.numpy()
        return logits

    def _last(self, states: torch.Tensor, runs: list[tuple[int, int, int, int]], starts: torch.Tensor) -> torch.Tensor:
        """The last layer and the head, of first tokens alone, in blocks of one shape."""
        layer = self.layers[-1]
        blocks = -(-len(starts) // HEAD_ROWS)
        first = states[functional.pad(starts, (0, blocks * HEAD_ROWS - len(starts)))]
        queries = torch.cat([layer.query(block) for block in first.chunk(blocks)])
        mixed = first.new_zeros(first.shape)
        key, value = layer.key_value(states).chunk(2, dim=1)
        for length, place, many, start in runs:
            mixed[place : place + many] = self._attend((queries[place:], key[start:], value[start:]), length, 1, many)
        pairs = zip(mixed.chunk(blocks), first.chunk(blocks), strict=True)
        return torch.cat([self.parts.head(layer.rest(*pair).float()) for pair in pairs])[: len(starts)]

    def _alone(self, review: Ids) -> NDArray[np.float32]:
        """Logits (1, L) of one short review, of which a ninth of the time would go into what `logits` sorts and lays out."""
        length = len(review)
        _, rows = self._mask(length)
        states = self.parts.embedded([review], rows).to(self.dtype)
        for layer in self.layers[:-1]:
            states = layer.rest(self._attend(layer.query_key_value(states).chunk(3, dim=1), length, rows, 1), states)
        layer, first = self.layers[-1], states[:1]
        mixed = self._attend((layer.query(first), *layer.key_value(states).chunk(2, dim=1)), length, 1, 1)
        return self.parts.head(layer.rest(mixed, first).float()).numpy()

    def _rows(self, needed: int, longest: int) -> int:
        if needed > ROWS:
            return -(-needed // 256) * 256
        if self.invariant:
            return capacity(longest, invariant=True) + SPARE
        step = TILE if needed <= FEW else 256
        return -(-needed // step) * step

    def _attend(self, projected: Sequence[torch.Tensor], length: int, asked: int, count: int) -> torch.Tensor:
        """Attention of `count` reviews of `length` tokens behind each other, by `asked` queries each, (count x asked, h)."""
        mask, read = self._mask(length)
        query, *key_value = projected
        key, value = (_windows(one, count, length, read, self.parts.heads) for one in key_value)
        found = functional.scaled_dot_product_attention(
            _windows(query, count, asked, asked, self.parts.heads), key, value, attn_mask=mask
        )
        return found.transpose(1, 2).reshape(count * asked, -1)

    def _mask(self, length: int) -> tuple[torch.Tensor | None, int]:
        """A mask over the keys of a review, and how many are read: the kernel is slow where they are no whole tiles."""
        if length not in self.masks:
            read = -(-length // TILE) * TILE
            mask = torch.zeros(1, 1, 1, read, dtype=self.dtype)
            mask[..., length:] = torch.finfo(self.dtype).min
            self.masks[length] = (None if read == length else mask, read)
        return self.masks[length]


def capacity(length: int, *, invariant: bool) -> int:
    """Tokens of the matrix that a review of so many goes into. Where answers are invariant, its shape follows from that alone."""
    return SHORT_ROWS - SPARE if invariant and length <= SHORT else CAPACITY


def build(model: nn.Module, *, bf16: bool, invariant: bool) -> Engine | None:
    """An engine with the weights that a model has now, LoRA merged; None where there is none for its architecture or device.

    Nor is there an invariant one for states whose width is no multiple of 4: in the head a row's place moves their bits.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    known = parts(model.get_base_model() if isinstance(model, PeftModel) else model)
    if known is None or not products.available(next(model.parameters()).device, dtype):
        return None
    if invariant and known.layers[0].attended.normalized_shape[0] % 4:
        return None
    own = copy.deepcopy(model)
    machine.keep_memory()
    found = parts((own.merge_and_unload() if isinstance(own, PeftModel) else own).eval())
    return None if found is None else Engine(found, dtype, invariant=invariant)


class _Packed:
    """A layer's products and norms."""

    def __init__(self, layer: Layer, dtype: torch.dtype, activation: tuple[str, str], *, last: bool) -> None:
        if last:
            self.query = _pack([layer.query], dtype)
            self.key_value = _pack([layer.key, layer.value], dtype)
        else:
            self.query_key_value = _pack([layer.query, layer.key, layer.value], dtype)
        self.output = _pack([layer.output], dtype)
        self.inner = _pack([layer.inner], dtype, activation)
        self.outer = _pack([layer.outer], dtype)
        self.attended = _norm(layer.attended, dtype)
        self.answered = _norm(layer.answered, dtype)

    def rest(self, mixed: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """What follows attention, (rows, h) -> (rows, h)."""
        states = self.attended(self.output(mixed, states))
        return self.answered(self.outer(self.inner(states), states))


def _pack(linears: Sequence[Any], dtype: torch.dtype, activation: tuple[str, str] = products.NONE) -> Product:
    """The product with the linear layers' weights on top of each other."""
    weight, bias = (
        torch.cat(tensors).detach().to(dtype) for tensors in zip(*((one.weight, one.bias) for one in linears), strict=True)
    )
    return products.pack(weight, bias, ROWS, activation)


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
    return lambda states: functional.layer_norm(states, norm.normalized_shape, weight, bias, norm.eps)


def _windows(states: torch.Tensor, count: int, stride: int, length: int, heads: int) -> torch.Tensor:
    """`count` windows of `length` rows, every `stride` rows one, as (count, heads, length, h / heads); they may overlap."""
    row, size = states.stride(0), states.shape[1] // heads
    return states.as_strided((count, heads, length, size), (stride * row, size, row, 1))
