"""Exact counts: what a review costs, told without a clock, and so without noise."""

from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lorasent
from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate.cost import operations
from lorasent.scoring.evidence import LiveSubject
from lorasent.scoring.plans import fill
from lorasent.training.loop import epoch_order
from lorasent.unpadded import inference, training
from tests.benchmarks.workloads import SHORT, reviews

TOKENS = (16, 256)
"""Lengths of a review whose operations are recorded."""

BATCH = 16


def costs(adapter: Path) -> dict[str, int]:
    """What the definition and the plans ask for, whatever library computes it: operations, tokens, bytes."""
    subject = LiveSubject(adapter)
    constant, linear, square = operations(subject)
    limit = subject.manifest.recipe.encoding.max_length
    counts = {f"operations, a review of {n} tokens": round(constant + linear * n + square * n * n) for n in TOKENS}
    for split in ("test", "train"):
        texts = lorasent.read(f"embedded:{split}", subject.labels).texts
        lengths = [min(int(length), limit) for length in subject.scorer.encoder.lengths(texts)]
        counts[f"{split} reviews, tokens"] = sum(lengths)
        if split == "test":
            counts["test reviews, rows for scoring"] = len(fill(lengths, inference.CAPACITY)) * inference.ROWS
    rows = epoch_order(lengths, 4, 0, 0)
    steps = [sum(lengths[row] for row in rows[start : start + 4]) for start in range(0, len(rows), 4)]
    counts["train reviews, rows for training"] = sum(training.rows(tokens) for tokens in steps)
    return {**counts, "bytes of the adapter": (adapter / WEIGHTS).stat().st_size}


def kernels(adapter: Path) -> dict[str, int]:
    """What these libraries do for it: calls of aten operators, and bytes that those allocate for what they return."""
    counts = {}
    for precision in ("fp32", "bf16"):
        scorer = lorasent.load(adapter, precision)
        for name, texts in (("a short review", [SHORT]), (f"{BATCH} reviews", reviews(BATCH))):
            scorer.logits(texts)  # what is kept from the first call on is not counted
            with Calls() as calls:
                scorer.logits(texts)
            counts[f"aten calls, {name}, {precision}"] = calls.calls
            counts[f"bytes allocated, {name}, {precision}"] = calls.allocated
    return counts


class Calls(TorchDispatchMode):
    """Counts the calls of aten operators, and the bytes of storage that their results have and their arguments had not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.allocated = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        old = _storages((args, kwargs))
        self.calls += 1
        self.allocated += sum(storage.nbytes() for key, storage in _storages(result).items() if key not in old)
        return result


def _storages(values: Any) -> dict[int, torch.UntypedStorage]:
    tensors = [one for one in tree_leaves(values) if isinstance(one, torch.Tensor)]
    storages = [one.untyped_storage() for one in tensors if one.layout is torch.strided]  # packed weights have none
    return {storage._cdata: storage for storage in storages}
