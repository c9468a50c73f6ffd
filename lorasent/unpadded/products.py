"""Products with weights that do not change, packed once as oneDNN wants them: half of a product's time goes into that otherwise."""

from collections.abc import Callable

import torch

from lorasent import machine

Product = Callable[..., torch.Tensor]
"""States (rows, in), and perhaps something to add (rows, out) -> (rows, out)."""

NONE = ("none", "")

HALVED = range(448, 1344)
"""Numbers of rows at which oneDNN halves its rate on the width of BERT-base's family: 1.1 to 1.4 of 2.4 T operations a second on
two threads with AMX (at most; with 768 inputs up to 1,151). In blocks of 256 rows it keeps 1.8 to 2.1."""

WIDTH, BLOCK = 768, 256

TILE = 16 if "amx_bf16" in machine.bf16() else 8
"""Rows that a small product had best be a multiple of. AMX takes sixteen at a time; without it, each row costs."""

if not machine.onednn():
    torch._C._set_mkldnn_enabled(False)  # for torch's own products, too, and in every process alike: their bits differ


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this machine multiplies so: on the CPU, where oneDNN is there, is not turned off, and takes the number format."""
    there = torch._C._has_mkldnn and torch._C._get_mkldnn_enabled()
    if device.type != "cpu" or not (there and machine.onednn()):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(weight: torch.Tensor, bias: torch.Tensor | None, rows: int, activation: tuple[str, str] = NONE) -> Product:
    """The product with `weight` (out, in), `bias` (out,) and an activation, best for about so many rows.

    An activation is oneDNN's name of it and of its algorithm; what is to be added takes its place.
    """
    ready = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    linear, adding = torch.ops.mkldnn._linear_pointwise.default, torch.ops.mkldnn._linear_pointwise.binary
    kind, algorithm = activation

    def product(states: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        if added is not None:
            return adding(states, added, ready, bias, "add")  # type: ignore[no-any-return]
        return linear(states, ready, bias, kind, [], algorithm)  # type: ignore[no-any-return]

    def in_blocks(states: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        if len(states) not in HALVED:
            return product(states, added)
        at = list(range(BLOCK, len(states), BLOCK))
        blocks = states.tensor_split(at)
        others = [None] * len(blocks) if added is None else added.tensor_split(at)
        return torch.cat([product(*pair) for pair in zip(blocks, others, strict=True)])

    return in_blocks if len(weight) == WIDTH else product
