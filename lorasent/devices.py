"""The device that a model computes on. No other module asks torch which devices there are.

A device is a text: "cpu", "cuda", "cuda:1" or "mps" (Apple's GPU). Its kind is the part before the colon.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path

from lorasent.errors import DeviceError, first_line
from lorasent.text import shown

VARIABLE = "LORASENT_DEVICE"
"""Environment variable with the device that "auto" takes."""

DRIVERS = ("/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/dxg", "/dev/kfd")
"""Files of the drivers of GPUs on Linux: NVIDIA's, of Jetson, of WSL, and AMD's."""


_auto: ContextVar[str] = ContextVar("auto", default="")


def resolve(device: object = "auto") -> str:
    """The device of a name; "auto" is CUDA where there is one, else Apple's GPU, else the CPU. Raises DeviceError."""
    name = str(device)
    if name == "auto":
        name = _auto.get() or os.environ.get(VARIABLE) or "auto"
    if name == "auto":
        return available()[0]
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", name):
        raise DeviceError(f"device {shown(name)}: allowed are auto, cpu, cuda, cuda:N, mps")
    if name != "cpu" and name not in available():
        raise DeviceError(
            f"device {name}: not here; torch {metadata.version('torch')} finds {', '.join(available())}; choose one of these or "
            "auto, or install a torch that is built for the device"
        )
    return name


@contextlib.contextmanager
def auto_is(device: object) -> Iterator[None]:
    """Inside, "auto" is this device. Raises DeviceError for one that is not there."""
    token = _auto.set(resolve(device))
    try:
        yield
    finally:
        _auto.reset(token)


def available() -> list[str]:
    """The devices that torch can use here, the one that "auto" takes first. Where no GPU can be, torch is not imported."""
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in DRIVERS):
        return ["cpu"]
    import torch

    if torch.cuda.is_available():
        return ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count())), "cpu"]
    return ["mps", "cpu"] if torch.backends.mps.is_available() else ["cpu"]


def kind(device: object) -> str:
    """The kind of a device: cpu, cuda or mps."""
    return str(device).partition(":")[0]


@contextlib.contextmanager
def fitting(what: str, device: object) -> Iterator[None]:
    """Turns torch's errors about memory that ran out into a DeviceError, which says what did not fit, and the size."""
    try:
        yield
    except RuntimeError as error:
        if not re.search(r"out of memory|can't allocate memory|not enough memory", str(error)):
            raise
        reason = first_line(error)
        raise DeviceError(f"{what} does not fit on {device}: {reason}; free memory there, or choose another --device") from None
