"""Experiment trackers: each by its own library and a store on this machine; what fails there is one warning."""

import logging
import math
import os
import subprocess
import sys

import pytest

from lorasent import tracking
from lorasent.errors import TrackerError
from tests.support.trackers import mlflow_run, offline_run, scalars, texts


def fill(name):
    """A whole run at one tracker."""
    report = tracking.Report([name], "a run")
    report.parameters({"lora.r": 8, "base.model": "embedded", "lora.target_modules": ["q", "v"]})
    for step in (1, 2, 3):
        report.figures({"train/step_loss": 1 / step}, step)
    report.figures({"eval/loss": 0.5, "eval/accuracy": 0.75, "not finite": math.nan}, 3)
    report.tags({"lorasent.verdict": "PASS"})
    report.texts({"verdict.json": "{}"})
    report.end()


def test_a_run_at_tensorboard(tmp_path, monkeypatch):
    """Figures by step, parameters and tags as texts, and files beside the log."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    fill("tensorboard")
    (folder,) = (tmp_path / "logs").iterdir()
    assert scalars(folder, "train/step_loss") == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert scalars(folder, "eval/accuracy") == [(3, 0.75)]
    assert "    lora.r = 8\n" in texts(folder, "parameters")
    assert texts(folder, "tags") == "    lorasent.verdict = PASS"
    assert (folder / "verdict.json").read_text() == "{}"


@pytest.mark.slow
def test_a_run_at_mlflow(mlflow_store):
    """Parameters, figures by step, tags and files, of a run that has ended."""
    fill("mlflow")
    run, history, files = mlflow_run(mlflow_store, "eval/loss", "train/step_loss")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert run.data.params == {"lora.r": "8", "base.model": "embedded", "lora.target_modules": "q, v"}
    assert run.data.metrics == {"train/step_loss": pytest.approx(1 / 3), "eval/loss": 0.5, "eval/accuracy": 0.75}
    assert history["train/step_loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert run.data.tags["lorasent.verdict"] == "PASS"
    assert files == {"verdict.json": "{}"}


@pytest.mark.slow
def test_a_run_at_weights_and_biases(tmp_path, monkeypatch):
    """Offline, its own library writes parameters, figures by step and tags into the folder that is synced later."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(name, value)
    fill("wandb")
    config, history, summary, files = offline_run(tmp_path)
    assert config["lora.r"] == 8
    assert [(row["_step"], row["train/step_loss"]) for row in history] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert history[-1]["eval/accuracy"] == 0.75
    assert summary["lorasent.verdict"] == "PASS"
    assert files == ["verdict.json"]


def test_what_fails_at_a_tracker_is_one_warning(tmp_path, monkeypatch, caplog):
    """The others hear on, the failed one nothing more, and no exception ends the run."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    class Broken(tracking.Tracker):
        def __init__(self, run):
            self.heard = []

        def parameters(self, values):
            self.heard.append(values)

        def figures(self, values, step):
            raise ConnectionError("https://me:pass@tracker hf_secret\nand more")

        tags = files = end = None

    monkeypatch.setattr(tracking, "TRACKERS", {"mlflow": Broken, "tensorboard": tracking.TensorBoard})
    report = tracking.Report(["mlflow", "tensorboard"], "a run")
    with caplog.at_level(logging.WARNING):
        report.parameters({"r": 1})
        report.figures({"loss": 1.0}, 1)
        report.tags({"a": "b"})
        report.end()
    assert caplog.messages == [
        "warning: --report-to mlflow: ConnectionError: https://***@tracker ***; the rest of this run is not reported there"
    ]
    (folder,) = (tmp_path / "logs").iterdir()
    assert scalars(folder, "loss") == [(1, 1.0)]


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_warning(monkeypatch, caplog):
    """MLflow gives up within seconds."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        with caplog.at_level(logging.WARNING, "lorasent"):
            fill("mlflow")
    finally:
        mlflow.set_tracking_uri(before)
    (message,) = [record.getMessage() for record in caplog.records if record.name == "lorasent.tracking"]
    assert message.startswith("warning: --report-to mlflow: ")
    assert message.endswith("; the rest of this run is not reported there")


def test_an_unknown_tracker_and_a_missing_library_are_named(monkeypatch):
    """With what to choose, and what to install."""
    with pytest.raises(TrackerError, match=r"--report-to neptune: no such tracker; choose of mlflow, wandb, tensorboard"):
        tracking.require(["neptune"])
    monkeypatch.setattr(tracking.MLflow, "package", "no_such_package")
    with pytest.raises(TrackerError, match=r"--report-to mlflow: needs no_such_package; install .* 'lorasent\[mlflow\]'"):
        tracking.require(["mlflow"])


def test_names_are_those_that_every_tracker_takes():
    """Other characters are replaced, and names that become equal are told apart."""
    names = {"behaviour/n\u00e9gation": 1, "behaviour/n\u00e8gation": 2, "../../etc": 3, "quality::accuracy": 4, "a" * 500: 5}
    assert list(tracking.named(names)) == ["behaviour/n_gation", "behaviour/n_gation_2", "_/_/etc", "quality__accuracy", "a" * 200]


def test_what_a_library_prints_is_no_result(monkeypatch, capsys):
    """It goes to standard error."""

    class Loud(tracking.TensorBoard):
        def __init__(self, run):
            print("View run at", run)

        def end(self, *, failed):
            print("ended")

    monkeypatch.setattr(tracking, "TRACKERS", {"tensorboard": Loud})
    tracking.Report(["tensorboard"], "a run").end()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "View run at a run\nended\n")


@pytest.mark.slow
def test_a_full_disk_costs_a_warning(tmp_path):
    """Not the run: no file may grow beyond what is allowed."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import logging; logging.basicConfig();"
        "from lorasent import tracking; report = tracking.Report(['tensorboard'], 'a run'); report.tags({'before': 'b'});"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "report.texts({'report.html': 'x' * 100}); report.end(); print('done')"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    environment |= {"TENSORBOARD_LOGGING_DIR": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "warning: --report-to tensorboard: OSError: [Errno 27] File too large" in done.stderr
