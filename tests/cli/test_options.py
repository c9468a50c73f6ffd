"""Checks of arguments: bad ones are refused in one line, before the work begins."""

import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest


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
    """Exit code 2, before anything is read."""
    (tmp_path / "file").write_text("what was there")
    (tmp_path / "dangling").symlink_to("nowhere")
    done = lorasent(*(judged / "gate.toml" if argument == "POLICY" else argument for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lorasent: {message}")
    assert (tmp_path / "file").read_text() == "what was there"
    assert not (tmp_path / "nowhere").exists()


WRITES = {
    "gate --report": (
        "lorasent.gate.verdict.judged",
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
def test_an_output_that_cannot_be_written_is_refused_before_the_work(lorasent, judged, tmp_path, monkeypatch, option, place):
    """An input is never overwritten."""
    work, arguments = WRITES[option]
    monkeypatch.setattr(work, lambda *_, **__: pytest.fail("the work was done"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "reviews.csv").write_text("text\nfine\n")
    shutil.copy(judged / "gate.toml", tmp_path)
    read = "reviews.csv" if option.startswith("predict") else "gate.toml"
    before = sorted(tmp_path.rglob("*")), (tmp_path / read).read_text()
    names = {"ADAPTER": judged / "sound", "POLICY": tmp_path / "gate.toml"}
    done = lorasent(*(names.get(argument, argument) for argument in arguments), read if place == "input" else place)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"lorasent: .*(expected a file|exists already|no such file is open|is read by this command).*\n", done.stderr
    )
    assert (sorted(tmp_path.rglob("*")), (tmp_path / read).read_text()) == before


@pytest.mark.slow
@pytest.mark.parametrize("option", ["gate --report", "prove --out", "predict --output"])
def test_writing_keeps_the_kind_and_mode_of_a_file(lorasent, judged, tmp_path, option):
    """A device, a FIFO and a link stay what they are; a private file stays private."""
    (tmp_path / "reviews.csv").write_text("text\nfine\n")
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "link").symlink_to("private")
    (tmp_path / "null").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "fifo")
    names = {"ADAPTER": judged / "sound", "POLICY": judged / "gate.toml"}
    arguments = [*(names.get(argument, argument) for argument in WRITES[option][1][:-1]), WRITES[option][1][-1]]
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
