"""How commands end: exit codes with one meaning each, signals, output that is complete or reported as lost."""

import errno
import functools
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
import weakref
from pathlib import Path

import pytest

from lorasent.adapter.directory import UnverifiedAdapterWarning
from lorasent.cli import commands, ending
from lorasent.errors import AdapterError, PolicyError
from tests.cli.processes import closed_pipe, gate_arguments, start

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md").read_text("utf-8")


class PanicError(BaseException):
    """Stands for a panic of a library in Rust, which is not an Exception."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "verdict", "code"),
    [
        ("an ASCII console", "BLOCK", 1),
        ("a pipe closed by its reader", "PASS", 0),
        ("a pipe closed by its reader", "BLOCK", 1),
        ("a full disk", "PASS", ending.NOT_WRITTEN),
        ("a full disk", "BLOCK", 1),
        ("a full disk", "INVALID", 4),
        ("no standard output", "PASS", ending.NOT_WRITTEN),
        ("no standard output", "BLOCK", 1),
        ("no standard error", "INVALID", 4),
    ],
)
def test_the_exit_code_of_a_verdict_does_not_depend_on_the_output(judged, output, verdict, code):
    """1 is BLOCK and nothing else; a PASS that could not be written is not 0."""
    how = {
        "an ASCII console": {"env": {"PYTHONIOENCODING": "ascii"}},
        "a pipe closed by its reader": {"stdout": closed_pipe()},
        "a full disk": {"redirected": ">/dev/full"},
        "no standard output": {"redirected": ">&-"},
        "no standard error": {"redirected": "2>&-"},
    }[output]
    done = start(judged, gate_arguments(judged, verdict), **how)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.stderr.decode().count("\n") == (output in ("a full disk", "no standard output"))
    if output in ("an ASCII console", "no standard error"):
        assert done.stdout.decode().startswith(f"{verdict}: ")


RAISED = {
    "a fault of ours": (KeyError("x"), ending.INTERNAL_ERROR),
    "no memory": (MemoryError(), ending.INTERNAL_ERROR),
    "no stack": (RecursionError("deep"), ending.INTERNAL_ERROR),
    "a broken library": (ImportError("libtorch.so: not found"), ending.INTERNAL_ERROR),
    "a panic": (PanicError("unreachable"), ending.INTERNAL_ERROR),
    "an exit of a library's": (SystemExit(1), ending.INTERNAL_ERROR),
    "an end of file": (EOFError(), ending.INTERNAL_ERROR),
    "a text that is no ASCII": (UnicodeEncodeError("ascii", "ü", 0, 1, "not in range"), ending.INTERNAL_ERROR),
    "an error of the adapter's": (AdapterError("broken"), {"gate": ending.INTERNAL_ERROR, "predict": 2}),
    "no space": (OSError(errno.ENOSPC, "No space left on device"), {"gate": ending.INTERNAL_ERROR, "predict": ending.NOT_WRITTEN}),
    "no permission": (PermissionError(errno.EACCES, "Permission denied", "x"), {"gate": ending.INTERNAL_ERROR, "predict": 2}),
    "a pipe": (BrokenPipeError(errno.EPIPE, "Broken pipe"), {"gate": ending.INTERNAL_ERROR, "predict": ending.CLOSED_PIPE}),
    "a policy": (PolicyError("no such check"), 2),
    "Ctrl-C": (KeyboardInterrupt(), ending.INTERRUPTED),
}


@pytest.mark.parametrize("command", ["gate", "predict"])
@pytest.mark.parametrize("raised", RAISED)
def test_every_exception_has_its_exit_code_and_one_line(lorasent, judged, monkeypatch, raised, command):
    """Without a verdict, the code is neither 0 nor 1."""
    error, codes = RAISED[raised]

    def fail(*_, **__):
        raise error

    monkeypatch.setattr({"gate": "lorasent.gate.verdict.judged", "predict": "lorasent.scoring.scorer.load"}[command], fail)
    done = lorasent(*(gate_arguments(judged, "PASS") if command == "gate" else ["predict", judged / "sound", "fine"]))
    code = codes if isinstance(codes, int) else codes[command]
    assert done.returncode == code
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == (code not in (ending.INTERRUPTED, ending.CLOSED_PIPE))
    assert all(line.startswith("lorasent: ") for line in lines)
    assert (code == ending.INTERNAL_ERROR) == ("internal error: " in done.stderr and "--debug" in done.stderr)


WORK = {
    "train": ("lorasent.training.train.train", ["RECIPE", "--out", "mine"]),
    "augment": ("lorasent.training.run.read_splits", ["RECIPE", "--set", "augmentation.typos=0.2"]),
    "augment --judge": (
        "lorasent.augmentation.preservation.check",
        ["RECIPE", "--set", "augmentation.typos=0.2", "--judge", "ADAPTER"],
    ),
    "evaluate": ("lorasent.evaluation.console.measure", ["ADAPTER", "--data", "embedded:validation"]),
    "record": ("lorasent.scoring.evidence.record", ["ADAPTER", "--policy", "POLICY", "--out", "evidence"]),
    "prove": ("lorasent.prove.experiment.measure", ["--baseline", "ADAPTER", "--policy", "POLICY"]),
    "sweep": ("lorasent.sweep.study.run", ["RECIPE", "--confirm", "0"]),
    "benchmark": ("lorasent.benchmark.run.benchmark", ["ADAPTER"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", WORK)
def test_a_crash_of_a_command_never_exits_1(lorasent, judged, small_recipe, monkeypatch, command):
    """1 means that gate blocks, that augment's labels break, or that an adapter is slower."""
    work, arguments = WORK[command]
    monkeypatch.setattr(work, lambda *_, **__: {}["x"])
    names = {"RECIPE": small_recipe, "ADAPTER": judged / "sound", "POLICY": judged / "gate.toml"}
    done = lorasent(command.split()[0], *(names.get(argument, argument) for argument in arguments))
    assert done.returncode == ending.INTERNAL_ERROR
    assert done.stderr.splitlines()[-1].startswith("lorasent: internal error: KeyError: 'x'; run again with --debug")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("where", [0, 1, 99], ids=["first", "behind the command", "last"])
def test_debug_shows_the_traceback(lorasent, judged, monkeypatch, where):
    """Anywhere among the arguments, for bad input, too; the last line is the same as without it."""
    monkeypatch.setattr("lorasent.gate.verdict.judged", lambda *_, **__: {}["x"])
    arguments = gate_arguments(judged, "PASS")
    arguments.insert(where, "--debug")
    done = lorasent(*arguments)
    assert done.returncode == ending.INTERNAL_ERROR
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.splitlines()[-1].startswith("lorasent: internal error: KeyError: 'x'")
    assert "Traceback" in lorasent("predict", "missing", "x", "--debug").stderr


def test_a_review_may_be_spelled_like_the_option(lorasent, judged):
    """After -- every argument is a text."""
    done = lorasent("predict", judged / "sound", "--", "--debug")
    assert json.loads(done.stdout)["text"] == "--debug"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("output", "code"),
    [("/dev/full", ending.NOT_WRITTEN), (os.devnull, ending.NOT_WRITTEN), ("closed", ending.CLOSED_PIPE)],
    ids=["full disk", "read only", "closed pipe"],
)
def test_lost_output_is_reported(lorasent, judged, monkeypatch, command, output, code):
    """The code is never 0 or 1, and the interpreter finds nothing in the buffer at its end."""
    number = closed_pipe() if output == "closed" else os.open(output, os.O_RDONLY if output == os.devnull else os.O_WRONLY)
    with open(number, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a number
        monkeypatch.setattr("sys.stdout", stream)
        done = lorasent(command, judged / "sound", *(["fine"] if command == "predict" else ["--data", "embedded:validation"]))
    assert done.returncode == code
    assert done.stderr.count("\n") == (code == ending.NOT_WRITTEN), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "code"), [(">/dev/full", ending.NOT_WRITTEN), ("closed", ending.CLOSED_PIPE), ("<&- 2>&-", 0)], ids=str
)
def test_lost_help_is_reported(judged, redirected, code):
    """The interpreter adds neither a line nor a code of its own."""
    done = start(judged, ["--help"], **({"stdout": closed_pipe()} if redirected == "closed" else {"redirected": redirected}))
    assert done.returncode == code
    assert done.stderr.decode().count("\n") == (code == ending.NOT_WRITTEN), done.stderr


@pytest.mark.parametrize(("redirected", "reported"), [("", True), ("2>/dev/full", False)], ids=["standard error", "full disk"])
@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
def test_a_broken_library_has_its_code_and_one_line(judged, tmp_path, redirected, reported, debug):
    """Even if the command line itself needs it, or if standard error is lost."""
    (tmp_path / "typer.py").write_text("raise ImportError('typer is broken')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = start(judged, ["gate", "a", "--baseline", "b", *debug], redirected, env={"PYTHONPATH": path})
    assert done.returncode == ending.INTERNAL_ERROR
    lines = done.stderr.decode().splitlines()
    message = "lorasent: internal error: ImportError: typer is broken; run again with --debug for a traceback"
    assert lines[-1:] == [message] * reported
    assert (len(lines) > 1) == (reported and bool(debug))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_has_its_code_and_leaves_no_files(judged, tmp_path, number):
    """The code is 128 + its number, as a shell's; no private copy of an adapter stays."""
    folder = tmp_path / "private"
    folder.mkdir()
    (tmp_path / "gate.toml").write_text('[behaviour]\ncases = "embedded"\n')
    arguments = [sys.executable, "-m", "lorasent.cli", *map(os.fspath, gate_arguments(judged, "PASS")[:-1]), tmp_path / "gate.toml"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "LORASENT_CACHE": "", "TMPDIR": str(folder)}
    listening = {"preexec_fn": lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)]}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **listening) as process:
        while not any(folder.glob("*/*")):  # a copy is begun
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        output, errors = process.communicate()
    assert (process.returncode, output) == (128 + number, b""), errors
    assert b"Traceback" not in errors
    assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_during_a_finalizer_ends_the_command(request, number):
    """Python swallows the exception there; no verdict may come of an ended command."""
    request.addfinalizer(functools.partial(signal.signal, number, signal.getsignal(number)))
    signal.signal(number, signal.SIG_DFL)  # a suite that runs in the background may ignore it
    with pytest.raises(ending.Terminated, match=f"^{128 + number}$"), ending.signals_as_exceptions():
        something = {1}
        weakref.finalize(something, signal.raise_signal, number)
        del something


def test_exit_codes_are_documented(lorasent):
    """By --help and in the documentation, each of them."""
    shown = " ".join(lorasent("--help").stdout.split())
    assert commands.CODES in shown
    ours = (ending.INTERNAL_ERROR, ending.NOT_WRITTEN, ending.INTERRUPTED, ending.CLOSED_PIPE)
    for code in (0, 1, 2, 3, 4, *ours):
        assert re.search(rf"\b{code} \S", commands.CODES), code
        assert re.search(rf"^\| {code} \|", PAGE, re.MULTILINE), code
    assert "1 BLOCK and nothing else" in " ".join(lorasent("gate", "--help").stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("output", ["/dev/full", "closed"], ids=["full disk", "closed pipe"])
def test_lost_messages_change_nothing(lorasent, judged, tmp_path, monkeypatch, output):
    """Without standard error, the verdict is printed and the page written."""
    number = closed_pipe() if output == "closed" else os.open(output, os.O_WRONLY)
    with open(number, "w", encoding="utf-8", buffering=1) as stream, monkeypatch.context() as patch:  # noqa: PTH123 - a number
        patch.setattr("sys.stderr", stream)
        done = lorasent(*gate_arguments(judged, "PASS"), "--report", tmp_path / "page.html")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "PASS")
    assert (tmp_path / "page.html").is_file()
    again = lorasent(*gate_arguments(judged, "PASS"), "--report", tmp_path / "page.html")
    assert again.stderr == f"Written: {tmp_path / 'page.html'}\n"  # what was lost is not labels later


def test_main_restores_warnings_and_log_handlers(lorasent, monkeypatch):
    """A program may call it, such as a test suite that depends on both."""
    log = logging.getLogger("lorasent")
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    before = (warnings.formatwarning, log.handlers)
    for arguments in (["doctor"], ["--wrong"], ["predict", "nowhere", "fine"]):
        lorasent(*arguments)
        assert (warnings.formatwarning, log.handlers) == before


def test_labels_and_reviews_are_escaped(lorasent, judged, tmp_path):
    """Terminals and workflow logs obey escapes, marks and commands: JSON and tables contain none."""
    labels = ["\x1b[2J\u202e##[error]x", "::error::\nPositive"]
    hostile = shutil.copytree(judged / "sound", tmp_path / "hostile")
    manifest = json.loads((hostile / "lorasent.json").read_text())
    manifest["labels"] = manifest["recipe"]["base"]["labels"] = labels
    (hostile / "lorasent.json").write_text(json.dumps(manifest))
    (tmp_path / "in.csv").write_text("text,label\n::error::fine \u202e,1\n##[debug]poor,0\n")
    evaluate = ["evaluate", hostile, "--data", "in.csv"]
    for options in (["predict", hostile, "::error::fine"], [*evaluate, "--json"], [*evaluate, "--errors"]):
        done = lorasent(*options)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).replace("\n", "").isprintable()
        assert "##[" not in done.stdout + done.stderr
        assert not any(line.lstrip().startswith("::") for line in (done.stdout + done.stderr).split("\n"))
        if options[0] == "predict":
            assert json.loads(done.stdout)["label"] in labels
            assert json.loads(done.stdout)["text"] == "::error::fine"


@pytest.mark.slow
def test_a_warning_is_one_line(judged, tmp_path):
    """It does not name our module, and the directory's name is escaped."""
    plain = shutil.copytree(judged / "sound", tmp_path / "plain\n::error::x")
    (plain / "lorasent.json").unlink()
    done = start(judged, ["predict", plain, "fine"])
    warned = [line for line in done.stderr.decode().splitlines() if "cannot be verified" in line]
    assert len(warned) == 1, done.stderr
    assert warned[0].startswith("lorasent: warning: ")
    assert r"plain\n\x3a:error::x" in warned[0]
    assert UnverifiedAdapterWarning.__name__ not in done.stderr.decode()
