"""Data that show nothing: reviews of one label, repeated ones, those of the training, answers that are not finite."""

from types import SimpleNamespace

import numpy as np
import pytest

from lorasent.data.reviews import read
from lorasent.errors import DataError
from lorasent.gate.context import SharedError, _shared, read_source
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.golden import Golden
from lorasent.gate.policy import Policy
from lorasent.gate.quality import Quality
from lorasent.gate.sections import Data
from lorasent.gate.verdict import judge
from lorasent.report import terminal
from tests.gate.answers import LABELS, always, by_check, film_reviews, first_word_decides, write_cases
from tests.support.in_memory import FORMS
from tests.support.manifests import split


@pytest.mark.parametrize("family", ["[quality]", "[calibration]"])
def test_reviews_of_one_label_judge_nobody(adapters, policy, family):
    """A candidate that always says Positive is right on each: INVALID, and the label that is missing is named."""
    adapters["new"] = always("Positive")
    judged = judge("new", "old", policy(film_reviews(120, 0), family))
    assert judged.outcome is Outcome.INVALID
    assert (
        "films.jsonl: no review is labelled Negative, so a candidate that never answers so would pass" in judged.findings[0].message
    )


@pytest.mark.slow
@pytest.mark.parametrize("bad", range(1, 30, 4))
@pytest.mark.parametrize("metric", ["accuracy", "f1", "mcc"])
def test_who_answers_one_label_only_never_passes(adapters, policy, metric, bad):
    """However rare the other label is, and however wide the margin."""
    adapters["new"] = always("Positive")
    for margin in (0.05, 0.5):
        judged = judge("new", "old", policy(film_reviews(200, bad), f'[quality]\nmetric = "{metric}"\nmargin = {margin}'))
        assert judged.outcome is not Outcome.PASS
    assert judge("old", "old", policy(film_reviews(200, 5))).outcome is Outcome.PASS


def test_a_label_that_is_too_rare_is_named(adapters, policy):
    """With fewer than five reviews of a label nobody passes, not even the baseline itself."""
    judged = judge("old", "old", policy(film_reviews(200, 4)))
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "only 4 reviews are labelled Negative; at least 5 are needed" in by_check(judged)["quality::accuracy"].message


def test_repeated_reviews_count_once(adapters, policy):
    """Six reviews a hundred times decide what six do; that they repeat is told, and so are texts of two labels."""
    six = [(text, label) for text, label in film_reviews(3, 3)]
    once, often = (judge("old", "old", policy(six, "[quality]\n[calibration]", times)) for times in (1, 100))
    assert [(one.check, one.outcome) for one in once.findings] == [
        (one.check, one.outcome) for one in often.findings if one.check != "data::repeats"
    ]
    assert by_check(often)["quality::accuracy"].figures["n"] == 6
    assert "6 of 600 reviews are used: 594 repeat another review, 0 texts have two labels" in terminal.text(
        often, "again", width=1000
    )
    torn = judge("old", "old", policy([*film_reviews(60, 60), ("GOOD  1", "Negative"), ("odd", "Positive"), ("odd ", "Negative")]))
    assert by_check(torn)["quality::accuracy"].figures["n"] == 119
    assert (
        "119 of 123 reviews are used: 2 repeat another review, 2 texts have two labels" in by_check(torn)["data::repeats"].message
    )


def test_repeats_decide_no_slice_and_no_golden(adapters, policy, recorded):
    """Neither has more rows by them."""
    tables, kinds = '[quality]\nmargin = 0.05\nslices = ["kind"]', ["a"] * 120 + ["b"] * 300
    rules = policy([*film_reviews(60, 60), *film_reviews(10, 0) * 30], tables, kind=kinds)
    judged = by_check(judge("old", "old", rules))
    assert judged["quality::slice::kind::a"].figures["n"] == 120
    assert "quality::slice::kind::b" not in judged
    golden = Policy(golden=Golden(predictions=recorded([("good", 1)] * 50 + [("bad", 0)])))
    assert by_check(judge("new", "old", golden))["golden::model"].figures["n"] == 2


@pytest.mark.parametrize("trained", ["new", "old"])
@pytest.mark.parametrize("by", ["hash", "source"])
def test_reviews_that_trained_one_of_them_are_invalid(adapters, policy, trained, by):
    """Whose manifest names them as its training data, by hash or by source, whole as they were read."""
    rules = policy(film_reviews(60, 60))
    whole = read(rules.data.test, LABELS)
    adapters[f"{trained} manifest"] = {
        "data": {"train": split(sha256=whole.fingerprint) if by == "hash" else split(rules.data.test)}
    }
    judged = judge("new", "old", rules)
    assert (judged.outcome, judged.findings[0].cause) == (Outcome.INVALID, "trained-on")
    assert judged.findings[0].message.endswith(f"these reviews trained {trained}")


FILMS = film_reviews(60, 60)
TEXTS, IDS = [text for text, _ in FILMS], [LABELS.index(label) for _, label in FILMS]
OTHER = film_reviews(3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read_first", [True, False], ids=["policy", "policy's path"])
def test_each_form_of_reviews_in_memory_is_judged_as_the_file(adapters, policy, tmp_path, form, read_first):
    """They take the place of the policy's reviews, and its other keys hold. So does a source that is named."""
    expected = judge("new", "old", policy(FILMS, "[quality]\nmin = 0.9"))
    rules = policy(OTHER, "[quality]\nmin = 0.9")
    assert judge("new", "old", rules) != expected
    rules = rules if read_first else tmp_path / "gate.toml"
    assert judge("new", "old", rules, FORMS[form](TEXTS, IDS)) == expected
    rows = "".join(f'{{"text": "{text}", "label": {label}}}\n' for text, label in zip(TEXTS, IDS, strict=True))
    (tmp_path / "mine.jsonl").write_text(rows)
    assert (
        judge("new", "old", rules, tmp_path / "mine.jsonl") == judge("new", "old", rules, str(tmp_path / "mine.jsonl")) == expected
    )


def test_a_policy_needs_no_data_where_reviews_are_in_memory(adapters, tmp_path):
    """Its precision and the like are then the defaults."""
    (tmp_path / "gate.toml").write_text("[quality]\nmargin = 0.05")
    for rules in (tmp_path / "gate.toml", Policy(quality=Quality(margin=0.05))):
        judged = judge("new", "old", rules, FILMS)
        assert (judged.outcome, judged.evidence["data"]) == (Outcome.PASS, read(FILMS, LABELS).fingerprint)


def test_a_policys_sample_and_skip_empty_hold_for_reviews_in_memory(adapters, policy):
    """As for a source."""
    rules = policy(OTHER)
    rules = rules.model_copy(update={"data": rules.data.model_copy(update={"sample": 20, "seed": 1, "skip_empty": True})})
    given = rules.on([*FILMS, (None, 1)])
    assert (given.data.test, rules.data.reviews) == ("reviews in memory", rules.data.test)
    judged = judge("new", "old", given)
    assert judged.evidence["data"] == read(FILMS, LABELS).sample(20, 1, LABELS).fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([("good", 1), ("", 0)], "reviews in memory: column text, row 2: expected a text, found nothing; leave such rows out"),
        ([("good", 1), ("bad", None)], "reviews in memory: column label, row 2: unknown label ''; expected Negative, Positive"),
        ([], "reviews in memory: holds no reviews"),
        ("", "expected a source of reviews as a str or a Path, found ''"),
        (7, "expected a source of reviews as a str or a Path, found '7' (int); in memory, reviews are a list of pairs"),
    ],
    ids=["empty text", "no label", "no reviews", "empty name", "number"],
)
def test_faults_of_reviews_in_memory_are_invalid(adapters, policy, data, message):
    """As those of a file are."""
    judged = judge("new", "old", policy(OTHER), data)
    assert (judged.outcome, judged.findings[0].check) == (Outcome.INVALID, "data")
    assert judged.findings[0].message.startswith(message)


@pytest.mark.parametrize("by", ["hash", "source"])
def test_reviews_in_memory_that_trained_are_invalid(adapters, policy, by):
    """They are known by their hash, which their source has too; other reviews in memory are not."""
    whole = read(FILMS, LABELS)
    adapters["new manifest"] = {"data": {"train": split(sha256=whole.fingerprint) if by == "hash" else split(whole.source)}}
    judged = judge("new", "old", policy(OTHER), FILMS)
    assert (judged.outcome, judged.findings[0].cause) == (Outcome.INVALID, "trained-on")
    assert judge("new", "old", policy(OTHER), FILMS[1:]).outcome is Outcome.PASS


def test_reviews_that_chose_an_epoch_are_told(adapters, policy):
    """They flatter whose epoch they chose; the terminal says so, and the verdict stands."""
    rules = policy(film_reviews(60, 60))
    adapters["new manifest"] = {"data": {"validation": split(sha256=read(rules.data.test, LABELS).fingerprint)}}
    judged = judge("new", "old", rules)
    assert judged.outcome is Outcome.PASS
    assert "these reviews chose the epoch of new" in terminal.text(judged, "again", width=1000)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("tables", ["[quality]", "[calibration]", '[behaviour]\ntriggers = false\ncases = "cases.jsonl"'])
def test_answers_that_are_not_finite_decide_nothing(adapters, policy, tmp_path, tables, number):
    """They would be the first label: the candidate's block, a baseline's are INVALID."""
    write_cases(tmp_path, 20)
    for name, outcome in (("new", Outcome.BLOCK), ("old", Outcome.INVALID)):
        adapters.clear()
        adapters[name] = lambda texts: [number, *first_word_decides(texts[1:])]
        judged = judge("new", "old", policy(film_reviews(60, 60), tables))
        assert (judged.outcome, judged.findings[0].cause) == (outcome, "not-finite")


def test_findings_about_the_data_are_whole(adapters, policy):
    """What trained whom, whose epoch was chosen, and what repeats: check, cause, message, advice and figures."""
    rules = policy(film_reviews(60, 60), times=2)
    whole = read(rules.data.test, LABELS)
    for name in ("new", "old"):
        adapters[f"{name} manifest"] = {"data": {"train": split(sha256=whole.fingerprint)}}
    judged = by_check(judge("new", "old", rules))
    advice, begin = "give reviews that trained neither candidate nor baseline", f"{whole.source}: according to their manifests, "
    message = begin + "these reviews trained new, old"
    assert judged["data::training"] == Finding("data::training", Outcome.INVALID, "trained-on", message, advice)
    message = "120 of 240 reviews are used: 120 repeat another review, 0 texts have two labels"
    assert judged["data::repeats"] == Finding("data::repeats", Outcome.PASS, "repeats", message, figures={"reviews": 120})
    for name in ("new", "old"):
        adapters[f"{name} manifest"] = {"data": {"validation": split(sha256=whole.fingerprint)}}
    message = begin + "these reviews chose the epoch of new, old"
    found = by_check(judge("new", "old", rules))["data::validation"]
    assert found == Finding("data::validation", Outcome.PASS, "validated-on", message, "")


def test_a_source_is_read_as_the_policy_says(tmp_path):
    """Empty texts are skipped where it says so; where every text has two labels, nothing is left."""
    path = tmp_path / "films.csv"
    path.write_text("text,label\ngood,Positive\n,Negative\nbad,Negative\n")
    assert read_source(Data(test=str(path), skip_empty=True), LABELS).reviews.texts == ["good", "bad"]
    path.write_text("text,label\ngood,Positive\ngood,Negative\n")
    with pytest.raises(DataError, match=rf"^{path}: every text has two labels$"):
        read_source(Data(test=str(path)), LABELS)


def test_a_shared_value_is_read_once_and_so_is_its_error():
    """Each family that needs it gets the same; an error that was shared before is passed on."""
    context, calls, reason = SimpleNamespace(kept={}), [], ValueError("x")
    once = _shared(lambda given: calls.append(given) or 7)
    assert ([once(context), once(context)], calls) == ([7, 7], [context])

    def failing(_):
        calls.append("failed")
        raise reason

    failing_once, raised = _shared(failing), []
    for read_it in (failing_once, failing_once, _shared(failing_once)):
        with pytest.raises(SharedError, match=r"^x$") as found:
            read_it(context)
        raised.append(found.value)
    assert (raised[0].reason, raised[1:], calls[1:]) == (reason, [raised[0]] * 2, ["failed"])
