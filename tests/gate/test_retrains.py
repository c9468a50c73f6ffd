"""A bank consists of retrains: each differs from the first by its seed, and from all others by its weights."""

from types import SimpleNamespace

import pytest

from lorasent.gate import retrains
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from tests.gate.answers import film_reviews, first_word_decides
from tests.support.manifests import manifest, split


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
