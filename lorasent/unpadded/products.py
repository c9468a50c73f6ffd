"""Linear layers with frozen weights, packed once for oneDNN: packing takes half the time of a product with unpacked weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lorasent import machine, torch_private

Product = Callable[..., torch.Tensor]
"""States (rows, in), and optionally a tensor (rows, out) to add -> (rows, out)."""

NO_ACTIVATION = ("none", "")

SLOW_ROWS = range(448, 1344)
"""Row counts at which oneDNN halves its rate on weights with `WIDTH` outputs (BERT-base's family).

In blocks of `BLOCK` rows it keeps 1.8 to 2.1 of 2.4 T operations a second on two threads with AMX.
"""

WIDTH, BLOCK = 768, 256

_torch_onednn: Any = torch.backends.mkldnn

if not machine.onednn():
    _torch_onednn.enabled = False  # for torch's own products too, in every process: their bits depend on it


def tile() -> int:
    """The row count of which small products should be a multiple: AMX multiplies sixteen rows at a time."""
    return 16 if "amx_bf16" in machine.bf16() else 8


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this CPU can run packed oneDNN products in `dtype`."""
    has_onednn = _torch_onednn.is_available() and _torch_onednn.enabled and machine.onednn()
    if device.type != "cpu" or not has_onednn or torch_private.packed_linear() is None:
        return False
    return dtype == torch.float32 or torch_private.multiplies_bf16()


def joined(linears: Sequence[Any], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights (out, in) and biases (out,) of linear layers on the same states, one below the other."""
    weight, bias = (torch.cat([getattr(linear, name) for linear in linears]).detach().to(dtype) for name in ("weight", "bias"))
    return weight, bias


def frozen_norm(norm: nn.LayerNorm, dtype: torch.dtype) -> Product:
    """The norm with its current weights."""
    weight, bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
    return lambda states: functional.layer_norm(states, norm.normalized_shape, weight, bias, norm.eps)


def pack(weight: torch.Tensor, bias: torch.Tensor | None, rows: int, activation: tuple[str, str] = NO_ACTIVATION) -> Product:
    """The product with `weight` (out, in) and `bias` (out,), fastest at about `rows` rows; only where products are `available`.

    `activation` is oneDNN's name of an activation and of its algorithm; it is not applied where a tensor is added.
    """
    reorder, linear, linear_and_add = torch_private.packed_linear() or ()
    packed = reorder(weight, rows)
    kind, algorithm = activation

    def product(states: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        if added is not None:
            return linear_and_add(states, added, packed, bias, "add")  # type: ignore[no-any-return]
        return linear(states, packed, bias, kind, [], algorithm)  # type: ignore[no-any-return]

    def in_blocks(states: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        if len(states) not in SLOW_ROWS:
            return product(states, added)
        operands = [states] if added is None else [states, added]
        return torch.cat([product(*blocks) for blocks in zip(*(torch.split(each, BLOCK) for each in operands), strict=True)])

    return in_blocks if len(weight) == WIDTH else product
