"""Measures how far the goldens move with the machine that computes them. `python -m tests.studies.drift FOLDER`.

Every golden of predictions is computed on 1 and 2 threads, with AVX2 and AVX-512 kernels, in batches of 1 and of 16, by lorasent's
scorer and by the model itself over padded batches. The small recipe is trained under the same conditions, and so is the embedded
one, into FOLDER; an adapter that FOLDER already holds is not trained again. The distances from the recorded values go to
golden/measured/drift.json. The tolerances of the goldens follow from that table: see `tolerance`.
"""

import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lorasent import Recipe, files, golden, machine
from tests.support.bases import make_base, write_small_recipe
from tests.support.references import FOLDER, REFERENCE, SCHEDULE, make_patterned_adapters, make_untrained

TABLE = FOLDER / "measured" / "drift.json"
EPOCHS = "tables/embedded-epochs"

SMALL = "tables/small-epochs"

WHY = (
    "3 times the largest drift that golden/measured/drift.json has measured for this golden, "
    "rounded up to one digit; 1e-5 at least."
)

LEAST = 1e-5
"""The smallest tolerance, because processors that were not measured may add in other orders."""

FIRST = 1e-4
"""The tolerance of a new golden, before its drift is measured."""

INSTRUCTIONS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "MKL_CBWR": "AVX2"},
    "AVX512": {},
}

TRAININGS = (("auto", "AVX512", 2), ("auto", "AVX512", 1), ("fp32", "AVX512", 2), ("fp32", "AVX2", 2))
"""Settings of trainings: precision (auto is bf16 where the processor has it), instructions, threads."""


def tolerance(name: str, *columns: str) -> dict[str, float]:
    """Returns the tolerance of each column of a golden, from the table of measured drift."""
    rows = json.loads(TABLE.read_text())["rows"] if TABLE.is_file() else []
    measured = {column: [row["drift"][column] for row in rows if row["golden"] == name] for column in columns}
    return {column: max(LEAST, _rounded_up(3 * max(drift))) if any(drift) else FIRST for column, drift in measured.items()}


def _rounded_up(value: float) -> float:
    """Returns a number rounded up to one significant digit."""
    power = math.floor(math.log10(value))
    return float(f"{math.ceil(round(value / 10.0**power, 9))}e{power}")


def table() -> str:
    """Returns the table of docs/how-to/goldens.md: how far logits moved, by machine settings and batch size."""
    rows = [row for row in json.loads(TABLE.read_text())["rows"] if "batch" in row]
    settings = list(itertools.product(INSTRUCTIONS, (1, 2), (1, 16)))
    names = [f"{instructions}, {threads} thread{'s' * (threads > 1)}, batch {batch}" for instructions, threads, batch in settings]
    lines = [["golden", *names, "tolerance"], ["---"] * (len(names) + 2)]
    for name in dict.fromkeys(row["golden"] for row in rows):
        drift = {
            (row["instructions"], row["threads"], row["batch"]): row["drift"]["logits"] for row in rows if row["golden"] == name
        }
        figures = [f"{drift[setting]:.1e}" for setting in settings]
        lines.append([f"`{name.removeprefix('predictions/')}`", *figures, f"{tolerance(name, 'logits')['logits']:.0e}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure(name: str, adapter: Path) -> dict[int, float]:
    """Returns the drift from the recorded logits by batch size, in this process: the larger of the scorer's and the model's."""
    from lorasent.adapter.classifier import forward, inference
    from lorasent.scoring.scorer import load

    recorded = golden.read(FOLDER / f"{name}.json").rows
    recorded = recorded * -(-16 // len(recorded))  # so that a batch of 16 is one
    texts, logits = [str(row["text"]) for row in recorded], np.array([row["logits"] for row in recorded])
    scorer = load(adapter)
    encoded = scorer.encoder.encode(texts)
    drift = {}
    for size in (1, 16):
        starts = range(0, len(texts), size)
        scored = [scorer.logits(texts[start : start + size]) for start in starts]
        with inference(scorer.model):
            plain = [forward(scorer.model, scorer.encoder.pad(encoded[start : start + size])) for start in starts]
        drift[size] = max(float(abs(np.concatenate(found) - logits).max()) for found in (scored, plain))
    return drift


def losses(folder: Path) -> dict[str, float]:
    """Returns the drift of the small recipe's epoch table, trained in this process."""
    from lorasent.training.train import train

    recorded = golden.read(FOLDER / f"{SMALL}.json").rows
    (base := folder / "bert").mkdir()
    recipe = Recipe.read(write_small_recipe(folder, make_base(base, "bert")), SCHEDULE)
    rows = [vars(row) for row in train(recipe, folder / "adapter").epochs]
    return _furthest(rows, recorded)


def digest(name: str) -> str:
    """The sha256 of what a golden records."""
    return hashlib.sha256(files.canonical({"rows": golden.read(FOLDER / f"{name}.json").rows}).encode()).hexdigest()


def _furthest(rows: list[dict], recorded: list[dict]) -> dict[str, float]:
    """Returns the largest distance of each column from the recorded one, except for the epoch numbers."""
    pairs = list(zip(rows, recorded, strict=True))
    return {column: max(abs(now[column] - then[column]) for now, then in pairs) for column in recorded[0] if column != "epoch"}


def trained(folder: Path, threads: int, instructions: str, precision: str) -> list[dict]:
    """Returns the epoch table of the embedded recipe, trained under these conditions."""
    path = folder / f"{precision}-{instructions}-{threads}"
    if not path.is_dir():
        command = [sys.executable, "-m", "lorasent.cli", "train", "--out", str(path), "--set", f"training.precision={precision}"]
        subprocess.run(command, env=surroundings(threads, instructions), check=True)
    epochs: list[dict] = json.loads((path / "lorasent.json").read_text())["epochs"]
    return epochs


def surroundings(threads: int, instructions: str) -> dict[str, str]:
    """Returns the environment variables of a process with these settings."""
    return {**os.environ, **INSTRUCTIONS[instructions], "OMP_NUM_THREADS": str(threads)}


def main(folder: Path) -> None:
    """Measures all goldens under all settings, one process for each, and writes the table."""
    from transformers import DistilBertConfig

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        patterned = make_patterned_adapters(Path(scratch), DistilBertConfig(), 512)
        adapters = {
            "predictions/samples-untrained": make_untrained(Path(scratch) / "samples-untrained"),
            "predictions/samples-trained": REFERENCE,
            "predictions/embedded": REFERENCE,
            "predictions/patterned-untrained": patterned["untrained"],
            "predictions/patterned-trained": patterned["trained"],
        }
        for instructions, threads in itertools.product(INSTRUCTIONS, (1, 2)):
            request = json.dumps({name: str(path) for name, path in adapters.items()})
            command = [sys.executable, "-m", "tests.studies.drift", "--here", request]
            environment = surroundings(threads, instructions)
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            assert (found["machine"]["instructions"], found["machine"]["threads"]) == (instructions, threads), found["machine"]
            where = {"instructions": instructions, "threads": threads}
            rows += [
                {"golden": name, **where, "batch": int(size), "drift": {"logits": drift}}
                for name, drifts in found["drift"].items()
                for size, drift in drifts.items()
            ]
            rows.append({"golden": SMALL, **where, "precision": "fp32", "drift": found["losses"]})
    recorded = golden.read(FOLDER / f"{EPOCHS}.json").rows
    for precision, instructions, threads in TRAININGS:
        drift = _furthest(trained(folder, threads, instructions, precision), recorded)
        rows.append({"golden": EPOCHS, "instructions": instructions, "threads": threads, "precision": precision, "drift": drift})
    digests = {name: digest(name) for name in sorted({row["golden"] for row in rows})}
    said = {"rows": rows, "goldens": digests, "libraries": machine.libraries(), "machine": machine.features()}
    files.write(TABLE, [files.canonical(said)])
    golden.write_manifest(FOLDER)
    for row in rows:
        print(*row.values())


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        logits = {name: measure(name, Path(path)) for name, path in json.loads(sys.argv[2]).items()}
        with tempfile.TemporaryDirectory() as here:
            print(json.dumps({"machine": machine.features(), "drift": logits, "losses": losses(Path(here))}))
    else:
        main(Path(sys.argv[1]))
