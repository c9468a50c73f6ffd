"""Versions of the libraries, features of the processor, and glibc's malloc. No other module queries the processor.

The environment variables of oneDNN and torch, which imitate another processor, are respected.
"""

import ctypes
import functools
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from lorasent import torch_private

_PROCESSOR = Path("/proc/cpuinfo")

_LIMITS = {
    **dict.fromkeys(("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni"), ()),
    **dict.fromkeys(("avx512_core_bf16", "avx512_core_fp16", "avx10_1_512", "avx10_2"), ("avx512_bf16",)),
}
"""Values of ONEDNN_MAX_CPU_ISA -> the bf16 instructions that oneDNN may still use. Other values limit nothing."""

ONEDNN_VARIABLE = "LORASENT_ONEDNN"
"""Environment variable; 0: neither lorasent nor torch uses oneDNN, as in a torch that was built without it."""

_MALLOC_OPTIONS = {-3: 32 << 20, -1: 1 << 30, -2: 64 << 20}
"""Bytes by option of glibc's mallopt: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD."""

LIBRARIES = ("lorasent", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


@functools.cache
def libraries() -> Mapping[str, str]:
    """Versions of the libraries that a result depends on, by name: read once in a process, since each is a file to parse."""
    return {name: metadata.version(name) for name in LIBRARIES}


def features() -> dict[str, str | int]:
    """The architecture, the widest instructions that torch's own CPU kernels use, and the number of their threads."""
    import torch

    return {
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def kind() -> dict[str, str | int]:
    """What two machines must share for their times to be compared: features, processor, cores, and the GPU where there is one."""
    import torch

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {**features(), "processor": _name(), "cores": os.cpu_count() or 0, **gpu}


def _name() -> str:
    """The processor's name with its family and model, where the system tells; hypervisors hide the name alone."""
    if not _PROCESSOR.is_file():
        return platform.processor()
    first = _PROCESSOR.read_text("utf-8", "replace").partition("\n\n")[0]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    return ", ".join(fields[name] for name in ("model name", "cpu family", "model") if name in fields) or platform.processor()


def onednn() -> bool:
    """Whether oneDNN may be used, by the environment variable alone."""
    return os.environ.get(ONEDNN_VARIABLE) != "0"


def bf16() -> str:
    """Names of the bf16 instructions that oneDNN may use, separated by spaces. On Linux this does not import torch."""
    limit = (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")).lower()
    return " ".join(name for name in _processor() if name in _LIMITS.get(limit, _processor())) if onednn() else ""


@functools.cache
def _processor() -> tuple[str, ...]:
    """Names of the bf16 instructions that the processor has."""
    try:
        return tuple(sorted(set(re.findall(r"\b(?:amx_bf16|avx512_bf16)\b", _PROCESSOR.read_text("utf-8", "replace")))))
    except OSError:  # not Linux
        return torch_private.bf16_instructions()


@functools.cache
def keep_memory() -> None:
    """Tunes malloc of this process, on glibc: it keeps memory that is freed, unless LORASENT_MALLOC is 0.

    By default glibc returns large blocks to the system at once; page faults then cost a matrix product more time than arithmetic.
    """
    if os.environ.get("LORASENT_MALLOC") != "0":
        for option, value in _MALLOC_OPTIONS.items():
            _glibc("mallopt", option, value)


def release_memory() -> None:
    """Gives the memory that this process has freed, and kept, back to the system, on glibc."""
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    """Calls a function of glibc; with another C library nothing happens."""
    if sys.platform == "linux" and (function := getattr(ctypes.CDLL(None), name, None)) is not None:
        function(*arguments)
