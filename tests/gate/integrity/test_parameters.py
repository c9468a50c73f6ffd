"""integrity::parameters: how many numbers are trained, as the manifest, the recipe and the policy say."""

from types import SimpleNamespace

import pytest

from lorasent.adapter.manifest import CONFIG, MANIFEST
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import parameters
from lorasent.gate.integrity.comparison import EXPORT, Fault, Passed
from lorasent.gate.sections import Integrity
from tests.gate.integrity.sides import (
    HEAD,
    SOUND,
    TOKENIZER,
    WHERE,
    blocks,
    compare,
    config,
    fault,
    layout,
    manifest,
    old,
    recipe,
    run,
    side,
)
from tests.support.manifests import adopted


def test_numbers_are_counted_as_the_manifest_says():
    """8 + 8 + 8 + 2 of them."""
    parameters.inspect(side())
    message = f"{WHERE}holds 26 numbers, {MANIFEST} says that 1,260 were trained"
    found = fault(parameters.inspect, side(manifest=manifest(parameters={"total": 2000, "trainable": 1260})))
    assert found == blocks("parameters", message, found=26, required=1260)


ADVICE = "train with the recipe that the policy was written for, or set trainable_parameters of [integrity]"


def test_the_recipe_implies_how_many_numbers_are_trained():
    """LoRA beside its layers, and what is saved whole."""
    assert run("parameters", side(), old()) == Passed("26 of 1,000 parameters trained")
    message = f"{WHERE}26 trained parameters, the recipe implies 34"
    found = fault(run, "parameters", side(recipe=recipe(lora__r=3)), old())
    assert found == blocks("parameters", message, ADVICE, found=26, required=34)
    found = fault(run, "parameters", side(recipe=recipe(lora__target_modules=["all-linear"])), old())
    assert found[-1] == {"found": 26, "required": 42}


def test_of_another_script_the_configuration_implies_how_many_numbers_are_trained():
    """The tensors that PEFT makes of it."""
    parts = {"manifest": adopted({"r": 3}), "implied": {"a": (4, 3), "b": (22,)}}
    message = f"{WHERE}26 trained parameters, the {CONFIG} implies 34"
    assert fault(compare, "parameters", side(**parts), old()) == blocks("parameters", message, ADVICE, found=26, required=34)


def test_the_magnitudes_of_dora_are_counted():
    """One of each output of an adapted layer, if the recipe asks for them."""
    found = fault(run, "parameters", side(recipe=recipe(lora__use_dora=True)), old())
    assert found[-1] == {"found": 26, "required": 30}


def test_modules_to_save_are_counted():
    """By the configuration; None is none."""
    of = layout(around={**HEAD, "pooler.bias": (4,)}, backbone=960)
    assert run("parameters", side(layout=of, config=config(modules_to_save=None)), old()).declared == {}
    found = fault(run, "parameters", side(layout=of, config=config(modules_to_save=["pooler"])), old())
    assert found[-1] == {"found": 26, "required": 30}


def test_of_an_unknown_architecture_the_manifests_count_is_taken():
    """Nothing is implied."""
    one = side(layout=layout(known=False), recipe=recipe(lora__r=3))
    assert run("parameters", one, old()) == Passed(
        "26 parameters trained, as the manifest says; lorasent cannot count this architecture's"
    )


@pytest.mark.parametrize("required", [26, 26.0])
def test_a_required_count_is_met(required):
    """Whatever the recipe implies."""
    settings = Integrity(trainable_parameters=required)
    assert run("parameters", side(recipe=recipe(lora__r=3)), old(), settings) == Passed("26 of 1,000 parameters trained")


@pytest.mark.parametrize("required", [1, 2700])
def test_a_required_count_is_missed(required):
    """1 is a count, no fraction."""
    message = f"{WHERE}26 trained parameters, the policy requires {required:,}"
    found = fault(run, "parameters", side(), old(), Integrity(trainable_parameters=required))
    assert found == blocks("parameters", message, ADVICE, found=26, required=required)


@pytest.mark.parametrize("required", [0.03, 0.026])
def test_a_required_fraction_is_met(required):
    """To as many decimals as it has."""
    assert run("parameters", side(), old(), Integrity(trainable_parameters=required)) == Passed("26 of 1,000 parameters trained")


@pytest.mark.parametrize(("required", "share"), [(0.02, "0.0260"), (0.027, "0.02600"), (0.5, "0.026")])
def test_a_required_fraction_is_missed(required, share):
    """The share is given with two decimals more."""
    message = f"new: 26 of 1,000 parameters trained, {share}, the policy requires {required}"
    found = fault(run, "parameters", side(), old(), Integrity(trainable_parameters=required))
    assert found == blocks("parameters", message, ADVICE, found=0.026, required=required)


@pytest.mark.parametrize("required", ["recipe", 26, 0.026])
def test_all_parameters_are_counted_and_not_taken_from_the_manifest(required):
    """The base's, those around it, and the adapter's; a manifest that says otherwise is at fault, whosever it is."""
    settings, forged = Integrity(trainable_parameters=required), manifest(parameters={"total": 52, "trainable": 26})
    message = "says that there are 52 parameters, base and weights hold 1,000"
    found = fault(run, "parameters", side(manifest=forged), old(), settings)
    assert found == blocks("parameters", f"new/{MANIFEST}: {message}", EXPORT, found=52, required=1000)
    found = fault(run, "parameters", side(), old(manifest=forged), settings)
    assert found[:2] == ("baseline-parameters", f"the baseline is faulty: old/{MANIFEST}: {message}")


def test_a_fraction_of_what_cannot_be_counted_is_invalid():
    """Of an unknown architecture all parameters are what a candidate says."""
    with pytest.raises(Fault, match=r"^new: lorasent cannot count all parameters of this architecture$") as found:
        run("parameters", side(layout=layout(known=False)), old(), Integrity(trainable_parameters=0.5))
    assert (found.value.cause, found.value.outcome) == ("parameters-uncounted", Outcome.INVALID)
    assert found.value.advice == "require a number of trained parameters"


def test_one_is_a_count_and_no_share():
    """Of all parameters, one is not all of them."""
    of, counts = SimpleNamespace(known=True, total=lambda *_: 1000), {"total": 1000, "trainable": 1}
    one, settings = side(layout=of, manifest=manifest(parameters=counts)), Integrity(trainable_parameters=1)
    assert compare("parameters", one, old(record=True), settings) == Passed("1 of 1,000 parameters trained")


@pytest.mark.parametrize(
    ("added", "most"),
    [([{"id": 4}, {"id": 9}, {"id": "x"}, 7, {}], 10), ([], 0), (None, 0), ({"id": 9}, 0), ("id", 0)],
    ids=["tokens", "none", "nothing", "an object", "a text"],
)
def test_the_highest_added_token_says_how_many_words_there_are(added, most):
    """Whatever else the tokenizer's file holds there."""
    asked, files = [], {**SOUND, TOKENIZER: {**SOUND[TOKENIZER], "added_tokens": added}}
    counting = SimpleNamespace(known=True, total=lambda trained, words: asked.append((trained, words)) or 1000)
    parameters._require_total(side(files=files, layout=counting))
    assert asked == [(26, most)]
