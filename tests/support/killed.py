"""Trains and kills itself, as a power cut would: python killed.py RECIPE OUT (step|epoch) NUMBER."""

import os
import signal
import sys

from lorasent.recipe import Recipe
from lorasent.training import Listener, train


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


if __name__ == "__main__":
    train(Recipe.read(sys.argv[1]), sys.argv[2], listener=Killer(sys.argv[3], int(sys.argv[4])))
