"""What a page shows beyond findings, held to the answers and to the findings."""

from types import SimpleNamespace

import numpy as np
import pytest

from lorasent.evaluation.occlusion import Word
from lorasent.report import details, flips


def test_differences_are_those_of_the_findings(blocked):
    """Metric, slices, behaviours and scores: candidate less baseline, each inside its interval, with the finding's outcome."""
    rows = {f"{row.group}: {row.name}": row for row in blocked.details.differences}
    by_check = {finding.check: finding for finding in blocked.verdict.findings}
    metric, brier = by_check["quality::accuracy"].figures, by_check["calibration::brier"].figures
    assert rows["Metric: accuracy"].change == -metric["damage"]
    assert (rows["Metric: accuracy"].low, rows["Metric: accuracy"].high) == (-metric["high"], -metric["low"])
    assert rows["Scores: Brier score"].change == -brier["change"]
    assert rows["Slices: genre = horror"].change == -by_check["quality::slice::genre::horror"].figures["damage"]
    assert {"Behaviours: negation", "Behaviours: all", "Scores: log loss"} <= rows.keys()
    assert all(row.low <= row.change <= row.high for row in rows.values())
    assert all(row.change == pytest.approx(row.now - row.was) for row in rows.values() if row.group != "Scores")


def test_newly_failing_cases_are_those_of_the_findings(blocked):
    """By capability, each with both decisions, of which the candidate's is wrong."""
    newly = {finding.check: finding.figures["newly"] for finding in blocked.verdict.findings if "newly" in finding.figures}
    for capability, cases in blocked.details.cases.items():
        assert [case.name for case in cases] == newly[f"behaviour::{capability}"][: len(cases)]
        assert all((was.label, now.label) == ("Positive", "Negative") for case in cases for _, was, now in case.texts)


def test_flips_stand_the_most_confident_damage_first(blocked):
    """Newly wrong before newly right; among them the candidate's confidence falls. Counts are those of the figures."""
    found = blocked.details.flips
    kinds = [flip.kind for flip in found.shown]
    assert kinds == sorted(kinds, key=["broken", "other", "fixed"].index)
    confident = [flip.now.probability for flip in found.shown if flip.kind == "broken"]
    assert confident == sorted(confident, reverse=True)
    metric = next(finding.figures for finding in blocked.verdict.findings if finding.check == "quality::accuracy")
    assert (found.counts["broken"], found.counts["fixed"]) == (metric["worse"], metric["better"])
    assert all((flip.was.label == flip.label, flip.now.label == flip.label) == (True, False) for flip in found.shown[:5])


def test_an_excerpt_keeps_the_end_and_marks_the_words():
    """Whole pieces in their order; the words that carried most, each with its weight; on the right the beginning."""
    text = "x" * 50 + " was bad, really bad film"
    words = [Word("bad", 55, 58, 2.0), Word("bad", 67, 70, 1.0), Word("film", 71, 75, 0.1), Word("x", 0, 50, -1.0)]
    found = flips.excerpt(text, words, longest=25)
    assert found.pieces == ((" was ", 0.0), ("bad", 1.0), (", really ", 0.0), ("bad", 0.5), (" film", 0.0))
    assert (found.before, found.after) == (50, 0)
    assert flips.excerpt(text, words, "right", 25) == flips.Excerpt((("x" * 25, 0.0),), 0, len(text) - 25)
    assert flips.excerpt("short", ()).pieces == (("short", 0.0),)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (None, []),
        ("epochs", []),
        ([1, {"epoch": 1, "accuracy": float("nan")}, {"accuracy": 1}], [{"epoch": 1.0}]),
        ([{"epoch": 2, "training_loss": 0.5, "f1": 3, "accuracy": "<b>"}], [{"epoch": 2.0, "training_loss": 0.5}]),
    ],
    ids=["none", "text", "not-finite", "known-names"],
)
def test_of_an_epoch_table_only_numbers_are_kept(table, expected):
    """A manifest may be a stranger's."""
    assert list(details._epochs(table)) == expected


def test_scores_of_many_labels_are_confidences():
    """By right and wrong answers; of two labels, the last one's probability by label. Every review is counted once."""
    logits = np.array([[3.0, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]])
    three = details.side("candidate", logits, np.array([0, 1, 2, 2]), ["a", "b", "c"])
    two = details.side("candidate", logits[:, :2], np.array([0, 1, 1, 0]), ["a", "b"])
    assert {name: sum(counts) for name, counts in three.scores.items()} == {"right": 3, "wrong": 1}
    assert {name: sum(counts) for name, counts in two.scores.items()} == {"a": 2, "b": 2}
    assert three.confusion == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


def test_without_a_model_no_words_are_weighed(blocked):
    """A record has answers and no model: the flips are there, unmarked."""
    assert list(flips._explained(SimpleNamespace(candidate=None, incumbent=None), [(0, 1, 0)])) == []
