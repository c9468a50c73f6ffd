"""integrity::recipe: PEFT's configuration, the recipe beside it, and the baseline's recipe."""

from types import SimpleNamespace

import pytest

from lorasent.adapter.manifest import CONFIG, MANIFEST
from lorasent.gate.integrity import recipe as recipe_check
from lorasent.gate.integrity.comparison import ALLOW, Passed
from lorasent.gate.sections import Integrity
from lorasent.text import shown
from tests.gate.integrity.sides import KEY, QUERY, TENSORS, blocks, compare, config, fault, layout, manifest, old, recipe, side
from tests.support.manifests import adopted

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


PEFT = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 4, "lora_dropout": 0.1, "target_modules": ["query"]}
"""PEFT's configuration of an adapter that another script trained, configured as the recipe of the others."""


def foreign(path="new", *, files=None, record=False, tensors=TENSORS, **changes):
    """A side that another script trained, whose manifest has PEFT's keys changed, and whose directory has `files` instead."""
    peft = {**PEFT, **changes}
    content = peft if files is None else files
    parts = {"manifest": adopted(peft), "snapshot": SimpleNamespace(json=lambda name: {CONFIG: content}[name]), "tensors": tensors}
    return side(path, baseline=path == "old", record=record, **parts)


@pytest.mark.parametrize(
    ("cause", "key", "change", "message"),
    [
        ("rank", "r", {"r": 4}, "r is 4, {} says 2"),
        ("alpha", "lora_alpha", {"lora_alpha": None}, "lora_alpha is None, {} says 4"),
        ("peft-option", "unheard_of", {"unheard_of": 1}, "unheard_of is 1, {} says None"),
    ],
)
def test_a_configuration_of_another_script_is_held_to_its_manifest(cause, key, change, message):
    """The key, what stands there, and what the manifest says."""
    found = fault(recipe_check.inspect, foreign(files={**PEFT, **change}))
    assert found == blocks(cause, f"new/{CONFIG}: {message.format(MANIFEST)}", key=key)


def test_options_that_are_off_are_as_good_as_absent():
    """And so are PEFT's own values, the order of a list, and a name that stands there twice."""
    off = {"a": None, "b": False, "c": [], "d": {}, "e": "", "bias": "none", "init_lora_weights": True, "lora_dropout": 0}
    assert recipe_check.lora(off) == {}
    assert recipe_check.lora({"r": 1, "target_modules": ["b", "a", "b"]}) == {"r": 1, "target_modules": ["a", "b"]}
    recipe_check.inspect(foreign(files={**PEFT, "rank_pattern": {}, "use_dora": False, "layers_pattern": "", "revision": "x"}))


def test_lora_of_another_script_is_configured_as_for_the_baseline():
    """Or, where there is none, as its manifest says."""
    assert compare("recipe", foreign(), foreign("old")) == Passed("LoRA is configured as for the baseline", {})
    first = foreign()
    assert compare("recipe", first, first) == Passed("LoRA is configured as its manifest says", {})


def test_lora_of_another_script_that_differs_must_be_allowed():
    """Each difference by the name that a recipe has for it, or else by PEFT's."""
    one = foreign(lora_alpha=8, lora_dropout=0, use_dora=True, layer_replication="x" * 301)
    differences = {
        "lora.alpha": (4, 8),
        "lora.dropout": (0.1, 0.0),
        "lora.layer_replication": (None, shown("x" * 301)),
        "lora.use_dora": (False, True),
    }
    passed = compare("recipe", one, foreign("old"), Integrity(may_change=("lora",)))
    assert passed == Passed("LoRA is configured as its manifest says", differences)
    found = fault(compare, "recipe", foreign(r=3), foreign("old"))
    message = "LoRA is not configured as for the baseline: lora.r 2 -> 3; may_change is []"
    assert found == blocks("recipe", message, ALLOW.format('"lora.r"'), differences={"lora.r": (2, 3)})


def test_a_long_setting_of_the_baselines_is_described():
    """As one of the candidate's."""
    passed = compare("recipe", foreign(), foreign("old", layer_replication="x" * 301), Integrity(may_change=("lora",)))
    assert passed.declared == {"lora.layer_replication": (shown("x" * 301), None)}


IN_OTHER_WORDS = {"target_modules": ".*query", "layers_to_transform": [0], "layers_pattern": "layer", "exclude_modules": ["x"]}
"""Other words for the layers of PEFT."""

OF_ITSELF = {"modules_to_save": ["classifier"], "init_lora_weights": "gaussian", "fan_in_fan_out": True}
"""What a recipe does not say."""


@pytest.mark.parametrize("dropout", [0.1, 0.0])
def test_lora_of_another_script_is_compared_with_a_recipe(dropout):
    """By what both say, whichever is the baseline; layers by their tensors."""
    by_recipe, by_script = recipe(lora__dropout=dropout), {"lora_dropout": dropout, **IN_OTHER_WORDS, **OF_ITSELF}
    expected = Passed("LoRA is configured as for the baseline", {})
    assert compare("recipe", foreign(**by_script), old(recipe=by_recipe)) == expected
    assert compare("recipe", side(recipe=by_recipe), foreign("old", **by_script)) == expected


def test_other_layers_than_a_recipes_are_told_in_the_words_of_both():
    """Which are the names that PEFT or the recipe is given."""
    one = foreign(tensors={name.replace("query", "key"): tensor for name, tensor in TENSORS.items()}, target_modules=["key"])
    expected = {"lora.target_modules": (["query"], ["key"])}
    assert compare("recipe", one, old(), Integrity(may_change=("lora",))).declared == expected


def test_the_same_layers_may_hold_other_tensors():
    """Those of a variant, and of the head, which are no layers of LoRA."""
    more = {f"base_model.model.{QUERY}.lora_magnitude_vector": ((4,), "F32"), "base_model.model.pooler.weight": ((4, 4), "F32")}
    one = foreign(tensors={**TENSORS, **more}, use_dora=True, **IN_OTHER_WORDS)
    assert compare("recipe", one, foreign("old"), Integrity(may_change=("lora",))).declared == {"lora.use_dora": (False, True)}


def test_layers_of_a_record_are_compared_in_words_where_both_have_the_same():
    """It has no tensors to compare, and a recipe has other words than a script."""
    lost, settings = {"tensors": {}, "record": True}, Integrity(may_change=("lora",))
    assert compare("recipe", foreign(**IN_OTHER_WORDS), old(**lost), settings).declared == {}
    declared = compare("recipe", foreign(target_modules=["key"]), foreign("old", **lost), settings).declared
    assert declared == {"lora.target_modules": (["query"], ["key"])}
