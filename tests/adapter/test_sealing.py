"""Seals and adoption: what the manifest says, and what is refused."""

import copy
import json
import re
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

import lorasent
from lorasent import files
from lorasent.adapter import sealing
from lorasent.adapter.classifier import answer, quiet
from lorasent.adapter.directory import PROBES, load
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.snapshot import SUPPORTED, Snapshot
from lorasent.errors import AdapterError
from tests.support.architectures import make
from tests.support.bases import LABELS, edit_json, edit_tensors, make_hub_cache
from tests.support.plain import TEXTS, train


@pytest.fixture(scope="module")
def base(bases, tmp_path_factory):
    """A small BERT."""
    return make(bases, tmp_path_factory.mktemp("base") / "base", "bert")


@pytest.fixture(scope="module")
def script(base, tmp_path_factory):
    """A script's folder: its adapter `saved`, the same `sealed`, and what its memory answers to TEXTS."""
    folder = tmp_path_factory.mktemp("script")
    expected, _ = train(base, folder / "saved", cut=32, at_end=lambda model, words: lorasent.seal(model, words, folder / "sealed"))
    return folder, expected


def manifest(path):
    """The manifest of an adapter."""
    return json.loads((path / "lorasent.json").read_text())


def test_a_sealed_adapter_answers_as_the_trainers_memory(script):
    """It is verified at every load, without a warning."""
    folder, expected = script
    np.testing.assert_allclose(lorasent.load(folder / "sealed").logits(TEXTS), expected, rtol=0, atol=1e-5)


def test_a_seal_says_what_is_known(script):
    """PEFT's configuration, the encoding and the labels, and no recipe."""
    sealed = manifest(script[0] / "sealed")
    assert sealed["origin"] == "sealed"
    assert "recipe" not in sealed
    assert sealed["peft"]["r"] == 2
    assert sealed["encoding"] == {"max_length": 32, "truncation_side": "right", "pad_token_id": 0}


def test_sealing_leaves_the_model_and_the_tokenizer_as_they_are(base, tmp_path):
    """The script may go on with both."""
    seen = {}

    def seal(model, words):
        seen["before"] = [model.training, words.model_max_length, words.backend_tokenizer.truncation]
        lorasent.seal(model, words, tmp_path / "sealed")
        seen["after"] = [model.training, words.model_max_length, words.backend_tokenizer.truncation]

    train(base, tmp_path / "saved", cut=32, at_end=seal)
    assert seen["before"] == seen["after"]


def test_a_base_in_half_precision_is_loaded_as_in_the_trainers_memory(base, tmp_path):
    """Its weights were rounded there, and are rounded again at every load; answers are computed in float32."""
    train(
        base, tmp_path / "saved", dtype=torch.bfloat16, at_end=lambda model, words: lorasent.seal(model, words, tmp_path / "sealed")
    )
    assert manifest(tmp_path / "sealed")["base"]["dtype"] == "bfloat16"
    load(tmp_path / "sealed")


def test_the_reviews_that_trained_it_can_be_named(base, tmp_path):
    """As rows, a frame or a path; then a gate on them says so."""
    reviews = lorasent.read("embedded:test", LABELS)
    rows = list(zip(reviews.texts, reviews.labels.tolist(), strict=True))
    options = {"labels": LABELS, "train": rows, "validation": "embedded:validation"}
    train(base, tmp_path / "saved", at_end=lambda model, words: lorasent.seal(model, words, tmp_path / "sealed", **options))
    data = manifest(tmp_path / "sealed")["data"]
    assert data["train"]["sha256"] == reviews.fingerprint
    assert data["validation"]["source"] == "embedded:validation"


def test_an_adopted_adapter_answers_as_it_did(script, tmp_path):
    """The copy holds everything: the original may be gone."""
    folder, expected = script
    lorasent.adopt(folder / "saved", tmp_path / "adopted")
    np.testing.assert_allclose(lorasent.load(tmp_path / "adopted").logits(TEXTS), expected, rtol=0, atol=1e-5)


def test_what_the_files_do_not_say_can_be_named(script, tmp_path):
    """Labels, length and side of the truncation."""
    lorasent.adopt(script[0] / "saved", tmp_path / "out", labels=["Bad", "Good"], max_length=16, truncation_side="left")
    adopted = manifest(tmp_path / "out")
    assert adopted["labels"] == ["Bad", "Good"]
    assert adopted["encoding"] == {"max_length": 16, "truncation_side": "left", "pad_token_id": 0}
    assert lorasent.load(tmp_path / "out").predict(TEXTS)[0].label in ("Bad", "Good")


def test_a_base_that_has_moved_can_be_named(base, script, tmp_path):
    """With `base`: then the adapter's configuration names its new directory."""
    moved, lost = shutil.copytree(base, tmp_path / "moved"), shutil.copytree(script[0] / "saved", tmp_path / "lost")
    edit_json(lost / "adapter_config.json", base_model_name_or_path="/nowhere/base")
    with pytest.raises(lorasent.LorasentError, match="no such directory"):
        lorasent.adopt(lost, tmp_path / "out")
    lorasent.adopt(lost, tmp_path / "out", base=str(moved))
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(moved)
    load(tmp_path / "out")


def test_a_checkpoint_of_a_trainer_is_adopted_and_its_pickles_are_named(script, tmp_path):
    """Optimiser, random state and arguments lie beside the adapter."""
    checkpoint = shutil.copytree(script[0] / "saved", tmp_path / "checkpoint-9")
    pickles = ["optimizer.pt", "rng_state.pth", "training_args.bin"]
    for name in pickles:
        (checkpoint / name).write_bytes(b"\x80\x04N.")
    lorasent.adopt(checkpoint, tmp_path / "out")
    assert manifest(tmp_path / "out")["not_read"] == pickles
    assert not list((tmp_path / "out").glob("*.bin"))


def test_a_name_of_a_file_that_is_not_read_is_told_within_bounds(script, tmp_path):
    """Escaped, a name may be longer than a manifest's may be."""
    checkpoint = shutil.copytree(script[0] / "saved", tmp_path / "checkpoint")
    for name in ("\u200b" * 80 + ".bin", "a" * 120 + ".bin"):
        (checkpoint / name).write_bytes(b"\x80\x04N.")
    lorasent.adopt(checkpoint, tmp_path / "out")
    long, escaped = sorted(manifest(tmp_path / "out")["not_read"], key=len)
    assert (long, len(escaped)) == ("a" * 120 + ".bin", 300)


def test_an_adapter_that_is_adopted_for_one_verdict_leaves_no_folder(script):
    """The copy of it is read at once."""
    before = {*files.private().iterdir()}
    copied = sealing.adopted(Snapshot(script[0] / "saved"))
    assert copied.json("lorasent.json")["in_memory"]
    assert not [folder for folder in {*files.private().iterdir()} - before if (folder / "adapter").exists()]


def test_an_adapter_with_a_name_is_found_with_the_tokenizer_beside_its_folder(script, tmp_path):
    """PEFT saves it in a folder of its name, the script its tokenizer above."""
    folder, expected = script
    named = tmp_path / "out" / "films"
    shutil.copytree(folder / "saved", named)
    for file in named.glob("tokenizer*"):
        file.rename(named.parent / file.name)
    lorasent.adopt(named.parent, tmp_path / "adopted")
    np.testing.assert_allclose(lorasent.load(tmp_path / "adopted").logits(TEXTS), expected, rtol=0, atol=1e-5)


def model_of(base, name="default", labels=2, **changes):
    """A model with LoRA that was not trained, and its tokenizer."""
    settings = {"task_type": "SEQ_CLS", "target_modules": ["query"], **changes}
    with quiet(), torch.random.fork_rng():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
        return get_peft_model(model, LoraConfig(**settings), name), AutoTokenizer.from_pretrained(base)


def test_what_the_memory_does_not_say_can_be_named(base, tmp_path):
    """Labels, length and side of the truncation, of a model that another module holds."""
    model, tokenizer = model_of(base)
    named = {"labels": ["Bad", "Good"], "max_length": 16, "truncation_side": "left"}
    lorasent.seal(torch.nn.DataParallel(model), tokenizer, tmp_path / "sealed", **named)
    sealed = manifest(tmp_path / "sealed")
    assert sealed["labels"] == ["Bad", "Good"]
    assert sealed["encoding"] == {"max_length": 16, "truncation_side": "left", "pad_token_id": 0}


@pytest.mark.filterwarnings("ignore:Could not find a config file in films/base")  # PEFT's, where the hub is not asked
def test_the_base_is_the_commit_that_the_memory_was_loaded_from(bases, tmp_path, monkeypatch):
    """Though the hub's main branch has moved on."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    snapshot = make_hub_cache(tmp_path / "hf", "films/base", bases("bert"), "a" * 40)
    newer = shutil.copytree(snapshot, snapshot.with_name("b" * 40))
    edit_tensors(newer / "model.safetensors", lambda tensors: tensors.update({name: -value for name, value in tensors.items()}))
    (snapshot.parent.parent / "refs" / "main").write_text("b" * 40)
    model, tokenizer = model_of(snapshot)
    model.peft_config["default"].base_model_name_or_path = "films/base"
    model.get_base_model().config._commit_hash = "a" * 40
    lorasent.seal(model, tokenizer, tmp_path / "sealed")
    assert manifest(tmp_path / "sealed")["base"]["revision"] == "a" * 40


def test_an_adapter_of_another_name_is_sealed_alone(base, tmp_path, monkeypatch):
    """Beside others in one memory; what PEFT writes before lies where no other user can read it."""
    model, tokenizer = model_of(base, "films")
    model.add_adapter("other", LoraConfig(task_type="SEQ_CLS", target_modules=["key"]))
    calls, save = [], model.save_pretrained

    def spy(folder, **options):
        calls.append((folder, options))
        save(folder, **options)

    monkeypatch.setattr(model, "save_pretrained", spy)
    lorasent.seal(model, tokenizer, tmp_path / "sealed")
    [(folder, options)] = calls
    assert options["selected_adapters"] == ["films"]
    assert str(files.private()) in str(folder)
    assert manifest(tmp_path / "sealed")["peft"]["target_modules"] == ["query"]
    load(tmp_path / "sealed")


def test_the_configuration_is_the_memorys(base, tmp_path, monkeypatch):
    """Whatever goes wrong on the way to the disk."""
    model, tokenizer = model_of(base, r=2)
    save = model.save_pretrained

    def damage(folder, **options):
        save(folder, **options)
        edit_json(Path(folder) / "adapter_config.json", lora_alpha=5)

    monkeypatch.setattr(model, "save_pretrained", damage)
    lorasent.seal(model, tokenizer, tmp_path / "sealed")
    assert manifest(tmp_path / "sealed")["peft"]["lora_alpha"] == 8


def test_texts_are_padded_as_the_model_is_configured(bases, tmp_path):
    """Though the tokenizer has another pad token."""
    model, tokenizer = model_of(make(bases, tmp_path / "base", "bert", pad_token_id=5))
    lorasent.seal(model, tokenizer, tmp_path / "sealed")
    assert manifest(tmp_path / "sealed")["encoding"]["pad_token_id"] == 5


@pytest.mark.parametrize("function", [lorasent.seal, lorasent.adopt])
def test_what_is_no_path_is_refused(base, tmp_path, function):
    """Before anything else."""
    arguments = (*model_of(base), 7) if function is lorasent.seal else (7, tmp_path / "out")
    what = "the adapter's directory" if function is lorasent.seal else "an adapter's directory"
    with pytest.raises(AdapterError, match=f"^expected {what} as a str or a Path, found '7' "):
        function(*arguments)


def test_what_peft_would_not_save_is_not_sealed(base, tmp_path):
    """A layer that was unfrozen by hand is trained, and lost with the memory."""
    model, tokenizer = model_of(base)
    next(value for name, value in model.named_parameters() if name.endswith("LayerNorm.weight")).requires_grad_(True)
    with pytest.raises(
        AdapterError, match=r"PEFT does not save what was trained: .*LayerNorm.weight; name its modules in modules_to_save"
    ):
        lorasent.seal(model, tokenizer, tmp_path / "sealed")


def test_a_refused_seal_loses_nothing(base, tmp_path):
    """What PEFT saves is kept beside, and the error names it; so at the next attempt."""
    model, tokenizer = model_of(base, init_lora_weights="pissa")
    place = re.escape(str(tmp_path / "sealed"))
    message = f"^{place}.*path_initial_model_for_weight_conversion.*; what PEFT saved is in {place}.unsealed$"
    for _ in range(2):
        with pytest.raises(AdapterError, match=message):
            lorasent.seal(model, tokenizer, tmp_path / "sealed")
    assert (tmp_path / "sealed.unsealed" / "adapter_model.safetensors").is_file()


def test_only_a_model_with_lora_is_sealed(base, tmp_path):
    """A model without is refused in one line."""
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(base)
    with pytest.raises(AdapterError, match=r"^seal: needs a PeftModel, .* found BertForSequenceClassification$"):
        lorasent.seal(model, AutoTokenizer.from_pretrained(base), tmp_path / "sealed")


def both_active(base):
    """A model of which two adapters are active, which PEFT allows where neither saves the head."""
    model, _ = model_of(base, task_type=None)
    model.add_adapter("other", LoraConfig(target_modules=["key"]))
    model.base_model.set_adapter(["default", "other"])
    return model


def headless(base):
    """A model with LoRA that gives no label."""
    with quiet():
        return get_peft_model(AutoModel.from_pretrained(base), LoraConfig(target_modules=["query"]))


def scaled(base):
    """A model that another method of PEFT adapts."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own
        model = AutoModelForSequenceClassification.from_pretrained(base)
        return get_peft_model(model, IA3Config(target_modules=["query"], feedforward_modules=[]))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (both_active, "needs one active adapter, found default, other: use set_adapter"),
        (scaled, f"peft_type is IA3; {SUPPORTED}"),
        (lambda base: model_of(base, labels=1)[0], f"found BertForSequenceClassification of 1 outputs; {SUPPORTED}"),
        (headless, f"found BertModel of 2 outputs; {SUPPORTED}"),
    ],
    ids=["two at once", "another method", "a regression", "no head"],
)
def test_what_could_not_be_judged_is_not_sealed(base, tmp_path, made, message):
    """One line says what was found."""
    with pytest.raises(AdapterError, match=f"^seal: {re.escape(message)}$"):
        lorasent.seal(made(base), AutoTokenizer.from_pretrained(base), tmp_path / "sealed")


def test_a_base_of_mixed_types_is_not_sealed(base):
    """Of embeddings in one type and adapted layers in another, no load could make the same."""
    model, _ = model_of(base)
    assert sealing._dtype(copy.deepcopy(model).half()) == "float16"
    for name, value in model.named_parameters():
        if ".base_layer." in name:
            value.data = value.data.half()
    message = "the base's weights are float16, float32; needs a base of one floating-point type, not quantized"
    with pytest.raises(AdapterError, match=f"^seal: {message}$"):
        sealing._dtype(model)


def test_probes_are_answered_in_float32(base):
    """Also by a memory in which nothing is; it stays as it is."""
    model, tokenizer = model_of(base)
    model.eval().half()
    encoder = Encoder.of(tokenizer, 32, "test")
    np.testing.assert_array_equal(sealing._answers(model, encoder), answer(copy.deepcopy(model).float(), encoder, PROBES))
    assert {value.dtype for value in model.parameters()} == {torch.float16}


@pytest.mark.slow
def test_a_trainer_seals_what_it_trained(base, tmp_path):
    """With SealCallback, after the last step."""
    model, tokenizer = model_of(base)
    rows = [{**tokenizer(text, truncation=True, max_length=32), "labels": row % 2} for row, text in enumerate(TEXTS)]
    arguments = TrainingArguments(
        tmp_path / "runs", max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", learning_rate=1e-2
    )
    callback = lorasent.SealCallback(tmp_path / "sealed", max_length=32)
    with quiet():
        trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer, callbacks=[callback])
        trainer.train()
    assert load(tmp_path / "sealed").encoder.max_length == 32


def end_training(callback, model=None, first=True, **given):
    """The end of a training, as transformers tells a callback."""
    callback.on_train_end(None, SimpleNamespace(is_world_process_zero=first), None, model=model, **given)


@pytest.mark.parametrize("own", [False, True], ids=["the Trainer's", "its own"])
def test_a_callback_seals_with_its_tokenizer_or_the_trainers(base, tmp_path, own):
    """With its options, at the end."""
    model, tokenizer = model_of(base)
    other = AutoTokenizer.from_pretrained(base, truncation_side="left")
    callback = lorasent.SealCallback(tmp_path / "sealed", tokenizer if own else None, max_length=16)
    end_training(callback, model, processing_class=other)
    encoding = {"max_length": 16, "truncation_side": "right" if own else "left", "pad_token_id": 0}
    assert manifest(tmp_path / "sealed")["encoding"] == encoding


def test_a_callback_without_a_tokenizer_says_what_it_needs(tmp_path):
    """Before anything is written, and by the main process alone."""
    callback = lorasent.SealCallback(tmp_path / "sealed")
    message = "SealCallback: needs the tokenizer: give it, or processing_class to the Trainer"
    with pytest.raises(AdapterError, match=f"^{message}$"):
        end_training(callback)
    end_training(callback, first=False)


def test_a_place_that_is_taken_is_told_before_the_training(tmp_path):
    """Not after it."""
    with pytest.raises(AdapterError, match="exists already"):
        lorasent.SealCallback(tmp_path)


def test_an_adapter_with_a_manifest_is_not_adopted(script, tmp_path):
    """It is judged as it is."""
    with pytest.raises(AdapterError, match="has a manifest"):
        lorasent.adopt(script[0] / "sealed", tmp_path / "out")
