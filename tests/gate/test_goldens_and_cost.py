"""Goldens tell a moved environment from a moved model; cost is counted exactly, and latency is a ratio within one run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification
from transformers.activations import GELUActivation

from lorasent import golden
from lorasent.adapter.classifier import quiet
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate import cost
from lorasent.gate import golden as differential
from lorasent.gate.finding import Outcome, settle
from lorasent.gate.policy import Cost, Golden, Policy
from lorasent.gate.verdict import judge
from lorasent.recipe.recipe import Encoding, Recipe
from lorasent.scoring import evidence
from lorasent.scoring.evidence import LiveSubject, RecordedSubject
from lorasent.training.train import train
from tests.support.architectures import make

TEXTS = [f"a film of {number} words, {'very ' * number}good" for number in range(20)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def retrained(tmp_path_factory, small_recipe):
    """The small recipe with another seed, so with other weights."""
    return train(Recipe.read(small_recipe, ["training.seed=7"]), tmp_path_factory.mktemp("retrained") / "adapter").path


def recorded_golden(path, subject, drift=0.0, wrong=0):
    """The golden of a subject's answers, its logits moved by `drift`, `wrong` of its labels not the subject's own."""
    logits = subject.answer(TEXTS).logits + drift
    labels = [subject.labels[column] for column in logits.argmax(axis=1)]
    other = dict(zip(subject.labels, reversed(subject.labels), strict=True))
    rows = [
        {"text": text, "label": other[label] if number < wrong else label, "logits": row.tolist()}
        for number, (text, label, row) in enumerate(zip(TEXTS, labels, logits, strict=True))
    ]
    producer = {"adapter_sha256": subject.manifest.files[WEIGHTS]}
    golden.write(path, golden.make(rows, about="test", producer=producer, tolerance={"logits": 1e-4}, why="test"))
    return Golden(predictions=str(path))


def moved(subject, path):
    """A record of a subject's answers with every logit a tenth off: the same weights, another model around them."""
    evidence.record(subject, [TEXTS], path)
    record = RecordedSubject(path)
    record.tensors = {name: value + np.float32(0.1) if name.endswith("logits") else value for name, value in record.tensors.items()}
    return record


def compared(policy, candidate, baseline):
    """What a verdict makes of a golden."""
    findings, claims = differential.check(policy, candidate, baseline)
    return [*findings, *settle(claims, 0.05)]


@pytest.mark.parametrize("environment", [False, True], ids=["the environment stands", "the environment moved"])
@pytest.mark.parametrize("model", [False, True], ids=["the model stands", "the model moved"])
def test_environment_and_model_are_named_apart(small_adapter, tmp_path, environment, model):
    """The baseline tells the one by the golden, the candidate the other by the baseline as it answers today."""
    baseline = LiveSubject(small_adapter)
    policy = recorded_golden(tmp_path / "g.json", baseline, drift=0.05 if environment else 0.0)
    candidate = moved(baseline, tmp_path / "moved") if model else LiveSubject(small_adapter)
    first, second = compared(policy, candidate, baseline)
    assert (first.check, second.check) == ("golden::environment", "golden::model")
    assert first.outcome is (Outcome.INVALID if environment else Outcome.PASS)
    assert second.outcome is (Outcome.BLOCK if model else Outcome.PASS)
    assert ("ENVIRONMENT" in first.message, "MODEL" in second.message) == (environment, model)


def test_a_moved_environment_accuses_nobody(small_adapter, retrained, tmp_path, monkeypatch):
    """Where libraries move an activation, the baseline's own answers do not come out again: INVALID, whoever is the candidate."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(GELUActivation, "forward", lambda _, states: 1.5 * states * torch.sigmoid(1.702 * states))
    for candidate in (small_adapter, retrained):
        verdict = judge(candidate, [small_adapter], Policy())
        assert verdict.outcome is Outcome.INVALID, verdict.findings[0]
        assert verdict.findings[0].check == "integrity::answers"


def test_a_retrained_candidate_is_held_to_the_labels(small_adapter, retrained, tmp_path):
    """Its logits are its own; all labels kept pass, half of them changed block; of another baseline nothing is told."""
    candidate = LiveSubject(retrained)
    outcomes = []
    for wrong in (0, 10):
        policy = recorded_golden(tmp_path / f"{wrong}.json", candidate, wrong=wrong)
        content = json.loads((tmp_path / f"{wrong}.json").read_text())
        content["producer"]["adapter_sha256"] = LiveSubject(small_adapter).manifest.files[WEIGHTS]
        (tmp_path / f"{wrong}.json").write_text(json.dumps(content))
        first, second = compared(policy, candidate, candidate)
        assert (first.outcome, first.cause) == (Outcome.PASS, "not-asked")
        assert f"{wrong} of 20 golden labels changed, 10 % may" in second.message
        outcomes.append(second.outcome)
    assert outcomes == [Outcome.PASS, Outcome.BLOCK]


def test_operations_are_counted_exactly(small_adapter):
    """The polynomial gives what torch counts at another length, and grows with the square of it."""
    from torch.utils.flop_counter import FlopCounterMode

    subject = LiveSubject(small_adapter)
    constant, linear, square = cost.operations(subject)
    model = subject.scorer.model
    model.set_attn_implementation("eager")
    ids = torch.zeros((1, 50), dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert constant + 50 * linear + 2500 * square == counter.get_total_flops()
    assert square > 0


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_operations_of_what_answers_at_a_token_of_its_own_are_counted(bases, tmp_path, architecture):
    """T5 and BART answer at the token that ends a text, and refuse a text without."""
    base = make(bases, tmp_path, architecture)
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    encoder = Encoder(base, Encoding(max_length=64))
    constant, linear, square = cost.operations(SimpleNamespace(scorer=SimpleNamespace(model=model, encoder=encoder)))
    assert constant >= 0
    assert linear > 0
    assert square > 0


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_counting_leaves_the_model_as_it_was(small_adapter, monkeypatch, attention):
    """The attention that it computes with, also where counting fails; what is counted is one review's, padding and all."""
    from torch.utils import flop_counter

    subject = LiveSubject(small_adapter)
    model = subject.scorer.model
    model.set_attn_implementation(attention)
    asked, counted_by = [], []
    model.register_forward_pre_hook(lambda *told: asked.append(told[2]), with_kwargs=True)
    model.register_forward_pre_hook(lambda *_: counted_by.append(model.config._attn_implementation))
    cost.operations(subject)
    assert model.config._attn_implementation == attention
    assert counted_by == ["eager"] * 3
    assert [(one["input_ids"].shape, one["attention_mask"].tolist()) for one in asked] == [
        ((1, length), [[1] * length]) for length in cost.LENGTHS
    ]
    encoder = subject.scorer.encoder
    ends = [encoder.pad_id, encoder.tokenizer.sep_token_id]
    assert [one["input_ids"].tolist() for one in asked] == [[[ends[0]] * (n - 1) + ends[1:]] for n in cost.LENGTHS]
    monkeypatch.setattr(flop_counter, "FlopCounterMode", lambda **_: pytest.fail("counting failed"))
    with pytest.raises(pytest.fail.Exception, match="counting failed"):
        cost.operations(subject)
    assert model.config._attn_implementation == attention


def test_counting_shows_nothing(small_adapter, capfd):
    """torch would print a table."""
    cost.operations(LiveSubject(small_adapter))
    assert capfd.readouterr().out == ""


def test_more_operations_and_bytes_block(small_adapter, small_recipe, tmp_path):
    """A larger rank costs more of both, whatever a clock says."""
    larger = train(Recipe.read(small_recipe, ["lora.r=8", "training.epochs=1"]), tmp_path / "larger").path
    findings = cost.check(Cost(), LiveSubject(larger), LiveSubject(small_adapter), TEXTS)
    assert [(one.check, one.outcome) for one in findings] == [("cost::flops", Outcome.BLOCK), ("cost::bytes", Outcome.BLOCK)]
    assert findings[0].figures["ratio"] > 1


class Worked:
    """A scorer whose work moves a clock: by its speed, and by what else a busy machine does, the same for neighbours."""

    def __init__(self, scorer, machine, seconds):
        self.scorer, self.machine, self.seconds = scorer, machine, seconds

    def logits(self, texts):
        self.machine.now += self.seconds * self.machine.load() * self.machine.random.lognormal(0, 0.1)
        return None if self.machine.now > 1 else self.scorer.logits(texts)


class Machine:
    """A clock, and a load that is high for a third of the time, in long spells."""

    def __init__(self, seed):
        self.random, self.now, self.calls = np.random.default_rng(seed), 0.0, 0

    def load(self):
        self.calls += 1
        return 4.0 if self.calls // 7 % 3 == 0 else 1.0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
@pytest.mark.parametrize(
    ("ratio", "outcome"), [(1.0, Outcome.PASS), (1.2, Outcome.PASS), (1.3, Outcome.INCONCLUSIVE), (1.5, Outcome.BLOCK)]
)
def test_latency_is_an_interleaved_ratio(small_adapter, ratio, outcome, seed):
    """Beside a load that comes and goes, the ratio is found, and held against 1.3 with its interval."""
    machine = Machine(seed)
    candidate, baseline = LiveSubject(small_adapter), LiveSubject(small_adapter)
    for subject, seconds in ((candidate, ratio), (baseline, 1.0)):
        subject.quick = Worked(subject.quick, machine, seconds)
    found = cost._latency(candidate, baseline, TEXTS, 1.3, lambda: machine.now)
    assert (found.check, found.outcome) == ("cost::latency", outcome)
    assert found.figures["low"] <= ratio <= found.figures["high"]


def test_what_is_timed_is_what_users_load(small_adapter):
    """The same model, without rows that hold no token: a longer review takes longer."""
    subject = LiveSubject(small_adapter)
    assert (subject.scorer.invariant, subject.quick.invariant) == (True, False)
    assert subject.quick.model is subject.scorer.model


def test_an_adapter_is_never_slower_than_itself(small_adapter):
    """By the real clock: the figure is there, and it does not block."""
    found = cost.check(Cost(max_latency_ratio=1.3), LiveSubject(small_adapter), LiveSubject(small_adapter), TEXTS)[-1]
    assert found.check == "cost::latency"
    assert found.outcome is not Outcome.BLOCK
    assert 0 < found.figures["low"] <= found.figures["ratio"]
