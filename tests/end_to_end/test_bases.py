"""An adapter of every supported base goes the whole way: trained, saved, loaded by plain PEFT, merged, judged."""

import shutil

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from lorasent import Recipe, train
from lorasent.adapter import directory
from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, quiet
from lorasent.adapter.manifest import MANIFEST, WEIGHTS, read_json
from lorasent.files import canonical, sha256
from lorasent.scoring.scorer import load
from tests.support.bases import LABELS

BASES = ("distilbert", "bert", "roberta", "deberta-v2", "electra", "albert", "modernbert", "minilm")
TEXTS = [*directory.SAMPLE_REVIEWS, "The plot is thin. " * 40 + "Still, I loved it."]
POLICY = """
[data]
test = "embedded:validation"
[integrity]
truncation_side = "left"
[cost]
max_flops_ratio = 1.0
"""


def recipe(model, seed, **lora):
    """Returns a recipe that trains LoRA on the query projections in a second."""
    tables = {
        "base": {"model": str(model), "labels": LABELS},
        "data": {"train": "embedded:train", "validation": "embedded:validation", "sample": 24},
        "encoding": {"max_length": 64},
        "lora": {
            "r": 2,
            "alpha": 64,
            "target_modules": ["query"],
            **lora,
        },  # attention of a random base is nearly even
        "training": {"epochs": 2, "batch_size": 4, "learning_rate": 2e-2, "seed": seed},
    }
    return Recipe.parse(tables, "test")


@pytest.mark.parametrize(
    ("base", "variant"),
    [
        ("bert", {}),
        *(
            pytest.param(base, variant, marks=pytest.mark.slow)
            for base, variant in (
                *((base, {}) for base in BASES if base != "bert"),
                ("bert", {"use_rslora": True}),
                ("modernbert", {"use_dora": True}),
                ("deberta-v2", {"use_rslora": True, "use_dora": True}),
                ("distilbert", {"lora_plus_ratio": 4.0}),
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "LoRA",
)
def test_every_base_goes_the_whole_way(lorasent, bases, tmp_path, monkeypatch, base, variant):
    """Plain PEFT and the merged model give the same logits to 1e-5; the gate passes a retrain, and blocks it with LoRA zeroed."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    # MiniLM is the embedded base, copied to a directory where plain PEFT finds it without a hub.
    model = shutil.copytree(find("embedded").path, tmp_path / "base") if base == "minilm" else bases(base)
    first, second = (train(recipe(model, seed, **variant), tmp_path / f"seed-{seed}").path for seed in (0, 1))

    ours = load(first).logits(TEXTS)
    with quiet(), torch.no_grad():
        plain = AutoPeftModelForSequenceClassification.from_pretrained(first).eval()
        tokenizer = AutoTokenizer.from_pretrained(first)
        rows = [plain(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].numpy() for text in TEXTS]
    np.testing.assert_allclose(rows, ours, rtol=0, atol=1e-5)

    loaded = directory.load(first)
    np.testing.assert_allclose(answer(loaded.model.merge_and_unload(), loaded.encoder, TEXTS), ours, rtol=0, atol=1e-5)

    (tmp_path / "gate.toml").write_text(POLICY)
    done = lorasent("gate", second, "--baseline", first, "--policy", tmp_path / "gate.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout

    tensors = {name: tensor.zero_() if ".lora_B" in name else tensor for name, tensor in load_file(second / WEIGHTS).items()}
    save_file(tensors, second / WEIGHTS)
    told = read_json(second / MANIFEST)
    told["files"][WEIGHTS] = sha256(second / WEIGHTS)
    (second / MANIFEST).write_text(canonical(told), "utf-8")
    done = lorasent("gate", second, "--baseline", first, "--policy", tmp_path / "gate.toml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BLOCK" in done.stdout
