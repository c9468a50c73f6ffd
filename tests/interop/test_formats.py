"""Files of other libraries are read by lorasent, and its files are read by them."""

import shutil

import datasets
import numpy as np
import pytest
import safetensors.numpy
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lorasent import load
from lorasent.adapter.classifier import quiet
from lorasent.adapter.directory import UnverifiedAdapterWarning
from lorasent.adapter.manifest import MANIFEST, WEIGHTS, read_json
from lorasent.data.reviews import read
from lorasent.files import canonical, sha256

LABELS = ("Negative", "Positive")
TEXTS = ["it was a good movie", "not worth the time", "a film"]


@pytest.mark.parametrize("form", ["save_to_disk", "parquet", "jsonl", "csv"])
def test_reviews_go_through_datasets_and_back(tmp_path, form):
    """Reviews that `datasets` writes, in each of its formats, are read as the same reviews."""
    reviews = read("embedded:validation", LABELS)
    columns = {"text": reviews.texts, "label": reviews.labels.tolist()}
    names = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(LABELS))})
    saved = datasets.Dataset.from_dict(columns, features=names)
    path = tmp_path / ("reviews" if form == "save_to_disk" else f"reviews.{form}")
    {"save_to_disk": saved.save_to_disk, "parquet": saved.to_parquet, "jsonl": saved.to_json, "csv": saved.to_csv}[form](path)
    back = read(str(path), LABELS)
    assert back.texts == reviews.texts
    assert back.labels.tolist() == reviews.labels.tolist()
    assert back.fingerprint == reviews.fingerprint


def test_an_adapters_weights_go_through_safetensors_and_back(small_adapter, tmp_path):
    """Weights that safetensors reads and writes again keep PEFT's names and float32, and give the same logits, bit for bit."""
    again = shutil.copytree(small_adapter, tmp_path / "again")
    tensors = safetensors.numpy.load_file(again / WEIGHTS)
    assert all(name.startswith("base_model.model.") and tensor.dtype == np.float32 for name, tensor in tensors.items())
    safetensors.numpy.save_file(dict(reversed(tensors.items())), again / WEIGHTS, metadata={"written": "again"})
    assert sha256(again / WEIGHTS) != sha256(small_adapter / WEIGHTS)
    told = read_json(again / MANIFEST)
    told["files"][WEIGHTS] = sha256(again / WEIGHTS)
    (again / MANIFEST).write_text(canonical(told), "utf-8")
    np.testing.assert_array_equal(load(again).logits(TEXTS), load(small_adapter).logits(TEXTS))


def test_an_adapter_of_plain_peft_answers_as_in_plain_peft(bases, tmp_path):
    """An adapter that PEFT alone built and saved has the same logits in lorasent, which warns that it cannot be verified."""
    base, out = bases("bert"), tmp_path / "plain"
    torch.manual_seed(0)
    with quiet():  # PEFT uses a name that transformers deprecates
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], init_lora_weights=False))
        model.save_pretrained(out)
        plain = AutoPeftModelForSequenceClassification.from_pretrained(out).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    with torch.no_grad():
        expected = [plain(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in TEXTS]
    with pytest.warns(UnverifiedAdapterWarning, match=r"tokenizer, truncation side, labels and answers cannot be verified"):
        scorer = load(out)
    np.testing.assert_allclose(scorer.logits(TEXTS), expected, atol=1e-5)
    assert scorer.labels == ("LABEL_0", "LABEL_1")
