"""Private names of torch that lorasent uses, looked up when they are first needed. No other module uses one.

Where this torch lacks a name, one warning says so, and the caller computes without it.
"""

import functools
import operator
import warnings
from collections.abc import Callable
from typing import Any

_PADDED = "are computed with padding, more slowly"


@functools.cache
def packed_linear() -> tuple[Any, ...] | None:
    """oneDNN's functions for linear layers with packed weights: pack the weights, multiply, multiply and add."""
    linear = "ops.mkldnn._linear_pointwise"
    return _find("ops.mkldnn._reorder_linear_weight", f"{linear}.default", f"{linear}.binary", effect=f"answers {_PADDED}")


@functools.cache
def multiplies_bf16() -> bool:
    """Whether oneDNN multiplies bf16 matrices on this CPU; False if torch cannot tell."""
    effect = f"answers in bf16 {_PADDED}, and precision auto is fp32 on the CPU"
    found = _find("ops.mkldnn._is_mkldnn_bf16_supported", effect=effect)
    return found is not None and bool(found[0]())


@functools.cache
def softmax_backward() -> Callable[..., Any] | None:
    """The gradient of softmax: (gradient, output, dimension, input type) -> gradient of the input."""
    found = _find("_softmax_backward_data", effect=f"training steps {_PADDED}")
    return None if found is None else found[0]


def bf16_instructions() -> tuple[str, ...]:
    """Names of the bf16 instructions that torch sees in this CPU."""
    probes = {"amx_bf16": "cpu._is_amx_tile_supported", "avx512_bf16": "cpu._is_avx512_bf16_supported"}
    found = {name: _find(path, effect=f"{name} is taken to be absent") for name, path in probes.items()}
    return tuple(name for name, functions in found.items() if functions and functions[0]())


def _find(*paths: str, effect: str) -> tuple[Any, ...] | None:
    """The attributes of torch with these dotted names; None, and one warning, where torch lacks one of them."""
    import torch

    found = []
    for path in paths:
        try:
            found.append(operator.attrgetter(path)(torch))
        except AttributeError:
            warnings.warn(f"torch {torch.__version__} has no torch.{path}: {effect}", stacklevel=3)
            return None
    return tuple(found)
