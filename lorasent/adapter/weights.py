"""The header of safetensors files that somebody else wrote, checked against bounds before memory is allocated by it."""

from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lorasent.text import shown

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the names of a model's tensors."""

MOST_HEADER = 16 << 20
"""Largest size of a header, in bytes. A tensor takes about 120."""

MOST_DIMENSIONS = 8
MOST_NUMBERS = 1 << 40
"""Largest number of elements of a tensor, dimensions of size 0 aside. NumPy and torch refuse larger shapes, each in its own way."""

ALWAYS = 64 << 20
"""Size in bytes that an adapter's weights may have, however small its base is."""

Header = dict[str, tuple[tuple[int, ...], str]]
"""Shape and type ("F32") of tensors by name."""


def header(path: Path) -> Header:
    """Shape and type of every tensor in a safetensors file. Raises ValueError or OSError."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MOST_HEADER:
        raise ValueError(f"its header claims {size:,} bytes, at most {MOST_HEADER:,} are read")
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            tensors = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except SafetensorError as error:
        raise ValueError(shown(error, 300)) from None
    for name, (shape, _) in tensors.items():
        if len(shape) > MOST_DIMENSIONS or prod(max(size, 1) for size in shape) > MOST_NUMBERS:
            raise ValueError(f"{shown(name)} has shape {shown(str(list(shape)))}, more than a tensor may have")
    return tensors


def checkpoint(base: Path) -> Header:
    """Shape and type of every tensor in a base's directory, whatever the number of files. Raises ValueError or OSError."""
    return {name: tensor for file in sorted(base.glob("model*.safetensors")) for name, tensor in header(file).items()}


def bounded(path: Path, base: Path) -> Header:
    """The header of an adapter's weights, which may be twice as large as its base's. Raises ValueError or OSError."""
    size, limit = path.stat().st_size, max(ALWAYS, 2 * sum(file.stat().st_size for file in base.glob("model*.safetensors")))
    if size > limit:
        raise ValueError(f"holds {size:,} bytes, an adapter of this base has at most {limit:,}")
    return header(path)
