"""Integrity: a difference from the baseline blocks, unless the policy allows it."""

import shutil

import pytest

from lorasent.gate.finding import Outcome
from tests.gate.integrity.adapters import MANIFEST, faults, findings, other_data, read, set_recipe, write, write_filled
from tests.support.bases import edit_tensors

pytestmark = pytest.mark.usefixtures("cache")

ALLOWED = {
    "another rank": (["lora.r"], {"lora__r": 3}, {"recipe": {"lora.r": (2, 3)}}),
    "a whole table": (["lora"], {"lora__r": 3, "lora__alpha": 6}, {"recipe": {"lora.r": (2, 3), "lora.alpha": (4, 6)}}),
    "fewer tokens": (["encoding.max_length"], {"encoding__max_length": 48}, {"encoding": {"encoding.max_length": (64, 48)}}),
    "other layers": (
        ["lora.target_modules"],
        {"lora__target_modules": ["query"]},
        {"recipe": {"lora.target_modules": (["all-linear"], ["query"])}},
    ),
    "augmented reviews": (
        ["augmentation"],
        {"augmentation__typos": 0.1, "augmentation__share": 0.3},
        {
            "recipe": {
                "augmentation.share": (None, 0.3),
                "augmentation.typos": (None, 0.1),
                **{f"augmentation.{way}": (None, 0) for way in ("window", "sentence_dropout", "synonyms", "markup")},
            }
        },
    ),
    "another schedule": (["training"], {"training__epochs": 2}, {"recipe": {"training.epochs": (1, 2)}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", ALLOWED)
def test_a_declared_difference_blocks_unless_it_is_allowed(bases, tmp_path, change):
    """A difference of the recipe is named with its old and new value; may_change lets it pass, by key or by table."""
    may_change, changes, expected = ALLOWED[change]
    old = write_filled(tmp_path / "old", bases("bert"))
    new = write_filled(tmp_path / "new", bases("bert"), 1, **changes)
    (name,) = expected
    refused = findings(new, old)
    assert list(faults(refused)) == [name]
    for key, (before, now) in expected[name].items():
        assert f"{key} {before} -> {now}" in refused[name].message
        assert key in refused[name].advice
    allowed = findings(new, old, may_change=may_change)
    assert faults(allowed) == {}
    assert allowed[name].cause == "declared"
    assert allowed[name].figures["declared"] == expected[name]
    assert all(f"{key} {before} -> {now}" in allowed[name].message for key, (before, now) in expected[name].items())


def test_the_policys_truncation_side_is_not_to_be_allowed_away(bases, tmp_path):
    """The policy says which side is cut, whatever may change from the baseline."""
    old = write_filled(tmp_path / "old", bases("bert"))
    new = write_filled(tmp_path / "new", bases("bert"), 1, encoding__truncation_side="right")
    assert faults(findings(new, old)) == {"encoding": ("BLOCK", "truncation-side")}
    assert faults(findings(new, old, may_change=["encoding"])) == {}
    refused = findings(new, old, may_change=["encoding"], truncation_side="left")
    assert faults(refused) == {"encoding": ("BLOCK", "truncation-side")}


@pytest.mark.slow
def test_another_base_blocks_unless_it_is_allowed(bases, tmp_path):
    """Another base brings another tokenizer; both are let pass by "base", and the bases are named."""
    old, new = write_filled(tmp_path / "old", bases("bert")), write_filled(tmp_path / "new", bases("roberta"))
    assert faults(findings(new, old)) == {"base": ("BLOCK", "base"), "encoding": ("BLOCK", "lower-casing")}
    allowed = findings(new, old, may_change=["base"])
    assert faults(allowed) == {}
    assert str(bases("roberta").resolve()) in allowed["base"].message


def test_another_base_without_permission_is_not_excused_by_the_recipes_name(bases, tmp_path):
    """The same recipe on other weights is another base: the hash counts, not the name."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    old = write_filled(tmp_path / "old", base)
    edit_tensors(base / "model.safetensors", lambda tensors: tensors["pooler.dense.bias"].add_(1))
    new = write_filled(tmp_path / "new", base)
    found = findings(new, old)
    assert (found["base"].outcome, found["base"].cause) == (Outcome.BLOCK, "base")
    assert found["tensors"].cause == "base-unavailable"  # the baseline's is no longer there


def test_other_data_is_a_difference_that_can_be_allowed(small_adapter, candidate):
    """Retraining on new reviews is common: the advice says which entry of may_change lets it pass."""
    other_data(candidate)
    refused = findings(candidate, small_adapter)
    assert faults(refused) == {"recipe": ("BLOCK", "data")}
    assert '"data.train"' in refused["recipe"].advice
    assert "30 reviews" in refused["recipe"].message
    for entry in ("data", "data.train"):
        assert faults(findings(candidate, small_adapter, may_change=[entry])) == {}


def test_the_same_data_from_elsewhere_is_no_difference(small_adapter, candidate):
    """Reviews are compared by their hash, not by the name of their source."""
    set_recipe(candidate, data__train="reviews.parquet")
    content = read(candidate / MANIFEST)
    content["data"]["train"]["source"] = "reviews.parquet"
    write(candidate / MANIFEST, content)
    assert "recipe" not in faults(findings(candidate, small_adapter))


PARAMETERS = {
    "as many": (1986, None),
    "one more": (1987, "the policy requires 1,987"),
    "the fraction": (0.048, None),
    "the fraction, exactly written": (0.04777, None),
    "another fraction": (0.047, "the policy requires 0.047"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_policy_says_how_many_parameters_are_trained(small_adapter, retrained, case):
    """A number is a count; a fraction is of all parameters, to as many decimals as the policy gives."""
    required, message = PARAMETERS[case]
    found = findings(retrained, small_adapter, trainable_parameters=required)["parameters"]
    assert found.outcome is (Outcome.BLOCK if message else Outcome.PASS), found
    assert message is None or message in found.message
