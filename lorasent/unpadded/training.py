"""The forward pass of training over unpadded tokens, with gradients for what is trained and for nothing else.

    y = x W^T + s (x A^T) B^T        dx = dy W + s (dy B) A,   dA = s (dy B)^T x,   dB = s dy^T (x A^T)        (Hu et al. 2021)

W is frozen: it is packed twice, once for each direction. Rows and the last layer are as in `inference`, in both directions. Dropout
acts where the model's own does, with its probabilities, by masks that are drawn here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional

from lorasent import machine, torch_private
from lorasent.adapter.encoding import Ids
from lorasent.unpadded import products
from lorasent.unpadded.parts import Layer, Parts, parts

ROWS_STEP = 32
"""Row counts are multiples of this number, because oneDNN compiles a kernel for every new row count."""

USUAL_ROWS = 1024
"""Row count for which weights are packed."""


class Tuner:
    """Computes differentiable logits with the model's current weights. See `build`."""

    def __init__(self, source: Parts, dtype: torch.dtype) -> None:
        self.parts = source
        self.dtype = dtype
        self.layers = [_Layer(layer, source, dtype, last=layer is source.layers[-1]) for layer in source.layers]

    def logits(self, reviews: Sequence[Ids]) -> torch.Tensor:
        """Logits (B, L) in float32, differentiable in what is trained."""
        lengths, heads = [len(review) for review in reviews], self.parts.heads
        whole, first_tokens = _Grid(lengths, heads, rows(sum(lengths))), _Grid([1] * len(reviews), heads, len(reviews))
        with torch.no_grad():
            states = self.parts.embedded(reviews, whole.rows).to(self.dtype)
        for layer in self.layers[:-1]:
            states = layer.rest(_attend(None, layer.projections[0](states), whole, whole, layer.drop_weights), states)
        layer = self.layers[-1]
        query, key_value = layer.projections
        first = states[[start for start, _ in whole.spans]]
        mixed = _attend(query(first), key_value(states), first_tokens, whole, layer.drop_weights)
        return self.parts.head(layer.rest(mixed, first).float())


def build(model: PeftModel, *, bf16: bool) -> Tuner | None:
    """A tuner of a model's LoRA matrices and head; None for other architectures, devices, LoRA variants and trained weights."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    source = parts(model.get_base_model())
    if source is None or not products.available(next(model.parameters()).device, dtype) or torch_private.softmax_backward() is None:
        return None
    lora_layers = [module for module in model.modules() if isinstance(module, LoraLinear)]
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    inside = any(".embeddings" in name or (".layer." in name and ".lora_" not in name) for name in trained)
    if inside or any(layer.lora_variant for layer in lora_layers):
        return None
    machine.keep_memory()
    return Tuner(source, dtype)


def rows(tokens: int) -> int:
    """The number of rows of a step with this many tokens."""
    return -(-tokens // ROWS_STEP) * ROWS_STEP


class _Layer:
    def __init__(self, layer: Layer, source: Parts, dtype: torch.dtype, *, last: bool) -> None:
        *self.projections, self.output, self.inner, self.outer = (_Linear(each, dtype) for each in layer.linears(last=last))
        self.attended, self.answered = (products.frozen_norm(norm, dtype) for norm in (layer.attended, layer.answered))
        self.activation = source.activate
        self.drop_weights, self.drop_output, self.drop_outer = layer.drop_weights, layer.drop_output, layer.drop_outer

    def rest(self, mixed: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """The part of the layer after attention, (rows, h) -> (rows, h)."""
        states = self.attended(_dropped(self.output(mixed), self.drop_output) + states)
        return self.answered(_dropped(self.outer(self.activation(self.inner(states))), self.drop_outer) + states)


class _Linear:
    """Linear layers on the same states, their outputs side by side, with their LoRA matrices, if any."""

    def __init__(self, modules: Sequence[Any], dtype: torch.dtype) -> None:
        self.dtype = dtype
        frozen = [module.get_base_layer() if isinstance(module, LoraLinear) else module for module in modules]
        weight, bias = products.joined(frozen, dtype)
        self.forward = products.pack(weight, bias, USUAL_ROWS)
        self.backward = products.pack(weight.t().contiguous(), None, USUAL_ROWS)
        ends = np.cumsum([layer.out_features for layer in frozen]).tolist()
        self.lora = [
            (module, name, end - module.out_features, end)
            for module, end in zip(modules, ends, strict=True)
            if isinstance(module, LoraLinear)
            for name in module.active_adapters
        ]
        self.columns = slice(min((start for *_, start, _ in self.lora), default=0), max((end for *_, end in self.lora), default=0))

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        if not self.lora:
            return _product(states, None, None, self)
        downs = [module.lora_A[name].weight.to(self.dtype) for module, name, *_ in self.lora]
        first, last = self.columns.start, self.columns.stop
        ups = [
            functional.pad(module.lora_B[name].weight * module.scaling[name], (0, 0, start - first, last - end))
            for module, name, start, end in self.lora
        ]
        up = torch.cat(ups, dim=1).to(self.dtype)
        drops = [module.lora_dropout[name] for module, name, *_ in self.lora]
        if not any(_probability(drop) for drop in drops):
            return _product(states, torch.cat(downs), up, self)
        low = [_dropped(states, drop) @ down.t() for drop, down in zip(drops, downs, strict=True)]
        outputs = _product(states, None, None, self)
        outputs[:, self.columns].addmm_(torch.cat(low, dim=1), up.t())
        return outputs


class _Product(torch.autograd.Function):
    """The module's formula. `down` is A (r, in) and `up` is s B, for the columns that LoRA adds to; or both are None."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, down: torch.Tensor | None, up: torch.Tensor | None, linear: _Linear
    ) -> torch.Tensor:
        outputs = linear.forward(states)
        ctx.linear = linear
        if down is None or up is None:
            return outputs
        low = states @ down.t()
        ctx.save_for_backward(states, low, down, up)
        outputs[:, linear.columns].addmm_(low, up.t())
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        of_states = ctx.linear.backward(gradient) if ctx.needs_input_grad[0] else None
        if not ctx.saved_tensors:
            return of_states, None, None, None
        states, low, down, up = ctx.saved_tensors
        gradient = gradient[:, ctx.linear.columns]
        of_low = gradient @ up
        if of_states is not None:
            of_states.addmm_(of_low, down)
        return of_states, of_low.t() @ states, (low.t() @ gradient).t(), None


class _Attention(torch.autograd.Function):
    """Attention within each review: softmax(Q K^T / sqrt(d)) V. The plain backward pass is the fastest on the CPU.

    With `queries` (B, h) of first tokens, `projected` (rows, 2 h) has keys and values; without, queries (rows, 3 h), too.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: torch.Tensor | None, projected: torch.Tensor, asking: "_Grid", read: "_Grid", drop: nn.Module
    ) -> torch.Tensor:
        if queries is None:
            query, key, value = read.lay(projected, 3)
        else:
            (query,), (key, value) = asking.lay(queries, 1), read.lay(projected, 2)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(1, 2)
        for review, length in zip(scores.chunk(len(read.lengths)), read.lengths, strict=True):
            review[:, :, length:] = -torch.inf
        weights = torch.softmax(scores, -1)
        kept = _kept(weights, drop)
        ctx.save_for_backward(query, key, value, weights, kept)
        ctx.asking, ctx.read = asking, read
        return asking.back([(weights if kept is None else weights * kept) @ value])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights, kept = ctx.saved_tensors
        (gradient,) = ctx.asking.lay(gradients[0], 1)
        scale = query.shape[-1] ** -0.5
        of_weights, used = gradient @ value.transpose(1, 2), weights
        if kept is not None:
            of_weights, used = of_weights.mul_(kept), weights * kept
        softmax_backward: Any = torch_private.softmax_backward()
        scores = softmax_backward(of_weights, weights, -1, weights.dtype)
        of_query = scores @ (key * scale)
        of_key_and_value = [scores.transpose(1, 2) @ (query * scale), used.transpose(1, 2) @ gradient]
        if ctx.asking is ctx.read:
            return None, ctx.read.back([of_query, *of_key_and_value]), None, None, None
        return ctx.asking.back([of_query]), ctx.read.back(of_key_and_value), None, None, None


class _Grid:
    """Copies reviews from a matrix (rows, h) to (B x heads, width, h / heads), padded with zeros to a multiple of 16, and back."""

    def __init__(self, lengths: list[int], heads: int, rows: int) -> None:
        self.lengths, self.heads, self.rows = lengths, heads, rows
        self.width = -(-max(lengths) // 16) * 16 if max(lengths) > 1 else 1
        self.spans = [(end - length, end) for end, length in zip(np.cumsum(lengths).tolist(), lengths, strict=True)]

    def lay(self, states: torch.Tensor, parts: int) -> torch.Tensor:
        """(rows, parts x h) -> (parts, B x heads, width, h / heads)."""
        size = states.shape[1] // (parts * self.heads)
        laid = states.new_zeros(parts, len(self.lengths), self.heads, self.width, size)
        for review, (start, end) in enumerate(self.spans):
            laid[:, review, :, : end - start] = states[start:end].view(-1, parts, self.heads, size).permute(1, 2, 0, 3)
        return laid.flatten(1, 2)

    def back(self, laid: list[torch.Tensor]) -> torch.Tensor:
        """Parts (B x heads, width, h / heads) -> (rows, parts x h)."""
        size = laid[0].shape[-1]
        states = laid[0].new_zeros(self.rows, len(laid), self.heads, size)
        for part, tensor in enumerate(laid):
            for (start, end), review in zip(self.spans, tensor.chunk(len(self.lengths)), strict=True):
                states[start:end, part] = review[:, : end - start].transpose(0, 1)
        return states.view(self.rows, -1)


def _probability(drop: nn.Module) -> float:
    """The probability with which this module drops an element in its current mode."""
    return drop.p if isinstance(drop, nn.Dropout) and drop.training else 0.0


def _dropped(states: torch.Tensor, drop: nn.Module) -> torch.Tensor:
    kept = _kept(states, drop)
    return states if kept is None else states * kept


def _kept(like: torch.Tensor, drop: nn.Module) -> torch.Tensor | None:
    """The factor of each element: 0 for a share p, else 1 / (1 - p). None where nothing is dropped.

    An element takes sixteen random bits, and p is rounded to them; torch's own dropout takes five times as long (on an AMD EPYC).
    """
    if not (probability := _probability(drop)):
        return None
    drawn = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = torch.empty(like.shape, dtype=like.dtype)
    least = min(round(probability * 2**16), 2**16 - 1) - 2**15
    return torch.ge(drawn[: like.numel()].view(like.shape), least, out=kept).div_(1 - probability)


_attend: Callable[..., torch.Tensor] = _Attention.apply
_product: Callable[..., torch.Tensor] = _Product.apply
