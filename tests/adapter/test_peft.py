"""Adapters outside lorasent: plain PEFT, a transformers pipeline, and bases out of a prepared hub cache.

Each runs in a process of its own, offline, since the hub's client reads its settings once.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from transformers import DistilBertConfig

from lorasent.adapter.base import EMBEDDED_NAME, find
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.scorer import load
from tests.support.bases import make_hub_cache
from tests.support.patterned import make_patterned

TEXTS = ["it was a good movie", "not worth the time", "The plot is thin. " * 200 + "Still, I loved it."]

PLAIN = """
import json, sys
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer, pipeline
path, texts = sys.argv[1], json.loads(sys.argv[2])
model = AutoPeftModelForSequenceClassification.from_pretrained(path).eval()
tokenizer = AutoTokenizer.from_pretrained(path)
rows = []
for text in texts:
    with torch.no_grad():
        rows.append(model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].tolist())
piped = pipeline("text-classification", model=path, tokenizer=path, device="cpu", function_to_apply="none", top_k=None)
answers = piped(texts, truncation=True)
scores = [[score for _, score in sorted((row["label"], row["score"]) for row in answer)] for answer in answers]
print(json.dumps({"peft": rows, "pipeline": scores, "labels": sorted(row["label"] for row in piped("x")[0])}))
"""


def run(code, home, *arguments):
    """Runs Python in its own offline process; its last line of output, parsed."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_plain_peft_and_a_pipeline_give_the_same_logits(tmp_path):
    """AutoPeftModelForSequenceClassification and pipeline, base by its hub name out of the cache, to 1e-5."""
    from lorasent.training.train import train

    path = train(Recipe.read("embedded", ["data.sample=8", "training.epochs=1", "training.precision=fp32"]), tmp_path / "a").path
    make_hub_cache(tmp_path / "hf", EMBEDDED_NAME, find("embedded").path, "f" * 40)
    plain = run(PLAIN, tmp_path / "hf", path, json.dumps(TEXTS))
    ours = load(path).logits(TEXTS)
    np.testing.assert_allclose(plain["peft"], ours, atol=1e-5)
    np.testing.assert_allclose(plain["pipeline"], ours, atol=1e-5)
    assert plain["labels"] == ["LABEL_0", "LABEL_1"]  # plain PEFT keeps no label names; the manifest does


@pytest.mark.slow
def test_distilbert_by_its_hub_name_trains_and_predicts_offline(tmp_path):
    """The reference recipe's base, of full shape and patterned weights, out of a cache in the hub's own layout."""
    patterned = make_patterned(tmp_path / "patterned", DistilBertConfig(), find("embedded").path)
    revision = Recipe.read("imdb-distilbert").base.revision
    make_hub_cache(tmp_path / "hf", "distilbert-base-uncased", patterned, revision)
    code = """
import json, sys
from lorasent import Recipe, load, train
from lorasent.training.train import Listener
heard = {}
class Notes(Listener):
    def prepared(self, run):
        heard.update(trainable=run.parameters.trainable, total=run.parameters.total)
overrides = ["data.train=embedded:train", "data.validation=embedded:validation", "data.sample=8", "training.epochs=1"]
path = train(Recipe.read("imdb-distilbert", overrides), sys.argv[1], listener=Notes()).path
manifest = json.loads((path / "lorasent.json").read_text())
print(json.dumps({**heard, "base": manifest["base"], "labels": [row.label for row in load(path).predict(["a film", "no film"])]}))
"""
    said = run(code, tmp_path / "hf", tmp_path / "adapter")
    assert (said["trainable"], said["total"]) == (628_994, 67_584_004)
    assert (said["base"]["name"], said["base"]["revision"]) == ("distilbert-base-uncased", revision)
    assert set(said["labels"]) <= {"Negative", "Positive"}
