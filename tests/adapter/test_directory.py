"""The adapter on disk: whole or not there, and found out when it is not what was written."""

import contextlib
import json
import os
import re
import shutil
from importlib import metadata

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lorasent.adapter import directory
from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, build
from lorasent.adapter.directory import PROBES, UnverifiedAdapterWarning, load
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import identity
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError, BaseModelError, LorasentError, RecipeError
from lorasent.files import sha256
from lorasent.recipe.recipe import Encoding, Recipe
from tests.support.bases import LABELS, edit_json, edit_tensors, make_hub_cache, quick

TEXTS = ["it was a good movie", "not worth the time"]


@pytest.fixture
def copied(small_adapter, tmp_path):
    """A copy of the small adapter, to be changed."""
    return shutil.copytree(small_adapter, tmp_path / "copy")


def rehash(path):
    """Makes the manifest agree with the files, as a faulty exporter's would."""
    manifest = json.loads((path / "lorasent.json").read_text())
    edit_json(path / "lorasent.json", files={name: sha256(path / name) for name in manifest["files"]})


def recipe_of(model, revision=None, labels=LABELS):
    """The recipe of an adapter of every linear layer."""
    tables = {
        "base": {"model": str(model), "labels": labels} | ({"revision": revision} if revision else {}),
        "data": {"train": "embedded:train", "validation": "embedded:validation"},
        "encoding": {"max_length": 64},
        "lora": {"r": 2, "alpha": 4, "target_modules": ["all-linear"]},
        "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3},
    }
    return Recipe.parse(tables, "test")


def write_untrained(path, model, revision=None, labels=LABELS, training=None):
    """Writes an adapter with a random head and B = 0, for claims about files: training would only take time."""
    recipe, base = recipe_of(model, revision, labels), find(str(model), revision)
    encoder = Encoder(base.path, recipe.encoding)
    directory.write(path, build(base, recipe.base, recipe.lora, encoder), encoder, base, recipe, training or {})
    return path


def exactly(message):
    """A pattern for the whole of a message."""
    return f"^{re.escape(message)}$"


def test_it_answers_as_the_trainers_memory_did(small_adapter):
    """The probe logits come out again, whatever the random state it is loaded under."""
    expected = json.loads((small_adapter / "lorasent.json").read_text())["probes"]["logits"]
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = load(small_adapter)
        np.testing.assert_allclose(answer(loaded.model, loaded.encoder, PROBES), expected, atol=1e-5)


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


def test_the_manifest_holds_what_its_adapter_is_proved_by(bases, tmp_path):
    """Recipe, base, labels, tokenizer, parameters, probes, libraries and files stand under their names, as they are."""
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


def test_what_is_loaded_is_what_was_written(small_adapter):
    """Model, encoder, labels and manifest; the model is ready to answer, dropout off."""
    loaded = load(str(small_adapter))
    assert loaded.manifest.content == json.loads((small_adapter / "lorasent.json").read_text("utf-8"))
    assert loaded.labels == ("Negative", "Positive")
    assert loaded.encoder.max_length == 64
    assert not loaded.model.training


CARD = """---
base_model: {base}
library_name: peft
pipeline_tag: text-classification
---
# Sentiment adapter on {base}

LoRA r=2, alpha=4, trained on embedded:train with lorasent {version}.
Labels: Negative, Positive. At most 64 tokens, cut on the left.
{scores}

```python
import lorasent

lorasent.load("PATH OF THIS DIRECTORY").predict(["it was a good movie"])
```
"""


@pytest.mark.parametrize(
    ("training", "scores"),
    [({}, ""), ({"best": {"accuracy": 0.81239, "epoch": 3}}, "Validation accuracy 0.8124 (epoch 3).")],
    ids=["without a score", "with a score"],
)
def test_the_model_card_says_what_it_is(bases, tmp_path, training, scores):
    """Base, LoRA, data, labels, tokens, and the validation accuracy where it is known."""
    path = write_untrained(tmp_path / "adapter", bases("bert"), training=training)
    base = json.loads((path / "lorasent.json").read_text("utf-8"))["base"]["name"]
    expected = CARD.format(base=base, version=metadata.version("lorasent"), scores=scores)
    assert (path / "README.md").read_text("utf-8") == expected


def test_folders_on_the_way_are_made(bases, tmp_path):
    """An adapter may be written where its parents are not there yet."""
    assert load(write_untrained(tmp_path / "new" / "newer" / "adapter", bases("bert"))).labels == LABELS


@pytest.fixture
def hub(bases, tmp_path, monkeypatch):
    """A hub cache with a base of two commits; its `main` is the second, whose weights are others."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    snapshot = make_hub_cache(tmp_path / "hf", "films/base", bases("bert"), "a" * 40)
    newer = shutil.copytree(snapshot, snapshot.with_name("b" * 40))
    edit_tensors(newer / "model.safetensors", negate)
    (snapshot.parent.parent / "refs" / "main").write_text("b" * 40)


@pytest.mark.parametrize("manifest", [True, False], ids=["with a manifest", "of plain PEFT"])
@pytest.mark.filterwarnings("ignore::lorasent.adapter.directory.UnverifiedAdapterWarning")
def test_a_base_of_the_hub_is_the_commit_that_was_trained_on(hub, tmp_path, manifest):
    """The commit is written down and found again, though the hub has gone on to another."""
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


@pytest.mark.parametrize("moved", [0.5, -0.5], ids=["up", "down"])
def test_the_probe_that_moved_most_is_named(copied, moved):
    """One logit of one probe is enough; how far it moved and how far it may are said. Rounding is not a fault."""
    manifest = json.loads((copied / "lorasent.json").read_text("utf-8"))
    logits = manifest["probes"]["logits"]
    logits[0][0] += 5e-5
    edit_json(copied / "lorasent.json", probes=manifest["probes"])
    load(copied)
    logits[2][1] += moved
    edit_json(copied / "lorasent.json", probes=manifest["probes"])
    message = f"{copied}: does not answer as it did when it was trained: logits of probe 2 moved by 0.5, allowed are 0.0001"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


def test_a_recipe_that_is_none_is_named_with_its_manifest(copied):
    """An error in the manifest's recipe says which file it stands in."""
    edit_json(copied / "lorasent.json", recipe={})
    with pytest.raises(RecipeError, match=re.escape(f"{copied / 'lorasent.json'}: required key base is missing")):
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
    message = f"{copied}: holds a pickle (adapter_model.bin), which is never loaded; needs adapter_model.safetensors"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


def test_what_is_no_adapter_is_refused(copied):
    """A directory is an adapter if it is there and holds PEFT's two files."""
    with pytest.raises(AdapterError, match=exactly(f"{copied}-not: no such adapter directory")):
        load(f"{copied}-not")
    (copied / "adapter_config.json").unlink()
    message = f"{copied}: not an adapter: needs adapter_config.json and adapter_model.safetensors"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ([], "LoRA"),
        (["lora.use_rslora=true"], "rank-stabilised LoRA"),
        (["lora.use_dora=true"], "DoRA"),
        (["lora.use_rslora=true", "lora.use_dora=true"], "rank-stabilised DoRA"),
    ],
)
def test_the_model_card_names_the_variant(bases, small_recipe, asked, kind):
    """With its rank and alpha, on a line of its own."""
    base = find(str(bases("bert")))
    card = directory._card(Recipe.read(small_recipe, asked), base, {"libraries": {"lorasent": "0.1.0"}})
    assert f"\n{kind} r=2, alpha=4, trained on embedded:train with lorasent 0.1.0.\n" in card


def test_an_edited_model_card_is_no_damage(copied):
    """People edit README.md; it is not hashed."""
    (copied / "README.md").write_text("mine")
    load(copied)


def test_without_a_manifest_it_warns_and_answers_the_same(copied, small_adapter):
    """An adapter of plain PEFT's is loaded; the warning says what cannot be verified."""
    (copied / "lorasent.json").unlink()
    (copied / "training_args.bin").write_bytes(b"a pickle that trainers leave beside their weights; nobody reads it")
    message = (
        f"{copied}: no lorasent.json: files, base weights, tokenizer, truncation side, labels and answers cannot be verified; "
        "taken are labels LABEL_0, LABEL_1 (no configuration names them), the tokenizer of the adapter, "
        "texts cut on the left to 64 tokens, one label a text"
    )
    with pytest.warns(UnverifiedAdapterWarning, match=exactly(message)):
        plain = load(copied)
    assert (plain.labels, plain.manifest) == (("LABEL_0", "LABEL_1"), None)
    known = load(small_adapter)
    np.testing.assert_allclose(answer(plain.model, plain.encoder, TEXTS), answer(known.model, known.encoder, TEXTS), atol=1e-6)


@pytest.mark.parametrize("architecture", quick("distilbert", "roberta", "modernbert", "gpt2"))
def test_labels_are_counted_on_the_head_without_a_manifest(bases, tmp_path, architecture):
    """Whatever the head is called, and however many layers it has: the labels are those of its last layer."""
    path = write_untrained(tmp_path / "adapter", bases(architecture), labels=("Bad", "Fair", "Good"))
    (path / "lorasent.json").unlink()
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        assert load(path).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def shorten_head(tensors):
    """A regression head, of one output."""
    for name in [name for name in tensors if "classifier" in name]:
        tensors[name] = tensors[name][:1].clone()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drop_head", "lacks base_model.model.classifier.bias, base_model.model.classifier.weight, holds unexpected nothing"),
        ("shorten_head", "its head has one output (a regression); needs two labels or more"),
    ],
    ids=["no head", "one output"],
)
def test_without_a_manifest_a_head_is_needed(copied, fault, message):
    """Weights without a head, or with one of a single output, are no classifier."""
    (copied / "lorasent.json").unlink()
    edit_tensors(copied / "adapter_model.safetensors", globals()[fault])
    with pytest.raises(AdapterError, match=exactly(f"{copied / 'adapter_model.safetensors'}: {message}")):
        load(copied)


def lengthen(path):
    """Gives a copy of the small BERT 600 positions."""
    edit_json(path / "config.json", max_position_embeddings=600)
    name = "embeddings.position_embeddings.weight"
    edit_tensors(path / "model.safetensors", lambda tensors: tensors.update({name: tensors[name][:60].repeat(10, 1)}))


def cut_at(length, side="Right"):
    """What a tokenizer's last call leaves in tokenizer.json."""
    return {"direction": side, "max_length": length, "strategy": "LongestFirst", "stride": 0}


@pytest.fixture
def bare(bases, tmp_path):
    """An adapter without a manifest, and its base, whose tokenizers can be edited."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    path = write_untrained(tmp_path / "adapter", base)
    (path / "lorasent.json").unlink()
    return base, path


@pytest.mark.parametrize(
    ("limit", "last", "positions", "expected"),
    [
        (32, None, 64, (32, "left")),
        (1000, None, 64, (64, "left")),
        (None, None, 64, (64, "left")),
        (1000, None, 600, (600, "left")),
        (64, cut_at(16), 64, (16, "left")),
        (None, cut_at(16), 64, (16, "left")),
        (32, cut_at(64), 64, (64, "left")),
        ("unsaid", cut_at(16), 64, (16, "right")),
    ],
    ids=[
        "the tokenizer allows less",
        "the base holds less",
        "the tokenizer does not say",
        "the base holds more",
        "the trainer's call",
        "the trainer's call alone",
        "the trainer's call was longer",
        "the side of the trainer's call",
    ],
)
@pytest.mark.filterwarnings("ignore::lorasent.adapter.directory.UnverifiedAdapterWarning")
def test_without_a_manifest_texts_are_cut_as_saved(bare, limit, last, positions, expected):
    """As the trainer's last call cut, which tokenizer.json keeps; else to what tokenizer and base allow, no less."""
    base, path = bare
    if positions == 600:
        lengthen(base)
    edit_json(path / "tokenizer_config.json", model_max_length=64 if limit == "unsaid" else limit)
    if limit == "unsaid":
        config = json.loads((path / "tokenizer_config.json").read_text())
        (path / "tokenizer_config.json").write_text(json.dumps({key: config[key] for key in config if key != "truncation_side"}))
    edit_json(path / "tokenizer.json", truncation=last)
    encoder = load(path).encoder
    assert (encoder.max_length, encoder.tokenizer.truncation_side) == expected
    assert max(map(len, encoder.encode(["a film " * 1000]))) == encoder.max_length


def test_without_a_tokenizer_the_bases_is_taken(bare):
    """As it is, and the warning says so."""
    base, path = bare
    for file in path.glob("*token*"):
        file.unlink()
    edit_json(base / "tokenizer_config.json", model_max_length=40, truncation_side="right")
    edit_json(base / "tokenizer.json", truncation=cut_at(16))  # transformers does not heed it, and no trainer left it
    told = f"the tokenizer of the base {base}, texts cut on the right to 40 tokens"
    with pytest.warns(UnverifiedAdapterWarning, match=re.escape(told)):
        encoder = load(path).encoder
    assert encoder.fingerprint == Encoder(base, Encoding(max_length=40, truncation_side="right")).fingerprint


def cut_alike(base, path):
    """tokenizer.json cuts as the base's does: nobody may have called it."""
    for folder in (base, path):
        edit_json(folder / "tokenizer.json", truncation=cut_at(16))


def cut_beyond(base, path):
    """A call for more than the base holds."""
    edit_json(path / "tokenizer.json", truncation=cut_at(65))


def lose_the_configuration(base, path):
    """tokenizer.json alone."""
    (path / "tokenizer_config.json").unlink()


def leave_a_pointer(base, path):
    """A checkout without Git LFS."""
    (path / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def link_out(base, path):
    """A tokenizer that is not in the directory."""
    (path / "tokenizer.json").unlink()
    (path / "tokenizer.json").symlink_to(base / "tokenizer.json")


def write_a_length_in_words(base, path):
    """A length that is no number."""
    edit_json(path / "tokenizer_config.json", model_max_length="long")


def add_a_token(base, path):
    """A token beside the pad token that nobody has an embedding of."""
    content = json.loads((path / "tokenizer.json").read_text())
    new = {**content["added_tokens"][0], "id": max(content["model"]["vocab"].values()) + 1, "content": "[NEW]"}
    edit_json(path / "tokenizer.json", added_tokens=[*content["added_tokens"], new])


def end_with_padding(base, path):
    """Texts end with the tokenizer's pad token, which is not the model's."""
    edit_json(path / "tokenizer_config.json", pad_token="[SEP]")  # noqa: S106


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (cut_alike, r"tokenizer.json: cuts to 16 tokens, as the base's does, tokenizer_config.json to 64: write the length"),
        (cut_beyond, r"tokenizer.json: cuts to 65 tokens, .* holds 64 positions"),
        (lose_the_configuration, r"tokenizer.json: a tokenizer without tokenizer_config.json; save it whole"),
        (leave_a_pointer, r"tokenizer.json: is a pointer of Git LFS, not the file itself: git lfs pull"),
        (link_out, r"tokenizer.json: is a link out of the directory"),
        (write_a_length_in_words, r"tokenizer_config.json: model_max_length must be a number of tokens, found long"),
        (add_a_token, r"neither adapter nor base holds an embedding of the token \[NEW\]"),
        (end_with_padding, r"texts end with a pad token \(3 or 0\): nothing says which token is read"),
    ],
)
def test_without_a_manifest_a_tokenizer_that_leaves_it_open_is_refused(bare, fault, message):
    """What the trainer read is not known for sure, and the file that leaves it open is named."""
    fault(*bare)
    with pytest.raises(LorasentError, match=message):
        load(bare[1])


def test_with_a_manifest_nothing_may_be_random_either(bases, tmp_path):
    """A tensor that the base has lost since, and the adapter does not bring, is named."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    path = write_untrained(tmp_path / "adapter", base)
    lost = "encoder.layer.0.attention.self.query.weight"
    edit_tensors(base / "model.safetensors", lambda tensors: tensors.pop(lost))
    recipe = Recipe.parse(json.loads((path / "lorasent.json").read_text())["recipe"], "manifest")
    with pytest.raises(AdapterError, match=rf"neither it nor the base .* holds bert.{lost}: they would be random at every load"):
        directory.assemble(Snapshot(path), find(str(base)), recipe.base, recipe.encoding, {})


MALFORMED = {
    "files": ([], "files: Input should be a valid dictionary, found list of length 0"),
    "base": ({"name": "x"}, "base.sha256: Field required, found an object of 1 keys"),
    "probes": ({"texts": ["a", "b"], "logits": [[0.1, 0.2]]}, "probes: every text needs a logit for each label"),
    "labels": (["only" * 40], "labels: List should have at least 2 items after validation, not 1, found list of length 1"),
}


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_manifest_is_named(copied, key):
    """A key of the wrong form proves nothing and is refused; 60 characters of it are shown."""
    value, message = MALFORMED[key]
    edit_json(copied / "lorasent.json", **{key: value})
    with pytest.raises(AdapterError, match=re.escape(message)) as refused:
        load(copied)
    if key != "probes":  # found there is the whole manifest
        assert str(refused.value) == f"{copied / 'lorasent.json'}: {message}"


def test_a_manifest_that_does_not_list_the_weights_proves_nothing(copied):
    """PEFT's two files are held to the manifest although it leaves them out."""
    manifest = json.loads((copied / "lorasent.json").read_text("utf-8"))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        files = {file: digest for file, digest in manifest["files"].items() if file != name}
        edit_json(copied / "lorasent.json", files=files)
        message = f"{copied / name}: not the file that was written (sha256 differs from the manifest's)"
        with pytest.raises(AdapterError, match=exactly(message)):
            directory.verify(copied)


def test_the_identity_is_of_what_answers(copied):
    """The model card and the times that training took are no part of it; files, recipe, base and labels are."""
    before = identity(copied)
    (copied / "README.md").write_text("mine")
    edit_json(copied / "lorasent.json", epochs=[], best={})
    assert identity(copied) == before
    said = json.loads((copied / "lorasent.json").read_text("utf-8"))
    others = set()
    for key, value in (("recipe", {}), ("base", {**said["base"], "revision": "a" * 40}), ("labels", ["Bad", "Good"])):
        edit_json(copied / "lorasent.json", **{key: value})
        others.add(identity(copied))
        edit_json(copied / "lorasent.json", **{key: said[key]})
    edit_json(copied / "adapter_config.json", lora_alpha=64)
    others.add(identity(copied))
    assert len(others - {before}) == 4


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
    """Three tensors that are missing or too much are named; a tensor of another size does not fit onto the base."""
    edit_tensors(copied / "adapter_model.safetensors", fault)
    rehash(copied)
    with pytest.raises(AdapterError, match=exactly(str(copied) + message.replace("{base}", str(bases("bert").resolve())))):
        load(copied)


def test_figures_that_are_no_json_are_not_written(bases, tmp_path):
    """NaN among what was measured is refused, and nothing is left behind."""
    with pytest.raises(ValueError, match=r"Out of range float values are not JSON compliant"):
        write_untrained(tmp_path / "adapter", bases("bert"), training={"seconds": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_other_kinds_of_adapter_and_broken_weights_are_refused(copied):
    """PEFT knows more than LoRA; what a directory's configuration asks for is not built. Bytes that are no tensors are said."""
    (copied / "lorasent.json").unlink()
    edit_json(copied / "adapter_config.json", peft_type="IA3")
    message = f"{copied / 'adapter_config.json'}: only LoRA adapters are loaded, found peft_type IA3"
    with pytest.raises(AdapterError, match=exactly(message)):
        load(copied)
    edit_json(copied / "adapter_config.json", peft_type="LORA")
    (copied / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(AdapterError, match=r"not a safetensors file that can be read"):
        load(copied)


def test_writing_leaves_all_or_nothing(small_adapter, tmp_path, monkeypatch):
    """A failure half-way leaves no directory of that name and nothing beside it; an existing one is not touched."""
    loaded = load(small_adapter)
    recipe = loaded.manifest.recipe
    base = directory.find(loaded.manifest.base.name)
    monkeypatch.setattr(directory, "_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match=r"division"):
        directory.write(tmp_path / "new", loaded.model, loaded.encoder, base, recipe, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AdapterError, match=r"exists already"):
        directory.write(tmp_path, loaded.model, loaded.encoder, base, recipe, {})


HOSTILE = {
    "a rank wider than the base": ({"r": 65}, r"adapter_config\.json: r is 65, layers of this base are at most 64 wide$"),
    "such a rank by a pattern": ({"rank_pattern": {"query": 65}}, r"r is 65, layers of this base are at most 64 wide$"),
    "layers repeated": ({"layer_replication": [[0, 2], [0, 2]]}, r"layer_replication asks for another base"),
    "a pattern of a repeated group": (
        {"target_modules": "(query|key)*"},
        r"the pattern \(query\|key\)\* may be searched",
    ),
    "a pattern of six repetitions": ({"target_modules": ".*.*.*.*.*.*x"}, r"the pattern \.\*.*x may be searched for ages"),
    "an alpha by such a pattern": ({"alpha_pattern": {"(a+)+": 4}}, r"the pattern \(a\+\)\+ may be searched"),
    "modules to save a number": ({"modules_to_save": 5}, r"cannot be loaded onto .*: 'int' object"),
    "a rank that is a text": ({"r": "2"}, r"cannot be loaded onto .*: '>' not supported"),
    "an alpha of 400 digits": ({"lora_alpha": 10**400}, r"cannot be loaded onto .*: integer division result too large"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_configuration_that_could_take_memory_or_time_without_end_is_refused(copied, fault):
    """Before PEFT is asked to build what it says; what PEFT itself raises over it is one line."""
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
def test_the_patterns_that_people_write_are_searched_for(pattern):
    """Of names of modules, as PEFT's users and their tools do."""
    assert len(directory.REPETITION.findall(pattern)) <= directory.MOST_REPETITIONS
    assert not directory.ENDLESS.search(pattern)


def test_numbers_that_are_not_finite_are_not_loaded(copied):
    """The tensor is named."""
    edit_tensors(copied / "adapter_model.safetensors", lambda found: found["base_model.model.classifier.bias"].fill_(float("nan")))
    rehash(copied)
    with pytest.raises(AdapterError, match=r"classifier\.bias: holds numbers that are not finite; train again"):
        load(copied)


def test_labels_are_those_that_the_recipe_trained(copied):
    """A manifest that says otherwise would have answers called by other names."""
    edit_json(copied / "lorasent.json", labels=["Positive", "Negative"])
    with pytest.raises(AdapterError, match=r"lorasent\.json: labels are Positive, Negative, its recipe trained Neg"):
        load(copied)


def test_what_libraries_wonder_about_is_not_printed(copied, capfd, recwarn):
    """A key that PEFT does not know, a tokenizer's class that nobody has: their names are a stranger's."""
    edit_json(copied / "adapter_config.json", **{"evil\n::error::": 1})
    edit_json(copied / "tokenizer_config.json", tokenizer_class="Evil\n::error::")
    rehash(copied)
    with contextlib.suppress(AdapterError):
        load(copied)
    assert "vil" not in "".join([*capfd.readouterr(), *(str(one.message) for one in recwarn)])


def test_an_adapter_is_written_and_read_under_a_name_that_is_no_utf_8(bases, tmp_path):
    """With what git is told of it, which is no file of the adapter's."""
    path = write_untrained(tmp_path / os.fsdecode(b"caf\xe9"), bases("bert"))
    assert (path / ".gitattributes").read_text("utf-8") == "* -text\n"
    assert load(path).manifest.files.keys() == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
