"""What a second process changes in training: `python -m tests.studies.distributed FOLDER [KIND...]`.

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

from lorasent import machine
from lorasent.recipe.recipe import Recipe
from lorasent.training.run import Listener
from lorasent.training.train import train
from tests.studies.planted import ROOT

MEASURED = ROOT / "golden" / "measured" / "distributed.json"

PLAN = {
    "whole": (),
    "short": ("data.sample=100", "encoding.max_length=64", "training.epochs=1"),
    "dropout": ("lora.dropout=0.1", "base.dropout=0.1"),
}
"""Settings of each kind of run, over the recipe `embedded`."""

ROUNDS = {"whole": 1, "short": 3, "dropout": 1}
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
    """Accuracy in per cent, and the largest distance of two runs' losses, in nats, over the epochs that both have."""
    epochs = [*zip(one["epochs"], two["epochs"], strict=False)]
    losses = [*zip(one["losses"], two["losses"], strict=False)]
    gap = {
        name: float(f"{max(abs(first[name] - second[name]) for first, second in epochs):.3g}")
        for name in ("training_loss", "validation_loss")
    }
    return {
        "epochs": len(epochs),
        "steps": len(losses),
        "accuracy_percent": [[round(100 * row["accuracy"], 2) for row in pair] for pair in epochs],
        "largest_gap_of_steps": float(f"{max(abs(first - second) for first, second in losses):.3g}"),
        "largest_gap_of_epochs": gap,
    }


def main(folder: Path, kinds: list[str]) -> None:
    """Runs what is missing, and writes the result."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {
        kind: [tuple(told(folder, kind, processes, number) for processes in (1, 2)) for number in range(ROUNDS[kind])]
        for kind in kinds
    }
    result: dict[str, Any] = {
        "command": f"python -m tests.studies.distributed FOLDER {' '.join(kinds)}",
        "machine": {**machine.kind(), "threads": "one process: 2, two processes: 1 each", "load": round(os.getloadavg()[2])},
    }
    for kind, each in pairs.items():
        ratios = [round(two["seconds"] / one["seconds"], 3) for one, two in each]
        times = {"pairs": ratios, "median": round(median(ratios), 3)} if len(each) > 1 else "one pair alone says nothing"
        result[kind] = {"settings": PLAN[kind], **compared(*each[0]), "seconds_of_two_processes_by_one": times}
    MEASURED.write_text(json.dumps(result, indent=1) + "\n")
    print(MEASURED.read_text())


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), sys.argv[3:])
    else:
        main(Path(sys.argv[1]), sys.argv[2:] or [*PLAN])
