"""Writes an adapter's directory: PEFT's own files, the tokenizer's, a model card, and the manifest."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import PeftModel

from lorasent import files, machine
from lorasent.adapter import card
from lorasent.adapter.base import BaseCheckpoint
from lorasent.adapter.classifier import answer, count_parameters, quiet
from lorasent.adapter.directory import PROBES
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, read_json
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError
from lorasent.recipe.recipe import Recipe


def write(
    path: Path, model: PeftModel, encoder: Encoder, base: BaseCheckpoint, recipe: Recipe, training: Mapping[str, Any]
) -> None:
    """Writes an adapter's directory, whole or not at all. `training` is added to the manifest: data, epochs, measurements."""
    with staged(path) as staging:
        save_peft(model, base, staging)
        manifest = {
            **describe(base, encoder, recipe.base.labels, answer(model, encoder, PROBES)),
            "recipe": recipe.to_json(),
            "recipe_sha256": recipe.fingerprint,
            "parameters": count_parameters(model)._asdict(),
            **training,
        }
        finish(staging, encoder, manifest)


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A folder to write, which is renamed to `path` at the end. Raises AdapterError if that exists."""
    if os.path.lexists(path):
        raise AdapterError(f"{path}: exists already; choose another directory or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield staging
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def describe(
    base: BaseCheckpoint, encoder: Encoder, labels: Iterable[str], logits: NDArray[np.float32], dtype: str = "float32"
) -> dict[str, Any]:
    """The entries of a manifest that every adapter has; `logits` answer PROBES, `dtype` is the base's in the trainer's memory."""
    pinned = {"name": base.name, "sha256": base.sha256, "revision": base.revision, "config": dict(base.config)}
    return {
        "schema_version": 1,
        "base": pinned if dtype == "float32" else {**pinned, "dtype": dtype},
        "labels": list(labels),
        "tokenizer_sha256": encoder.fingerprint,
        "tokenizer_parts": encoder.parts,
        "probes": {"texts": list(PROBES), "logits": logits.astype(np.float64).round(6).tolist()},
        "libraries": machine.libraries(),
    }


def finish(staging: Path, encoder: Encoder, manifest: Mapping[str, Any]) -> None:
    """Writes what belongs beside PEFT's own files: the tokenizer, the model card, and the manifest that hashes all."""
    with tempfile.TemporaryDirectory(dir=files.private()) as folder:  # tokenizers cannot write under a name that is not UTF-8
        encoder.save(Path(folder))
        for file in Path(folder).iterdir():
            shutil.copyfile(file, staging / file.name)
    files.write(staging / card.NAME, [card.card(manifest)])
    files.write(staging / files.ATTRIBUTES, [files.AS_WRITTEN])
    files.write(staging / MANIFEST, [files.canonical({**manifest, "files": Snapshot(staging).listed})])


def save_peft(model: PeftModel, base: BaseCheckpoint, path: Path) -> None:
    """PEFT's own files, in PEFT's layout."""
    with quiet():
        model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
    write_config(path, base, read_json(path / CONFIG))


def write_config(path: Path, base: BaseCheckpoint, config: Mapping[str, Any]) -> None:
    """PEFT's configuration, which names the base, as canonical JSON: PEFT lists modules in no fixed order."""
    modules = {key: sorted(config[key] or []) for key in ("target_modules", "modules_to_save") if not isinstance(config[key], str)}
    named = {"base_model_name_or_path": base.name, "revision": base.revision}
    files.write(path / CONFIG, [files.canonical({**config, **modules, **named})])
    (path / WEIGHTS).chmod((path / CONFIG).stat().st_mode)  # safetensors makes it readable by its owner alone
