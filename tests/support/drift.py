"""How far the goldens move by where they are computed.

`python -m tests.support.drift FOLDER` runs every golden of predictions on 1 and 2 threads, with AVX2 and AVX-512 kernels, in
batches of 1 and of 16, trains the embedded recipe anew in the same surroundings (into FOLDER; what lies there is not trained
again), and writes how far the results lie from those recorded to golden/drift.json. Tolerances follow from that table: see
`tolerance`.
"""

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lorasent import files, golden, machine
from tests.support.references import FOLDER, REFERENCE, make_patterned_adapters

TABLE = FOLDER / "drift.json"
EPOCHS = "tables/embedded-epochs"

WHY = "The power of ten that is at least 3 times the largest drift which golden/drift.json has measured for this golden."

FIRST = 1e-4
"""The tolerance of a golden that is being made, before its drift was measured."""

INSTRUCTIONS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "MKL_CBWR": "AVX2"},
    "AVX512": {},
}

TRAININGS = (("auto", "AVX512", 2), ("auto", "AVX512", 1), ("fp32", "AVX512", 2), ("fp32", "AVX2", 2))
"""Precision (auto is bf16 where the processor has it), instructions and threads."""


def tolerance(name: str, *columns: str) -> dict[str, float]:
    """What the numbers of a golden's columns may move by, from the table of measurements."""
    rows = json.loads(TABLE.read_text())["rows"] if TABLE.is_file() else []
    measured = {column: [row["drift"][column] for row in rows if row["golden"] == name] for column in columns}
    return {column: 10.0 ** math.ceil(math.log10(3 * max(drift))) if any(drift) else FIRST for column, drift in measured.items()}


def table() -> str:
    """The README's table of how far logits were seen to move, by where and in what batches they were computed."""
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
    """Drift from the recorded logits by batch size, in this process."""
    from lorasent.classifier import forward, inference
    from lorasent.scoring import load

    recorded = golden.read(FOLDER / f"{name}.json")
    texts, logits = [str(row["text"]) for row in recorded.rows], np.array([row["logits"] for row in recorded.rows])
    scorer = load(adapter)
    encoded = scorer.encoder.encode(texts)
    drift = {}
    with inference(scorer.model):
        for size in (1, 16):
            found = [
                forward(scorer.model, scorer.encoder.pad(encoded[start : start + size])) for start in range(0, len(encoded), size)
            ]
            drift[size] = float(abs(np.concatenate(found) - logits).max())
    return drift


def trained(folder: Path, threads: int, instructions: str, precision: str) -> list[dict]:
    """The epoch table of the embedded recipe, trained in these surroundings."""
    path = folder / f"{precision}-{instructions}-{threads}"
    if not path.is_dir():
        command = [sys.executable, "-m", "lorasent.cli", "train", "--out", str(path), "--set", f"training.precision={precision}"]
        subprocess.run(command, env=surroundings(threads, instructions), check=True)
    epochs: list[dict] = json.loads((path / "lorasent.json").read_text())["epochs"]
    return epochs


def surroundings(threads: int, instructions: str) -> dict[str, str]:
    """The environment of a process that computes so."""
    return {**os.environ, **INSTRUCTIONS[instructions], "OMP_NUM_THREADS": str(threads)}


def main(folder: Path) -> None:
    """Measures all goldens on all settings, each setting in a process of its own, and writes the table."""
    from transformers import DistilBertConfig

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        patterned = make_patterned_adapters(Path(scratch), DistilBertConfig(), 512)
        adapters = {
            "predictions/samples-trained": REFERENCE,
            "predictions/embedded": REFERENCE,
            "predictions/patterned-untrained": patterned["untrained"],
            "predictions/patterned-trained": patterned["trained"],
        }
        for instructions, threads in itertools.product(INSTRUCTIONS, (1, 2)):
            request = json.dumps({name: str(path) for name, path in adapters.items()})
            command = [sys.executable, "-m", "tests.support.drift", "--here", request]
            environment = surroundings(threads, instructions)
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["machine"]["instructions"] == instructions, found["machine"]
            rows += [
                {"golden": name, "instructions": instructions, "threads": threads, "batch": int(size), "drift": {"logits": drift}}
                for name, drifts in found["drift"].items()
                for size, drift in drifts.items()
            ]
    recorded = golden.read(FOLDER / f"{EPOCHS}.json").rows
    for precision, instructions, threads in (
        ("auto", "AVX512", 2),
        ("auto", "AVX512", 1),
        ("fp32", "AVX512", 2),
        ("fp32", "AVX2", 2),
    ):
        epochs = trained(folder, threads, instructions, precision)
        drift = {
            column: max(abs(now[column] - then[column]) for now, then in zip(epochs, recorded, strict=True))
            for column in recorded[0]
            if column != "epoch"
        }
        rows.append({"golden": EPOCHS, "instructions": instructions, "threads": threads, "precision": precision, "drift": drift})
    files.write(TABLE, files.canonical({"rows": rows, "libraries": machine.libraries(), "machine": machine.features()}))
    for row in rows:
        print(*row.values())


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        logits = {name: measure(name, Path(path)) for name, path in json.loads(sys.argv[2]).items()}
        print(json.dumps({"machine": machine.features(), "drift": logits}))
    else:
        main(Path(sys.argv[1]))
