"""Quality, calibration and behaviour: what is claimed of answers whose damage is known."""

import json

import numpy as np
import pytest
from scipy import stats

from lorasent.data.reviews import Reviews
from lorasent.errors import DataError, PolicyError
from lorasent.gate import behaviour, calibration, quality
from lorasent.gate.finding import Claim, Outcome, settle, shares
from lorasent.gate.policy import Behaviour, Calibration, Quality
from lorasent.scoring.evidence import Answers
from tests.gate import verdicts

LABELS = ("Negative", "Positive")
N = 1000


def reviews(n=N, **columns):
    """Reviews of which every other is positive."""
    return Reviews("test", [f"review {row}" for row in range(n)], np.arange(n) % 2, columns)


def answers(wrong=(), n=N, confidence=2.0, lengths=None):
    """Answers that are right but for the rows `wrong`, all equally sure."""
    right = np.ones(n, dtype=bool)
    right[list(wrong)] = False
    decided = np.where(right, np.arange(n) % 2, 1 - np.arange(n) % 2)
    logits = np.where(np.arange(2) == decided[:, None], confidence, -confidence).astype(np.float32)
    return Answers(logits, np.full(n, 100) if lengths is None else np.asarray(lengths))


def claim(claims, name):
    """The claim of a name."""
    (found,) = [one for one in claims if one.check == name]
    return found


def judged(claims):
    """Outcomes by check."""
    return {finding.check: finding.outcome for finding in settle(claims, 0.05)}


@pytest.mark.parametrize("metric", ["accuracy", "f1", "mcc"])
def test_damage_is_judged_by_the_margin(metric):
    """None passes, four points block under a margin of two, and a point and a half of them is undecided."""
    policy = Quality(metric=metric, margin=0.02)
    outcomes = [
        judged(quality.check(policy, reviews(), answers(range(worse)), [answers()], 512, 0.05))[f"quality::{metric}"]
        for worse in (0, 80, {"accuracy": 15, "f1": 17, "mcc": 13}[metric])
    ]
    assert outcomes == [Outcome.PASS, Outcome.BLOCK, Outcome.INCONCLUSIVE]


def test_the_paired_reviews_decide():
    """Equal damage with much churn is undecided where with little it passes: the pairs are told, not two accuracies."""
    policy = Quality(margin=0.02)
    little = quality.check(policy, reviews(), answers(range(10)), [answers(range(5))], 512, 0.05)[0]
    much = quality.check(policy, reviews(), answers(range(105)), [answers(range(100, 200))], 512, 0.05)[0]
    assert little.figures["damage"] == much.figures["damage"] == pytest.approx(0.005)
    assert (little.figures["worse"], little.figures["better"], little.figures["churn"]) == (5, 0, 0.005)
    assert (much.figures["worse"], much.figures["better"], much.figures["churn"]) == (100, 95, 0.195)
    assert little.passes
    assert not much.passes


def test_an_undecided_verdict_says_how_many_reviews_would_decide():
    """At the discordance seen, for the damage seen; and without a bank it says that retraining noise is not separated."""
    found = quality.check(Quality(margin=0.02), reviews(), answers(range(15)), [answers()], 512, 0.05)[0]
    assert found.figures["needed"] > N
    assert f"{found.figures['needed']} reviews would decide" in found.advice
    assert "retraining noise is not separated" in found.message


def test_surely_worse_within_the_margin_passes_and_says_so():
    """Forty reviews lost of a thousand are surely lost, and are fewer than a margin of a tenth."""
    found = quality.check(Quality(margin=0.10), reviews(), answers(range(40)), [answers()], 512, 0.05)[0]
    assert found.passes
    assert "worse, surely, but within the margin" in found.message


def test_a_floor_is_held_with_its_interval():
    """Accuracy 0.95 on 1,000 reviews is surely above 0.90, surely not above 0.97, and undecided at 0.95."""
    outcomes = [
        judged(quality.check(Quality(margin=0.5, min=least), reviews(), answers(range(50)), [answers(range(50))], 512, 0.05))
        for least in (0.90, 0.97, 0.95)
    ]
    assert [one["quality::floor"] for one in outcomes] == [Outcome.PASS, Outcome.BLOCK, Outcome.INCONCLUSIVE]


def test_a_slice_blocks_where_the_whole_passes():
    """Damage of a tenth of the long reviews is within the whole's margin, and beyond the slice's; small slices decide nothing."""
    lengths = np.where(np.arange(N) < 200, 600, 100)
    policy = Quality(margin=0.08, slices=("truncated", "length", "tags"))
    data = reviews(tags=[["few"] if row < 10 else [] for row in range(N)])
    claims = quality.check(policy, data, answers(range(70), lengths=lengths), [answers(lengths=lengths)], 512, 0.05)
    outcomes = judged(claims)
    assert outcomes["quality::accuracy"] is Outcome.INCONCLUSIVE
    assert outcomes["quality::slice::truncated::true"] is Outcome.BLOCK
    assert outcomes["quality::slice::truncated::false"] is Outcome.PASS
    assert not any("few" in name for name in outcomes)
    with pytest.raises(PolicyError, match=r"has no column film; it has length, truncated, tags$"):
        quality.check(Quality(slices=("film",)), data, answers(), [answers()], 512, 0.05)


def test_a_candidate_below_its_bank_blocks_though_the_margin_is_wide():
    """Five retrains of 0.90 or so; one of 0.80 is no innocent retrain, one of 0.90 is; without PASS the bank decides."""
    random = np.random.default_rng(0)
    bank = [answers(random.choice(N, 100 + extra, replace=False)) for extra in (-4, -2, 0, 2, 4)]
    outcomes = [
        judged(quality.check(Quality(margin=0.10), reviews(), answers(random.choice(N, wrong, replace=False)), bank, 512, 0.05))
        for wrong in (200, 100)
    ]
    assert [one["quality::retraining"] for one in outcomes] == [Outcome.BLOCK, Outcome.PASS]


def test_overconfidence_is_found_though_no_label_changes():
    """Logits times four on a classifier that errs: the Brier score rises, accuracy does not."""
    wrong = range(150)
    claims = calibration.check(Calibration(), reviews(), answers(wrong, confidence=4.0), answers(wrong, confidence=0.9), 0.05)
    assert judged(claims) == {"calibration::brier": Outcome.BLOCK}
    assert claims[0].figures["candidate"] > claims[0].figures["incumbent"]
    same = calibration.check(Calibration(max_log_loss_increase=0.01), reviews(), answers(wrong), answers(wrong), 0.05)
    assert judged(same) == {"calibration::brier": Outcome.PASS, "calibration::log_loss": Outcome.PASS}


def test_a_margin_within_the_banks_own_luck_is_refused():
    """Retrains that spread by three points cannot be held to one."""
    bank = [answers(range(wrong)) for wrong in (50, 110)]
    with pytest.raises(PolicyError, match=r"^quality.margin = 0.01: the baselines' own accuracy spreads by 0.0424, so the margin"):
        quality.check(Quality(margin=0.01), reviews(), answers(), bank, 512, 0.05)


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
    old = behaviour.check(policy, cases, LABELS, before, before)
    new = behaviour.check(policy, cases, LABELS, bad, before)
    assert judged(old) == {"behaviour::negation": Outcome.PASS, "behaviour::all": Outcome.PASS}
    assert judged(new) == {"behaviour::negation": Outcome.BLOCK, "behaviour::all": Outcome.BLOCK}
    assert "10 -> 30 of 40 cases fail, 20 newly" in new[0].message
    assert new[0].message.endswith("n10, n11, n12, n13, n14, ...")


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
    assert behaviour.texts(behaviour.read(str(tmp_path / "mine.jsonl"), LABELS))[0] == "not bad"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, r"^mine.jsonl, line 2: kind: Input should be 'minimum', 'invariance' or 'directional'$"),
        ({"texts": ["one"]}, r"^mine.jsonl, line 2: texts: invariance needs at least 2$"),
        ({"expect": "Positive"}, r"^mine.jsonl, line 2: expect: minimum and directional need a label's name, invariance has none$"),
        (
            {"kind": "directional", "expect": "Good"},
            r"^mine.jsonl, line 2: expect: Good is no label; labels are Negative, Positive$",
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
    with pytest.raises(DataError, match=r"no behavioural cases that can be read"):
        behaviour.read(str(tmp_path / "none.jsonl"), LABELS)


def many_claims(count):
    """Claims of other families that nothing speaks against."""
    return [Claim(f"behaviour::{row}", 1.0, passes=True, cause="behaviour", message="") for row in range(count)]


def test_other_claims_cost_the_metric_half_of_its_level_however_many():
    """A p of 0.04 blocks alone and not among others; one of 0.02 blocks among any number."""
    lone, lower = (quality.check(Quality(margin=0.02), reviews(), answers(range(w)), [answers()], 512, 0.05) for w in (28, 30))
    assert 0.025 < lone[0].p < 0.05
    assert 0.01 < lower[0].p < 0.025
    assert judged(lone)["quality::accuracy"] is Outcome.BLOCK
    for count in (1, 20, 200):
        assert judged([*lone, *many_claims(count)])["quality::accuracy"] is Outcome.INCONCLUSIVE
        assert judged([*lower, *many_claims(count)])["quality::accuracy"] is Outcome.BLOCK


def test_the_error_rate_is_divided_once():
    """A tenth for the bank, half of the rest for the metric, the others share; who is absent leaves it to the others, 1 in all."""
    metric, bank = (Claim(name, 1.0, passes=True, cause="", message="", rank=name) for name in ("first", "bank"))
    assert shares([metric]) == [1.0]
    assert shares([metric, bank]) == pytest.approx([0.9, 0.1])
    assert shares([metric, bank, *many_claims(2)]) == pytest.approx([0.45, 0.1, 0.225, 0.225])
    assert shares([metric, *many_claims(1)]) == [0.5, 0.5]
    assert shares(many_claims(4)) == [0.25] * 4


def test_the_bank_blocks_at_its_own_level_however_many_claims_there_are():
    """Scores below the 99.5 % bound block among 40 others, those above it do not."""
    bank = [answers(range(start, start + wrong)) for start, wrong in ((0, 40), (20, 50), (50, 60))]
    outcomes = set()
    for wrong in range(110, 190, 4):
        claims = quality.check(Quality(margin=0.02), reviews(), answers(range(900, 900 - wrong, -1)), bank, 512, 0.05)
        found = claim(claims, "quality::retraining")
        metric = Claim("quality::accuracy", 1.0, passes=False, cause="", message="", rank="first")
        below = found.figures["score"] < found.figures["lowest"]
        outcomes.add((bool(below), judged([metric, found, *many_claims(40)])["quality::retraining"]))
    assert outcomes == {(True, Outcome.BLOCK), (False, Outcome.PASS)}


@pytest.mark.parametrize("others", [0, 40])
def test_the_drops_that_are_printed_are_those_that_show_and_block_in_4_of_5_cases(others):
    """On 1,000 reviews, 6 % discordant: the drop that blocks, enumerated through `settle`, is the printed one to 0.1 points."""
    fewest, pairs = [0], np.arange(25, 101)

    def settled(worse, both):
        claims = quality.check(Quality(margin=0.02), reviews(), answers(range(worse)), [answers(range(worse, both))], 512, 0.05)
        return settle([*claims, *many_claims(others)], 0.05)[0]

    said = settled(30, 60)
    with verdicts.unexplained():
        for both in pairs:
            least = fewest[-1]
            fewest.append(
                next(
                    (worse for worse in range(min(least, both), both + 1) if settled(worse, both).outcome is Outcome.BLOCK),
                    both + 1,
                )
            )

    def blocks(drop):
        return stats.binom.pmf(pairs, N, 0.06) @ stats.binom.sf(np.array(fewest[1:]) - 1, pairs, (0.06 + drop) / 0.12)

    assert verdicts.where(blocks, 0.02, 0.06) == pytest.approx(said.figures["blockable"], abs=0.001)
    assert said.figures["detectable"] == pytest.approx(0.0191, abs=1e-4)
    shown = f"a true drop shows from 1.9 points on and blocks from {100 * said.figures['blockable']:.1f} points on"
    assert shown in said.message


def test_three_reviews_can_show_nothing_and_say_so():
    """Where no drop would be shown the message says none, and the figure is no number, so that it can be JSON."""
    data, same = reviews(3), answers(n=3)
    (said,) = settle(quality.check(Quality(margin=0.02), data, same, [same], 512, 0.05), 0.05)
    assert (said.figures["detectable"], said.figures["blockable"]) == (None, None)
    assert "a true drop shows from none on" in said.message


@pytest.mark.parametrize("labels", [("neg", "pos"), ("POSITIVE", "NEGATIVE"), ("negative", "neutral", "positive")], ids=str)
def test_cases_expect_a_label_by_any_name_of_its(labels):
    """What the embedded cases expect is the adapter's own label, whatever its case, form and place."""
    usual, found = behaviour.read("embedded", LABELS), behaviour.read("embedded", labels)
    assert {case.expect for case in found} == {None, *labels} - {"neutral"}
    assert all((a.expect or "x").casefold().startswith((b.expect or "x").casefold()[:3]) for a, b in zip(usual, found, strict=True))
    with pytest.raises(DataError, match=r"expect: (Positive|Negative) is no label; labels are LABEL_0, LABEL_1$"):
        behaviour.read("embedded", ("LABEL_0", "LABEL_1"))


def test_cases_are_text_as_people_save_it(tmp_path):
    """With a byte-order mark, CR LF and a suffix in any case; a separator of Unicode's ends no line."""
    cases = [{**CASES[0], "id": ascii(part), "texts": [f"one{part}text"]} for part in "\u2028\u2029\x85"]
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    (tmp_path / "mine.JSONL").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    for source in (tmp_path, tmp_path / "mine.JSONL"):
        assert behaviour.texts(behaviour.read(str(source), LABELS)) == ["one\u2028text", "one\u2029text", "one\x85text"]


def test_a_case_with_a_key_twice_is_refused(tmp_path):
    """The last one would win in silence."""
    (tmp_path / "mine.jsonl").write_text(json.dumps(CASES[0]).replace("{", '{"expect": "Negative", ', 1))
    with pytest.raises(DataError, match=r"mine.jsonl, line 1: two columns of the same name, expect and expect"):
        behaviour.read(str(tmp_path / "mine.jsonl"), LABELS)
