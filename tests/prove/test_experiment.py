"""The experiment: innocent retrains, planted faults, and the command that prints both error rates."""

import json
import re
import time

import pytest

from lorasent.errors import ProveError
from lorasent.gate.policy import Policy
from lorasent.prove import experiment
from lorasent.prove.catalogue import select
from lorasent.prove.experiment import measure
from lorasent.prove.rates import HEAD, markdown, text
from lorasent.scoring.evidence import LiveSubject, record


@pytest.mark.slow
def test_retrains_are_trained_once_and_judged_in_pairs_and_against_banks(small_adapter, policy, tmp_path, monkeypatch):
    """Three retrains make six pairs and four banks; a second run trains nothing and gives the same rates."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", -1.0)  # so small a base learns next to nothing
    lines = []
    first = measure([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), report=lines.append)
    assert sum(line.startswith("training an innocent retrain") for line in lines) == 3
    assert list(first.members) == [str(small_adapter), *(str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2, 3))]
    assert (first.pairs.count, first.bank.count) == (6, 4)
    assert sum(first.pairs.outcomes.values()) == 6
    for share, low, high in (first.pairs.blocked, first.pairs.undecided, first.bank.blocked):
        assert 0 <= low <= share <= high <= 1
    lines.clear()
    assert measure([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), report=lines.append) == first
    assert not any("training" in line for line in lines)


@pytest.mark.slow
def test_a_retrain_that_learnt_nothing_is_not_innocent(small_adapter, policy, tmp_path, monkeypatch):
    """It is listed apart, with its verdict, and replaced by others, a bounded number of times."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", 1.0)
    rates = measure([small_adapter], policy, tmp_path / "work", retrain=1, faults=())
    failed = [str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2)]
    assert (list(rates.members), list(rates.failed), rates.pairs) == ([str(small_adapter)], failed, None)
    assert set(rates.failed.values()) <= {"PASS", "INCONCLUSIVE", "BLOCK"}


@pytest.mark.slow
def test_the_command_prints_and_writes_the_error_rates(lorasent, small_adapter, retrained, policy, tmp_path):
    """A table goes to standard output, JSON to the file, progress to standard error."""
    arguments = ("prove", "--baseline", small_adapter, "--baseline", retrained, "--policy", "gate.toml", "--per-fault", 1)
    done = lorasent(*arguments, "--fault", "head missing", "--fault", "alpha", "--out", "proof.json")
    assert done.returncode == 0, done.stderr
    assert "in pairs: 1 verdicts" in done.stdout
    assert all(
        word in done.stdout for word in (*HEAD, "head missing", "alpha changed", "missed (PASS) of integrity faults: 0 of 2")
    )
    written = json.loads((tmp_path / "proof.json").read_text())
    assert [fault["outcomes"] for fault in written["faults"]] == [{"BLOCK": 1}, {"BLOCK": 1}]
    assert "2 adapters that differ in the seed only" in done.stderr
    unknown = lorasent(*arguments, "--fault", "colour")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "--fault colour: no such fault; the faults are head missing," in unknown.stderr


def test_recorded_evidence_is_refused(small_adapter, policy, tmp_path):
    """Faults are planted in files, which it does not have."""
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    with pytest.raises(ProveError, match=r"record: faults are planted in adapters; recorded evidence has no files"):
        measure([tmp_path / "record"], policy, tmp_path / "work")


def test_the_table_says_what_was_not_measured_and_why(small_adapter, tmp_path):
    """A policy without [cost] judges no cost fault; a single adapter makes no pair."""
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    rates = measure([small_adapter], Policy.read(tmp_path / "gate.toml"), tmp_path / "work", faults=select(["slower: a base"]))
    assert (rates.pairs, rates.bank, rates.missed) == (None, None, {"cost": (0, 0, 1.0)})
    lines = text(rates)
    assert "slower: a base of twice the layers, declared: the policy has no [cost]" in lines
    assert "a single adapter has no other to be judged against" in lines
    assert markdown(rates).count("\n| ") == 2


def test_a_fault_that_mixes_two_adapters_needs_two(small_adapter, policy, tmp_path):
    """With a single adapter it is not planted, and not counted as missed."""
    rates = measure([small_adapter], policy, tmp_path / "work", faults=select(["A of another adapter"]))
    assert all(fault.note == "not planted: needs a second adapter (--retrain)" for fault in rates.faults)
    assert "missed" not in [outcome for fault in rates.faults for outcome in fault.outcomes]


@pytest.mark.slow
def test_faults_are_planted_anew_in_other_adapters(small_adapter, retrained, policy, tmp_path):
    """The work folder keeps a planted fault for the adapters that it was planted in; one without its record was interrupted."""
    folder = tmp_path / "work" / "faults" / "head-missing"
    made = []
    for members in ([small_adapter, retrained], [small_adapter, retrained], [retrained, small_adapter], [retrained, small_adapter]):
        measure(members, policy, tmp_path / "work", per_fault=1, faults=select(["head missing"]))
        made.append((folder / "0" / "lorasent.json").stat().st_ctime_ns)
        if len(made) == 3:
            (folder / "0.json").unlink()
    assert made[0] == made[1] < made[2] < made[3]


@pytest.mark.slow
def test_a_fault_that_does_not_fit_the_base_is_not_planted(small_adapter, retrained, policy, tmp_path):
    """Twice 64 tokens are more than the small base has positions for; the note says so."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=select(["slower: max_length"]))
    (result,) = rates.faults
    assert (result.planted, result.outcomes, rates.missed) == (0, {}, {"integrity": (0, 0, 1.0)})
    assert result.note.startswith("not planted: ")
    assert "64 positions" in result.note


def test_long_work_says_what_is_left():
    """At the rate so far; nothing at the end."""
    assert re.fullmatch(r", about \d+ h \d+ min left", experiment._left(time.monotonic() - 3600, 1, 11))
    assert experiment._left(0.0, 11, 11) == ""
