"""The adapter on disk: write it, verify it, load it, merge it.

An adapter is a directory in PEFT's own layout plus `lorasent.json`, its manifest. It is written beside its place and renamed
into it, so that a directory of that name is whole or not there. Only safetensors and JSON are read.
"""

import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from lorasent import files, machine
from lorasent.base import BaseModel, find
from lorasent.classifier import answer, count_parameters, load_base, positions, quiet
from lorasent.encoding import Encoder
from lorasent.errors import AdapterError
from lorasent.manifest import CONFIG, MANIFEST, WEIGHTS, hashed, read_json, verify
from lorasent.recipe import Base, Encoding, Recipe

SAMPLE_REVIEWS = ("it was a good movie", "good god,thats the worst film", "better than first film", "not worth the time")
"""The four reviews of the reference notebook, answered before and after training."""

PROBES = (
    *SAMPLE_REVIEWS,
    "I can't say I was bored, but the naïve ending -- 2/10 -- was AWFUL!",
    "The first hour is dull. " * 120 + "And then it turns into the best film I have seen this year.",
)
"""Texts that a manifest keeps the logits of; the last is cut, and judged differently if it is cut on the wrong side."""

PROBE_TOLERANCE = 1e-4
"""Logits of other machines and thread counts differ by about 1e-5 in float32; a fault moves them by 1e-2 and more."""


class UnverifiedAdapterWarning(UserWarning):
    """An adapter without a manifest was loaded."""


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory: the model with LoRA beside the base, its encoder, its labels, and what its manifest says."""

    model: PeftModel
    encoder: Encoder
    labels: tuple[str, ...]
    manifest: Mapping[str, Any]

    def merge(self) -> PreTrainedModel:
        """The base with LoRA added into its weights, W0 + s B A (see `classifier`); the adapter's own model is used up."""
        merged: PreTrainedModel = self.model.merge_and_unload()
        return merged


def write(path: Path, model: PeftModel, encoder: Encoder, base: BaseModel, recipe: Recipe, training: Mapping[str, Any]) -> None:
    """Writes an adapter directory, whole or not at all. `training` joins the manifest: data, epochs, what was measured.

    Raises AdapterError if the directory exists; OSError as the system reports it.
    """
    if path.exists():
        raise AdapterError(f"{path}: exists already; choose another directory or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _save_peft(model, base, staging)
        encoder.save(staging)
        parameters = count_parameters(model)
        manifest = {
            "schema_version": 1,
            "recipe": recipe.to_json(),
            "recipe_sha256": recipe.fingerprint,
            "base": {"name": base.name, "sha256": base.sha256, "revision": base.revision},
            "labels": list(recipe.base.labels),
            "tokenizer_sha256": encoder.fingerprint,
            "parameters": {"total": parameters.total, "trainable": parameters.trainable, "in_use": parameters.in_use},
            "probes": {"texts": list(PROBES), "logits": answer(model, encoder, PROBES).astype(np.float64).round(6).tolist()},
            "libraries": machine.libraries(),
            **training,
        }
        files.write(staging / "README.md", [_card(recipe, base, manifest)])
        manifest["files"] = {name: files.sha256(staging / name) for name in hashed(staging)}
        files.write(staging / MANIFEST, [files.canonical(manifest)])
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load(path: str | Path) -> Adapter:
    """Loads an adapter and proves it: files by hash, base by hash, tokenizer by behaviour, all together by the probe logits.

    One that plain PEFT wrote, without a manifest, is loaded with UnverifiedAdapterWarning. Raises AdapterError if the
    directory is not an adapter or not what its manifest says, BaseModelError if the base is not to be had.
    """
    path = Path(path)
    if not path.is_dir():
        raise AdapterError(f"{path}: no such adapter directory")
    if not (path / WEIGHTS).is_file() and any(path.glob("*.bin")):
        raise AdapterError(f"{path}: holds a pickle ({next(path.glob('*.bin')).name}), which is never loaded; needs {WEIGHTS}")
    if not (path / WEIGHTS).is_file() or not (path / CONFIG).is_file():
        raise AdapterError(f"{path}: not an adapter: needs {CONFIG} and {WEIGHTS}")
    kind = read_json(path / CONFIG).get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{path / CONFIG}: only LoRA adapters are loaded, found peft_type {kind}")
    if not (path / MANIFEST).is_file():
        return _load_unverified(path)
    manifest = verify(path)
    recipe = Recipe.parse(manifest["recipe"], str(path / MANIFEST))
    pinned = manifest["base"]
    base = find(pinned["name"], pinned["revision"], pinned["sha256"])
    adapter = assemble(path, base, recipe.base, recipe.encoding, manifest)
    if adapter.encoder.fingerprint != manifest["tokenizer_sha256"]:
        raise AdapterError(f"{path}: the tokenizer does not encode as it did when the adapter was trained")
    probes = manifest["probes"]
    drift = np.abs(answer(adapter.model, adapter.encoder, probes["texts"]) - np.array(probes["logits"])).max(axis=1)
    if not (drift <= PROBE_TOLERANCE).all():
        raise AdapterError(
            f"{path}: does not answer as it did when it was trained: logits of probe {int(np.argmax(drift))} moved by "
            f"{drift.max():.3g}, allowed are {PROBE_TOLERANCE:g}"
        )
    return adapter


def _load_unverified(path: Path) -> Adapter:
    config = read_json(path / CONFIG)
    warnings.warn(
        f"{path}: no {MANIFEST}: files, base weights, tokenizer, truncation side, labels and answers cannot be verified",
        UnverifiedAdapterWarning,
        stacklevel=3,
    )
    base = find(str(config.get("base_model_name_or_path")), config.get("revision"))
    ends = (".classifier.bias", ".score.weight", ".out_proj.bias")
    heads = [len(value) for key, value in _read_tensors(path / WEIGHTS).items() if key.endswith(ends)]
    if len(heads) != 1 or heads[0] < 2:
        raise AdapterError(f"{path / WEIGHTS}: needs one classification head (classifier or score) of two labels or more")
    labels = tuple(f"LABEL_{position}" for position in range(heads[0]))
    tokenizer = path / "tokenizer_config.json"
    limits = [
        512,
        positions(read_json(base.path / "config.json")),
        read_json(tokenizer if tokenizer.is_file() else base.path / tokenizer.name).get("model_max_length"),
    ]
    return assemble(path, base, Base(model=base.name, labels=labels), Encoding(max_length=min(filter(None, limits))), {})


def assemble(path: Path, base: BaseModel, settings: Base, encoding: Encoding, manifest: Mapping[str, Any]) -> Adapter:
    """An adapter's weights and tokenizer on its base, nothing proved; `load` does. Raises AdapterError if they do not fit."""
    has_tokenizer = (path / "tokenizer_config.json").is_file()
    encoder = Encoder(path if has_tokenizer else base.path, encoding)
    model, _ = load_base(base, settings, encoder)
    try:
        tensors = _read_tensors(path / WEIGHTS)
        config = PeftConfig.from_pretrained(path)
        config.base_model_name_or_path = str(base.path)  # where the model came from; the name of the file's is the hub's
        with quiet():
            adapted = get_peft_model(model, config)
        wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
        if tensors.keys() != wanted:
            missing, extra = sorted(wanted - tensors.keys()), sorted(tensors.keys() - wanted)
            raise AdapterError(f"{path / WEIGHTS}: lacks {missing[:3] or 'nothing'}, holds unexpected {extra[:3] or 'nothing'}")
        set_peft_model_state_dict(adapted, tensors)
    except (ValueError, TypeError, RuntimeError) as error:
        raise AdapterError(f"{path}: cannot be loaded onto {base.name}: {str(error).splitlines()[0]}") from None
    adapted.eval()
    return Adapter(adapted, encoder, settings.labels, manifest)


def _save_peft(model: PeftModel, base: BaseModel, path: Path) -> None:
    """PEFT's own files, in PEFT's layout; its JSON made canonical, since it lists modules in no fixed order."""
    with quiet():
        model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
    (path / WEIGHTS).chmod((path / CONFIG).stat().st_mode)  # safetensors makes it readable by its owner alone
    config = read_json(path / CONFIG)
    config["base_model_name_or_path"], config["revision"] = base.name, base.revision
    for key in ("target_modules", "modules_to_save"):
        config[key] = sorted(config[key] or [])
    files.write(path / CONFIG, [files.canonical(config)])


def _card(recipe: Recipe, base: BaseModel, manifest: Mapping[str, Any]) -> str:
    lora, best = recipe.lora, manifest.get("best")
    kind = ("rank-stabilised " if lora.use_rslora else "") + ("DoRA" if lora.use_dora else "LoRA")
    scores = f"Validation accuracy {best['accuracy']:.4f} (epoch {best['epoch']})." if best else ""
    return f"""---
base_model: {base.name}
library_name: peft
pipeline_tag: text-classification
---
# Sentiment adapter on {base.name}

{kind} r={lora.r}, alpha={lora.alpha}, trained on {recipe.data.train} with lorasent {manifest["libraries"]["lorasent"]}.
Labels: {", ".join(recipe.base.labels)}. At most {recipe.encoding.max_length} tokens, cut on the {recipe.encoding.truncation_side}.
{scores}

```python
import lorasent

lorasent.load("PATH OF THIS DIRECTORY").predict(["it was a good movie"])
```
"""


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except SafetensorError as error:
        raise AdapterError(f"{path}: not a safetensors file that can be read: {error}") from None
    return tensors
