"""Safetensors files that a stranger wrote: their header is held to bounds before anything is allocated by what it says."""

from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lorasent.text import shown

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the names of a model's tensors."""

MOST_HEADER = 16 << 20
"""Bytes of a header. A tensor takes about 120."""

MOST_DIMENSIONS = 8
MOST_NUMBERS = 1 << 40
"""Numbers of a tensor, dimensions of size 0 aside: NumPy and torch refuse shapes that overflow, each in its own way."""

ALWAYS = 64 << 20
"""Bytes that an adapter's weights may have however small its base is."""


def header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type ("F32") of every tensor in a safetensors file. Raises ValueError or OSError."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MOST_HEADER:
        raise ValueError(f"its header claims {size:,} bytes, at most {MOST_HEADER:,} are read")
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            found = {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
    except SafetensorError as error:
        raise ValueError(shown(error, 300)) from None
    for name, (shape, _) in found.items():
        if len(shape) > MOST_DIMENSIONS or prod(max(size, 1) for size in shape) > MOST_NUMBERS:
            raise ValueError(f"{shown(name)} has shape {shown(str(list(shape)))}, which is no tensor's")
    return found


def bounded(path: Path, base: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """The header of an adapter's weights, which are at most twice as large as its base's. Raises ValueError or OSError."""
    size, limit = path.stat().st_size, max(ALWAYS, 2 * sum(file.stat().st_size for file in base.glob("model*.safetensors")))
    if size > limit:
        raise ValueError(f"holds {size:,} bytes, an adapter of this base has at most {limit:,}")
    return header(path)
