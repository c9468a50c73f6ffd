"""What ran: library versions, kept with every recorded result, and what this machine offers. Who wants to know asks here alone.

The answer is that of the processor, less what environment variables forbid: oneDNN's and torch's own, which force another machine's
instructions, and LORASENT_ONEDNN.
"""

import ctypes
import functools
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h

_PROCESSOR = Path("/proc/cpuinfo")

_BF16 = re.compile(r"\b(?:amx_bf16|avx512_bf16)\b")

_LIMITS = {
    **dict.fromkeys(("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni"), ()),
    **dict.fromkeys(("avx512_core_bf16", "avx512_core_fp16", "avx10_1_512", "avx10_2"), ("avx512_bf16",)),
}
"""The bf16 instructions that oneDNN may still use, by what ONEDNN_MAX_CPU_ISA limits it to. Any other value is no limit to it."""

ONEDNN_VARIABLE = "LORASENT_ONEDNN"
"""Environment variable; 0: nothing is asked of oneDNN, by torch neither, as where torch was built without it."""

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


def onednn() -> bool:
    """Whether oneDNN may be asked; whether torch has it, torch tells."""
    return os.environ.get(ONEDNN_VARIABLE) != "0"


def bf16() -> str:
    """Which bf16 instructions oneDNN multiplies with, empty for none; told without torch, on Linux."""
    limit = (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")).lower()
    return " ".join(name for name in _processor() if name in _LIMITS.get(limit, _processor())) if onednn() else ""


@functools.cache
def _processor() -> tuple[str, ...]:
    """The bf16 instructions that the processor has."""
    try:
        return tuple(sorted(set(_BF16.findall(_PROCESSOR.read_text("utf-8", "replace")))))
    except OSError:  # not Linux: torch asks the processor itself
        from torch import cpu

        found = {"amx_bf16": cpu._is_amx_tile_supported(), "avx512_bf16": cpu._is_avx512_bf16_supported()}
        return tuple(name for name, there in found.items() if there)


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
