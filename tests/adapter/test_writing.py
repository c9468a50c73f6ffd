"""The adapter is written whole or not at all, with a manifest and a model card that say what it is."""

import json
import os
from importlib import metadata

import pytest
import torch

from lorasent.adapter import card, manifest, writing
from lorasent.adapter.base import find
from lorasent.adapter.directory import PROBES, load
from lorasent.adapter.encoding import Encoder
from lorasent.errors import AdapterError
from lorasent.files import sha256
from tests.support.adapters import recipe_of, write_untrained
from tests.support.bases import LABELS


def test_the_manifest_says_what_it_was_made_from(small_adapter):
    """It holds recipe, base, data, parameters, epochs and versions as canonical JSON."""
    text = (small_adapter / "lorasent.json").read_text()
    manifest = json.loads(text)
    assert text == json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    per_layer = 2 * (
        4 * (32 + 32) + 2 * (32 + 64)
    )  # A and B (r = 2) on query, key, value, attention output, and both feed-forwards
    assert manifest["parameters"]["trainable"] == 2 * per_layer + 2 * (32 + 32) + 2 * 32 + 2  # two layers, the pooler, the head
    assert [row["epoch"] for row in manifest["epochs"]] == [1, 2, 3]
    assert manifest["data"]["train"]["reviews"] == 24
    assert torch.__version__.startswith(
        manifest["libraries"]["torch"]
    )  # a build for CUDA has a suffix that its package does not name


def test_the_manifest_holds_what_proves_its_adapter(bases, tmp_path):
    """Recipe, base, labels, tokenizer, parameters, probes, libraries and files, under their names."""
    path = write_untrained(tmp_path / "adapter", bases("bert"), training={"seconds": 1.5})
    recipe, base = recipe_of(bases("bert")), find(str(bases("bert")))
    text = (path / "lorasent.json").read_text("utf-8")
    manifest = json.loads(text)
    assert text == json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    parameters = [(name, value.numel()) for name, value in load(path).model.named_parameters()]
    probes = manifest.pop("probes")
    assert manifest == {
        "schema_version": 1,
        "recipe": recipe.to_json(),
        "recipe_sha256": recipe.fingerprint,
        "base": {"name": base.name, "sha256": base.sha256, "revision": None, "config": base.config},
        "labels": ["Negative", "Positive"],
        "tokenizer_sha256": Encoder(base.path, recipe.encoding).fingerprint,
        "tokenizer_parts": Encoder(base.path, recipe.encoding).parts,
        "parameters": {
            "total": sum(size for _, size in parameters),
            "trainable": sum(size for name, size in parameters if "lora_" in name or "modules_to_save" in name),
            "in_use": sum(size for name, size in parameters if ".original_module." not in name),
        },
        "libraries": {
            name: metadata.version(name)
            for name in ("lorasent", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")
        },
        "files": {
            name: sha256(path / name)
            for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json")
        },
        "seconds": 1.5,
    }
    assert probes["texts"] == list(PROBES)
    assert probes["logits"] == [[round(logit, 6) for logit in row] for row in probes["logits"]]


def test_pefts_own_configuration_is_canonical(bases, tmp_path):
    """It names the base, lists modules in order, and is JSON with sorted keys; the weights are as readable as it is."""
    path = write_untrained(tmp_path / "adapter", bases("bert"))
    text = (path / "adapter_config.json").read_text("utf-8")
    config = json.loads(text)
    assert text == json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert (config["base_model_name_or_path"], config["revision"]) == (str(bases("bert").resolve()), None)
    assert len(config["target_modules"]) == 13  # twice six layers, and the pooler
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["modules_to_save"] == sorted(config["modules_to_save"])
    assert set(config["modules_to_save"]) == {"classifier", "score"}  # PEFT adds its own two to what is new
    modes = {(path / name).stat().st_mode for name in ("adapter_config.json", "adapter_model.safetensors")}
    assert len(modes) == 1


def test_missing_parent_folders_are_made(bases, tmp_path):
    """An adapter can be written where its parents do not exist."""
    assert load(write_untrained(tmp_path / "new" / "newer" / "adapter", bases("bert"))).labels == LABELS


def test_nan_is_not_written(bases, tmp_path):
    """It is refused, and no file is left."""
    with pytest.raises(ValueError, match=r"Out of range float values are not JSON compliant"):
        write_untrained(tmp_path / "adapter", bases("bert"), training={"seconds": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_writing_leaves_all_or_nothing(small_adapter, tmp_path, monkeypatch):
    """A failure half-way leaves no directory of that name and no temporary one; an existing one is not touched."""
    loaded = load(small_adapter)
    written = manifest.read(small_adapter)
    recipe, base = written.recipe, find(written.base.name)
    monkeypatch.setattr(card, "card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match=r"division"):
        writing.write(tmp_path / "new", loaded.model, loaded.encoder, base, recipe, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AdapterError, match=r"exists already"):
        writing.write(tmp_path, loaded.model, loaded.encoder, base, recipe, {})


def test_an_adapter_can_have_a_name_that_is_not_utf_8(bases, tmp_path):
    """A .gitattributes is written beside it and is no file of the adapter."""
    path = write_untrained(tmp_path / os.fsdecode(b"caf\xe9"), bases("bert"))
    assert (path / ".gitattributes").read_text("utf-8") == "* -text\n"
    load(path)
    assert manifest.read(path).files.keys() == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
