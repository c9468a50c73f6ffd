"""A verdict at experiment trackers: outcome, figures and files, after the verdict, which nothing there can change."""

import json

import pytest

from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report import card, tracked
from tests.support.trackers import mlflow_run, scalars, texts

FINDING = Finding(
    "quality::accuracy", Outcome.BLOCK, "quality-drop", "accuracy `fell` <b>@all</b>", "do not ship it",
    {"damage": 0.125, "n": 400, "interval": {"low": 0.1, "high": float("inf")}, "metric": "accuracy"},
)  # fmt: skip
VERDICT = Verdict(
    Outcome.BLOCK,
    (FINDING, Finding("integrity::weights", Outcome.PASS, "", "finite")),
    "runs/candidate",
    ("runs/baseline", "runs/second"),
    {"candidate": "c" * 64, "runs/baseline": "b" * 64, "data": "d" * 64},
)


@pytest.mark.slow
def test_a_verdict_is_a_run(mlflow_store, tmp_path, monkeypatch):
    """Outcome, cause and hashes as tags; every finite number as a figure; the files as they are."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    written = {"verdict.json": json.dumps(VERDICT.to_json()), "report.html": "<p>BLOCK</p>"}
    tracked.report(VERDICT, ["mlflow", "tensorboard"], written)
    run, _, files = mlflow_run(mlflow_store)
    assert run.info.run_name == "gate candidate"
    tags = {name.removeprefix("lorasent."): value for name, value in run.data.tags.items() if name.startswith("lorasent.")}
    assert tags == {
        "verdict": "BLOCK",
        "cause": "quality-drop",
        "finding": "accuracy `fell` <b>@all</b>",
        "sha256.candidate": "c" * 64,
        "sha256.baseline_1": "b" * 64,
        "sha256.data": "d" * 64,
    }
    assert run.data.metrics == {
        "gate/exit_code": 1.0,
        "quality/accuracy/damage": 0.125,
        "quality/accuracy/n": 400.0,
        "quality/accuracy/interval/low": 0.1,
    }
    assert files == written
    (folder,) = (tmp_path / "logs").iterdir()
    assert scalars(folder, "quality/accuracy/damage") == [(0, 0.125)]
    assert "    lorasent.verdict = BLOCK" in texts(folder, "tags")
    assert (folder / "report.html").read_text() == "<p>BLOCK</p>"


def test_a_card_says_what_was_decided():
    """The outcome, what did not pass, and what was compared; messages are no markup."""
    assert card.section(VERDICT) == (
        "## Last verdict\n\n**BLOCK** by `lorasent gate`: it may not replace its baseline.\n\n"
        "- BLOCK `quality::accuracy`: ``accuracy `fell` <b>@all</b> (quality-drop)``\n"
        "- 1 checks passed, 0 were not made\n"
        f"- sha256 of the candidate: `{'c' * 64}`\n- sha256 of the baseline 1: `{'b' * 64}`\n- sha256 of the data: `{'d' * 64}`\n"
    )
