"""Predictions of another system: read by id, judged as adapters are, and never taken for a full PASS."""

import json
import re
import sys
from pathlib import Path

import datasets
import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import Predictions
from lorasent.data import labelled
from lorasent.data.reviews import Reviews
from lorasent.errors import PredictionsError
from lorasent.gate import verdict as verdicts
from lorasent.gate.finding import NOT_CHECKED, Outcome
from lorasent.gate.integrity.checks import CHECKS
from lorasent.gate.verdict import Verdict, judge, judged
from lorasent.report import details, markdown, page, terminal
from lorasent.scoring.predictions import IDENTITY, PredictedSubject, subjects
from tests.gate.answers import LABELS, by_check, film_reviews, first_word_decides, write_cases
from tests.gate.conftest import StubAdapter
from tests.studies import large
from tests.studies.planted import ROOT

TABLES = '[quality]\nmargin = 0.25\nslices = ["genre"]\n[calibration]\nmax_brier_increase = 0.2\nmax_log_loss_increase = 0.5'
FILMS = film_reviews(60, 60)
IDS = [f"film {row}" for row in range(len(FILMS))]
GENRES = ["noir", "western"] * 60


def misread(texts):
    """A reader that is less sure than `first_word_decides`, and wrong on each text that ends in 7."""
    margins = np.array(first_word_decides(texts)) * 0.7
    return np.where([text.endswith("7") for text in texts], -margins, margins).tolist()


def answered(reader, texts=None):
    """The logits of a reader, (N, 2)."""
    margins = np.array(reader([text for text, _ in FILMS] if texts is None else texts), dtype=np.float32)
    return np.stack([-margins, margins], axis=1)


def probabilities(logits):
    """The softmax of logits."""
    shares = np.exp(logits.astype(np.float64))
    return shares / shares.sum(axis=1, keepdims=True)


def columns_of(form, logits, ids=None):
    """The columns of predictions in one of the forms."""
    shares = probabilities(logits)
    named = {label: shares[:, number] for number, label in enumerate(LABELS)}
    decided = [LABELS[row] for row in logits.argmax(axis=1)]
    forms = {
        "logits": {"logits": logits.tolist()},
        "probabilities": {"probabilities": shares.tolist()},
        "a column a label": named,
        "bulk": {"label": decided, "probability": shares.max(axis=1), **named},
        "labels alone": {"label": decided},
    }
    return {"id": IDS if ids is None else ids, **forms[form]}


def write(path, columns, identity='{"name": "API 2", "labels": ["Negative", "Positive"]}'):
    """Writes Parquet, or JSONL, of these columns."""
    if path.suffix == ".parquet":
        table = pa.table(columns)
        pq.write_table(table.replace_schema_metadata({IDENTITY: identity} if identity else None), path)
    else:
        rows = zip(*(column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()), strict=True)
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
    return str(path)


@pytest.fixture
def films(policy):
    """A function that returns a policy on the reviews with ids and genres."""

    def make(tables=TABLES, **columns):
        return policy(FILMS, tables, **{"id": IDS, "genre": GENRES, **columns})

    return make


@pytest.fixture
def pair(tmp_path):
    """A function that writes the predictions of both readers in a form, and returns candidate and baseline."""

    def make(form="logits", **identity):
        readers = {"new": misread, "old": first_word_decides}
        paths = [
            write(tmp_path / f"{name}.parquet", columns_of(form, answered(reader)), **identity) for name, reader in readers.items()
        ]
        return [Predictions(path) for path in paths]

    return make


# --- what is judged ---


@pytest.mark.parametrize("form", ["logits", "probabilities", "a column a label", "bulk"])
def test_predictions_of_two_adapters_give_the_figures_of_the_adapters(adapters, films, pair, form):
    """Every figure and outcome of quality and calibration, whatever the form; probabilities to rounding."""
    adapters["new"] = misread
    expected, found = judge("new", ["old"], films()), judge(*pair(form), films())
    families = ("quality", "calibration")
    known = {check: each for check, each in by_check(expected).items() if check.startswith(families)}
    mine = {check: each for check, each in by_check(found).items() if check.startswith(families)}
    assert len(known) == 7
    assert {check: each.outcome for check, each in mine.items()} == {check: each.outcome for check, each in known.items()}
    for check, each in known.items():
        assert flat(mine[check].figures) == pytest.approx(flat(each.figures), rel=1e-5, abs=1e-6), check


def flat(figures):
    """The numbers among figures, by name."""
    nested = {f"{name}.{inner}": value for name, each in figures.items() if isinstance(each, dict) for inner, value in each.items()}
    return {name: value for name, value in {**figures, **nested}.items() if isinstance(value, int | float)}


def test_the_order_of_rows_is_none_of_the_verdict(films, pair):
    """Rows in another order, split into files of a folder, give the same findings."""
    new, old = pair()
    expected = judge(new, old, films())
    table, folder = pq.read_table(new.path), films().data.test.replace("films.jsonl", "shards")
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(len(IDS))))
    Path(folder).mkdir()
    for number, start in enumerate(range(0, len(IDS), 50)):
        pq.write_table(mixed.slice(start, 50), f"{folder}/part-{number}.parquet")
    for path in (folder, f"{folder}/part-*.parquet"):
        assert judge(Predictions(path), old, films()).findings == expected.findings


@pytest.mark.parametrize("sample", [120, 60])
def test_a_sample_of_the_reviews_is_judged_by_its_own_predictions(films, pair, tmp_path, sample):
    """A sample is shuffled: each of its rows is joined to its own prediction, also where it has every row."""
    made = films()
    made = made.model_copy(update={"data": made.data.model_copy(update={"sample": sample})})
    _, old = pair()
    figures = by_check(judge(old, old, made))["quality::accuracy"].figures
    assert (figures["n"], figures["candidate"]) == (sample, 1.0)


def test_labels_alone_have_no_calibration(films, pair):
    """Accuracy is judged; calibration is listed as not checked, and the page shows no probability."""
    verdict, context = judged(*pair("labels alone"), films())
    found = by_check(verdict)
    assert found["calibration::brier"].message == "not checked: the predictions are labels without probabilities"
    assert found["quality::accuracy"].figures["worse"] == 12
    shown = page.page(verdict, "again", details.collect(verdict, context, films()), films())
    assert "<h2>Reviews that flipped" in shown
    assert '<th scope="row">f1</th>' in shown
    assert '<th scope="row">brier</th>' not in shown
    assert "100.0\N{NO-BREAK SPACE}%" not in shown.partition("<h2>Reviews that flipped")[2].partition("</section>")[0]
    assert "%" not in markdown.summary(verdict, context).partition("newly go wrong")[2].partition("<details>")[0]


def test_repeated_texts_count_once(adapters, policy, tmp_path):
    """As with adapters: a text that is there twice is one review, one with two labels is none, and the verdict says so."""
    reviews = [*FILMS, FILMS[0], ("good again", "Positive"), ("good again", "Negative")]
    ids = [str(row) for row in range(len(reviews))]
    path = write(tmp_path / "one.parquet", columns_of("logits", answered(first_word_decides, [text for text, _ in reviews]), ids))
    made = policy(reviews, "[quality]\nmargin = 0.1", id=ids)
    expected, found = judge("new", ["old"], made), judge(Predictions(path), Predictions(path), made)
    for check in ("data::repeats", "quality::accuracy"):
        assert by_check(found)[check] == by_check(expected)[check]


def test_a_bank_of_predictions_is_a_bank(films, pair, tmp_path):
    """Retraining is judged by it, and the verdict says that nobody verified that they are retrains."""
    new, old = pair()
    others = [
        write(tmp_path / f"seed-{seed}.parquet", columns_of("logits", answered(first_word_decides) * (1 + seed / 10)))
        for seed in (1, 2)
    ]
    found = by_check(judge(new, [old, *map(Predictions, others)], films()))
    assert "99.5 % of retrains would score" in found["quality::retraining"].message
    assert found["baseline::retrains"].cause == NOT_CHECKED
    twice = judge(new, [old, Predictions(others[0]), Predictions(others[0])], films())
    assert (twice.outcome, twice.findings[0].cause) == (Outcome.INVALID, "baseline")


# --- pairs of an adapter and predictions ---


def test_an_adapter_is_judged_against_predictions(adapters, films, pair, tmp_path):
    """Its own files, cases and limits are asked; what would compare models is said not to be."""
    write_cases(tmp_path, 10)
    made = films(f'{TABLES}\n[behaviour]\ncases = "cases.jsonl"\ntriggers = false\nmax_failed = {{all = 0.3}}')
    _, old = pair()
    verdict = judge("new", [old], made)
    found = by_check(verdict)
    assert verdict.outcome is Outcome.PASS
    assert found["integrity::files"].cause == "sound"
    assert found["behaviour::all"].message == ("not compared: the baseline is predictions of another system; 0 of 10 cases fail")
    assert found["behaviour::all::failed"].figures["cases"] == 10
    assert verdict.predictions == {old.path: "API 2"}


def test_predictions_are_judged_against_an_adapter(adapters, films, pair, tmp_path):
    """By the adapter's labels, in the adapter's order; what asks a model is not checked."""
    write_cases(tmp_path, 10)
    made = films(f'{TABLES}\n[behaviour]\ncases = "cases.jsonl"\n[cost]\n[golden]\npredictions = "none.json"')
    backwards = answered(misread)[:, ::-1]
    path = write(tmp_path / "api.parquet", columns_of("logits", backwards), '{"name": "API", "labels": ["positive", "negative"]}')
    verdict = judge(Predictions(path), ["old"], made)
    found = by_check(verdict)
    assert found["quality::accuracy"].figures["worse"] == 12
    unasked = [*(f"integrity::{name}" for name in CHECKS), "behaviour", "behaviour::triggers", "cost::flops", "golden::model"]
    assert {found[check].cause for check in unasked} == {NOT_CHECKED}
    assert "of another system" in found["behaviour"].message


def test_slices_by_tokens_need_an_adapter(adapters, films, pair):
    """Predictions have no lengths in tokens: not checked, or measured by the adapter on the other side."""
    made = films('[quality]\nmargin = 0.1\nslices = ["length", "genre"]\nmin = 0.5')
    new, old = pair()
    assert by_check(judge(new, old, made))["quality::slice::length"].cause == NOT_CHECKED
    assert by_check(judge(new, [], made))["quality::slice::length"].cause == NOT_CHECKED
    assert by_check(judge(new, ["old"], made))["quality::slice::length"].figures["values"] == 4


# --- what the verdict says ---


def test_a_pass_of_predictions_is_no_full_pass(films, pair):
    """The first line, the page, the Markdown and the JSON say what was not asked, and which system was declared."""
    verdict, context = judged(*pair(), films())
    assert verdict.outcome is Outcome.PASS
    first = terminal.text(verdict, "again").splitlines()[0]
    assert first.startswith("PASS: ")
    assert first.endswith("(predictions: integrity was not asked)")
    shown = page.page(verdict, "again", details.collect(verdict, context, films()), films())
    assert "Every check that predictions can answer passed; what made them, and its files, were not asked." in shown
    assert "API 2" in shown
    summary = markdown.summary(verdict, context)
    assert "PASS: the candidate may replace the baseline (predictions: integrity was not asked)" in summary
    assert "predictions of another system, declared as `API 2`" in summary
    content = json.loads(json.dumps(verdict.to_json()))
    assert set(content["predictions"].values()) == {"API 2"}
    assert Verdict.from_json(content).to_json() == verdict.to_json()
    assert {each.cause for each in verdict.findings if each.check.startswith("integrity")} == {NOT_CHECKED}


def test_nothing_checked_is_invalid(films, pair):
    """A policy that asks models alone would pass any predictions."""
    verdict = judge(*pair(), films("[behaviour]\ntriggers = false\n[cost]"))
    assert (verdict.outcome, verdict.findings[0].cause) == (Outcome.INVALID, "predictions")
    assert verdict.findings[0].message.startswith("nothing was checked: predictions can be asked only for [quality]")


def test_a_policy_that_requires_manifests_refuses_predictions(adapters, films, pair):
    """BLOCK of a candidate, INVALID of a baseline, as with adapters that nobody sealed."""
    made = films(f'{TABLES}\n[integrity]\nmanifest = "required"')
    new, old = pair()
    found = [judge(new, ["old"], made), judge("new", [old], made)]
    assert [(each.outcome, each.findings[0].cause) for each in found] == [
        (Outcome.BLOCK, "not-sealed"),
        (Outcome.INVALID, "not-sealed"),
    ]


def test_first_predictions_are_held_to_the_floor(films, pair):
    """Without a baseline, as a first adapter."""
    new, _ = pair()
    found = by_check(judge(new, (), films("[quality]\nmin = 0.7")))
    assert found["quality::floor"].outcome is Outcome.PASS
    assert found["quality::accuracy"].message == "not compared: no baseline; accuracy 90 % on 120 reviews"


# --- refusals ---

GOOD = columns_of("logits", answered(misread))
SHARES = columns_of("a column a label", answered(misread))
ROWS = len(IDS)


def changed(columns, **cells):
    """The columns, with the first cells of some replaced."""
    return {name: [*cells.get(name, []), *list(values)[len(cells.get(name, [])) :]] for name, values in columns.items()}


REFUSED = {
    "one id is missing": (
        {name: list(cells)[1:] for name, cells in GOOD.items()},
        "1 of 120 ids of .*films.jsonl have no prediction, such as film 0$",
    ),
    "one id is another": (
        changed(GOOD, id=["film x"]),
        "have no prediction, such as film 0; 1 predictions are of no id of .*films.jsonl, such as film x$",
    ),
    "an id is there twice": (changed(GOOD, id=["film 1"]), "row 2: a second prediction of film 1$"),
    "an id is there twice, far apart": (
        {name: [*cells, next(iter(cells))] for name, cells in GOOD.items()},
        "row 121: a second prediction of film 0$",
    ),
    "an id is missing": (changed(GOOD, id=[None]), "column id, row 1: expected an id of at most 1,000 characters, found nothing"),
    "an id is long": (changed(GOOD, id=["x" * 1001]), "row 1: expected an id .* found one of 1,001 characters"),
    "ids are fractions": ({**GOOD, "id": np.arange(ROWS) / 2}, "expected ids that are texts or whole numbers, found double"),
    "no column of ids": ({"logits": GOOD["logits"]}, "expected the columns id and logits or probabilities"),
    "nothing but ids": ({"id": IDS}, "expected the columns id and .* or label; found id$"),
    "one label has no column": ({"id": IDS, "Negative": [0.5] * ROWS}, r"one for each label \(Negative, Positive\)"),
    "a logit is infinite": (changed(GOOD, logits=[[1.0, float("inf")]]), "row 1: a logit that is missing, or no finite number"),
    "a logit is missing": (changed(GOOD, logits=[[1.0, None]]), "row 1: a logit that is missing"),
    "a row has three logits": (changed(GOOD, logits=[[1.0, 2.0, 3.0]]), "row 1: expected 2 numbers, one for each label, found 3"),
    "a row has no logits": (changed(GOOD, logits=[None]), "row 1: expected 2 numbers, one for each label, found 0"),
    "logits are no lists": ({**GOOD, "logits": [1.0] * ROWS}, "expected lists of 2 numbers, found double"),
    "probabilities do not sum to 1": (changed(SHARES, Positive=[0.2]), "row 1: expected probabilities from 0 to 1 whose sum is 1"),
    "a probability is negative": (changed(SHARES, Positive=[1.5], Negative=[-0.5]), "row 1: expected probabilities from 0 to 1"),
    "probabilities of many rows are missing": (
        changed(SHARES, Positive=[None, None]),
        "row 1: a probability that is missing, or no finite number, and in 1 more of the next 120 rows",
    ),
    "probabilities are texts": ({**SHARES, "Positive": ["much"] * ROWS}, "column Positive: expected numbers: "),
    "probabilities are yes and no": ({**SHARES, "Positive": [True] * ROWS}, "column Positive: expected numbers, found bool"),
    "a label is unknown": ({"id": IDS, "label": ["Neutral"] * ROWS}, "row 1: unknown label 'Neutral'; expected Negative, Positive"),
    "the label is not the largest": ({**SHARES, "label": ["Negative"] * ROWS}, "label is not the label of the largest number"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_predictions_that_cannot_be_joined_or_read_are_invalid(films, pair, tmp_path, case):
    """In one line that names file and row; the candidate is not blocked."""
    columns, message = REFUSED[case]
    path = write(tmp_path / "bad.parquet", columns)
    verdict = judge(Predictions(path), pair()[1], films())
    assert (verdict.outcome, verdict.exit_code) == (Outcome.INVALID, 4)
    first = verdict.findings[0]
    assert (first.check, first.cause) == ("predictions", "predictions")
    assert "\n" not in first.message
    assert re.search(message, first.message), first.message


DECLARED = {
    "nothing": (None, "which system made it is not declared: give an identity"),
    "broken JSON": ("{", "lorasent.identity in its metadata: not valid JSON"),
    "no name": ('{"labels": ["a", "b"]}', 'expected a JSON object with a "name"'),
    "one label twice": ('{"name": "x", "labels": ["a", "A"]}', "expected names that differ in more than case"),
    "other labels": (
        '{"name": "x", "labels": ["a", "b"]}',
        "its labels are a, b, the other side's Negative, Positive: they must be",
    ),
    "no labels": ("API 2", "names no labels: give --labels, or labels in lorasent.identity"),
    "megabytes": ("x" * 70_000, "has 70,000 bytes; at most 65,536 are read"),
}


@pytest.mark.parametrize("case", DECLARED)
def test_who_made_predictions_and_their_labels_are_declared(adapters, films, tmp_path, case):
    """A file that does not say it, or says it twice, is INVALID."""
    identity, message = DECLARED[case]
    candidate = Predictions(write(tmp_path / "some.parquet", GOOD, identity))
    baselines = ["old"] if case == "other labels" else []
    found = judge(candidate, baselines, films("[quality]\nmin = 0.6")).findings[0]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "predictions")
    assert message in found.message


def test_what_bulk_scoring_wrote_says_who_made_it(films, tmp_path):
    """A folder of `lorasent predict`: every shard has the adapter's hash and labels beside what is its own."""
    (tmp_path / "shards").mkdir()
    table = pa.table(columns_of("logits", answered(misread)))
    for number, start in enumerate((0, 70)):
        about = {"adapter": "abc", "labels": LABELS, "made_on": "cpu, fp32", "threads": number, "shard": {"first_row": start}}
        shard = table.slice(start, 70).replace_schema_metadata({"lorasent": json.dumps(about)})
        pq.write_table(shard, tmp_path / "shards" / f"{number}.parquet")
    (tmp_path / "shards" / "_SUCCESS.json").write_text("{}")
    verdict = judge(Predictions(tmp_path / "shards"), (), films("[quality]\nmin = 0.7"))
    assert verdict.outcome is Outcome.PASS
    assert [*verdict.predictions.values()] == ["adapter abc, made_on: cpu, fp32"]


def test_damaged_parquet_is_one_line(films, pair, tmp_path):
    """Ids that are no UTF-8, and a page whose bytes were changed."""
    path = tmp_path / "bad.parquet"
    ids = pa.array([b"\xff", *(name.encode() for name in IDS[1:])], pa.binary()).view(pa.string())
    write(path, {"id": ids, "logits": GOOD["logits"]})
    found = judge(Predictions(path), pair()[1], films()).findings[0]
    assert (found.cause, "unreadable" in found.message) == ("predictions", True)
    content = bytearray(Path(write(path, GOOD)).read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    found = judge(Predictions(path), pair()[1], films()).findings[0]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "predictions")
    assert "\n" not in found.message


def test_a_label_that_is_a_number_is_in_the_order_of_its_own_file(films, pair, tmp_path):
    """Two files that number their labels differently are compared by the labels that they mean."""
    numbers = 1 - answered(misread).argmax(axis=1)
    path = write(tmp_path / "own.parquet", {"id": IDS, "label": numbers}, '{"name": "B", "labels": ["Positive", "Negative"]}')
    figures = by_check(judge(pair()[1], Predictions(path), films("[quality]\nmargin = 0.25")))["quality::accuracy"].figures
    assert (figures["incumbent"], figures["candidate"]) == (0.9, 1.0)


def test_true_labels_that_are_numbers_need_sides_that_number_alike(films, pair, tmp_path):
    """Otherwise the order of the sides would decide what is true. Names may stand in any order."""
    path = write(
        tmp_path / "own.parquet",
        columns_of("logits", answered(misread)[:, ::-1]),
        '{"name": "B", "labels": ["Positive", "Negative"]}',
    )
    numbers = [{"id": film, "text": text, "label": LABELS.index(label)} for film, (text, label) in zip(IDS, FILMS, strict=True)]
    made = films("[quality]\nmargin = 0.25")
    assert judge(Predictions(path), pair()[1], made).outcome is Outcome.PASS
    found = judge(Predictions(path), pair()[1], made, data=numbers).findings[0]
    assert found.outcome is Outcome.INVALID
    assert "its labels are numbers" in found.message


def test_predicted_labels_are_not_taken_for_the_true_ones(films, tmp_path):
    """A file that is both: its column `label` may be one of the two, or every prediction would be right."""
    columns = {"id": IDS, "label": [LABELS[row] for row in answered(misread).argmax(axis=1)], "true": [name for _, name in FILMS]}
    path = write(tmp_path / "both.parquet", columns)
    made = films("[quality]\nmin = 0.5")
    found = judge(Predictions(path), (), made, data=path).findings[0]
    assert (found.outcome, "name the true ones by label_column" in found.message) == (Outcome.INVALID, True)
    made = made.model_copy(update={"data": made.data.model_copy(update={"label_column": "true"})})
    assert by_check(judge(Predictions(path), (), made, data=path))["quality::floor"].figures["score"] == 0.9


def test_what_is_declared_and_given_agrees(films, pair, tmp_path):
    """Other labels than the file's, one file as two systems, and an identity that is no text are INVALID."""
    new, _ = pair()
    one = write(tmp_path / "one.jsonl", GOOD)
    cases = {
        "declares the labels Negative, Positive, other ones were given: Good, Bad": (
            Predictions(new.path, labels=["Good", "Bad"]),
            new,
        ),
        "is named twice": (Predictions(one, "A", LABELS), Predictions(one, "B", LABELS)),
        "identity: expected a text, found 5": (Predictions(one, 5, LABELS), new),
    }
    for message, sides in cases.items():
        found = judge(*sides, films()).findings[0]
        assert (found.outcome, message in found.message) == (Outcome.INVALID, True), found.message


def test_adapters_behind_predictions_have_the_candidates_labels(adapters, films, pair, monkeypatch):
    """No check of retrains compares them with the first baseline, and their answers are in their own order."""
    backwards = StubAdapter("old")
    backwards.labels = LABELS[::-1]
    monkeypatch.setattr(verdicts, "subject", lambda *_: backwards)
    found = judge("new", [pair()[1], "old"], films()).findings[0]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "predictions")
    assert found.message.startswith("old: its labels are Positive, Negative, the other side's Negative, Positive")


def test_labels_are_decided_before_numbers_are_rounded(films, pair, tmp_path):
    """Two numbers that are equal in 32 bits, but not in the file's 64."""
    near = np.full((len(IDS), 2), 20.0)
    near[np.arange(len(IDS)), answered(misread).argmax(axis=1)] += 1e-7
    path = write(tmp_path / "near.parquet", {"id": IDS, "logits": near.tolist()})
    assert (
        by_check(judge(Predictions(path), pair()[1], films("[quality]\nmargin = 0.25")))["quality::accuracy"].figures["worse"] == 12
    )


def test_predictions_that_change_while_they_are_read_are_invalid(films, pair):
    """The hash in the verdict is of other rows than those that were judged."""
    new, old = pair()
    made = PredictedSubject(new)
    made.use_labels(LABELS)
    Path(new.path).write_bytes(Path(old.path).read_bytes())
    whole = labelled.read(films().data.test, LABELS)
    with pytest.raises(PredictionsError, match="changed while it was read"):
        made.answer(whole)


def test_a_saved_data_set_keeps_its_columns(films, pair, tmp_path):
    """Slices by a column of a source whose reader reads the chosen columns alone; a column of objects is refused in one line."""
    cells = {"id": IDS, "label": [label for _, label in FILMS], "genre": GENRES, "nested": [{"a": 1}] * len(IDS)}
    datasets.Dataset.from_dict(cells).save_to_disk(str(tmp_path / "saved"))
    made = films('[quality]\nmargin = 0.25\nslices = ["genre"]')
    assert by_check(judge(*pair(), made, data=str(tmp_path / "saved")))["quality::slice::genre"].figures["checked"] == 2
    made = films('[quality]\nmargin = 0.25\nslices = ["nested"]')
    found = judge(*pair(), made, data=str(tmp_path / "saved")).findings[0]
    assert (found.outcome, "column nested: " in found.message) == (Outcome.INVALID, True)


def test_a_declared_identity_is_in_words(tmp_path):
    """Its name, then what else was declared; it is part of the hash, and no option replaces it."""
    identity = json.dumps({"name": "API", "version": 2, "asked": "1 May", "labels": [*LABELS]})
    path = write(tmp_path / "a.parquet", GOOD, identity)
    made = PredictedSubject(Predictions(path))
    assert made.declared == "API, asked: 1 May, version: 2"
    rows = write(tmp_path / "a.jsonl", GOOD)
    assert PredictedSubject(Predictions(rows, "API")).identity != PredictedSubject(Predictions(rows, "other")).identity
    with pytest.raises(PredictionsError, match="declares its system already"):
        PredictedSubject(Predictions(path, "another"))
    write(tmp_path / "b.parquet", GOOD, "another")
    with pytest.raises(PredictionsError, match="its files declare different systems"):
        PredictedSubject(Predictions(tmp_path))


@pytest.mark.parametrize("name", ["nowhere.parquet", "a\0b", "", "empty"])
def test_a_path_without_predictions_is_refused(films, tmp_path, name):
    """A file that is not there, no name, a folder without Parquet files."""
    (tmp_path / "empty").mkdir()
    path = str(tmp_path / name) if name and "\0" not in name else name
    found = judge(Predictions(path, "x"), (), films("[quality]\nmin = 0.6")).findings[0]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "predictions")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    """In one line."""
    (tmp_path / "x.parquet").write_text("no Parquet")
    with pytest.raises(PredictionsError, match="not a readable Parquet file"):
        PredictedSubject(Predictions(tmp_path / "x.parquet", "x"))


def test_a_baseline_that_cannot_be_opened_is_invalid(films, pair, tmp_path):
    """As a baseline that is an adapter."""
    found = judge(pair()[0], Predictions(tmp_path / "none.parquet", "x"), films()).findings[0]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "baseline")


def test_the_data_need_ids(policy, pair):
    """One for each review, each once; the message says what there is."""
    message = by_check(judge(*pair(), policy(FILMS, TABLES, genre=GENRES)))["data"].message
    assert "no column id, by which predictions are joined to labels; it has text, label, genre" in message
    message = by_check(judge(*pair(), policy(FILMS, TABLES, genre=GENRES, id=[*IDS[:-1], IDS[0]])))["data"].message
    assert "1 ids occur again, such as film 0 in rows 1 and 120: give each id once" in message


@pytest.mark.parametrize("ids", [None, [*IDS[:-1], IDS[0]]], ids=["none", "twice"])
def test_the_data_need_ids_beside_an_adapter_too(adapters, policy, pair, ids):
    """Then texts are read, and joined by the same column."""
    made = policy(FILMS, "[quality]\nmargin = 0.1", **({} if ids is None else {"id": ids}))
    verdict = judge("new", [pair()[1]], made)
    assert (verdict.outcome, verdict.findings[0].cause) == (Outcome.INVALID, "predictions")


# --- forms ---


@pytest.mark.parametrize("end", ["jsonl", "csv"])
def test_predictions_in_rows_are_read_too(films, pair, tmp_path, end):
    """JSONL and CSV, whose identity and labels are given; whole numbers and texts of digits are the same ids."""
    made = films(id=list(range(ROWS)))
    columns = {**SHARES, "id": range(ROWS)}
    path = tmp_path / f"rows.{end}"
    if end == "csv":
        rows = zip(*columns.values(), strict=True)
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))
    else:
        write(path, {**columns, "id": [*range(60), *map(str, range(60, ROWS))]})
    verdict = judge(
        Predictions(path, "rows", LABELS), (), made.model_copy(update={"quality": made.quality.model_copy(update={"min": 0.7})})
    )
    assert by_check(verdict)["quality::floor"].figures["score"] == 0.9


def test_one_file_may_hold_labels_and_predictions(tmp_path):
    """The policy names it as its data, too, with the column of true labels."""
    path = write(tmp_path / "both.parquet", {**SHARES, "true": [label for _, label in FILMS]})
    (tmp_path / "gate.toml").write_text('[data]\ntest = "both.parquet"\nlabel_column = "true"\n[quality]\nmin = 0.7')
    assert judge(Predictions(path), (), tmp_path / "gate.toml").outcome is Outcome.PASS


@pytest.mark.parametrize("kind", ["columns", "Reviews"])
def test_the_data_may_be_in_memory(films, pair, kind):
    """Columns, or reviews that were read."""
    texts, labels = zip(*FILMS, strict=True)
    numbers = np.array([LABELS.index(label) for label in labels])
    given_data = {
        "columns": {"id": IDS, "label": list(labels), "genre": GENRES},
        "Reviews": Reviews("mine", list(texts), numbers, {"id": IDS, "genre": GENRES}, names=LABELS),
    }[kind]
    found = by_check(judge(*pair(), films(), given_data))
    assert found["quality::slice::genre"].figures["checked"] == 2


def test_equal_probabilities_are_decided_by_the_label(films, tmp_path):
    """A tie has the label that the file names."""
    columns = {"id": IDS, "label": ["Positive"] * ROWS, "Negative": [0.5] * ROWS, "Positive": [0.5] * ROWS}
    made = PredictedSubject(Predictions(write(tmp_path / "ties.parquet", columns)))
    made.use_labels(LABELS)
    assert (made.answer(labelled.read(films().data.test, LABELS)).logits.argmax(axis=1) == 1).all()


def test_skipped_and_list_columns(policy, pair):
    """Rows without a text may be left out; a row whose cell is a list is in the slice of each element."""
    reviews = [("", "Positive"), *FILMS[1:]]
    tags = [["a", "b", "a"], ["b"], []] * 40
    made = policy(reviews, TABLES, id=IDS, tags=tags)
    whole = labelled.read(made.data.test, LABELS, skip_empty=True)
    assert len(whole) == ROWS - 1
    assert whole.texts_of([0]) == [FILMS[1][0]]
    column = whole.columns["tags"]
    assert [(column.values[code], int(row)) for code, row in zip(column.codes, column.rows, strict=True)][:3] == [
        ("b", 0),
        ("a", 2),
        ("b", 2),
    ]
    assert "other" not in whole.columns
    assert len(whole.columns) == 2


def test_a_column_of_too_many_values_cuts_no_slices(policy, pair, monkeypatch):
    """It holds texts or numbers, and each value would be a slice."""
    monkeypatch.setattr(labelled, "MOST_VALUES", 50)
    made = policy(FILMS, '[quality]\nmargin = 0.1\nslices = ["name"]', id=IDS, name=IDS)
    assert "column name has more than 50 values: too many for slices" in by_check(judge(*pair(), made))["quality"].message


@given(st.data())
def test_any_predictions_are_joined_or_refused(tmp_path_factory, data):
    """Whatever ids and numbers a file has: answers in the order of the labels' ids, or one PredictionsError."""
    folder = tmp_path_factory.mktemp("any")
    ids = data.draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=20, unique=True)
    )
    order = data.draw(st.permutations(range(len(ids))))
    broken = data.draw(st.sampled_from(["", "", "dropped", "added", "not finite"]))
    logits = np.array(
        data.draw(st.lists(st.tuples(*[st.floats(-50, 50, width=32)] * 2), min_size=len(ids), max_size=len(ids))), dtype=np.float32
    )
    pq.write_table(pa.table({"id": ids, "label": [number % 2 for number in range(len(ids))]}), folder / "gold.parquet")
    mine, numbers = [ids[row] for row in order], logits[list(order)].tolist()
    if broken == "dropped":
        mine, numbers = mine[1:], numbers[1:]
    elif broken == "added":
        mine, numbers = [*mine, "".join(ids)[:5] + "#" * 13], [*numbers, [0.0, 0.0]]
    elif broken:
        numbers[0] = [float("nan"), 0.0]
    write(folder / "p.parquet", {"id": pa.array(mine, pa.string()), "logits": pa.array(numbers, pa.list_(pa.float32()))})
    subject = PredictedSubject(Predictions(folder / "p.parquet"))
    subject.use_labels(LABELS)
    gold = labelled.read(str(folder / "gold.parquet"), LABELS)
    if broken:
        with pytest.raises(PredictionsError, match=r"p\.parquet"):
            subject.answer(gold)
    else:
        assert subject.answer(gold).logits.tolist() == logits.tolist()


# --- the command line ---


@pytest.mark.parametrize(
    ("candidate", "baselines", "labels", "message"),
    [
        ((None, None, None), (None, None, None), None, "expected one candidate"),
        (("a", "p", None), (None, None, None), None, "expected one candidate"),
        (("a", None, "API"), (None, None, None), None, "expected one --candidate-identity"),
        ((None, "p", None), (None, ["q"], ["x", "y"]), None, "expected one --candidate-identity, or --baseline-identity, for each"),
        (("a", None, None), (["b"], None, None), "A,B", "--labels names the labels of predictions, and there are none"),
    ],
    ids=["no candidate", "two candidates", "identity of an adapter", "two identities", "labels of adapters"],
)
def test_options_that_do_not_fit_together_are_refused(candidate, baselines, labels, message):
    """Before anything is read."""
    with pytest.raises(Exception, match=message):
        subjects(candidate, baselines, labels)


def test_adapters_come_first_in_a_bank():
    """The incumbent is an adapter where there is one."""
    first, bank = subjects((None, "p", "API"), (["a"], ["q", "r"], ["x", "y"]), "A, B")
    assert first == Predictions("p", "API", ["A", "B"])
    assert bank == ["a", Predictions("q", "x", ["A", "B"]), Predictions("r", "y", ["A", "B"])]


@pytest.fixture
def folder(tmp_path):
    """A folder with a policy of quality and behaviour, labels, and predictions of two systems that name themselves."""
    (tmp_path / "gate.toml").write_text('[data]\ntest = "labels.jsonl"\n[quality]\nmargin = 0.25\n[behaviour]\n')
    rows = [{"id": name, "label": label} for name, (_, label) in zip(IDS, FILMS, strict=True)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, reader in (("new", misread), ("old", first_word_decides)):
        write(tmp_path / f"{name}.parquet", columns_of("bulk", answered(reader)))
        write(tmp_path / f"{name}.jsonl", columns_of("labels alone", answered(reader)))
    return tmp_path


PAIR = ("--candidate-predictions", "new.parquet", "--baseline-predictions", "old.parquet")
NAMED = ("--candidate-predictions", "new.jsonl", "--baseline-predictions", "old.jsonl", "--labels", "Negative,Positive")
WHO = ("--candidate-identity", "API 2", "--baseline-identity", "API 1")


@pytest.mark.parametrize("arguments", [PAIR, (*NAMED, *WHO)], ids=["in the files", "by options"])
def test_the_command_judges_predictions(lorasent, folder, arguments):
    """Without importing torch's models: the verdict's line, a page, Markdown and JSON that its schema describes."""
    done = lorasent("gate", *arguments, "--report", "r.html", "--summary", "s.md", "--json-out", "v.json")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == f"PASS: {arguments[1]} against {arguments[3]} (predictions: integrity was not asked)"
    assert len(rest) <= terminal.SCREEN
    assert max(map(len, rest[:-1])) <= 80
    verdict = json.loads((folder / "v.json").read_text())
    jsonschema.validate(verdict, json.loads((ROOT / "docs/reference/verdict.schema.json").read_text("utf-8")))
    assert set(verdict["predictions"]) == {arguments[1], arguments[3]}
    assert "as declared" in (folder / "r.html").read_text("utf-8")
    assert "12 reviews newly go wrong" in (folder / "s.md").read_text("utf-8")


BAD = {
    "no candidate": ([], 2, "expected one candidate: the path of an adapter, or predictions"),
    "no identity": ([*NAMED], 4, "which system made it is not declared"),
    "no file": (["--candidate-predictions", "none.parquet"], 4, "no such file of predictions"),
    "no floor": ([*PAIR[:2]], 2, "there is no baseline: set min"),
}


@pytest.mark.parametrize("case", BAD)
def test_the_command_refuses_in_one_line(lorasent, folder, case):
    """Bad usage, and files that cannot be judged; never a traceback."""
    arguments, code, message = BAD[case]
    if case == "no file":
        (folder / "gate.toml").write_text('[data]\ntest = "labels.jsonl"\n[quality]\nmin = 0.5\n')
    done = lorasent("gate", *arguments)
    assert done.returncode == code
    assert message in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def test_pytest_judges_predictions(pytester, folder):
    """Checks that were not made are skipped, and the command at the end judges again."""
    pytester.makeini("[pytest]\n")
    for name in ("gate.toml", "labels.jsonl", "new.jsonl", "old.jsonl"):
        (pytester.path / name).write_text((folder / name).read_text())
    plain = ("-p", "no:randomly", "-p", "no:cacheprovider", "-v")
    result = pytester.runpytest(*plain, "gate.toml", *(word.replace("--", "--gate-") for word in (*NAMED, *WHO)))
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "gate.toml::integrity::files SKIPPED*",
            "gate.toml::quality::accuracy PASSED*",
            "gate.toml::behaviour SKIPPED*",
            "PASS: new.jsonl against old.jsonl (predictions: integrity was not asked)",
            "Again: lorasent gate --candidate-predictions new.jsonl --baseline-predictions old.jsonl --candidate-identity *",
        ]
    )
    result = pytester.runpytest(*plain, "gate.toml", "--gate-baseline-predictions=old.jsonl")
    result.stdout.fnmatch_lines(["*a policy needs --gate-candidate=DIR, or --gate-candidate-predictions*"])
    result = pytester.runpytest(*plain, "gate.toml", "--gate-candidate-predictions=new.jsonl", "--gate-baseline-identity=x")
    result.stdout.fnmatch_lines(["*expected one --gate-candidate-identity, or --gate-baseline-identity, for each option*"])


# --- many ---


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="reads peak memory of a child, which Windows does not tell so")
def test_a_million_predictions_fit_in_little_memory(tmp_path):
    """A verdict on 1,000,000 rows of two systems takes less than 600 MiB at its peak, all libraries included."""
    large.write(tmp_path, 1_000_000)
    verdict, figures = large.judge(tmp_path)
    assert verdict["outcome"] == "PASS"
    assert figures["peak_mib"] < 600, figures
