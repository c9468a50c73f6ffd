"""What is searched, around the recipe that a sweep starts from: every range is widened to hold what that recipe says.

A point of the space is a dict by name, as Optuna's trials hold it. Two names are not keys of a recipe: `lora.scale` is what LoRA
scales by, alpha / r (alpha / sqrt(r) with rsLoRA), which keeps the size of an update while r moves; `lora.target_modules` is a list
in one string.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lorasent.adapter.architectures import QUERY_NAMES
from lorasent.errors import SweepError
from lorasent.recipe.recipe import Recipe

LINEAR = "linear"
"""The schedule of a recipe that says none."""

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "lora.r": (2, 4, 8, 16, 32),
    "lora.scale": (0.5, 1.0, 2.0, 4.0, 8.0),
    "lora.dropout": (0.0, 0.1),
    "lora.target_modules": ("query", "all-linear"),
    "training.batch_size": (4, 8, 16),
    "training.schedule": (LINEAR, "cosine", "constant"),
}

LEARNING_RATES = (1e-4, 3e-3)
"""Searched on a logarithmic scale."""

WARMUPS = (0.0, 0.2)

EPOCHS = 2
"""So many epochs more than the recipe's, and as many fewer, but one at least."""

NAMES = (*CHOICES, "training.learning_rate", "training.warmup", "training.epochs")


def start(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a point."""
    lora, training = recipe.lora, recipe.training
    return {
        "lora.r": lora.r,
        "lora.scale": lora.alpha / _divisor(recipe, lora.r),
        "lora.dropout": lora.dropout,
        "lora.target_modules": " ".join(lora.target_modules),
        "training.batch_size": training.batch_size,
        "training.schedule": training.schedule or LINEAR,
        "training.learning_rate": training.learning_rate,
        "training.warmup": training.warmup,
        "training.epochs": training.epochs,
    }


def space(recipe: Recipe, over: Collection[str] = NAMES) -> dict[str, BaseDistribution]:
    """The ranges by name, of the names in `over`. Raises SweepError for a name that is none."""
    if strangers := sorted(set(over) - set(NAMES)):
        raise SweepError(f"--over {strangers[0]}: not searched; choose from {', '.join(NAMES)} (scale is alpha / r)")
    own = start(recipe)
    found: dict[str, BaseDistribution] = {name: CategoricalDistribution(_choices(name, own[name])) for name in CHOICES}
    for name, (low, high), log in (("training.learning_rate", LEARNING_RATES, True), ("training.warmup", WARMUPS, False)):
        found[name] = FloatDistribution(min(low, own[name]), max(high, own[name]), log=log)
    epochs = own["training.epochs"]
    found["training.epochs"] = IntDistribution(max(1, epochs - EPOCHS), epochs + EPOCHS)
    return {name: found[name] for name in NAMES if name in over}


def _choices(name: str, own: Any) -> tuple[Any, ...]:
    """Those of a name, and the recipe's own, which is one of them where it is what its architecture calls the query."""
    choices = CHOICES[name]
    if own in QUERY_NAMES:
        choices = tuple(own if choice == "query" else choice for choice in choices)
    return choices if own in choices else (*choices, own)


def recipe_at(recipe: Recipe, point: Mapping[str, Any]) -> Recipe:
    """The recipe with what a point says in place of its own."""
    tables = recipe.to_json()
    whole = {**start(recipe), **point}
    for name, value in whole.items():
        table, _, key = name.partition(".")
        tables[table][key] = value
    tables["lora"]["alpha"] = max(1, round(tables["lora"].pop("scale") * _divisor(recipe, whole["lora.r"])))
    tables["lora"]["target_modules"] = whole["lora.target_modules"].split(" ")
    return Recipe.parse(tables, "sweep")


def _divisor(recipe: Recipe, rank: int) -> float:
    return math.sqrt(rank) if recipe.lora.use_rslora else rank
