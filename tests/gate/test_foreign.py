"""Adapters that a plain PEFT script trained: sealed, adopted, or judged as they are."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import lorasent
from lorasent.gate.finding import NOT_CHECKED, Outcome
from lorasent.gate.verdict import judge
from tests.gate.integrity.adapters import write_filled
from tests.gate.test_round_trips import through_the_hub
from tests.support.architectures import make
from tests.support.bases import LABELS, edit_json
from tests.support.plain import train
from tests.support.policies import causes

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "lorasent.json"


@pytest.fixture(scope="module")
def scripts(bases, tmp_path_factory):
    """Two runs of a script that differ in the seed, each as it saved its adapter (`0`, `1`) and sealed (`sealed-0`, ...)."""
    folder = tmp_path_factory.mktemp("scripts")
    base = make(bases, folder / "base", "bert")
    for seed in (0, 1):
        sealed = folder / f"sealed-{seed}"
        train(base, folder / str(seed), cut=32, seed=seed, at_end=lambda model, words, to=sealed: lorasent.seal(model, words, to))
    return folder


@pytest.mark.parametrize("kind", ["", "sealed-"])
def test_two_runs_of_a_script_pass(scripts, of_files, kind):
    """Without a manifest, and sealed."""
    verdict = judge(scripts / f"{kind}1", [scripts / f"{kind}0"], of_files())
    assert not causes(verdict), verdict.findings


@pytest.mark.slow
def test_what_adoption_cannot_show_is_said_in_one_line(scripts, of_files):
    """Of adapters without a manifest; of sealed ones there is nothing to say."""
    adopted, sealed = (judge(scripts / f"{kind}1", [scripts / f"{kind}0"], of_files()) for kind in ("", "sealed-"))
    [finding] = [each for each in adopted.findings if each.check == "integrity::files::manifest"]
    assert finding.cause == NOT_CHECKED
    assert "not verified: what the trainer's memory answered, and on which reviews it was trained" in finding.message
    assert not [each for each in sealed.findings if each.check == "integrity::files::manifest"]


def test_a_lost_manifest_blocks(scripts, of_files, tmp_path):
    """Where the baseline has one."""
    lost = shutil.copytree(scripts / "sealed-1", tmp_path / "lost")
    (lost / MANIFEST).unlink()
    assert causes(judge(lost, [scripts / "sealed-0"], of_files())) == {("integrity::files", "manifest-missing")}


@pytest.mark.slow
def test_a_policy_may_require_that_adapters_were_sealed(scripts, of_files):
    """With manifest = "required" in [integrity]: then an adopted one blocks."""
    required = of_files('manifest = "required"')
    assert not causes(judge(scripts / "sealed-1", [scripts / "sealed-0"], required))
    assert ("integrity::files::manifest", "not-sealed") in causes(judge(scripts / "1", [scripts / "0"], required))


@pytest.mark.slow
def test_an_adopted_copy_passes_and_says_its_origin(scripts, of_files, tmp_path):
    """It is written whole, with a manifest."""
    for name in "01":
        lorasent.adopt(scripts / name, tmp_path / name)
    manifest = json.loads((tmp_path / "1" / MANIFEST).read_text())
    assert (manifest["origin"], "recipe" in manifest) == ("adopted", False)
    assert not causes(judge(tmp_path / "1", [tmp_path / "0"], of_files()))


def swap_head(path):
    """Exchanges the rows of the head."""
    tensors = load_file(path / WEIGHTS)
    save_file(
        {name: tensor if "classifier" not in name else tensor.flip(0).contiguous() for name, tensor in tensors.items()},
        path / WEIGHTS,
    )


def forget_head(path):
    """Leaves the head out."""
    tensors = load_file(path / WEIGHTS)
    save_file({name: tensor for name, tensor in tensors.items() if "classifier" not in name}, path / WEIGHTS)


def double_alpha(path):
    """Doubles alpha in PEFT's configuration."""
    edit_json(path / CONFIG, lora_alpha=2 * json.loads((path / CONFIG).read_text())["lora_alpha"])


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "cause"), [(swap_head, "head-swapped"), (forget_head, "head-missing"), (double_alpha, "alpha")])
def test_what_goes_wrong_between_memory_and_disk_is_found_in_a_sealed_adapter(scripts, of_files, tmp_path, fault, cause):
    """An exporter's fault: the manifest lists the faulty files, its probes are the memory's."""
    from tests.support.adapters import rehash

    path = shutil.copytree(scripts / "sealed-1", tmp_path / "faulty")
    fault(path)
    rehash(path)
    assert cause in {found for _, found in causes(judge(path, [scripts / "sealed-0"], of_files()))}


@pytest.mark.slow
def test_a_head_that_was_not_saved_blocks_without_a_manifest(scripts, of_files, tmp_path):
    """It would be random at every load."""
    path = shutil.copytree(scripts / "1", tmp_path / "headless")
    forget_head(path)
    verdict = judge(path, [scripts / "0"], of_files())
    assert verdict.outcome is Outcome.BLOCK
    assert causes(verdict) == {("integrity::files", "head-missing")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_the_type_of_the_weights_is_a_declared_property(scripts, of_files, tmp_path, kind):
    """Two adapters of 16 bits pass; a change of the type is named, and allowed where it is declared."""
    halves = [shutil.copytree(scripts / name, tmp_path / name) for name in "01"]
    for path in halves:
        save_file({name: tensor.to(kind) for name, tensor in load_file(path / WEIGHTS).items()}, path / WEIGHTS)
    assert not causes(judge(halves[1], [halves[0]], of_files()))
    assert ("integrity::tensors", "dtype") in causes(judge(halves[1], [scripts / "0"], of_files()))
    assert not causes(judge(halves[1], [scripts / "0"], of_files('may_change = ["lora.dtype"]')))


@pytest.mark.slow
def test_weights_that_were_rounded_to_16_bits_are_a_fault_in_a_file_of_32(scripts, of_files, tmp_path):
    """The file says what it is not."""
    path = shutil.copytree(scripts / "1", tmp_path / "rounded")
    save_file({name: tensor.bfloat16().float() for name, tensor in load_file(path / WEIGHTS).items()}, path / WEIGHTS)
    assert ("integrity::values", "quantized") in causes(judge(path, [scripts / "0"], of_files()))


@pytest.mark.slow
def test_an_adapter_is_named_on_the_hub_at_a_revision(scripts, of_files, tmp_path, monkeypatch):
    """Out of the cache, or fetched before judging; the verdict names the commit."""
    commit = through_the_hub(shutil.copytree(scripts / "0", tmp_path / "hub" / "copy")).name
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    verdict = judge(scripts / "1", [f"me/adapter@{commit}"], of_files())
    assert not causes(verdict), verdict.findings
    assert any(commit in finding.message for finding in verdict.findings)
    missing = judge(scripts / "1", ["films/nothing@main"], of_files())
    assert missing.outcome is Outcome.INVALID
    assert "films/nothing at revision main: no such directory, not in the cache" in missing.findings[0].message


@pytest.mark.parametrize(("key", "value"), [("total", 12_345), ("trainable", 67)])
def test_counts_that_are_not_the_models_are_a_fault(scripts, of_files, tmp_path, key, value):
    """Nothing that a sealed manifest says of its parameters is believed."""
    path = shutil.copytree(scripts / "sealed-1", tmp_path / "forged")
    parameters = json.loads((path / MANIFEST).read_text())["parameters"]
    edit_json(path / MANIFEST, parameters={**parameters, key: value})
    assert "parameters" in {cause for _, cause in causes(judge(path, [scripts / "sealed-0"], of_files()))}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"bias": "lora_only"}, {"rank_pattern": {"query": 4}}, {"layers_to_transform": [0]}])
def test_an_option_that_no_recipe_has_is_named_beside_a_trained_baseline(bases, of_files, tmp_path, changes):
    """What a recipe does not ask for is off there."""
    base = make(bases, tmp_path / "base", "bert")
    trained = write_filled(tmp_path / "trained", base, encoding__max_length=32, encoding__truncation_side="right")
    sealed = tmp_path / "sealed"
    settings = {"cut": 32, "target_modules": ["query", "value"], **changes}
    train(base, tmp_path / "saved", at_end=lambda model, words: lorasent.seal(model, words, sealed, labels=LABELS), **settings)
    verdict = judge(sealed, [trained], of_files('may_change = ["lora.r", "lora.alpha", "lora.dropout"]'))
    [finding] = [finding for finding in verdict.findings if finding.check == "integrity::recipe"]
    assert finding.outcome is Outcome.BLOCK
    assert f"lora.{next(iter(changes))}" in finding.message
