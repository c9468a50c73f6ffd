"""A training run at experiment trackers: what it was made from, what was measured, and which adapter came out."""

import json

import pytest

from lorasent import Recipe, train
from lorasent.adapter.manifest import identity
from lorasent.errors import TrackerError, TrainingError
from lorasent.files import sha256
from lorasent.training.run import Listener
from tests.support.trackers import mlflow_run, scalars, texts


@pytest.mark.slow
def test_a_run_is_reported_and_changes_no_bit(small_recipe, small_adapter, tmp_path, monkeypatch, mlflow_store):
    """Recipe, losses by step and epoch, validation figures, the adapter's hash; the adapter is that of an unreported run."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    done = train(Recipe.read(small_recipe), tmp_path / "adapter", report_to=["mlflow", "tensorboard"])
    assert sha256(done.path / "adapter_model.safetensors") == sha256(small_adapter / "adapter_model.safetensors")
    run, history, files = mlflow_run(mlflow_store, "train/step_loss", "train/loss", "eval/loss", "eval/accuracy")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "train adapter")
    assert (run.data.params["lora.r"], run.data.params["training.seed"]) == ("2", "0")
    assert run.data.params["data.train"] == "embedded:train"
    assert run.data.params["trainable_parameters"] == str(json.loads(files["lorasent.json"])["parameters"]["trainable"])
    assert history["train/loss"] == [(6 * row.epoch, row.training_loss) for row in done.epochs]
    assert history["eval/accuracy"] == [(6 * row.epoch, row.accuracy) for row in done.epochs]
    assert [step for step, _ in history["train/step_loss"]] == list(range(1, 19))
    first = [loss for step, loss in history["train/step_loss"] if step <= 6]
    assert sum(first) / 6 == pytest.approx(done.epochs[0].training_loss, abs=1e-4)
    assert run.data.tags["lorasent.adapter_sha256"] == identity(done.path)
    (folder,) = (tmp_path / "logs").iterdir()
    assert scalars(folder, "eval/loss") == [(6 * row.epoch, pytest.approx(row.validation_loss)) for row in done.epochs]
    assert "    lora.r = 2" in texts(folder, "parameters")
    assert (folder / "lorasent.json").read_bytes() == (done.path / "lorasent.json").read_bytes()


@pytest.mark.slow
def test_a_run_that_fails_is_said_to_have_failed(small_recipe, tmp_path, monkeypatch):
    """At the tracker, and the error is the run's own."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))

    class Stops(Listener):
        def epoch(self, row):
            raise TrainingError("stopped")

    with pytest.raises(TrainingError, match=r"stopped"):
        train(Recipe.read(small_recipe), tmp_path / "adapter", listener=Stops(), report_to="tensorboard")
    (folder,) = (tmp_path / "logs").iterdir()
    assert texts(folder, "tags") == "    status = failed"


def test_an_unknown_tracker_stops_a_run_before_it_begins(small_recipe, tmp_path):
    """No folder is made."""
    with pytest.raises(TrackerError, match=r"--report-to neptune: no such tracker"):
        train(Recipe.read(small_recipe), tmp_path / "adapter", report_to="neptune")
    assert list(tmp_path.iterdir()) == []
