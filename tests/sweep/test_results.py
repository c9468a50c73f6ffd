"""What a search leaves: plots, files, and the conclusion in words."""

import optuna
import pytest

from lorasent import Recipe
from lorasent.sweep import results
from lorasent.sweep.confirmation import Confirmation
from lorasent.sweep.search import recipe_at
from tests.sweep.studies import EMBEDDED, complete


@pytest.mark.parametrize(
    ("gain", "low", "high", "line"),
    [
        (0.03, 0.01, 0.05, "BETTER: accuracy 0.8000 -> 0.8300"),
        (0.00, -0.01, 0.01, "NO WORSE (non-inferiority margin 2 points): accuracy 0.8000 -> 0.8000"),
        (0.03, -0.03, 0.09, "NOT SHOWN TO BE BETTER: accuracy 0.8000 -> 0.8300"),
        (-0.03, -0.05, -0.01, "WORSE: accuracy 0.8000 -> 0.7700"),
    ],
    ids=["better", "no worse", "luck", "worse"],
)
def test_the_conclusion_follows_from_the_interval(gain, low, high, line):
    """It gives the gain, its bounds, the gate's outcome, and whether reviews chose among the recipes."""
    confirmation = Confirmation(
        data="some",
        n=400,
        seeds=(1, 2),
        started=(0.8, 0.8),
        found=(0.8 + gain,) * 2,
        gain=gain,
        low=low,
        high=high,
        margin=0.02,
        outcome="PASS",
        message="fine",
        known=3,
    )
    lines = list(results.conclusion(confirmation, unchanged=False))
    assert lines[0].startswith(line)
    assert lines[0].endswith(f"{100 * gain:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})")
    assert lines[1] == "3 of these reviews trained the recipes or chose among them: the figures are too optimistic."
    assert lines[2].endswith("PASS: fine")


@pytest.mark.slow
def test_plots_and_the_best_recipe_are_written(tmp_path):
    """Of six trials: history, importances, parallel coordinates; the earliest of the lowest losses is best."""
    optuna_study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for loss in (0.5, 0.4, 0.3, 0.3, 0.6, 0.7):
        complete(optuna_study, loss)
    written = [path.name for path in results.write(optuna_study, EMBEDDED, tmp_path, None)]
    assert written == ["best.toml", "sweep.json", "history.svg", "importances.svg", "parallel.svg"]
    assert Recipe.read(tmp_path / "best.toml") == recipe_at(EMBEDDED, optuna_study.trials[2].params)
    assert [line.split()[0] for line in results.table(optuna_study)] == ["trial", "2", "3", "1", "0", "4", "5"]
