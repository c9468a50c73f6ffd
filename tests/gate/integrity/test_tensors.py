"""integrity::tensors: cause, message and advice of every fault of an adapter's tensors."""

import pytest

from lorasent.adapter.manifest import CONFIG
from lorasent.gate.integrity import tensors
from tests.gate.integrity.sides import (
    HEAD,
    PREFIX,
    QUERY,
    TENSORS,
    WHERE,
    blocks,
    config,
    fault,
    layout,
    old,
    recipe,
    run,
    side,
)
from tests.support.bases import linear


def without(*parts):
    """The tensors but those whose names hold a part."""
    return {name: shape for name, shape in TENSORS.items() if not any(part in name for part in parts)}


WHOLE = {
    "not to be saved": (
        {"layout": layout(new=frozenset(["pooler.bias", "classifier.bias"])), "config": config(modules_to_save=None)},
        blocks("head-missing", f"new/{CONFIG}: modules_to_save leaves out pooler.bias, which the base lacks: random at every load"),
    ),
    "a head of three": (
        {"layout": layout(around=linear("classifier", 3, 4))},
        blocks("head-missing", f"{WHERE}holds no classification head of 2 outputs, one for each label"),
    ),
    "a bias alone": (
        {"layout": layout(around={"classifier.bias": (2,)}, new=frozenset())},
        blocks("head-missing", f"{WHERE}holds no classification head of 2 outputs, one for each label"),
    ),
    "LoRA lost": (
        {"tensors": without("lora_B")},
        blocks("tensor-missing", f"{WHERE}lacks 1 of 4 tensors: {PREFIX}{QUERY}.lora_B.weight; they would be random or zero"),
    ),
    "a head lost": (
        {"tensors": without("lora_A", "bias")},
        blocks("head-missing", f"{WHERE}lacks 2 of 4 tensors: {PREFIX}classifier.bias; they would be random or zero"),
    ),
    "more": (
        {"tensors": {**TENSORS, "more": ((1,), "F32")}},
        blocks("tensor-unexpected", f"{WHERE}holds more, which {CONFIG} and the base do not imply"),
    ),
    "shape": (
        {"tensors": {**TENSORS, f"{PREFIX}classifier.weight": ((4, 2), "F16")}},
        blocks(
            "shape",
            f"{WHERE}{PREFIX}classifier.weight has shape (4, 2), r = 2 and the base imply (2, 4)",
            name=f"{PREFIX}classifier.weight",
        ),
    ),
    "kind": (
        {"tensors": {**TENSORS, f"{PREFIX}classifier.bias": ((2,), "F16")}},
        blocks("dtype", f"{WHERE}{PREFIX}classifier.bias is F16, expected float32 (F32)", name=f"{PREFIX}classifier.bias"),
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_tensors_that_do_not_fit_are_named(case):
    """By name, with what the configuration and the base imply."""
    parts, expected = WHOLE[case]
    assert fault(tensors.inspect, side(**parts)) == expected


def test_tensors_that_fit_are_counted():
    """By configuration and base, whatever the rank."""
    passed = run("tensors", side(), old())
    assert passed.message == f"4 tensors of float32, as {CONFIG} and the base imply"
    wider = {
        name: (tuple(3 if one == 2 and "lora" in name else one for one in shape), "F32") for name, (shape, _) in TENSORS.items()
    }
    tensors.inspect(side(config=config(r=3), tensors=wider))


def test_a_pooler_that_is_saved_by_name_fits():
    """modules_to_save counts beside what PEFT always saves."""
    of = layout(around={**HEAD, "pooler.bias": (4,)}, new=frozenset(["pooler.bias"]))
    pooled = {**TENSORS, f"{PREFIX}pooler.bias": ((4,), "F32")}
    tensors.inspect(side(config=config(modules_to_save=["pooler"]), layout=of, tensors=pooled))


def test_dora_needs_its_magnitudes():
    """One for each output of each layer, in the weights and in the count."""
    variant, dora = recipe(lora__use_dora=True), config(use_dora=True)
    name = f"{PREFIX}{QUERY}.lora_magnitude_vector"
    whole = {**TENSORS, name: ((4,), "F32")}
    tensors.inspect(side(recipe=variant, config=dora, tensors=whole))
    assert fault(tensors.inspect, side(recipe=variant, config=dora))[0] == "tensor-missing"
    assert fault(tensors.inspect, side(recipe=variant, config=dora, tensors={**whole, name: ((3,), "F32")}))[0] == "shape"
    assert fault(tensors.inspect, side(tensors=whole))[0] == "tensor-unexpected"
