"""integrity::recipe: PEFT's configuration, the recipe beside it, and the baseline's recipe."""

import pytest

from lorasent.adapter.manifest import CONFIG
from lorasent.gate.integrity import recipe as recipe_check
from lorasent.gate.integrity.comparison import ALLOW, Passed
from lorasent.gate.sections import Integrity
from lorasent.text import shown
from tests.gate.integrity.sides import KEY, QUERY, blocks, compare, config, fault, layout, manifest, old, recipe, side

PLAIN = {
    "peft-type": ({"peft_type": "IA3"}, "peft_type is IA3, must be LORA", {}),
    "task-type": ({"task_type": "CAUSAL_LM"}, "task_type is CAUSAL_LM, must be SEQ_CLS", {}),
    "rslora": ({"use_rslora": True}, "use_rslora is True, the recipe does not ask for it", {"key": "use_rslora"}),
    "dora": ({"use_dora": True}, "use_dora is True, the recipe does not ask for it", {"key": "use_dora"}),
    "scaling-pattern": (
        {"rank_pattern": {"a": 1}},
        "rank_pattern is an object of 1 keys, the recipe does not ask for it",
        {"key": "rank_pattern"},
    ),
    "bias": ({"bias": "all"}, "bias is all, the recipe implies none", {"key": "bias"}),
    "peft-option": (
        {"init_lora_weights": "pissa"},
        "init_lora_weights is pissa, the recipe implies True",
        {"key": "init_lora_weights"},
    ),
    "alpha": ({"lora_alpha": 8}, "lora_alpha is 8, recipe and base require 4", {}),
    "rank": ({"r": 4}, "r is 4, recipe and base require 2", {}),
    "dropout": ({"lora_dropout": 0.2}, "lora_dropout is 0.2, recipe and base require 0.1", {}),
    "fan-in-fan-out": ({"fan_in_fan_out": True}, "fan_in_fan_out is True, recipe and base require False", {}),
}


@pytest.mark.parametrize("cause", PLAIN)
def test_a_configuration_is_held_to_the_recipe(cause):
    """The key, what stands there, and what the recipe requires."""
    changes, message, figures = PLAIN[cause]
    found = fault(recipe_check.inspect, side(config=config(**changes)))
    assert found == blocks(cause, f"new/{CONFIG}: {message}", **figures)


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("alpha_pattern", {"a": 1}, "scaling-pattern"),
        ("lora_bias", True, "bias"),
        ("init_lora_weights", False, "peft-option"),
        ("unheard_of", 1, "peft-option"),
    ],
)
def test_other_options_of_peft_must_be_off(key, value, cause):
    """Also those that nobody has heard of yet."""
    assert fault(recipe_check.require_known, side(config=config(**{key: value})))[0] == cause


@pytest.mark.parametrize(("key", "cause"), [("use_rslora", "rslora"), ("use_dora", "dora")])
def test_a_variant_that_the_recipe_asks_for_is_required(key, cause):
    """On it is right; off, or not spoken of, it is a fault by its name."""
    variant = recipe(**{f"lora__{key}": True})
    recipe_check.inspect(side(recipe=variant, config=config(**{key: True})))
    message = f"new/{CONFIG}: {key} is {{}}, the recipe implies True"
    off = fault(recipe_check.inspect, side(recipe=variant, config=config(**{key: False})))
    assert off == blocks(cause, message.format(False), key=key)
    if key == "use_rslora":  # the sound configuration here speaks of DoRA
        assert fault(recipe_check.inspect, side(recipe=variant)) == blocks(cause, message.format(None), key=key)


def test_options_that_say_nothing_by_themselves_are_passed_over():
    """And so are those that are off."""
    inert = {"peft_version": "9", "megatron_core": "x", "qalora_group_size": 16, "auto_mapping": {"a": 1}}
    recipe_check.inspect(side(config=config(**inert, alpha_pattern={}, use_rslora=None, lora_bias=False)))


def test_layers_are_those_that_the_recipe_means():
    """One too few, and one too many; the first that is amiss is named."""
    both = recipe(lora__target_modules=["query", "key"])
    message = f"new/{CONFIG}: target_modules select 1 layers, the recipe's query, key selects 2; they differ in {KEY}"
    assert fault(recipe_check.inspect, side(recipe=both)) == blocks("target-modules", message)
    message = f"new/{CONFIG}: target_modules select 2 layers, the recipe's query selects 1; they differ in {KEY}"
    assert fault(recipe_check.inspect, side(targets={QUERY, KEY})) == blocks("target-modules", message)
    message = f"new/{CONFIG}: target_modules select 1 layers, the recipe's query selects 1; they differ in {KEY}"
    assert fault(recipe_check.inspect, side(targets={KEY})) == blocks("target-modules", message)


def test_layers_of_an_unknown_architecture_are_of_the_recipes_names():
    """Which of them is not known, and neither is how they are stored."""
    of = layout(known=False, linear={QUERY: (4, 4), "bert.1.query": (4, 4), KEY: (4, 4), "bert.1.key": (4, 4)})
    recipe_check.inspect(side(layout=of, config=config(fan_in_fan_out=True)))
    message = f"new/{CONFIG}: target_modules select 3 layers, the recipe's query selects 2; they differ in {KEY}"
    assert fault(recipe_check.inspect, side(layout=of, targets={QUERY, KEY, "bert.1.key"})) == blocks("target-modules", message)


def test_a_transposed_base_is_stored_so():
    """Its configuration must say it."""
    recipe_check.inspect(side(layout=layout(transposed=True), config=config(fan_in_fan_out=True)))


def test_the_same_recipe_passes():
    """Another seed, name of the base or revision is no difference of it, and neither is the encoding."""
    expected = Passed("the baseline's recipe, but for the seed", {})
    assert compare("recipe", side(), old()) == expected
    changes = {
        "training__seed": 7,
        "base__model": "x",
        "base__revision": "y",
        "base__labels": ["a", "b"],
        "encoding__max_length": 8,
    }
    assert compare("recipe", side(recipe=recipe(**changes)), old()) == expected


def test_another_recipe_must_be_allowed():
    """Each difference by its key, in order; a key that one of them lacks is None."""
    one = side(recipe=recipe(lora__r=3, base__dropout=0.5, training__epochs=4))
    change = {"base.dropout": (None, 0.5), "lora.r": (2, 3), "training.epochs": (3, 4)}
    refused = {key: change[key] for key in ("base.dropout", "training.epochs")}
    message = (
        "the recipe differs from the baseline's: base.dropout None -> 0.5, training.epochs 3 -> 4; "
        "may_change is ['lora', 'lora.dropout']"
    )
    advice = ALLOW.format('"base.dropout", "training.epochs"')
    found = fault(compare, "recipe", one, old(), Integrity(may_change=("lora", "lora.dropout")))
    assert found == blocks("recipe", message, advice, differences=refused)
    passed = compare("recipe", one, old(), Integrity(may_change=("lora.r", "base.dropout", "training")))
    assert passed == Passed("configured as its recipe says", change)
    reverse = compare("recipe", side(), old(recipe=one.recipe), Integrity(may_change=("lora", "base", "training")))
    assert reverse.declared == {key: (now, before) for key, (before, now) in change.items()}


def split(**changes):
    """The train split of a manifest, and the validation split as it was."""
    train = {"source": "train.csv", "sha256": "a" * 64, "reviews": 24, **changes}
    return manifest(data={"train": train, "validation": {"source": "validation.csv", "sha256": "a" * 64, "reviews": 24}})


def test_other_reviews_are_a_difference_of_the_data():
    """With how many there are, and their hash."""
    one = side(manifest=split(sha256="f" * 64, reviews=30))
    change = {"data.train": ("train.csv (24 reviews, aaaaaaaaaaaa)", "train.csv (30 reviews, ffffffffffff)")}
    message = (
        "the recipe differs from the baseline's: data.train train.csv (24 reviews, aaaaaaaaaaaa) -> "
        "train.csv (30 reviews, ffffffffffff); may_change is []"
    )
    found = fault(compare, "recipe", one, old())
    assert found == blocks("data", message, ALLOW.format('"data.train"'), differences=change)
    assert compare("recipe", one, old(), Integrity(may_change=("data",))).declared == change


def test_other_reviews_beside_another_recipe_are_the_recipes():
    """The cause is the data's only where nothing else differs."""
    one = side(manifest=split(sha256="f" * 64), recipe=recipe(lora__r=3))
    assert fault(compare, "recipe", one, old())[0] == "recipe"


def test_the_same_reviews_from_elsewhere_are_no_difference():
    """Their hash counts, for either split."""
    one = side(recipe=recipe(data__train="x", data__validation="y"), manifest=split(source="x"))
    assert compare("recipe", one, old()).declared == {}


def test_reviews_that_one_manifest_does_not_tell_are_a_difference():
    """Which is told as none; where neither tells, the recipe's names count."""
    none, change = {"manifest": manifest(data={})}, "validation.csv (24 reviews, aaaaaaaaaaaa)"
    allowed = Integrity(may_change=("data",))
    assert compare("recipe", side(**none), old(), allowed).declared["data.validation"] == (change, None)
    assert compare("recipe", side(), old(**none), allowed).declared["data.validation"] == (None, change)
    assert compare("recipe", side(**none), old(**none), allowed).declared == {}
    other = side(**none, recipe=recipe(data__train="x"))
    assert compare("recipe", other, old(**none), allowed).declared == {"data.train": ("train.csv", "x")}


def test_a_long_value_of_a_recipe_is_described():
    """Up to its most characters it is itself."""
    most = recipe_check.MOST_CHARACTERS
    assert recipe_check._brief("x" * most) == "x" * most
    assert recipe_check._brief("x" * (most + 1)) == shown("x" * (most + 1)) != "x" * (most + 1)
