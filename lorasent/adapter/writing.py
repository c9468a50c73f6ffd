"""Writes an adapter's directory: PEFT's own files, the tokenizer's, a model card, and the manifest."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from peft import PeftModel

from lorasent import files, machine
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
        manifest = {
            "schema_version": 1,
            "recipe": recipe.to_json(),
            "recipe_sha256": recipe.fingerprint,
            "base": {"name": base.name, "sha256": base.sha256, "revision": base.revision, "config": dict(base.config)},
            "labels": list(recipe.base.labels),
            "tokenizer_sha256": encoder.fingerprint,
            "tokenizer_parts": encoder.parts,
            "parameters": count_parameters(model)._asdict(),
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
