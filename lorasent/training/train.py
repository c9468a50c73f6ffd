"""recipe -> adapter: the public function `train`. A run keeps its checkpoints in the folder `OUT.partial`."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import set_seed

from lorasent import devices, files
from lorasent.adapter import directory, writing
from lorasent.adapter.base import find
from lorasent.adapter.classifier import build, count_parameters
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import Reviews, ReviewsLike
from lorasent.errors import TrainingError
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.scorer import Scorer, uses_bf16
from lorasent.training import ranks
from lorasent.training.loop import fit
from lorasent.training.ranks import Ranks
from lorasent.training.run import COMPLETE, Epoch, Listener, Prepared, Trained, best_of, checkpoint_steps, read_splits
from lorasent.training.tracked import reported

CLAIM = "run.json"
"""Name of the file in a run's folder that records the run's recipe and data."""


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    train: ReviewsLike | None = None,
    validation: ReviewsLike | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    report_to: str | Sequence[str] = (),
    device: str = "auto",
) -> Trained:
    """Trains an adapter by a recipe, a shipped one's name or a TOML file's path; writes it to `out`, which must not exist.

    `train` and `validation` take the place of the recipe's reviews: sources, or reviews in memory. On the CPU a seed gives the
    same adapter, bit for bit. `resume` continues an interrupted run of the same recipe on the same data after its last whole epoch,
    to the same adapter; `report_to` names trackers of `tracking.TRACKERS`, none of which can fail the run; `device` is one of
    `devices.resolve`. Under `torchrun` each process calls this, they share every batch, and the first alone listens and writes.
    Raises a LorasentError; an interrupted run stays resumable.
    """
    device = devices.resolve(device)
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.read(recipe)
    out = files.path_of(out, "the adapter's directory", TrainingError)
    folder = out.parent / f"{out.name}.partial"  # "." has no name
    with ranks.joined(device) as (process, device), _listener(process, listener or Listener(), report_to) as events:
        if process.size > recipe.training.batch_size:
            raise TrainingError(
                f"training.batch_size is {recipe.training.batch_size}: too small for {process.size} processes, which share it"
            )
        if not process.rank:
            _require_free(out, folder, resume=resume)
        splits = read_splits(recipe, train, validation)
        prepared, model, encoder = _prepare(recipe, out, folder, splits, device, process, resume=resume)
        events.prepared(prepared)
        events.untrained(Scorer(model, encoder, recipe.base.labels).predict(directory.SAMPLE_REVIEWS))

        started = time.monotonic()
        epochs = fit(prepared, model, encoder, events)
        best = best_of(epochs)
        if not process.rank:
            _write(prepared, model, encoder, _record(prepared, epochs, best))
            shutil.rmtree(folder)
        process.of_first(None)  # the others wait for the adapter
        result = Trained(out, epochs, best, time.monotonic() - started)
        events.trained(result, Scorer(model, encoder, recipe.base.labels).predict(directory.SAMPLE_REVIEWS))
    return result


def _listener(process: Ranks, listener: Listener, report_to: str | Sequence[str]) -> AbstractContextManager[Listener]:
    return reported(Listener(), ()) if process.rank else reported(listener, report_to)


def _require_free(out: Path, folder: Path, *, resume: bool) -> None:
    """Raises TrainingError if `out` exists, if an interrupted run is not resumed, or if there is none to resume."""
    if os.path.lexists(out):
        raise TrainingError(f"{out}: exists already; choose another --out or remove it")
    if not resume and checkpoint_steps(folder):
        raise TrainingError(f"{folder}: holds an interrupted run; continue with --resume, or remove it")
    if os.path.lexists(folder) and not (folder / CLAIM).is_file():
        # A run that was killed at its start leaves nothing, or a part of its claim.
        if not folder.is_dir() or any(not path.name.startswith(f".{CLAIM}.") for path in folder.iterdir()):
            raise TrainingError(f"{folder}: the run needs this folder, and it holds something else; choose another --out")
    elif resume and not folder.exists():
        raise TrainingError(f"{folder}: no interrupted run to resume")


def _prepare(
    recipe: Recipe, out: Path, folder: Path, splits: tuple[Reviews, Reviews, int], device: str, process: Ranks, *, resume: bool
) -> tuple[Prepared, PeftModel, Encoder]:
    """The input of a run, the model before training, and its encoder. The recipe names the reviews that are used.

    Makes the run's folder. Raises TrainingError if it is the folder of a run with another recipe, base, data or device.
    """
    reviews, validation, removed = splits
    recipe = recipe.on_data(reviews.source, validation.source)
    base = find(recipe.base.model, recipe.base.revision)
    encoder = Encoder(base.path, recipe.encoding, base.name)
    set_seed(recipe.training.seed)
    model = build(base, recipe.base, recipe.lora, encoder)
    if not (resume or process.rank):
        shutil.rmtree(folder, ignore_errors=True)  # a run that did not finish its first epoch
    steps = process.of_first(checkpoint_steps(folder))
    prepared = Prepared(
        out=out,
        folder=folder,
        recipe=recipe,
        base=base,
        train=reviews,
        validation=validation,
        removed=removed,
        lengths=encoder.lengths(reviews.texts),
        parameters=count_parameters(model),
        device=device,
        bf16=uses_bf16(recipe.training.precision, torch.device(device)),
        resumed_steps=max(steps, default=0),
        ranks=process,
    )
    _claim(prepared)
    if not process.rank:
        prepared.keep_checkpoints(steps)  # a kill leaves broken ones
    return prepared, model, encoder


def _claim(run: Prepared) -> None:
    """Makes the run's folder. Raises TrainingError if it is the folder of a run with another recipe, base or data.

    Every process must have what the first one has, and only that one makes the folder.
    """
    claim = {
        "recipe": run.recipe.to_json(),
        "base_sha256": run.base.sha256,
        "train_sha256": run.train.fingerprint,
        "validation_sha256": run.validation.fingerprint,
        "torch": torch.__version__,
        "device": devices.kind(run.device),
    }
    first = run.ranks.of_first(claim)
    if changed := [key for key, value in claim.items() if first[key] != value]:
        raise TrainingError(
            f"process {run.ranks.rank} has another {' and '.join(changed)} than the first; give all of them the same"
        )
    if run.ranks.rank:
        if run.resumed_steps and not (run.checkpoint(run.resumed_steps) / COMPLETE).is_file():
            raise TrainingError(
                f"{run.folder}: process {run.ranks.rank} does not see the run; hosts that resume must share this folder"
            )
        return
    path = run.folder / CLAIM
    if path.is_file():
        recorded = {"device": "cpu", **json.loads(path.read_text("utf-8"))}
        if changed := [key for key, value in claim.items() if recorded.get(key) != value]:
            raise TrainingError(f"{run.folder}: was made with another {' and '.join(changed)}; remove it, or resume with the same")
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    files.write(path, [files.canonical(claim)])


def _write(run: Prepared, model: PeftModel, encoder: Encoder, record: Mapping[str, Any]) -> None:
    try:
        writing.write(run.out, model, encoder, run.base, run.recipe, record)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{run.out}: cannot be written: {error}; make room and continue with --resume") from None


def _record(run: Prepared, epochs: list[Epoch], best: Epoch) -> Mapping[str, Any]:
    """The keys of the manifest that describe the run."""
    return {
        "data": {"train": run.train.record, "validation": run.validation.record},
        "epochs": [asdict(row) for row in epochs],
        "best": asdict(best),
        "bf16": run.bf16,
        **({} if run.device == "cpu" else {"device": devices.kind(run.device)}),
        **({} if run.ranks.size == 1 else {"processes": run.ranks.size}),
    }
