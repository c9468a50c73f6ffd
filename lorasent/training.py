"""recipe -> adapter, on Hugging Face's Trainer.

A run lives in `OUT.partial` until its adapter is renamed to OUT. Every epoch ends with a checkpoint, and everything random in
an epoch (its batches, its dropout) follows from the seed and the epoch's number alone: so one seed gives one adapter, bit
for bit, and so does a run that was killed and resumed.
"""

import json
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments, set_seed

from lorasent import adapter, files, tuning
from lorasent.base import BaseModel, find
from lorasent.classifier import ParameterCount, build, count_parameters, quiet
from lorasent.data import Reviews, read, without_overlap
from lorasent.encoding import Encoder, Ids
from lorasent.errors import MetricError, TrainingError
from lorasent.manifest import WEIGHTS
from lorasent.metrics import evaluate
from lorasent.recipe import Recipe
from lorasent.scoring import Prediction, Scorer, uses_bf16

ADVICE = "a smaller training.learning_rate usually helps"

COMPLETE = "complete"
"""The file that marks a checkpoint as whole: it is written last."""

CLAIM = "run.json"
"""The file in a run's directory that says what the run was made for."""

BATCHES_PER_GROUP = 50
"""Reviews are sorted by length within groups of this many batches: random enough, and hardly any padding."""


@dataclass(frozen=True)
class Epoch:
    """A row of the epoch table; figures are of the validation reviews.

    Losses are means, nats: in training what was minimised, label smoothing and dropout included; in validation the plain
    negative log-likelihood.
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
    """What a run is about to do."""

    out: Path
    recipe: Recipe
    base: BaseModel
    train: Reviews
    validation: Reviews
    removed: int
    """Reviews removed from train because they are in validation too."""
    lengths: Ids
    """Tokens of each training review before truncation."""
    parameters: ParameterCount
    bf16: bool
    steps: int
    resumed_epochs: int


@dataclass(frozen=True)
class Trained:
    """What a run has done. `epochs` is the table, `best` its row that was kept."""

    path: Path
    epochs: list[Epoch]
    best: Epoch
    seconds: float


class Listener:
    """Hears how a run goes. Every method may be overridden; none has to be."""

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


def train(recipe: Recipe, out: str | Path, *, resume: bool = False, listener: Listener | None = None) -> Trained:
    """Trains an adapter and writes it to the directory `out`, which must not exist.

    `resume` goes on after the last whole epoch of an interrupted run of the same recipe on the same data, and gives the
    adapter that the uninterrupted run would have given. Raises a LorasentError; an interrupted run stays resumable.
    """
    out, listener = Path(out), listener or Listener()
    if out.exists():
        raise TrainingError(f"{out}: exists already; choose another --out or remove it")
    run_path = out.with_name(out.name + ".partial")
    if not resume and any(run_path.glob(f"checkpoint-*/{COMPLETE}")):
        raise TrainingError(f"{run_path}: holds an interrupted run; go on with --resume, or remove it")
    if not resume and run_path.exists() and not (run_path / CLAIM).is_file():
        raise TrainingError(f"{run_path}: is needed for the run and holds something else; choose another --out")
    if resume and not run_path.exists():
        raise TrainingError(f"{run_path}: no interrupted run to resume")

    reviews, validation, removed = read_splits(recipe)
    base = find(recipe.base.model, recipe.base.revision)
    encoder = Encoder(base.path, recipe.encoding)
    set_seed(recipe.training.seed)
    model = build(base, recipe.base, recipe.lora, encoder)
    if not resume:
        shutil.rmtree(run_path, ignore_errors=True)  # a run that did not finish its first epoch
    _claim(run_path, recipe, base, reviews, validation)
    checkpoint = _last_checkpoint(run_path)
    steps_per_epoch = math.ceil(len(reviews) / recipe.training.batch_size)
    prepared = Prepared(
        out=out,
        recipe=recipe,
        base=base,
        train=reviews,
        validation=validation,
        removed=removed,
        lengths=encoder.lengths(reviews.texts),
        parameters=count_parameters(model),
        bf16=uses_bf16(recipe.training.precision),
        steps=steps_per_epoch * recipe.training.epochs,
        resumed_epochs=int(checkpoint.name.rpartition("-")[2]) // steps_per_epoch if checkpoint else 0,
    )
    listener.prepared(prepared)
    listener.untrained(Scorer(model, encoder, recipe.base.labels).predict(adapter.SAMPLE_REVIEWS))

    started = time.monotonic()
    epochs = _run(prepared, model, encoder, run_path, checkpoint, listener)
    best = _best(epochs)
    try:
        adapter.write(out, model, encoder, base, recipe, _record(prepared, epochs, best))
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{out}: cannot be written: {error}; make room and go on with --resume") from None
    shutil.rmtree(run_path)
    result = Trained(out, epochs, best, time.monotonic() - started)
    listener.trained(result, Scorer(model, encoder, recipe.base.labels).predict(adapter.SAMPLE_REVIEWS))
    return result


class LengthGroupedSampler(Sampler[int]):
    """Row numbers of an epoch such that each run of `batch_size` has about one length, in an order drawn from (seed, epoch)."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        size = self.batch_size * BATCHES_PER_GROUP
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        rows = np.concatenate([group[np.argsort(-self.lengths[group], kind="stable")] for group in groups])
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        # A short batch stays last: anywhere else it would shift every batch behind it.
        full = len(batches) - (len(batches[-1]) < self.batch_size)
        for batch in [*random.permutation(full).tolist(), *range(full, len(batches))]:
            yield from batches[batch].tolist()


class _Trainer(Trainer):  # type: ignore[misc]
    """Trainer with our batches, our evaluation, and a stop at the first loss that is not finite."""

    control: TrainerControl

    def __init__(self, run: Prepared, encoder: Encoder, model: PeftModel, **options: Any) -> None:
        self.run = run
        self.encoder = encoder
        on_gpu = torch.cuda.is_available()  # Trainer moves the model there later
        self.tuner = None if on_gpu else tuning.build(model, bf16=run.bf16)
        if self.tuner is None and not on_gpu:
            model.set_attn_implementation("eager")  # on the CPU its backward pass is the fastest
        self.encoded_validation = encoder.encode(run.validation.texts)
        encoded = encoder.encode(run.train.texts)
        self.sampler = LengthGroupedSampler([len(ids) for ids in encoded], run.recipe.training.batch_size, run.recipe.training.seed)
        self.steps_per_epoch = run.steps // run.recipe.training.epochs
        rows = list(zip(encoded, run.train.labels.tolist(), strict=True))

        def collate(batch: list[tuple[Ids, int]]) -> dict[str, Any]:
            reviews, labels = [ids for ids, _ in batch], torch.tensor([label for _, label in batch])
            if self.tuner is not None:
                return {"reviews": reviews, "labels": labels}
            return {**{name: torch.from_numpy(array) for name, array in encoder.pad(reviews).items()}, "labels": labels}

        # `evaluate` asks a scorer; Trainer only wants to see that there is something to evaluate on.
        super().__init__(model=model, train_dataset=rows, eval_dataset=rows, data_collator=collate, **options)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return self.sampler

    def begin_epoch(self) -> None:
        """Makes what is random in this epoch a function of the seed and the epoch."""
        self.sampler.epoch = self.state.global_step // self.steps_per_epoch
        seed = np.random.SeedSequence([self.run.recipe.training.seed, self.sampler.epoch]).generate_state(1)
        torch.manual_seed(int(seed[0]))

    def _load_rng_state(self, *_: Any) -> None:
        """Nothing: `begin_epoch` has set it."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        labels = inputs.pop("labels")
        if self.tuner is not None:
            logits = self.tuner.logits(inputs["reviews"])
        else:
            # Under autocast PEFT would turn every input to float32 only for autocast to turn it back.
            with disable_input_dtype_casting(model):
                logits = model(**inputs).logits.float()
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=self.run.recipe.training.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"training loss is {loss.item()} at step {self.state.global_step + 1} of {self.run.steps}: stopped; {ADVICE}"
            )
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        validation, labels = self.run.validation, self.run.recipe.base.labels
        scorer = Scorer(self.model, self.encoder, labels, "bf16" if self.run.bf16 else "fp32")  # of the weights as they are now
        try:
            figures = evaluate(scorer.score(self.encoded_validation), validation.labels, labels)
        except MetricError as error:
            raise TrainingError(f"after step {self.state.global_step} of {self.run.steps}: {error}: stopped; {ADVICE}") from None
        metrics = {f"eval_{name}": value for name, value in figures.to_json().items() if name not in ("n", "average")}
        metrics["eval_loss"] = figures.log_loss
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # PEFT's own default asks the hub whether the vocabulary grew.
        self.model.save_pretrained(output_dir, save_embedding_layers=False)


class _Callback(TrainerCallback):  # type: ignore[misc]
    """Tells the listener, stops early, and marks whole checkpoints."""

    def __init__(self, trainer: _Trainer, listener: Listener) -> None:
        self.trainer = trainer
        self.listener = listener

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.trainer.begin_epoch()

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        self.listener.step(state.global_step, self.trainer.run.steps)

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        epochs = _table(state.log_history)
        self.listener.epoch(epochs[-1])
        if _ended(epochs, self.trainer.run.recipe):
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        run_path, epochs = Path(args.output_dir), _table(state.log_history)
        (_checkpoint(run_path, state.global_step) / COMPLETE).touch()
        best = _best(epochs).epoch * self.trainer.steps_per_epoch
        for folder in run_path.glob("checkpoint-*"):
            if folder not in (_checkpoint(run_path, best), _checkpoint(run_path, state.global_step)):
                shutil.rmtree(folder)


def _run(
    run: Prepared, model: PeftModel, encoder: Encoder, run_path: Path, checkpoint: Path | None, listener: Listener
) -> list[Epoch]:
    """Trains `model` in place to its best epoch; the epoch table."""
    settings = run.recipe.training
    arguments = TrainingArguments(
        output_dir=str(run_path),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup * run.steps),
        lr_scheduler_type="linear",
        bf16=run.bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=settings.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - several would multiply the batch that the recipe gives
    with quiet():
        trainer = _Trainer(run, encoder, model, args=arguments)
        for unwanted in list(trainer.callback_handler.callbacks):
            if type(unwanted).__name__ == "PrinterCallback":
                trainer.remove_callback(unwanted)
        trainer.add_callback(_Callback(trainer, listener))
        state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8")) if checkpoint else {"log_history": []}
        epochs = _table(state["log_history"])
        try:
            if not _ended(epochs, run.recipe):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                epochs = _table(trainer.state.log_history)
        except TrainingError:
            shutil.rmtree(run_path, ignore_errors=True)
            raise
        except (OSError, SafetensorError, RuntimeError) as error:
            # torch.save reports a full disk as a RuntimeError of its archive writer.
            if isinstance(error, RuntimeError) and not re.search("inline_container|iostream|PytorchStreamWriter", str(error)):
                raise
            reason = str(error).splitlines()[0]
            raise TrainingError(f"{run_path}: cannot be written: {reason}; make room and go on with --resume") from None
    # Trainer wraps the model's forward pass in autocast; what it answers from here on is float32.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    best = _checkpoint(run_path, _best(epochs).epoch * trainer.steps_per_epoch)
    set_peft_model_state_dict(model, load_file(best / WEIGHTS))
    return epochs


def _ended(epochs: list[Epoch], recipe: Recipe) -> bool:
    """Whether a run is over: every epoch done, or patience lost. Told from the table, which a checkpoint keeps."""
    patience = recipe.training.early_stopping_patience
    waited = len(epochs) - _best(epochs).epoch if epochs else 0
    return len(epochs) == recipe.training.epochs or (patience is not None and waited >= patience)


def _best(epochs: list[Epoch]) -> Epoch:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(epochs, key=lambda row: row.validation_loss)


def _checkpoint(run_path: Path, step: int) -> Path:
    return run_path / f"checkpoint-{step}"


def read_splits(recipe: Recipe) -> tuple[Reviews, Reviews, int]:
    """A recipe's train and validation, and how many reviews of train were left out since validation holds them too."""
    data, labels = recipe.data, recipe.base.labels
    splits = [read(source, labels, data.text_column, data.label_column) for source in (data.train, data.validation)]
    if data.sample is not None:
        splits = [split.sample(data.sample, data.seed, labels) for split in splits]
    train = without_overlap(*splits)
    for split in (train, splits[1]):
        split.require_every_label(labels)
    return train, splits[1], len(splits[0]) - len(train)


def _claim(run_path: Path, recipe: Recipe, base: BaseModel, train: Reviews, validation: Reviews) -> None:
    """Makes the run directory, or checks that the one to resume was made for this very run."""
    made_for = {
        "recipe": recipe.to_json(),
        "base_sha256": base.sha256,
        "train_sha256": train.fingerprint,
        "validation_sha256": validation.fingerprint,
        "torch": torch.__version__,
    }
    path = run_path / CLAIM
    if path.is_file():
        found = json.loads(path.read_text("utf-8"))
        changed = [key for key, value in made_for.items() if found.get(key) != value]
        if changed:
            raise TrainingError(f"{run_path}: was made with another {' and '.join(changed)}; remove it, or resume with what it had")
        return
    run_path.mkdir(parents=True, exist_ok=True)
    files.write(path, [files.canonical(made_for)])


def _last_checkpoint(run_path: Path) -> Path | None:
    """The latest whole checkpoint; broken ones, left by a kill, are removed."""
    for folder in run_path.glob("checkpoint-*"):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder)
    return max(run_path.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def _table(history: list[dict[str, Any]]) -> list[Epoch]:
    """The epoch table out of the Trainer's log, where an epoch's losses are two entries."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    names = ("accuracy", "precision", "recall", "f1", "mcc")
    rows = [entry for entry in history if "eval_loss" in entry]
    return [
        Epoch(number, loss, row["eval_loss"], *(row[f"eval_{name}"] for name in names))
        for number, (loss, row) in enumerate(zip(losses, rows, strict=True), 1)
    ]


def _record(run: Prepared, epochs: list[Epoch], best: Epoch) -> Mapping[str, Any]:
    """What the manifest keeps of the run."""
    return {
        "data": {
            name: {"source": reviews.source, "reviews": len(reviews), "sha256": reviews.fingerprint}
            for name, reviews in (("train", run.train), ("validation", run.validation))
        },
        "epochs": [asdict(row) for row in epochs],
        "best": asdict(best),
        "bf16": run.bf16,
    }
