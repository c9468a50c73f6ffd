"""The bench on which a fault is planted: a copy of a healthy adapter, changed, and its manifest made to agree with what it is now.

Two kinds. An exporter's fault happens between the trainer's memory and the disk: the hashes are those of the faulty files, the
probe logits those of the healthy memory. A trainer's fault was in its memory already: the probe logits are the faulty model's.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lorasent import files
from lorasent.adapter import directory
from lorasent.adapter.base import BaseCheckpoint, find
from lorasent.adapter.classifier import answer, count_parameters
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, read_json
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError
from lorasent.recipe.recipe import Recipe

Tensors = dict[str, torch.Tensor]

DROPOUT = 0.1


class Bench:
    """A copy of a healthy adapter in which a fault is planted; `other` is another adapter of the same recipe."""

    def __init__(self, healthy: Path, other: Path, path: Path, number: int) -> None:
        shutil.copytree(healthy, path)
        self.path = path
        self.other = other
        self.random = np.random.default_rng(number)
        self.manifest = read_json(path / MANIFEST)
        self.recipe = Recipe.parse(self.manifest["recipe"], str(path))
        pinned = self.manifest["base"]
        self.base: BaseCheckpoint = find(pinned["name"], pinned["revision"], pinned["sha256"])

    def weights(self, change: Callable[[Tensors], object]) -> None:
        """Edits the weights by name, in place."""
        tensors = load_file(self.path / WEIGHTS)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, self.path / WEIGHTS)

    def json(self, name: str, **changes: Any) -> None:
        """Sets keys of a JSON file."""
        files.write(self.path / name, [files.canonical({**read_json(self.path / name), **changes})])

    def set_recipe(self, **changes: Any) -> None:
        """Sets "table__key" of the recipe, and what follows from it in the other files."""
        tables = self.recipe.to_json()
        for key, value in changes.items():
            table, _, name = key.partition("__")
            tables[table][name] = value
        self.recipe = recipe = Recipe.parse(tables, str(self.path))
        self.json(CONFIG, r=recipe.lora.r, lora_alpha=recipe.lora.alpha, lora_dropout=recipe.lora.dropout)
        encoding = recipe.encoding
        self.json("tokenizer_config.json", truncation_side=encoding.truncation_side, model_max_length=encoding.max_length)

    def set_base(self, base: BaseCheckpoint) -> None:
        """Puts the adapter onto another base."""
        self.base = base
        self.json(CONFIG, base_model_name_or_path=base.name, revision=base.revision)
        self.set_recipe(base__model=base.name, **({"base__revision": None} if self.recipe.base.revision else {}))

    def agree(self, *, answers: bool, dropout: bool = False) -> None:
        """Writes the manifest that belongs to the directory as it is now.

        `answers`: the probes are answered by the faulty adapter, where it can be loaded and answers; else they stay those of
        the healthy one. `dropout`: they are answered with dropout on.
        """
        said = dict(self.manifest)
        said["recipe"], said["recipe_sha256"] = self.recipe.to_json(), self.recipe.fingerprint
        said["labels"] = list(self.recipe.base.labels)
        said["base"] = {"name": self.base.name, "sha256": self.base.sha256, "revision": self.base.revision}
        if answers:
            said |= self._answered(said["probes"]["texts"], dropout=dropout)
        said["files"] = Snapshot(self.path).listed
        files.write(self.path / MANIFEST, [files.canonical(said)])

    def _answered(self, texts: list[str], *, dropout: bool) -> dict[str, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what PEFT wonders about in a faulty directory
                loaded = directory.assemble(Snapshot(self.path), self.base, self.recipe.base, self.recipe.encoding, {})
        except AdapterError:
            return {}
        if dropout:
            with torch.random.fork_rng():
                torch.manual_seed(int(self.random.integers(2**31)))
                logits = _with_dropout(loaded, texts)
        else:
            logits = answer(loaded.model, loaded.encoder, texts)
        counted = count_parameters(loaded.model)
        trained = sum(tensor.numel() for tensor in load_file(self.path / WEIGHTS).values())  # loaded, none of them is trainable
        parameters = {"total": counted.total, "trainable": trained, "in_use": counted.in_use}
        said = {"tokenizer_sha256": loaded.encoder.fingerprint, "parameters": parameters}
        if np.isfinite(logits).all():
            said["probes"] = {"texts": texts, "logits": logits.astype(np.float64).round(6).tolist()}
        return said


def _with_dropout(loaded: directory.Adapter, texts: list[str]) -> Any:
    """Logits (N, L) with hidden states dropped at random before the head, as in a model left in training mode."""
    heads = [module for name, module in loaded.model.named_modules() if name.endswith(("modules_to_save.default",))]

    def drop(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.nn.functional.dropout(inputs[0], DROPOUT, training=True), *inputs[1:])

    handles = [head.register_forward_pre_hook(drop) for head in heads]
    try:
        return answer(loaded.model, loaded.encoder, texts)
    finally:
        for handle in handles:
            handle.remove()


def base_tensors(path: Path) -> Tensors:
    """The weights of a base."""
    return {name: tensor for file in sorted(path.glob("model*.safetensors")) for name, tensor in load_file(file).items()}


def rebuilt(
    bench: Bench, name: str, change: Callable[[Tensors], Tensors], config: Mapping[str, Any] | None = None
) -> BaseCheckpoint:
    """A copy of the base, changed, in a folder of the proof's."""
    path = bench.path.with_name(f"{bench.path.name}-{name}")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for file in bench.base.path.iterdir():
        if file.suffix in (".json", ".txt", ".model") and file.is_file() and not file.name.endswith(".index.json"):
            shutil.copyfile(file, path / file.name)
    save_file({key: one.contiguous() for key, one in change(base_tensors(bench.base.path)).items()}, path / "model.safetensors")
    if config:
        files.write(path / "config.json", [json.dumps({**read_json(path / "config.json"), **config})])
    return find(str(path))
