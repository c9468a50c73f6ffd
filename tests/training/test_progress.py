"""What a terminal shows of a run."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Recipe, Training
from lorasent.scoring.scorer import Prediction
from lorasent.training.progress import Printer, _no_better_than_a_guess, _stopped
from lorasent.training.run import Epoch, Trained


@pytest.mark.parametrize(
    ("done", "patience", "improvement", "expected"),
    [
        (5, 3, 0.001, "Stopped after epoch 5 of 10: no improvement over 0.001 for 3 epochs; kept epoch 2"),
        (3, 1, None, "Stopped after epoch 3 of 10: no improvement for 1 epoch; kept epoch 2"),
        (10, 3, 0.001, None),
        (10, None, None, None),
    ],
    ids=["minimum improvement", "any improvement", "patience used up in the last epoch", "off"],
)
def test_early_stopping_is_reported_with_its_reason(done, patience, improvement, expected):
    """One line says after which epoch, why, and which epoch was kept; a run of all epochs has no such line."""
    schedule = Training(
        epochs=10,
        batch_size=1,
        learning_rate=0.1,
        early_stopping_patience=patience,
        early_stopping_min_improvement=improvement,
    )
    rows = [Epoch(number, *[0.5] * 7) for number in range(1, done + 1)]
    assert _stopped(Trained(Path("mine"), rows, rows[1], 1.0), schedule) == expected


@pytest.mark.parametrize(
    ("accuracy", "counts", "expected"),
    [
        (0.5, {"bad": 50, "good": 50}, "always answering bad is right as often (0.5000 of the validation reviews)"),
        (0.51, {"bad": 50, "good": 50}, None),
        (0.51, {"bad": 40, "good": 60}, "always answering good is right as often (0.6000 of the validation reviews)"),
        (0.61, {"bad": 40, "good": 60}, None),
    ],
)
def test_a_run_no_better_than_a_guess_is_reported(accuracy, counts, expected):
    """There is a warning if the accuracy is not above the share of the most frequent label."""
    warning = _no_better_than_a_guess(Epoch(1, 0.7, 0.7, accuracy, *[0.5] * 4), counts)
    assert (warning is None) if expected is None else (expected in warning and "learning_rate" in warning)


def test_labels_are_shown_escaped(capsys):
    """Labels of an untrusted recipe cannot control the terminal or a workflow log."""
    console = Console(width=200, soft_wrap=True)
    printer = Printer(console, Progress(console=console, disable=True), "embedded")
    printer.run = SimpleNamespace(recipe=Recipe.read("embedded"), validation=Reviews("here", ["a"], np.array([0])))
    best = Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    printer.trained(Trained(Path("mine"), [best], best, 1.0), [Prediction("a film", "\x1b[2J\n::error::x", 0.5)])
    assert "\n  \\x1b[2J\\n\\x3a:error::x 0.5000  a film\n" in capsys.readouterr().out


def test_the_warning_follows_the_best_epoch(capsys):
    """The warning stands between the best epoch and the predictions."""
    console, best = Console(width=200), Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    recipe = Recipe.read("embedded")
    validation = Reviews("here", ["a", "b"], np.array([0, 1]))
    run = SimpleNamespace(recipe=recipe, validation=validation)
    printer = Printer(console, Progress(console=console, disable=True), "embedded")
    printer.run = run
    epochs = [best] * recipe.training.epochs
    printer.trained(Trained(Path("mine"), epochs, best, 1.0), [])
    assert re.search(r"Best epoch: .*\nWarning: no better than a guess: .*\nTrained, they are", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("labels", "hinted"),
    [('["negative", "POSITIVE"]', True), ('["pos", "neg"]', True), ('["one", "two"]', False), ('["neg", "neutral", "pos"]', False)],
    ids=["in any case", "the other way round", "other names", "three labels"],
)
def test_the_suggested_next_command_works(capsys, labels, hinted):
    """The embedded reviews are suggested only for labels with which they can be read."""
    console, best = Console(width=200), Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    recipe = Recipe.read("embedded", [f"base.labels={labels}"])
    printer = Printer(console, Progress(console=console, disable=True), "embedded")
    printer.run = SimpleNamespace(recipe=recipe, validation=Reviews("here", ["a", "b"], np.array([0, 1])))
    printer.trained(Trained(Path("mine"), [best] * recipe.training.epochs, best, 1.0), [])
    assert ("lorasent evaluate mine --data embedded:test" in capsys.readouterr().out) is hinted
