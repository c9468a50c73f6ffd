"""The search space around the starting recipe: every range is widened to contain that recipe's value.

A point of the space is a dict by name, as Optuna's trials hold it. Two names are not keys of a recipe: `lora.scale` is LoRA's
scaling alpha / r (alpha / sqrt(r) with rsLoRA), so that the size of an update does not depend on r; `lora.target_modules` is a list
in one string.
"""

import math
from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lorasent.adapter.architectures import QUERY_NAMES
from lorasent.errors import SweepError
from lorasent.recipe.recipe import Recipe

LINEAR = "linear"
"""Schedule of a recipe that names none."""

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "lora.r": (2, 4, 8, 16, 32),
    "lora.scale": (0.5, 1.0, 2.0, 4.0, 8.0),
    "lora.dropout": (0.0, 0.1),
    "lora.target_modules": ("query", "all-linear"),
    "training.batch_size": (4, 8, 16),
    "training.schedule": (LINEAR, "cosine", "constant"),
}

LEARNING_RATES = (1e-4, 3e-3)
"""Smallest and largest learning rate; searched on a logarithmic scale."""

WARMUPS = (0.0, 0.2)
"""Smallest and largest share of warmup steps."""

EPOCHS = 2
"""Largest difference to the recipe's number of epochs; at least one epoch remains."""

NAMES = (*CHOICES, "training.learning_rate", "training.warmup", "training.epochs")


def start(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a point."""
    return {
        **{name: attrgetter(name)(recipe) for name in NAMES if name != "lora.scale"},
        "lora.scale": recipe.lora.alpha / _divisor(recipe, recipe.lora.r),
        "lora.target_modules": " ".join(recipe.lora.target_modules),
        "training.schedule": recipe.training.schedule or LINEAR,
    }


def space(recipe: Recipe, over: Collection[str] = NAMES) -> dict[str, BaseDistribution]:
    """The ranges of the names in `over`. Raises SweepError for an unknown name."""
    if unknown := sorted(set(over) - set(NAMES)):
        raise SweepError(f"--over {unknown[0]}: not searched; choose from {', '.join(NAMES)} (scale is alpha / r)")
    point = start(recipe)
    ranges: dict[str, BaseDistribution] = {name: CategoricalDistribution(_choices(name, point[name])) for name in CHOICES}
    for name, (low, high), log in (("training.learning_rate", LEARNING_RATES, True), ("training.warmup", WARMUPS, False)):
        ranges[name] = FloatDistribution(min(low, point[name]), max(high, point[name]), log=log)
    epochs = point["training.epochs"]
    ranges["training.epochs"] = IntDistribution(max(1, epochs - EPOCHS), epochs + EPOCHS)
    return {name: ranges[name] for name in NAMES if name in over}


def _choices(name: str, value: Any) -> tuple[Any, ...]:
    """The choices of a name, with the recipe's value. An architecture's name of the query projection replaces "query"."""
    choices = CHOICES[name]
    if value in QUERY_NAMES:
        choices = tuple(value if choice == "query" else choice for choice in choices)
    return choices if value in choices else (*choices, value)


def recipe_at(recipe: Recipe, point: Mapping[str, Any]) -> Recipe:
    """The recipe with a point's values."""
    tables = recipe.to_json()
    point = {**start(recipe), **point}
    for name, value in point.items():
        table, _, key = name.partition(".")
        tables[table][key] = value
    tables["lora"]["alpha"] = max(1, round(tables["lora"].pop("scale") * _divisor(recipe, point["lora.r"])))
    tables["lora"]["target_modules"] = point["lora.target_modules"].split(" ")
    return Recipe.parse(tables, "sweep")


def _divisor(recipe: Recipe, rank: int) -> float:
    return math.sqrt(rank) if recipe.lora.use_rslora else rank
