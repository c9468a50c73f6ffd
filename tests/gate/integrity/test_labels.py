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
