"""A copy of a healthy adapter in which a fault is planted, with a manifest that agrees with its files.

An exporter's fault happens between the trainer's memory and the disk: the manifest's hashes are those of the faulty files, its
probe logits those of the healthy model. A trainer's fault is in the model: the probe logits are those of the faulty model. An
adopted adapter was adopted with the fault: its probe logits, and its copy of PEFT's configuration, are those of the faulty files.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lorasent import files
from lorasent.adapter import directory
from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, count_parameters
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest, read_json
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError
from lorasent.recipe.recipe import Recipe

Tensors = dict[str, torch.Tensor]

ProbedModel = Literal["faulty", "dropout", "healthy"]
"""The model that computes a manifest's probe logits: the faulty one, the same with dropout on, or the healthy one."""

DROPOUT = 0.1
"""Share of the head's inputs that are dropped if dropout is left on."""


class FaultyCopy:
    """A copy of `healthy` at `path`; `other` is another adapter of the same recipe, `number` seeds the random numbers."""

    def __init__(self, healthy: Path, other: Path, path: Path, number: int) -> None:
        shutil.copytree(healthy, path)
        self.path = path
        self.healthy, self.other = healthy, other
        self.random = np.random.default_rng(number)
        self.manifest = read_json(path / MANIFEST)
        base = self.manifest["base"]
        self.base = find(base["name"], base["revision"], base["sha256"])

    @property
    def parsed(self) -> Manifest:
        """The manifest as it is now."""
        return Manifest.parse(self.manifest, self.path)

    def change_weights(self, change: Callable[[Tensors], object]) -> None:
        """Changes the tensors in place and saves them."""
        tensors = load_file(self.path / WEIGHTS)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, self.path / WEIGHTS)

    def set_json(self, name: str, **keys: Any) -> None:
        """Sets keys of a JSON file."""
        files.write(self.path / name, [files.canonical({**read_json(self.path / name), **keys})])

    def _set_recipe(self, table: str, **keys: Any) -> None:
        """Sets keys of a table of the recipe."""
        tables = self.parsed.recipe.to_json()
        tables[table] |= keys
        recipe = Recipe.parse(tables, str(self.path))
        self.manifest |= {"recipe": recipe.to_json(), "recipe_sha256": recipe.fingerprint}

    def set_labels(self, labels: list[str]) -> None:
        """Sets the labels."""
        self.manifest["labels"] = labels
        if "recipe" in self.manifest:
            self._set_recipe("base", labels=labels)

    def set_encoding(self, **keys: Any) -> None:
        """Sets keys of the encoding, and the tokenizer's settings that depend on them."""
        if "recipe" in self.manifest:
            self._set_recipe("encoding", **keys)
        else:
            self.manifest["encoding"] = {**self.manifest["encoding"], **keys}
        encoding = self.parsed.encoding
        self.set_json("tokenizer_config.json", truncation_side=encoding.truncation_side, model_max_length=encoding.max_length)

    def change_base(self, name: str, change: Callable[[Tensors], Tensors], **config: Any) -> None:
        """Puts the adapter onto a changed copy of its base, in a folder beside it; `config` has keys of its configuration."""
        path = self.path.with_name(f"{self.path.name}-{name}")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        tensors: Tensors = {}
        for file in sorted(self.base.path.iterdir()):
            if file.match("model*.safetensors"):
                tensors |= load_file(file)
            elif file.suffix in (".json", ".txt", ".model") and file.is_file() and not file.name.endswith(".index.json"):
                shutil.copyfile(file, path / file.name)
        save_file({key: tensor.contiguous() for key, tensor in change(tensors).items()}, path / "model.safetensors")
        configuration = path / "config.json"
        files.write(configuration, [json.dumps({**read_json(configuration), **config})])
        self.base = base = find(str(path))
        self.set_json(CONFIG, base_model_name_or_path=base.name, revision=base.revision)
        self.manifest["base"] = {"name": base.name, "sha256": base.sha256, "revision": base.revision}
        if "recipe" in self.manifest:
            self._set_recipe("base", model=base.name, revision=None)

    def write_manifest(self, probed: ProbedModel) -> None:
        """Writes the manifest that agrees with the directory as it is now."""
        manifest = {**self.manifest, "files": Snapshot(self.path).listed}
        if manifest.get("origin") == "adopted":
            probed, manifest["peft"] = "faulty", read_json(self.path / CONFIG)
        if probed != "healthy":
            manifest |= self._measured(manifest["probes"]["texts"], dropout=probed == "dropout")
        files.write(self.path / MANIFEST, [files.canonical(manifest)])

    def _measured(self, texts: list[str], *, dropout: bool) -> dict[str, Any]:
        """The manifest's entries that only a loaded model can give: none if it cannot be loaded, logits if they are finite."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT warns about faulty directories
                loaded = directory.assemble(Snapshot(self.path), self.base, self.parsed)
        except AdapterError:
            return {}
        with torch.random.fork_rng(enabled=dropout):
            if dropout:
                torch.manual_seed(int(self.random.integers(2**31)))
                _leave_dropout_on(loaded.model)
            logits = answer(loaded.model, loaded.encoder, texts)
        trained = sum(tensor.numel() for tensor in load_file(self.path / WEIGHTS).values())  # none is trainable once loaded
        parameters = count_parameters(loaded.model)._replace(trainable=trained)._asdict()
        entries = {"tokenizer_sha256": loaded.encoder.fingerprint, "parameters": parameters}
        if np.isfinite(logits).all():
            entries["probes"] = {"texts": texts, "logits": logits.astype(np.float64).round(6).tolist()}
        return entries


def _leave_dropout_on(model: torch.nn.Module) -> None:
    """Drops inputs of the head at random, as a model does that is left in training mode."""

    def drop(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.nn.functional.dropout(inputs[0], DROPOUT), *inputs[1:])

    for name, module in model.named_modules():
        if name.endswith("modules_to_save.default"):
            module.register_forward_pre_hook(drop)
