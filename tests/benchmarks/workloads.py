"""What is timed against an earlier commit: each a loop that takes its turn, does a piece of work, and takes its turn again.

They run in the worker's process, with the earlier commit's code or with today's, and touch nothing of lorasent but its public
names; but for `one_by_one`, which is today's. A piece of work takes tens of milliseconds where it can: clock and pipe are nothing
beside it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

SHORT = "it was a good movie, and not worth the time"

CALLS = 20
"""How often a call is made in a turn where one takes about a millisecond: 3 more are 15 % more work."""

BULK = 16

JUDGED = 2_000


class Turn(Protocol):
    """What a workload calls between two pieces of work."""

    def __call__(self) -> None:
        """Answers with the time of the one; waits for the command to do the next."""

    def excuse(self, seconds: float) -> None:
        """Takes seconds off the piece of work that is being done."""


Work = Callable[[Turn, Path, str], None]


def waited(process: str = "thread-self") -> float:
    """Seconds that the main thread of a process (this thread) was ready to run while others had its core; 0 where none tells."""
    path = Path("/proc") / process / "schedstat"
    return int(path.read_text().split()[1]) / 1e9 if path.is_file() else 0.0


def scorer_on(adapter: Path, device: str):
    """A scorer in the best precision that the device offers."""
    import lorasent

    scorer = lorasent.load(adapter, "auto")
    if device == "cpu":
        return scorer
    return lorasent.Scorer(scorer.model.to(device), scorer.encoder, scorer.labels, "auto")


def reviews(number: int) -> list[str]:
    """Embedded test reviews, short and long ones in turn as they stand; over again where more are asked for than there are."""
    import lorasent

    texts = lorasent.read("embedded:test", ("Negative", "Positive")).texts
    return [texts[row % len(texts)] for row in range(number)]


def one_review(turn: Turn, adapter: Path, device: str) -> None:
    """One short review after another, each by itself."""
    scorer = scorer_on(adapter, device)
    while True:
        turn()
        for _ in range(CALLS):
            scorer.logits([SHORT])


def bulk(turn: Turn, adapter: Path, device: str) -> None:
    """Reviews of all lengths at once."""
    scorer, texts = scorer_on(adapter, device), reviews(BULK)
    while True:
        turn()
        scorer.logits(texts)


def one_by_one(turn: Turn, adapter: Path, device: str) -> None:
    """The same reviews each by itself, in fp32, through the model as it was trained: as a notebook's loop answers them."""
    from lorasent.adapter import directory as adapters
    from lorasent.adapter.classifier import answer

    loaded, texts = adapters.load(adapter), reviews(BULK)
    loaded.model.to(device)
    while True:
        turn()
        answer(loaded.model, loaded.encoder, texts)


def figures(turn: Turn, _adapter: Path, _device: str) -> None:
    """The figures of many reviews, over and over: NumPy alone, ready in a moment."""
    import lorasent

    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(JUDGED, 2)), random.integers(0, 2, JUDGED)
    while True:
        turn()
        for _ in range(CALLS):
            lorasent.evaluate(logits, labels, ("Negative", "Positive"))


def training(turn: Turn, _adapter: Path, device: str) -> None:
    """Optimiser steps of the recipe `embedded`: the n-th is of the same reviews under both commits."""
    import lorasent

    class Steps(sys.modules[lorasent.train.__module__].Listener):  # wherever that commit has its training
        def step(self, *_: int) -> None:
            turn()

    with tempfile.TemporaryDirectory() as folder:
        lorasent.train(lorasent.Recipe.read("embedded", ["training.epochs=20"]), Path(folder) / "adapter", listener=Steps())


def process(*arguments: str) -> Work:
    """A Python process from its start to its end; ADAPTER stands for the adapter's directory."""

    def work(turn: Turn, adapter: Path, _device: str) -> None:
        command = [sys.executable, "-P", *(str(adapter) if one == "ADAPTER" else one for one in arguments)]
        while True:
            turn()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
                turn.excuse(waited(str(child.pid)))
            if child.returncode not in (0, INCONCLUSIVE):
                raise RuntimeError(f"{' '.join(command)}: exits {child.returncode}")

    return work


INCONCLUSIVE = 3
"""How a verdict exits that wants more evidence: a verdict all the same."""

VERDICT = ("-m", "lorasent.cli", "gate", "ADAPTER", "--baseline", "ADAPTER", "--json")

WORKLOADS: dict[str, Work] = {
    "one review": one_review,
    "bulk": bulk,
    "one by one": one_by_one,
    "figures": figures,
    "training step": training,
    "lorasent --help": process("-m", "lorasent.cli", "--help"),
    "import lorasent": process("-c", "import lorasent"),
    "cached verdict": process(*VERDICT),
}
