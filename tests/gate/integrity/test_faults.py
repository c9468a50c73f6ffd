"""Integrity: every fault of an export is found and named, whatever its hashes say."""

import functools
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lorasent.errors import AdapterError
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.checks import CHECKS, blocked, finding
from lorasent.gate.integrity.comparison import Comparison, Side, find_base
from lorasent.gate.sections import Integrity
from lorasent.scoring.evidence import LiveSubject
from tests.gate.integrity.adapters import (
    CONFIG,
    LAYER,
    MANIFEST,
    TOKENIZER,
    TOKENS,
    WEIGHTS,
    all_of,
    both,
    config,
    drop,
    drop_config,
    faults,
    findings,
    manifest,
    nested,
    one_step,
    other_data,
    quantize,
    read,
    recipe,
    rehash,
    swap_head,
    swap_words,
    tensors,
    tokenizer,
    tokens,
    write,
    write_filled,
)
from tests.support.bases import edit_json, edit_tensors

pytestmark = pytest.mark.usefixtures("cache")

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


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_blocks_although_the_hashes_agree(small_adapter, candidate, fault):
    """Each fault of an exporter is found by the check that it concerns, with its cause, where it is, and what to do."""
    plant, name, cause = FAULTS[fault]
    plant(candidate)
    rehash(candidate)
    sides = (Side(LiveSubject(path), baseline=path == small_adapter, find_base=find_base) for path in (candidate, small_adapter))
    # This check alone: loading the model for each fault would only take time.
    found = finding(name, Comparison(*sides, Integrity()))
    assert (found.check, found.outcome, found.cause) == (f"integrity::{name}", Outcome.BLOCK, cause), found
    assert found.message
    assert found.advice


def test_every_check_has_faults_that_it_finds():
    """No check goes without one."""
    assert {name for _, name, _ in FAULTS.values()} == set(CHECKS)


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
    assert "modules_to_save leaves out pooler.dense.bias, pooler.dense.weight, which the base lacks" in found.message


@pytest.mark.slow
def test_an_adapter_that_learned_nothing_is_found_although_it_answers_as_it_says(bases, tmp_path):
    """B is zero since it was never trained, and the probes were answered so: the base alone answers alike."""
    old, new = (write_filled(tmp_path / str(seed), bases("bert"), seed, effect=0.1 * (1 - seed)) for seed in (0, 1))
    assert faults(findings(new, old)) == {"values": ("BLOCK", "adapter-zero"), "answers": ("BLOCK", "adapter-inert")}


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


def test_what_is_remembered_is_of_these_probes(small_adapter, candidate):
    """The same weights with other answers in the manifest are measured again."""
    assert faults(findings(candidate, small_adapter)) == {}
    probes = read(candidate / MANIFEST)["probes"]
    probes["logits"][0][0] += 0.5
    edit_json(candidate / MANIFEST, probes=probes)
    found = findings(candidate, small_adapter)
    assert faults(found) == {"answers": ("BLOCK", "answers")}
    assert "logits of probe 0 moved by 0.5 " in found["answers"].message


@pytest.mark.slow
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


DAMAGES = {
    "changed": (lambda path: edit_json(path / CONFIG, r=3), "file-changed"),
    "added": (lambda path: (path / "more.json").write_text("{}"), "file-added"),
    "lost": (lambda path: (path / WEIGHTS).unlink(), "file-missing"),
    "listed outside": (lambda path: listed(path, "../elsewhere.json"), "file-forbidden"),
    "not listed": (lambda path: listed(path, WEIGHTS, add=False), "file-added"),
}


def listed(path, name, *, add=True):
    """Adds a file to those that the manifest lists, or strikes it."""
    content = read(path / MANIFEST)
    if add:
        content["files"][name] = "0" * 64
    else:
        del content["files"][name]
    write(path / MANIFEST, content)


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
        LiveSubject(candidate, adopt=False)
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
    find = functools.cache(find_base)
    old = Side(LiveSubject(small_adapter), baseline=True, find_base=find)
    for key in sound:
        for junk in JUNK:
            write(candidate / file, sound | {key: junk})
            try:
                subject = LiveSubject(candidate) if file == MANIFEST else subject
            except AdapterError as error:
                blocked(candidate, error)
                continue
            new = Side(subject, baseline=False, find_base=find)
            for name in READERS[file]:
                found = finding(name, Comparison(new, old, Integrity()))
                assert found.outcome in (Outcome.PASS, Outcome.BLOCK, Outcome.INVALID), (key, junk, found)
                assert not found.cause.startswith("baseline"), (key, junk, found)
