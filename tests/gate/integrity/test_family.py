"""Integrity: every fault of an export is found and named, whatever its hashes say; what is sound and declared passes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lorasent import Recipe, train
from lorasent.adapter import writing
from lorasent.adapter.architectures import ARCHITECTURES
from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.encoding import Encoder
from lorasent.errors import AdapterError
from lorasent.files import sha256
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.checks import CHECKS, blocked, check, finding
from lorasent.gate.integrity.comparison import Comparison
from lorasent.gate.integrity.side import Side
from lorasent.gate.policy import Integrity
from lorasent.scoring.evidence import LiveSubject, RecordedSubject, record
from tests.support.bases import CONFIGS, LABELS, edit_json, edit_tensors

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "lorasent.json"
TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"
LAYER = "base_model.model.bert.encoder.layer.1.attention.self.query"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder of this module's own: the baseline is proved once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    monkeypatch.setenv("LORASENT_CACHE", str(cache))


@pytest.fixture(scope="module")
def retrained(small_recipe, tmp_path_factory):
    """The small recipe trained again with another seed."""
    return train(Recipe.read(small_recipe, ["training.seed=1"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture
def candidate(retrained, tmp_path):
    """A copy of the retrained adapter, to plant a fault in."""
    return shutil.copytree(retrained, tmp_path / "candidate")


def findings(candidate, baseline, **settings):
    """The finding of every check by its name."""
    subject = RecordedSubject(baseline) if baseline.is_file() else LiveSubject(baseline)
    found = check(LiveSubject(candidate), subject, Integrity(**settings))
    assert [finding.check for finding in found] == [f"integrity::{name}" for name in CHECKS]
    return dict(zip(CHECKS, found, strict=True))


def faults(found):
    """Outcome and cause by check, of those that do not pass."""
    return {name: (one.outcome.value, one.cause) for name, one in found.items() if one.outcome is not Outcome.PASS}


def rehash(path):
    """Makes the manifest agree with the files that are there, as a faulty exporter's would; a folder has no hash."""
    there = [file.name for file in path.iterdir() if file.is_file() and file.name not in (MANIFEST, "README.md")]
    names = sorted(name for name in there if not name.startswith("."))
    edit_json(path / MANIFEST, files={name: sha256(path / name) for name in names})


def read(path):
    return json.loads(path.read_text("utf-8"))


def write(path, content):
    path.write_text(json.dumps(content), "utf-8")


def set_recipe(path, **changes):
    """Sets "table__key" of the manifest's recipe and its hash, and in the other files what follows from it."""
    tables = read(path / MANIFEST)["recipe"]
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables[table][name] = value
    recipe = Recipe.parse(tables, "test")
    edit_json(path / MANIFEST, recipe=recipe.to_json(), recipe_sha256=recipe.fingerprint, labels=list(recipe.base.labels))
    edit_json(path / CONFIG, r=recipe.lora.r, lora_alpha=recipe.lora.alpha, lora_dropout=recipe.lora.dropout)
    edit_json(path / TOKENS, truncation_side=recipe.encoding.truncation_side, model_max_length=recipe.encoding.max_length)


def write_filled(path, model, seed=0, effect=0.1, **changes):
    """Writes an adapter of every linear layer with a random head and random B, as trained ones have; `changes` as in set_recipe."""
    tables = {
        "base": {"model": str(model), "labels": LABELS},
        "data": {"train": "embedded:train", "validation": "embedded:validation"},
        "encoding": {"max_length": 64},
        "lora": {"r": 2, "alpha": 4, "target_modules": ["all-linear"]},
        "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3, "seed": seed},
    }
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables.setdefault(table, {})[name] = value
    recipe, base = Recipe.parse(tables, "test"), find(str(model))
    encoder = Encoder(base.path, recipe.encoding)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = build(base, recipe.base, recipe.lora, encoder)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=effect)
    writing.write(path, model, encoder, base, recipe, {})
    return path


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


@pytest.mark.slow
def test_magnitudes_that_an_exporter_lost_or_reset_are_found(bases, tmp_path):
    """Lost they are missing tensors, and set back to the base's they answer otherwise than was recorded."""
    old, new, reset = (write_filled(tmp_path / str(seed), bases("bert"), seed, lora__use_dora=True) for seed in (0, 1, 2))
    edit_tensors(new / WEIGHTS, lambda found: [found.pop(name) for name in list(found) if "magnitude" in name])
    edit_tensors(reset / WEIGHTS, lambda found: [value.fill_(1.0) for name, value in found.items() if "magnitude" in name])
    for path in (new, reset):
        rehash(path)
    assert faults(findings(new, old))["tensors"] == ("BLOCK", "tensor-missing")
    assert faults(findings(reset, old)) == {"answers": ("BLOCK", "answers")}


NEW = {
    "distilbert": "pre_classifier",
    "roberta": "classifier.dense",
    "electra": "classifier.out_proj",
    "deberta-v2": "pooler",
    "modernbert": "head",
    "gpt2": "score",
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NEW)
def test_a_layer_that_was_not_saved_is_found(bases, tmp_path, architecture):
    """What the base lacks must be saved, by name in the weights and in PEFT's configuration, or it is random at every load."""
    old, new = (write_filled(tmp_path / str(seed), bases(architecture), seed) for seed in (0, 1))
    module = NEW[architecture]
    edit_tensors(new / WEIGHTS, lambda tensors: drop(tensors, f".{module}."))
    edit_json(new / CONFIG, modules_to_save=[name for name in read(new / CONFIG)["modules_to_save"] if name != module])
    rehash(new)
    found = findings(new, old)
    assert (found["tensors"].outcome, found["tensors"].cause) == (Outcome.BLOCK, "head-missing")
    assert module in found["tensors"].message
    assert (found["answers"].outcome, found["answers"].cause) == (Outcome.BLOCK, "head-missing")


def test_a_layer_that_peft_would_not_load_is_found(bases, tmp_path):
    """The pooler stands in the weights, but a configuration that leaves it out leaves it random at every load."""
    old, new = (write_filled(tmp_path / str(seed), bases("deberta-v2"), seed) for seed in (0, 1))
    edit_json(new / CONFIG, modules_to_save=["classifier", "score"])
    rehash(new)
    found = findings(new, old)["tensors"]
    assert (found.outcome, found.cause) == (Outcome.BLOCK, "head-missing")
    assert "modules_to_save leaves out what the base lacks: pooler.dense.bias, pooler.dense.weight" in found.message


def test_an_adapter_that_learned_nothing_is_found_although_it_answers_as_it_says(bases, tmp_path):
    """B is zero since it was never trained, and the probes were answered so: the base alone answers alike."""
    old, new = (write_filled(tmp_path / str(seed), bases("bert"), seed, effect=0.1 * (1 - seed)) for seed in (0, 1))
    assert faults(findings(new, old)) == {"values": ("BLOCK", "adapter-zero"), "answers": ("BLOCK", "adapter-inert")}


def drop(tensors, part):
    for name in [name for name in tensors if part in name]:
        del tensors[name]


def quantize(tensors, bits=4):
    """Rounds every matrix to 2^bits - 1 levels of its largest value."""
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            step = tensor.abs().max() / (2 ** (bits - 1) - 1)
            tensors[name] = (tensor / step).round() * step


def one_step(tensors):
    """Adam's first step from zero: the learning rate, either way, a little less where gradients are small."""
    for name, tensor in tensors.items():
        if "lora_B" in name:
            sign = torch.where(torch.rand(tensor.shape) < 0.5, 1.0, -1.0)
            tensors[name] = 1e-3 * sign * (1 - 0.01 * torch.rand(tensor.shape))


def swap_head(tensors):
    for name in [name for name in tensors if "classifier" in name]:
        tensors[name] = tensors[name].flip(0).contiguous()


def tensors(change):
    """A fault of the weights; `change` edits them by name, in place."""
    return lambda path: edit_tensors(path / WEIGHTS, change)


def config(**changes):
    return lambda path: edit_json(path / CONFIG, **changes)


def manifest(**changes):
    return lambda path: edit_json(path / MANIFEST, **changes)


def recipe(**changes):
    return lambda path: set_recipe(path, **changes)


def tokenizer(*keys, value):
    """Sets a key, down the path of keys, of tokenizer.json."""

    def plant(path):
        content = part = read(path / TOKENIZER)
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        write(path / TOKENIZER, content)

    return plant


def nested(depth):
    """A list in a list in a list."""
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


def tokens(**changes):
    return lambda path: edit_json(path / TOKENS, **changes)


def both(*plants):
    def plant(path):
        for one in plants:
            one(path)

    return plant


def swap_words(path):
    """Two words of the vocabulary change places."""
    content = read(path / TOKENIZER)
    vocabulary = content["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    write(path / TOKENIZER, content)


def other_data(path):
    said = read(path / MANIFEST)
    said["data"]["train"] |= {"sha256": "f" * 64, "reviews": 30}
    write(path / MANIFEST, said)


def drop_config(key):
    def plant(path):
        content = read(path / CONFIG)
        del content[key]
        write(path / CONFIG, content)

    return plant


def all_of(part, value=0.0):
    """Sets every tensor whose name holds `part`."""
    return tensors(lambda found: [tensor.fill_(value) for name, tensor in found.items() if part in name])


FAULTS = {
    "files: a pickle is among them": (lambda path: (path / "training_args.bin").write_bytes(b""), "files", "pickle"),
    "files: code is among them": (lambda path: (path / "modeling.py").write_text(""), "files", "file-forbidden"),
    "files: a folder is among them": (lambda path: (path / "checkpoint-1").mkdir(), "files", "file-forbidden"),
    "files: the tokenizer was not saved": (lambda path: (path / TOKENIZER).unlink(), "files", "file-missing"),
    "tensors: not safetensors": (lambda path: (path / WEIGHTS).write_bytes(b"broken"), "tensors", "weights-broken"),
    "tensors: no head": (tensors(lambda found: drop(found, "classifier")), "tensors", "head-missing"),
    "tensors: no bias of the head": (tensors(lambda found: drop(found, "classifier.bias")), "tensors", "head-missing"),
    "tensors: a head of one output": (
        tensors(lambda found: [found.update({k: v[:1].clone()}) for k, v in list(found.items()) if "classifier" in k]),
        "tensors",
        "shape",
    ),
    "tensors: no LoRA in a layer": (tensors(lambda found: drop(found, LAYER)), "tensors", "tensor-missing"),
    "tensors: no B in a layer": (tensors(lambda found: drop(found, f"{LAYER}.lora_B")), "tensors", "tensor-missing"),
    "tensors: one too many": (
        tensors(lambda found: found.update({"base_model.model.bert.more": torch.ones(1)})),
        "tensors",
        "tensor-unexpected",
    ),
    "tensors: a rank that the configuration does not say": (config(r=3), "tensors", "shape"),
    "tensors: half precision": (
        tensors(lambda found: [found.update({name: tensor.half()}) for name, tensor in list(found.items())]),
        "tensors",
        "dtype",
    ),
    "tensors: of bfloat16, which numpy lacks": (
        tensors(lambda found: [found.update({name: tensor.bfloat16()}) for name, tensor in list(found.items())]),
        "values",
        "dtype",
    ),
    "tensors: a layer that the base lacks": (config(target_modules=["no_such_layer"]), "tensors", "target-modules"),
    "values: not a number": (tensors(lambda found: found[f"{LAYER}.lora_A.weight"][0].fill_(float("nan"))), "values", "not-finite"),
    "values: infinite": (tensors(lambda found: found["base_model.model.classifier.bias"].fill_(np.inf)), "values", "not-finite"),
    "values: every B is zero": (all_of("lora_B"), "values", "adapter-zero"),
    "values: every A is zero": (all_of("lora_A"), "values", "adapter-zero"),
    "values: LoRA is zero in a layer": (all_of(f"{LAYER}.lora_B"), "values", "layer-zero"),
    "values: the head is zero": (all_of("classifier.weight"), "values", "head-zero"),
    "values: trained for one step": (tensors(one_step), "values", "one-step"),
    "values: rounded to 4 bits": (tensors(quantize), "values", "quantized"),
    "values: rounded to bfloat16 and widened": (
        tensors(lambda found: [found.update({name: tensor.bfloat16().float()}) for name, tensor in list(found.items())]),
        "values",
        "quantized",
    ),
    "base: plain PEFT would load another": (config(base_model_name_or_path="films/other"), "base", "base"),
    "labels: not the recipe's": (manifest(labels=["Positive", "Negative"]), "labels", "labels"),
    "labels: in another order": (recipe(base__labels=["Positive", "Negative"]), "labels", "labels"),
    "labels: others": (recipe(base__labels=["Bad", "Good"]), "labels", "labels"),
    "encoding: cut on the other side": (recipe(encoding__truncation_side="right"), "encoding", "truncation-side"),
    "encoding: the tokenizer's file cuts on the other side": (tokens(truncation_side="right"), "encoding", "truncation-side"),
    "encoding: fewer tokens": (recipe(encoding__max_length=32), "encoding", "max-length"),
    "encoding: the tokenizer's file allows more": (tokens(model_max_length=512), "encoding", "max-length"),
    "encoding: no space before the first word": (recipe(encoding__add_prefix_space=False), "encoding", "prefix-space"),
    "encoding: lower-casing off": (tokens(do_lower_case=False), "encoding", "lower-casing"),
    "encoding: a normalizer that keeps case": (tokenizer("normalizer", "lowercase", value=False), "encoding", "lower-casing"),
    "encoding: accents kept": (tokens(strip_accents=False), "encoding", "tokenizer"),
    "encoding: split otherwise": (tokenizer("pre_tokenizer", value={"type": "Whitespace"}), "encoding", "tokenizer"),
    "encoding: no special tokens": (tokenizer("post_processor", value=None), "encoding", "special-tokens"),
    "encoding: another first token": (tokens(bos_token="[PAD]"), "encoding", "special-tokens"),  # noqa: S106 - a token of the vocabulary
    "encoding: two words changed places": (swap_words, "encoding", "vocabulary"),
    "encoding: an added token lost": (tokenizer("added_tokens", value=[]), "encoding", "vocabulary"),
    "encoding: nested too deeply": (tokenizer("normalizer", value=nested(600)), "encoding", "json-broken"),
    "encoding: truncation saved": (tokenizer("truncation", value={"max_length": 8}), "encoding", "truncation-on"),
    "encoding: padding saved": (tokenizer("padding", value={"strategy": "BatchLongest"}), "encoding", "padding-on"),
    "encoding: code asked for": (tokens(auto_map={"AutoTokenizer": "evil.Tokenizer"}), "encoding", "code"),
    "encoding: another fingerprint": (manifest(tokenizer_sha256="0" * 64), "encoding", "tokenizer"),
    "recipe: another rank": (recipe(lora__r=3), "recipe", "recipe"),
    "recipe: another dropout of the base": (recipe(base__dropout=0.5), "recipe", "recipe"),
    "recipe: other data": (other_data, "recipe", "data"),
    "recipe: edited by hand": (manifest(recipe_sha256="0" * 64), "recipe", "recipe-edited"),
    "recipe: none": (manifest(recipe={}), "recipe", "recipe-broken"),
    "recipe: alpha is not the recipe's": (config(lora_alpha=8), "recipe", "alpha"),
    "recipe: dropout is not the recipe's": (config(lora_dropout=0.2), "recipe", "dropout"),
    "recipe: rank is not the recipe's": (config(r=4), "recipe", "rank"),
    "recipe: rank-stabilised": (config(use_rslora=True), "recipe", "rslora"),
    "recipe: DoRA": (config(use_dora=True), "recipe", "dora"),
    "recipe: an alpha for some layers": (config(alpha_pattern={"query": 32}), "recipe", "scaling-pattern"),
    "recipe: a rank for some layers": (config(rank_pattern={"query": 4}), "recipe", "scaling-pattern"),
    "recipe: biases trained": (config(bias="all"), "recipe", "bias"),
    "recipe: begun otherwise": (config(init_lora_weights="pissa"), "recipe", "peft-option"),
    "recipe: some layers only": (config(layers_to_transform=[0]), "recipe", "peft-option"),
    "recipe: transposed": (config(fan_in_fan_out=True), "recipe", "fan-in-fan-out"),
    "recipe: another method": (config(peft_type="IA3"), "recipe", "peft-type"),
    "recipe: another task": (config(task_type="CAUSAL_LM"), "recipe", "task-type"),
    "recipe: fewer layers than it says": (config(target_modules=["query"]), "recipe", "target-modules"),
    "recipe: PEFT's configuration is incomplete": (drop_config("r"), "recipe", "config-broken"),
    "recipe: PEFT's configuration is no JSON": (lambda path: (path / CONFIG).write_text("{"), "recipe", "config-broken"),
    "parameters: not as many as the manifest says": (
        manifest(parameters={"total": 10_000, "trainable": 1}),
        "parameters",
        "parameters",
    ),
    "answers: the head's rows swapped": (tensors(swap_head), "answers", "head-swapped"),
    "answers: cut on the other side in recipe and files": (
        recipe(encoding__truncation_side="right"),
        "answers",
        "tokenizer",
    ),
    "answers: alpha doubled in recipe and configuration": (recipe(lora__alpha=8), "answers", "scaling"),
    "answers: weights of another run": (
        tensors(lambda found: [tensor.mul_(1.1) for name, tensor in found.items() if "lora_A" in name]),
        "answers",
        "answers",
    ),
    "answers: LoRA without effect": (
        tensors(lambda found: [tensor.mul_(1e-9) for name, tensor in found.items() if "lora_B" in name]),
        "answers",
        "adapter-inert",
    ),
    "answers: a tokenizer that behaves otherwise": (tokens(do_lower_case=False), "answers", "tokenizer"),
    "answers: a tokenizer that cannot be loaded": (tokenizer("model", value={"type": "None"}), "answers", "not-loaded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_blocks_although_the_hashes_agree(small_adapter, candidate, fault):
    """Each fault of an exporter is found by the check that it concerns, with its cause, where it is, and what to do."""
    plant, name, cause = FAULTS[fault]
    plant(candidate)
    rehash(candidate)
    bases = {}
    sides = (Side(LiveSubject(path), baseline=path == small_adapter, bases=bases) for path in (candidate, small_adapter))
    # This check alone: loading the model for each fault would only take time.
    found = finding(name, Comparison(*sides, Integrity()))
    assert (found.check, found.outcome, found.cause) == (f"integrity::{name}", Outcome.BLOCK, cause), found
    assert found.message
    assert found.advice


DAMAGES = {
    "changed": (lambda path: edit_json(path / CONFIG, r=3), "file-changed"),
    "added": (lambda path: (path / "more.json").write_text("{}"), "file-added"),
    "lost": (lambda path: (path / WEIGHTS).unlink(), "file-missing"),
    "listed outside": (lambda path: listed(path, "../elsewhere.json"), "file-forbidden"),
    "not listed": (lambda path: listed(path, WEIGHTS, add=False), "file-added"),
}


def listed(path, name, *, add=True):
    """Adds a file to those that the manifest lists, or strikes it."""
    said = read(path / MANIFEST)
    if add:
        said["files"][name] = "0" * 64
    else:
        del said["files"][name]
    write(path / MANIFEST, said)


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_are_those_that_were_written(small_adapter, candidate, damage):
    """A file that was changed, added or lost on the way blocks, and nothing is loaded from its directory."""
    plant, cause = DAMAGES[damage]
    plant(candidate)
    found = findings(candidate, small_adapter)
    assert faults(found)["files"] == faults(found)["answers"] == ("BLOCK", cause)


def test_an_edited_model_card_is_no_difference(small_adapter, candidate):
    """People edit README.md."""
    (candidate / "README.md").write_text("mine")
    assert faults(findings(candidate, small_adapter)) == {}


UNOPENABLE = {
    "no directory": (shutil.rmtree, "directory-missing"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), "manifest-missing"),
    "a manifest that is no JSON": (lambda path: (path / MANIFEST).write_text("{"), "manifest-broken"),
    "a manifest with NaN": (lambda path: edit_json(path / MANIFEST, recipe={"x": float("nan")}), "manifest-broken"),
    "a manifest with half a character": (lambda path: edit_json(path / MANIFEST, recipe={"x": "\ud800"}), "manifest-broken"),
    "a manifest nested without end": (lambda path: (path / MANIFEST).write_text("[" * 99_999), "manifest-broken"),
    "a manifest without probes": (manifest(probes=None), "manifest-broken"),
}


@pytest.mark.parametrize("damage", UNOPENABLE)
def test_a_candidate_that_cannot_be_opened_blocks(candidate, damage):
    """What opening it raised becomes a finding that names its directory."""
    plant, cause = UNOPENABLE[damage]
    plant(candidate)
    with pytest.raises(AdapterError, match=str(candidate)) as refused:
        LiveSubject(candidate)
    found = blocked(candidate, refused.value)
    assert (found.check, found.outcome, found.cause) == ("integrity::files", Outcome.BLOCK, cause)
    assert str(candidate) in found.message


JUNK = (None, True, -1, 10**30, "\0", [], [None], {}, {"x": {"": []}})


READERS = {
    CONFIG: ("tensors", "base", "recipe", "parameters"),
    MANIFEST: [name for name in CHECKS if name != "answers"],
    TOKENIZER: ("encoding",),
    TOKENS: ("encoding",),
}


@pytest.mark.slow
@pytest.mark.parametrize("file", READERS)
def test_junk_in_any_key_is_a_finding(small_adapter, candidate, file):
    """Whatever stands under any key of the candidate's JSON, every check that reads files ends in a finding, never an error."""
    sound, subject = read(candidate / file), LiveSubject(candidate)
    old = Side(LiveSubject(small_adapter), baseline=True, bases=(bases := {}))
    for key in sound:
        for junk in JUNK:
            write(candidate / file, sound | {key: junk})
            try:
                subject = LiveSubject(candidate) if file == MANIFEST else subject
            except AdapterError as error:
                blocked(candidate, error)
                continue
            new = Side(subject, baseline=False, bases=bases)
            for name in READERS[file]:
                found = finding(name, Comparison(new, old, Integrity()))
                assert found.outcome in (Outcome.PASS, Outcome.BLOCK, Outcome.INVALID), (key, junk, found)
                assert not found.cause.startswith("baseline"), (key, junk, found)


ALLOWED = {
    "another rank": (["lora.r"], {"lora__r": 3}, {"recipe": {"lora.r": (2, 3)}}),
    "a whole table": (["lora"], {"lora__r": 3, "lora__alpha": 6}, {"recipe": {"lora.r": (2, 3), "lora.alpha": (4, 6)}}),
    "fewer tokens": (["encoding.max_length"], {"encoding__max_length": 48}, {"encoding": {"encoding.max_length": (64, 48)}}),
    "other layers": (
        ["lora.target_modules"],
        {"lora__target_modules": ["query"]},
        {"recipe": {"lora.target_modules": (["all-linear"], ["query"])}},
    ),
    "augmented reviews": (
        ["augmentation"],
        {"augmentation__typos": 0.1, "augmentation__share": 0.3},
        {
            "recipe": {
                "augmentation.share": (None, 0.3),
                "augmentation.typos": (None, 0.1),
                **{f"augmentation.{way}": (None, 0) for way in ("window", "sentence_dropout", "synonyms", "markup")},
            }
        },
    ),
    "another schedule": (["training"], {"training__epochs": 2}, {"recipe": {"training.epochs": (1, 2)}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", ALLOWED)
def test_a_declared_difference_blocks_unless_it_is_allowed(bases, tmp_path, change):
    """A difference of the recipe is named with its old and new value; may_change lets it pass, by key or by table."""
    may_change, changes, expected = ALLOWED[change]
    old = write_filled(tmp_path / "old", bases("bert"))
    new = write_filled(tmp_path / "new", bases("bert"), 1, **changes)
    (name,) = expected
    refused = findings(new, old)
    assert list(faults(refused)) == [name]
    for key, (before, now) in expected[name].items():
        assert f"{key} {before} -> {now}" in refused[name].message
        assert key in refused[name].advice
    allowed = findings(new, old, may_change=may_change)
    assert faults(allowed) == {}
    assert allowed[name].cause == "declared"
    assert allowed[name].figures["declared"] == expected[name]
    assert all(f"{key} {before} -> {now}" in allowed[name].message for key, (before, now) in expected[name].items())


def test_the_policys_truncation_side_is_not_to_be_allowed_away(bases, tmp_path):
    """The policy says which side is cut, whatever may change from the baseline."""
    old = write_filled(tmp_path / "old", bases("bert"))
    new = write_filled(tmp_path / "new", bases("bert"), 1, encoding__truncation_side="right")
    assert faults(findings(new, old)) == {"encoding": ("BLOCK", "truncation-side")}
    assert faults(findings(new, old, may_change=["encoding"])) == {}
    refused = findings(new, old, may_change=["encoding"], truncation_side="left")
    assert faults(refused) == {"encoding": ("BLOCK", "truncation-side")}


@pytest.mark.slow
def test_another_base_blocks_unless_it_is_allowed(bases, tmp_path):
    """Another base brings another tokenizer; both are let pass by "base", and the bases are named."""
    old, new = write_filled(tmp_path / "old", bases("bert")), write_filled(tmp_path / "new", bases("roberta"))
    assert faults(findings(new, old)) == {"base": ("BLOCK", "base"), "encoding": ("BLOCK", "lower-casing")}
    allowed = findings(new, old, may_change=["base"])
    assert faults(allowed) == {}
    assert str(bases("roberta").resolve()) in allowed["base"].message


def test_another_base_without_permission_is_not_excused_by_the_recipes_name(bases, tmp_path):
    """The same recipe on other weights is another base: the hash counts, not the name."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    old = write_filled(tmp_path / "old", base)
    edit_tensors(base / "model.safetensors", lambda tensors: tensors["pooler.dense.bias"].add_(1))
    new = write_filled(tmp_path / "new", base)
    found = findings(new, old)
    assert (found["base"].outcome, found["base"].cause) == (Outcome.BLOCK, "base")
    assert found["tensors"].cause == "base-unavailable"  # the baseline's is no longer there


def test_other_data_is_a_difference_that_can_be_allowed(small_adapter, candidate):
    """Retraining on new reviews is common: the advice says which entry of may_change lets it pass."""
    other_data(candidate)
    refused = findings(candidate, small_adapter)
    assert faults(refused) == {"recipe": ("BLOCK", "data")}
    assert '"data.train"' in refused["recipe"].advice
    assert "30 reviews" in refused["recipe"].message
    for entry in ("data", "data.train"):
        assert faults(findings(candidate, small_adapter, may_change=[entry])) == {}


def test_the_same_data_from_elsewhere_is_no_difference(small_adapter, candidate):
    """Reviews are compared by their hash, not by the name of their source."""
    set_recipe(candidate, data__train="reviews.parquet")
    said = read(candidate / MANIFEST)
    said["data"]["train"]["source"] = "reviews.parquet"
    write(candidate / MANIFEST, said)
    assert "recipe" not in faults(findings(candidate, small_adapter))


def gone(path):
    """Names a base that nobody has."""
    said = read(path / MANIFEST)
    edit_json(path / MANIFEST, base=said["base"] | {"name": "/no/such/base"})
    edit_json(path / CONFIG, base_model_name_or_path="/no/such/base")


BASELINE_FAULTS = {
    "a file was changed": (lambda path: edit_json(path / CONFIG, r=3), False, "files", "baseline-file-changed"),
    "no head": (tensors(lambda found: drop(found, "classifier")), True, "tensors", "baseline-head-missing"),
    "not finite": (all_of("classifier.bias", float("nan")), True, "values", "baseline-not-finite"),
    "labels": (manifest(labels=["Positive", "Negative"]), True, "labels", "baseline-labels"),
    "its tokenizer's file": (tokens(truncation_side="right"), True, "encoding", "baseline-truncation-side"),
    "alpha": (config(lora_alpha=8), True, "recipe", "baseline-alpha"),
    "recipe": (manifest(recipe={}), True, "recipe", "baseline-recipe-broken"),
    "count": (manifest(parameters={"total": 10_000, "trainable": 1}), True, "parameters", "baseline-parameters"),
    "the head's rows swapped": (tensors(swap_head), True, "answers", "baseline-head-swapped"),
    "no parameters": (manifest(parameters=None), True, "parameters", "baseline-manifest-broken"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", BASELINE_FAULTS)
def test_a_faulty_baseline_is_invalid(small_adapter, retrained, tmp_path, fault):
    """The candidate is not accused of what is wrong with the baseline."""
    plant, hashes, name, cause = BASELINE_FAULTS[fault]
    baseline = shutil.copytree(small_adapter, tmp_path / "baseline")
    plant(baseline)
    if hashes:
        rehash(baseline)
    found = findings(retrained, baseline)
    assert (found[name].outcome, found[name].cause) == (Outcome.INVALID, cause)
    assert {outcome for outcome, _ in faults(found).values()} == {"INVALID"}


def test_a_base_that_is_not_to_be_had_is_invalid(small_adapter, candidate):
    """What needs the base cannot be judged; what does not is judged."""
    gone(candidate)
    rehash(candidate)
    unavailable = ("INVALID", "base-unavailable")
    found = findings(candidate, small_adapter)
    assert faults(found) == dict.fromkeys(["tensors", "base", "recipe", "parameters", "answers"], unavailable)
    assert "/no/such/base" in found["base"].message


PARAMETERS = {
    "as many": (1986, None),
    "one more": (1987, "the policy requires 1,987"),
    "the fraction": (0.048, None),
    "the fraction, exactly written": (0.04777, None),
    "another fraction": (0.047, "the policy requires 0.047"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_policy_says_how_many_parameters_are_trained(small_adapter, retrained, case):
    """A number is a count; a fraction is of all parameters, to as many decimals as the policy gives."""
    required, message = PARAMETERS[case]
    found = findings(retrained, small_adapter, trainable_parameters=required)["parameters"]
    assert found.outcome is (Outcome.BLOCK if message else Outcome.PASS), found
    assert message is None or message in found.message


def test_the_recipe_says_how_many_parameters_are_trained(small_adapter, candidate):
    """A rank that weights, configuration and manifest agree on, but the recipe does not, is found by its count."""

    def widen(found):
        for name, tensor in list(found.items()):
            if "lora" in name:
                found[name] = torch.cat([tensor, tensor + 0.01], dim=int("lora_B" in name)).contiguous()

    both(tensors(widen), config(r=4))(candidate)
    numbers = sum(tensor.numel() for tensor in load_file(candidate / WEIGHTS).values())
    edit_json(candidate / MANIFEST, parameters={"total": 50_000, "trainable": numbers})
    rehash(candidate)
    found = findings(candidate, small_adapter)
    assert faults(found)["parameters"] == ("BLOCK", "parameters")
    assert found["parameters"].figures["found"] == numbers
    assert faults(found)["recipe"] == ("BLOCK", "rank")


ASKS = """
import pathlib, sys
from lorasent.scoring.evidence import LiveSubject
from lorasent.gate import policy
from lorasent.gate.integrity import checks as integrity
new, old = (LiveSubject(pathlib.Path(path)) for path in sys.argv[1:])
print(*(finding.outcome for finding in integrity.check(new, old, policy.Integrity())))
print(*sorted({"torch", "peft", "transformers"} & sys.modules.keys()))
"""


def test_a_repeated_verdict_imports_no_torch(small_adapter, retrained):
    """All checks but the last read files alone; what the last one measured is remembered."""
    findings(retrained, small_adapter)
    command = [sys.executable, "-c", ASKS, str(retrained), str(small_adapter)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [" ".join(["PASS"] * len(CHECKS)), ""]


def test_what_is_remembered_is_of_these_probes(small_adapter, candidate):
    """The same weights with other answers in the manifest are measured again."""
    assert faults(findings(candidate, small_adapter)) == {}
    probes = read(candidate / MANIFEST)["probes"]
    probes["logits"][0][0] += 0.5
    edit_json(candidate / MANIFEST, probes=probes)
    found = findings(candidate, small_adapter)
    assert faults(found) == {"answers": ("BLOCK", "answers")}
    assert "logits of probe 0 moved by 0.5 " in found["answers"].message


def test_truncation_on_the_wrong_side_is_told_from_other_moves(bases, tmp_path):
    """Probes that come out with texts cut on the other side say so, though files and fingerprint agree with the recipe."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    # Attention of the small bases hears no single word; with larger weights it does.
    edit_tensors(base / "model.safetensors", lambda found: [found[name].mul_(8) for name in found if found[name].ndim == 2])
    old, other = (
        write_filled(tmp_path / side, base, encoding__truncation_side=side, training__seed=seed)
        for seed, side in enumerate(("left", "right"))
    )
    new = shutil.copytree(old, tmp_path / "new")
    (new / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    edit_json(new / MANIFEST, probes=read(other / MANIFEST)["probes"])
    rehash(new)
    found = findings(new, old)
    assert faults(found) == {"answers": ("BLOCK", "truncation-side")}
    assert "logits of probe 5 moved" in found["answers"].message  # the one that is cut


@pytest.fixture
def masked_lm(bases, tmp_path):
    """The small BERT as hubs keep it: saved with its language-modelling head, whose layer is called dense as well."""
    path = shutil.copytree(bases("bert"), tmp_path / "masked-lm")
    backbone = {f"bert.{name}": tensor for name, tensor in load_file(path / "model.safetensors").items()}
    head = {"cls.predictions.transform.dense.weight": torch.zeros(32, 32)}
    save_file(backbone | head, path / "model.safetensors", metadata={"format": "pt"})
    return path


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


def test_every_check_has_faults_that_it_finds():
    """No check goes without one."""
    assert {name for _, name, _ in FAULTS.values()} == set(CHECKS)
