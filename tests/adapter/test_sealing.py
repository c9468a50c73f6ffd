"""Seals and adoption: what the manifest says, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

import lorasent
from lorasent.adapter.classifier import quiet
from lorasent.adapter.directory import load
from lorasent.errors import AdapterError
from tests.support.architectures import make
from tests.support.bases import LABELS, edit_json
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


def test_an_adapter_with_a_name_is_found_with_the_tokenizer_beside_its_folder(script, tmp_path):
    """PEFT saves it in a folder of its name, the script its tokenizer above."""
    folder, expected = script
    named = tmp_path / "out" / "films"
    shutil.copytree(folder / "saved", named)
    for file in named.glob("tokenizer*"):
        file.rename(named.parent / file.name)
    lorasent.adopt(named.parent, tmp_path / "adopted")
    np.testing.assert_allclose(lorasent.load(tmp_path / "adopted").logits(TEXTS), expected, rtol=0, atol=1e-5)


def model_of(base, **changes):
    """A model with LoRA that was not trained, and its tokenizer."""
    settings = {"task_type": "SEQ_CLS", "target_modules": ["query"], **changes}
    with quiet(), torch.random.fork_rng():
        model = AutoModelForSequenceClassification.from_pretrained(base)
        return get_peft_model(model, LoraConfig(**settings)), AutoTokenizer.from_pretrained(base)


def test_what_peft_would_not_save_is_not_sealed(base, tmp_path):
    """A layer that was unfrozen by hand is trained, and lost with the memory."""
    model, tokenizer = model_of(base)
    next(value for name, value in model.named_parameters() if name.endswith("LayerNorm.weight")).requires_grad_(True)
    with pytest.raises(
        AdapterError, match=r"PEFT does not save what was trained: .*LayerNorm.weight; name its modules in modules_to_save"
    ):
        lorasent.seal(model, tokenizer, tmp_path / "sealed")


def test_a_refused_seal_loses_nothing(base, tmp_path):
    """What PEFT saves is kept beside, and the error names it."""
    model, tokenizer = model_of(base, init_lora_weights="pissa")
    with pytest.raises(AdapterError, match=r"path_initial_model_for_weight_conversion.*what PEFT saved is in .*sealed.unsealed$"):
        lorasent.seal(model, tokenizer, tmp_path / "sealed")
    assert (tmp_path / "sealed.unsealed" / "adapter_model.safetensors").is_file()


def test_only_a_model_with_lora_is_sealed(base, tmp_path):
    """A model without is refused in one line."""
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(base)
    with pytest.raises(AdapterError, match=r"^seal: needs a PeftModel, .* found BertForSequenceClassification$"):
        lorasent.seal(model, AutoTokenizer.from_pretrained(base), tmp_path / "sealed")


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


def test_a_place_that_is_taken_is_told_before_the_training(tmp_path):
    """Not after it."""
    with pytest.raises(AdapterError, match="exists already"):
        lorasent.SealCallback(tmp_path)


def test_an_adapter_with_a_manifest_is_not_adopted(script, tmp_path):
    """It is judged as it is."""
    with pytest.raises(AdapterError, match="has a manifest"):
        lorasent.adopt(script[0] / "sealed", tmp_path / "out")
