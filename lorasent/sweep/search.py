"""What is searched, and where it is kept: a study in a database, and the folder where its trials are trained.

A point of the space is a dict by name, as Optuna's trials hold it. Two names are not a recipe's: `lora.scale` is LoRA's scaling
alpha / r (alpha / sqrt(r) with rsLoRA): an update's size does not depend on r. `lora.target_modules` is a list in one string.
"""

import math
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lorasent.adapter.architectures import QUERY_NAMES
from lorasent.adapter.manifest import read_json
from lorasent.errors import SweepError, is_foreign
from lorasent.recipe.recipe import Recipe
from lorasent.sweep import database

DATABASE = "study.db"
"""The default database, in the search's folder."""

OWNER = "study.json"
"""File that says which study the folder belongs to."""

STUDY = "lorasent"
"""Default name of a study."""

CREATION = 30.0
"""Seconds for which another process may create the same tables on a busy server."""

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

RANGES = {"training.learning_rate": (1e-4, 3e-3, True), "training.warmup": (0.0, 0.2, False)}
"""Smallest and largest value, and whether the scale is logarithmic."""

EPOCHS = 2
"""Largest difference to the recipe's number of epochs; at least one epoch remains."""

NAMES = (*CHOICES, *RANGES, "training.epochs")


@dataclass(frozen=True)
class Search:
    """What is searched, and where; every process gets a copy."""

    recipe: Recipe
    out: Path
    storage: str
    trials: int
    seed: int
    over: tuple[str, ...]
    name: str = STUDY
    """Name of the study: a database may hold several."""

    def open(self, worker: int = 0) -> optuna.Study:
        """The study, created if there is none. A worker (from 1) waits for it. Raises SweepError if the storage cannot be used."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        errors, seconds = (database.ERRORS, None) if worker else (database.CREATION_ERRORS, CREATION)
        try:
            study = database.patiently(self._open, errors, seconds)
        except Exception as error:
            if not is_foreign(error):
                raise
            raise SweepError(f"{self.place}: no study can be kept there: {database.reason(error)}") from error
        # Each worker, and each later run, needs a seed of its own: with the same seed they would propose the same recipes.
        number = len(study.get_trials(deepcopy=False)) if self.is_local else secrets.randbits(32)  # hosts do not know of each other
        seed = np.random.SeedSequence([self.seed, worker, number]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=int(seed[0]))
        study.pruner = optuna.pruners.MedianPruner()  # its default: five trials run to their end before any is pruned
        return study

    def _open(self) -> optuna.Study:
        return optuna.create_study(storage=database.opened(self.storage), study_name=self.name, load_if_exists=True)

    @contextmanager
    def failing_clearly(self) -> Iterator[None]:
        """Raises SweepError where the database fails inside."""
        try:
            yield
        except database.ERRORS as error:
            raise SweepError(f"{self.place}: the search cannot go on: {database.reason(error)}") from error

    @property
    def first(self) -> dict[str, Any]:
        """The point of the first trial: the recipe."""
        return {name: value for name, value in start(self.recipe).items() if name in self.over}

    @property
    def is_local(self) -> bool:
        """Whether the study's database is in the search's folder."""
        return self.storage == default_storage(self.out)

    @property
    def place(self) -> str:
        """Where the study lies, for messages."""
        return str(self.out) if self.is_local else f"--storage {database.without_password(self.storage)}"

    @property
    def whereabouts(self) -> dict[str, str]:
        """User attributes of this host's trials in a shared database: where the adapter of the best one lies."""
        return {} if self.is_local else {"host": socket.gethostname(), "folder": str(self.out.resolve())}

    @property
    def folder(self) -> Path:
        """The folder where trials are trained."""
        return self.out / "trials"

    @property
    def lock(self) -> FileLock:
        """The lock held while a trial is handed out or the best adapter is replaced."""
        return FileLock(self.out / ".lock")

    def owner(self) -> dict[str, str | None]:
        """The content of OWNER. Raises SweepError if the folder belongs to another study, whose trials have the same numbers."""
        owner = {"storage": None if self.is_local else database.without_password(self.storage), "study": self.name}
        path = self.out / OWNER
        if path.is_file() and (other := read_json(path)) != owner:
            where = other.get("storage") or DATABASE
            raise SweepError(f"{self.out}: holds the trials of the study {other.get('study')} in {where}; choose another --out")
        return owner


def default_storage(out: Path) -> str:
    """The URL of the database in a search's folder."""
    return f"sqlite:///{(out / DATABASE).resolve()}"


def start(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a point."""
    return {
        **{name: attrgetter(name)(recipe) for name in NAMES if name != "lora.scale"},
        "lora.scale": recipe.lora.alpha / _divisor(recipe, recipe.lora.r),
        "lora.target_modules": " ".join(recipe.lora.target_modules),
        "training.schedule": recipe.training.schedule or LINEAR,
    }


def space(recipe: Recipe, over: Collection[str] = NAMES) -> dict[str, BaseDistribution]:
    """The ranges of the names in `over`, widened to contain the recipe's values. Raises SweepError for an unknown name."""
    if unknown := sorted(set(over) - set(NAMES)):
        raise SweepError(f"--over {unknown[0]}: not searched; choose from {', '.join(NAMES)} (scale is alpha / r)")
    point = start(recipe)
    ranges: dict[str, BaseDistribution] = {name: CategoricalDistribution(_choices(name, point[name])) for name in CHOICES}
    for name, (low, high, log) in RANGES.items():
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
