"""A run's input and result: the epoch table, early stopping, the best epoch, and listeners to its events."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorasent.adapter.base import BaseCheckpoint
from lorasent.adapter.classifier import ParameterCount
from lorasent.adapter.encoding import Ids
from lorasent.data.reviews import Reviews, read, without_overlap
from lorasent.recipe.recipe import Recipe, Training
from lorasent.scoring.scorer import Prediction

LEARNT = 0.01
"""Nats by which a validation loss must be below the loss of a guess to show that the run has learnt anything."""


@dataclass(frozen=True)
class Epoch:
    """A row of the epoch table; the metrics are of the validation reviews.

    Losses are means in nats. The training loss includes label smoothing and dropout; the validation loss is the negative
    log-likelihood.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    accuracy: float
    precision: float
    recall: float
    f1: float
    mcc: float


@dataclass(frozen=True)
class Prepared:
    """The input of a run."""

    out: Path
    recipe: Recipe
    base: BaseCheckpoint
    train: Reviews
    validation: Reviews
    removed: int
    """Reviews removed from train because validation has them too."""
    lengths: Ids
    """Tokens of each training review before truncation."""
    parameters: ParameterCount
    bf16: bool
    steps: int
    resumed_epochs: int


@dataclass(frozen=True)
class Trained:
    """The result of a run. `epochs` is the epoch table, `best` the row whose weights were kept; `seconds` is its duration."""

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

    def epoch(self, row: Epoch) -> None:
        """An epoch is done and evaluated."""

    def trained(self, result: Trained, predictions: list[Prediction]) -> None:
        """The adapter is written; the best epoch's model answered the sample reviews."""


def read_splits(recipe: Recipe) -> tuple[Reviews, Reviews, int]:
    """The train and validation reviews of a recipe, and the number of train reviews removed because validation has them too."""
    data, labels = recipe.data, recipe.base.labels
    splits = [
        read(source, labels, data.text_column, data.label_column, skip_empty=bool(data.skip_empty))
        for source in (data.train, data.validation)
    ]
    if data.sample is not None:
        splits = [split.sample(data.sample, data.seed, labels) for split in splits]
    train = without_overlap(*splits)
    for split in (train, splits[1]):
        split.require_every_label(labels)
    return train, splits[1], len(splits[0]) - len(train)


def epoch_table(history: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    """The epoch table from Trainer's log, in which an epoch's losses are two entries."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    names = ("accuracy", "precision", "recall", "f1", "mcc")
    rows = [entry for entry in history if "eval_loss" in entry]
    return [
        Epoch(number, loss, row["eval_loss"], *(row[f"eval_{name}"] for name in names))
        for number, (loss, row) in enumerate(zip(losses, rows, strict=True), 1)
    ]


def ended(epochs: Sequence[Epoch], schedule: Training) -> bool:
    """Whether a run has ended: every epoch is done, or as many in a row as the patience have brought no improvement.

    An epoch is an improvement if it lowers the lowest validation loss so far by more than the minimum improvement.
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
