"""lorasent: may this LoRA adapter replace that one?

A map of the house; imports go down only.

    cli             the command line
    training        recipe -> adapter (Hugging Face Trainer)
    scoring         texts -> logits, fast: plans batches, picks precision
    adapter         the adapter on disk: write, verify, load, merge
    classifier      base + head + LoRA in memory: build, count parameters
    encoding        tokenizer, pad token, left truncation, padding
    base            the frozen encoder: found, pinned by hash
    data            source -> labelled reviews
    metrics         logits x labels -> figures
    recipe          recipes/*.toml: everything that determines a training run
    errors          the exception tree
    reviews/        the embedded, labelled corpus

The public names below are imported when first used: `import lorasent` is instant and does not import torch.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorasent.data import Reviews, read
    from lorasent.errors import LorasentError
    from lorasent.metrics import Figures, evaluate
    from lorasent.recipe import Recipe
    from lorasent.scoring import Prediction, Scorer, load
    from lorasent.training import Trained, train

_HOME = {
    "Figures": "metrics",
    "LorasentError": "errors",
    "Prediction": "scoring",
    "Recipe": "recipe",
    "Reviews": "data",
    "Scorer": "scoring",
    "Trained": "training",
    "evaluate": "metrics",
    "load": "scoring",
    "read": "data",
    "train": "training",
}

__all__ = [
    "Figures",
    "LorasentError",
    "Prediction",
    "Recipe",
    "Reviews",
    "Scorer",
    "Trained",
    "evaluate",
    "load",
    "read",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("lorasent")
    if name not in _HOME:
        raise AttributeError(f"module 'lorasent' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lorasent.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
