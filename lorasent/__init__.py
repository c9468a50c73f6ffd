"""lorasent: may this LoRA adapter replace that one?

The map of the house, a line a room, from the top down. A module imports only what stands below it. Each room's
`__init__.py` has the map of its modules.

    cli/            the command line
    pytest_plugin/  the pytest plugin: recorded goldens, and policies run as test files
    sweep/          a search over recipes (Optuna)
    benchmark/      time, throughput and memory of an adapter on this machine, with a history
    prove/          how often the gate is wrong: planted faults, innocent retrains
    report/         a verdict as people and programs read it: lines for a terminal, an HTML page
    gate/           policy, verdict, and a module for each family of checks
    evaluation/     what an adapter gets right and wrong: figures, slices, words, suspected labels
    training/       recipe -> adapter: splits, the training loop, checkpoints, progress
    augmentation/   training reviews in other words, and whether their labels hold
    bulk/           reviews by the million: shards, scored by processes or by Ray, each kept when it is done
    statistics/     estimates, tests and power, as functions of counts
    scoring/        adapter x texts -> logits: fast, and cached by content
    unpadded/       BERT-like classifiers without padding on the CPU, in inference and training
    adapter/        an adapter on disk and in memory: files, manifest, base, tokenizer
    data/           labelled reviews: sources, slices
    recipe/         recipes: everything that determines a training run
    golden          a recorded result that tests must reproduce
    metrics         logits x labels -> figures
    tracking        runs at experiment trackers: MLflow, Weights & Biases, TensorBoard
    devices         the device that a model computes on, and what is said where its memory is too small
    files           hashes; regular files read, files written beside their place and renamed
    hub             the Hugging Face hub: fetched, pushed, or forbidden
    machine         library versions, processor features, glibc's malloc
    torch_private   torch's private names, looked up when they are first needed
    errors          the exception tree
    text            text from strangers: decoded as people save it, shown without control characters

    behaviours/     the embedded behavioural cases
    recipes/        the shipped recipes
    reviews/        the embedded, labelled corpus

The public names below are imported when first used: `import lorasent` is instant and does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorasent.adapter.sealing import SealCallback as SealCallback
    from lorasent.adapter.sealing import adopt as adopt
    from lorasent.adapter.sealing import seal as seal
    from lorasent.data.reviews import Reviews as Reviews
    from lorasent.data.reviews import read as read
    from lorasent.errors import LorasentError as LorasentError
    from lorasent.evaluation.figures import evaluate as evaluate
    from lorasent.gate.policy import Policy as Policy
    from lorasent.gate.verdict import Verdict as Verdict
    from lorasent.gate.verdict import judge as judge
    from lorasent.metrics import Figures as Figures
    from lorasent.recipe.recipe import Recipe as Recipe
    from lorasent.scoring.predictions import Predictions as Predictions
    from lorasent.scoring.scorer import Prediction as Prediction
    from lorasent.scoring.scorer import Scorer as Scorer
    from lorasent.scoring.scorer import load as load
    from lorasent.training.run import Trained as Trained
    from lorasent.training.train import train as train

_HOME = {
    "Figures": "metrics",
    "LorasentError": "errors",
    "Policy": "gate.policy",
    "Prediction": "scoring.scorer",
    "Predictions": "scoring.predictions",
    "Recipe": "recipe.recipe",
    "Reviews": "data.reviews",
    "Scorer": "scoring.scorer",
    "SealCallback": "adapter.sealing",
    "Trained": "training.run",
    "Verdict": "gate.verdict",
    "adopt": "adapter.sealing",
    "evaluate": "evaluation.figures",
    "judge": "gate.verdict",
    "load": "scoring.scorer",
    "read": "data.reviews",
    "seal": "adapter.sealing",
    "train": "training.train",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("lorasent")
    if name not in _HOME:
        raise AttributeError(f"module 'lorasent' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lorasent.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
