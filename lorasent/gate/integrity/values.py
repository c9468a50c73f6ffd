"""integrity::values: the weights' numbers are finite, in full precision, and leave no layer without effect."""

import numpy as np
from numpy.typing import NDArray

from lorasent.adapter.manifest import WEIGHTS
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.gate.integrity.comparison import EXPORT, Comparison, Passed, Side
from lorasent.gate.integrity.layout import ALWAYS_SAVED, is_inside
from lorasent.text import shown, some

LEAST_NUMBERS = 64
"""Size from which a matrix is tested for rounding."""

MOST_NUMBERS = 1 << 22
"""Number of a matrix's first elements that are tested for rounding: sorting takes several times their memory."""

LEAST_DISTINCT = 0.6
"""Least share of distinct values in a matrix that was not rounded: 4 bits leave at most half, training in float32 at least 0.99."""

LEVELS = 257
"""The same as a number, in a matrix of a 16-bit type: 8 bits leave at most 256."""

ONE_SIZE = 0.9
"""First decile over maximum, from which absolute values count as equal: 0.99 after one step of Adam, under 0.1 after training."""

HALF_BITS = np.uint32(0x1FFF)
"""Bits of a float32 that are zero in every float16 and bfloat16."""


def inspect(side: Side) -> None:
    """Raises the fault of numbers that are not finite, were rounded, or leave a layer without effect."""
    zero = set[str]()
    for tensor, numbers in side.numbers():
        name, first = shown(tensor), numbers.ravel()[:MOST_NUMBERS]
        if count := int((~np.isfinite(numbers)).sum()):
            message = f"{count} of {numbers.size} numbers in {name} are not finite"
            advice = "train again: the run diverged, or the file is damaged"
            raise side.fault("not-finite", message, advice, file=WEIGHTS, name=name, count=count)
        if not numbers.any() and numbers.ndim == 2:
            zero.add(tensor)
        if ".lora_B" in tensor and numbers.size >= LEAST_NUMBERS and _one_step(first):
            size = float(np.abs(numbers).max())
            message = f"numbers in {name} are all about {size:.3g} in size, as after a single training step"
            raise side.fault("one-step", message, "train again: the run ended after its first step", file=WEIGHTS, name=name)
        if numbers.ndim == 2 and not side.manifest.is_model and (rounded := _rounded(first, side.tensors[tensor][1])):
            raise side.fault("quantized", f"{name} was rounded: {rounded}", EXPORT + ", in float32", file=WEIGHTS, name=name)
    _require_effect(side, zero)


def compare(comparison: Comparison) -> Passed:
    """Passes, and says whether the weights are the baseline's."""
    candidate, baseline, _ = comparison
    if not comparison.is_first and candidate.manifest.files.get(WEIGHTS) == baseline.manifest.files.get(WEIGHTS):
        return Passed("the same weights as the baseline's")
    return Passed("every number is finite and in full precision, every layer has an effect")


def _require_effect(side: Side, zero: set[str]) -> None:
    """Raises the fault of a head or LoRA layers that change nothing; `zero` are the matrices that are all zero."""
    layers, without = ({name.partition(".lora_")[0] for name in names if ".lora_" in name} for names in (side.tensors, zero))
    if heads := sorted(name for name in zero if ".lora_" not in name and (not side.manifest.is_model or _is_head(name))):
        raise side.fault("head-zero", f"{shown(heads[0])} is all zero: every text gets the same answer", file=WEIGHTS)
    if without and without == layers:
        raise side.fault("adapter-zero", f"LoRA is zero in all {len(layers)} layers: the base is unchanged", file=WEIGHTS)
    if without:
        names = some([name.removeprefix(PEFT_PREFIX) for name in sorted(without)])
        message = f"LoRA is zero in {len(without)} of {len(layers)} layers: {names}"
        raise side.fault("layer-zero", message, file=WEIGHTS, layers=sorted(without))


def _is_head(name: str) -> bool:
    """Whether a tensor of a whole model belongs to its head, whose names are the same everywhere."""
    return is_inside(name, ALWAYS_SAVED)


def _one_step(numbers: NDArray[np.float32]) -> bool:
    """Whether nine in ten absolute values are about equal: B begins at zero, and Adam's first step is +- the learning rate."""
    low, high = np.quantile(np.abs(numbers), [0.1, 1.0])
    return bool(low > ONE_SIZE * high)


def _rounded(numbers: NDArray[np.float32], kind: str) -> str | None:
    """The sign that a matrix was rounded to less than its type, or None. Zeros are ignored, because dead units leave them."""
    nonzero = numbers[numbers != 0]
    if nonzero.size < LEAST_NUMBERS:
        return None
    distinct = np.unique(nonzero).size
    few = LEAST_DISTINCT * nonzero.size
    if distinct < (few if kind == "F32" else min(few, LEVELS)):
        return f"{distinct} distinct values among {nonzero.size} numbers"
    if kind == "F32" and not (nonzero.view(np.uint32) & HALF_BITS).any():
        return f"all {nonzero.size} numbers are those of a 16-bit type"
    return None
