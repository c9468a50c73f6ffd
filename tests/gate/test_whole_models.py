"""Whole models, fine-tuned or merged, as candidate and as baseline."""

import copy
import json
import re
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

import lorasent
from lorasent.adapter.classifier import quiet
from lorasent.adapter.manifest import MANIFEST
from lorasent.errors import AdapterError, BaseModelError
from lorasent.gate.finding import Outcome
from lorasent.gate.verdict import judge
from tests.support.architectures import make
from tests.support.bases import edit_json, edit_tensors
from tests.support.plain import TEXTS, train
from tests.support.policies import causes


def fine_tune(base, out, seed):
    """A script that trains every weight, saved with its tokenizer."""
    with warnings.catch_warnings(), quiet(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        tokenizer = AutoTokenizer.from_pretrained(base, model_max_length=32)
        model = AutoModelForSequenceClassification.from_pretrained(base)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(3):
            logits = model(**tokenizer(TEXTS[:3], truncation=True, padding=True, return_tensors="pt")).logits
            torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 0])).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval().save_pretrained(out)
        tokenizer.save_pretrained(out)


@pytest.fixture(scope="module")
def models(bases, tmp_path_factory):
    """A base, two models fine-tuned from it, and an adapter on it, with its merged model."""
    folder = tmp_path_factory.mktemp("models")
    base = make(bases, folder / "base", "bert")
    for seed in (0, 1):
        fine_tune(base, folder / f"whole-{seed}", seed)

    def merge(model, tokenizer):
        tokenizer.save_pretrained(folder / "merged")
        copy.deepcopy(model).merge_and_unload().save_pretrained(folder / "merged")

    train(base, folder / "adapter", opened={"model_max_length": 32}, at_end=merge)
    return folder


@pytest.mark.slow
def test_two_fine_tuned_models_pass(models, of_files):
    """They have nothing in common but how they are configured."""
    verdict = judge(models / "whole-1", [models / "whole-0"], of_files())
    assert not causes(verdict), verdict.findings


@pytest.mark.slow
def test_from_a_fine_tuned_model_to_lora_is_a_declared_change(models, of_files):
    """The commonest change there is: undeclared, it is named."""
    assert causes(judge(models / "adapter", [models / "whole-0"], of_files())) >= {("integrity::base", "base")}
    verdict = judge(models / "adapter", [models / "whole-0"], of_files('may_change = ["base", "lora"]'))
    assert not causes(verdict), verdict.findings


@pytest.mark.slow
def test_a_merged_model_may_replace_its_adapter(models, of_files):
    """And answers as it does."""
    verdict = judge(models / "merged", [models / "adapter"], of_files('may_change = ["base", "lora"]'))
    assert not causes(verdict), verdict.findings
    with pytest.warns(UserWarning, match="cannot be verified"):
        merged, adapter = (lorasent.load(models / name).logits(TEXTS) for name in ("merged", "adapter"))
    assert abs(merged - adapter).max() < 1e-4


@pytest.mark.slow
def test_an_adopted_model_is_held_to_its_files(models, of_files, tmp_path):
    """A weight that changed after the adoption is found."""
    for seed in (0, 1):
        lorasent.adopt(models / f"whole-{seed}", tmp_path / str(seed))
    assert not causes(judge(tmp_path / "1", [tmp_path / "0"], of_files()))
    edit_tensors(tmp_path / "1" / "model.safetensors", lambda tensors: tensors["classifier.weight"].neg_())
    assert ("integrity::files", "file-changed") in causes(judge(tmp_path / "1", [tmp_path / "0"], of_files()))


def test_a_model_without_a_head_blocks(models, of_files, tmp_path):
    """It was saved as a backbone: the head would be random at every load."""
    path = shutil.copytree(models / "whole-1", tmp_path / "headless")
    with quiet():
        AutoModel.from_pretrained(models / "whole-1").save_pretrained(path)
    assert "classifier.weight" not in load_file(path / "model.safetensors")
    verdict = judge(path, [models / "whole-0"], of_files())
    assert causes(verdict) == {("integrity::files", "head-missing")}


def test_a_number_that_is_not_finite_blocks(models, of_files, tmp_path):
    """As in an adapter."""
    path = shutil.copytree(models / "whole-1", tmp_path / "broken")
    edit_tensors(path / "model.safetensors", lambda tensors: tensors["bert.pooler.dense.weight"].view(-1)[:1].fill_(float("nan")))
    verdict = judge(path, [models / "whole-0"], of_files())
    assert verdict.outcome is Outcome.BLOCK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "found"), [("classifier.weight", {("integrity::values", "head-zero")}), ("bert.pooler.dense.bias", set())]
)
def test_only_a_head_of_zeros_blocks(models, of_files, tmp_path, name, found):
    """Other tensors of a model that was trained elsewhere may be zero."""
    path = shutil.copytree(models / "whole-1", tmp_path / "zero")
    edit_tensors(path / "model.safetensors", lambda tensors: tensors[name].zero_())
    assert causes(judge(path, [models / "whole-0"], of_files())) == found


@pytest.mark.slow
def test_an_adopted_model_answers_as_on_the_day_of_its_adoption(models, tmp_path):
    """As transformers does; a manifest of other answers, or of other weights, is refused."""
    lorasent.adopt(models / "whole-0", tmp_path / "adopted")
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(models / "whole-0")
    tokenizer = AutoTokenizer.from_pretrained(models / "whole-0")
    with torch.no_grad():
        expected = [model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].numpy() for text in TEXTS]
    assert abs(lorasent.load(tmp_path / "adopted").logits(TEXTS) - expected).max() < 1e-4
    manifest = json.loads((tmp_path / "adopted" / MANIFEST).read_text())
    moved = [[logit + 1 for logit in logits] for logits in manifest["probes"]["logits"]]
    edit_json(tmp_path / "adopted" / MANIFEST, probes={**manifest["probes"], "logits": moved})
    with pytest.raises(AdapterError, match=r"^.*adopted: does not answer as it did .* moved by 1, tolerance"):
        lorasent.load(tmp_path / "adopted")
    edit_json(tmp_path / "adopted" / MANIFEST, base={**manifest["base"], "sha256": "f" * 64})
    with pytest.raises(BaseModelError, match=rf"^{re.escape(str(tmp_path))}.adopted: the base's weights have sha256"):
        lorasent.load(tmp_path / "adopted")
