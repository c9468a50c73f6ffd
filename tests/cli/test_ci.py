"""The commands check and comment: what hooks and CI call beside gate."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.ci.interface import serving
from tests.cli.processes import one_line
from tests.studies.planted import ROOT
from tests.support.imports import COMMAND_LINE, HEAVY, imported


def test_the_hook_checks_the_adapters_of_a_commit(lorasent, judged):
    """It gets the files that its pattern finds, and names each adapter once."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    names = [path.name for path in (judged / "sound").iterdir()]
    files = [judged / "sound" / name for name in names if re.search(hook["files"], f"a/{name}")]
    assert {path.name for path in files} >= {"lorasent.json", "adapter_config.json", "adapter_model.safetensors"}
    command, *options = shlex.split(hook["entry"])
    assert command == "lorasent"
    done = lorasent(*options, *files, judged / "swapped" / "lorasent.json")
    assert done.returncode == 1
    sound, swapped, *rows = done.stdout.splitlines()
    assert sound == f"PASS: {judged / 'sound'}: 8 checks of its files; its answers were not asked"
    assert swapped == f"BLOCK: {judged / 'swapped'}"
    assert rows[0].startswith("  BLOCK  integrity::")
    assert all(len(row) <= 80 or "/" in row for row in rows)


def test_the_hooks_extra_package_is_the_embedded_extra():
    """The base that the hook installs is the one that the package names."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    (package,) = hook["additional_dependencies"]
    assert f'embedded = ["{package}"]' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.slow
def test_the_hook_takes_less_than_five_seconds(judged):
    """Of this processor's time, Python's start included: it imports no torch and no transformers."""
    assert imported(COMMAND_LINE, "check", judged / "sound") & HEAVY == set()
    before = os.times()
    command = [sys.executable, "-m", "lorasent.cli", "check", "golden/reference-adapter"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    after = os.times()
    assert done.returncode == 0, done.stdout + done.stderr
    assert after.children_user - before.children_user + after.children_system - before.children_system < 5


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere/lorasent.json", "no such adapter directory, nor a file of one"), ("lone.json", "lies in no adapter directory")],
)
def test_what_is_no_adapter_is_one_line(lorasent, tmp_path, path, message):
    """A file that is not there, and one that lies in no adapter."""
    (tmp_path / "lone.json").write_text("{}")
    one_line(lorasent("check", path), message)


def test_an_empty_folder_is_a_fault(lorasent, tmp_path):
    """Exit code 1, as for any adapter that cannot be opened."""
    (tmp_path / "empty").mkdir()
    done = lorasent("check", "empty")
    assert (done.returncode, done.stdout.startswith("BLOCK: empty\n  BLOCK  integrity::files (")) == (1, True)


def test_a_comment_is_written_on_the_jobs_pull_request(lorasent, tmp_path, monkeypatch):
    """With the link to the run; a read-only token, and a job of no pull request, are said and are no error."""
    (tmp_path / "summary.md").write_text("### PASS")
    (tmp_path / "event.json").write_text(json.dumps({"number": 7, "pull_request": {}}))
    with serving() as interface:
        for name, value in {
            "GITHUB_EVENT_PATH": "event.json", "GITHUB_API_URL": interface.url, "GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "t",
            "GITHUB_SERVER_URL": "https://git.test", "GITHUB_RUN_ID": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        done = lorasent("comment", "summary.md", "--name", "english")
        assert (done.returncode, done.stderr) == (0, "the comment was written\n")
        body = interface.comments[0]["body"]
        assert body == "<!-- lorasent: english -->\n### PASS\n[The run, with the report](https://git.test/o/r/actions/runs/1)\n"
        interface.refuses["PATCH"] = 403
        done = lorasent("comment", "summary.md", "--name", "english")
        assert (done.returncode, "the token may not write" in done.stderr) == (0, True)
    monkeypatch.delenv("GITHUB_EVENT_PATH")
    done = lorasent("comment", "summary.md")
    assert (done.returncode, done.stderr) == (0, "no comment: this job belongs to no pull request\n")
