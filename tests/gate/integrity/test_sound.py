"""Integrity: sound adapters pass, of every architecture and variant, and a repeated verdict needs no torch."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorasent.adapter.architectures import ARCHITECTURES
from lorasent.gate.integrity.checks import CHECKS
from lorasent.scoring.evidence import LiveSubject, record
from tests.gate.integrity.adapters import CONFIG, LAYER, MANIFEST, WEIGHTS, drop, faults, findings, rehash, set_recipe, write_filled
from tests.support.bases import CONFIGS, edit_json, edit_tensors

pytestmark = pytest.mark.usefixtures("cache")


def test_a_healthy_retrain_passes(small_adapter, retrained):
    """Another seed gives other weights, and nothing else to say."""
    found = findings(retrained, small_adapter, truncation_side="left")
    assert faults(found) == {}
    assert {one.cause for one in found.values()} == {"sound"}
    assert not any(one.advice for one in found.values())
    assert found["recipe"].message == "the baseline's recipe, but for the seed"
    assert load_file(retrained / WEIGHTS)[f"{LAYER}.lora_B.weight"].abs().max() > 0


def test_the_same_adapter_passes(small_adapter, tmp_path):
    """A copy of the baseline passes, and is told from a retrain."""
    found = findings(shutil.copytree(small_adapter, tmp_path / "copy"), small_adapter)
    assert faults(found) == {}
    assert found["values"].message == "the same weights as the baseline's"


def test_a_record_serves_as_baseline(small_adapter, retrained, tmp_path):
    """What needs the baseline's directory is left out; its manifest is compared all the same."""
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    assert faults(findings(retrained, tmp_path / "record")) == {}
    other = shutil.copytree(retrained, tmp_path / "other")
    set_recipe(other, training__epochs=4)
    edit_json(other / MANIFEST, tokenizer_sha256="0" * 64)
    rehash(other)
    assert faults(findings(other, tmp_path / "record")) == {
        "encoding": ("BLOCK", "tokenizer"),
        "recipe": ("BLOCK", "recipe"),
        "answers": ("BLOCK", "tokenizer"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CONFIGS)
def test_every_architecture_passes(bases, tmp_path, architecture):
    """Prefixes, fused and shared layers, transposed weights and heads of several layers are as the base implies."""
    old, new = (write_filled(tmp_path / str(seed), bases(architecture), seed) for seed in (0, 1))
    assert faults(findings(new, old)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["use_rslora", "use_dora"])
@pytest.mark.parametrize("architecture", ["bert", "albert", "modernbert", "gpt2"])
def test_variants_pass_and_may_be_declared(bases, tmp_path, architecture, variant):
    """A retrain of a variant passes; a change to it is named, and passes where the policy allows it, whole and counted exactly."""
    old, new = (write_filled(tmp_path / str(seed), bases(architecture), seed, **{f"lora__{variant}": True}) for seed in (0, 1))
    assert faults(findings(new, old)) == {}
    plain = write_filled(tmp_path / "plain", bases(architecture))
    assert faults(findings(new, plain)) == {"recipe": ("BLOCK", "recipe")}
    found = findings(new, plain, may_change=[f"lora.{variant}"])
    assert faults(found) == {}
    assert f"lora.{variant} None -> True" in found["recipe"].message
    assert faults(findings(plain, new, may_change=[f"lora.{variant}"])) == {}


@pytest.fixture
def masked_lm(bases, tmp_path):
    """The small BERT as hubs keep it: saved with its language-modelling head, whose layer is called dense as well."""
    path = shutil.copytree(bases("bert"), tmp_path / "masked-lm")
    backbone = {f"bert.{name}": tensor for name, tensor in load_file(path / "model.safetensors").items()}
    head = {"cls.predictions.transform.dense.weight": torch.zeros(32, 32)}
    save_file(backbone | head, path / "model.safetensors", metadata={"format": "pt"})
    return path


@pytest.mark.slow
def test_a_base_with_another_head_has_the_same_layers(masked_lm, tmp_path):
    """Layers of a head that the classifier has not are not asked for, though a short name would mean them."""
    old, new = (write_filled(tmp_path / str(seed), masked_lm, seed) for seed in (0, 1))
    for path in (old, new):
        edit_json(path / CONFIG, target_modules=["dense", "query", "key", "value"])  # as PEFT shortens 20 names or more
        rehash(path)
    assert faults(findings(new, old)) == {}


def test_an_unknown_architecture_is_held_to_what_can_be_known(small_adapter, candidate, monkeypatch):
    """Without a table of its head the adapter's own is taken; LoRA and the head's size are checked all the same."""
    monkeypatch.delitem(ARCHITECTURES, "bert")
    assert faults(findings(candidate, small_adapter)) == {}
    edit_tensors(candidate / WEIGHTS, lambda found: drop(found, f"{LAYER}.lora_B"))
    rehash(candidate)
    assert faults(findings(candidate, small_adapter))["tensors"] == ("BLOCK", "tensor-missing")
    edit_tensors(candidate / WEIGHTS, lambda found: drop(found, "classifier"))
    rehash(candidate)
    assert faults(findings(candidate, small_adapter))["tensors"] == ("BLOCK", "head-missing")


ASKS = """
import pathlib, sys
from lorasent.scoring.evidence import LiveSubject
from lorasent.gate import sections
from lorasent.gate.integrity import checks as integrity
new, old = (LiveSubject(pathlib.Path(path)) for path in sys.argv[1:])
print(*(finding.outcome for finding in integrity.check(new, old, sections.Integrity())))
print(*sorted({"torch", "peft", "transformers"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_a_repeated_verdict_imports_no_torch(small_adapter, retrained):
    """All checks but the last read files alone; what the last one measured is remembered."""
    findings(retrained, small_adapter)
    command = [sys.executable, "-c", ASKS, str(retrained), str(small_adapter)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [" ".join(["PASS"] * len(CHECKS)), ""]
