"""A bank consists of retrains: each differs from the first by its seed, and from all others by its weights."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate import retrains
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.scoring.evidence import Answers, LiveSubject
from tests.gate.answers import film_reviews, first_word_decides
from tests.support.manifests import adopted, manifest, split


def member(name, seed=0, **keys):
    """A baseline with its manifest."""
    recipe = {"base": {"model": "m"}, "lora": {"r": 4}, "training": {"seed": seed}, "data": {"train": f"here/{seed}"}}
    whole = {"recipe": recipe, "labels": ["a", "b"], "data": {"train": split(sha256="d")}}
    return SimpleNamespace(name=name, identity=name.partition(" ")[0], manifest=manifest(**{**whole, **keys}))


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        (member("two", 1, base={"name": "m", "sha256": "c", "revision": None}), "another base"),
        (member("two", 1, labels=["b", "a"]), "other labels"),
        (member("two", 1, recipe={"lora": {"r": 8}}), "another recipe"),
        (member("two", 1, data={"train": split(sha256="e")}), "other reviews"),
        (member("two", 1, data={"train": split(sha256="d"), "validation": split(sha256="e")}), "other reviews"),
        (member("two", 1, labels=["b", "a"], recipe={"lora": {"r": 8}}), "other labels, another recipe"),
        (member("one again", 0), "it is the same adapter as one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bank_is_of_retrains(other, apart):
    """Whoever differs by more than a seed, or by nothing, has another spread: nothing can be judged by such a bank."""
    first, retrain, new = member("one"), member("three", 3), member("new", 9)
    assert retrains.check([first], new) == retrains.check([first, retrain], new) == []
    message = f"{other.name}: is not a retrain of one: {apart}"
    assert retrains.check([first, other, retrain], new) == [
        Finding("baseline", Outcome.INVALID, "baseline", message, "give baselines that differ by their seed alone")
    ]


def scripted(name, peft=None, **keys):
    """A baseline that another script trained."""
    return SimpleNamespace(name=name, identity=name, manifest=adopted({"r": 2, **(peft or {})}, **keys))


def test_a_bank_of_another_scripts_is_of_retrains():
    """By PEFT's configuration and the encoding, where no recipe says how they were trained."""
    encoding = {"max_length": 8, "truncation_side": "right", "pad_token_id": 0}
    bank = [scripted("one"), scripted("two"), scripted("three", {"r": 4}), scripted("four", encoding=encoding)]
    told = [found.message for found in retrains.check(bank, scripted("new"))]
    assert told == [f"{name}: is not a retrain of one: another recipe" for name in ("three", "four")]


def test_the_candidate_is_no_retrain_of_its_own(adapters):
    """As a second baseline it would be what it is held to; as the incumbent itself it changes nothing."""
    assert judge("new", ["old", "new"], Policy()).findings[0].message == "new: is not a retrain of old: it is the candidate"
    assert judge("old", ["old", "other"], Policy()).outcome is Outcome.PASS


def test_baselines_that_answer_alike_are_one(adapters, policy):
    """Whatever their files are; so are the candidate and a baseline behind the first."""
    adapters["third"] = adapters["new"] = lambda texts: first_word_decides(texts, 1.5)
    rules = policy(film_reviews(60, 60))
    told = [one.message for one in judge("new", ["old", "second"], rules).findings if one.check == "baseline"]
    assert told == ["second: is not a retrain: it answers all 120 reviews as old does"]
    told = [one.message for one in judge("new", ["old", "third"], rules).findings if one.check == "baseline"]
    assert told == ["third: is not a retrain: it answers all 120 reviews as new does"]
    assert judge("old", ["old", "third"], rules).outcome is Outcome.PASS


def test_the_first_that_an_adapter_repeats_is_named():
    """One is enough, of however many."""
    told = [found.message for found in retrains.check([member("one"), member("one b"), member("one c")], member("new"))]
    assert told == [f"{name}: is not a retrain of one: it is the same adapter as one" for name in ("one b", "one c")]


def test_weights_are_known_by_their_tensors(tmp_path):
    """Under whatever names they are stored: by type, shape and numbers. A file that cannot be read has no such hash."""
    live, arrays = object.__new__(LiveSubject), [np.ones((2, 1), np.float32), np.arange(3, dtype=np.float16)]
    live.identity, live.manifest, live.snapshot = "i", manifest(files={WEIGHTS: "w"}), SimpleNamespace(folder=tmp_path)
    digests = [hashlib.sha256(f"{each.dtype} {each.shape}".encode() + each.tobytes()).hexdigest() for each in arrays]
    expected = {"i", "w", hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()}
    for names in ("ab", "ba"):
        save_file(dict(zip(names, arrays, strict=True)), tmp_path / WEIGHTS)
        assert retrains._hashes(live) == expected
    (tmp_path / WEIGHTS).write_text("broken")
    assert retrains._hashes(live) == {"i", "w"}


def test_logits_as_far_apart_as_two_machines_bring_them_are_not_alike():
    """SAME_LOGITS itself is a difference."""

    def answers(logit):
        return Answers(np.full((2, 2), logit, np.float32), np.ones(2, np.int64))

    assert retrains.alike(["new", "old", "third"], [answers(1), answers(0), answers(retrains.SAME_LOGITS)]) == []
    (found,) = retrains.alike(["new", "old", "third"], [answers(1), answers(0), answers(retrains.SAME_LOGITS / 2)])
    assert found.message == "third: is not a retrain: it answers all 2 reviews as old does"
