"""How fast a device can be at best: its matrix-product rate and its memory bandwidth, measured now, and what they allow."""

import time
from typing import NamedTuple

import torch

SIDE = {"cpu": 1024, "cuda": 8192}
COPIED = {"cpu": 2**26, "cuda": 2**30}
"""Side of the square matrices that are multiplied, and bytes that are copied."""

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
    """The best of REPEATS, of matrix products in a number format and of copies."""
    side = SIDE[device]
    one = torch.randn(side, side, device=device).to(dtype)
    source = torch.zeros(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = min(_seconds(lambda: one @ one, device) for _ in range(REPEATS))
    copied = min(_seconds(lambda: target.copy_(source), device) for _ in range(REPEATS))
    return Rates(2 * side**3 / product, 2 * len(source) / copied)


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
