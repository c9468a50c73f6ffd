"""gate --report-to: the verdict goes to trackers once it is said, and nothing there can change it."""

import json

import pytest

from lorasent import tracking
from tests.support.trackers import scalars


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["sound", "swapped"], ids=["PASS", "BLOCK"])
def test_a_tracker_that_fails_changes_no_verdict(lorasent, judged, monkeypatch, tmp_path, candidate):
    """The same exit code and the same output, and one line more that says what was not reported; nothing is opened before."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "file"))
    command = ["gate", judged / candidate, "--baseline", judged / "sound", "--policy", judged / "gate.toml", "--json"]
    plain, reported = lorasent(*command), lorasent(*command, "--report-to", "tensorboard")
    assert plain.returncode == {"sound": 0, "swapped": 1}[candidate]
    assert (reported.returncode, reported.stdout) == (plain.returncode, plain.stdout)
    (line,) = [line for line in reported.stderr.splitlines() if "report-to" in line]
    assert line.startswith("warning: --report-to tensorboard: ")


def test_the_gate_reports_its_verdict(lorasent, judged, monkeypatch, tmp_path):
    """With its JSON and its page, once it is printed."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    command = ["gate", judged / "swapped", "--baseline", judged / "sound", "--policy", judged / "gate.toml", "--json"]
    done = lorasent(*command, "--report-to", "tensorboard")
    assert done.returncode == 1
    (folder,) = (tmp_path / "logs").iterdir()
    assert json.loads((folder / "verdict.json").read_text()) == json.loads(done.stdout)
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert scalars(folder, "gate/exit_code") == [(0, 1.0)]


def test_an_unknown_tracker_is_named_before_judging(lorasent, judged):
    """Exit code 2, and no verdict."""
    done = lorasent("gate", judged / "sound", "--report-to", "neptune", "--policy", judged / "gate.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--report-to neptune: no such tracker; choose of {', '.join(tracking.TRACKERS)}" in done.stderr
