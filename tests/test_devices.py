"""The device that a model computes on: names, what "auto" is, and what is said where there is none, or no room."""

import re

import pytest
import torch

from lorasent import devices
from lorasent.errors import DeviceError, LorasentError

TWO_CARDS = ["cuda", "cuda:0", "cuda:1", "cpu"]


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    """No device in the environment."""
    monkeypatch.delenv(devices.VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        ("auto", ["cpu"], "cpu"),
        ("auto", ["mps", "cpu"], "mps"),
        ("auto", TWO_CARDS, "cuda"),
        ("cpu", TWO_CARDS, "cpu"),
        ("cuda:1", TWO_CARDS, "cuda:1"),
        (torch.device("cuda", 1), TWO_CARDS, "cuda:1"),
    ],
    ids=["auto, no GPU", "auto, Apple's", "auto, CUDA", "the CPU of a machine with GPUs", "the second card", "torch's own object"],
)
def test_a_name_is_a_device(monkeypatch, name, there, expected):
    """By itself it is CUDA, else Apple's GPU, else the CPU; any other name is what it says."""
    monkeypatch.setattr(devices, "available", lambda: there)
    assert devices.resolve(name) == expected


@pytest.mark.parametrize(("name", "there"), [("cuda", ["cpu"]), ("mps", TWO_CARDS), ("cuda:2", TWO_CARDS)])
def test_a_device_that_is_not_there_is_never_another(monkeypatch, name, there):
    """The error names what is there, and what to do."""
    monkeypatch.setattr(devices, "available", lambda: there)
    message = f"device {name}: not here; torch .* finds {', '.join(there)}; choose one of these or auto, or install a torch that"
    with pytest.raises(DeviceError, match=rf"^{message}"):
        devices.resolve(name)


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:", "cuda:-1", "", None, "cpu\n"], ids=repr)
def test_an_unknown_name_is_refused(name):
    """A misspelt one is not taken for auto."""
    with pytest.raises(LorasentError, match=r"^device .*: allowed are auto, cpu, cuda, cuda:N, mps$"):
        devices.resolve(name)


def test_the_environment_says_what_auto_is(monkeypatch):
    """It does not change a device that is named, and is itself checked; what a command says inside goes before it."""
    monkeypatch.setattr(devices, "available", lambda: TWO_CARDS)
    monkeypatch.setenv(devices.VARIABLE, "cuda:1")
    assert (devices.resolve(), devices.resolve("cpu")) == ("cuda:1", "cpu")
    with devices.auto_is("cpu"):
        assert devices.resolve() == "cpu"
    assert devices.resolve() == "cuda:1"
    monkeypatch.setenv(devices.VARIABLE, "cuda:7")
    with pytest.raises(DeviceError, match=r"^device cuda:7: not here"):
        devices.resolve()


def test_memory_that_runs_out_is_one_line_with_the_size():
    """An allocation that no machine can give; other errors stay as they are."""
    size = 1 << 60
    message = rf"the model does not fit on cpu: .*{size}.*; free memory there, or choose another --device$"
    with pytest.raises(DeviceError, match=message) as refused, devices.fitting("the model", "cpu"):
        torch.empty(size, dtype=torch.uint8)
    assert "\n" not in str(refused.value)
    with pytest.raises(RuntimeError, match=r"^shapes$"), devices.fitting("the model", "cpu"):
        raise RuntimeError("shapes")


@pytest.mark.gpu
def test_auto_takes_the_gpu():
    """Where torch finds one."""
    assert devices.resolve() == "cuda"
    with pytest.raises(DeviceError, match=r"^it does not fit on cuda: .*out of memory.*GiB"), devices.fitting("it", "cuda"):
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")


def test_kinds_have_no_number():
    """As evidence names them."""
    assert [re.fullmatch(r"\w+", devices.kind(name))[0] for name in ("cpu", "cuda:1", "mps")] == ["cpu", "cuda", "mps"]
