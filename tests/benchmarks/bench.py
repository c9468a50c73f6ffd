"""lorasent beside its peers, in one run on one machine: python -m tests.benchmarks.bench (tox -e bench).

All answer the same real reviews (LORASENT_DATA) with the same threads in one process, in turns: each once a round, beginning with
another one every round. Then one short review at a time, then training. What was measured goes to golden/measured/benchmarks/peers,
in the place of what was measured on this kind of machine before, and into docs/explanation/performance.md; with --out FOLDER to a
folder alone.
"""

import argparse
import contextlib
import gc
import os
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from lorasent import files, golden, machine
from lorasent.adapter import directory
from lorasent.adapter.classifier import answer as plain_answer
from tests.benchmarks import exported, peers, plot, table
from tests.benchmarks.rate import BEST, MatrixRate
from tests.benchmarks.ratios import ratio
from tests.benchmarks.subject import make_subject, operations, reviews
from tests.benchmarks.trainers import BATCH, COURSES, seconds_a_review

GOLDEN = Path("golden")
TUNED_ON = 32
"""Reviews on which those peers whose batches are planned here choose their budget."""

WARMING, TIMED = 4, 6
"""Answers to one short review in a turn: after eleven other models its weights have left the caches, and come back unmeasured."""

UNIT = "lorasent"
"""The peer that all others are compared with."""

PEERS = {
    "lorasent": ("precision auto", peers.scorer(precision="auto")),
    "lorasent, invariant": ("precision auto, batch-invariant", peers.scorer(precision="auto", invariant=True)),
    "lorasent fp32": ("precision fp32", peers.scorer(precision="fp32")),
    "notebook's loop": ("PEFT, fp32, text by text", peers.loop),
    "pipeline, batch 1": ("transformers, merged, fp32", peers.piped(1)),
    "pipeline, batch 8": ("transformers, merged, fp32", peers.piped(8)),
    "CrossEncoder": ("sentence-transformers, fp32, batch 32, sorted", peers.cross_encoder),
    "ONNX Runtime": ("fp32, sorted", exported.onnx_runtime()),
    "ONNX Runtime int8": ("dynamic quantization, sorted", exported.onnx_runtime(int8=True)),
    "OpenVINO": (f"{BEST}, sorted", exported.openvino),
    "torch": (f"{BEST}, sorted", peers.sorted_torch),
    "torch.compile": (f"{BEST}, sorted, inductor, dynamic, frozen", exported.compiled),
}
"""Name: how it is set up, and what makes it ready."""

LIBRARIES = ("onnxruntime", "openvino", "onnx", "onnxscript", "sentence-transformers")


def turns(names, rounds):
    """The order of each round: all names, beginning further down the list every time."""
    names = list(names)
    for number in range(rounds):
        start = number % len(names)
        yield number, names[start:] + names[:start]


def timed(call, *arguments):
    """Seconds that a call takes; garbage is collected before."""
    gc.collect()
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def say(*words):
    print(*words, flush=True)


def bulk(ready, subject, texts, rounds, rate):
    """All reviews at once: what each peer needed, and how near to the plain fp32 answer it came."""
    loaded = directory.load(subject.adapter)
    reference = plain_answer(loaded.model, loaded.encoder, texts)
    encoded = loaded.encoder.encode(texts)
    lengths = [len(ids) for ids in encoded]
    needs = {
        "definition": operations(subject.config, lengths),
        "first_row_only": operations(subject.config, lengths, first_row_only=True),
    }
    found = {}
    for name, peer in ready.items():  # the first turn warms up, and is not timed
        if isinstance(peer.answer, peers.Sorted):
            peer.answer.choose(texts[:TUNED_ON])
        logits, padded = counted(peer.answer, texts, subject.config.vocab_size)
        found[name] = {
            "max_difference": float(np.abs(logits - reference).max()),
            "agreement": float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean()),
            "padded_over_real": padded / sum(lengths) if padded else None,
            "tokens_a_batch": getattr(peer.answer, "budget", None),
        }
        say(f"{name}: ready in {peer.preparation:.1f} s, logits within {found[name]['max_difference']:.2g}")
    seconds = {name: [] for name in ready}
    for number, order in turns(ready, rounds):
        for name in order:
            rate.measure()
            seconds[name].append(timed(ready[name].answer, texts))
            say(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s")
    for name, row in found.items():
        median = float(np.median(seconds[name]))
        row["preparation_seconds"] = ready[name].preparation
        row["seconds"] = seconds[name]
        row["milliseconds_a_review"] = 1000 * median / len(texts)
        row["ratio"] = ratio(seconds[name], seconds[UNIT])
        row["share"] = {need: count / median / rate.best() for need, count in needs.items()}
    asked = {"reviews": len(texts), "tokens": sum(lengths), "logits_spread": float(reference.std(axis=0).mean())}
    return {**asked, "operations": needs, "peers": found}


def counted(answer, texts, vocabulary):
    """Logits, and how many tokens were computed for them, padding included; None where that cannot be seen."""
    if isinstance(answer, peers.Sorted):
        return answer(texts), answer.padded
    with peers.TokenCount(vocabulary) as count:
        logits = answer(texts)
    return logits, count.tokens


def short(ready, repeats):
    """One short review at a time, warm, the peers in turn: in a turn the same review is answered WARMING times, then timed."""
    seconds = {name: [] for name in ready}
    for peer in ready.values():
        for text in directory.SAMPLE_REVIEWS * 3:
            peer.answer([text])
    for number, order in turns(ready, repeats):
        for name in order:
            text, turn = [directory.SAMPLE_REVIEWS[number % len(directory.SAMPLE_REVIEWS)]], []
            for _ in range(WARMING + TIMED):
                started = time.perf_counter()
                ready[name].answer(text)
                turn.append(time.perf_counter() - started)
            seconds[name].append(turn[WARMING:])
    medians = {name: np.median(mine, axis=1) for name, mine in seconds.items()}
    return {
        name: {
            "p50_milliseconds": 1000 * float(np.median(mine)),
            "p99_milliseconds": 1000 * float(np.percentile(mine, 99)),
            "ratio": ratio(medians[name], medians[UNIT]),
        }
        for name, mine in seconds.items()
    }


def training(subject, steps, rounds, seed):
    """Optimiser steps on the same real reviews, another chunk each round."""
    drawn = reviews("train", (rounds + 1) * steps * BATCH, seed)
    chunks = [drawn.take(range(part * steps * BATCH, (part + 1) * steps * BATCH)) for part in range(rounds + 1)]
    lengths = [len(ids) for ids in directory.load(subject.adapter).encoder.encode(chunks[-1].texts)]
    found = {}
    for name, (course, about) in COURSES.items():  # the first turn warms up; its tokens are counted
        with peers.TokenCount(subject.config.vocab_size, training=True) as count:
            course(subject, chunks[-1])
        found[name] = {"about": about, "padded_over_real": count.tokens / sum(lengths) if count.tokens else None}
    seconds = {name: [] for name in COURSES}
    for number, order in turns(COURSES, rounds):
        for name in order:
            gc.collect()
            seconds[name].append(seconds_a_review(COURSES[name][0](subject, chunks[number])))
            say(f"round {number + 1}: training, {name}: {1 / seconds[name][-1]:.2f} reviews a second")
    for name, row in found.items():
        row["seconds_a_review"] = seconds[name]
        row["reviews_a_second"] = 1 / float(np.median(seconds[name]))
        row["ratio"] = ratio(seconds[name], seconds[UNIT])
    return {"steps": steps, "batch_size": BATCH, "courses": found}


def surroundings():
    """What ran, and on what."""

    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return {
        "machine": {
            **machine.features(),
            "cores": os.cpu_count(),
            "amx": "amx_bf16" in machine.bf16(),
            "avx512_bf16": "avx512_bf16" in machine.bf16(),
        },
        "libraries": {**machine.libraries(), **{name: metadata.version(name) for name in LIBRARIES}},
        "commit": git("rev-parse", "HEAD"),
        "changed_since": bool(git("status", "--porcelain", "--", "../../lorasent", ".")),
    }


def parse():
    arguments = argparse.ArgumentParser(description="lorasent beside its peers: scoring, one short review, training")
    arguments.add_argument("--reviews", type=int, default=400, help="in bulk")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--short", type=int, default=40, help="turns with one short review")
    arguments.add_argument("--steps", type=int, default=24, help="optimiser steps a round")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=0, help="of the reviews drawn")
    arguments.add_argument("--peer", action="append", choices=list(PEERS), help=f"only these, and {UNIT}; may be repeated")
    arguments.add_argument("--out", type=Path, help="a folder of its own: golden/ and docs/ stay as they are")
    given = arguments.parse_args()
    if "LORASENT_DATA" not in os.environ:
        arguments.error("needs real reviews: set LORASENT_DATA to a folder with the files that CONTRIBUTING.md names")
    if given.peer and not given.out:
        arguments.error("--peer needs --out FOLDER: what is published has every peer")
    if min(given.reviews, given.steps) < 2 or min(given.rounds, given.short) < 1:
        arguments.error("needs two reviews and two steps, one round and one turn at least")
    return given


def main():
    """Measures everything and shows it."""
    given = parse()
    torch.set_num_threads(given.threads)
    rate, asked = MatrixRate(), [name for name in PEERS if not given.peer or name in (UNIT, *given.peer)]
    with tempfile.TemporaryDirectory() as folder:
        subject = make_subject(Path(folder))
        ready = {name: peers.prepared(name, *PEERS[name], subject) for name in asked}
        measured = {
            **surroundings(),
            "settings": {key: value for key, value in vars(given).items() if key not in ("out", "peer")},
            "scoring": bulk(ready, subject, reviews("test", given.reviews, given.seed).texts, given.rounds, rate),
            "short": short(ready, given.short),
            "training": training(subject, given.steps, given.rounds, given.seed),
        }
        measured["about"] = {name: PEERS[name][0] for name in asked}
    measured["matrix_rate"] = {"best": rate.best(), "matmul": rate.best("matmul"), "prepacked": rate.best("prepacked")}
    measured["matrix_rates"] = rate.medians
    out = given.out or GOLDEN / "measured" / "benchmarks" / "peers"
    out.mkdir(parents=True, exist_ok=True)
    kind = table.kind(measured["machine"])
    files.write(out / f"{kind}.json", [files.canonical(measured)])
    plot.peers(measured, out / f"{kind}.svg")
    say(table.page(measured))
    if not given.out:
        golden.write_manifest(GOLDEN)
        table.into_page(Path("docs/explanation/performance.md"), out)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
