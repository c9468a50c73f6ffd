"""Faults in adapters that a plain PEFT script trained: sealed ones as lorasent's own, adopted ones where the files can show it."""

import pytest

import lorasent
from lorasent.prove.catalogue import FAULTS
from lorasent.prove.experiment import measure
from tests.support.architectures import make
from tests.support.bases import LABELS
from tests.support.plain import train

IN_FILES = [fault for fault in FAULTS if fault.plant and fault.kind == "integrity"]

IN_MEMORY = ("answers", "head-swapped", "scaling")
"""Causes that only the memory of the trainer shows; an adopted adapter has what its files say."""


@pytest.fixture(scope="module")
def adapters(bases, tmp_path_factory):
    """Two runs of a script, sealed and adopted."""
    folder = tmp_path_factory.mktemp("scripts")
    base = make(bases, folder / "base", "bert")
    for seed in (0, 1):
        sealed, saved = folder / f"sealed-{seed}", folder / f"saved-{seed}"
        train(
            base, saved, cut=32, seed=seed, r=4, lora_alpha=64, target_modules=["query", "value"],
            at_end=lambda model, words, to=sealed: lorasent.seal(model, words, to, labels=LABELS),
        )  # fmt: skip
        lorasent.adopt(saved, folder / f"adopted-{seed}", labels=LABELS)
    return folder


def judged(adapters, origin, fault, policy, tmp_path):
    """What `prove` says of a fault in an adapter of this origin."""
    pair = [adapters / f"{origin}-{seed}" for seed in (0, 1)]
    (result,) = measure(pair, policy, tmp_path / "work", per_fault=1, faults=[fault]).faults
    return result


@pytest.mark.slow
@pytest.mark.parametrize("fault", IN_FILES, ids=lambda fault: fault.name)
def test_a_fault_in_a_sealed_adapter_is_blocked_by_a_right_cause(adapters, policy, tmp_path, fault):
    """As in lorasent's own."""
    result = judged(adapters, "sealed", fault, policy, tmp_path)
    assert (result.outcomes, result.named, result.note) == ({"BLOCK": 1}, 1, ""), result.causes


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in IN_FILES if not {*fault.causes} & {*IN_MEMORY}], ids=lambda fault: fault.name)
def test_a_fault_that_an_adopted_adapters_files_show_is_blocked(adapters, policy, tmp_path, fault):
    """Though it was adopted with the fault."""
    result = judged(adapters, "adopted", fault, policy, tmp_path)
    assert (result.outcomes, result.note) == ({"BLOCK": 1}, ""), result.causes


def test_what_needs_a_recipe_is_not_planted(adapters, policy, tmp_path):
    """A fault of training data, in an adapter that another script trained."""
    fault = next(fault for fault in FAULTS if fault.corrupt)
    result = judged(adapters, "sealed", fault, policy, tmp_path)
    assert result.planted == 0
    assert result.note.endswith("has no recipe to train by: another script trained it")
