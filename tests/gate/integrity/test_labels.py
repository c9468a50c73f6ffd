"""integrity::labels: the manifest's labels, its recipe's and the baseline's."""

import pytest

from lorasent.adapter.manifest import MANIFEST
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.comparison import EXPORT, Passed
from tests.gate.integrity.sides import blocks, fault, manifest, old, recipe, run, side


def test_labels_that_agree_pass():
    """They are named."""
    assert run("labels", side(), old()) == Passed("labels Negative, Positive")


def test_labels_must_be_their_own_recipes():
    """On both sides; a baseline's fault is no accusation."""
    wrong = {"manifest": manifest(labels=["Bad", "Good"])}
    message = f"/{MANIFEST}: labels are Bad, Good, its recipe trained Negative, Positive"
    assert fault(run, "labels", side(**wrong), old()) == blocks("labels", f"new{message}")
    expected = ("baseline-labels", f"the baseline is faulty: old{message}", EXPORT, Outcome.INVALID, {})
    assert fault(run, "labels", side(), old(**wrong)) == expected


@pytest.mark.parametrize(("labels", "how"), [(["Positive", "Negative"], "in another order"), (["Bad", "Positive"], "other labels")])
def test_labels_must_be_the_baselines(labels, how):
    """In its order."""
    one = side(manifest=manifest(labels=labels), recipe=recipe(base__labels=labels))
    message = f"new/{MANIFEST}: labels are {', '.join(labels)}, the baseline's are Negative, Positive: {how}"
    expected = blocks("labels", message, "train the candidate with the baseline's base.labels")
    assert fault(run, "labels", one, old()) == expected


def test_ten_labels_are_named():
    """On either side, of however many."""
    labels, others = ([f"{kind}{number:02d}" for number in range(12)] for kind in "ab")
    ten, other = (f"{', '.join(each[:10])} and 2 more" for each in (labels, others))
    one, another = (side(manifest=manifest(labels=each), recipe=recipe(base__labels=each)) for each in (labels, others))
    before = old(manifest=another.manifest, recipe=another.recipe)
    assert run("labels", one, old(manifest=one.manifest, recipe=one.recipe)) == Passed(f"labels {ten}")
    assert fault(run, "labels", one, before)[1] == f"new/{MANIFEST}: labels are {ten}, the baseline's are {other}: other labels"
    torn = side(manifest=one.manifest, recipe=another.recipe)
    assert fault(run, "labels", torn, before)[1] == f"new/{MANIFEST}: labels are {ten}, its recipe trained {other}"
