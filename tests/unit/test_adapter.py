"""The adapter on disk: whole or not there, and found out when it is not what was written."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lorasent import adapter
from lorasent.adapter import PROBES, UnverifiedAdapterWarning, load
from lorasent.base import file_sha256
from lorasent.classifier import answer
from lorasent.errors import AdapterError, BaseModelError
from lorasent.recipe import Recipe
from lorasent.training import train
from tests.support.bases import edit_json, edit_tensors

TEXTS = ["it was a good movie", "not worth the time"]


@pytest.fixture
def copied(small_adapter, tmp_path):
    """A copy of the small adapter, to be changed."""
    return shutil.copytree(small_adapter, tmp_path / "copy")


def rehash(path):
    """Makes the manifest agree with the files, as a faulty exporter's would."""
    manifest = json.loads((path / "lorasent.json").read_text())
    edit_json(path / "lorasent.json", files={name: file_sha256(path / name) for name in manifest["files"]})


def test_it_answers_as_the_trainers_memory_did(small_adapter):
    """The probe logits come out again, whatever the random state it is loaded under."""
    expected = json.loads((small_adapter / "lorasent.json").read_text())["probes"]["logits"]
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = load(small_adapter)
        np.testing.assert_allclose(answer(loaded.model, loaded.encoder, PROBES), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["distilbert", "deberta-v2", "gpt2", "roberta"])
def test_every_new_tensor_is_saved(bases, small_recipe, tmp_path, architecture):
    """Two loads of the same adapter under different random states give the same logits, pooler included."""
    overrides = [f"base.model={bases(architecture)}", "training.epochs=1", "data.sample=8"]
    path = train(Recipe.read(small_recipe, overrides), tmp_path / architecture).path
    logits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = load(path)
        logits.append(answer(loaded.model, loaded.encoder, TEXTS))
    np.testing.assert_array_equal(*logits)


def test_merged_is_unmerged(small_adapter):
    """Adding LoRA into the base's weights changes no logit beyond rounding."""
    loaded = load(small_adapter)
    before = answer(loaded.model, loaded.encoder, TEXTS)
    after = answer(loaded.merge(), loaded.encoder, TEXTS)
    np.testing.assert_allclose(after, before, atol=1e-5)
    query = load_file(small_adapter / "adapter_model.safetensors")
    assert any(value.abs().sum() > 0 for name, value in query.items() if "lora_B" in name)  # with B = 0 this proves nothing


def test_the_manifest_says_what_it_was_made_from(small_adapter):
    """Recipe, base, data, parameters, epochs and versions are there, and JSON is canonical."""
    text = (small_adapter / "lorasent.json").read_text()
    manifest = json.loads(text)
    assert text == json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    per_layer = 2 * (
        4 * (32 + 32) + 2 * (32 + 64)
    )  # A and B (r = 2) on query, key, value, attention output, and both feed-forwards
    assert manifest["parameters"]["trainable"] == 2 * per_layer + 2 * (32 + 32) + 2 * 32 + 2  # two layers, the pooler, the head
    assert [row["epoch"] for row in manifest["epochs"]] == [1, 2, 3]
    assert manifest["data"]["train"]["reviews"] == 24
    assert manifest["libraries"]["torch"] == torch.__version__


DAMAGES = {
    "weights changed": (
        lambda path: edit_tensors(path / "adapter_model.safetensors", negate),
        r"adapter_model.safetensors: not the",
    ),
    "config changed": (lambda path: edit_json(path / "adapter_config.json", lora_alpha=8), r"adapter_config.json: not the file"),
    "file missing": (lambda path: (path / "tokenizer.json").unlink(), r"tokenizer.json: missing"),
    "file added": (lambda path: (path / "added.json").write_text("{}"), r"added.json: not among the files"),
    "weights missing": (
        lambda path: (path / "adapter_model.safetensors").unlink(),
        r"not an adapter: needs adapter_config.json and",
    ),
    "manifest broken": (lambda path: (path / "lorasent.json").write_text("{"), r"lorasent.json: not JSON"),
    "manifest a list": (lambda path: (path / "lorasent.json").write_text("[]"), r"expected a JSON object, found list"),
    "another schema": (
        lambda path: edit_json(path / "lorasent.json", schema_version=2),
        r"schema_version: Input should be 1, found 2",
    ),
}


def negate(tensors):
    """Flips the sign of every tensor."""
    for name in tensors:
        tensors[name] = -tensors[name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(copied, damage):
    """A file that is not what the manifest lists is named with what is wrong."""
    change, message = DAMAGES[damage]
    change(copied)
    with pytest.raises(AdapterError, match=message):
        load(copied)


def drop_head(tensors):
    """What an exporter that forgot the head would write."""
    for name in [name for name in tensors if "classifier" in name]:
        del tensors[name]


def test_a_faulty_export_is_found_although_its_hashes_agree(copied):
    """Weights, scaling and tokenizer are proved by their answers, not by hashes that the exporter made too."""
    edit_tensors(copied / "adapter_model.safetensors", drop_head)
    rehash(copied)
    with pytest.raises(AdapterError, match=r"lacks \['base_model.model.classifier.bias'"):
        load(copied)


@pytest.mark.parametrize(
    "fault",
    [
        lambda path: edit_tensors(path / "adapter_model.safetensors", negate),
        lambda path: edit_json(path / "adapter_config.json", lora_alpha=64),
    ],
    ids=["weights negated", "alpha changed"],
)
def test_a_wrong_answer_is_found_although_the_hashes_agree(copied, fault):
    """The probe logits do not come out again."""
    fault(copied)
    rehash(copied)
    with pytest.raises(AdapterError, match=r"does not answer as it did when it was trained: logits of probe"):
        load(copied)


def test_a_tokenizer_that_behaves_otherwise_is_found(copied):
    """A tokenizer that no longer lower-cases has another fingerprint."""
    edit_json(copied / "tokenizer_config.json", do_lower_case=False)
    rehash(copied)
    with pytest.raises(AdapterError, match=r"the tokenizer does not encode as it did"):
        load(copied)


def test_another_base_is_refused(copied):
    """The base is held to its hash."""
    manifest = json.loads((copied / "lorasent.json").read_text())
    edit_json(copied / "lorasent.json", base={**manifest["base"], "sha256": "0" * 64})
    with pytest.raises(BaseModelError, match=r"required is 000000000000"):
        load(copied)


def test_a_pickle_is_refused(copied):
    """An adapter whose weights are a pickle is never loaded."""
    (copied / "adapter_model.safetensors").rename(copied / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"holds a pickle \(adapter_model.bin\), which is never loaded"):
        load(copied)


def test_an_edited_model_card_is_no_damage(copied):
    """People edit README.md; it is not hashed."""
    (copied / "README.md").write_text("mine")
    load(copied)


def test_without_a_manifest_it_warns_and_answers_the_same(copied, small_adapter):
    """An adapter of plain PEFT's is loaded; the warning says what cannot be verified."""
    (copied / "lorasent.json").unlink()
    edit_json(copied / "adapter_config.json", base_model_name_or_path=load(small_adapter).manifest["base"]["name"])
    with pytest.warns(UnverifiedAdapterWarning, match=r"tokenizer, truncation side, labels and answers cannot be verified"):
        plain = load(copied)
    assert plain.labels == ("LABEL_0", "LABEL_1")
    known = load(small_adapter)
    np.testing.assert_allclose(answer(plain.model, plain.encoder, TEXTS), answer(known.model, known.encoder, TEXTS), atol=1e-6)


def test_a_head_of_two_layers_is_recognised_without_a_manifest(bases, small_recipe, tmp_path):
    """DistilBERT's pre_classifier is no classifier: the labels are counted on the last layer."""
    recipe = Recipe.read(small_recipe, [f"base.model={bases('distilbert')}", "training.epochs=1", "data.sample=8"])
    path = train(recipe, tmp_path / "adapter").path
    (path / "lorasent.json").unlink()
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        assert load(path).labels == ("LABEL_0", "LABEL_1")


MALFORMED = {
    "files": ([], r"files: Input should be a valid dictionary"),
    "base": ({"name": "x"}, r"base.sha256: Field required"),
    "probes": ({"texts": ["a", "b"], "logits": [[0.1, 0.2]]}, r"probes: every text needs a logit for each label"),
    "labels": (["only"], r"labels: List should have at least 2 items"),
}


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_manifest_is_named(copied, key):
    """A key of the wrong form proves nothing and is refused."""
    value, message = MALFORMED[key]
    edit_json(copied / "lorasent.json", **{key: value})
    with pytest.raises(AdapterError, match=message):
        load(copied)


def test_other_kinds_of_adapter_and_broken_weights_are_refused(copied):
    """PEFT knows more than LoRA; what a directory's configuration asks for is not built. Bytes that are no tensors are said."""
    (copied / "lorasent.json").unlink()
    edit_json(copied / "adapter_config.json", peft_type="IA3")
    with pytest.raises(AdapterError, match=r"only LoRA adapters are loaded, found peft_type IA3"):
        load(copied)
    edit_json(copied / "adapter_config.json", peft_type="LORA")
    (copied / "adapter_model.safetensors").write_bytes(b"broken")
    with (
        pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"),
        pytest.raises(AdapterError, match=r"not a safetensors file that can be read"),
    ):
        load(copied)


def test_writing_leaves_all_or_nothing(small_adapter, tmp_path, monkeypatch):
    """A failure half-way leaves no directory of that name and nothing beside it; an existing one is not touched."""
    loaded = load(small_adapter)
    recipe = Recipe.parse(loaded.manifest["recipe"], "manifest")
    base = adapter.find(loaded.manifest["base"]["name"])
    monkeypatch.setattr(adapter, "_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match=r"division"):
        adapter.write(tmp_path / "new", loaded.model, loaded.encoder, base, recipe, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AdapterError, match=r"exists already"):
        adapter.write(tmp_path, loaded.model, loaded.encoder, base, recipe, {})
