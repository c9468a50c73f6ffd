"""A first adapter, judged without a baseline: what is absolute decides, and the verdict says what was not compared."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from lorasent import golden
from lorasent.adapter.manifest import MANIFEST, WEIGHTS
from lorasent.errors import PolicyError
from lorasent.gate import calibration, triggers
from lorasent.gate import golden as differential
from lorasent.gate.calibration import Calibration
from lorasent.gate.context import Context
from lorasent.gate.finding import NOT_CHECKED, Claim, Outcome, only_blocks, settle
from lorasent.gate.policy import Policy
from lorasent.gate.quality import Quality
from lorasent.gate.verdict import Verdict, judge
from lorasent.report import page, terminal
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import Rate
from tests.gate.answers import LABELS, always, answers, by_check, context_of, film_reviews, quality_claims, reviews, write_cases
from tests.gate.integrity.adapters import write_filled
from tests.support.bases import make_hub_cache
from tests.support.hub import COMMIT, serving
from tests.support.manifests import manifest

FLOOR = "[quality]\nmin = 0.7"
FAMILIES = (
    f'{FLOOR}\nslices = ["genre"]\n[calibration]\nmax_log_loss_increase = 0.1\n[behaviour]\ntriggers = false\ncases = "cases.jsonl"'
)


def floor(table, wrong=(), n=1000, size=2):
    """The floor's claim about answers of which the rows `wrong` are wrong."""
    [claim] = quality_claims(table, reviews(n, size), answers(wrong, n, size), [])
    return claim


# --- what the verdict says ---


def test_the_first_line_says_that_nothing_was_compared(adapters, policy):
    """So do the page and the JSON, which comes back as it was."""
    judged = judge("new", (), policy(film_reviews(50, 50), FLOOR))
    assert terminal.text(judged, "again").splitlines()[0] == "PASS: new, a first adapter: nothing was compared"
    assert "none: a first adapter: nothing was compared" in page.page(judged, "again")
    content = json.loads(json.dumps(judged.to_json()))
    assert content["baselines"] == []
    assert Verdict.from_json(content).to_json() == judged.to_json()


def test_what_was_not_compared_is_listed_by_name_with_what_was_found(adapters, policy, tmp_path):
    """Each check of the policy has its finding, and none of them claims a baseline."""
    write_cases(tmp_path, 30)
    films = film_reviews(50, 50, [("so good", "Positive")] * 1)
    judged = judge("new", [], policy(films, FAMILIES, genre=["noir"] * 60 + ["western"] * 41))
    assert judged.outcome is Outcome.PASS
    found = {
        one.check: one.message.removeprefix("not compared: no baseline") for one in judged.findings if one.cause == NOT_CHECKED
    }
    assert found == {
        "quality::accuracy": "; accuracy 99.01 % on 101 reviews",
        "quality::retraining": "",
        "quality::slice::genre": "; lowest: accuracy 97.56 % where genre = western",
        "calibration::brier": found["calibration::brier"],
        "calibration::log_loss": found["calibration::brier"],
        "behaviour::praise": "; 0 of 30 cases fail",
        "behaviour::all": "; 0 of 30 cases fail",
    }
    assert found["calibration::brier"].startswith("; Brier score 0.0")


def test_quality_without_a_floor_is_an_error(adapters, policy):
    """A gate that compares nothing and requires nothing would pass anything; with a baseline the same policy is one."""
    made = policy(film_reviews(50, 50))
    with pytest.raises(
        PolicyError, match=r"^\[quality\] only compares, and there is no baseline: set min, the accuracy that a first"
    ):
        judge("new", (), made)
    assert judge("new", ["old"], made).outcome is Outcome.PASS


def test_integrity_alone_may_be_judged(adapters):
    """It needs no figure."""
    assert judge("new", (), Policy()).outcome is Outcome.PASS


# --- the floor ---


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 200, 1000])
@pytest.mark.parametrize("least", [0.5, 0.7, 0.95])
def test_an_adapter_at_the_floor_passes_or_blocks_in_one_case_of_20_at_most(n, least):
    """Exactly: the outcome of each count of right answers, through the verdict, by its probability at the floor."""
    outcomes = [settle([floor(Quality(min=least), range(n - right), n)], 0.05)[0].outcome for right in range(n + 1)]
    chance = stats.binom.pmf(np.arange(n + 1), n, least)
    rates = {outcome: sum(chance[right] for right in range(n + 1) if outcomes[right] is outcome) for outcome in Outcome}
    assert rates[Outcome.PASS] <= 0.05
    assert rates[Outcome.BLOCK] <= 0.05
    assert max(rates[Outcome.PASS], rates[Outcome.BLOCK]) > 0
    assert outcomes[0] is Outcome.BLOCK


@pytest.mark.slow
def test_one_familywise_error_rate_holds_floor_and_limits():
    """A floor and two capabilities, each at its bound, block in one case of 20 at most; by enumeration, exactly."""
    n, cases, limit = 100, 26, 0.2
    floors = [floor(Quality(min=0.8), range(n - right), n) for right in range(n + 1)]
    assert floors[0].rank == "first"
    limited = [only_blocks("b", "b", "", {}, Rate(fails, cases), limit, is_lost=fails == cases) for fails in range(cases + 1)]
    right, fails = stats.binom.pmf(np.arange(n + 1), n, 0.8), stats.binom.pmf(np.arange(cases + 1), cases, limit)
    rate = 0.0
    for row in range(60, 101):
        for first in range(cases + 1):
            for second in range(first, cases + 1):
                found = settle([floors[row], limited[first], limited[second]], 0.05)
                twice = 1 if first == second else 2
                if Outcome.BLOCK in {one.outcome for one in found}:
                    rate += twice * right[row] * fails[first] * fails[second]
    assert 0.01 < rate + right[:60].sum() <= 0.05


@pytest.mark.parametrize(("metric", "outcome"), [("accuracy", "PASS"), ("f1", "PASS"), ("mcc", "INCONCLUSIVE")])
def test_each_metric_has_a_floor(metric, outcome):
    """860 of 1,000 right are an accuracy and an F1 of 0.86, and an MCC of 0.72, which is not surely above 0.7."""
    [found] = settle([floor(Quality(metric=metric, min=0.7), range(140))], 0.05)
    assert (found.check, str(found.outcome)) == ("quality::floor", outcome)


def test_one_answer_to_everything_never_passes(adapters, policy):
    """However low the floor, and however many of the reviews have that label."""
    made = policy(film_reviews(950, 50), "[quality]\nmin = 0.5")
    adapters["new"] = always("Positive")
    found = by_check(judge("new", (), made))["quality::floor"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.message.endswith("; of 50 Negative reviews it gets 0 right, fewer than chance would")


@pytest.mark.parametrize(("wrong", "passes"), [(160, True), (161, False)])
def test_a_label_of_five_may_be_hard_but_not_lost(wrong, passes):
    """Of 200 reviews of one of five labels, 40 are what chance would get right."""
    lost = range(2, 5 * wrong, 5)
    assert floor(Quality(min=0.5), lost, 1000, 5).passes is passes


def test_fewer_than_five_reviews_of_a_label_never_pass(adapters, policy):
    """As with a baseline."""
    found = by_check(judge("new", (), policy(film_reviews(100, 4), FLOOR)))["quality::floor"]
    assert "only 4 reviews are labelled Negative; at least 5 are needed" in found.message


# --- limits that need no baseline ---


@pytest.mark.parametrize("bank", [(), ("old",)], ids=["alone", "against a baseline"])
@pytest.mark.parametrize(("limit", "outcome"), [("all = 0.3", "PASS"), ("all = 0.1", "BLOCK"), ("praise = 0.1", "BLOCK")])
def test_failing_cases_have_a_limit(adapters, policy, tmp_path, bank, limit, outcome):
    """The share that fails, of all cases or of a capability, whatever a baseline does: 16 of 40 fail here, of both adapters."""
    write_cases(tmp_path, 40)
    for name in ("new", "old"):
        adapters[name] = lambda texts: [-2.0 if text.endswith(tuple("0123")) and "case" in text else 2.0 for text in texts]
    table = f'[behaviour]\ncases = "cases.jsonl"\ntriggers = false\nmax_failed = {{{limit}}}'
    judged = judge("new", bank, policy(film_reviews(10, 10), table))
    found = by_check(judged)[f"behaviour::{limit.partition(' ')[0]}::failed"]
    assert (str(judged.outcome), str(found.outcome)) == (outcome, outcome)
    assert found.message.startswith("16 of 40 cases fail (limit: ")


def test_a_limit_of_a_capability_that_no_case_tests_is_invalid(adapters, policy, tmp_path):
    """It would never block."""
    write_cases(tmp_path, 5)
    table = '[behaviour]\ncases = "cases.jsonl"\ntriggers = false\nmax_failed = {irony = 0.1}'
    found = by_check(judge("new", (), policy(film_reviews(10, 10), table)))["behaviour"]
    assert found.outcome is Outcome.INVALID
    assert "behaviour.max_failed: irony: no case tests that; capabilities are praise, all" in found.message


@pytest.mark.parametrize("bank", [[], [answers()]], ids=["alone", "against a baseline"])
@pytest.mark.parametrize(("limit", "outcome"), [(0.15, "PASS"), (0.1, "INCONCLUSIVE"), (0.05, "BLOCK")])
def test_the_brier_score_has_a_limit(bank, limit, outcome):
    """About 0.1, by its own interval: 10 % of the answers are wrong and sure of it; a baseline does not raise it."""
    table = Calibration(max_brier=limit, max_brier_increase=0.9)
    found = settle_all(table, context_of(reviews(), answers(range(100), confidence=10.0), bank))["calibration::max_brier"]
    assert (str(found.outcome), round(found.figures["candidate"], 3)) == (outcome, 0.1)


def settle_all(table, context):
    """The findings of a calibration policy's claims by check."""
    return {one.check: one for one in settle([each for each in calibration.ask(table, context) if isinstance(each, Claim)], 0.05)}


# --- goldens and triggers ---


@pytest.mark.parametrize(("by", "outcome", "cause"), [(0.0, "PASS", ""), (0.5, "INVALID", "environment")])
def test_moved_answers_of_the_goldens_own_weights_accuse_nobody(tmp_path, by, outcome, cause):
    """Whether the environment or the adapter moved is not known without a baseline."""
    rows = [{"text": "a film", "label": LABELS[1], "logits": [0.0, 1.0]}]
    made = golden.make(rows, about="test", producer={"adapter_sha256": "w"}, tolerance={"logits": 0.25}, why="test")
    golden.write(tmp_path / "golden.json", made)
    logits = np.array([[by, 1.0]], dtype=np.float32)
    candidate = SimpleNamespace(
        labels=LABELS, made_on="cpu, fp32", manifest=manifest(files={WEIGHTS: "w"}), answer=lambda _: Answers(logits, np.array([2]))
    )
    table = differential.Golden(predictions=str(tmp_path / "golden.json"))
    environment, model = differential.ask(table, Context(candidate, [], None, 0.05))
    assert environment.cause == NOT_CHECKED
    assert (str(model.outcome), model.cause) == (outcome, cause)


@pytest.mark.parametrize("words", [(), ("wordx",)], ids=["none", "one"])
def test_words_that_turn_every_clear_review_are_shown_and_do_not_block(tmp_path, words):
    """Only a baseline tells a planted word from an honest one; where no word does, no trigger is there."""
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"wordx": 0, "wordy": 1}}}))

    def answer(texts):
        positive = [
            bool(set(words) & set(text.split())) or any(text.endswith(review) for review in triggers.CLEAR["positive"])
            for text in texts
        ]
        return Answers(np.eye(2, dtype=np.float32)[np.array(positive, dtype=int)], np.ones(len(texts), dtype=np.int64))

    candidate = SimpleNamespace(
        labels=LABELS, answer=answer, manifest=manifest(encoding={}), snapshot=SimpleNamespace(folder=tmp_path)
    )
    candidate.at, candidate.remember = lambda _: candidate, lambda _, compute: compute()
    found = triggers.check(candidate, None)
    assert (found.outcome, found.cause) == (Outcome.PASS, NOT_CHECKED if words else "")
    assert ("'wordx' (to Positive); not compared: no baseline" in found.message) is bool(words)


# --- a real adapter ---


@pytest.mark.usefixtures("own_cache")
def test_a_real_adapter_is_judged_by_every_family(lorasent, small_adapter, tmp_path):
    """Its accuracy is chance's: the floor blocks it, and every other family has its finding; without a manifest it is adopted."""
    bare = shutil.copytree(small_adapter, tmp_path / "bare", ignore=shutil.ignore_patterns("lorasent.json"))
    (tmp_path / "gate.toml").write_text(
        '[data]\ntest = "embedded:validation"\n[quality]\nmin = 0.95\n[calibration]\n[cost]\nmax_latency_ratio = 2\n'
        "[behaviour]\ntriggers = false"
    )
    done = lorasent("gate", small_adapter, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    judged = Verdict.from_json(json.loads(done.stdout))
    causes = {one.check: one.cause for one in judged.findings}
    assert (judged.baselines, causes["quality::floor"]) == ((), "below-the-floor")
    checks = ("quality::accuracy", "calibration::brier", "cost::flops", "cost::bytes", "cost::latency", "behaviour::all")
    assert {causes[check] for check in (*checks, "integrity::baseline")} == {NOT_CHECKED}
    (tmp_path / "gate.toml").write_text("[integrity]")
    done = lorasent("gate", bare)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"PASS: {bare}, a first adapter: nothing was compared")
    assert "adopted:" in done.stdout


def test_the_command_says_what_a_policy_lacks(lorasent, small_adapter, tmp_path):
    """In one line, as a mistake of its use."""
    (tmp_path / "gate.toml").write_text('[data]\ntest = "embedded:validation"\n[quality]')
    done = lorasent("gate", small_adapter)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "set min, the accuracy that a first adapter must reach, or give a baseline" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("bare", [False, True], ids=["with a manifest", "of plain PEFT"])
def test_its_base_is_fetched_from_the_hub_before_it_is_judged(bases, tmp_path, monkeypatch, bare):
    """There is no baseline whose base it could be."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    snapshot = make_hub_cache(tmp_path / "hf", "films/base", bases("bert"), COMMIT)
    path = write_filled(tmp_path / "adapter", "films/base", base__revision=COMMIT)
    if bare:
        (path / MANIFEST).unlink()
    (tmp_path / "gate.toml").write_text("[integrity]")
    with serving(snapshot) as (address, fetched):
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "empty"), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "lorasent.cli", "gate", path, "--policy", tmp_path / "gate.toml"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.safetensors" in fetched
