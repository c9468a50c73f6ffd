"""The command that reports what this machine offers: doctor."""

import functools
import os
import platform
from collections.abc import Callable

from lorasent.adapter.architectures import ARCHITECTURES
from lorasent.cli import ending
from lorasent.errors import first_line
from lorasent.text import WIDTH, shown, wrapped

LIBRARIES = ("lorasent", "torch", "transformers", "peft", "datasets")


def doctor() -> None:
    """Report what this machine offers.

    A line each for library versions, processor, number formats, GPU, the embedded base, and the hub.
    """
    from importlib import import_module, metadata

    torch = functools.partial(import_module, "torch")
    rows: dict[str, Callable[[], str]] = {name: functools.partial(metadata.version, name) for name in LIBRARIES}
    rows |= {
        "python": platform.python_version,
        "processor": lambda: (
            f"{os.cpu_count()} cores, {torch().get_num_threads()} threads, {torch().backends.cpu.get_cpu_capability()}"
        ),
        "processes": lambda: (
            f"torchrun --standalone --nproc-per-node {os.cpu_count()} -m lorasent train: a process a core; each takes one thread "
            "there, unless OMP_NUM_THREADS is set"
        ),
        "onednn": _onednn,
        "bf16": _bf16,
        "device": _device,
        "gpu": lambda: torch().cuda.get_device_name() if torch().cuda.is_available() else "none",
        "embedded base": _embedded_base,
        "bases": lambda: (
            ", ".join(kind for kind, row in ARCHITECTURES.items() if row.head) + "; others as transformers computes them"
        ),
        "hub": _hub,
    }
    for name, describe in rows.items():
        try:
            answer = describe()
        except Exception as error:  # doctor reports faults and goes on
            answer = f"no: {first_line(error)}"
        first, *rest = wrapped(shown(answer, 200), WIDTH - 14, "")
        ending.write([f"{name:<14}{first}\n", *(f"{'':14}{line}\n" for line in rest)])


def _bf16() -> str:
    import torch

    from lorasent import machine
    from lorasent.scoring.scorer import uses_bf16

    if uses_bf16("auto", torch.device("cpu")):
        return f"in hardware, {machine.bf16()} (precision auto = bf16)"
    return "not in hardware (precision auto = fp32; bf16 is emulated and many times slower)"


def _device() -> str:
    import torch

    from lorasent import devices
    from lorasent.scoring.scorer import number_format

    device = devices.resolve()
    return f"auto = {device}, precision auto = {number_format('auto', torch.device(device))} there"


def _onednn() -> str:
    import torch

    from lorasent.unpadded import products

    available = products.available(torch.device("cpu"), torch.float32)
    return "yes" if available else "no: scoring and training use the padded model, more slowly"


def _embedded_base() -> str:
    from lorasent.adapter.base import find

    return f"{find('embedded').sha256[:12]}… (as pinned)"


def _hub() -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "offline (HF_HUB_OFFLINE is set); the cache is used"
    get_session().head(constants.ENDPOINT, timeout=3)
    return f"{constants.ENDPOINT} answers"
