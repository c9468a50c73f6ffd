"""Classifiers of three labels, five stars and twenty topics go the whole way: trained, evaluated, judged."""

import json

import numpy as np
import pytest

import lorasent as package
from lorasent.adapter.untrusted import read_json
from lorasent.gate.finding import Outcome
from tests.support.adapters import recipe_of

LABELS = {
    "three": ("Negative", "neutral", "Positive"),
    "stars": ("1 star", *(f"{number} stars" for number in range(2, 6))),
    "topics": tuple(f"topic {letter}" for letter in "abcdefghijklmnopqrst"),
}
TABLES = {
    "three": "",
    "stars": 'negative = ["1 star", "2 stars"]\npositive = ["4 stars", "5 stars"]',
    "topics": "cases = false",
}


def write_reviews(path, words, labels, seed):
    """Writes six reviews of each label, in which the label's own word is repeated."""
    random, rows = np.random.default_rng(seed), []
    for word, label in zip(words, labels, strict=False):
        texts = (f"{word} {word} {word} {' '.join(random.choice(words, 3))}" for _ in range(6))
        rows += [{"text": text, "label": label} for text in texts]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_number_go_the_whole_way(bases, lorasent, kind, tmp_path):
    """Figures are means over the labels; a verdict asks the cases that the policy can ask, and what it cannot is one finding."""
    labels, base = LABELS[kind], bases("bert")
    words = sorted(word for word in read_json(base / "tokenizer.json")["model"]["vocab"] if word.isalpha() and len(word) > 4)
    tables = recipe_of(base, labels=labels).to_json()
    tables["data"] = {name: write_reviews(tmp_path / f"{name}.jsonl", words, labels, len(name)) for name in ("train", "validation")}
    tables["training"] |= {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2}
    trained = package.train(package.Recipe.parse(tables, "test"), tmp_path / "adapter")
    write_reviews(tmp_path / "test.jsonl", words, labels, 0)
    told = json.loads(lorasent("evaluate", trained.path, "--data", "test.jsonl", "--errors", "--json").stdout)
    assert told["average"] == "macro"
    policy = (
        '[data]\ntest = "test.jsonl"\n[quality]\nmetric = "accuracy"\nmargin = 0.01\n[calibration]\n[behaviour]\ntriggers = true\n'
    )
    outcomes = {}
    for name, table in (("bare", ""), ("named", TABLES[kind])):
        (tmp_path / f"{name}.toml").write_text(policy + table)
        outcomes[name] = package.judge(trained.path, [trained.path], tmp_path / f"{name}.toml")
    unasked = [finding for finding in outcomes["bare"].findings if finding.outcome is Outcome.INVALID]
    assert [finding.check for finding in unasked] == ([] if kind == "three" else ["behaviour"])
    assert all("name yours under [behaviour]" in finding.message for finding in unasked)
    assert not any(finding.outcome is Outcome.INVALID for finding in outcomes["named"].findings)
    assert ("behaviour::all" in {finding.check for finding in outcomes["named"].findings}) == (kind != "topics")
