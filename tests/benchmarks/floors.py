"""How fast a device can be at best: its matrix-product rate and its memory bandwidth, measured now, and what they allow."""

import time
from typing import NamedTuple

import torch

from lorasent.unpadded import products

SHAPES = {"cpu": ((1024, 1024, 1024), (4096, 768, 3072)), "cuda": ((8192, 8192, 8192),)}
COPIED = {"cpu": 2**26, "cuda": 2**30}
"""(rows, inputs, outputs) of the matrices that are multiplied, and bytes that are copied."""

REPEATS = 10


class Rates(NamedTuple):
    """The most that a device was seen to do."""

    operations: float
    """Floating-point operations of a matrix product a second."""
    bytes: float
    """Bytes read and written a second."""

    def floor(self, operations: float, moved: float) -> float:
        """Seconds that no program can beat which does so many operations and moves so many bytes through memory."""
        return max(operations / self.operations, moved / self.bytes)


def measure(device: str, dtype: torch.dtype) -> Rates:
    """The best of REPEATS, of matrix products in a number format, also by weights that are packed beforehand, and of copies."""
    rates = [_product_rate(device, dtype, *shape) for shape in SHAPES[device]]
    source = torch.zeros(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = min(_seconds(lambda: target.copy_(source), device) for _ in range(REPEATS))
    return Rates(max(rates), 2 * len(source) / copied)


def _product_rate(device: str, dtype: torch.dtype, rows: int, inputs: int, outputs: int) -> float:
    """Operations a second of a product, by the fastest way there is."""
    states, weight = (torch.randn(*shape, device=device).to(dtype) for shape in ((rows, inputs), (outputs, inputs)))
    ways = [lambda: states @ weight.t()]
    if products.available(states.device, dtype):
        ready = products.pack(weight, None, rows)
        ways.append(lambda: ready(states))
    return 2 * rows * inputs * outputs / min(_seconds(way, device) for way in ways for _ in range(REPEATS))


def weight_bytes(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """Bytes of the weights that every forward pass reads whole: all but the embeddings, of which it reads some rows."""
    embeddings = {id(one.weight) for one in model.modules() if isinstance(one, torch.nn.Embedding)}
    return sum(one.numel() for one in model.parameters() if id(one) not in embeddings) * dtype.itemsize


def synchronise(device: str) -> None:
    """Waits until a device has done all that it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()


def _seconds(work, device: str) -> float:
    synchronise(device)
    started = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - started
