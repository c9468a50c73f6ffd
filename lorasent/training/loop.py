"""A run on Hugging Face's Trainer: its batches, its checkpoints, and its model at the best epoch.

Every epoch ends with a checkpoint, and everything random in an epoch (its batches, its dropout) follows from the seed and the
epoch's number alone: so do the texts that a recipe with augmentation trains on.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peft import PeftModel, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.optimizers import create_loraplus_optimizer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments

from lorasent.adapter.classifier import quiet
from lorasent.adapter.encoding import Encoder, Ids
from lorasent.adapter.manifest import WEIGHTS
from lorasent.augmentation import ways
from lorasent.errors import DivergedError, MetricError, TrainingError
from lorasent.metrics import evaluate
from lorasent.scoring.scorer import Scorer
from lorasent.training.averaging import Average
from lorasent.training.run import Epoch, Listener, Prepared, best_of, ended, table
from lorasent.unpadded import training

ADVICE = "a smaller training.learning_rate usually helps"

COMPLETE = "complete"
"""The file that marks a checkpoint as whole: it is written last."""

AVERAGE = "average.safetensors"
"""The moving average beside a checkpoint's weights."""

SCHEDULES = {None: "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""What Trainer calls a recipe's schedules."""

BATCHES_PER_GROUP = 50
"""Reviews are sorted by length within groups of this many batches: random enough, and hardly any padding."""


def device() -> torch.device:
    """Where Trainer trains."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
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
        lr_scheduler_type=SCHEDULES[settings.schedule],
        bf16=run.bf16,
        use_cpu=device().type == "cpu",
        seed=settings.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=device().type == "cuda",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - several would multiply the batch that the recipe gives
    with quiet():
        trainer = _Trainer(run, encoder, model, args=arguments)
        for unwanted in list(trainer.callback_handler.callbacks):
            if type(unwanted).__name__ == "PrinterCallback":
                trainer.remove_callback(unwanted)
        trainer.add_callback(_Callback(trainer, listener))
        state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8")) if checkpoint else {"log_history": []}
        epochs = table(state["log_history"])
        try:
            if trainer.average and checkpoint:
                trainer.average.read(checkpoint / AVERAGE)
            if not ended(epochs, settings):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                epochs = table(trainer.state.log_history)
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
    best = _checkpoint(run_path, best_of(epochs).epoch * trainer.steps_per_epoch)
    set_peft_model_state_dict(model, load_file(best / WEIGHTS))
    if trainer.average:
        trainer.average.read(best / AVERAGE)
        trainer.average.settle()
    return epochs


def last_checkpoint(run_path: Path) -> Path | None:
    """The latest whole checkpoint; broken ones, left by a kill, are removed."""
    for folder in run_path.glob("checkpoint-*"):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder)
    return max(run_path.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


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
        on_gpu = device().type == "cuda"  # Trainer moves the model there later
        self.tuner = None if on_gpu else training.build(model, bf16=run.bf16)
        if self.tuner is None and not on_gpu:
            model.set_attn_implementation("eager")  # on the CPU its backward pass is the fastest
        decay = run.recipe.training.ema_decay
        self.average = None if decay is None else Average(model, decay)
        self.encoded_validation = encoder.encode(run.validation.texts)
        self.rows: list[tuple[Ids, int]] = []
        self.sampler = LengthGroupedSampler([], run.recipe.training.batch_size, run.recipe.training.seed)
        self._show(run.train.texts)
        self.steps_per_epoch = run.steps // run.recipe.training.epochs

        def collate(batch: list[tuple[Ids, int]]) -> dict[str, Any]:
            reviews, labels = [ids for ids, _ in batch], torch.tensor([label for _, label in batch])
            if self.tuner is not None:
                return {"reviews": reviews, "labels": labels}
            return {**{name: torch.from_numpy(array) for name, array in encoder.pad(reviews).items()}, "labels": labels}

        # `evaluate` asks a scorer; Trainer only wants to see that there is something to evaluate on.
        super().__init__(model=model, train_dataset=self.rows, eval_dataset=self.rows, data_collator=collate, **options)

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        if (ratio := self.run.recipe.lora.lora_plus_ratio) is not None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            options |= {"loraplus_lr_ratio": ratio, "loraplus_weight_decay": self.args.weight_decay}
            self.optimizer = create_loraplus_optimizer(self.model, kind, **options)
        optimizer: torch.optim.Optimizer = super().create_optimizer()  # which keeps one that is there
        return optimizer

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return self.sampler

    def begin_epoch(self) -> None:
        """Makes what is random in this epoch a function of the seed and the epoch."""
        self.sampler.epoch = self.state.global_step // self.steps_per_epoch
        seed = np.random.SeedSequence([self.run.recipe.training.seed, self.sampler.epoch]).generate_state(1)
        torch.manual_seed(int(seed[0]))
        if (settings := self.run.recipe.augmentation) is not None:
            self._show(ways.epoch(self.run.train.texts, settings, self.run.recipe.training.seed, self.sampler.epoch))

    def _show(self, texts: Sequence[str]) -> None:
        """Trains on these texts of the training reviews from here on."""
        encoded = self.encoder.encode(texts)
        self.rows[:] = zip(encoded, self.run.train.labels.tolist(), strict=True)
        self.sampler.lengths = np.array([len(ids) for ids in encoded])

    def _load_rng_state(self, *_: Any) -> None:
        """Nothing: `begin_epoch` has set it."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        labels = inputs.pop("labels")
        if self.tuner is not None:
            logits = self.tuner.logits(inputs["reviews"])
        else:
            # Under autocast PEFT would turn every input to float32 only for autocast to turn it back.
            with disable_input_dtype_casting(model):
                logits = _logits(model, inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=self.run.recipe.training.label_smoothing)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"training loss is {loss.item()} at step {self.state.global_step + 1} of {self.run.steps}: stopped; {ADVICE}"
            )
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        validation, labels = self.run.validation, self.run.recipe.base.labels
        scorer = Scorer(self.model, self.encoder, labels, "bf16" if self.run.bf16 else "fp32")  # of the weights as they are now
        try:
            with self.average.in_place() if self.average else contextlib.nullcontext():
                figures = evaluate(scorer.score(self.encoded_validation), validation.labels, labels)
        except MetricError as error:
            raise DivergedError(f"after step {self.state.global_step} of {self.run.steps}: {error}: stopped; {ADVICE}") from None
        metrics = {f"eval_{name}": value for name, value in figures.to_json().items() if name not in ("n", "average")}
        metrics["eval_loss"] = figures.log_loss
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # PEFT's own default asks the hub whether the vocabulary grew.
        self.model.save_pretrained(output_dir, save_embedding_layers=False)


def _logits(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits (B, L) in float32. An encoder-decoder (BART, T5) takes no batch whose texts have different numbers of end tokens."""
    if not model.config.is_encoder_decoder:
        return cast("torch.Tensor", model(**inputs).logits.float())
    ends = (inputs["input_ids"] == model.config.eos_token_id).sum(dim=1)
    groups = [torch.nonzero(ends == number)[:, 0] for number in ends.unique()]
    found = [model(**{name: values[rows] for name, values in inputs.items()}).logits.float() for rows in groups]
    return torch.cat(found)[torch.cat(groups).argsort()]


class _Callback(TrainerCallback):  # type: ignore[misc]
    """Tells the listener, stops early, and marks whole checkpoints."""

    def __init__(self, trainer: _Trainer, listener: Listener) -> None:
        self.trainer = trainer
        self.listener = listener

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.trainer.begin_epoch()

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if self.trainer.average:
            self.trainer.average.step(state.global_step)
        self.listener.step(state.global_step, self.trainer.run.steps)

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        epochs = table(state.log_history)
        self.listener.epoch(epochs[-1])
        if ended(epochs, self.trainer.run.recipe.training):
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        run_path, epochs = Path(args.output_dir), table(state.log_history)
        if self.trainer.average:
            self.trainer.average.write(_checkpoint(run_path, state.global_step) / AVERAGE)
        (_checkpoint(run_path, state.global_step) / COMPLETE).touch()
        best = best_of(epochs).epoch * self.trainer.steps_per_epoch
        for folder in run_path.glob("checkpoint-*"):
            if folder not in (_checkpoint(run_path, best), _checkpoint(run_path, state.global_step)):
                shutil.rmtree(folder)


def _checkpoint(run_path: Path, step: int) -> Path:
    return run_path / f"checkpoint-{step}"
