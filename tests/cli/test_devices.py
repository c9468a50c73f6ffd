"""Devices, precision and progress on the command line."""

import io
import re

import pytest
import torch

from lorasent.cli import judging, messages, scoring, training
from tests.cli.processes import gate_arguments, one_line

COMMANDS = {
    "predict": ["ADAPTER", "fine"],
    "evaluate": ["ADAPTER", "--data", "embedded:validation"],
    "gate": ["ADAPTER", "--baseline", "ADAPTER", "--policy", "FOLDER/gate.toml"],
    "record": ["ADAPTER", "--out", "record", "--policy", "FOLDER/gate.toml"],
    "prove": ["--baseline", "ADAPTER", "--policy", "FOLDER/gate.toml"],
    "train": ["embedded", "--out", "new"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_one_line(lorasent, judged, tmp_path, command):
    """Before the work; nothing is written, and nothing falls back to another device."""
    arguments = [word.replace("ADAPTER", f"{judged}/sound").replace("FOLDER", str(judged)) for word in COMMANDS[command]]
    one_line(lorasent(command, *arguments, "--device", "cuda:99"), "device cuda:99: not here; torch ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_predict_says_its_precision_where_it_matters(lorasent, judged, tmp_path):
    """Of a file; a pipe hears nothing. A precision that is named is not told."""
    (tmp_path / "in.csv").write_text("text\nfine\npoor\n")
    asked = ["predict", judged / "sound", "--input", "in.csv"]
    said = lorasent(*asked, "--output", "out").stderr
    assert re.fullmatch(r"Precision: (bf16|fp32), on cpu \(evaluate and gate: fp32\)\nWritten: out\n", said)
    assert lorasent(*asked, "--output", "out", "--precision", "fp32").stderr == "Written: out\n"
    assert lorasent(*asked).stderr == ""


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal gets of the messages."""
    written = io.StringIO()
    console = messages.MessageConsole(file=written, force_terminal=True, width=100, highlight=False, markup=False)
    for module in (messages, scoring, judging, training):
        monkeypatch.setattr(module, "console", console)
    return written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "stages"),
    [
        ("evaluate", ["answering 100 reviews"]),
        ("predict", ["labelling reviews"]),
        ("record", ["loading sound", "answering 20 texts: sound"]),
        ("gate", ["checking files and weights", "loading", "answering 20 texts: größe-PASS"]),
    ],
)
def test_long_work_shows_its_stages_on_a_terminal(lorasent, judged, tmp_path, terminal, own_cache, command, stages):
    """With how much of each is done; standard output is the same as elsewhere, where no stage is told."""
    (tmp_path / "in.csv").write_text("text\nfine\npoor\n")
    policy = tmp_path / "data.toml"
    policy.write_text('[quality]\nmargin = 0.5\n[data]\ntest = "embedded:validation"\nsample = 20\n')
    arguments = {
        "evaluate": ["evaluate", judged / "sound", "--data", "embedded:validation"],
        "predict": ["predict", judged / "sound", "--input", "in.csv", "--output", "out"],
        "record": ["record", judged / "sound", "--policy", policy, "--out", "record"],
        "gate": [*gate_arguments(judged, "PASS")[:-1], policy],
    }[command]
    done = lorasent(*arguments)
    assert done.returncode in (0, 3), done.stderr
    assert done.stderr == ""
    positions = [terminal.getvalue().find(stage) for stage in stages]
    assert min(positions) > -1
    assert positions == sorted(positions)
    total = {"evaluate": "100/100", "predict": "2/2"}.get(command, "20/20")
    assert total in terminal.getvalue()
    assert not re.search(r"answering|\x1b", done.stdout)


def test_elsewhere_no_stage_is_shown(lorasent, judged):
    """A log has results and messages alone."""
    assert lorasent("evaluate", judged / "sound", "--data", "embedded:validation").stderr == ""


@pytest.mark.gpu
def test_the_command_line_takes_the_gpu(lorasent, judged, monkeypatch):
    """By itself, where there is one."""
    monkeypatch.delenv("LORASENT_DEVICE")
    assert "auto = cuda" in lorasent("doctor").stdout
    torch.cuda.reset_peak_memory_stats()
    assert lorasent("predict", judged / "sound", "fine").returncode == 0
    assert torch.cuda.max_memory_allocated() > 0
