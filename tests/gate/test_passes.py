"""What must not pass, and what was not asked: no check is silent, whatever the data, the cases, the bank and the policy are."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent.errors import DataError, PolicyError
from lorasent.gate import behaviour, calibration, quality, report, triggers, verdict
from lorasent.gate.finding import UNASKED, Claim, Finding, Outcome, settle
from lorasent.gate.policy import Behaviour, Calibration, Golden, Policy, Quality
from lorasent.gate.verdict import judge
from lorasent.scoring.evidence import Answers, RecordedSubject
from tests.support.manifests import manifest, split

LABELS = ("Negative", "Positive")


def says(label, sure=2.0):
    """A reader that answers one label, whatever it reads."""
    return lambda texts: [sure if LABELS[1] == label else -sure] * len(texts)


def honest(texts, sure=2.0):
    """A reader that finds a review's label in its first word."""
    return [sure if text.startswith("good") else -sure for text in texts]


class Reader:
    """An adapter in a house without models; its answers are the margins of Positive that its reader gives."""

    readers: ClassVar[dict] = {}
    labels = LABELS

    def __init__(self, path, precision="fp32"):
        self.path, self.name, self.identity, self.precision = path, str(path), f"identity of {path}", precision
        self.manifest = manifest(labels=[*LABELS], **self.readers.get(f"{path} manifest", {}))

    def answer(self, texts):
        margins = np.array(self.readers.get(self.name, honest)(texts), dtype=np.float32)
        try:
            return Answers(np.stack([-margins, margins], axis=1), np.array([len(text) for text in texts]))
        except verdict.AnswersError as error:
            error.subject = self.name
            raise


@pytest.fixture
def house(monkeypatch):
    """The verdict over such readers, by name; integrity passes."""
    readers = {}
    monkeypatch.setattr(Reader, "readers", readers)
    monkeypatch.setattr(verdict, "LiveSubject", Reader)
    monkeypatch.setattr(verdict, "subject", lambda path, precision: Reader(str(path), precision))
    monkeypatch.setattr(verdict.integrity, "check", lambda *_: [Finding("integrity::files", Outcome.PASS, "sound", "")])
    return readers


@pytest.fixture
def policy(tmp_path):
    """A function that writes reviews, by label, as `times` copies each, and makes a policy of them."""

    def make(reviews, tables="[quality]\nmargin = 0.05", times=1, **columns):
        rows = [{"text": text, "label": label} for text, label in reviews for _ in range(times)]
        for name, cells in columns.items():
            rows = [{**row, name: cell} for row, cell in zip(rows, cells, strict=True)]
        (tmp_path / "films.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / "gate.toml").write_text(f'{tables}\n[data]\ntest = "films.jsonl"')
        return Policy.read(tmp_path / "gate.toml")

    return make


def films(good, bad, other=()):
    """Reviews, so many of each label, which the honest reader reads rightly."""
    return [(f"good {row}", "Positive") for row in range(good)] + [(f"bad {row}", "Negative") for row in range(bad)] + [*other]


def found(judged):
    """Findings by check."""
    return {finding.check: finding for finding in judged.findings}


# --- data that show nothing ---


@pytest.mark.parametrize("family", ["[quality]", "[calibration]"])
def test_reviews_of_one_label_judge_nobody(house, policy, family):
    """A candidate that always says Positive is right on each: INVALID, and the label that is missing is named."""
    house["new"] = says("Positive")
    judged = judge("new", "old", policy(films(120, 0), family))
    assert judged.outcome is Outcome.INVALID
    assert "films.jsonl: holds no review labelled Negative: who never says so would pass" in judged.findings[0].message


@pytest.mark.parametrize("bad", range(1, 30, 4))
@pytest.mark.parametrize("metric", ["accuracy", "f1", "mcc"])
def test_who_answers_one_label_only_never_passes(house, policy, metric, bad):
    """However rare the other label is, and however wide the margin."""
    house["new"] = says("Positive")
    for margin in (0.05, 0.5):
        judged = judge("new", "old", policy(films(200, bad), f'[quality]\nmetric = "{metric}"\nmargin = {margin}'))
        assert judged.outcome is not Outcome.PASS
    assert judge("old", "old", policy(films(200, 5))).outcome is Outcome.PASS


def test_a_label_that_is_too_rare_is_named(house, policy):
    """With fewer than five reviews of a label nobody passes, not even the baseline itself."""
    judged = judge("old", "old", policy(films(200, 4)))
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "only 4 reviews are Negative, 5 are needed" in found(judged)["quality::accuracy"].message


def test_repeated_reviews_count_once(house, policy):
    """Six reviews a hundred times decide what six do; that they repeat is told, and so are texts of two labels."""
    six = [(text, label) for text, label in films(3, 3)]
    once, often = (judge("old", "old", policy(six, "[quality]\n[calibration]", times)) for times in (1, 100))
    assert [(one.check, one.outcome) for one in once.findings] == [
        (one.check, one.outcome) for one in often.findings if one.check != "data::repeats"
    ]
    assert found(often)["quality::accuracy"].figures["n"] == 6
    assert "6 of 600 reviews count: 594 repeat another, 0 texts have two labels" in report.text(often, "again")
    torn = judge("old", "old", policy([*films(60, 60), ("GOOD  1", "Negative"), ("odd", "Positive"), ("odd ", "Negative")]))
    assert found(torn)["quality::accuracy"].figures["n"] == 119
    assert "119 of 123 reviews count: 2 repeat another, 2 texts have two labels" in found(torn)["data::repeats"].message


def test_repeats_decide_no_slice_and_no_golden(house, policy, recorded):
    """Neither has more rows by them."""
    tables, kinds = '[quality]\nmargin = 0.05\nslices = ["kind"]', ["a"] * 120 + ["b"] * 300
    asked = policy([*films(60, 60), *films(10, 0) * 30], tables, kind=kinds)
    judged = found(judge("old", "old", asked))
    assert judged["quality::slice::kind::a"].figures["n"] == 120
    assert "quality::slice::kind::b" not in judged
    golden = Policy(golden=Golden(predictions=recorded([("good", 1)] * 50 + [("bad", 0)])))
    assert found(judge("new", "old", golden))["golden::model"].figures["n"] == 2


@pytest.mark.parametrize("trained", ["new", "old"])
@pytest.mark.parametrize("by", ["hash", "source"])
def test_reviews_that_trained_one_of_them_are_invalid(house, policy, trained, by):
    """Whose manifest names them as its training data, by hash or by source, whole as they were read."""
    asked = policy(films(60, 60))
    whole = verdict.read(asked.data.test, LABELS)
    house[f"{trained} manifest"] = {"data": {"train": split(sha256=whole.fingerprint) if by == "hash" else split(asked.data.test)}}
    judged = judge("new", "old", asked)
    assert (judged.outcome, judged.findings[0].cause) == (Outcome.INVALID, "trained-on")
    assert judged.findings[0].message.endswith(f"these reviews trained {trained}")


def test_reviews_that_chose_an_epoch_are_told(house, policy):
    """They flatter whose epoch they chose; the terminal says so, and the verdict stands."""
    asked = policy(films(60, 60))
    house["new manifest"] = {"data": {"validation": split(sha256=verdict.read(asked.data.test, LABELS).fingerprint)}}
    judged = judge("new", "old", asked)
    assert judged.outcome is Outcome.PASS
    assert "these reviews chose the epoch of new" in report.text(judged, "again")


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("tables", ["[quality]", "[calibration]", '[behaviour]\ntriggers = false\ncases = "cases.jsonl"'])
def test_answers_that_are_not_finite_decide_nothing(house, policy, tmp_path, tables, number):
    """They would be the first label: the candidate's block, a baseline's are INVALID."""
    write_cases(tmp_path, 20)
    for name, outcome in (("new", Outcome.BLOCK), ("old", Outcome.INVALID)):
        house.clear()
        house[name] = lambda texts: [number, *honest(texts[1:])]
        judged = judge("new", "old", policy(films(60, 60), tables))
        assert (judged.outcome, judged.findings[0].cause) == (outcome, "not-finite")


# --- checks that only block ---


def write_cases(folder, count, **changes):
    """Minimum cases that the honest reader holds."""
    case = {"capability": "praise", "kind": "minimum", "expect": "Positive", **changes}
    lines = [json.dumps({"id": str(row), "texts": [f"good case {row}"], **case}) for row in range(count)]
    (folder / "cases.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize("count", [1, 3, 10, 40])
def test_who_newly_fails_every_case_never_passes(house, tmp_path, count):
    """Where so few cannot block, the claim is undecided, and says how many are needed."""
    write_cases(tmp_path, count)
    house["new"] = says("Negative")
    judged = found(judge("new", "old", Policy(behaviour=Behaviour(cases=str(tmp_path), triggers=False))))["behaviour::praise"]
    assert judged.outcome is (Outcome.BLOCK if count >= 10 else Outcome.INCONCLUSIVE)
    assert count >= 10 or "nothing more could be lost, and this cannot block" in judged.message


def test_too_few_cases_are_not_asked(house, tmp_path):
    """Nothing fails, and nothing could have blocked: no check of a policy looks passed so."""
    write_cases(tmp_path, 3)
    judged = judge("old", "old", Policy(behaviour=Behaviour(cases=str(tmp_path), triggers=False)))
    few = found(judged)["behaviour::praise"]
    assert (few.outcome, few.cause) == (Outcome.PASS, UNASKED)
    assert few.message.endswith("; 3 are too few to block, 6 are needed")
    lines = [line for line in report.text(judged, "again").splitlines() if "behaviour" in line]
    assert [line.split()[:3] for line in lines] == [["not", "asked", f"behaviour::{name}"] for name in ("praise", "all")]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.integers(1, 40))
def test_no_check_that_only_blocks_passes_where_it_could_not(right, wrong, lost, margin, claims):
    """If all is lost that can be, and it is more than may ship, the outcome is never PASS; of less it may be."""
    size, lost = right + wrong, min(lost, right)
    cases = [behaviour.Case(id=f"{row}", capability="one", kind="minimum", texts=("x",), expect="Positive") for row in range(size)]
    logits = np.full((2, size, 2), (-2.0, 2.0), dtype=np.float32)
    logits[0, right:], logits[1, right:], logits[1, :lost] = -logits[0, right:], -logits[1, right:], -logits[1, :lost]
    old, new = (Answers(one, np.full(size, 5)) for one in logits)
    asked = behaviour.check(Behaviour(margin=margin), cases, LABELS, new, old)
    others = [Claim(f"other {row}", 1.0, passes=True, cause="", message="") for row in range(claims)]
    outcome = settle([*asked, *others], 0.05)[0].outcome
    if lost == right and lost > margin * size:
        assert outcome is not Outcome.PASS
    if lost <= margin * size:
        assert outcome is Outcome.PASS


def test_slices_that_could_not_block_are_told(house, policy):
    """A slice that the baseline always misreads, and one of twenty reviews under a wide margin."""
    rows = [*films(60, 60), *((f"odd {row}", "Positive") for row in range(30))]
    kinds = ["plain"] * 120 + ["odd"] * 30
    tables = '[quality]\nmargin = 0.3\nslice_margin = 0.7\nslices = ["kind"]'
    judged = found(judge("new", "old", policy(rows, tables, kind=kinds)))
    assert {name: judged[f"quality::slice::kind::{name}"].cause for name in ("plain", "odd")} == {"plain": "", "odd": UNASKED}


# --- what was not asked ---


def test_slices_that_are_too_small_are_told_by_name(house, policy):
    """How many values of a column were asked, and which were not; of a column without any the check is not asked."""
    kinds = ["a"] * 60 + ["b"] * 41 + ["FR"] * 12 + ["IT"] * 7
    tables = '[quality]\nmargin = 0.05\nslices = ["kind", "row", "truncated"]'
    judged = judge("old", "old", policy(films(60, 60), tables, kind=kinds, row=[f"{row}" for row in range(120)]))
    checks = found(judged)
    message = "2 of 4 values asked; not asked, fewer than 20 reviews: FR (12), IT (7)"
    assert (checks["quality::slice::kind"].cause, checks["quality::slice::kind"].message) == ("", message)
    assert checks["quality::slice::row"].cause == UNASKED
    none = "0 of 120 values asked; not asked, fewer than 20 reviews: 0 (1), 1 (1),"
    assert checks["quality::slice::row"].message.startswith(none)
    assert checks["quality::slice::truncated"].message == "1 of 2 values asked; not asked, fewer than 20 reviews: true (0)"
    said, page = report.text(judged, "again"), report.page(judged, "again")
    for shown in (said, page):
        assert message in shown
    assert "  not asked    quality::slice::row" in said
    assert '<td class="UNASKED">not asked<td><code>quality::<wbr>slice::<wbr>row</code>' in page
    assert "<h2>Not asked: 2</h2>" in page


def test_every_check_that_a_policy_names_has_a_finding(house, policy, tmp_path, recorded):
    """What was asked and what was not; with one baseline there is no noise of retraining to tell."""
    write_cases(tmp_path, 20)
    tables = f"""
[quality]
min = 0.5
slices = ["length", "truncated", "kind"]
[behaviour]
cases = "cases.jsonl"
[calibration]
max_log_loss_increase = 0.1
[golden]
predictions = "{recorded([("good", 1), ("bad", 0)])}"
"""
    asked = policy(films(30, 30), tables, kind=[[]] * 60)
    checks = found(judge("old", "old", asked))
    for name in verdict.names(asked):
        assert name.startswith("integrity::") or any(check == name or check.startswith(f"{name}::") for check in checks), name
    unasked = {check for check, finding in checks.items() if finding.cause == UNASKED}
    assert unasked >= {"quality::retraining", "quality::slice::kind", "golden::environment", "behaviour::triggers"}


@pytest.mark.parametrize(
    ("labels", "baseline", "message"),
    [
        (LABELS, RecordedSubject, "not asked of recorded evidence"),
        (("1", "5"), triggers.LiveSubject, "not asked: there are clear reviews for negative and positive only"),
    ],
    ids=["a record", "other labels"],
)
def test_triggers_that_were_not_asked_are_told(labels, baseline, message):
    """Not in the JSON alone."""
    subject = object.__new__(baseline)
    told = triggers.check(SimpleNamespace(labels=labels), subject)
    assert (told.outcome, told.cause) == (Outcome.PASS, UNASKED)
    assert f"not asked    behaviour::triggers         {message}" in report.text(
        verdict.Verdict(Outcome.PASS, (told,), "a", ("b",), {}), "again"
    )


# --- names that swallow each other ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "0", "texts": ["good case other"]}, "b.jsonl, line 1: id: 0 is another case's (a.jsonl, line 1)"),
        ({"id": "9", "expect": "Negative"}, "b.jsonl, line 1: expect: another case of the same texts denies it (a.jsonl, line 1)"),
        ({"id": "9"}, "b.jsonl, line 1: the same case again: each counts once (a.jsonl, line 1)"),
    ],
    ids=["one id", "the opposite", "the same"],
)
def test_cases_do_not_swallow_each_other(tmp_path, change, message):
    """A swapped head would fail the one and hold the other: the file and both lines are named."""
    write_cases(tmp_path, 1)
    (tmp_path / "cases.jsonl").rename(tmp_path / "a.jsonl")
    write_cases(tmp_path, 1, **change)
    (tmp_path / "cases.jsonl").rename(tmp_path / "b.jsonl")
    with pytest.raises(DataError) as refused:
        behaviour.read(str(tmp_path), LABELS)
    assert str(refused.value) == message


def test_claims_of_one_name_are_two():
    """The one that blocks is not lost behind the other, before it or after it."""
    claims = [Claim("quality::slice::a::b::c", p, passes=True, cause="slice", message="") for p in (1e-9, 1.0)]
    for both in (claims, claims[::-1]):
        assert sorted(one.outcome for one in settle(both, 0.05)) == [Outcome.BLOCK, Outcome.PASS]


def test_baselines_do_not_hide_each_others_evidence(house):
    """Nor the candidate's and the data's, whatever they are called."""
    judged = judge("new", ["candidate", "data"], Policy())
    assert judged.evidence == {
        "candidate": "identity of new",
        "baseline 1: candidate": "identity of candidate",
        "baseline 2: data": "identity of data",
    }


# --- the bank ---


def test_the_candidate_is_no_retrain_of_its_own(house):
    """As a second baseline it would be what it is held to; as the incumbent itself it changes nothing."""
    assert judge("new", ["old", "new"], Policy()).findings[0].message == "new: is no retrain of old: it is the candidate"
    assert judge("old", ["old", "other"], Policy()).outcome is Outcome.PASS


def test_baselines_that_answer_alike_are_one(house, policy):
    """Whatever their files are; so are the candidate and a baseline behind the first."""
    house["third"] = house["new"] = lambda texts: honest(texts, 1.5)
    asked = policy(films(60, 60))
    told = [one.message for one in judge("new", ["old", "second"], asked).findings if one.check == "baseline"]
    assert told == ["second: is no retrain: it answers all 120 reviews as old does"]
    told = [one.message for one in judge("new", ["old", "third"], asked).findings if one.check == "baseline"]
    assert told == ["third: is no retrain: it answers all 120 reviews as new does"]
    assert judge("old", ["old", "third"], asked).outcome is Outcome.PASS


# --- families apart ---


def test_a_family_that_fails_takes_no_other_with_it(house, policy, monkeypatch):
    """Whatever torch or transformers raise becomes a finding; judge raises PolicyError alone."""
    monkeypatch.setattr(verdict.cost, "check", lambda *_: {}["eager"])
    judged = judge("old", "old", policy(films(60, 60), "[cost]\n[quality]\nmargin = 0.05\n[calibration]"))
    assert (judged.outcome, judged.findings[0].check) == (Outcome.INVALID, "cost")
    assert judged.findings[0].message == "cannot be asked of these adapters: KeyError: 'eager'"
    assert {one.outcome for one in judged.findings[1:]} == {Outcome.PASS}
    assert {"quality::accuracy", "calibration::brier"} <= found(judged).keys()


# --- Python ---


ONE = {
    "text": "old",
    "bytes": b"old",
    "path": Path("old"),
    "list": ["old"],
    "tuple": ("old",),
    "generator": (one for one in ["old"]),
}


@pytest.mark.parametrize("baselines", ONE.values(), ids=ONE)
def test_one_path_is_one_baseline(house, tmp_path, baselines):
    """Not four letters; paths may be bytes, and the policy may be one."""
    (tmp_path / "gate.toml").write_text("[integrity]")
    judged = judge(b"new", baselines, tmp_path / "gate.toml")
    assert (judged.candidate, judged.baselines, judged.outcome) == ("new", ("old",), Outcome.PASS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", None, Policy()), "baselines: expected paths in their order, found None"),
        (("new", {"old"}, Policy()), "baselines: expected paths in their order, found set of length 1"),
        (("new", "", Policy()), "baseline: expected a path, found an empty one"),
        (("new", [7], Policy()), "baseline: expected a path, found 7"),
        (("new", [], Policy()), "the gate needs a baseline"),
        ((None, "old", Policy()), "candidate: expected a path, found None"),
        (("", "old", Policy()), "candidate: expected a path, found an empty one"),
        (("a\0b", "old", Policy()), r"candidate: expected a path, found a\x00b"),
        (("new", "old", None), "policy: expected a path, found None"),
        (("new", "old", {"quality": {}}), "policy: expected a path, found an object of 1 keys"),
        (("new", "old", "none.toml"), "none.toml: no policy that can be read"),
    ],
    ids=lambda one: None if isinstance(one, tuple) else one[:30],
)
def test_what_cannot_be_judged_is_one_policy_error(arguments, message):
    """Nothing else is raised, whatever is given."""
    with pytest.raises(PolicyError) as refused:
        judge(*arguments)
    assert str(refused.value).startswith(message)


# --- policies that never block ---


@pytest.mark.parametrize(
    "limit",
    [
        "[quality]\nmargin = 1.0",
        "[quality]\nmargin = nan",
        "[quality]\nslice_margin = 1",
        "[quality]\nmin = 0",
        '[quality]\nslices = ["a", "a"]',
        "[behaviour]\nmargin = 1.0",
        "[behaviour]\ntolerance = 1.0",
        "[golden]\npredictions = 'x'\nmax_changed = 1",
        "[calibration]\nmax_brier_increase = inf",
        "[calibration]\nmax_brier_increase = 1",
        "[calibration]\nmax_log_loss_increase = inf",
        "[calibration]\nmax_log_loss_increase = 1e300",
        "[cost]\nmax_flops_ratio = inf",
        "[cost]\nmax_flops_ratio = 1e9",
        "[cost]\nmax_bytes_ratio = inf",
        "[cost]\nmax_latency_ratio = inf",
        "[verdict]\nalpha = 1e-9",
        "[integrity]\ntrainable_parameters = 1.5",
        "[integrity]\ntrainable_parameters = inf",
    ],
    ids=lambda limit: limit.partition("\n")[2],
)
def test_a_limit_that_limits_nothing_is_refused(tmp_path, limit):
    """One line that names the key."""
    (tmp_path / "gate.toml").write_text(f"{limit}\n")
    key = f"{limit[1:].partition(']')[0]}.{limit.splitlines()[-1].partition(' =')[0]}"
    with pytest.raises(PolicyError, match=rf"gate.toml: {key}.* should be"):
        Policy.read(tmp_path / "gate.toml", "films.jsonl")


def test_a_margin_that_nobody_can_lose_is_refused():
    """The baseline itself has no more than that to lose; the Brier score has no more to rise by."""
    data = quality.Reviews("test", ["x"] * 100, np.arange(100) % 2)
    half = Answers(np.tile(np.float32([2, -2]), (100, 1)), np.full(100, 5))
    with pytest.raises(PolicyError, match=r"^quality.margin = 0.6: the baseline's accuracy is 0.5000, so nobody can lose more"):
        quality.check(Quality(margin=0.6), data, half, [half], 512, 0.05)
    quality.check(Quality(margin=0.6, metric="mcc"), data, half, [half], 512, 0.05)  # which may fall to -1
    with pytest.raises(PolicyError, match=r"^calibration.max_brier_increase = 0.6: it can rise by 0.5\d* at most$"):
        calibration.check(Calibration(max_brier_increase=0.6), data, half, half, 0.05)


# --- shown ---


def test_names_that_are_not_utf_8_are_shown(house):
    """A terminal and a page take them: escaped, as everything that is foreign."""
    judged = judge(b"new\xff", b"old\xff\x1b", Policy())
    for shown in (report.text(judged, "lorasent gate new\udcff"), report.page(judged, "lorasent gate new\udcff")):
        assert shown.encode().count(rb"new\udcff") >= 2
        assert rb"old\udcff\x1b" in shown.encode()


@pytest.fixture
def recorded(tmp_path):
    """A function that writes a golden of texts and label ids, made by nobody here."""
    from lorasent import golden

    def write(rows):
        cells = [{"text": text, "label": LABELS[label], "logits": [-2.0, 2.0] if label else [2.0, -2.0]} for text, label in rows]
        made = golden.make(cells, about="test", producer={"adapter_sha256": "x"}, tolerance={"logits": 1e-4}, why="test")
        golden.write(tmp_path / "golden.json", made)
        return str(tmp_path / "golden.json")

    return write
