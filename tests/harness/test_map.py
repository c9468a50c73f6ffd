"""tests/README.md is right: files and folders exist, and each command runs tests."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.studies.planted import ROOT

MAP = (ROOT / "tests" / "README.md").read_text("utf-8")

ROWS = re.findall(r"^\| (.+) \| (`tests/.+) \| `pytest (.+)` \|$", MAP, re.MULTILINE)


def test_every_row_is_read():
    """Each row of the tables of promises has a promise, files and a command."""
    rows = [line for line in MAP.split("## What is promised")[1].splitlines() if line.startswith("| ")]
    assert len(ROWS) == len([line for line in rows if not line.startswith("| promise")]) > 30


@pytest.mark.parametrize("places", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_file_exists(places):
    """Every file or folder that a row names exists."""
    assert [path for path in re.findall(r"`(.+?)`", places) if not (ROOT / path).exists()] == []


def test_every_folder_is_listed():
    """Each folder of tests mirrors a room of the package, or is listed."""
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("*.py"))}
    rooms = {path.name for path in (ROOT / "lorasent").iterdir() if path.is_dir()}
    assert folders - rooms - {"golden"} == set(re.findall(r"^\| `tests/(\w+)` \|", MAP, re.MULTILINE)) - {"golden"}


@pytest.mark.slow
def test_every_command_runs_tests():
    """Tests are collected by every command: by its paths, and by the word after -k in their names."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    for promise, _, arguments in ROWS:
        words = shlex.split(arguments)
        word = words[words.index("-k") + 1] if "-k" in words else ""
        for path in (argument for argument in words if argument.startswith("tests")):
            assert any(test.startswith(path) and word in test.partition("::")[2] for test in collected), (promise, path)
