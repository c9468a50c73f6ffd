"""What ran: library versions and what the processor offers, kept with every recorded result."""

import contextlib
import ctypes
import functools
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h

_BF16 = re.compile(r"\b(?:amx_bf16|avx512_bf16|bf16)\b")

LIBRARIES = ("lorasent", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def libraries() -> dict[str, str]:
    """Versions of the libraries that a result depends on, by name."""
    return dict(_versions())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Read once a process: each is a file to parse, and whoever asks for evidence asks for them."""
    return tuple((name, metadata.version(name)) for name in LIBRARIES)


def features() -> dict[str, str | int]:
    """Architecture, the widest instructions that torch's own CPU kernels use, and how many threads they run on."""
    import torch

    return {
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


@functools.cache
def bf16() -> str:
    """Which bf16 instructions the processor names, empty for none; told without torch, on Linux."""
    with contextlib.suppress(OSError):
        return " ".join(sorted(set(_BF16.findall(Path("/proc/cpuinfo").read_text("utf-8", "replace")))))
    return ""


@functools.cache
def keep_memory() -> None:
    """Lets this process keep the memory that it frees.

    glibc hands large blocks back to the system at once; a product's result then costs more in page faults than in arithmetic.
    """
    for option, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 64 << 20)):
        _glibc("mallopt", option, value)


def release_memory() -> None:
    """Gives the memory that this process has freed, and kept, back to the system."""
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    """Calls a function of glibc; with another C library nothing happens."""
    if sys.platform == "linux" and (function := getattr(ctypes.CDLL(None), name, None)) is not None:
        function(*arguments)
