"""The adapter on disk: write it, verify it, load it, merge it.

An adapter is a directory in PEFT's own layout plus `lorasent.json`, its manifest. It is written beside its place and renamed
into it, so that a directory of that name is whole or not there. Only safetensors and JSON are read.
"""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel

from lorasent import files, machine
from lorasent.adapter import bare, configuration, weights
from lorasent.adapter.base import BaseCheckpoint, find
from lorasent.adapter.classifier import answer, count_parameters, linear_layers, load_base, quiet
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest, read_json, verify
from lorasent.adapter.snapshot import Snapshot, of
from lorasent.errors import AdapterError, foreign
from lorasent.recipe.recipe import Base, Encoding, Recipe
from lorasent.text import MESSAGE, shown

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


REPETITION = re.compile(r"[*+{]|(?<![*+}?(])\?")
MOST_REPETITIONS = 5
ENDLESS = re.compile(r"\)[*+{]")
"""A repetition in a pattern; how many of them are searched for; and one of a group, which may repeat something itself."""


class UnverifiedAdapterWarning(UserWarning):
    """An adapter without a manifest was loaded."""


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory: the model with LoRA beside the base, its encoder, its labels, and what its manifest says."""

    model: PeftModel
    encoder: Encoder
    labels: tuple[str, ...]
    manifest: Manifest | None

    def merge(self) -> PreTrainedModel:
        """The base with LoRA added into its weights, W0 + s B A (see `classifier`); the adapter's own model is used up."""
        merged: PreTrainedModel = self.model.merge_and_unload()
        return merged


def write(
    path: Path, model: PeftModel, encoder: Encoder, base: BaseCheckpoint, recipe: Recipe, training: Mapping[str, Any]
) -> None:
    """Writes an adapter directory, whole or not at all. `training` joins the manifest: data, epochs, what was measured.

    Raises AdapterError if the directory exists; OSError as the system reports it.
    """
    if path.exists():
        raise AdapterError(f"{path}: exists already; choose another directory or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _save_peft(model, base, staging)
        with tempfile.TemporaryDirectory(dir=files.private()) as folder:  # tokenizers cannot write under a name that is not UTF-8
            encoder.save(Path(folder))
            for file in Path(folder).iterdir():
                shutil.copyfile(file, staging / file.name)
        parameters = count_parameters(model)
        manifest = {
            "schema_version": 1,
            "recipe": recipe.to_json(),
            "recipe_sha256": recipe.fingerprint,
            "base": {"name": base.name, "sha256": base.sha256, "revision": base.revision, "config": dict(base.config)},
            "labels": list(recipe.base.labels),
            "tokenizer_sha256": encoder.fingerprint,
            "tokenizer_parts": encoder.parts,
            "parameters": {"total": parameters.total, "trainable": parameters.trainable, "in_use": parameters.in_use},
            "probes": {"texts": list(PROBES), "logits": answer(model, encoder, PROBES).astype(np.float64).round(6).tolist()},
            "libraries": machine.libraries(),
            **training,
        }
        files.write(staging / "README.md", [_card(recipe, base, manifest)])
        files.write(staging / files.ATTRIBUTES, [files.AS_WRITTEN])
        manifest["files"] = Snapshot(staging).listed
        files.write(staging / MANIFEST, [files.canonical(manifest)])
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load(path: str | Path | Snapshot) -> Adapter:
    """Loads an adapter and proves it: files by hash, base by hash, tokenizer by behaviour, all together by the probe logits.

    One that plain PEFT wrote, without a manifest, is loaded with UnverifiedAdapterWarning. Raises AdapterError if the
    directory is not an adapter or not what its manifest says, BaseModelError if the base is not to be had.
    """
    snapshot = of(path)
    with quiet(), foreign(lambda reason: AdapterError(f"{snapshot.path}: cannot be loaded: {reason}")):
        return _load(snapshot)


def _load(snapshot: Snapshot) -> Adapter:
    where = snapshot.path
    if WEIGHTS not in snapshot.hashes and (pickles := [name for name in snapshot if name.endswith(".bin")]):
        raise AdapterError(f"{where}: holds a pickle ({shown(pickles[0])}), which is never loaded; needs {WEIGHTS}")
    snapshot.require(CONFIG, WEIGHTS)
    kind = snapshot.json(CONFIG).get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{where / CONFIG}: only LoRA adapters are loaded, found peft_type {shown(kind)}")
    if MANIFEST not in {*snapshot.hashes, *snapshot.refused}:
        return _load_bare(snapshot)
    manifest = verify(snapshot)
    recipe = manifest.recipe
    if tuple(manifest.labels) != recipe.base.labels:
        told, trained = (_some(labels) for labels in (manifest.labels, recipe.base.labels))
        raise AdapterError(f"{where / MANIFEST}: labels are {told}, its recipe trained {trained}")
    pinned = manifest.base
    base = find(pinned.name, pinned.revision, pinned.sha256, where.absolute().parent)
    if pinned.config and (changed := configuration.differences(base.config, pinned.config)):
        raise AdapterError(
            f"{where}: its base {shown(base.name)} has another configuration than when the adapter was trained: "
            f"{configuration.summary(changed)}; set the base's config.json right"
        )
    adapter = assemble(snapshot, base, recipe.base, recipe.encoding, manifest)
    if adapter.encoder.fingerprint != manifest.tokenizer_sha256:
        raise AdapterError(f"{where}: the tokenizer does not encode as it did when the adapter was trained")
    probes = manifest.probes
    drift = np.abs(answer(adapter.model, adapter.encoder, probes.texts) - np.array(probes.logits)).max(axis=1)
    if not (drift <= PROBE_TOLERANCE).all():
        raise AdapterError(
            f"{where}: does not answer as it did when it was trained: logits of probe {int(np.argmax(drift))} moved by "
            f"{drift.max():.3g}, allowed are {PROBE_TOLERANCE:g}"
        )
    return adapter


def _load_bare(snapshot: Snapshot) -> Adapter:
    """An adapter without a manifest, as `bare` says."""
    path = snapshot.path
    found = bare.read(snapshot, _read_tensors(snapshot))
    adapter = _assemble(snapshot, found.base, found.settings, found.encoder, None, found.rows)
    bare.check(adapter.model, adapter.encoder, PROBES, path)
    warnings.warn(
        shown(
            f"{path}: no {MANIFEST}: files, base weights, tokenizer, truncation side, labels and answers cannot be verified; "
            f"taken are {found.taken}",
            MESSAGE,
        ),
        UnverifiedAdapterWarning,
        stacklevel=4,
    )
    return adapter


def assemble(
    snapshot: Snapshot, base: BaseCheckpoint, settings: Base, encoding: Encoding, manifest: Manifest | None = None
) -> Adapter:
    """An adapter's weights and tokenizer on its base, nothing proved; `load` does. Raises AdapterError if they do not fit."""
    own = "tokenizer_config.json" in snapshot.hashes
    encoder = Encoder(snapshot.folder, encoding, snapshot.path) if own else Encoder(base.path, encoding, base.name)
    return _assemble(snapshot, base, settings, encoder, manifest)


def _assemble(
    snapshot: Snapshot, base: BaseCheckpoint, settings: Base, encoder: Encoder, manifest: Manifest | None, rows: int | None = None
) -> Adapter:
    path = snapshot.path
    model, random = load_base(base, settings, encoder, rows)
    with foreign(lambda reason: AdapterError(f"{path}: cannot be loaded onto {base.name}: {reason}")):
        tensors = _read_tensors(snapshot, base)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that PEFT does not know, which may say anything
            config = PeftConfig.from_pretrained(snapshot.folder)
        _require_bounded(config, model, path / CONFIG)
        config.base_model_name_or_path = str(base.path)  # where the model came from; the name of the file's is the hub's
        with quiet():
            adapted = get_peft_model(model, config)
        # PEFT saves the embeddings where their number was changed, or where they are trained.
        state = adapted.state_dict()
        known = [get_peft_model_state_dict(adapted, state, save_embedding_layers=saved).keys() for saved in (False, True)]
        if tensors.keys() not in known:
            missing, extra = sorted(known[0] - tensors.keys()), sorted(tensors.keys() - known[0])
            raise AdapterError(f"{path / WEIGHTS}: lacks {_some(missing)}, holds unexpected {_some(extra)}")
        if lost := sorted(random - {name.removeprefix(weights.PEFT_PREFIX) for name in tensors}):
            raise AdapterError(
                f"{path / WEIGHTS}: neither it nor the base {base.name} holds {_some(lost)}: they would be random at every load; "
                "train with modules_to_save naming their modules"
            )
        set_peft_model_state_dict(adapted, tensors)
    adapted.eval()
    return Adapter(adapted, encoder, settings.labels, manifest)


def _save_peft(model: PeftModel, base: BaseCheckpoint, path: Path) -> None:
    """PEFT's own files, in PEFT's layout; its JSON made canonical, since it lists modules in no fixed order."""
    with quiet():
        model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
    (path / WEIGHTS).chmod((path / CONFIG).stat().st_mode)  # safetensors makes it readable by its owner alone
    config = read_json(path / CONFIG)
    config["base_model_name_or_path"], config["revision"] = base.name, base.revision
    for key in ("target_modules", "modules_to_save"):
        config[key] = sorted(config[key] or [])
    files.write(path / CONFIG, [files.canonical(config)])


def _card(recipe: Recipe, base: BaseCheckpoint, manifest: Mapping[str, Any]) -> str:
    lora, best = recipe.lora, manifest.get("best")
    scores = f"Validation accuracy {best['accuracy']:.4f} (epoch {best['epoch']})." if best else ""
    return f"""---
base_model: {base.name}
library_name: peft
pipeline_tag: text-classification
---
# Sentiment adapter on {base.name}

{lora.method} r={lora.r}, alpha={lora.alpha}, trained on {recipe.data.train} with lorasent {manifest["libraries"]["lorasent"]}.
Labels: {", ".join(recipe.base.labels)}. At most {recipe.encoding.max_length} tokens, cut on the {recipe.encoding.truncation_side}.
{scores}

```python
import lorasent

lorasent.load("PATH OF THIS DIRECTORY").predict(["it was a good movie"])
```
"""


def _read_tensors(snapshot: Snapshot, base: BaseCheckpoint | None = None) -> dict[str, torch.Tensor]:
    """The weights; held to the size of a base and to finite numbers where there is one. Until then no number is read."""
    where = snapshot.path / WEIGHTS
    with foreign(lambda reason: AdapterError(f"{where}: not a safetensors file that can be read: {reason}")):
        weights.bounded(snapshot.folder / WEIGHTS, base.path) if base else weights.header(snapshot.folder / WEIGHTS)
        tensors: dict[str, torch.Tensor] = load_file(snapshot.folder / WEIGHTS)
    if base and (odd := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]):
        raise AdapterError(f"{where}: {_some(odd)}: holds numbers that are not finite; train again, the run diverged")
    return tensors


def _require_bounded(config: Any, model: PreTrainedModel, where: Path) -> None:
    """Raises AdapterError for a configuration that could make PEFT take memory or time without end.

    Its patterns are searched in the names of modules: repetitions inside one another, and many side by side, take ages.
    """
    widest = max((max(layer.weight.shape) for layer in linear_layers(model).values()), default=1)
    ranks = [config.r, *(config.rank_pattern or {}).values()]
    if large := [rank for rank in ranks if rank > widest]:
        raise AdapterError(f"{where}: r is {shown(large[0])}, layers of this base are at most {widest} wide")
    if config.layer_replication:
        raise AdapterError(f"{where}: layer_replication asks for another base than the one that is named")
    listed = [one for one in (config.target_modules, config.exclude_modules, config.layers_pattern) if isinstance(one, str)]
    for pattern in (*listed, *(config.rank_pattern or {}), *(config.alpha_pattern or {})):
        if len(REPETITION.findall(pattern)) > MOST_REPETITIONS or ENDLESS.search(pattern):
            raise AdapterError(f"{where}: the pattern {shown(pattern)} may be searched for ages; name modules instead")


def _some(names: Sequence[str]) -> str:
    """The first three names."""
    return (", ".join(map(shown, names[:3])) or "nothing") + (f" and {len(names) - 3} more" if len(names) > 3 else "")
