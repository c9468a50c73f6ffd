"""The peers in training: the notebook's own recipe, and lorasent's. Both tell when each optimiser step was done."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lorasent.adapter.classifier import quiet
from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Recipe
from lorasent.training.train import Listener, train
from tests.benchmarks.peers import tokenizer_of
from tests.benchmarks.subject import Subject

BATCH = 4

Course = Callable[[Subject, Reviews], list[float]]
"""Trains on all reviews once, in batches of BATCH; when each step was done, in seconds."""


class Notebook(TrainerCallback):
    """Stamps the steps of Hugging Face's Trainer."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_step_end(self, *_, **__) -> None:
        self.stamps.append(time.perf_counter())


def notebook(subject: Subject, reviews: Reviews) -> list[float]:
    """Trainer as the notebook has it: fp32, random batches padded to their longest, the base's own dropout, AdamW, SDPA."""
    tokenizer, settings, stamps = tokenizer_of(subject), subject.recipe.lora, Notebook()
    encoded = tokenizer(reviews.texts, truncation=True, max_length=subject.recipe.encoding.max_length)
    rows = [{"input_ids": ids, "labels": int(label)} for ids, label in zip(encoded["input_ids"], reviews.labels, strict=True)]
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
    )
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(subject.base), lora)
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=subject.recipe.training.learning_rate,
            weight_decay=subject.recipe.training.weight_decay,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer), callbacks=[stamps]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return stamps.stamps


class Stamps(Listener):
    """Stamps the steps of lorasent's training."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def step(self, done: int, total: int) -> None:
        self.stamps.append(time.perf_counter())


def lorasent(subject: Subject, reviews: Reviews, *, drops: bool = False) -> list[float]:
    """lorasent.train with the same LoRA, batch size and optimiser: precision "auto"; with the recipe's dropout, or none."""
    stamps = Stamps()
    with tempfile.TemporaryDirectory() as folder:
        chunk = write(Path(folder) / "chunk.parquet", reviews.texts, reviews.labels.tolist())
        held_out = write(Path(folder) / "held_out.parquet", ["good", "bad"], [1, 0])
        changes = {
            **({} if drops else {"base.dropout": 0.0, "lora.dropout": 0.0}),
            "data.train": str(chunk),
            "data.validation": str(held_out),
            "training.epochs": 1,
            "training.batch_size": BATCH,
            "training.precision": "auto",
        }
        tables = subject.recipe.to_json()
        del tables["data"]["sample"]
        for key, value in changes.items():
            table, field = key.split(".")
            tables[table][field] = value
        train(Recipe.parse(tables, "the benchmark's recipe"), Path(folder) / "adapter", listener=stamps)
    return stamps.stamps


def write(path: Path, texts: list[str], labels: list[int]) -> Path:
    """Labelled reviews as Parquet."""
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


def seconds_a_review(stamps: list[float]) -> float:
    """Between the first step's end and the last one's: start-up, evaluation and writing are outside."""
    return (stamps[-1] - stamps[0]) / (BATCH * (len(stamps) - 1))


COURSES: dict[str, tuple[Course, str]] = {
    "lorasent": (lorasent, "bf16 where the machine has it, batches of about one length, no dropout"),
    "lorasent, dropout": (partial(lorasent, drops=True), "the same with the notebook's dropout"),
    "notebook": (notebook, "Trainer, fp32, random batches, dropout 0.1 in base and LoRA"),
}
