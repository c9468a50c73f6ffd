"""A training run at experiment trackers: the recipe as parameters, losses and validation figures, and the adapter's hash."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lorasent import tracking
from lorasent.adapter.manifest import MANIFEST, identity
from lorasent.scoring.scorer import Prediction
from lorasent.training.run import Epoch, Listener, Prepared, Trained


@contextlib.contextmanager
def reported(listener: Listener, trackers: Sequence[str]) -> Iterator[Listener]:
    """A listener that also reports a run to trackers, and says there whether it ended well. Raises TrackerError at once."""
    if isinstance(trackers, str):
        trackers = [trackers]
    tracking.require(trackers)
    if not trackers:
        yield listener
        return
    both = Tracked(listener, trackers)
    try:
        yield both
    except BaseException:
        both.end(failed=True)
        raise
    both.end(failed=False)


class Tracked(Listener):
    """Passes each event on to `listener`, and reports it. Figures have the names that transformers gives them: eval/loss."""

    def __init__(self, listener: Listener, trackers: Sequence[str]) -> None:
        self.listener = listener
        self.trackers = trackers
        self.report: tracking.Report | None = None

    def prepared(self, run: Prepared) -> None:
        """Begins the run at the trackers: what it is made from."""
        self.listener.prepared(run)
        self.steps_per_epoch = run.steps_per_epoch
        self.report = tracking.Report(self.trackers, f"train {run.out.name}")
        self.report.parameters({**_flat(run.recipe.to_json()), **_made_from(run)})

    def untrained(self, predictions: list[Prediction]) -> None:
        """Reports nothing."""
        self.listener.untrained(predictions)

    def step(self, done: int, total: int) -> None:
        """Reports nothing."""
        self.listener.step(done, total)

    def loss(self, step: int, loss: float) -> None:
        """Reports the loss of a step's batch."""
        self.listener.loss(step, loss)
        if self.report:
            self.report.figures({"train/step_loss": loss}, step)

    def epoch(self, row: Epoch) -> None:
        """Reports the row of the epoch table."""
        self.listener.epoch(row)
        if self.report:
            self.report.figures(_figures(row), row.epoch * self.steps_per_epoch)

    def trained(self, result: Trained, predictions: list[Prediction]) -> None:
        """Reports the adapter's hash, its best epoch and its manifest."""
        self.listener.trained(result, predictions)
        if self.report:
            tags = {"adapter_sha256": identity(result.path), "best_epoch": str(result.best.epoch), "adapter": result.path.name}
            self.report.tags({f"lorasent.{name}": value for name, value in tags.items()})
            self.report.texts({MANIFEST: (result.path / MANIFEST).read_text("utf-8")})

    def end(self, *, failed: bool) -> None:
        """Ends the run at the trackers."""
        if self.report:
            self.report.end(failed=failed)


def _figures(row: Epoch) -> dict[str, float]:
    validation = {name: value for name, value in asdict(row).items() if name not in ("epoch", "training_loss", "validation_loss")}
    losses = {"train/epoch": row.epoch, "train/loss": row.training_loss, "eval/loss": row.validation_loss}
    return losses | {f"eval/{name}": value for name, value in validation.items()}


def _made_from(run: Prepared) -> dict[str, Any]:
    counts = run.parameters
    return {
        "recipe_sha256": run.recipe.fingerprint,
        "base_sha256": run.base.sha256,
        "train_sha256": run.train.fingerprint,
        "validation_sha256": run.validation.fingerprint,
        "train_reviews": len(run.train),
        "validation_reviews": len(run.validation),
        "trainable_parameters": counts.trainable,
        "total_parameters": counts.total,
        "device": run.device,
        "bf16": run.bf16,
        "resumed_epochs": run.resumed_epochs,
    }


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The keys of tables by their full name, such as lora.r."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
