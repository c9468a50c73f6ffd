"""A run's input, checkpoints and result: the epoch table, early stopping, the best epoch, and listeners to its events.

Trainer writes a checkpoint after each epoch, named by its last step. It is whole once it has the file `COMPLETE`.
"""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorasent.adapter.base import BaseCheckpoint
from lorasent.adapter.classifier import ParameterCount
from lorasent.adapter.encoding import Ids
from lorasent.augmentation import ways
from lorasent.data.reviews import Reviews, ReviewsLike, read, without_overlap
from lorasent.recipe.recipe import Recipe, Training
from lorasent.scoring.scorer import Prediction
from lorasent.training.ranks import Ranks

COMPLETE = "complete"
"""Name of the file that marks a checkpoint as whole; it is written last."""

AVERAGE = "average.safetensors"
"""Name of the file with the moving average, beside a checkpoint's weights."""

LEARNT = 0.01
"""Nats by which a validation loss must be below the loss of a guess to show that the run has learnt anything."""


@dataclass(frozen=True)
class Epoch:
    """A row of the epoch table; the metrics are of the validation reviews."""

    epoch: int
    training_loss: float
    """Mean in nats, with label smoothing and dropout."""
    validation_loss: float
    """Mean negative log-likelihood in nats."""
    accuracy: float
    precision: float
    recall: float
    f1: float
    mcc: float


@dataclass(frozen=True)
class Prepared:
    """The input of a run."""

    out: Path
    folder: Path
    """The folder of the run's checkpoints."""
    recipe: Recipe
    base: BaseCheckpoint
    train: Reviews
    validation: Reviews
    removed: int
    """Reviews removed from train because validation has them too."""
    lengths: Ids
    """Tokens of each training review before truncation."""
    parameters: ParameterCount
    device: str
    bf16: bool
    resumed_steps: int
    """Steps of the checkpoint from which the run continues; 0 for a new run."""
    ranks: Ranks
    """This process among those of the run."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch: batches, the last of which may be short."""
        return math.ceil(len(self.train) / self.recipe.training.batch_size)

    @property
    def steps(self) -> int:
        """Optimiser steps in all epochs."""
        return self.steps_per_epoch * self.recipe.training.epochs

    @property
    def resumed_epochs(self) -> int:
        """Epochs that were done before the run was interrupted."""
        return self.resumed_steps // self.steps_per_epoch

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after this step."""
        return self.folder / f"checkpoint-{step}"

    def keep_checkpoints(self, steps: Iterable[int]) -> None:
        """Removes all checkpoints but those after these steps."""
        for checkpoint in {*self.folder.glob("checkpoint-*")} - {self.checkpoint(step) for step in steps}:
            shutil.rmtree(checkpoint)


@dataclass(frozen=True)
class Trained:
    """The result of a run: its epoch table, the row whose weights were kept, and its duration."""

    path: Path
    epochs: list[Epoch]
    best: Epoch
    seconds: float


class Listener:
    """Receives the events of a run. Each method may be overridden."""

    def prepared(self, run: Prepared) -> None:
        """Data, base and model are ready."""

    def untrained(self, predictions: list[Prediction]) -> None:
        """The untrained model answered the sample reviews."""

    def step(self, done: int, total: int) -> None:
        """An optimiser step is done."""

    def loss(self, step: int, loss: float) -> None:
        """The training loss of a step's batch, in nats; steps count from 1."""

    def epoch(self, row: Epoch) -> None:
        """An epoch is done and evaluated."""

    def trained(self, result: Trained, predictions: list[Prediction]) -> None:
        """The adapter is written; the best epoch's model answered the sample reviews."""


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps after which the whole checkpoints in a run's folder were written."""
    return [int(file.parent.name.rpartition("-")[2]) for file in folder.glob(f"checkpoint-*/{COMPLETE}")]


def read_splits(
    recipe: Recipe, train: ReviewsLike | None = None, validation: ReviewsLike | None = None
) -> tuple[Reviews, Reviews, int]:
    """The train and validation reviews of a recipe, and the number of train reviews removed because validation has them too.

    Reviews that are given take the place of the recipe's, and are sampled as those are.
    """
    data, labels = recipe.data, recipe.base.labels
    options = (labels, data.text_column, data.label_column)
    sources = (data.train if train is None else train, data.validation if validation is None else validation)
    whole, validation = (read(source, *options, skip_empty=bool(data.skip_empty)) for source in sources)
    if data.sample is not None:
        whole, validation = (split.sample(data.sample, data.seed, labels) for split in (whole, validation))
    train = without_overlap(whole, validation)
    for split in (train, validation):
        split.require_every_label(labels)
    ways.require_language(recipe.augmentation, train)
    return train, validation, len(whole) - len(train)


def epoch_table(history: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    """The epoch table from Trainer's log, in which an epoch's losses are two entries."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    rows = [entry for entry in history if "eval_loss" in entry]
    names = ("loss", "accuracy", "precision", "recall", "f1", "mcc")
    pairs = enumerate(zip(losses, rows, strict=True), 1)
    return [Epoch(number, loss, *(row[f"eval_{name}"] for name in names)) for number, (loss, row) in pairs]


def ended(epochs: Sequence[Epoch], schedule: Training) -> bool:
    """Whether a run has ended: every epoch is done, or as many in a row as the patience have brought no improvement.

    An improvement lowers the lowest validation loss so far by more than the minimum improvement.
    """
    patience, minimum = schedule.early_stopping_patience, schedule.early_stopping_min_improvement or 0.0
    lowest, stale = math.inf, 0
    for row in epochs:
        stale = 0 if lowest - row.validation_loss > minimum else stale + 1
        lowest = min(lowest, row.validation_loss)
    return len(epochs) == schedule.epochs or (patience is not None and stale >= patience)


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(epochs, key=lambda row: row.validation_loss)


def learnt(validation_loss: float, labels: int) -> bool:
    """Whether a validation loss is below the loss of a guess among `labels` labels, by at least `LEARNT`."""
    return validation_loss < math.log(labels) - LEARNT
