"""The ablation: its recipes, statistics and table. The runs themselves take hours."""

import json

import numpy as np
import pytest

from lorasent import Recipe, files
from tests.studies import ablation
from tests.studies.ablation import CHANGES, REFERENCE, asked, compared, key, known, markdown, publish, summary


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_every_change_is_a_recipe(change):
    """Each change is a valid recipe that differs from the first, under a name of its own."""
    recipe = Recipe.read(REFERENCE, values=change.values)
    assert [one.name for one in CHANGES].count(change.name) == 1
    assert change is CHANGES[0] or change.reviews or recipe != Recipe.read(REFERENCE)


def test_imdb_minilm_is_the_change_that_helps():
    """imdb-minilm is the reference recipe with windows and nothing else."""
    (window,) = (change for change in CHANGES if change.name == "augmented: window 100")
    assert Recipe.read("imdb-minilm") == Recipe.read(REFERENCE, values=window.values)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """Intervals of means and differences hold the true value in 95 % of draws, with 3 seeds in most groups and one in the last."""
    random, held = np.random.default_rng(0), []
    true = np.array([0.0, 0.0, 1.0, -2.0])
    for _ in range(3000):
        groups = [list(random.normal(mean, 0.5, size)) for mean, size in zip(true, (3, 3, 3, 1), strict=True)]
        for mean, row in zip(true, compared(groups), strict=True):
            held.append(abs(row["mean"] - mean) <= row["reach"])
            if mean != true[0]:
                held.append(abs(row["difference"] - mean) <= row["difference_reach"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)  # three standard errors, because intervals of one draw are correlated


def ran(accuracy, loss):
    """Returns a run as it is stored."""
    return {"accuracy": accuracy, "validation_loss": loss, "validation": 0.9, "trained_on": 1000, "epoch": 3}


def test_a_lower_loss_and_a_higher_accuracy_are_told_as_gains():
    """The figures equal those worked out by hand: both standard deviations are 0.01 with 2 degrees of freedom, whose t is 4.303."""
    found = {"none": [ran(0.80, 0.31), ran(0.82, 0.29)], "more": [ran(0.90, 0.21), ran(0.90, 0.21)]}
    *_, first, second = markdown(summary(found)).splitlines()
    assert first == "| none | 1,000 | 2 | 0.3000 |  | 0.8100 ± 0.0304 |  |"
    assert second == "| more | 1,000 | 2 | 0.2100 | +0.0900 (+0.0470 to +0.1330) | 0.9000 ± 0.0304 | +9.00 (+4.70 to +13.30) |"


def test_nothing_is_compared_before_the_recipe_itself_was_measured():
    """The error is one line that says what to run."""
    with pytest.raises(SystemExit, match=r"^nothing can be compared .*: --only '\^none\$'$"):
        publish({})


def test_what_was_published_is_not_run_again(tmp_path, monkeypatch):
    """A run is found by recipe and seed, wherever its data lies; local results come before published ones."""
    monkeypatch.setattr(ablation, "FOUND", tmp_path / "found.json")
    change = CHANGES[0]
    here, there = (asked(tmp_path / name, tmp_path / name, change, 1) for name in ("here", "there"))
    assert here != there
    assert known(tmp_path, change, 1, here) is None
    published = {**ran(0.8, 0.3), "asked": key(there)}
    files.write(tmp_path / "found.json", [files.canonical({"runs": {change.name: {"1": published}}})])
    assert known(tmp_path, change, 1, here) == published
    assert known(tmp_path, change, 2, asked(tmp_path, tmp_path, change, 2)) is None
    assert known(tmp_path, change, 1, asked(tmp_path, tmp_path, change._replace(values={"lora.r": 2}), 1)) is None
    files.write(tmp_path / "none-1.json", [files.canonical({**published, "accuracy": 0.9})])
    assert known(tmp_path, change, 1, here)["accuracy"] == 0.9


def test_a_change_is_told_when_all_its_seeds_ran(tmp_path, monkeypatch):
    """A change is published once all its seeds ran; its runs are stored before, so that others can continue."""
    (tmp_path / "golden" / "measured").mkdir(parents=True)
    page = tmp_path / ablation.PAGE
    page.parent.mkdir(parents=True)
    page.write_text("<!-- ablation --><!-- end of ablation -->")
    monkeypatch.chdir(tmp_path)
    first, second = CHANGES[:2]
    runs = {first.name: {str(seed): ran(0.8 + seed / 100, 0.3 + seed / 100) for seed in first.seeds}}
    publish({**runs, second.name: {"0": ran(0.9, 0.2)}})
    kept = json.loads((tmp_path / "golden" / "measured" / "ablation.json").read_text())
    assert [row["change"] for row in kept["rows"]] == [first.name]
    assert kept["runs"][second.name].keys() == {"0"}
    assert first.name in page.read_text()
