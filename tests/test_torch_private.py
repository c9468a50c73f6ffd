"""Private names of torch: what this torch lacks is not used, one warning names it, and the answers are those of the padded way."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import lorasent
from lorasent import machine, torch_private
from lorasent.adapter.classifier import answer
from lorasent.scoring.scorer import load, uses_bf16
from lorasent.unpadded import products, training

PACKED = ["ops.mkldnn._reorder_linear_weight", "ops.mkldnn._linear_pointwise"]
CPU = ["cpu._is_amx_tile_supported", "cpu._is_avx512_bf16_supported"]
NAMES = [*PACKED, "ops.mkldnn._is_mkldnn_bf16_supported", "_softmax_backward_data", *CPU]

TEXTS = ["a film", "a good film, worth the time", ""]

LACKING = """
import sys
import torch
space = type(torch.ops.mkldnn)
known = space.__getattr__
def lacking(self, name):
    if name in LOST:
        raise AttributeError(name)
    return known(self, name)
LOST = {path.rpartition(".")[2] for path in sys.argv[1:]}
space.__getattr__ = lacking
for owner in (torch, torch.cpu, torch._C, torch.backends.mkldnn):
    for name in LOST & set(dir(owner)):
        delattr(owner, name)
from pathlib import Path
from lorasent import machine
machine._PROCESSOR = Path("/no such file")
import lorasent.scoring.scorer
import lorasent.training.loop
"""


@pytest.fixture(autouse=True)
def _looked_up_anew():
    """Each test looks names up for itself, and leaves nothing of what it found."""
    cached = [torch_private.packed_linear, torch_private.multiplies_bf16, torch_private.softmax_backward, machine._processor]
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def lack(monkeypatch):
    """A function that takes a private name from torch."""

    def lack(path):
        owner_path, _, name = path.rpartition(".")
        owner = torch
        for part in owner_path.split(".") if owner_path else ():
            owner = getattr(owner, part)
        if owner is torch.ops.mkldnn:  # it looks names up when they are asked for
            known = type(owner).__getattr__

            def lacking(self, asked):
                if asked == name:
                    raise AttributeError(asked)
                return known(self, asked)

            monkeypatch.delitem(vars(owner), name, raising=False)
            monkeypatch.setattr(type(owner), "__getattr__", lacking)
        else:
            monkeypatch.delattr(owner, name)

    return lack


@pytest.fixture
def warned():
    """The warnings of the test."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        yield messages


def messages(warned):
    """What was warned about, without what follows from it."""
    return [str(warning.message).partition(":")[0] for warning in warned]


def test_no_other_module_uses_a_private_name_of_torch():
    """An attribute of torch that begins with one underscore, or an operator under torch.ops."""
    package = Path(lorasent.__file__).parent
    private = re.compile(r"\btorch\.(?:\w+\.)*(?:_[a-zA-Z]\w*|ops\b)")
    users = {path.name for path in package.rglob("*.py") if private.search(path.read_text("utf-8"))}
    assert users <= {"torch_private.py"}


@pytest.mark.slow
def test_no_private_name_is_looked_up_at_import():
    """In a process whose torch lacks all of them, the modules that score and train are imported without a warning."""
    command = [sys.executable, "-W", "error:torch", "-c", LACKING, *NAMES]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.onednn("float32")
@pytest.mark.parametrize("lost", PACKED)
def test_without_packed_products_answers_are_the_models(lack, warned, small_adapter, lost):
    """To the last bit, and one warning names the missing function."""
    assert load(small_adapter)._engine is not None
    torch_private.packed_linear.cache_clear()
    lack(lost)
    for _ in range(2):
        scorer = load(small_adapter)
        assert scorer._engine is None
        np.testing.assert_array_equal(scorer.logits(TEXTS[:1]), answer(scorer.model, scorer.encoder, TEXTS[:1]))
        assert training.build(scorer.model, bf16=False) is None
    (message,) = {str(warning.message) for warning in warned}
    assert len(warned) == 1
    assert message.startswith(f"torch {torch.__version__} has no torch.{lost}")
    assert message.endswith(": answers are computed with padding, more slowly")


@pytest.mark.onednn("bfloat16")
def test_without_the_probe_for_bf16_its_products_are_not_packed(lack, warned, small_adapter):
    """Answers in float32 stay as they are, bf16 is computed with padding, and precision auto is fp32."""
    lack("ops.mkldnn._is_mkldnn_bf16_supported")
    assert load(small_adapter)._engine is not None
    assert warned == []
    assert load(small_adapter, "bf16")._engine is None
    assert not uses_bf16("auto", torch.device("cpu"))
    assert messages(warned) == [f"torch {torch.__version__} has no torch.ops.mkldnn._is_mkldnn_bf16_supported"]


@pytest.mark.onednn("float32")
def test_without_the_gradient_of_softmax_the_model_itself_is_trained(lack, warned, small_adapter):
    """Scoring is not affected; no tuner is built, and one warning names the missing function."""
    model = load(small_adapter).model
    assert training.build(model, bf16=False) is not None
    torch_private.softmax_backward.cache_clear()
    lack("_softmax_backward_data")
    assert [training.build(model, bf16=False) for _ in range(2)] == [None, None]
    assert load(small_adapter)._engine is not None
    assert messages(warned) == [f"torch {torch.__version__} has no torch._softmax_backward_data"]


@pytest.mark.parametrize("lost", CPU)
def test_an_instruction_that_torch_cannot_be_asked_about_is_absent(lack, warned, monkeypatch, tmp_path, lost):
    """Without /proc/cpuinfo: the other instruction is still asked about, and one warning names this one."""
    monkeypatch.setattr(machine, "_PROCESSOR", tmp_path / "missing")
    for name in CPU:
        monkeypatch.setattr(torch.cpu, name.removeprefix("cpu."), lambda: True)
    lack(lost)
    kept = {"cpu._is_amx_tile_supported": ("avx512_bf16",), "cpu._is_avx512_bf16_supported": ("amx_bf16",)}[lost]
    for _ in range(2):
        assert machine._processor() == kept
        assert products.tile() in (8, 16)
    assert messages(warned) == [f"torch {torch.__version__} has no torch.{lost}"]
