"""Behaviour: cases are read, fail by their kind, and count where they newly fail."""

import json
import re
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import metrics
from lorasent.errors import DataError, PolicyError
from lorasent.gate import behaviour
from lorasent.gate.behaviour import Behaviour
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, settle
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.report import terminal
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import PairedAccuracy, Rate
from tests.gate.answers import LABELS, always, by_check, outcomes_of, write_cases


def cases(n, capability="negation", first=0):
    """Minimum cases of a capability."""
    return [
        behaviour.Case(id=f"n{row}", capability=capability, kind="minimum", texts=("x",), expect="Positive")
        for row in range(first, first + n)
    ]


def sure(*positive):
    """Answers with these probabilities of Positive."""
    share = np.array(positive)
    return Answers(np.log(np.stack([1 - share, share], axis=1)).astype(np.float32), np.full(len(share), 5))


def claims_of(policy, cases, candidate, incumbent):
    """The claims of a policy's cases, answered so."""
    subject, other = SimpleNamespace(labels=LABELS, answer=lambda _: candidate), SimpleNamespace(answer=lambda _: incumbent)
    with mock.patch.object(behaviour, "read", return_value=cases):
        return behaviour.ask(policy, SimpleNamespace(candidate=subject, incumbent=other, is_foreign=False))


def test_claims_of_behaviour_are_whole():
    """A claim for each capability in its order, and one for all of them; figures name every newly failing case."""
    every = [*cases(40), *cases(10, "typos", 40)]
    before = sure(*[0.1] * 4 + [0.9] * 46)
    after = sure(*[0.9] * 2 + [0.1] * 7 + [0.9] * 31 + [0.1] * 5 + [0.9] * 5)
    claims = claims_of(Behaviour(margin=0.1), every, after, before)
    first, second, whole = (replace(one, shortfall=None) for one in claims)
    newly = [f"n{row}" for row in range(4, 9)]
    message = "4 -> 7 of 40 cases fail, 5 newly (margin: 10 % net): n4, n5, n6, n7, n8"
    figures = {"cases": 40, "failed_before": 4, "failed_now": 7, "newly": newly}
    p = PairedAccuracy(5, 2, 40).p_above(0.1)
    assert first == Claim("behaviour::negation", "behaviour", message, "", figures, p=p, passes=True)
    others = [f"n{row}" for row in range(40, 45)]
    message = "0 -> 5 of 10 cases fail, 5 newly (margin: 10 % net): n40, n41, n42, n43, n44"
    figures = {"cases": 10, "failed_before": 0, "failed_now": 5, "newly": others}
    p = PairedAccuracy(5, 0, 10).p_above(0.1)
    assert second == Claim("behaviour::typos", "behaviour", message, "", figures, p=p, passes=False)
    message = "4 -> 12 of 50 cases fail, 10 newly (margin: 10 % net): n4, n5, n6, n7, n8 and 5 more"
    figures = {"cases": 50, "failed_before": 4, "failed_now": 12, "newly": newly + others}
    p = PairedAccuracy(10, 2, 50).p_above(0.1)
    assert whole == Claim("behaviour::all", "behaviour", message, "", figures, p=p, passes=False)


def test_claims_of_limits_are_whole():
    """They come before those that compare; where all is lost that could be, they cannot block."""
    every, before = [*cases(40), *cases(10, "typos", 40)], sure(*[0.9] * 50)
    after = sure(*[0.1] * 7 + [0.9] * 33 + [0.1] * 10)
    claims = claims_of(Behaviour(max_failed={"negation": 0.125, "typos": 0.9}), every, after, before)
    message, figures = "7 of 40 cases fail (limit: 12.5 %)", {"cases": 40, "failed": 7, "limit": 0.125}
    found = Claim("behaviour::negation::failed", "failing", message, "", figures, p=Rate(7, 40).p_above(0.125), passes=False)
    assert replace(claims[0], shortfall=None) == found
    assert claims[0].shortfall(0.05) == ""
    assert claims[1].shortfall(0.01) == "all that could be lost is lost, and even that cannot block"


def test_a_limit_of_an_unknown_capability_names_those_that_there_are():
    """A hundred of them."""
    every = [case for row in range(101) for case in cases(1, f"c{row}", row)]
    answers = sure(*[0.9] * 101)
    with pytest.raises(PolicyError, match=r"irony: no case tests that; capabilities are c0, c1, .*, c99 and 2 more$"):
        claims_of(Behaviour(max_failed={"irony": 0.1}), every, answers, answers)


def test_cases_that_are_turned_off_have_no_texts():
    """Nothing is read."""
    assert behaviour.texts(Behaviour(cases=False), LABELS) == []


@pytest.mark.parametrize("check", ["behaviour::all", "behaviour::all::failed", "behaviour::language"])
def test_a_terminal_shows_what_sums_up(check):
    """All cases, their limit, and their language; no single capability."""
    assert behaviour.is_headline(Finding(check, Outcome.PASS, "", ""))
    assert not behaviour.is_headline(Finding(check.replace("::all", "::typos") + "s", Outcome.PASS, "", ""))


def test_behaviour_that_stays_names_no_case():
    """The sentence ends with what may fail."""
    before = sure(*[0.1] * 4 + [0.9] * 6)
    assert claims_of(Behaviour(), cases(10), before, before)[0].message == ("4 -> 4 of 10 cases fail, 0 newly (margin: 10 % net)")


@pytest.mark.parametrize("capability", ["all", "language", "triggers"])
def test_a_capability_is_not_called_as_another_check(capability):
    """Its own claim would be lost behind the other's."""
    case = {"id": "a", "capability": capability, "kind": "minimum", "texts": ["x"], "expect": "Positive"}
    with pytest.raises(ValueError, match="is the name of another check"):
        behaviour.Case.model_validate(case)


def test_a_move_of_the_tolerance_itself_is_no_failure():
    """More than the tolerance fails, for a label that changes and for a probability that falls; the policy's is taken."""
    kinds = [
        {"id": "b", "capability": "typos", "kind": "invariance", "texts": ["a", "b"]},
        {"id": "c", "capability": "intensity", "kind": "directional", "texts": ["a", "b"], "expect": "Negative"},
    ]
    both = [behaviour.Case.model_validate(one) for one in kinds]
    moved = Answers(np.log(np.array([[0.25, 0.75], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75]])), np.full(4, 5))
    probability = metrics.probabilities(moved.logits)
    fall = float(probability[0, 1] - probability[1, 1])
    assert behaviour.failures(both, LABELS, moved, fall).tolist() == [False, False]
    assert behaviour.failures(both, LABELS, moved, fall - 1e-9).tolist() == [True, True]
    still = Answers(np.zeros((4, 2)), np.full(4, 5))
    failed = [claims_of(Behaviour(tolerance=tolerance), both, moved, still)[-1].figures["failed_now"] for tolerance in (0.4, 0.6)]
    assert failed == [2, 0]


def test_a_directional_case_is_judged_by_its_first_and_last_text():
    """A fall in between that is made good is none."""
    case = behaviour.Case(id="c", capability="intensity", kind="directional", texts=("a", "b", "c"), expect="Positive")
    failed = [behaviour.failures([case], LABELS, sure(*positive), 0.1).tolist() for positive in ((0.8, 0.2, 0.8), (0.8, 0.8, 0.2))]
    assert failed == [[False], [True]]


def test_a_directional_case_is_judged_by_the_label_that_it_expects():
    """Also where another is decided, whose probability rises."""
    case = behaviour.Case(id="c", capability="intensity", kind="directional", texts=("a", "b"), expect="Positive")
    assert behaviour.failures([case], LABELS, sure(0.4, 0.1), 0.1).tolist() == [True]


def test_an_invariant_case_fails_by_any_of_its_texts():
    """Also by the first variant of several."""
    case = behaviour.Case(id="b", capability="typos", kind="invariance", texts=("a", "b", "c"))
    assert behaviour.failures([case], LABELS, sure(0.9, 0.2, 0.9), 0.1).tolist() == [True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": ["one", "two"]}, "mine.jsonl, line 1: texts: minimum needs exactly 1"),
        ({"kind": "directional"}, "mine.jsonl, line 1: texts: directional needs at least 2"),
        ({"expect": None}, "mine.jsonl, line 1: expect: minimum and directional need a label's name, invariance has none"),
        ({"texts": []}, "mine.jsonl, line 1: texts: Tuple should have at least 1 item after validation, not 0"),
        ({"expect": "Good"}, "mine.jsonl, line 1: expect: Good is not a label; the labels are Negative, Positive"),
        ({"texts": ["one", 7]}, "mine.jsonl, line 1: texts.1: Input should be a valid string"),
    ],
    ids=["too many texts", "too few texts", "no expectation", "no text", "another label", "a text that is none"],
)
def test_a_malformed_case_is_one_line(tmp_path, change, message):
    """The file, the line, the key and what is allowed."""
    case = {"id": "a", "capability": "negation", "kind": "minimum", "texts": ["x"], "expect": "Positive", **change}
    (tmp_path / "mine.jsonl").write_text(json.dumps(case))
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        behaviour.read(str(tmp_path / "mine.jsonl"), LABELS)


def test_cases_are_read_in_the_order_of_their_files(tmp_path):
    """Other files of the folder are passed over; a line that is no JSON is named, blank ones are skipped and counted."""
    for number, name in enumerate(("b", "a")):
        (tmp_path / f"{name}.jsonl").write_text("\n\n" + cases(1, name, number)[0].model_dump_json() + "\n\n")
    (tmp_path / "c.txt").write_text("{")
    found = behaviour.read(str(tmp_path), LABELS)
    assert [case.capability for case in found] == ["a", "b"]
    (tmp_path / "a.jsonl").write_text("\n{\n")
    with pytest.raises(DataError, match=r"^a.jsonl, line 2: not valid JSON: "):
        behaviour.read(str(tmp_path), LABELS)


def test_the_embedded_cases_come_in_one_order():
    """That of their files' names, wherever they are installed."""
    capabilities = list(dict.fromkeys(case.capability for case in behaviour.read("embedded", LABELS)))
    assert capabilities == sorted(capabilities)


def test_the_embedded_cases_may_lie_in_an_archive(tmp_path, monkeypatch):
    """Whose members have no order of their own."""
    with zipfile.ZipFile(tmp_path / "lorasent.zip", "w") as archive:
        for number, name in enumerate(("b", "a")):
            archive.writestr(f"behaviours/{name}.jsonl", cases(1, name, number)[0].model_dump_json())
    monkeypatch.setattr(behaviour.resources, "files", lambda _: zipfile.Path(tmp_path / "lorasent.zip"))
    assert [case.capability for case in behaviour.read("embedded", LABELS)] == ["a", "b"]


def test_cases_are_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    """Here one of ASCII."""
    monkeypatch.setattr("io.text_encoding", lambda encoding, *_: encoding or "ascii")
    (tmp_path / "mine.jsonl").write_text(cases(1, "Verneinung, großgeschrieben")[0].model_dump_json(), "utf-8")
    assert behaviour.read(str(tmp_path), LABELS)[0].capability == "Verneinung, großgeschrieben"


def test_no_cases_are_one_line(tmp_path):
    """An empty folder, and a file that is not UTF-8."""
    message = f"{tmp_path}: holds no behavioural cases; expected JSONL, one case a line"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        behaviour.read(str(tmp_path), LABELS)
    (tmp_path / "mine.jsonl").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"mine.jsonl: behavioural cases cannot be read: expected UTF-8, found byte 0xff$"):
        behaviour.read(str(tmp_path), LABELS)
    (tmp_path / "mine.jsonl").unlink()
    (tmp_path / "mine.jsonl").mkdir()
    with pytest.raises(DataError, match=r"mine.jsonl: behavioural cases cannot be read: Is a directory$"):
        behaviour.read(str(tmp_path), LABELS)


CASES = [
    {"id": "a", "capability": "negation", "kind": "minimum", "texts": ["not bad"], "expect": "Positive"},
    {"id": "b", "capability": "typos", "kind": "invariance", "texts": ["a film", "a flim", "a fiml"]},
    {"id": "c", "capability": "intensity", "kind": "directional", "texts": ["good", "very good"], "expect": "Positive"},
]


def case_answers(*positive):
    """Answers with these probabilities of Positive."""
    share = np.array(positive)
    return Answers(np.log(np.stack([1 - share, share], axis=1)).astype(np.float32), np.full(len(share), 5))


@pytest.mark.parametrize(
    ("positive", "failed"),
    [
        ((0.9, 0.9, 0.9, 0.9, 0.6, 0.7), [False, False, False]),
        ((0.4, 0.9, 0.9, 0.9, 0.6, 0.7), [True, False, False]),
        ((0.9, 0.9, 0.9, 0.3, 0.6, 0.7), [False, True, False]),
        ((0.9, 0.1, 0.9, 0.1, 0.6, 0.7), [False, True, False]),
        ((0.9, 0.52, 0.48, 0.52, 0.6, 0.7), [False, False, False]),
        ((0.9, 0.9, 0.6, 0.9, 0.6, 0.55), [False, False, False]),
        ((0.9, 0.9, 0.9, 0.9, 0.9, 0.7), [False, False, True]),
    ],
    ids=["all hold", "wrong label", "a variant flips", "flips upwards", "a flip within the tolerance", "moves, no flip", "falls"],
)
def test_a_case_fails_by_its_kind(positive, failed):
    """A wrong label; a label that changes by more than the tolerance; a probability that falls by more than it."""
    cases = [behaviour.Case.model_validate(case) for case in CASES]
    assert behaviour.failures(cases, LABELS, case_answers(*positive), 0.1).tolist() == failed


def test_new_failures_count_old_ones_do_not():
    """What always failed is no accusation; what newly fails blocks, and is named."""
    cases = [
        behaviour.Case(id=f"n{row}", capability="negation", kind="minimum", texts=("x",), expect="Positive") for row in range(40)
    ]
    before, bad = case_answers(*[0.1] * 10 + [0.9] * 30), case_answers(*[0.1] * 30 + [0.9] * 10)
    policy = Behaviour(margin=0.1)
    old = claims_of(policy, cases, before, before)
    new = claims_of(policy, cases, bad, before)
    assert outcomes_of(old) == {"behaviour::negation": Outcome.PASS, "behaviour::all": Outcome.PASS}
    assert outcomes_of(new) == {"behaviour::negation": Outcome.BLOCK, "behaviour::all": Outcome.BLOCK}
    assert "10 -> 30 of 40 cases fail, 20 newly" in new[0].message
    assert new[0].message.endswith("n10, n11, n12, n13, n14 and 15 more")


def test_the_embedded_cases_are_many_and_whole():
    """At least 400 over at least 15 capabilities, ids unique; half of what is expected is positive."""
    cases = behaviour.read("embedded", LABELS)
    assert len(cases) >= 400
    assert len({case.capability for case in cases}) >= 15
    assert len({case.id for case in cases}) == len(cases)
    expected = [case.expect for case in cases if case.expect]
    assert abs(expected.count("Positive") - expected.count("Negative")) <= 2


def test_cases_of_ones_own_are_read_from_a_file_or_a_folder(tmp_path):
    """JSONL, one case a line; blank lines are skipped."""
    (tmp_path / "mine.jsonl").write_text("\n".join(json.dumps(case) for case in CASES) + "\n\n")
    assert [case.id for case in behaviour.read(str(tmp_path), LABELS)] == ["a", "b", "c"]
    assert behaviour.texts(Behaviour(cases=str(tmp_path / "mine.jsonl")), LABELS)[0] == "not bad"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, r"^mine.jsonl, line 2: kind: Input should be 'minimum', 'invariance' or 'directional'$"),
        ({"texts": ["one"]}, r"^mine.jsonl, line 2: texts: invariance needs at least 2$"),
        ({"expect": "Positive"}, r"^mine.jsonl, line 2: expect: minimum and directional need a label's name, invariance has none$"),
        (
            {"kind": "directional", "expect": "Good"},
            r"^mine.jsonl, line 2: expect: Good is not a label; the labels are Negative, Positive$",
        ),
        ({"colour": "red"}, r"^mine.jsonl, line 2: colour: Extra inputs are not permitted$"),
    ],
    ids=["kind", "texts", "expectation", "label", "unknown key"],
)
def test_a_malformed_case_is_named(tmp_path, change, message):
    """The file, the line, the key and what is allowed."""
    lines = [CASES[0], {**CASES[1], **change}]
    (tmp_path / "mine.jsonl").write_text("\n".join(json.dumps(case) for case in lines))
    with pytest.raises(DataError, match=message):
        behaviour.read(str(tmp_path / "mine.jsonl"), LABELS)


def test_no_cases_are_an_error(tmp_path):
    """Nothing checked is never a pass."""
    with pytest.raises(DataError, match=r"holds no behavioural cases; expected JSONL, one case a line$"):
        behaviour.read(str(tmp_path), LABELS)
    with pytest.raises(DataError, match=r"behavioural cases cannot be read"):
        behaviour.read(str(tmp_path / "none.jsonl"), LABELS)


@pytest.mark.parametrize("labels", [("neg", "pos"), ("POSITIVE", "NEGATIVE"), ("negative", "neutral", "positive")], ids=str)
def test_cases_expect_a_label_by_any_name_of_its(labels):
    """What the embedded cases expect is the adapter's own label, whatever its case, form and place."""
    usual, found = behaviour.read("embedded", LABELS), behaviour.read("embedded", labels)
    assert {case.expect for case in found} == {None, *labels} - {"neutral"}
    assert all((a.expect or "x").casefold().startswith((b.expect or "x").casefold()[:3]) for a, b in zip(usual, found, strict=True))
    with pytest.raises(DataError, match=r"expect: (Positive|Negative) is not a label; the labels are LABEL_0, LABEL_1$"):
        behaviour.read("embedded", ("LABEL_0", "LABEL_1"))


def test_cases_are_text_as_people_save_it(tmp_path):
    """With a byte-order mark, CR LF and a suffix in any case; a separator of Unicode's ends no line."""
    cases = [{**CASES[0], "id": ascii(part), "texts": [f"one{part}text"]} for part in "\u2028\u2029\x85"]
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    (tmp_path / "mine.JSONL").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    for source in (tmp_path, tmp_path / "mine.JSONL"):
        assert behaviour.texts(Behaviour(cases=str(source)), LABELS) == ["one\u2028text", "one\u2029text", "one\x85text"]


def test_a_case_with_a_key_twice_is_refused(tmp_path):
    """The last one would win in silence."""
    (tmp_path / "mine.jsonl").write_text(json.dumps(CASES[0]).replace("{", '{"expect": "Negative", ', 1))
    with pytest.raises(DataError, match=r"mine.jsonl, line 1: two columns of the same name, expect and expect"):
        behaviour.read(str(tmp_path / "mine.jsonl"), LABELS)


@pytest.mark.parametrize("count", [1, 3, 10, 40])
def test_who_newly_fails_every_case_never_passes(adapters, tmp_path, count):
    """Where so few cannot block, the claim is undecided, and says how many are needed."""
    write_cases(tmp_path, count)
    adapters["new"] = always("Negative")
    judged = by_check(judge("new", "old", Policy(behaviour=Behaviour(cases=str(tmp_path), triggers=False))))["behaviour::praise"]
    assert judged.outcome is (Outcome.BLOCK if count >= 10 else Outcome.INCONCLUSIVE)
    assert count >= 10 or "all that could be lost is lost, and even that cannot block" in judged.message


def test_too_few_cases_are_not_checked(adapters, tmp_path):
    """Nothing fails, and nothing could have blocked: no check of a policy looks passed so."""
    write_cases(tmp_path, 3)
    judged = judge("old", "old", Policy(behaviour=Behaviour(cases=str(tmp_path), triggers=False)))
    few = by_check(judged)["behaviour::praise"]
    assert (few.outcome, few.cause) == (Outcome.PASS, NOT_CHECKED)
    assert few.message.endswith("; 3 are too few to block; at least 6 are needed")
    (line,) = [line for line in terminal.text(judged, "again", width=1000).splitlines() if "behaviour" in line]
    assert line.startswith("  not checked  behaviour::praise, behaviour::all: ")


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.integers(1, 40))
def test_no_check_that_only_blocks_passes_where_it_could_not(right, wrong, lost, margin, claims):
    """If all is lost that can be, and it is more than may ship, the outcome is never PASS; of less it may be."""
    size, lost = right + wrong, min(lost, right)
    cases = [behaviour.Case(id=f"{row}", capability="one", kind="minimum", texts=("x",), expect="Positive") for row in range(size)]
    logits = np.full((2, size, 2), (-2.0, 2.0), dtype=np.float32)
    logits[0, right:], logits[1, right:], logits[1, :lost] = -logits[0, right:], -logits[1, right:], -logits[1, :lost]
    old, new = (Answers(one, np.full(size, 5)) for one in logits)
    found = claims_of(Behaviour(margin=margin), cases, new, old)
    others = [Claim(f"other {row}", "", "", p=1.0, passes=True) for row in range(claims)]
    outcome = settle([*found, *others], 0.05)[0].outcome
    if lost == right and lost > margin * size:
        assert outcome is not Outcome.PASS
    if lost <= margin * size:
        assert outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "0", "texts": ["good case other"]}, "b.jsonl, line 1: id: another case is called 0 (a.jsonl, line 1)"),
        (
            {"id": "9", "expect": "Negative"},
            "b.jsonl, line 1: expect: another case expects the opposite of the same texts (a.jsonl, line 1)",
        ),
        ({"id": "9"}, "b.jsonl, line 1: this case is there already (a.jsonl, line 1)"),
    ],
    ids=["one id", "the opposite", "the same"],
)
def test_cases_do_not_swallow_each_other(tmp_path, change, message):
    """A swapped head would fail the one and hold the other: the file and both lines are named."""
    write_cases(tmp_path, 1)
    (tmp_path / "cases.jsonl").rename(tmp_path / "a.jsonl")
    write_cases(tmp_path, 1, **change)
    (tmp_path / "cases.jsonl").rename(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        behaviour.read(str(tmp_path), LABELS)


STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
NAMED = {"negative": ["1 star", "2 stars"], "positive": ["4 stars", "5 stars"]}


@pytest.mark.parametrize(
    ("labels", "table", "expected"),
    [
        (("pos", "NEG"), {}, ("pos", "NEG")),
        (("Negative", "neutral", "Positive"), {}, ("Negative", "neutral", "Positive")),
        (STARS, NAMED, ("negative", "negative", "label 2", "positive", "positive")),
        (("good", "bad"), {"negative": ["BAD"], "positive": ["good"]}, ("positive", "negative")),
        (("Negative", "Positive"), {"negative": ["Positive"], "positive": ["Negative"]}, ("positive", "negative")),
        (STARS, {"cases": "mine.jsonl"}, STARS),
    ],
    ids=["poles", "poles and one between", "five stars", "other names", "as the policy says", "cases of one's own"],
)
def test_what_labels_mean_to_the_cases(labels, table, expected):
    """Plain poles need not be named; the policy's word holds; cases of one's own name labels themselves."""
    assert behaviour.meanings(Behaviour(**table), labels) == expected


@pytest.mark.parametrize(
    ("labels", "table", "message"),
    [
        (
            STARS,
            {},
            r"the labels are 1 star, 2 stars, 3 stars, 4 stars, 5 stars: name yours under \[behaviour\], as in negative = ",
        ),
        (
            [f"topic {letter}" for letter in "abcdefghijklmnopqrst"],
            {},
            "the labels are topic a, .* topic e and 15 more: name yours",
        ),
        (("very negative", "negative", "positive", "very positive"), {}, "name yours under"),
        (("negative", "positive", "very positive"), {}, "name yours under"),
        (
            STARS,
            {"negative": ["0 stars"], "positive": ["5 stars"]},
            "^behaviour.negative: 0 stars is not a label; the labels are 1 star",
        ),
        (STARS, {"negative": ["4 stars"], "positive": ["5 stars", "4 s"]}, "^behaviour.positive: 4 s is named as negative, too"),
    ],
    ids=["five stars", "twenty topics", "two shades of each", "two shades of one", "no label", "both sides"],
)
def test_what_labels_mean_is_not_guessed(labels, table, message):
    """One line says what to write into the policy."""
    with pytest.raises(PolicyError, match=message):
        behaviour.meanings(Behaviour(**table), labels)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('negative = ["a"]', "labels both in negative and in positive, each label once"),
        ('negative = ["a"]\npositive = ["b", "A "]', "labels both in negative and in positive, each label once"),
        ('negative = ["a"]\npositive = ["b"]\ncases = false', "without negative and positive: they are for the embedded cases"),
        ("cases = false\ntriggers = false", "a table that turns on cases or triggers, or absent"),
        ("cases = true", "behaviour.cases"),
    ],
    ids=["one side", "both sides", "no cases to name them for", "nothing", "true"],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path, table, message):
    """When the policy is read, before any adapter is."""
    (tmp_path / "gate.toml").write_text(f"[behaviour]\n{table}\n")
    with pytest.raises(PolicyError, match=message):
        Policy.read(tmp_path / "gate.toml")


@pytest.mark.parametrize(
    ("kind", "rows", "fails"),
    [
        ("minimum", [[0.1, 0.1, 0.1, 0.6, 0.1]], False),
        ("minimum", [[0.1, 0.1, 0.4, 0.2, 0.2]], True),
        ("invariance", [[0.1, 0.0, 0.0, 0.8, 0.1], [0.0, 0.1, 0.0, 0.1, 0.8]], False),
        ("invariance", [[0.0, 0.1, 0.1, 0.8, 0.0], [0.0, 0.1, 0.8, 0.1, 0.0]], True),
        ("directional", [[0.0, 0.1, 0.0, 0.9, 0.0], [0.0, 0.1, 0.0, 0.0, 0.9]], False),
        ("directional", [[0.0, 0.1, 0.0, 0.9, 0.0], [0.0, 0.4, 0.0, 0.3, 0.3]], True),
    ],
    ids=[
        "one of the named",
        "the one between, though the named have more together",
        "another label of one pole",
        "the one between, after a pole",
        "the same in sum",
        "less in sum",
    ],
)
def test_labels_of_one_meaning_count_together(kind, rows, fails):
    """A minimum case is decided by the answer, an invariant one by its meaning, a directional one by the summed probability."""
    expect = None if kind == "invariance" else "positive"
    case = behaviour.Case(id="a", capability="stars", kind=kind, texts=["x"] * len(rows), expect=expect)
    answers = Answers(np.log(np.array(rows) + 1e-9), np.full(len(rows), 5))
    assert behaviour.failures([case], behaviour.meanings(Behaviour(**NAMED), STARS), answers, 0.1).tolist() == [fails]


def test_the_embedded_cases_are_read_for_five_stars():
    """They expect the meanings of labels, and are as many as for two labels."""
    read = behaviour.read("embedded", behaviour.meanings(Behaviour(**NAMED), STARS))
    assert {case.expect for case in read} == {"negative", "positive", None}
    assert [case.texts for case in read] == [case.texts for case in behaviour.read("embedded", LABELS)]
    assert {case.expect for case in behaviour.read("embedded", ("pos", "neutral", "NEG"))} == {"pos", "NEG", None}


GERMAN = [
    f"Der Film {number} war {word} und viel zu lang, {other} hat uns {word} nicht gefallen"
    for number, (word, other) in enumerate(
        (f"wort{letter}{second}", f"name{second}{letter}") for letter in "abcdefghij" for second in "abcdefghij"
    )
]


@pytest.mark.parametrize(
    ("table", "asked"), [("", False), ('cases = "embedded"', True)], ids=["not asked for", "asked for by name"]
)
def test_english_cases_are_not_asked_beside_other_reviews(policy, adapters, table, asked):
    """Without being asked for they are off, and the report says so; asked for by name they run, and it says so, too."""
    adapters["new"] = adapters["old"] = lambda texts: [2.0 if text in GERMAN[::2] else -2.0 for text in texts]
    films = [(text, LABELS[row % 2 == 0]) for row, text in enumerate(GERMAN)]
    found = by_check(judge("new", "old", policy(films, f"[behaviour]\ntriggers = false\n{table}")))
    language = found["behaviour::language"]
    assert (language.outcome, language.cause) == (Outcome.PASS, "" if asked else NOT_CHECKED)
    message = "the embedded cases are English reviews of films, and the reviews of [data] are not English"
    assert language.message == (message if asked else f'not checked: {message} (cases = "embedded" asks them anyway)')
    assert ("behaviour::all" in found) == asked


def test_no_cases_are_asked_where_the_policy_turns_them_off(policy, adapters):
    """`cases = false` leaves the triggers."""
    adapters["new"] = lambda texts: pytest.fail("a case was asked") if len(texts) != 40 else [2.0] * 40
    adapters["old"] = adapters["new"]
    found = judge("new", "old", policy([(f"good {row}", "Positive") for row in range(40)], "[behaviour]\ncases = false"))
    assert [one.check for one in found.findings if one.check.startswith("behaviour")] == ["behaviour::triggers"]
