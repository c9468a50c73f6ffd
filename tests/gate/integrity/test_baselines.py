"""Integrity: what is wrong with the baseline, or missing on this machine, is INVALID and accuses nobody."""

import shutil

import pytest

from lorasent.gate.finding import Outcome
from tests.gate.integrity.adapters import (
    CONFIG,
    all_of,
    config,
    drop,
    faults,
    findings,
    gone,
    manifest,
    rehash,
    swap_head,
    tensors,
    tokens,
)
from tests.support.bases import edit_json

pytestmark = pytest.mark.usefixtures("cache")

BASELINE_FAULTS = {
    "a file was changed": (lambda path: edit_json(path / CONFIG, r=3), False, "files", "baseline-file-changed"),
    "no head": (tensors(lambda found: drop(found, "classifier")), True, "tensors", "baseline-head-missing"),
    "not finite": (all_of("classifier.bias", float("nan")), True, "values", "baseline-not-finite"),
    "labels": (manifest(labels=["Positive", "Negative"]), True, "labels", "baseline-labels"),
    "its tokenizer's file": (tokens(truncation_side="right"), True, "encoding", "baseline-truncation-side"),
    "alpha": (config(lora_alpha=8), True, "recipe", "baseline-alpha"),
    "recipe": (manifest(recipe={}), True, "recipe", "baseline-recipe-broken"),
    "count": (manifest(parameters={"total": 10_000, "trainable": 1}), True, "parameters", "baseline-parameters"),
    "the head's rows swapped": (tensors(swap_head), True, "answers", "baseline-head-swapped"),
    "no parameters": (manifest(parameters=None), True, "parameters", "baseline-manifest-broken"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", BASELINE_FAULTS)
def test_a_faulty_baseline_is_invalid(small_adapter, retrained, tmp_path, fault):
    """The candidate is not accused of what is wrong with the baseline."""
    plant, hashes, name, cause = BASELINE_FAULTS[fault]
    baseline = shutil.copytree(small_adapter, tmp_path / "baseline")
    plant(baseline)
    if hashes:
        rehash(baseline)
    found = findings(retrained, baseline)
    assert (found[name].outcome, found[name].cause) == (Outcome.INVALID, cause)
    assert {outcome for outcome, _ in faults(found).values()} == {"INVALID"}


def test_a_base_that_is_not_to_be_had_is_invalid(small_adapter, candidate):
    """What needs the base cannot be judged; what does not is judged."""
    gone(candidate)
    rehash(candidate)
    unavailable = ("INVALID", "base-unavailable")
    found = findings(candidate, small_adapter)
    assert faults(found) == dict.fromkeys(["tensors", "base", "recipe", "parameters", "answers"], unavailable)
    assert "/no/such/base" in found["base"].message
