"""Hostile candidates: whatever a stranger's directory holds is a verdict, or one line, within bounds; nothing of it is obeyed."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.report import terminal
from tests.support.hostile import CATALOGUE, MOST_OUTPUT, OBEYED

QUICK = (
    "a link to a device in the place of lorasent.json",
    "a FIFO in the place of adapter_config.json",
    "a link to a secret in the place of adapter_model.safetensors",
    "a terabyte of zeros as weights",
    "a shape that overflows",
    "a shape that overflows behind a zero",
    "70 dimensions",
    "a header of 2^63 bytes",
    "a tensor named like a command",
    "a pickle",
    "a number as adapter_config.json",
    "endless nesting as tokenizer.json",
    "a manifest with a key twice",
    "an integer of 5,000 digits",
    "labels = an object",
    "files = nothing",
    "a file of 5,000 characters",
    "labels like commands",
    "a base named by 5,000 characters",
    "a probe of 5 MB",
    "modules_to_save a number",
    "a rank of 100,000",
    "target modules a pattern without end",
    "an option that nobody knows",
    "a base named like a command, to PEFT",
    "a length that is a text",
    "added tokens a list",
    "a tokenizer without a model",
    "the head swapped",
    "a file whose name is no text",
)
"""Candidates of the quick part, one of each kind."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy of files and answers alone."""
    path = tmp_path_factory.mktemp("policy") / "gate.toml"
    path.write_text("[integrity]\n")
    return Policy.read(path)


@pytest.fixture(autouse=True, scope="module")
def _cached(tmp_path_factory):
    """A cache of this module's own: the baseline is proved once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORASENT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_candidate_is_blocked_or_cannot_be_judged(small_adapter, policy, tmp_path, name):
    """With a cause, in lines of bounded length; none of them can do anything in a terminal or a workflow log."""
    candidate = shutil.copytree(small_adapter, tmp_path / "candidate")
    CATALOGUE[name](candidate)
    verdict = judge(candidate, [small_adapter], policy)
    assert verdict.outcome in (Outcome.BLOCK, Outcome.INVALID)
    assert all(finding.cause for finding in verdict.findings)
    printed = terminal.text(verdict, "again") + json.dumps(verdict.to_json())
    assert len(printed) < MOST_OUTPUT
    assert not [sign for sign in OBEYED if sign in printed]


@pytest.fixture(scope="module")
def bare(small_adapter, tmp_path_factory):
    """The adapter without its manifest."""
    return without_manifest(shutil.copytree(small_adapter, tmp_path_factory.mktemp("bare") / "adapter"))


def without_manifest(path):
    """Removes the manifest, whatever lies in its place."""
    manifest = path / "lorasent.json"
    shutil.rmtree(manifest) if manifest.is_dir() and not manifest.is_symlink() else manifest.unlink(missing_ok=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_candidate_without_a_manifest_is_judged_within_bounds(bare, policy, tmp_path, name):
    """As any other: adoption reads the same stranger's files. Where it passes, it answers."""
    candidate = shutil.copytree(bare, tmp_path / "candidate")
    (candidate / "lorasent.json").write_text('{"files": {}, "recipe": {}, "base": {}, "probes": {}}')
    with contextlib.suppress(KeyError, TypeError):  # a damage of what only a manifest has
        CATALOGUE[name](candidate)
    verdict = judge(without_manifest(candidate), [bare], policy)
    assert all(finding.cause for finding in verdict.findings)
    printed = terminal.text(verdict, "again") + json.dumps(verdict.to_json())
    assert len(printed) < MOST_OUTPUT
    assert not [sign for sign in OBEYED if sign in printed]


def test_a_directory_whose_name_is_no_utf_8_is_judged(small_adapter, policy, tmp_path):
    """The sound adapter in it passes, and its name is shown escaped."""
    candidate = shutil.copytree(small_adapter, tmp_path / os.fsdecode(b"caf\xe9"))
    verdict = judge(candidate, [small_adapter], policy)
    assert verdict.outcome is Outcome.PASS
    assert "caf\\udce9 against" in terminal.text(verdict, "again")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_hostile_candidate_through_all_five_commands(small_adapter, tmp_path):
    """Never 0 where answers differ, 1 only with BLOCK, no traceback, no memory, no hang, and nothing that is obeyed.

    They run in one process, which ends where a command takes a minute.
    """
    command = [sys.executable, "-m", "tests.support.hostile", str(small_adapter)]
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "LORASENT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=880, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (rows[-1:], done.stderr[-3000:])
    assert len({row["candidate"] for row in rows}) == len(CATALOGUE) + 1 >= 61
    assert [row for row in rows if not _is_well(row)] == []
    by = {(row["candidate"], row["command"]): row for row in rows}
    answers = by["sound", "predict"]["printed"]
    for name in ("sound", *CATALOGUE):
        codes = {command: by[name, command]["code"] for command in ("gate", "pytest")}
        assert len({code == 0 for code in codes.values()}) == 1, (name, codes)
        assert codes["gate"] != 0 or by[name, "predict"]["printed"] == answers, name


def _is_well(row):
    """Whether a command ended as it may, and printed what it may."""
    allowed = {"gate": (0, 1, 4), "pytest": (0, 1)}.get(row["command"], (0, 2))
    blocked = row["command"] != "gate" or (row["code"] == 1) == ("BLOCK" in row["printed"])
    one_line = row["code"] != 2 or row["printed"].count("\n") == 1
    quiet = row["bytes"] < MOST_OUTPUT and not [sign for sign in (*OBEYED, "Traceback (most recent") if sign in row["printed"]]
    return row["code"] in allowed and blocked and one_line and quiet and row["memory"] < 1024
