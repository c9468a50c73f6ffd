"""A copy of a healthy adapter in which a fault is planted, with a manifest that agrees with its files.

An exporter's fault happens between the trainer's memory and the disk: the manifest's hashes are those of the faulty files, its
probe logits those of the healthy model. A trainer's fault is in the model: the probe logits are those of the faulty model.
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
"""Share of the head's inputs that are dropped if dropout is left on."""


class FaultyCopy:
    """A copy of `healthy` at `path`; `other` is another adapter of the same recipe, `number` seeds the random numbers."""

    def __init__(self, healthy: Path, other: Path, path: Path, number: int) -> None:
        shutil.copytree(healthy, path)
        self.path = path
        self.other = other
        self.random = np.random.default_rng(number)
        self.manifest = read_json(path / MANIFEST)
        self.recipe = Recipe.parse(self.manifest["recipe"], str(path))
        base = self.manifest["base"]
        self.base: BaseCheckpoint = find(base["name"], base["revision"], base["sha256"])

    def change_weights(self, change: Callable[[Tensors], object]) -> None:
        """Changes the tensors in place and saves them."""
        tensors = load_file(self.path / WEIGHTS)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, self.path / WEIGHTS)

    def set_json(self, name: str, **keys: Any) -> None:
        """Sets keys of a JSON file."""
        files.write(self.path / name, [files.canonical({**read_json(self.path / name), **keys})])

    def set_recipe(self, **keys: Any) -> None:
        """Sets keys of the recipe, each given as table__key, and the entries of other files that depend on them."""
        tables = self.recipe.to_json()
        for name, value in keys.items():
            table, _, key = name.partition("__")
            tables[table][key] = value
        self.recipe = recipe = Recipe.parse(tables, str(self.path))
        self.set_json(CONFIG, r=recipe.lora.r, lora_alpha=recipe.lora.alpha, lora_dropout=recipe.lora.dropout)
        encoding = recipe.encoding
        self.set_json("tokenizer_config.json", truncation_side=encoding.truncation_side, model_max_length=encoding.max_length)

    def set_base(self, base: BaseCheckpoint) -> None:
        """Puts the adapter onto another base."""
        self.base = base
        self.set_json(CONFIG, base_model_name_or_path=base.name, revision=base.revision)
        self.set_recipe(base__model=base.name, **({"base__revision": None} if self.recipe.base.revision else {}))

    def write_manifest(self, *, answers: bool, dropout: bool = False) -> None:
        """Writes the manifest that agrees with the directory as it is now.

        With `answers`, the probe logits are those of the faulty adapter, if it can be loaded and they are finite, and with
        `dropout`, they are computed with dropout on. Otherwise they stay those of the healthy adapter.
        """
        manifest = dict(self.manifest)
        manifest["recipe"], manifest["recipe_sha256"] = self.recipe.to_json(), self.recipe.fingerprint
        manifest["labels"] = list(self.recipe.base.labels)
        manifest["base"] = {"name": self.base.name, "sha256": self.base.sha256, "revision": self.base.revision}
        if answers:
            manifest |= self._measured(manifest["probes"]["texts"], dropout=dropout)
        manifest["files"] = Snapshot(self.path).listed
        files.write(self.path / MANIFEST, [files.canonical(manifest)])

    def _measured(self, texts: list[str], *, dropout: bool) -> dict[str, Any]:
        """The manifest's entries that only a loaded model can give."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT warns about faulty directories
                loaded = directory.assemble(Snapshot(self.path), self.base, self.recipe.base, self.recipe.encoding)
        except AdapterError:
            return {}
        if dropout:
            with torch.random.fork_rng():
                torch.manual_seed(int(self.random.integers(2**31)))
                logits = _answer_with_dropout(loaded, texts)
        else:
            logits = answer(loaded.model, loaded.encoder, texts)
        counts = count_parameters(loaded.model)
        trained = sum(tensor.numel() for tensor in load_file(self.path / WEIGHTS).values())  # none is trainable once loaded
        entries: dict[str, Any] = {
            "tokenizer_sha256": loaded.encoder.fingerprint,
            "parameters": {"total": counts.total, "trainable": trained, "in_use": counts.in_use},
        }
        if np.isfinite(logits).all():
            entries["probes"] = {"texts": texts, "logits": logits.astype(np.float64).round(6).tolist()}
        return entries


def _answer_with_dropout(loaded: directory.Adapter, texts: list[str]) -> Any:
    """Logits (N, L) with the head's inputs dropped at random, as by a model left in training mode."""
    heads = [module for name, module in loaded.model.named_modules() if name.endswith("modules_to_save.default")]

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


def changed_base(
    copy: FaultyCopy, name: str, change: Callable[[Tensors], Tensors], config: Mapping[str, Any] | None = None
) -> BaseCheckpoint:
    """A changed copy of the base, in a folder beside the faulty copy; `config` sets keys of its configuration."""
    path = copy.path.with_name(f"{copy.path.name}-{name}")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for file in copy.base.path.iterdir():
        if file.suffix in (".json", ".txt", ".model") and file.is_file() and not file.name.endswith(".index.json"):
            shutil.copyfile(file, path / file.name)
    tensors = change(base_tensors(copy.base.path))
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path / "model.safetensors")
    if config:
        files.write(path / "config.json", [json.dumps({**read_json(path / "config.json"), **config})])
    return find(str(path))
