"""How commands end: exit codes that mean one thing each, output that arrives or is missed, files that stay what they were."""

import errno
import json
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorasent.adapter.directory import UnverifiedAdapterWarning
from lorasent.cli import commands, ending
from lorasent.errors import AdapterError, PolicyError

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")

VERDICTS = {"PASS": 0, "BLOCK": 1, "INVALID": 4}


class PanicError(BaseException):
    """What a library in Rust raises when it panics is no Exception."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory, small_adapter):
    """A folder with sound adapters, one whose labels are swapped, a policy, and a cache that fills."""
    folder = tmp_path_factory.mktemp("judged")
    for name in ("sound", "swapped"):
        shutil.copytree(small_adapter, folder / name)
    manifest = json.loads((folder / "swapped" / "lorasent.json").read_text())
    (folder / "swapped" / "lorasent.json").write_text(json.dumps({**manifest, "labels": manifest["labels"][::-1]}))
    (folder / "gate.toml").write_text("[integrity]\n")
    return folder


def sides(folder, verdict, name="größe"):
    """The arguments of `gate` that end in a verdict; the candidate has a name of its own."""
    candidate, baseline = {"PASS": ("sound", "sound"), "BLOCK": ("swapped", "sound"), "INVALID": ("sound", "swapped")}[verdict]
    link = folder / f"{name}-{verdict}"
    if not link.exists():
        shutil.copytree(folder / candidate, link)
    return ["gate", link, "--baseline", folder / baseline, "--policy", folder / "gate.toml"]


def start(folder, arguments, redirected="", **how):
    """The command line as a process, with its streams redirected by a shell."""
    command = ["bash", "-c", f'"$@" {redirected}', "bash", sys.executable, "-m", "lorasent.cli", *map(os.fspath, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "LORASENT_CACHE": str(folder / "cache"), **how.pop("env", {})}
    return subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, check=False, timeout=300, **({"stdout": subprocess.PIPE} | how)
    )


def closed_pipe():
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.slow
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize(
    ("output", "passed"),
    [
        ("an ASCII console", 0),
        ("a pipe closed by its reader", 0),
        ("a full disk", ending.NOT_WRITTEN),
        ("no standard output", ending.NOT_WRITTEN),
        ("no standard error", 0),
    ],
    ids=["ASCII console", "closed pipe", "full disk", "no output", "no errors"],
)
def test_a_verdicts_exit_code_holds_wherever_it_is_written(judged, verdict, output, passed):
    """1 is BLOCK and nothing else; a PASS that could not be written is none."""
    how = {
        "an ASCII console": {"env": {"PYTHONIOENCODING": "ascii"}},
        "a pipe closed by its reader": {"stdout": closed_pipe()},
        "a full disk": {"redirected": ">/dev/full"},
        "no standard output": {"redirected": ">&-"},
        "no standard error": {"redirected": "2>&-"},
    }[output]
    done = start(judged, sides(judged, verdict), **how)
    assert done.returncode == (VERDICTS[verdict] or passed), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.stderr.decode().count("\n") == (output in ("a full disk", "no standard output"))
    if output in ("an ASCII console", "no standard error"):
        assert done.stdout.decode().startswith(f"{verdict}: ")


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["table", "json"])
def test_a_name_that_is_not_utf8_is_shown_escaped(lorasent, judged, tmp_path, as_json):
    """On standard output, in the page and as JSON; the verdict is the verdict."""
    done = lorasent(*map(os.fspath, sides(judged, "PASS", "caf\udce9")), *as_json, "--report", "page\n.html")
    assert (done.returncode, done.stderr) == (0, "Written: page\\n.html\n")
    assert r"caf\udce9-PASS" in done.stdout
    assert r"caf\udce9-PASS" in (tmp_path / "page\n.html").read_text("utf-8")


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
def test_what_is_raised_has_its_code_and_one_line(lorasent, judged, monkeypatch, raised, command):
    """Whatever ends without a verdict is neither 0 nor 1, and says so in one line."""
    error, codes = RAISED[raised]

    def fail(*_, **__):
        raise error

    monkeypatch.setattr({"gate": "lorasent.gate.verdict.judge", "predict": "lorasent.scoring.scorer.load"}[command], fail)
    done = lorasent(*(sides(judged, "PASS") if command == "gate" else ["predict", judged / "sound", "fine"]))
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
}


@pytest.mark.parametrize("command", WORK)
def test_a_crash_of_any_command_is_no_1(lorasent, judged, small_recipe, monkeypatch, command):
    """augment's 1 says that labels break, and the others have none."""
    work, arguments = WORK[command]
    monkeypatch.setattr(work, lambda *_, **__: {}["x"])
    names = {"RECIPE": small_recipe, "ADAPTER": judged / "sound", "POLICY": judged / "gate.toml"}
    done = lorasent(command.split()[0], *(names.get(one, one) for one in arguments))
    assert done.returncode == ending.INTERNAL_ERROR
    assert done.stderr.splitlines()[-1].startswith("lorasent: internal error: KeyError: 'x'; run again with --debug")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("where", [0, 1, 99], ids=["first", "behind the command", "last"])
def test_debug_shows_the_traceback(lorasent, judged, monkeypatch, where):
    """Wherever it stands; of bad input, too; and the last line is the same."""
    monkeypatch.setattr("lorasent.gate.verdict.judge", lambda *_: {}["x"])
    arguments = sides(judged, "PASS")
    arguments.insert(where, "--debug")
    done = lorasent(*arguments)
    assert done.returncode == ending.INTERNAL_ERROR
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.splitlines()[-1].startswith("lorasent: internal error: KeyError: 'x'")
    assert "Traceback" in lorasent("predict", "missing", "x", "--debug").stderr


def test_a_review_may_be_called_as_the_option(lorasent, judged):
    """Behind -- everything is a text."""
    done = lorasent("predict", judged / "sound", "--", "--debug")
    assert json.loads(done.stdout)["text"] == "--debug"


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("output", "code"),
    [("/dev/full", ending.NOT_WRITTEN), (os.devnull, ending.NOT_WRITTEN), ("closed", ending.CLOSED_PIPE)],
    ids=["full disk", "read only", "closed pipe"],
)
def test_output_that_is_lost_is_told(lorasent, judged, monkeypatch, command, output, code):
    """Never 0, never 1, and nothing is left in the buffer that the interpreter would stumble over at its end."""
    number = closed_pipe() if output == "closed" else os.open(output, os.O_RDONLY if output == os.devnull else os.O_WRONLY)
    with open(number, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a number
        monkeypatch.setattr("sys.stdout", stream)
        done = lorasent(command, judged / "sound", *(["fine"] if command == "predict" else ["--data", "embedded:validation"]))
    assert done.returncode == code
    assert done.stderr.count("\n") == (code == ending.NOT_WRITTEN), done.stderr


@pytest.mark.parametrize(
    ("redirected", "code"), [(">/dev/full", ending.NOT_WRITTEN), ("closed", ending.CLOSED_PIPE), ("<&- 2>&-", 0)], ids=str
)
def test_help_that_is_lost_is_told(judged, redirected, code):
    """To its end: the interpreter adds neither a line nor a code of its own."""
    done = start(judged, ["--help"], **({"stdout": closed_pipe()} if redirected == "closed" else {"redirected": redirected}))
    assert done.returncode == code
    assert done.stderr.decode().count("\n") == (code == ending.NOT_WRITTEN), done.stderr


@pytest.mark.parametrize(("redirected", "said"), [("", True), ("2>/dev/full", False)], ids=["standard error", "full disk"])
@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
def test_a_broken_library_has_its_code_and_one_line(judged, tmp_path, redirected, said, debug):
    """Also where the command line itself is made of it, and where nothing can be said."""
    (tmp_path / "typer.py").write_text("raise ImportError('typer is broken')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = start(judged, ["gate", "a", "--baseline", "b", *debug], redirected, env={"PYTHONPATH": path})
    assert done.returncode == ending.INTERNAL_ERROR
    lines = done.stderr.decode().splitlines()
    message = "lorasent: internal error: ImportError: typer is broken; run again with --debug for a traceback"
    assert lines[-1:] == [message] * said
    assert (len(lines) > 1) == (said and bool(debug))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_has_its_code_and_leaves_nothing(judged, tmp_path, number):
    """128 and its number, as from a shell; no private copy of an adapter stays behind."""
    folder = tmp_path / "private"
    folder.mkdir()
    (tmp_path / "gate.toml").write_text('[behaviour]\ncases = "embedded"\n')
    arguments = [sys.executable, "-m", "lorasent.cli", *map(os.fspath, sides(judged, "PASS")[:-1]), tmp_path / "gate.toml"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "LORASENT_CACHE": "", "TMPDIR": str(folder)}
    listening = {"preexec_fn": lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)]}
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
def test_a_signal_that_nobody_could_catch_ends_the_command_all_the_same(number):
    """Python swallows what is raised in a finalizer: no verdict may come of a command that was told to end."""
    with pytest.raises(ending.Ended) as ended, ending.signals():
        something = {1}
        weakref.finalize(something, signal.raise_signal, number)
        del something
    assert ended.value.code == 128 + number


def test_the_codes_are_documented(lorasent):
    """By --help and in the README, each of them."""
    shown = " ".join(lorasent("--help").stdout.split())
    assert commands.CODES in shown
    ours = (ending.INTERNAL_ERROR, ending.NOT_WRITTEN, ending.INTERRUPTED, ending.CLOSED_PIPE)
    for code in (0, 1, 2, 3, 4, *ours):
        assert re.search(rf"\b{code} \S", commands.CODES), code
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code
    assert "1 BLOCK and for nothing else" in " ".join(lorasent("gate", "--help").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate", "", "--baseline", "b"], "argument 2 (an empty text): expected a value; is a variable not set?"),
        (["gate", "a", "--baseline", ""], "argument 4 (an empty text)"),
        (["gate", "a", "--baseline", "b", "--data="], "argument 5 (--data=)"),
        (["predict", "a", "--output", ""], "argument 4 (an empty text)"),
        (["gate", "a", "--baseline", "b", "--policy", "."], ".: "),
        (["sweep", "--out", "file"], "--out file: expected a directory, or a new one"),
        (["sweep", "--out", "dangling"], "--out dangling: expected a directory, or a new one"),
        (["train", "--out", "file"], "file: exists already; choose another --out or remove it"),
        (["train", "--out", "dangling"], "dangling: exists already; choose another --out or remove it"),
        (["prove", "--baseline", "a", "--policy", "POLICY", "--work", "file"], "--work file: expected a directory, or a new one"),
    ],
    ids=[
        *(
            "no candidate",
            "no baseline",
            "no data",
            "no output",
            "policy is a folder",
            "sweep onto a file",
            "sweep onto a dangling link",
        ),
        *("train onto a file", "train onto a dangling link", "proof onto a file"),
    ],
)
def test_bad_arguments_are_one_line(lorasent, judged, tmp_path, arguments, message):
    """Exit 2 before anything is read."""
    (tmp_path / "file").write_text("what was there")
    (tmp_path / "dangling").symlink_to("nowhere")
    done = lorasent(*(judged / "gate.toml" if one == "POLICY" else one for one in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lorasent: {message}")
    assert (tmp_path / "file").read_text() == "what was there"
    assert not (tmp_path / "nowhere").exists()


WRITES = {
    "gate --report": (
        "lorasent.gate.verdict.judge",
        ["gate", "ADAPTER", "--baseline", "ADAPTER", "--policy", "POLICY", "--report"],
    ),
    "prove --out": ("lorasent.prove.experiment.measure", ["prove", "--baseline", "ADAPTER", "--policy", "POLICY", "--out"]),
    "record --out": ("lorasent.scoring.evidence.record", ["record", "ADAPTER", "--policy", "POLICY", "--out"]),
    "predict --output": ("lorasent.scoring.scorer.load", ["predict", "ADAPTER", "--input", "reviews.csv", "--output"]),
}


@pytest.mark.parametrize(
    "place",
    ["no/where", "folder", "file/x", "-", "/dev/fd/987", "input"],
    ids=["missing", "folder", "below a file", "dash", "fd", "input"],
)
@pytest.mark.parametrize("option", WRITES)
def test_what_cannot_be_written_is_known_before_the_work(lorasent, judged, tmp_path, monkeypatch, option, place):
    """Not after half an hour of judging; what is read is not written over."""
    work, arguments = WRITES[option]
    monkeypatch.setattr(work, lambda *_, **__: pytest.fail("the work was done"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "reviews.csv").write_text("text\nfine\n")
    shutil.copy(judged / "gate.toml", tmp_path)
    read = "reviews.csv" if option.startswith("predict") else "gate.toml"
    before = sorted(tmp_path.rglob("*")), (tmp_path / read).read_text()
    names = {"ADAPTER": judged / "sound", "POLICY": tmp_path / "gate.toml"}
    done = lorasent(*(names.get(one, one) for one in arguments), read if place == "input" else place)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"lorasent: .*(expected a file|exists already|no such file is open|is read by this command).*\n", done.stderr
    )
    assert (sorted(tmp_path.rglob("*")), (tmp_path / read).read_text()) == before


@pytest.mark.parametrize("option", ["gate --report", "prove --out", "predict --output"])
def test_what_is_written_onto_stays_what_it_was(lorasent, judged, tmp_path, option):
    """A device, a FIFO and a link are still one; a private file is private."""
    (tmp_path / "reviews.csv").write_text("text\nfine\n")
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "link").symlink_to("private")
    (tmp_path / "null").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "fifo")
    names = {"ADAPTER": judged / "sound", "POLICY": judged / "gate.toml"}
    arguments = [*(names.get(one, one) for one in WRITES[option][1][:-1]), WRITES[option][1][-1]]
    extra = ["--fault", "head missing", "--per-fault", "1"] if option.startswith("prove") else []
    with ThreadPoolExecutor(1) as beside:
        read = beside.submit((tmp_path / "fifo").read_text)
        for place in ("link", "null", "fifo"):
            done = lorasent(*arguments, place, *extra)
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert (tmp_path / "private").read_text() != "old"
    assert read.result()
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(("candidate", "code"), [("PASS", ending.NOT_WRITTEN), ("BLOCK", 1)])
def test_a_page_that_cannot_be_written_takes_no_verdict_away(lorasent, judged, candidate, code):
    """It is printed, and the exit code is no PASS."""
    done = lorasent(*sides(judged, candidate), "--report", "/dev/full")
    assert done.returncode == code
    assert done.stdout.startswith(f"{candidate}: ")
    assert done.stderr == "lorasent: --report /dev/full: cannot be written: No space left on device\n"


@pytest.mark.parametrize("output", ["/dev/full", "closed"], ids=["full disk", "closed pipe"])
def test_messages_that_are_lost_change_nothing(lorasent, judged, tmp_path, monkeypatch, output):
    """Standard error is for the rest: the verdict is told, the page written."""
    number = closed_pipe() if output == "closed" else os.open(output, os.O_WRONLY)
    with open(number, "w", encoding="utf-8", buffering=1) as stream, monkeypatch.context() as patch:  # noqa: PTH123 - a number
        patch.setattr("sys.stderr", stream)
        done = lorasent(*sides(judged, "PASS"), "--report", tmp_path / "page.html")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "PASS")
    assert (tmp_path / "page.html").is_file()
    again = lorasent(*sides(judged, "PASS"), "--report", tmp_path / "page.html")
    assert again.stderr == f"Written: {tmp_path / 'page.html'}\n"  # what was lost is not said later


def test_a_program_that_calls_the_command_line_keeps_its_ways(lorasent, monkeypatch):
    """How it shows warnings, and who hears the package's log: another's tests in the same process hang on both."""
    log = logging.getLogger("lorasent")
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    before = (warnings.formatwarning, log.handlers)
    for arguments in (["doctor"], ["--wrong"], ["predict", "nowhere", "fine"]):
        lorasent(*arguments)
        assert (warnings.formatwarning, log.handlers) == before


def test_what_an_adapter_says_reaches_no_terminal(lorasent, judged, tmp_path):
    """Labels with escapes, marks and commands: JSON says the same with escapes of its own, tables show them escaped."""
    said = ["\x1b[2J\u202e##[error]x", "::error::\nPositive"]
    hostile = shutil.copytree(judged / "sound", tmp_path / "hostile")
    manifest = json.loads((hostile / "lorasent.json").read_text())
    manifest["labels"] = manifest["recipe"]["base"]["labels"] = said
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
            assert json.loads(done.stdout)["label"] in said
            assert json.loads(done.stdout)["text"] == "::error::fine"


@pytest.mark.slow
def test_a_warning_is_one_line(judged, tmp_path):
    """Without the name of our module, and whatever the directory is called."""
    plain = shutil.copytree(judged / "sound", tmp_path / "plain\n::error::x")
    (plain / "lorasent.json").unlink()
    done = start(judged, ["predict", plain, "fine"])
    warned = [line for line in done.stderr.decode().splitlines() if "cannot be verified" in line]
    assert len(warned) == 1, done.stderr
    assert warned[0].startswith("lorasent: warning: ")
    assert r"plain\n\x3a:error::x" in warned[0]
    assert UnverifiedAdapterWarning.__name__ not in done.stderr.decode()
