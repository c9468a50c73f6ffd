"""What a terminal is told of a run."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Recipe, Training
from lorasent.scoring.scorer import Prediction
from lorasent.training.progress import Printer, _no_better_than_a_guess, _stopped, bar
from lorasent.training.run import Epoch, Trained


@pytest.mark.parametrize(
    ("done", "patience", "least", "told"),
    [
        (5, 3, 0.001, "Stopped after epoch 5 of 10: no improvement over 0.001 for 3 epochs; kept epoch 2"),
        (3, 1, None, "Stopped after epoch 3 of 10: no improvement for 1 epoch; kept epoch 2"),
        (10, 3, 0.001, None),
        (10, None, None, None),
    ],
    ids=["by a least improvement", "by any", "patience lost in the last epoch", "off"],
)
def test_it_is_told_where_a_run_stopped_and_why(done, patience, least, told):
    """One line says after which epoch, for want of what, and which epoch was kept; a whole run has none."""
    schedule = Training(
        epochs=10,
        batch_size=1,
        learning_rate=0.1,
        early_stopping_patience=patience,
        early_stopping_min_improvement=least,
    )
    rows = [Epoch(number, *[0.5] * 7) for number in range(1, done + 1)]
    assert _stopped(Trained(Path("mine"), rows, rows[1], 1.0), schedule) == told


@pytest.mark.parametrize(
    ("accuracy", "counts", "told"),
    [
        (0.5, {"bad": 50, "good": 50}, "always answering bad is right as often (0.5000 of the validation reviews)"),
        (0.51, {"bad": 50, "good": 50}, None),
        (0.51, {"bad": 40, "good": 60}, "always answering good is right as often (0.6000 of the validation reviews)"),
        (0.61, {"bad": 40, "good": 60}, None),
    ],
)
def test_a_training_that_never_left_a_guess_is_told(accuracy, counts, told):
    """Right no more often than the most frequent label of the validation reviews."""
    said = _no_better_than_a_guess(Epoch(1, 0.7, 0.7, accuracy, *[0.5] * 4), counts)
    assert (said is None) if told is None else (told in said and "learning_rate" in said)


def test_labels_are_shown_escaped(capsys):
    """A recipe may be a stranger's."""
    console = Console(width=200, soft_wrap=True)
    printer = Printer(console, bar(console), "embedded")
    printer.run = SimpleNamespace(recipe=Recipe.read("embedded"), validation=Reviews("here", ["a"], np.array([0])))
    best = Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    printer.trained(Trained(Path("mine"), [best], best, 1.0), [Prediction("a film", "\x1b[2J\n::error::x", 0.5)])
    assert "\n  \\x1b[2J\\n\\x3a:error::x 0.5000  a film\n" in capsys.readouterr().out


def test_a_trained_run_ends_with_that_warning(capsys):
    """Below the best epoch's line."""
    console, best = Console(width=200), Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    recipe = Recipe.read("embedded")
    validation = Reviews("here", ["a", "b"], np.array([0, 1]))
    run = SimpleNamespace(recipe=recipe, validation=validation)
    printer = Printer(console, bar(console), "embedded")
    printer.run = run
    epochs = [best] * recipe.training.epochs
    printer.trained(Trained(Path("mine"), epochs, best, 1.0), [])
    assert re.search(r"Best epoch: .*\nWarning: no better than a guess: .*\nTrained, they are", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("labels", "hinted"),
    [('["negative", "POSITIVE"]', True), ('["pos", "neg"]', True), ('["one", "two"]', False), ('["neg", "neutral", "pos"]', False)],
    ids=["in any case", "the other way round", "other names", "three labels"],
)
def test_what_to_do_next_can_be_done(capsys, labels, hinted):
    """The embedded reviews are named where the labels are theirs; elsewhere they would be refused."""
    console, best = Console(width=200), Epoch(1, 0.7, 0.7, 0.5, *[0.5] * 4)
    recipe = Recipe.read("embedded", [f"base.labels={labels}"])
    printer = Printer(console, bar(console), "embedded")
    printer.run = SimpleNamespace(recipe=recipe, validation=Reviews("here", ["a", "b"], np.array([0, 1])))
    printer.trained(Trained(Path("mine"), [best] * recipe.training.epochs, best, 1.0), [])
    assert ("lorasent evaluate mine --data embedded:test" in capsys.readouterr().out) is hinted
