"""The commands init, and gate with its report page."""

import os

import pytest

from lorasent.cli import ending
from lorasent.gate.policy import Policy
from tests.cli.processes import gate_arguments, one_line
from tests.support.imports import COMMAND_LINE, HEAVY, imported


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["table", "json"])
def test_a_file_name_that_is_not_utf_8_is_escaped(lorasent, judged, tmp_path, as_json):
    """On standard output, in the page and in JSON; the verdict stays the same."""
    done = lorasent(*map(os.fspath, gate_arguments(judged, "PASS", "caf\udce9")), *as_json, "--report", "page\n.html")
    assert (done.returncode, done.stderr) == (0, "Written: page\\n.html\n")
    assert r"caf\udce9-PASS" in done.stdout
    assert r"caf\udce9-PASS" in (tmp_path / "page\n.html").read_text("utf-8")


@pytest.mark.parametrize(("candidate", "code"), [("PASS", ending.NOT_WRITTEN), ("BLOCK", 1)])
def test_a_page_that_cannot_be_written_leaves_the_verdict(lorasent, judged, candidate, code):
    """It is printed, and the exit code is not that of a PASS."""
    done = lorasent(*gate_arguments(judged, candidate), "--report", "/dev/full")
    assert done.returncode == code
    assert done.stdout.startswith(f"{candidate}: ")
    assert done.stderr == "lorasent: --report /dev/full: cannot be written: No space left on device\n"


SAYS = {
    "embedded": ([], "With 400 reviews a drop of 8.6 points or more is blocked 4 times in 5"),
    "csv": (["--data", "films.csv"], "With 100 reviews a drop of 19.9 points or more is blocked 4 times in 5"),
    "three labels": (["--data", "three.csv"], "Labels (of the data): bad, fair, good."),
    "ten reviews": (["--data", "ten.csv"], "Margin: none. 10 reviews are too few"),
}


@pytest.mark.parametrize("given", SAYS)
def test_init_writes_a_policy_that_suits_the_reviews(lorasent, tmp_path, given):
    """It says the margin on standard error and in the file, and what to do next; nothing goes to standard output."""
    for name, count, labels in (("films", 100, "01"), ("three", 90, ["bad", "fair", "good"]), ("ten", 10, ["neg", "pos"])):
        rows = (f"It was the film number {row},{labels[row % len(labels)]}" for row in range(count))
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    arguments, said = SAYS[given]
    done = lorasent("init", *arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert said in done.stderr
    assert said in " ".join((tmp_path / "gate.toml").read_text().replace("\n#  ", "").split())
    assert done.stderr.splitlines()[-1] == "Written: gate.toml. Judge by it: lorasent gate CANDIDATE --baseline BASELINE"
    assert Policy.read(tmp_path / "gate.toml").data


@pytest.mark.slow
def test_a_policy_without_arguments_judges_at_once(lorasent, judged):
    """An adapter against itself passes by it."""
    assert lorasent("init").returncode == 0
    done = lorasent("gate", judged / "sound", "--baseline", judged / "sound")
    assert done.returncode == 0, done.stdout


def test_init_keeps_a_file_that_is_there(lorasent, tmp_path):
    """One line says so, and names what to do."""
    (tmp_path / "gate.toml").write_text("mine")
    one_line(lorasent("init", "--data", "missing.csv"), "gate.toml: exists already; choose another --out or remove it")
    assert (tmp_path / "gate.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.csv"], "missing.csv: no such file or folder"),
        (["--data", "films.csv"], "films.csv: no label column"),
        (["--baseline", "missing"], "missing: no such adapter directory"),
        (["--out", "no/where.toml"], "--out no/where.toml: expected a file in a directory that exists"),
    ],
    ids=["missing data", "no labels", "missing baseline", "nowhere to write"],
)
def test_init_refuses_bad_input_in_one_line(lorasent, tmp_path, arguments, message):
    """And writes nothing."""
    (tmp_path / "films.csv").write_text("text,stars\nfine,5\n")
    one_line(lorasent("init", *arguments), message)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".csv"] == []


def test_init_does_not_import_torch(judged, tmp_path):
    """A policy for two adapters is there at once."""
    arguments = ["--candidate", judged / "sound", "--baseline", judged / "sound", "--out", tmp_path / "gate.toml"]
    assert imported(COMMAND_LINE, "init", *arguments) & HEAVY == set()
    assert (tmp_path / "gate.toml").is_file()
