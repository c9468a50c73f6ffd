"""A training whose process is killed in the middle, as by a power cut."""

import os
import signal
from pathlib import Path

from lorasent.recipe.recipe import Recipe
from lorasent.sweep import workers
from lorasent.training.train import Listener, train


class Killer(Listener):
    """Kills the process at a step, or after an epoch's evaluation and before its checkpoint."""

    def __init__(self, at: str, number: int) -> None:
        self.at = (at, number)

    def step(self, done, total):
        if self.at == ("step", done):
            os.kill(os.getpid(), signal.SIGKILL)

    def epoch(self, row):
        if self.at == ("epoch", row.epoch):
            os.kill(os.getpid(), signal.SIGKILL)


def train_until(recipe: Path, out: Path, at: str, number: int) -> int | None:
    """Trains in a process that kills itself at this step or epoch; returns its exit code."""
    process = workers.context().Process(target=_train, args=(recipe, out, at, number))
    process.start()
    process.join()
    return process.exitcode


def _train(recipe: Path, out: Path, at: str, number: int) -> None:
    train(Recipe.read(recipe), out, listener=Killer(at, number))
