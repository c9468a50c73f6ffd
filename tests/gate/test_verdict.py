"""The verdict in a gate without models: what is checked, in which order it stands, what is raised."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lorasent import devices, hub
from lorasent.data.reviews import read
from lorasent.errors import AdapterError, AnswersError, BaseModelError, DeviceError, NotFetchedError, PolicyError
from lorasent.gate import behaviour, quality, retrains, triggers, verdict
from lorasent.gate.behaviour import Behaviour
from lorasent.gate.calibration import Calibration
from lorasent.gate.context import read_source
from lorasent.gate.cost import Cost
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.golden import Golden
from lorasent.gate.integrity import checks as integrity
from lorasent.gate.policy import FAMILIES, Policy
from lorasent.gate.quality import Quality
from lorasent.gate.sections import Data
from lorasent.gate.verdict import judge
from lorasent.report import page, terminal
from lorasent.scoring.evidence import Answers, RecordedSubject
from tests.gate.answers import LABELS, full_claim
from tests.support.manifests import TABLES, manifest


class StubAdapter:
    """A sound adapter: it answers the reviews rightly, and anything else with no doubt that it is positive."""

    def __init__(self, path, precision="fp32", *, adopt=True):
        self.path, self.name, self.precision = path, str(path), precision
        self.made_on = f"{devices.resolve()}, {precision}"
        self.identity, self.labels = f"identity of {path}", LABELS
        self.manifest = manifest(encoding={"max_length": 64}, labels=list(LABELS))
        if "broken" in str(path):
            raise AdapterError(f"{path}: broken")
        if "unreadable" in str(path):
            raise PermissionError(f"{path}: not yours")

    def answer(self, texts):
        if "without base" in str(self.path):
            raise BaseModelError("no base")
        lengths = np.array([len(text) for text in texts])
        positive = np.array([not text.startswith("bad") for text in texts])
        sure = 1 + len(self.name) / 4  # no two of them are equally sure
        return Answers(np.where(np.arange(2) == positive[:, None], sure, -sure).astype(np.float32), lengths)


PASSED = [Finding("integrity::files", Outcome.PASS, "sound", "files")]


@pytest.fixture
def integrity_stub(monkeypatch):
    """Makes every path an adapter without a model; keeps what integrity was asked, and lets a test set its findings."""
    asked = SimpleNamespace(found=PASSED, calls=[])

    def check(*arguments):
        asked.calls.append(arguments)
        return list(asked.found)

    def subject(path, precision):
        return StubAdapter(str(path), precision)

    monkeypatch.setattr(verdict, "LiveSubject", StubAdapter)
    monkeypatch.setattr(verdict, "subject", subject)
    monkeypatch.setattr(verdict.integrity, "check", check)
    return asked


@pytest.fixture
def films(tmp_path):
    """Reviews that the judged adapters answer rightly, every other one."""
    path = tmp_path / "films.jsonl"
    lines = [f'{{"text": "{("good", "bad")[row % 2]} {row:0{1 + row}d}", "label": {1 - row % 2}}}' for row in range(100)]
    path.write_text("\n".join(lines))
    return str(path)


def test_a_policy_of_integrity_alone_is_a_verdict(integrity_stub):
    """Candidate and baselines by name, and the hashes of what they are."""
    policy = Policy()
    found = verdict.judge("new", ["old", "other"], policy)
    evidence = {"candidate": "identity of new", "old": "identity of old", "other": "identity of other"}
    assert found == verdict.Verdict(Outcome.PASS, tuple(PASSED), "new", ("old", "other"), evidence)
    ((judged, first, settings),) = integrity_stub.calls
    assert (str(judged.path), first.path, settings, judged.precision, first.precision) == (
        "new",
        "old",
        policy.integrity,
        "fp32",
        "fp32",
    )


def test_subjects_answer_in_the_policys_precision(integrity_stub, films):
    """The candidate and every baseline."""
    verdict.judge("new", ["old"], Policy(data=Data(test=films, precision="bf16")))
    ((judged, first, _),) = integrity_stub.calls
    assert (judged.precision, first.precision) == ("bf16", "bf16")


def test_a_baseline_that_cannot_be_opened_ends_the_verdict(integrity_stub):
    """INVALID, whatever the candidate is."""
    found = verdict.judge("broken new", ["old", "broken old"], Policy())
    expected = Finding("baseline", Outcome.INVALID, "baseline", "broken old: broken", "give a sound baseline")
    assert found == verdict.Verdict(Outcome.INVALID, (expected,), "broken new", ("old", "broken old"), {})


@pytest.mark.parametrize(
    ("name", "error"), [("broken", AdapterError("broken: broken")), ("unreadable", PermissionError("unreadable: not yours"))]
)
def test_a_candidate_that_cannot_be_opened_ends_the_verdict(integrity_stub, name, error):
    """BLOCK, by what integrity says of it."""
    found = verdict.judge(name, ["old"], Policy())
    assert found == verdict.Verdict(Outcome.BLOCK, (integrity.blocked(name, error),), name, ("old",), {})


@pytest.mark.parametrize("outcome", [Outcome.BLOCK, Outcome.INVALID])
def test_nothing_is_asked_of_files_that_are_not_sound(integrity_stub, films, outcome):
    """The findings are integrity's alone, and no data are read."""
    integrity_stub.found = [*PASSED, Finding("integrity::tensors", outcome, "c", "m")]
    found = verdict.judge("new", ["old"], Policy(data=Data(test=films), quality=Quality()))
    assert found.outcome is outcome
    assert found.findings == (integrity_stub.found[1], integrity_stub.found[0])
    assert set(found.evidence) == {"candidate", "old"}


@pytest.mark.parametrize(
    ("candidate", "baseline", "found"),
    [
        ("new", "old", PASSED),
        ("broken", "old", PASSED),
        ("new", "broken", PASSED),
        ("new", "old", [Finding("f", Outcome.BLOCK, "c", "")]),
    ],
    ids=["judged", "no-candidate", "no-baseline", "blocked-by-its-files"],
)
def test_what_a_verdict_was_made_from_comes_with_it(integrity_stub, films, candidate, baseline, found):
    """The very answers that the families saw, and the same verdict; nothing where the files alone decided."""
    integrity_stub.found = found
    policy = Policy(data=Data(test=films), quality=Quality())
    verdict_found, context = verdict.judged(candidate, [baseline], policy)
    assert verdict_found == judge(candidate, baseline, policy)
    if context is None:
        assert verdict_found.outcome is not Outcome.PASS
    else:
        asked = [context.candidate.name, context.incumbent.name, len(context.answers), len(context.source.reviews)]
        assert (found, asked) == (PASSED, ["new", "old", 2, 100])
    assert (context is None) == (found is not PASSED or candidate == "broken" or baseline == "broken")


def test_findings_stand_the_worst_first(integrity_stub):
    """BLOCK before INVALID, then what is undecided; equal ones in their order."""
    outcomes = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.INVALID, Outcome.BLOCK, Outcome.PASS]
    integrity_stub.found = [Finding(str(number), outcome, "", "") for number, outcome in enumerate(outcomes)]
    found = verdict.judge("new", ["old"], Policy())
    assert ([one.check for one in found.findings], found.outcome) == (["3", "2", "1", "0", "4"], Outcome.BLOCK)


def test_exit_codes_are_stable():
    """Scripts lean on them; 2 is an error of use."""
    codes = [verdict.Verdict(outcome, (), "", (), {}).exit_code for outcome in ("PASS", "BLOCK", "INCONCLUSIVE", "INVALID")]
    assert codes == [0, 1, 3, 4]


def test_the_hub_is_not_asked(integrity_stub, monkeypatch):
    """A verdict is the same with and without a network."""
    seen = []
    monkeypatch.setattr(verdict.integrity, "check", lambda *_: seen.append(hub.is_offline()) or PASSED)
    verdict.judge("new", ["old"], Policy())
    assert (seen, hub.is_offline()) == ([True], False)


def test_every_family_that_the_policy_asks_is_judged(integrity_stub, films):
    """Quality with its slices and the recipe's length, behaviour, calibration; the data by their hash."""
    policy = Policy(
        data=Data(test=films, sample=80, seed=3),
        quality=Quality(margin=0.2, slices=("truncated",)),
        behaviour=Behaviour(),
        calibration=Calibration(max_log_loss_increase=0.1),
    )
    found = verdict.judge("new", ["old", "other"], policy)
    judged = {one.check: one for one in found.findings}
    assert [name for name in judged if not name.startswith("behaviour")] == [
        "integrity::files",
        "quality::slice::truncated",
        "quality::accuracy",
        "quality::retraining",
        "quality::slice::truncated::true",
        "quality::slice::truncated::false",
        "calibration::brier",
        "calibration::log_loss",
    ]
    assert found.outcome is Outcome.PASS
    assert judged["quality::accuracy"].figures["candidate"] == 1.0
    chosen = read(films, LABELS).sample(80, 3, LABELS)
    assert found.evidence["data"] == chosen.fingerprint
    long = sum(len(text) > 64 for text in chosen.texts)
    assert judged["quality::slice::truncated::true"].figures["n"] == long
    assert judged["behaviour::all"].figures["cases"] > 400


def test_a_recipe_without_a_length_is_cut_at_512(integrity_stub, films, monkeypatch):
    """Where the table is missing, and where the key is."""
    answer, limits = StubAdapter.answer, []
    monkeypatch.setattr(quality, "cut", lambda *arguments: limits.append(arguments[-1]) or {})
    for tables in ({key: table for key, table in TABLES.items() if key != "encoding"}, {**TABLES, "encoding": {}}):
        recipe = manifest(recipe=tables)
        monkeypatch.setattr(
            StubAdapter, "answer", lambda self, texts, recipe=recipe: setattr(self, "manifest", recipe) or answer(self, texts)
        )
        verdict.judge("new", ["old"], Policy(data=Data(test=films), quality=Quality(slices=("length",))))
    assert limits == [512, 512]


UNTRIGGERED = Finding("behaviour::triggers", Outcome.PASS, "", "")


def test_what_the_families_are_asked_is_the_candidates_and_the_incumbents(integrity_stub, films, monkeypatch):
    """Each gets its table, the candidate first, the bank or its first, and the policy's alpha."""
    calls, asked = {}, []
    for name in ("quality", "calibration", "cost", "behaviour", "golden"):
        family = FAMILIES[name]._replace(ask=lambda *arguments, name=name: calls.__setitem__(name, arguments) or [])
        monkeypatch.setitem(FAMILIES, name, family)
    monkeypatch.setattr(triggers, "check", lambda *subjects: asked.extend(str(one.path) for one in subjects) or UNTRIGGERED)
    monkeypatch.setattr(StubAdapter, "answer", lambda self, texts: SimpleNamespace(by=str(self.path), lengths=len(texts)))
    monkeypatch.setattr(retrains, "alike", lambda *_: [])
    policy = Policy.model_validate(
        {
            "data": {"test": films},
            "quality": {"margin": 0.1},
            "behaviour": {},
            "calibration": {},
            "golden": {"predictions": "x"},
            "cost": {},
            "verdict": {"alpha": 0.1},
        }
    )
    verdict.judge("new", ["old", "other"], policy)
    assert asked == ["new", "old"]
    tables, contexts = zip(*calls.values(), strict=True)
    assert tables == (policy.quality, policy.calibration, policy.cost, policy.behaviour, policy.golden)
    context = contexts[0]
    assert all(one is context or one.whole is context for one in contexts)  # those that ask models get them alone
    assert {(one.candidate, one.incumbent) for one in contexts} == {(context.candidate, context.incumbent)}
    assert all(one.answers is context.answers for one in contexts)
    assert (str(context.candidate.path), context.incumbent.path, context.alpha) == ("new", "old", 0.1)
    assert [one.by for one in context.answers] == ["new", "old", "other"]
    assert len(context.labelled_reviews) == 100


def test_claims_are_settled_at_the_policys_alpha(integrity_stub, films, monkeypatch):
    """Together, over all families."""
    claims = [full_claim(0.07, passes=False)]
    monkeypatch.setitem(FAMILIES, "quality", FAMILIES["quality"]._replace(ask=lambda *_: claims))
    other = [full_claim(0.9, passes=True, name="two")]
    monkeypatch.setitem(FAMILIES, "behaviour", FAMILIES["behaviour"]._replace(ask=lambda *_: other))
    policy = {"data": {"test": films}, "quality": {}, "behaviour": {}}
    outcomes = [
        verdict.judge("new", ["old"], Policy.model_validate({**policy, "verdict": {"alpha": alpha}})).outcome
        for alpha in (0.05, 0.14, 0.13)
    ]
    assert outcomes == [Outcome.INCONCLUSIVE, Outcome.BLOCK, Outcome.INCONCLUSIVE]


def test_a_family_that_cannot_be_judged_is_invalid_and_the_others_are_judged(integrity_stub, films):
    """Behaviour stands though the data do not; the advice is of the data."""
    found = verdict.judge("new", ["old"], Policy(data=Data(test="none.csv"), quality=Quality(), behaviour=Behaviour()))
    first = found.findings[0]
    advice = "correct the data or the policy"
    assert first == Finding("data", Outcome.INVALID, "not-judged", "none.csv: no such file or folder", advice)
    assert found.outcome is Outcome.INVALID
    assert "behaviour::all" in {one.check for one in found.findings}


def test_a_base_that_is_not_to_be_had_is_told_apart(integrity_stub, films):
    """It is no fault of the data or the policy."""
    policy = Policy(data=Data(test=films), quality=Quality(), behaviour=Behaviour())
    found = verdict.judge("new without base", ["old"], policy)
    assert found.findings[:2] == tuple(
        Finding(name, Outcome.INVALID, "not-judged", "no base", "make the base available") for name in ("data", "behaviour")
    )


def test_every_familys_findings_are_kept(integrity_stub, films, monkeypatch):
    """Those of cost and of goldens, and that the data could not be judged."""
    priced = FAMILIES["cost"]._replace(ask=lambda _, context: context.answers and [Finding("cost", Outcome.PASS, "", "")])
    monkeypatch.setitem(FAMILIES, "cost", priced)
    answers = [Finding("golden", Outcome.PASS, "", ""), full_claim(1.0, passes=True)]
    monkeypatch.setitem(FAMILIES, "golden", FAMILIES["golden"]._replace(ask=lambda *_: answers))
    tables = {"data": {"test": films}, "cost": {}, "golden": {"predictions": "x"}}
    found = verdict.judge("new", ["old"], Policy.model_validate(tables))
    assert [one.check for one in found.findings] == ["integrity::files", "cost", "golden", "one"]
    found = verdict.judge("new", ["old"], Policy.model_validate({**tables, "data": {"test": "none.csv"}}))
    assert [one.check for one in found.findings] == ["data", "integrity::files", "golden", "one"]


def test_a_golden_that_is_missing_is_invalid(integrity_stub):
    """Named by its family."""
    found = verdict.judge("new", ["old"], Policy(golden=Golden(predictions="/none.json"))).findings[0]
    message, advice = "/none.json: cannot be read as a golden: No such file or directory", "correct the data or the policy"
    assert found == Finding("golden", Outcome.INVALID, "not-judged", message, advice)


def test_cost_cannot_be_asked_of_a_record(integrity_stub, films, monkeypatch):
    """The message says what to give."""
    record = object.__new__(RecordedSubject)
    record.__dict__.update(vars(StubAdapter("old")))
    monkeypatch.setattr(verdict, "subject", lambda *_: record)
    monkeypatch.setattr(RecordedSubject, "answer", StubAdapter.answer)
    found = verdict.judge("new", ["old"], Policy(data=Data(test=films), cost=Cost())).findings[0]
    message = "cost: recorded evidence has no model to measure; give an adapter as baseline, or remove [cost]"
    assert found == Finding("cost", Outcome.INVALID, "not-judged", message, "correct the data or the policy")


@pytest.mark.parametrize("made_on", ["cpu, fp32", "cuda, fp32", "cpu, bf16"])
def test_a_record_of_another_kind_of_device_is_told(integrity_stub, monkeypatch, made_on):
    """Beside the verdict, which it does not change, and in the report; a record of the same kind is not mentioned."""
    record = object.__new__(RecordedSubject)
    record.__dict__.update({**vars(StubAdapter("old")), "made_on": made_on})
    monkeypatch.setattr(verdict, "subject", lambda *_: record)
    judged = verdict.judge("new", ["old"], Policy(), device="cpu")
    assert judged.outcome is Outcome.PASS
    said = [finding.message for finding in judged.findings if finding.check == "data::device"]
    expected = f"old was recorded on {made_on}, the candidate answers on cpu, fp32: rounding differs, which may change labels"
    assert [message.partition(";")[0] for message in said] == ([] if made_on == "cpu, fp32" else [expected])
    assert all(message in terminal.text(judged, "again", width=1000) for message in said)


def test_every_subject_answers_on_the_device(integrity_stub, monkeypatch):
    """Candidate and baselines; one that is not there is an error before anything is judged."""
    monkeypatch.setattr(devices, "available", lambda: ["cuda", "cpu"])
    verdict.judge("new", ["old", "other"], Policy(), device="cuda")
    ((judged, first, _),) = integrity_stub.calls
    assert (judged.made_on, first.made_on) == ("cuda, fp32", "cuda, fp32")
    with pytest.raises(DeviceError, match=r"^device mps: not here"):
        verdict.judge("new", ["old"], Policy(), device="mps")


def test_a_baseline_is_asked_the_policys_every_text(films, recorded):
    """Its reviews, sampled as the verdict samples them; its cases; its golden's rows. Without tables, nothing."""
    rows = [(f"text {number}", number % 2) for number in range(4)]
    policy = Policy(data=Data(test=films, sample=10, seed=1), behaviour=Behaviour(), golden=Golden(predictions=recorded(rows)))
    reviewed, cased, kept = verdict.questions(policy, LABELS)
    assert reviewed == read(films, LABELS).sample(10, 1, LABELS).texts
    assert cased == [text for case in behaviour.read("embedded", LABELS) for text in case.texts]
    assert kept == ["text 0", "text 1", "text 2", "text 3"]
    assert verdict.questions(Policy(), LABELS) == []
    assert verdict.questions(Policy(data=Data(test=films)), LABELS) == [read(films, LABELS).texts]


def test_the_policy_names_the_columns(tmp_path):
    """For data that call them otherwise."""
    (tmp_path / "films.csv").write_text("what,how,text,label\ngood,Positive,x,Negative\nbad,Negative,y,Positive\n")
    data = Data(test=str(tmp_path / "films.csv"), text_column="what", label_column="how")
    found = read_source(data, LABELS).reviews
    assert (found.texts, found.labels.tolist()) == (["good", "bad"], [1, 0])


def test_a_verdict_is_json(integrity_stub):
    """Findings and all."""
    found = verdict.judge("new", ["old"], Policy()).to_json()
    finding = {"check": "integrity::files", "outcome": "PASS", "cause": "sound", "message": "files", "advice": ""}
    assert json.loads(json.dumps(found)) == {
        "schema_version": 1,
        "outcome": "PASS",
        "findings": [{**finding, "figures": {}, "waived": None}],
        "candidate": "new",
        "baselines": ["old"],
        "evidence": {"candidate": "identity of new", "old": "identity of old"},
        "predictions": {},
    }


def test_baselines_do_not_hide_each_others_evidence(integrity_stub):
    """Nor the candidate's and the data's, whatever they are called."""
    judged = judge("new", ["candidate", "data"], Policy())
    assert judged.evidence == {
        "candidate": "identity of new",
        "baseline 1: candidate": "identity of candidate",
        "baseline 2: data": "identity of data",
    }


ONE = {
    "text": "old",
    "bytes": b"old",
    "path": Path("old"),
    "list": ["old"],
    "tuple": ("old",),
    "generator": (one for one in ["old"]),
}


@pytest.mark.parametrize("baselines", ONE.values(), ids=ONE)
def test_one_path_is_one_baseline(integrity_stub, tmp_path, baselines):
    """Not four letters; paths may be bytes, and the policy may be one."""
    (tmp_path / "gate.toml").write_text("[integrity]")
    judged = judge(b"new", baselines, tmp_path / "gate.toml")
    assert (judged.candidate, judged.baselines, judged.outcome) == ("new", ("old",), Outcome.PASS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", None, Policy()), "baselines: expected a list of paths, found None"),
        (("new", {"old"}, Policy()), "baselines: expected a list of paths, found set of length 1"),
        (("new", "", Policy()), "baseline: expected a path, found an empty one"),
        (("new", [7], Policy()), "baseline: expected a path, found 7"),
        (("new", [], Policy(quality=Quality())), "[quality] only compares, and there is no baseline: set min"),
        ((None, "old", Policy()), "candidate: expected a path, found None"),
        (("", "old", Policy()), "candidate: expected a path, found an empty one"),
        (("a\0b", "old", Policy()), r"candidate: expected a path, found a\x00b"),
        (("new", "old", None), "policy: expected a path, found None"),
        (("new", "old", {"quality": {}}), "policy: expected a path, found an object of 1 keys"),
        (("new", "old", "none.toml"), "none.toml: the policy cannot be read"),
    ],
    ids=lambda one: None if isinstance(one, tuple) else one[:30],
)
def test_what_cannot_be_judged_is_one_policy_error(arguments, message):
    """Nothing else is raised, whatever is given."""
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}"):
        judge(*arguments)


def test_names_that_are_not_utf_8_are_shown(integrity_stub):
    """A terminal and a page take them: escaped, as everything that is foreign."""
    judged = judge(b"new\xff", b"old\xff\x1b", Policy())
    for shown in (terminal.text(judged, "lorasent gate new\udcff"), page.page(judged, "lorasent gate new\udcff")):
        assert shown.encode().count(rb"new\udcff") >= 2
        assert rb"old\udcff\x1b" in shown.encode()


def test_a_baseline_whose_files_were_not_fetched_is_told_what_fetches_them(integrity_stub, monkeypatch):
    """As a finding about the baseline; nothing else is judged."""

    def pointer(path, _):
        raise NotFetchedError(f"{path}: is a pointer", "lfs-pointer", "git lfs pull")

    monkeypatch.setattr(verdict, "subject", pointer)
    found = judge("new", "old", Policy())
    finding = Finding("baseline", Outcome.INVALID, "lfs-pointer", "old: is a pointer: git lfs pull", "git lfs pull")
    assert found == verdict.Verdict(Outcome.INVALID, (finding,), "new", ("old",), {})


def test_answers_that_are_not_finite_accuse_whose_they_are():
    """The candidate's block, unless it is a baseline too; anybody else's are INVALID, under the family's name."""

    def said(of, *baselines):
        candidate, *others = (SimpleNamespace(name=name) for name in ("new", *baselines))
        context = SimpleNamespace(candidate=candidate, baselines=others)
        error = AnswersError("not finite")
        error.subject = of
        return verdict._not_judged("quality", error, context)

    accused = Finding("integrity::answers", Outcome.BLOCK, "not-finite", "not finite", "train again: the run diverged")
    invalid = Finding("quality", Outcome.INVALID, "not-finite", "not finite", "give a sound baseline")
    assert said("new", "old") == accused
    assert said("old", "old") == said("new", "new") == said("another", "old") == invalid


def test_an_error_that_nobody_expected_names_the_table_to_remove():
    """By the first part of the family's name."""
    found = verdict._not_judged("cost::one::two", ValueError("x"), SimpleNamespace())
    message, advice = "cannot be computed for these adapters: ValueError: x", "remove [cost] from the policy, or report this"
    assert found == Finding("cost::one::two", Outcome.INVALID, "not-judged", message, advice)
