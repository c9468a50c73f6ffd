"""Goldens tell a changed environment from a changed model."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.activations import GELUActivation

from lorasent import golden
from lorasent.adapter.manifest import WEIGHTS
from lorasent.errors import GoldenError
from lorasent.gate import golden as differential
from lorasent.gate.context import Context
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, settle
from lorasent.gate.golden import Golden
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.recipe.recipe import Recipe
from lorasent.scoring import evidence
from lorasent.scoring.evidence import Answers, LiveSubject, RecordedSubject
from lorasent.statistics.estimates import Rate
from lorasent.text import shown
from lorasent.training.train import train
from tests.gate.answers import LABELS
from tests.support.manifests import adopted, manifest


class StubSubject:
    """A subject that answers what it is told to, and remembers what it was asked."""

    made_on = "cpu, fp32"

    def __init__(self, logits, weights="w", labels=LABELS):
        self.logits, self.labels = np.asarray(logits, dtype=np.float32), labels
        self.manifest = manifest(files={WEIGHTS: weights})
        self.asked = []

    def answer(self, texts):
        self.asked.append(list(texts))
        return Answers(self.logits, np.full(len(texts), 5))


ROWS = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.25], [2.0, -2.0]]


@pytest.fixture
def recorded(tmp_path):
    """The policy of a golden of four rows that the weights "w" made, and may move by 0.25."""
    rows = [{"text": f"text {number}", "label": LABELS[int(row[1] > row[0])], "logits": row} for number, row in enumerate(ROWS)]
    made = golden.make(rows, about="test", producer={"adapter_sha256": "w"}, tolerance={"logits": 0.25}, why="test")
    golden.write(tmp_path / "golden.json", made)
    return Golden(predictions=str(tmp_path / "golden.json"))


def moved(by, row=2):
    """The golden's logits, of which one is moved."""
    logits = np.array(ROWS)
    logits[row, 1] += by
    return logits


def compared(policy, candidate, *baselines, alpha=0.05):
    """What a verdict makes of a golden: its findings, and its claims once they are settled."""
    context = Context(candidate, baselines, None, alpha)
    findings, claims = [], []
    for answer in differential.ask(policy, context):
        (claims if isinstance(answer, Claim) else findings).append(answer)
    return [*findings, *settle(claims, alpha)]


def test_a_golden_that_comes_out_again_is_two_findings(recorded):
    """By the tolerance itself, up or down, nothing has moved."""
    for by in (0.25, -0.25):
        candidate, baseline = StubSubject(ROWS), StubSubject(moved(by))
        figures = {"moved": 0.25, "allowed": 0.25}
        assert compared(recorded, candidate, baseline) == [
            Finding(
                "golden::environment",
                Outcome.PASS,
                "",
                "the baseline answers as recorded (logits differ by up to 0.25; tolerance 0.25)",
                "",
                figures,
            ),
            Finding(
                "golden::model",
                Outcome.PASS,
                "",
                "the candidate has the golden's weights and answers alike (logits differ by up to 0.25; tolerance 0.25)",
                "",
                figures,
            ),
        ]
        assert candidate.asked == baseline.asked == [["text 0", "text 1", "text 2", "text 3"]]


def test_an_environment_that_moved_is_invalid(recorded):
    """By the largest move of any logit, up or down; the candidate is held to what the baseline answers today."""
    for by in (0.5, -0.5):
        first, second = compared(recorded, StubSubject(moved(by)), StubSubject(moved(by)))
        message = (
            "ENVIRONMENT: the libraries or the machine changed: the baseline does not answer as recorded "
            "(logits differ by up to 0.5; tolerance 0.25)"
        )
        advice = "judge with the libraries that the golden names, or record the golden anew after reading the difference"
        figures = {"moved": 0.5, "allowed": 0.25}
        assert first == Finding("golden::environment", Outcome.INVALID, "environment", message, advice, figures)
        message = "the candidate has the golden's weights and answers alike (logits differ by up to 0; tolerance 0.25)"
        assert second == Finding("golden::model", Outcome.PASS, "", message, "", {"moved": 0.0, "allowed": 0.25})


def test_a_model_that_moved_blocks(recorded):
    """The same weights, other logits."""
    for by in (0.5, -0.5):
        found = compared(recorded, StubSubject(moved(by)), StubSubject(ROWS))[1]
        message = (
            "MODEL: the candidate has the golden's weights and answers differently (logits differ by up to 0.5; tolerance 0.25)"
        )
        advice = "compare its configuration, tokenizer and base with the baseline's"
        assert found == Finding("golden::model", Outcome.BLOCK, "model", message, advice, {"moved": 0.5, "allowed": 0.25})


def test_without_a_baseline_a_golden_that_moved_accuses_nobody(recorded):
    """What it would take to know is advised."""
    first, second = compared(recorded, StubSubject(moved(0.5)))
    message = "not checked: there is no baseline, so whether the environment changed is not known"
    assert first == Finding("golden::environment", Outcome.PASS, NOT_CHECKED, message)
    message = "ENVIRONMENT or MODEL: the candidate has the golden's weights and answers differently "
    message += "(logits differ by up to 0.5; tolerance 0.25)"
    advice = "give a baseline with the golden's weights: it tells which"
    figures = {"moved": 0.5, "allowed": 0.25}
    assert second == Finding("golden::model", Outcome.INVALID, "environment", message, advice, figures)


def test_the_weights_of_a_whole_model_are_its_bases(recorded):
    """Its manifest lists no adapter's file."""
    model = StubSubject(ROWS)
    model.manifest = adopted({}, base={"name": "m", "sha256": "w", "revision": None}, files={WEIGHTS: "x"})
    assert compared(recorded, model, StubSubject(ROWS, "other"))[1].message.startswith("the candidate has the golden's weights")


def test_a_candidate_that_changes_every_label_is_told_that_no_golden_could_block_it(recorded):
    """All is lost that could be."""
    (found,) = [
        one
        for one in differential.ask(
            recorded.model_copy(update={"max_changed": 0.9}),
            Context(StubSubject(-np.array(ROWS), "other"), [StubSubject(ROWS, "other")], None, 0.05),
        )
        if isinstance(one, Claim)
    ]
    assert found.message == "4 of 4 golden labels changed (margin: 90 %)"
    assert found.shortfall(0.01) == "all that could be lost is lost, and even that cannot block"


def test_a_golden_of_another_adapter_tells_no_environment(recorded):
    """The candidate that made it is held to what was recorded; the baseline does not answer it."""
    baseline = StubSubject(ROWS, "other")
    first, second = compared(recorded, StubSubject(moved(0.25)), baseline)
    message = (
        f"not checked: another adapter than the baseline made {recorded.predictions}, "
        "so whether the environment changed is not known"
    )
    assert first == Finding("golden::environment", Outcome.PASS, NOT_CHECKED, message)
    assert (second.outcome, second.figures) == (Outcome.PASS, {"moved": 0.25, "allowed": 0.25})
    assert baseline.asked == []


def test_a_golden_without_a_tolerance_or_a_producer_is_exact(recorded, tmp_path):
    """Nothing may move, and nobody made it: not even who has no weights."""
    content = golden.read(tmp_path / "golden.json")
    golden.write(tmp_path / "golden.json", content.model_copy(update={"tolerance": {}}))
    assert [one.figures["allowed"] for one in compared(recorded, StubSubject(ROWS), StubSubject(ROWS))] == [0.0, 0.0]
    golden.write(tmp_path / "golden.json", content.model_copy(update={"producer": {}}))
    for nobody in (
        StubSubject(ROWS),
        SimpleNamespace(labels=LABELS, manifest=manifest(), made_on="cpu, fp32", answer=StubSubject(ROWS).answer),
    ):
        first, second = compared(recorded, nobody, nobody)
        assert first.cause == NOT_CHECKED
        assert second.figures.items() >= {"changed": 0, "n": 4, "max_changed": 0.1}.items()


@pytest.mark.parametrize(
    "column",
    [{"text": 1.0}, {"label": "Neutral"}, {"logits": 2.0}, {"logits": [1.0, 2.0, 3.0]}, {"text": "long " * 50, "label": "Neutral"}],
    ids=["text", "label", "logit", "logits", "long"],
)
def test_a_golden_of_something_else_is_one_line(recorded, tmp_path, column):
    """It has no texts, no labels of these, or no logits that could be compared."""
    content = golden.read(tmp_path / "golden.json")
    rows = [*content.rows[:3], {**content.rows[3], **column}]
    golden.write(tmp_path / "golden.json", content.model_copy(update={"rows": rows}))
    expected = f"expected a text, one of the labels Negative, Positive, and 2 logits; found {shown(str(rows[3]), 200)}"
    message = f"{recorded.predictions}: row 3 cannot be compared: {expected}"
    with pytest.raises(GoldenError, match=f"^{re.escape(message)}$"):
        differential.texts(recorded, LABELS)


def test_a_subject_without_weights_made_no_golden(recorded, tmp_path):
    """Whatever its golden says of its maker."""
    content = golden.read(tmp_path / "golden.json")
    golden.write(tmp_path / "golden.json", content.model_copy(update={"producer": {"adapter_sha256": "None"}}))
    nobody = SimpleNamespace(labels=LABELS, manifest=manifest(), made_on="cpu, fp32", answer=StubSubject(ROWS).answer)
    assert compared(recorded, nobody, nobody)[0].cause == NOT_CHECKED
    assert differential._weights(StubSubject(ROWS)) == "w"
    assert differential._weights(nobody) == "none"


def test_a_retrained_candidates_labels_decide(recorded):
    """All but one kept of four pass at 5 %; three changed block."""
    kept, lost = (StubSubject(logits, "other") for logits in (moved(0.5), -np.array(ROWS)))
    found = compared(recorded, kept, StubSubject(ROWS))[1]
    p = Rate(1, 4).p_above(0.1)
    figures = {"changed": 1, "n": 4, "max_changed": 0.1, "p": p, "p_adjusted": p}
    assert found == Finding("golden::model", Outcome.PASS, "", "1 of 4 golden labels changed (margin: 10 %)", "", figures)
    found = compared(recorded, lost, StubSubject(ROWS))[1]
    p = Rate(4, 4).p_above(0.1)
    figures = {"changed": 4, "n": 4, "max_changed": 0.1, "p": p, "p_adjusted": p}
    message = "4 of 4 golden labels changed (margin: 10 %)"
    assert found == Finding("golden::model", Outcome.BLOCK, "model", message, "do not ship it", figures)


def test_labels_block_at_alpha_itself(recorded):
    """As claims do."""
    alpha = Rate(1, 4).p_above(0.1)
    found = compared(recorded, StubSubject(moved(0.5), "other"), StubSubject(ROWS), alpha=alpha)[1]
    assert found.outcome is Outcome.BLOCK


pytestmark = pytest.mark.usefixtures("own_cache")

TEXTS = [f"a film of {number} words, {'very ' * number}good" for number in range(20)]


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


def test_answers_of_a_gpu_are_not_compared_with_a_golden_in_silence(recorded):
    """A golden does not name its device: the first finding says what it is compared with."""
    candidate, baseline = StubSubject(ROWS), StubSubject(ROWS)
    assert [finding.check for finding in compared(recorded, candidate, baseline)] == ["golden::environment", "golden::model"]
    candidate.made_on = "cuda, bf16"
    first, *_ = compared(recorded, candidate, baseline)
    assert (first.check, first.outcome, first.cause) == ("golden::device", Outcome.PASS, "another-device")
    assert first.message == f"answers made on cuda, bf16 are compared with {recorded.predictions}, which does not name its device"


def moved_record(subject, path):
    """A record of a subject's answers with every logit a tenth off: the same weights, another model around them."""
    evidence.record(subject, [TEXTS], path)
    record = RecordedSubject(path)
    record.tensors = {name: value + np.float32(0.1) if name.endswith("logits") else value for name, value in record.tensors.items()}
    return record


@pytest.mark.slow
@pytest.mark.parametrize("environment", [False, True], ids=["the environment stands", "the environment moved"])
@pytest.mark.parametrize("model", [False, True], ids=["the model stands", "the model moved"])
def test_environment_and_model_are_named_apart(small_adapter, tmp_path, environment, model):
    """The baseline tells the one by the golden, the candidate the other by the baseline as it answers today."""
    baseline = LiveSubject(small_adapter)
    policy = recorded_golden(tmp_path / "g.json", baseline, drift=0.05 if environment else 0.0)
    candidate = moved_record(baseline, tmp_path / "moved") if model else LiveSubject(small_adapter)
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
        assert (first.outcome, first.cause) == (Outcome.PASS, "not-checked")
        assert f"{wrong} of 20 golden labels changed (margin: 10 %)" in second.message
        outcomes.append(second.outcome)
    assert outcomes == [Outcome.PASS, Outcome.BLOCK]
