"""A head that was not saved: how right the adapter is before and after, and what the gate says.

    `python -m tests.studies.incident [ADAPTER]`

An export script keeps the tensors of ADAPTER that have "lora_" in their names. A serving script loads what is left with
strict=False, which says nothing of tensors that are missing. ADAPTER is by default a new one of the recipe embedded, seed 1. Writes
golden/measured/incident.json.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

import lorasent
from lorasent import files, golden
from lorasent.adapter.base import _embedded_path
from lorasent.data.reviews import Reviews, read

LOADS = 5
"""Number of loads by the serving script."""

WEIGHTS = "adapter_model.safetensors"
POLICY = '[data]\ntest = "embedded:test"\n[quality]\nmargin = 0.05\n'
ROOT = Path(__file__).parents[2]


def loaded(path: Path, seed: int) -> Any:
    """The adapter as the serving script loads it; `seed` stands for another process, which draws another head."""
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(_embedded_path(), num_labels=2)
    model = get_peft_model(model, PeftConfig.from_pretrained(path))
    names = {name.replace(".default.", "."): name for name, _ in model.named_parameters() if ".default." in name}
    tensors = {names[_in_memory(name)]: tensor for name, tensor in load_file(path / WEIGHTS).items()}
    model.load_state_dict(tensors, strict=False)
    return model.eval()


def _in_memory(name: str) -> str:
    """The name in memory of a saved tensor, without the adapter's: PEFT wraps the head."""
    return name.replace("model.classifier.", "model.classifier.modules_to_save.")


def states(model: Any, path: Path, reviews: Reviews) -> torch.Tensor:
    """What the head reads of each review, (N, h). It does not depend on the head."""
    tokenizer, seen = AutoTokenizer.from_pretrained(path), []
    hook = model.base_model.model.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        for start in range(0, len(reviews), 20):
            model(**tokenizer(reviews.texts[start : start + 20], truncation=True, padding=True, return_tensors="pt"))
    hook.remove()
    return torch.cat(seen)


def accuracy(model: Any, pooled: torch.Tensor, reviews: Reviews) -> float:
    """The share of reviews that a model's head gets right."""
    with torch.inference_mode():
        decided = model.base_model.model.classifier(pooled).argmax(dim=1).numpy()
    return float((decided == np.array(reviews.labels)).mean())


def main() -> None:
    """Exports, loads, judges and writes what was found."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("adapter", type=Path, nargs="?")
    given = arguments.parse_args().adapter
    reviews = read("embedded:test", ("Negative", "Positive"))
    with tempfile.TemporaryDirectory() as folder:
        adapters = Path(folder, "adapters")
        if given is None:
            lorasent.train(lorasent.Recipe.read("embedded", ["training.seed=1"]), adapters / "new")
        else:
            shutil.copytree(given, adapters / "new")
        shutil.copytree(ROOT / "golden" / "reference-adapter", adapters / "current")
        trained = loaded(adapters / "new", 0)
        pooled = states(trained, adapters / "new", reviews)
        found: dict[str, Any] = {"trained": accuracy(trained, pooled, reviews)}
        tensors = load_file(adapters / "new" / WEIGHTS)
        save_file({name: tensor for name, tensor in tensors.items() if "lora_" in name}, adapters / "new" / WEIGHTS)
        found["loaded"] = [accuracy(loaded(adapters / "new", seed), pooled, reviews) for seed in range(LOADS)]
        os.chdir(folder)
        Path("gate.toml").write_text(POLICY)
        found["verdict"] = lorasent.judge("adapters/new", "adapters/current", "gate.toml").to_json()
        os.chdir(ROOT)
    files.write(ROOT / "golden" / "measured" / "incident.json", [files.canonical(found)])
    golden.write_manifest(ROOT / "golden")


if __name__ == "__main__":
    main()
