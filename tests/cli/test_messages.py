"""What the terminal gets: a verdict in any encoding, with or without colour; how far long work is, as a bar or as lines."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from lorasent.cli import messages
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.scoring import progress
from lorasent.text import columns
from tests.cli.processes import gate_arguments, one_line, start

FOREIGN = "größer als 5 → 日本語日本語日本語日本語日本語日本語日本語, é²"


@pytest.fixture
def verdict(tmp_path):
    """A file with a verdict whose texts are not ASCII."""
    findings = [Finding(f"quality::{n}", outcome, "worse", 5 * FOREIGN, FOREIGN) for n, outcome in enumerate(Outcome)]
    content = Verdict(Outcome.BLOCK, tuple(findings), "größe", ("old",), {}).to_json()
    (tmp_path / "verdict.json").write_text(json.dumps(content))
    return tmp_path / "verdict.json"


@pytest.mark.slow
def test_under_the_c_locale_all_is_ascii_and_fits(verdict, tmp_path):
    """What ASCII lacks is escaped before lines are broken: 80 columns, 24 rows."""
    done = start(tmp_path, ["show", verdict], env={"LC_ALL": "C", "PYTHONUTF8": "", "PYTHONIOENCODING": ""})
    lines = done.stdout.decode("ascii").splitlines()
    assert lines[0] == r"BLOCK: gr\xf6\xdfe against old"
    assert r"gr\xf6\xdfer als 5 ->" in " ".join(lines)
    assert all(columns(line) <= 80 or "/" in line for line in lines)
    assert len(lines) <= 24


def on_a_terminal(arguments, width=80, **environment):
    """What a command writes to a terminal of so many columns."""
    controller, terminal = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "24", "PYTHONUTF8": "1", **environment}
    command = [sys.executable, "-m", "lorasent.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=variables) as process:
        os.close(terminal)
        written = b""
        try:
            while part := os.read(controller, 65536):
                written += part
        except OSError:  # the other end is closed
            pass
    os.close(controller)
    assert process.returncode == 0
    return written.decode()


@pytest.mark.slow
def test_a_terminal_has_colours_and_the_same_words(verdict):
    """The outcome is coloured; without the colours it is what a pipe gets."""
    coloured = on_a_terminal(["show", verdict])
    assert "\x1b[1;31mBLOCK:\x1b[0m" in coloured
    plain = on_a_terminal(["show", verdict], NO_COLOR="1")
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 200])
def test_lines_fit_the_terminal_and_80_columns(verdict, width):
    """A narrow terminal gets shorter lines; a wide one lines of 80 columns."""
    lines = on_a_terminal(["show", verdict], width, NO_COLOR="1").splitlines()
    assert max(columns(line) for line in lines if "/" not in line) in range(min(width, 80) - 20, min(width, 80) + 1)


def test_quiet_is_one_line_and_verbose_every_finding(lorasent, judged):
    """With the verdict's exit code; the two exclude each other."""
    arguments = gate_arguments(judged, "BLOCK")
    usual, quiet, verbose = (lorasent(*arguments, *more) for more in ([], ["--quiet"], ["--verbose"]))
    assert [done.returncode for done in (usual, quiet, verbose)] == [1, 1, 1]
    assert (len(quiet.stdout.splitlines()), quiet.stderr) == (1, "")
    assert quiet.stdout == usual.stdout[: len(quiet.stdout)]
    found = json.loads(lorasent(*arguments, "--json").stdout)["findings"]
    assert [finding["check"] for finding in found if f"{finding['check']}" not in verbose.stdout] == []
    one_line(lorasent(*arguments, "--quiet", "--verbose"), "--quiet and --verbose exclude each other")


def test_every_outcome_fits_a_screen(lorasent, judged):
    """A real PASS, BLOCK and INVALID; lines of more than 80 columns have a path."""
    for outcome in ("PASS", "BLOCK", "INVALID"):
        lines = lorasent(*gate_arguments(judged, outcome)).stdout.splitlines()
        assert lines[0].startswith(f"{outcome}: ")
        assert lines[-1].startswith("Again: lorasent gate ")
        assert len(lines) <= 24
        assert all(columns(line) <= 80 or "/" in line for line in lines)


class Clock:
    """A clock that is set by hand, for progress that is shown in lines."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(monkeypatch):
    """What a log gets of the messages, and the clock that decides when."""
    written, clock = io.StringIO(), Clock()
    console = messages.MessageConsole(file=written, force_terminal=False, width=80, highlight=False, markup=False, get_time=clock)
    monkeypatch.setattr(messages, "console", console)
    return written, clock


def work(clock, seconds, name="answering 1,000 texts: new", total=1000):
    """A stage of ten parts that take so many seconds each."""
    with messages.stages_shown(), progress.stage(name, total):
        for _ in range(10):
            clock.now += seconds
            progress.advance(100)


def test_without_a_terminal_long_work_says_how_far_it_is(lines):
    """A plain line now and then, with the time left; the last part needs none."""
    written, clock = lines
    work(clock, 20)
    told = written.getvalue().splitlines()
    assert told[0] == "answering 1,000 texts: new: 100 of 1,000"
    assert told[1] == "answering 1,000 texts: new: 300 of 1,000, about 2 min left"
    assert len(told) == 5
    assert all(line.isprintable() and columns(line) <= 80 for line in told)


def test_without_a_terminal_short_work_is_silent(lines):
    """A log has results and messages alone."""
    written, clock = lines
    work(clock, 0.5)
    assert written.getvalue() == ""


def test_quiet_work_is_silent_however_long(lines):
    """No line, no bar."""
    written, clock = lines
    with messages.stages_shown(lines=False), progress.stage("answering", 10):
        clock.now += 1000
        progress.advance(5)
    assert written.getvalue() == ""


def test_the_name_of_a_stage_is_cut_and_inert(lines):
    """It may hold the name of a stranger's file."""
    written, clock = lines
    work(clock, 20, "answering: \x1b[2J[red]\n" + "name" * 100)
    assert all(line.isprintable() and columns(line) <= 80 for line in written.getvalue().splitlines())
    assert r"\x1b[2J[red]\n" in written.getvalue()


@pytest.mark.parametrize(("width", "has_bar"), [(80, True), (60, False)], ids=["80 columns", "60 columns"])
def test_a_bar_fits_its_terminal(monkeypatch, width, has_bar):
    """The longest name, a large count, the bar and the time left."""
    written = io.StringIO()
    console = messages.MessageConsole(file=written, force_terminal=True, width=width, highlight=False, markup=False)
    monkeypatch.setattr(messages, "console", console)
    with messages.stages_shown(), progress.stage("answering " + "name " * 30, 1_000_000):
        progress.advance(999_999)
    shown = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()))
    assert max(map(columns, shown)) <= width
    assert any("━" in line for line in shown) is has_bar
    assert any("999999/1000000" in line for line in shown)
