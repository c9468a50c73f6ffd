"""The adapter on disk is loaded as it was written, and a fault in it is found and named."""

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lorasent.adapter import directory, manifest
from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer
from lorasent.adapter.directory import PROBES, load
from lorasent.adapter.snapshot import SUPPORTED, Snapshot
from lorasent.errors import AdapterError, BaseModelError, RecipeError
from tests.support.adapters import exactly, rehash, write_untrained
from tests.support.bases import edit_json, edit_tensors, make_hub_cache, quick
from tests.support.manifests import adopted

TEXTS = ["it was a good movie", "not worth the time"]


def test_it_answers_as_the_trainers_memory_did(small_adapter):
    """A loaded adapter gives the probe logits of the manifest, whatever the random state."""
    expected = json.loads((small_adapter / "lorasent.json").read_text())["probes"]["logits"]
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = load(small_adapter)
        np.testing.assert_allclose(answer(loaded.model, loaded.encoder, PROBES), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", quick("deberta-v2", "modernbert", "gpt2"))
def test_every_new_tensor_is_saved(bases, tmp_path, architecture):
    """Two loads of the same adapter under different random states give the same logits, pooler included."""
    path = write_untrained(tmp_path / architecture, bases(architecture))
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
    after = answer(loaded.model.merge_and_unload(), loaded.encoder, TEXTS)
    np.testing.assert_allclose(after, before, atol=1e-5)
    query = load_file(small_adapter / "adapter_model.safetensors")
    assert any(value.abs().sum() > 0 for name, value in query.items() if "lora_B" in name)  # with B = 0 this proves nothing


def test_what_is_loaded_is_what_was_written(small_adapter):
    """Model, encoder and labels; the model is ready to answer, dropout off."""
    loaded = load(str(small_adapter))
    assert loaded.labels == ("Negative", "Positive")
    assert loaded.encoder.max_length == 64
    assert not loaded.model.training


PEFT = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "target_modules": ["query"], "modules_to_save": ["classifier"]}


def implied(base, folder, embeddings=None, **changes):
    """The tensors that a configuration implies on a base."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({**PEFT, **changes}))
    return directory.implied(Snapshot(folder), find(str(base)), adopted(PEFT, embeddings=embeddings))


def test_a_configuration_implies_tensors(bases, tmp_path):
    """With and without the embeddings, which have the manifest's number."""
    bare, embedded = implied(bases("bert"), tmp_path / "new", 5000)
    kinds = {name.rpartition(".query.")[2] for name in bare}
    assert kinds == {f"base_model.model.classifier.{part}" for part in ("weight", "bias")} | {"lora_A.weight", "lora_B.weight"}
    assert bare["base_model.model.classifier.bias"] == (2,)
    (words,) = embedded.keys() - bare.keys()
    assert words.endswith("word_embeddings.weight")
    assert embedded[words][0] == 5000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_type": "CAUSAL_LM"}, f"task_type is CAUSAL_LM, not SEQ_CLS; {SUPPORTED}"),
        ({"r": 9999}, "r is 9999, layers of this base are at most "),
        ({"target_modules": ["nothing"]}, "cannot be understood: "),
    ],
    ids=["another task", "too large", "no such layer"],
)
def test_a_configuration_that_implies_none_is_named(bases, tmp_path, change, message):
    """By its path."""
    where = tmp_path / "new" / "adapter_config.json"
    with pytest.raises(AdapterError, match=f"^{re.escape(f'{where}: {message}')}"):
        implied(bases("bert"), tmp_path / "new", **change)


@pytest.fixture
def hub(bases, tmp_path, monkeypatch):
    """A hub cache with a base of two commits; its `main` is the second, whose weights are others."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    snapshot = make_hub_cache(tmp_path / "hf", "films/base", bases("bert"), "a" * 40)
    newer = shutil.copytree(snapshot, snapshot.with_name("b" * 40))
    edit_tensors(newer / "model.safetensors", negate)
    (snapshot.parent.parent / "refs" / "main").write_text("b" * 40)


@pytest.mark.slow
@pytest.mark.parametrize("manifest", [True, False], ids=["with a manifest", "of plain PEFT"])
@pytest.mark.filterwarnings("ignore::lorasent.adapter.directory.UnverifiedAdapterWarning")
def test_a_base_of_the_hub_is_the_commit_that_was_trained_on(hub, tmp_path, manifest):
    """It is recorded and found again after the hub's main branch moved on."""
    path = write_untrained(tmp_path / "adapter", "films/base", "a" * 40)
    config = json.loads((path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("films/base", "a" * 40)
    expected = json.loads((path / "lorasent.json").read_text())["probes"]["logits"]
    if not manifest:
        (path / "lorasent.json").unlink()
    loaded = load(path)
    np.testing.assert_allclose(answer(loaded.model, loaded.encoder, PROBES), expected, atol=1e-5)


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
    "manifest broken": (lambda path: (path / "lorasent.json").write_text("{"), r"lorasent.json: not valid JSON"),
    "manifest a list": (lambda path: (path / "lorasent.json").write_text("[]"), r"expected a JSON object, found list"),
    "another schema": (
        lambda path: edit_json(path / "lorasent.json", schema_version=2),
        r"schema_version = 2: should be 1",
    ),
}


def negate(tensors):
    """Flips the sign of every tensor."""
    for name in tensors:
        tensors[name] = -tensors[name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(copied, damage):
    """The message names the file that differs from the manifest, and how."""
    change, message = DAMAGES[damage]
    change(copied)
    with pytest.raises(AdapterError, match=message):
        load(copied)


def drop_head(tensors):
    """What an exporter that forgot the head would write."""
    for name in [name for name in tensors if "classifier" in name]:
        del tensors[name]


def test_a_faulty_export_is_found_although_its_hashes_agree(copied):
    """A missing head is found although the exporter's hashes include its loss."""
    edit_tensors(copied / "adapter_model.safetensors", drop_head)
    rehash(copied)
    with pytest.raises(AdapterError, match=r"lacks base_model.model.classifier.bias"):
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
    """The probe logits differ."""
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


@pytest.mark.parametrize("moved", [0.5, -0.5], ids=["up", "down"])
def test_the_probe_that_moved_most_is_named(copied, moved):
    """One logit of one probe is enough. The message has the difference and the tolerance; rounding is tolerated."""
    manifest = json.loads((copied / "lorasent.json").read_text("utf-8"))
    logits = manifest["probes"]["logits"]
    logits[0][0] += 5e-5
    edit_json(copied / "lorasent.json", probes=manifest["probes"])
    load(copied)
    logits[2][1] += moved
    edit_json(copied / "lorasent.json", probes=manifest["probes"])
    message = f"{copied}: does not answer as it did when it was trained: logits of probe 2 moved by 0.5, tolerance 0.0001"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


def test_a_malformed_recipe_is_named_with_its_manifest(copied):
    """The message begins with the path of the manifest."""
    edit_json(copied / "lorasent.json", recipe={})
    with pytest.raises(RecipeError, match=re.escape(f"{copied / 'lorasent.json'}: required key base is missing")):
        load(copied)


def test_another_base_is_refused(copied):
    """The base must have the manifest's hash."""
    manifest = json.loads((copied / "lorasent.json").read_text())
    edit_json(copied / "lorasent.json", base={**manifest["base"], "sha256": "0" * 64})
    with pytest.raises(BaseModelError, match=r"required is 000000000000"):
        load(copied)


def test_a_pickle_is_refused(copied):
    """An adapter whose weights are a pickle is never loaded."""
    (copied / "adapter_model.safetensors").rename(copied / "adapter_model.bin")
    message = f"{copied}: holds a pickle (adapter_model.bin), which is never loaded; needs adapter_model.safetensors"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


def test_a_directory_without_an_adapter_is_refused(copied):
    """So is a directory that does not exist."""
    with pytest.raises(AdapterError, match=exactly(f"{copied}-not: no such adapter directory")):
        load(f"{copied}-not")
    (copied / "adapter_config.json").unlink()
    message = f"{copied}: not an adapter: needs adapter_config.json and adapter_model.safetensors"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


def test_an_edited_model_card_is_no_damage(copied):
    """People edit README.md, so it is not hashed."""
    (copied / "README.md").write_text("mine")
    load(copied)


def test_a_tensor_that_neither_base_nor_adapter_holds_is_named(bases, tmp_path):
    """It would be random at every load, also with a manifest."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    path = write_untrained(tmp_path / "adapter", base)
    lost = "encoder.layer.0.attention.self.query.weight"
    edit_tensors(base / "model.safetensors", lambda tensors: tensors.pop(lost))
    with pytest.raises(AdapterError, match=rf"neither it nor the base .* holds bert.{lost}: they would be random at every load"):
        directory.assemble(Snapshot(path), find(str(base)), manifest.read(path))


def keep_only_the_head(tensors):
    """All of LoRA lost."""
    for name in [name for name in tensors if "lora" in name]:
        del tensors[name]


def add_tensors(tensors):
    """More than the base has room for."""
    tensors.update({f"base_model.model.layer_{number}": torch.zeros(1) for number in range(4)})


def widen(tensors):
    """Matrices of another base."""
    for name in [name for name in tensors if "lora_A" in name]:
        tensors[name] = tensors[name].repeat(1, 2)


OUTPUT, KEY = (f"base_model.model.bert.encoder.layer.0.attention.{name}" for name in ("output.dense", "self.key"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            keep_only_the_head,
            (
                f"/adapter_model.safetensors: lacks {OUTPUT}.lora_A.weight, {OUTPUT}.lora_B.weight, {KEY}.lora_A.weight "
                "and 23 more, holds unexpected nothing"
            ),
        ),
        (
            add_tensors,
            (
                "/adapter_model.safetensors: lacks nothing, "
                "holds unexpected base_model.model.layer_0, base_model.model.layer_1, base_model.model.layer_2 and 1 more"
            ),
        ),
        (widen, ": cannot be loaded onto {base}: Error(s) in loading state_dict for PeftModelForSequenceClassification:"),
    ],
    ids=["missing", "too much", "another size"],
)
def test_weights_that_do_not_fit_are_refused(copied, bases, fault, message):
    """Three missing or unexpected tensors are named; a tensor of another size does not load onto the base."""
    edit_tensors(copied / "adapter_model.safetensors", fault)
    rehash(copied)
    with pytest.raises(AdapterError, match=exactly(str(copied) + message.replace("{base}", str(bases("bert").resolve())))):
        load(copied)


def test_other_kinds_of_adapter_and_broken_weights_are_refused(copied):
    """Only LoRA is loaded, and only safetensors that can be read."""
    (copied / "lorasent.json").unlink()
    edit_json(copied / "adapter_config.json", peft_type="IA3")
    message = f"{copied / 'adapter_config.json'}: peft_type is IA3; {SUPPORTED}"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)
    edit_json(copied / "adapter_config.json", peft_type="LORA")
    (copied / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(AdapterError, match=r"not a safetensors file that can be read"):
        load(copied)


def test_numbers_that_are_not_finite_are_not_loaded(copied):
    """The message names the tensor."""
    edit_tensors(copied / "adapter_model.safetensors", lambda found: found["base_model.model.classifier.bias"].fill_(float("nan")))
    rehash(copied)
    with pytest.raises(AdapterError, match=r"classifier\.bias: holds numbers that are not finite; train again"):
        load(copied)


def test_labels_are_those_that_the_recipe_trained(copied):
    """A manifest with other labels would give the answers wrong names."""
    edit_json(copied / "lorasent.json", labels=["Positive", "Negative"])
    with pytest.raises(AdapterError, match=r"lorasent\.json: labels are Positive, Negative, its recipe trained Neg"):
        load(copied)


def test_warnings_of_libraries_are_not_printed(copied, capfd, recwarn):
    """They quote a key that PEFT does not know, or a tokenizer class, which somebody else wrote."""
    edit_json(copied / "adapter_config.json", **{"evil\n::error::": 1})
    edit_json(copied / "tokenizer_config.json", tokenizer_class="Evil\n::error::")
    rehash(copied)
    with contextlib.suppress(AdapterError):
        load(copied)
    assert "vil" not in "".join([*capfd.readouterr(), *(str(one.message) for one in recwarn)])


HOSTILE = {
    "a rank wider than the base": ({"r": 65}, r"adapter_config\.json: r is 65, layers of this base are at most 64 wide$"),
    "such a rank by a pattern": ({"rank_pattern": {"query": 65}}, r"r is 65, layers of this base are at most 64 wide$"),
    "layers repeated": ({"layer_replication": [[0, 2], [0, 2]]}, r"layer_replication asks for another base"),
    "a pattern of a repeated group": (
        {"target_modules": "(query|key)*"},
        r"the pattern \(query\|key\)\* may take exponential time; name modules",
    ),
    "a pattern of six repetitions": ({"target_modules": ".*.*.*.*.*.*x"}, r"the pattern \.\*.*x may take exponential time"),
    "an alpha by such a pattern": ({"alpha_pattern": {"(a+)+": 4}}, r"the pattern \(a\+\)\+ may take exponential time"),
    "modules to save a number": ({"modules_to_save": 5}, r"cannot be loaded onto .*: 'int' object"),
    "a rank that is a text": ({"r": "2"}, r"cannot be loaded onto .*: '>' not supported"),
    "an alpha of 400 digits": ({"lora_alpha": 10**400}, r"cannot be loaded onto .*: integer division result too large"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_configuration_of_unbounded_cost_is_refused(copied, fault):
    """Before PEFT builds what it says. What PEFT raises over it is one line."""
    changes, message = HOSTILE[fault]
    edit_json(copied / "adapter_config.json", **changes)
    rehash(copied)
    with pytest.raises(AdapterError, match=message) as refused:
        load(copied)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(query|value)",
        r"^(?!.*vision).*(q_proj|v_proj)$",
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|k_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:mlp)\.(?:(?:up)))",
    ],
)
def test_the_patterns_that_people_write_are_allowed(pattern):
    """Patterns of module names from PEFT's users and their tools."""
    assert len(directory.REPETITION.findall(pattern)) <= directory.MOST_REPETITIONS
    assert not directory.ENDLESS.search(pattern)
