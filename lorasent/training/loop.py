"""The training loop: Hugging Face's Trainer with our batches, our evaluation, our checkpoints, and the model at its best epoch.

Everything random in an epoch (batches, dropout, augmented texts) follows from the seed and the epoch's number, so a resumed run
continues exactly as the interrupted run would have.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from peft import PeftModel, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.optimizers import create_loraplus_optimizer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainingArguments

from lorasent import devices
from lorasent.adapter.classifier import quiet
from lorasent.adapter.encoding import Encoder, Ids
from lorasent.adapter.manifest import WEIGHTS
from lorasent.augmentation import ways
from lorasent.errors import DivergedError, MetricError, TrainingError, first_line
from lorasent.metrics import evaluate
from lorasent.scoring.scorer import Scorer
from lorasent.training import ranks
from lorasent.training.averaging import Average
from lorasent.training.run import AVERAGE, COMPLETE, Epoch, Listener, Prepared, best_of, ended, epoch_table
from lorasent.unpadded import training

ADVICE = "stopped; a smaller training.learning_rate usually helps"

SCHEDULES = {None: "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""Trainer's names of a recipe's schedules."""

BATCHES_PER_GROUP = 50
"""Batches in a group; reviews are sorted by length within a group, and groups are drawn at random."""


def fit(run: Prepared, model: PeftModel, encoder: Encoder, listener: Listener) -> list[Epoch]:
    """The epoch table of a run, after training `model` in place to its best epoch. Raises TrainingError."""
    with quiet(), devices.fitting(f"training in batches of {run.recipe.training.batch_size}", run.device):
        trainer = _Trainer(run, encoder, model)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Callback(trainer, listener))
        epochs = _train(trainer)
    # Trainer wraps the model's forward pass in autocast; from here on it answers in float32.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if run.ranks.rank:
        return epochs  # the first process has the checkpoints, and writes the adapter
    model.to("cpu")  # where adapters are verified: the manifest's probes are answered there
    best = run.checkpoint(best_of(epochs).epoch * run.steps_per_epoch)
    set_peft_model_state_dict(model, load_file(best / WEIGHTS))
    if trainer.average:
        model.load_state_dict(load_file(best / AVERAGE), strict=False)
    return epochs


def _arguments(run: Prepared) -> TrainingArguments:
    settings, on_cuda = run.recipe.training, devices.kind(run.device) == "cuda"
    arguments = TrainingArguments(
        output_dir="." if run.ranks.rank else str(run.folder),  # Trainer makes this folder
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup * run.steps),
        lr_scheduler_type=SCHEDULES[settings.schedule],
        bf16=run.bf16,
        use_cpu=run.device == "cpu",
        seed=settings.seed,
        eval_strategy="epoch",
        save_strategy="no" if run.ranks.rank else "epoch",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_cuda,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - several GPUs would multiply the recipe's batch size
    if on_cuda and run.device != "cuda":
        torch.cuda.set_device(run.device)
        vars(arguments)["_setup_devices"] = torch.device(run.device)  # Trainer would take the first
    return arguments


def _train(trainer: "_Trainer") -> list[Epoch]:
    """The epoch table, after training until the run has ended. A run that diverges is removed."""
    run, checkpoint, history = trainer.run, None, []
    try:
        if run.resumed_steps:
            checkpoint = run.checkpoint(run.resumed_steps)
            history = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))["log_history"]
            if trainer.average:
                trainer.average.values = load_file(checkpoint / AVERAGE)
        if not ended(epoch_table(history), run.recipe.training):
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
            history = trainer.state.log_history
        return epoch_table(history)
    except DivergedError:
        if not run.ranks.rank:
            shutil.rmtree(run.folder, ignore_errors=True)
        run.ranks.of_first(None)  # the first process to end ends the others
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch.save reports a full disk as a RuntimeError of its archive writer.
        if isinstance(error, RuntimeError) and not re.search("inline_container|iostream|PytorchStreamWriter", str(error)):
            raise
        raise TrainingError(f"{run.folder}: cannot be written: {first_line(error)}; make room and continue with --resume") from None


class _Trainer(Trainer):  # type: ignore[misc]
    """Trainer with our batches, our evaluation, and an error at the first loss that is not finite."""

    control: TrainerControl
    loss: torch.Tensor
    """The mean loss of the last batch, a scalar."""

    def __init__(self, run: Prepared, encoder: Encoder, model: PeftModel) -> None:
        self.run = run
        self.encoder = encoder
        on_cpu = run.device == "cpu"  # Trainer moves the model to other devices later
        self.unpadded = training.build(model, bf16=run.bf16) if on_cpu else None
        if self.unpadded is None and on_cpu:
            model.set_attn_implementation("eager")  # on the CPU its backward pass is the fastest
        decay = run.recipe.training.ema_decay
        self.average = None if decay is None else Average(model, decay)
        self.validation = encoder.encode(run.validation.texts)
        self.encoded = encoder.encode(run.train.texts)
        self.rows = [*zip(self.encoded, run.train.labels.tolist(), strict=True)]
        # `evaluate` uses a scorer; Trainer requires an evaluation set all the same.
        data = {"train_dataset": self.rows, "eval_dataset": self.rows, "data_collator": self._collate}
        with ranks.unnoticed():
            super().__init__(model=model, args=_arguments(run), **data)

    def _collate(self, batch: list[tuple[Ids, int]]) -> dict[str, Any]:
        """This process's share of a batch. Where it has none, it computes a review that does not count."""
        share = batch[self.run.ranks.share]
        reviews, labels = zip(*(share or batch[:1]), strict=True)
        known = {"labels": torch.tensor(labels), "weight": len(share) / len(batch)}
        if self.unpadded is not None:
            return {"reviews": list(reviews), **known}
        return {**{name: torch.from_numpy(array) for name, array in self.encoder.pad(list(reviews)).items()}, **known}

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        if (ratio := self.run.recipe.lora.lora_plus_ratio) is not None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            options |= {"loraplus_lr_ratio": ratio, "loraplus_weight_decay": self.args.weight_decay}
            self.optimizer = create_loraplus_optimizer(self.model, kind, **options)
        optimizer: torch.optim.Optimizer = super().create_optimizer()  # does not replace an existing optimiser
        return optimizer

    def _get_train_sampler(self, *_: Any) -> None:
        """None: `begin_epoch` draws the order of the rows."""

    def begin_epoch(self) -> None:
        """Seeds the epoch and draws its rows: all that is random in it follows from the seed and its number."""
        run, epoch = self.run, self.state.global_step // self.run.steps_per_epoch
        seed, settings = run.recipe.training.seed, run.recipe.augmentation
        # SeedSequence ends short entropy with zeros: the first process draws what a single one does.
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, run.ranks.rank]).generate_state(1)[0]))
        if settings is not None:
            self.encoded = self.encoder.encode(ways.epoch(run.train.texts, settings, seed, epoch))
        order = epoch_order([len(ids) for ids in self.encoded], run.recipe.training.batch_size, seed, epoch)
        self.rows[:] = [(self.encoded[row], int(run.train.labels[row])) for row in order]

    def _load_rng_state(self, *_: Any) -> None:
        """Does nothing: `begin_epoch` seeds each epoch."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        labels: torch.Tensor = inputs.pop("labels")
        weight: float = inputs.pop("weight")
        if self.unpadded is not None:
            logits = self.unpadded.logits(inputs["reviews"])
        else:
            # Under autocast PEFT would cast every input to float32, and autocast would cast it back.
            with disable_input_dtype_casting(model):
                logits = _logits(model, inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=self.run.recipe.training.label_smoothing)
        return loss * weight

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """The mean loss of a batch, after computing its gradient: both are sums over the processes."""
        loss = super().training_step(*arguments, **options)
        gradients = [value.grad for value in self.model.parameters() if value.grad is not None]
        self.loss = self.run.ranks.add_up(gradients, loss)
        if not torch.isfinite(self.loss):
            step = f"step {self.state.global_step + 1} of {self.run.steps}"
            raise DivergedError(f"training loss is {self.loss.item()} at {step}: {ADVICE}")
        return self.loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Validation figures. Each process answers its share of the reviews, and all get all answers."""
        labels, processes = self.run.recipe.base.labels, self.run.ranks
        scorer = Scorer(self.model, self.encoder, labels, "bf16" if self.run.bf16 else "fp32")
        try:
            with self.average.in_place() if self.average else contextlib.nullcontext():
                logits = np.zeros((len(self.validation), len(labels)), np.float32)
                logits[processes.share] = scorer.score(self.validation[processes.share])
            logits = processes.summed(torch.from_numpy(logits).to(self.run.device)).cpu().numpy()
            figures = evaluate(logits, self.run.validation.labels, labels)
        except MetricError as error:
            raise DivergedError(f"after step {self.state.global_step} of {self.run.steps}: {error}: {ADVICE}") from None
        metrics = {f"eval_{name}": value for name, value in figures.to_json().items() if name not in ("n", "average")}
        metrics["eval_loss"] = figures.log_loss
        metrics = processes.of_first(metrics)  # they decide when to stop, and hosts may round differently
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # By default PEFT would ask the hub whether the vocabulary has grown.
        self.model.save_pretrained(output_dir, save_embedding_layers=False)


def epoch_order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Row numbers of an epoch. Each run of `batch_size` rows has about one length; their order follows from (seed, epoch)."""
    random, sizes = np.random.default_rng([seed, epoch]), np.asarray(lengths)
    order, size = random.permutation(len(sizes)), batch_size * BATCHES_PER_GROUP
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    rows = np.concatenate([group[np.argsort(-sizes[group], kind="stable")] for group in groups])
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    # A short batch stays last: anywhere else it would shift every batch after it.
    full = len(batches) - (len(batches[-1]) < batch_size)
    order = np.concatenate([*(batches[batch] for batch in random.permutation(full)), *batches[full:]])
    return [int(row) for row in order]


def _logits(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits (B, L) in float32. BART and T5 refuse a batch whose texts have different numbers of end tokens: it is divided."""
    if not model.config.is_encoder_decoder:
        return cast("torch.Tensor", model(**inputs).logits.float())
    ends = (inputs["input_ids"] == model.config.eos_token_id).sum(dim=1)
    groups = [torch.nonzero(ends == number)[:, 0] for number in ends.unique()]
    logits = [model(**{name: values[rows] for name, values in inputs.items()}).logits.float() for rows in groups]
    return torch.cat(logits)[torch.cat(groups).argsort()]


class _Callback(TrainerCallback):  # type: ignore[misc]
    """Informs the listener, stops early, and marks whole checkpoints."""

    def __init__(self, trainer: _Trainer, listener: Listener) -> None:
        self.trainer = trainer
        self.listener = listener

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.trainer.begin_epoch()

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if self.trainer.average:
            self.trainer.average.step(state.global_step)
        self.listener.loss(state.global_step, self.trainer.loss.item())
        self.listener.step(state.global_step, self.trainer.run.steps)

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        epochs = epoch_table(state.log_history)
        self.listener.epoch(epochs[-1])
        if ended(epochs, self.trainer.run.recipe.training):
            control.should_training_stop = True

    def on_save(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        run = self.trainer.run
        saved = run.checkpoint(state.global_step)
        if self.trainer.average:
            save_file(self.trainer.average.values, saved / AVERAGE)
        (saved / COMPLETE).touch()
        run.keep_checkpoints((best_of(epoch_table(state.log_history)).epoch * run.steps_per_epoch, state.global_step))
