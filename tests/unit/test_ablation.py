"""What the ablation makes of its runs; the runs themselves take hours."""

import numpy as np
import pytest

from lorasent import Recipe
from tests.support.ablation import CHANGES, REFERENCE, compared, markdown, publish, summary


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_every_change_is_a_recipe(change):
    """One that differs from the first; no two are called alike."""
    recipe = Recipe.read(REFERENCE, values=change.values)
    assert [one.name for one in CHANGES].count(change.name) == 1
    assert change is CHANGES[0] or change.reviews or recipe != Recipe.read(REFERENCE)


def test_imdb_minilm_is_the_change_that_helps():
    """As the README says of both: windows, and nothing else."""
    (window,) = (change for change in CHANGES if change.name == "augmented: window 100")
    assert Recipe.read("imdb-minilm") == Recipe.read(REFERENCE, values=window.values)


def test_intervals_hold_the_truth():
    """Of means, and of differences from the first, in 95 of 100 draws, with 3 seeds in most groups and one alone in the last."""
    random, held = np.random.default_rng(0), []
    true = np.array([0.0, 0.0, 1.0, -2.0])
    for _ in range(3000):
        groups = [list(random.normal(mean, 0.5, size)) for mean, size in zip(true, (3, 3, 3, 1), strict=True)]
        for mean, row in zip(true, compared(groups), strict=True):
            held.append(abs(row["mean"] - mean) <= row["reach"])
            if mean != true[0]:
                held.append(abs(row["difference"] - mean) <= row["difference_reach"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)  # three standard errors: what a draw tells hangs together


def ran(accuracy, loss):
    """A run as it is kept."""
    return {"accuracy": accuracy, "validation_loss": loss, "validation": 0.9, "trained_on": 1000, "epoch": 3}


def test_a_lower_loss_and_a_higher_accuracy_are_told_as_gains():
    """Worked out by hand: both spreads are 0.01 of 2 degrees of freedom, whose t is 4.303."""
    found = {"none": [ran(0.80, 0.31), ran(0.82, 0.29)], "more": [ran(0.90, 0.21), ran(0.90, 0.21)]}
    *_, first, second = markdown(summary(found)).splitlines()
    assert first == "| none | 1,000 | 2 | 0.3000 |  | 0.8100 ± 0.0304 |  |"
    assert second == "| more | 1,000 | 2 | 0.2100 | +0.0900 (+0.0470 to +0.1330) | 0.9000 ± 0.0304 | +9.00 (+4.70 to +13.30) |"


def test_nothing_is_compared_before_the_recipe_itself_was_measured():
    """One line, which says what to run."""
    with pytest.raises(SystemExit, match=r"^nothing can be compared .*: --only '\^none\$'$"):
        publish({})
