"""What a terminal shows of a training run: its input, a progress bar, the epoch table, and the four sample reviews."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from lorasent.augmentation import ways
from lorasent.data.labels import are_poles
from lorasent.recipe.recipe import Training
from lorasent.scoring.scorer import Prediction, uses_bf16
from lorasent.text import MESSAGE, shown
from lorasent.training.run import Epoch, Listener, Prepared, Trained

SEARCHED = 200
"""Number of training reviews among which an example of augmentation is searched for."""

ENDING = 110
"""Number of characters of the example's ending that are shown."""

COLUMNS = ("epoch", "train loss", "val loss", "accuracy", "precision", "recall", "f1", "mcc")
"""Head of the epoch table. Its rows appear as epochs end; rich would print a table only once it is whole."""


class Printer(Listener):
    """Prints the events of a run."""

    def __init__(self, console: Console, progress: Progress, recipe: str) -> None:
        self.console = console
        self.progress = progress
        self.recipe = recipe

    def prepared(self, run: Prepared) -> None:
        """Prints the input of the run."""
        self.run = run
        self.console.print(f"Training {run.out} by recipe {self.recipe}")
        for line in _describe(run):
            self.console.print(shown(line, MESSAGE))
        self.task = self.progress.add_task("training", total=run.steps)

    def untrained(self, predictions: list[Prediction]) -> None:
        """Prints the predictions for the sample reviews before training, and the head of the epoch table."""
        self._show("Untrained, the four sample reviews are", predictions)
        self.console.print(_row(*COLUMNS))

    def step(self, done: int, total: int) -> None:
        """Moves the bar."""
        self.progress.update(self.task, completed=done)

    def epoch(self, row: Epoch) -> None:
        """Prints a row of the epoch table."""
        self.console.print(_row(str(row.epoch), *(f"{value:.4f}" for name, value in vars(row).items() if name != "epoch")))

    def trained(self, result: Trained, predictions: list[Prediction]) -> None:
        """Prints the result, the predictions for the sample reviews, and what to do next."""
        self.progress.stop()
        best = result.best
        if early := _stopped(result, self.run.recipe.training):
            self.console.print(early)
        self.console.print(
            f"Best epoch: {best.epoch} of {len(result.epochs)} (lowest validation loss {best.validation_loss:.4f}, "
            f"accuracy {best.accuracy:.4f}); trained in {result.seconds:.0f} s"
        )
        if warning := _no_better_than_a_guess(best, self.run.validation.counts(self.run.recipe.base.labels)):
            self.console.print(shown(warning, MESSAGE))
        self._show("Trained, they are", predictions)
        self.console.print(f'The adapter is in {result.path}. Next:\n  lorasent predict {result.path} "it was a good movie"')
        if are_poles(self.run.recipe.base.labels):
            self.console.print(f"  lorasent evaluate {result.path} --data embedded:test")

    def _show(self, title: str, predictions: Sequence[Prediction]) -> None:
        self.console.print(f"{title}:")
        for row in predictions:
            self.console.print(f"  {shown(row.label):<10}{row.probability:>7.4f}  {row.text}")


def _describe(run: Prepared) -> Iterator[str]:
    recipe, parameters = run.recipe, run.parameters
    emulated = "" if uses_bf16("auto", torch.device(run.device)) else ", emulated: on this machine fp32 is many times as fast"
    where = "" if run.device == "cpu" else f" on {run.device}"
    yield f"Base: {run.base.name} (sha256 {run.base.sha256[:12]}…), {f'bf16{emulated}' if run.bf16 else 'fp32'}{where}"
    for name, reviews in (("Train", run.train), ("Validation", run.validation)):
        balance = ", ".join(f"{count} {label}" for label, count in reviews.counts(recipe.base.labels).items())
        yield f"{name}: {reviews.source}, {len(reviews)} reviews ({balance})"
    if run.removed:
        yield f"Removed from train because validation has them too: {run.removed} reviews"
    low, median, high = (int(value) for value in np.quantile(run.lengths, [0.25, 0.5, 0.75]))
    cut = int((run.lengths > recipe.encoding.max_length).sum())
    yield (
        f"Tokens per training review: median {median}, quartiles {low} and {high}, longest {int(run.lengths.max())}; "
        f"{cut} cut to {recipe.encoding.max_length} on the {recipe.encoding.truncation_side}"
    )
    yield from _augmented(run)
    total, trainable = parameters.total, parameters.trainable
    yield f"Parameters: {total:,} in all, {trainable:,} trainable ({trainable / total:.4%}), {total - trainable:,} frozen"
    if parameters.in_use < total:
        yield f"  (the head counts twice: PEFT keeps a frozen copy of it; {parameters.in_use:,} are in use)"
    if run.ranks.size > 1:
        threads = f"the threads of each: {torch.get_num_threads()}"
        yield f"Processes: {run.ranks.size}, which share each batch of {recipe.training.batch_size}; {threads}"
    if run.resumed_epochs:
        yield f"Resumed after epoch {run.resumed_epochs}"


def _augmented(run: Prepared) -> Iterator[str]:
    """How the training reviews are changed, with the shortest changed review among the first of the next epoch as an example."""
    settings = run.recipe.augmentation
    if settings is None:
        return
    on = ", ".join(f"{way} {getattr(settings, way):g}" for way in ways.WAYS if getattr(settings, way))
    yield f"Augmented: {settings.share:.0%} of the training reviews, anew in each epoch: {on}"
    texts = run.train.texts[:SEARCHED]
    augmented = ways.epoch(texts, settings, run.recipe.training.seed, run.resumed_epochs)
    changed = [(text, now) for text, now in zip(texts, augmented, strict=True) if text != now]
    for title, text in zip(("for example", "becomes"), min(changed, key=lambda pair: len(pair[0]), default=()), strict=False):
        yield f"  {title:<12}{text if len(text) <= ENDING else '…' + text[-ENDING:]}".replace("\n", " ")


def _stopped(result: Trained, schedule: Training) -> str | None:
    if len(result.epochs) == schedule.epochs:
        return None
    over = f" over {minimum:g}" if (minimum := schedule.early_stopping_min_improvement) else ""
    patience = schedule.early_stopping_patience
    return (
        f"Stopped after epoch {len(result.epochs)} of {schedule.epochs}: no improvement{over} for {patience} "
        f"epoch{'s'[: patience != 1]}; kept epoch {result.best.epoch}"
    )


def _no_better_than_a_guess(best: Epoch, counts: Mapping[str, int]) -> str | None:
    """A warning if the best epoch is right no more often than the most frequent label; `counts` are reviews by label."""
    label = max(counts, key=lambda name: counts[name])
    if best.accuracy > (share := counts[label] / sum(counts.values())):
        return None
    return (
        f"Warning: no better than a guess: always answering {label} is right as often ({share:.4f} of the validation reviews); "
        "a smaller training.learning_rate, or training.warmup, usually helps"
    )


def _row(*cells: str) -> str:
    return "".join(cell.rjust(11 if position else 5) for position, cell in enumerate(cells))
