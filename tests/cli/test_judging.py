"""The commands init, and gate with its report page."""

import json
import os

import jsonschema
import pytest

from lorasent.cli import ending
from lorasent.gate.policy import Policy
from tests.cli.processes import gate_arguments, one_line
from tests.studies.planted import ROOT
from tests.support.imports import COMMAND_LINE, HEAVY, imported


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("given", SAYS)
def test_init_writes_a_policy_that_suits_the_reviews(lorasent, tmp_path, given):
    """It says the margin on standard error and in the file, and what to do next; nothing goes to standard output."""
    for name, count, labels in (("films", 100, "01"), ("three", 90, ["bad", "fair", "good"]), ("ten", 10, ["neg", "pos"])):
        rows = (f"It was the film number {row},{labels[row % len(labels)]}" for row in range(count))
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    arguments, said = SAYS[given]
    done = lorasent("init", *arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert said in " ".join(done.stderr.split())
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


@pytest.mark.slow
def test_init_does_not_import_torch(judged, tmp_path):
    """A policy for two adapters is there at once."""
    arguments = ["--candidate", judged / "sound", "--baseline", judged / "sound", "--out", tmp_path / "gate.toml"]
    assert imported(COMMAND_LINE, "init", *arguments) & HEAVY == set()
    assert (tmp_path / "gate.toml").is_file()


def test_every_format_of_a_verdict_is_written(lorasent, judged, tmp_path):
    """JSON that its schema accepts, Markdown, SARIF, annotations and the page, from one judgement."""
    names = {"json-out": "v.json", "summary": "s.md", "sarif": "s.sarif", "annotations": "a.txt", "report": "r.html"}
    written = [word for option, name in names.items() for word in (f"--{option}", name)]
    done = lorasent(*gate_arguments(judged, "BLOCK"), *written, "--json")
    assert done.returncode == 1, done.stderr
    verdict = json.loads((tmp_path / "v.json").read_text("utf-8"))
    assert verdict == json.loads(done.stdout)
    jsonschema.validate(verdict, json.loads((ROOT / "docs/reference/verdict.schema.json").read_text("utf-8")))
    assert (tmp_path / "s.md").read_text("utf-8").startswith("### ⛔ BLOCK: integrity::labels")
    assert json.loads((tmp_path / "s.sarif").read_text("utf-8"))["runs"][0]["results"]
    assert (tmp_path / "a.txt").read_text("utf-8").startswith("::error title=lorasent%3A BLOCK::")


REFUSED = {
    "one file twice": (["--summary", "x", "--sarif", "x"], "--summary x: is named by two options"),
    "waivers that are not there": (["--waivers", "nowhere.toml"], "nowhere.toml: the waivers cannot be read"),
    "a precision without data": (["--precision", "bf16"], "a precision needs [data]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_cannot_be_used_are_refused_before_the_work(lorasent, judged, case):
    """In one line."""
    arguments, message = REFUSED[case]
    one_line(lorasent(*gate_arguments(judged, "PASS"), *arguments), message)
