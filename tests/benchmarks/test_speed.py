"""How fast it is here: times for the trend, none of which can fail, each beside the least that the machine's rates allow."""

import subprocess
import sys
import time

import pytest
import torch

import lorasent
from lorasent.gate.cost import operations
from lorasent.pytest_plugin.goldens import folder
from lorasent.scoring.evidence import LiveSubject
from lorasent.statistics.latency import ratio
from lorasent.training.train import Listener
from tests.benchmarks import floors
from tests.benchmarks.against import ROOT, THRESHOLD, Subject, workers
from tests.benchmarks.rate import DTYPE
from tests.benchmarks.workloads import SHORT, VERDICT, reviews, scorer_on
from tests.support.references import REFERENCE, make_patterned_adapters

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ON = [pytest.param("cpu", id="cpu"), pytest.param("cuda", id="gpu", marks=pytest.mark.gpu)]

ROUNDS = {"cpu": 100, "cuda": 1000}
BULK = {"cpu": 64, "cuda": 4096}
BULK_ROUNDS = 5
TRAINED = {"cpu": 64, "cuda": 500}
"""Training reviews: 4 a step."""


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """The reference adapter, and one of DistilBERT's shape with patterned weights: times need no trained ones."""
    from transformers import DistilBertConfig

    made = make_patterned_adapters(tmp_path_factory.mktemp("patterned"), DistilBertConfig(), 512)
    return {"embedded": REFERENCE, "distilbert": made["trained"], "distilbert base": made["base"]}


@pytest.fixture(scope="module")
def rates():
    """A function that measures a device's rates, once."""
    known = {}

    def measure(device):
        if device not in known:
            known[device] = floors.measure(device, DTYPE)
        return known[device]

    return measure


@pytest.fixture(scope="module", params=["embedded", "distilbert"])
def shape(request):
    """The name of an adapter."""
    return request.param


@pytest.fixture(scope="module")
def subject(adapters, shape):
    """The adapter in fp32 on the CPU, as operations are counted on."""
    return LiveSubject(adapters[shape])


def asked_for(subject, texts):
    """Operations that the answers to texts need by the definition, attention included."""
    limit = subject.manifest.recipe.encoding.max_length
    lengths = subject.scorer.encoder.lengths(texts).clip(max=limit).astype(float)
    coefficients = subject.remember("operations", lambda: operations(subject))
    return float(sum(coefficient * (lengths**power).sum() for power, coefficient in enumerate(coefficients)))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of these tests' own."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("device", ON)
def test_one_review(measured, adapters, subject, shape, rates, device):
    """One short review by itself: the median and the 99th percentile."""
    scorer = scorer_on(adapters[shape], device)
    floor = rates(device).floor(asked_for(subject, [SHORT]), floors.weight_bytes(subject.scorer.model, DTYPE))
    measured(f"one review, {shape}, {device}", lambda: scorer.logits([SHORT]), ROUNDS[device], floor=floor)


@pytest.mark.parametrize("device", ON)
def test_bulk(measured, adapters, subject, shape, rates, device):
    """Embedded reviews of all lengths at once, and on a GPU the most memory that this takes."""
    scorer, texts = scorer_on(adapters[shape], device), reviews(BULK[device])
    needed = asked_for(subject, texts)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    figures = {"reviews": len(texts), "floor": rates(device).floor(needed, floors.weight_bytes(subject.scorer.model, DTYPE))}
    found = measured(f"{BULK[device]} reviews, {shape}, {device}", lambda: scorer.logits(texts), BULK_ROUNDS, **figures)
    found["share of the matrix rate"] = needed / rates(device).operations / found["p50"]
    if device == "cuda":
        found["bytes of memory at most"] = torch.cuda.max_memory_allocated()


class Steps(Listener):
    """Hears when each optimiser step is done."""

    def __init__(self):
        self.done = []

    def step(self, *_):
        self.done.append(time.perf_counter())


@pytest.mark.parametrize("device", ON)
def test_a_training_step(record, adapters, subject, shape, rates, tmp_path, device):
    """Batches of 4 by the recipe, each step from the end of the one before; the first three warm.

    The floor: the forward pass, and the gradient by its inputs, which costs as much; frozen weights ask for none.
    """
    changes = ["training.epochs=1", f"data.sample={TRAINED[device]}", "training.precision=auto"]
    given = {}
    if shape == "distilbert":
        given = {"base.model": str(adapters["distilbert base"]), "base.revision": None}
        given |= {"data.train": "embedded:train", "data.validation": "embedded:validation"}
    steps = Steps()
    recipe = lorasent.Recipe.read("imdb-distilbert" if given else "embedded", changes, given)
    lorasent.train(recipe, tmp_path / "adapter", listener=steps, device=device)
    seconds = [after - before for before, after in zip(steps.done[3:], steps.done[4:], strict=False)]
    texts = reviews(100)
    needed = 2 * asked_for(subject, texts) / len(texts) * recipe.training.batch_size
    floor = rates(device).floor(needed, 2 * floors.weight_bytes(subject.scorer.model, DTYPE))
    record.times(f"training step, {shape}, {device}", seconds, floor=floor)


@pytest.mark.parametrize("device", ON)
def test_bulk_against_the_plain_loop(record, request, device):
    """How many times as long the loop over single reviews in fp32 takes; on a GPU it is held to the last recorded ratio."""
    name = f"the plain loop over bulk, {device}"
    recorded = recorded_ratio(request.config, name)
    limit = recorded / THRESHOLD if recorded else 1.0
    with workers(Subject("one by one", REFERENCE, device=device), Subject("bulk", REFERENCE, device=device)) as pair:
        found = ratio(*pair, limit)
    record.ratio(name, found)
    if device == "cuda" and recorded:
        assert found.high >= limit, f"{name}: {found.value:.2f} ({found.low:.2f} to {found.high:.2f}), recorded is {recorded:.2f}"


def recorded_ratio(config, name):
    """The last recorded ratio of a name on this kind of machine, or None."""
    from lorasent import machine as machines
    from tests.benchmarks import history
    from tests.benchmarks.plugin import HISTORY

    machine = machines.kind()
    runs = history.read(folder(config) / HISTORY)
    known = [run.ratios[name]["value"] for run in runs if run.machine == machine and name in run.ratios]
    return known[-1] if known else None


@pytest.mark.parametrize(
    ("name", "arguments", "rounds"),
    [
        ("import lorasent", ("-c", "import lorasent"), 20),
        ("lorasent --help", ("-m", "lorasent.cli", "--help"), 20),
        ("cached verdict", [str(REFERENCE) if one == "ADAPTER" else one for one in VERDICT], 5),
    ],
    ids=["import", "help", "cached verdict"],
)
def test_a_process(measured, name, arguments, rounds):
    """From its start to its end; the two rounds that warm it fill the cache of a verdict."""
    command = [sys.executable, *arguments]
    measured(name, lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True), rounds)
