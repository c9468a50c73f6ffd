"""Cost: operations and bytes are counted exactly, and latency is a ratio within one run."""

import gc
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from lorasent.adapter.classifier import quiet
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate import cost
from lorasent.gate.cost import Cost
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.recipe.recipe import Encoding, Recipe
from lorasent.scoring.evidence import Answers, LiveSubject
from lorasent.statistics import latency
from lorasent.training.train import train
from tests.support.architectures import make
from tests.support.manifests import manifest


class Timed:
    """A subject whose every answer takes its seconds on a clock, and whose facts are given."""

    def __init__(self, path, clock=None, seconds=1.0, operations=(5.0, 2.0, 0.5), lengths=(10, 20, 300), size=100, **encoding):
        self.path, self.clock, self.seconds, self.facts = path, clock, seconds, operations
        self.lengths = np.array(lengths)
        self.manifest = manifest(encoding=encoding)
        self.quick, self.calls, self.snapshot = self, [], SimpleNamespace(folder=path, weights=[WEIGHTS])
        path.mkdir()
        (path / WEIGHTS).write_bytes(b"x" * size)

    def remember(self, name, compute):
        assert name == "operations"
        return self.facts

    def answer(self, texts):
        return Answers(np.zeros((len(texts), 2)), self.lengths)

    def logits(self, texts):
        self.calls.append(list(texts))
        if self.clock:
            self.clock.calls.append(self)
            self.clock.now += self.seconds() if callable(self.seconds) else self.seconds


class Clock:
    """A clock that stands still unless somebody works."""

    def __init__(self):
        self.now, self.calls = 100.0, []

    def __call__(self):
        return self.now


def findings(policy, candidate, incumbent, texts, clock=time.perf_counter):
    """The findings about the cost of a candidate."""
    source = SimpleNamespace(reviews=SimpleNamespace(texts=texts))
    answers = [one.answer(texts) for one in (candidate, incumbent) if one is not None]
    context = SimpleNamespace(candidate=candidate, incumbent=incumbent, source=source, answers=answers)
    return list(cost.ask(policy, context, clock))


def test_counts_that_do_not_grow_pass(tmp_path):
    """The polynomial of each review's tokens, cut at the recipe's limit; the bytes of the weights."""
    one, other = Timed(tmp_path / "new", max_length=30), Timed(tmp_path / "old", max_length=30)
    operations = 3 * 5 + 2 * 60 + 0.5 * (100 + 400 + 900)
    figures = {"baseline": operations, "candidate": operations, "ratio": 1.0, "limit": 1.0}
    first, second = findings(Cost(), one, other, ["a", "b", "c"])
    message = "835 operations for 3 reviews, as the baseline (limit: 1.00 times)"
    assert first == Finding("cost::flops", Outcome.PASS, "", message, "", figures)
    figures = {"baseline": 100, "candidate": 100, "ratio": 1.0, "limit": 1.05}
    message = "100 bytes of weights, as the baseline (limit: 1.05 times)"
    assert second == Finding("cost::bytes", Outcome.PASS, "", message, "", figures)


def test_without_a_baseline_counts_are_told(tmp_path):
    """Of the latency, which is a ratio, there is nothing to tell."""
    one = Timed(tmp_path / "new", operations=(0.0, 1000.0), lengths=(300, 213), size=1200)
    told = "not compared: no baseline; 513,000 operations for 2 reviews, 1,200 bytes of weights"
    expected = {"cost::flops": told, "cost::bytes": told, "cost::latency": "not compared: no baseline"}
    found = findings(Cost(max_latency_ratio=2), one, None, ["a", "b"])
    assert found == [Finding(check, Outcome.PASS, NOT_CHECKED, message) for check, message in expected.items()]


def test_counts_beyond_their_limits_block(tmp_path):
    """With the limit of each; an adapter that says no length is cut at 512 tokens."""
    new = Timed(tmp_path / "new", operations=(0.0, 1000.0), lengths=(1000, 513), size=1200)
    old = Timed(tmp_path / "old", operations=(0.0, 500.0), lengths=(1000, 513), size=1000)
    first, second = findings(Cost(max_flops_ratio=1.5, max_bytes_ratio=1.1), new, old, ["a", "b"])
    figures = {"baseline": 512_000, "candidate": 1_024_000, "ratio": 2.0, "limit": 1.5}
    message = "1,024,000 operations for 2 reviews, 2.0000 times the baseline's 512,000 (limit: 1.50 times)"
    advice = "a smaller rank or length costs less"
    assert first == Finding("cost::flops", Outcome.BLOCK, "slower", message, advice, figures)
    figures = {"baseline": 1000, "candidate": 1200, "ratio": 1.2, "limit": 1.1}
    message = "1,200 bytes of weights, 1.2000 times the baseline's 1,000 (limit: 1.10 times)"
    assert second == Finding("cost::bytes", Outcome.BLOCK, "larger", message, advice, figures)


def test_a_recipe_with_an_encoding_but_no_length_is_cut_at_512(tmp_path):
    """As one without the table."""
    subject = Timed(tmp_path / "new", operations=(0.0, 1.0), lengths=(600,), truncation_side="left")
    assert cost.counts(subject, subject.lengths) == {"flops": 512, "bytes": 100}


def test_each_ones_tokens_are_its_own(tmp_path):
    """A candidate whose tokenizer makes more of a text costs more."""
    new, old = (Timed(tmp_path / name, operations=(0.0, 1.0), lengths=(length,)) for name, length in (("new", 20), ("old", 10)))
    assert findings(Cost(), new, old, ["a"])[0].figures == {"baseline": 10, "candidate": 20, "ratio": 2.0, "limit": 1.0}


def test_a_ratio_of_the_limit_itself_passes():
    """Within a billionth, which rounding may take."""
    outcomes = [cost._ratio("bytes", "bytes", 10**12, 10**12 + more, 1.0).outcome for more in (0, 1000, 1001)]
    assert outcomes == [Outcome.PASS, Outcome.PASS, Outcome.BLOCK]


@pytest.fixture
def pair(tmp_path):
    """A function that makes two subjects on one clock, of which the baseline takes a second."""

    def make(seconds):
        clock = Clock()
        return Timed(tmp_path / "new", clock, seconds), Timed(tmp_path / "old", clock, 1.0), clock

    return make


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0, Outcome.PASS), (1.25, Outcome.PASS), (2.0, Outcome.BLOCK)])
def test_a_steady_ratio_of_times_is_a_finding(pair, ratio, outcome):
    """At the limit itself it passes; what blocks was measured twice."""
    new, old, clock = pair(ratio)
    found = findings(Cost(max_latency_ratio=1.25), new, old, [f"text {row}" for row in range(20)], clock)[-1]
    message = f"{ratio:.3f} times the baseline's time (interval {ratio:.3f} to {ratio:.3f}; limit: 1.25 times)"
    blocks = outcome is Outcome.BLOCK
    cause, advice = ("slower", "see cost::flops: more operations take more time") if blocks else ("", "")
    figures = {"ratio": ratio, "low": ratio, "high": ratio, "limit": 1.25}
    assert found == Finding("cost::latency", outcome, cause, message, advice, figures)
    assert all(call == [f"text {row}" for row in range(4)] for call in new.calls + old.calls)
    rounds = {1.0: 20, 1.25: 160, 2.0: 20}[ratio]  # the interval that holds the limit is measured on
    assert len(new.calls) == len(old.calls) == (1 + rounds) * (2 if blocks else 1)


def test_no_latency_is_measured_where_the_policy_limits_none(tmp_path):
    """Nobody is timed."""
    one, other = Timed(tmp_path / "new"), Timed(tmp_path / "old")
    assert [found.check for found in findings(Cost(), one, other, ["a"] * 3)] == [
        "cost::flops",
        "cost::bytes",
    ]
    assert one.calls == []


def in_turns(new, old, clock):
    """Both subjects' answers to one text, timed by their clock."""
    return [latency.timed(lambda one=one: one.logits(["a"]), clock) for one in (new, old)]


def test_the_two_answer_in_turns_the_first(pair):
    """Each is warmed once; then the baseline begins the first round, the candidate the second."""
    new, old, clock = pair(1.0)
    latency.ratio(*in_turns(new, old, clock), 1.25)
    names = "".join("c" if one is new else "b" for one in clock.calls)
    assert names == "cb" + "bccb" * 10


def test_a_first_measurement_that_is_not_confirmed_is_not_held_against_the_candidate(pair):
    """Twice as slow, then as fast: PASS, with the second measurement's figures."""
    new, old, clock = pair(lambda: 2.0 if len(clock.calls) <= 42 else 1.0)
    found = cost.latency(new, old, ["a"], 1.25, clock)
    assert (found.outcome, found.figures["ratio"]) == (Outcome.PASS, 1.0)


def test_times_that_scatter_about_the_limit_are_undecided(pair):
    """After the last of 160 rounds; the interval and the median are those of the ratios."""
    new, old, clock = pair(lambda: 1.0 if len(new.calls) % 2 else 1.5)
    found = cost.latency(new, old, ["a"], 1.25, clock)
    message = "1.250 times the baseline's time (interval 1.000 to 1.500; limit: 1.25 times)"
    figures = {"ratio": 1.25, "low": 1.0, "high": 1.5, "limit": 1.25}
    advice = "measure again on a machine that does nothing else"
    assert found == Finding("cost::latency", Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
    assert len(new.calls) == 161


def test_the_latencys_interval_is_the_bootstraps(pair):
    """99.8 % of the medians of 5,000 draws, by a fixed seed."""
    times = np.random.default_rng(3).lognormal(0, 0.2, 200)
    new, old, clock = pair(lambda: times[len(new.calls)])
    low, ratio, high = latency.ratio(*in_turns(new, old, clock), 2.0, looks=[151])
    ratios = times[2:153]
    drawn = np.median(np.random.default_rng(0).choice(ratios, (5000, 151)), axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.001, 0.999])), rel=1e-9)
    assert ratio == pytest.approx(float(np.median(ratios)))


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_collected_in_what_is_timed(collects):
    """Nor where it fails; afterwards the collector is as it was."""
    seen = []

    def work():
        seen.append(gc.isenabled())
        raise ValueError("it fails")

    was = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with pytest.raises(ValueError, match="it fails"):
            latency.timed(work)()
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        (gc.enable if was else gc.disable)()


pytestmark = pytest.mark.usefixtures("own_cache")

TEXTS = [f"a film of {number} words, {'very ' * number}good" for number in range(20)]


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


@pytest.mark.slow
def test_more_operations_and_bytes_block(small_adapter, small_recipe, tmp_path):
    """A larger rank costs more of both, whatever a clock says."""
    larger = train(Recipe.read(small_recipe, ["lora.r=8", "training.epochs=1"]), tmp_path / "larger").path
    more = findings(Cost(), LiveSubject(larger), LiveSubject(small_adapter), TEXTS)
    assert [(one.check, one.outcome) for one in more] == [("cost::flops", Outcome.BLOCK), ("cost::bytes", Outcome.BLOCK)]
    assert more[0].figures["ratio"] > 1


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
    found = cost.latency(candidate, baseline, TEXTS, 1.3, lambda: machine.now)
    assert (found.check, found.outcome) == ("cost::latency", outcome)
    assert found.figures["low"] <= ratio <= found.figures["high"]


def test_what_is_timed_is_what_users_load(small_adapter):
    """The same model, without rows that hold no token: a longer review takes longer."""
    subject = LiveSubject(small_adapter)
    assert (subject.scorer.invariant, subject.quick.invariant) == (True, False)
    assert subject.quick.model is subject.scorer.model


def test_an_adapter_is_never_slower_than_itself(small_adapter):
    """By the real clock: the figure is there, and it does not block."""
    subjects = LiveSubject(small_adapter), LiveSubject(small_adapter)
    found = findings(Cost(max_latency_ratio=1.3), *subjects, TEXTS)[-1]
    assert found.check == "cost::latency"
    assert found.outcome is not Outcome.BLOCK
    assert 0 < found.figures["low"] <= found.figures["ratio"]
