"""What a second process changes in training: `python -m tests.studies.distributed FOLDER` measures it, an hour on two busy cores.

One process with two threads and two processes with one thread train the shipped recipe `embedded`, in turns, on the same batches:
the adapter's accuracy, the loss of every step, and the time from the first step to the last evaluation. A second pair trains with
dropout, of which each process draws its own. FOLDER keeps what each run told, so a study that was stopped goes on. The result is
`golden/measured/distributed.json`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lorasent import machine
from lorasent.recipe.recipe import Recipe
from lorasent.training.run import Listener
from lorasent.training.train import train
from tests.studies.planted import ROOT

MEASURED = ROOT / "golden" / "measured" / "distributed.json"

DROPOUT = ("lora.dropout=0.1", "base.dropout=0.1", "training.epochs=1")
PLAN = {
    "whole": (),
    "short": ("data.sample=100",),
    "dropout": DROPOUT,
}
"""Settings of each kind of run, over the recipe `embedded`."""

ROUNDS = {"whole": 1, "short": 4, "dropout": 1}
"""Pairs of runs of each kind."""

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Two threads that wait actively for each other, beside other work, would measure that work."""

LAUNCHED = {
    1: ([sys.executable], {"OMP_NUM_THREADS": "2"}),
    2: ([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], {"OMP_NUM_THREADS": "1"}),
}
"""Command and environment by the number of processes."""


class Diary(Listener):
    """Writes the loss of every step, the epoch table, and the seconds from the first step's end, after each epoch."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.losses: list[float] = []
        self.epochs: list[dict[str, Any]] = []
        self.times: list[float] = []

    def loss(self, step, loss):
        self.losses.append(loss)
        if step == 1:  # oneDNN compiles its kernels in it
            self.times.append(time.monotonic())

    def epoch(self, row):
        self.epochs.append(asdict(row))
        self.times.append(time.monotonic())
        told = {"losses": self.losses, "epochs": self.epochs, "seconds": self.times[-1] - self.times[0]}
        self.file.write_text(json.dumps(told))


def run(out: Path, settings: list[str]) -> None:
    """Trains, with the diary in `OUT.json`; the work of each process."""
    train(Recipe.read("embedded", settings), out, listener=Diary(out.with_name(f"{out.name}.json")), device="cpu")


def told(folder: Path, kind: str, processes: int, number: int) -> dict[str, Any]:
    """The diary of a run, which is started if it is not there."""
    out = folder / f"{kind}-{number}-of-{processes}"
    file = out.with_name(f"{out.name}.json")
    if not out.is_dir():
        shutil.rmtree(folder / f"{out.name}.partial", ignore_errors=True)  # a run that was stopped: its times are lost
        command, environment = LAUNCHED[processes]
        arguments = [*command, "-m", "tests.studies.distributed", "run", str(out), *PLAN[kind]]
        subprocess.run(arguments, check=True, env={**os.environ, **PASSIVE, **environment}, cwd=ROOT)
    return json.loads(file.read_text())


def compared(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Accuracy of the best epochs, in per cent, and how far the losses of two runs are apart at most, in nats."""
    best = [min(each["epochs"], key=lambda row: row["validation_loss"]) for each in (one, two)]
    gap = {
        name: max(abs(a[name] - b[name]) for a, b in zip(one["epochs"], two["epochs"], strict=True))
        for name in ("training_loss", "validation_loss", "accuracy")
    }
    return {
        "steps": len(one["losses"]),
        "accuracy_percent": [round(100 * row["accuracy"], 2) for row in best],
        "largest_gap_of_step_losses": float(f"{np.abs(np.subtract(one['losses'], two['losses'])).max():.3g}"),
        "largest_gap_of_epochs": {name: float(f"{value:.3g}") for name, value in gap.items()},
    }


def main(folder: Path) -> None:
    """Runs what is missing, and writes the result."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {
        kind: [tuple(told(folder, kind, processes, number) for processes in (1, 2)) for number in range(rounds)]
        for kind, rounds in ROUNDS.items()
    }
    ratios = [two["seconds"] / one["seconds"] for one, two in pairs["short"]]
    result = {
        "command": "python -m tests.studies.distributed FOLDER",
        "machine": {**machine.kind(), "load": "other work on the same cores"},
        "without_dropout": compared(*pairs["whole"][0]),
        "with_dropout": compared(*pairs["dropout"][0]),
        "seconds_two_processes_by_one": {"pairs": [round(ratio, 3) for ratio in ratios], "median": round(median(ratios), 3)},
        "seconds_of_whole_runs": [round(each["seconds"]) for each in pairs["whole"][0]],
    }
    MEASURED.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), sys.argv[3:])
    else:
        main(Path(sys.argv[1]))
