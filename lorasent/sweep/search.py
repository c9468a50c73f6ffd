"""What is searched, and where it is kept: a study in a database, and the folder where its trials are trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lorasent.adapter.manifest import read_json
from lorasent.errors import SweepError, first_line
from lorasent.recipe.recipe import Recipe
from lorasent.sweep import space

DATABASE = "study.db"
"""The default database, in the search's folder."""

OWNER = "study.json"
"""File that says which study the folder belongs to."""

STUDY = "lorasent"
"""Default name of a study."""


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
        """The study, created if there is none. Raises SweepError if the storage cannot be used."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(storage=self.storage, study_name=self.name, load_if_exists=True)
        except (ImportError, ValueError, LookupError, RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            reason = first_line(error)
            raise SweepError(f"--storage {without_password(self.storage)}: no study can be kept there: {reason}") from None
        # Each worker, and each later run, needs a seed of its own: with the same seed they would propose the same recipes.
        seed = np.random.SeedSequence([self.seed, worker, len(study.get_trials(deepcopy=False))]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=int(seed[0]))
        study.pruner = optuna.pruners.MedianPruner()  # its default: five trials run to their end before any is pruned
        return study

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The ranges of the names that are searched. Raises SweepError for an unknown name."""
        return space.space(self.recipe, self.over)

    @property
    def first(self) -> dict[str, Any]:
        """The point of the first trial: the recipe."""
        return {name: value for name, value in space.start(self.recipe).items() if name in self.over}

    @property
    def is_local(self) -> bool:
        """Whether the study lies in the search's folder."""
        return self.storage == default_storage(self.out)

    @property
    def place(self) -> str:
        """Where the study lies, for messages."""
        return str(self.out) if self.is_local else f"--storage {without_password(self.storage)}"

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
        owner = {"storage": None if self.is_local else without_password(self.storage), "study": self.name}
        path = self.out / OWNER
        if path.is_file() and (other := read_json(path)) != owner:
            where = other.get("storage") or DATABASE
            raise SweepError(f"{self.out}: holds the trials of the study {other.get('study')} in {where}; choose another --out")
        return owner


def default_storage(out: Path) -> str:
    """The URL of the database in a search's folder."""
    return f"sqlite:///{(out / DATABASE).resolve()}"


def without_password(storage: str) -> str:
    """A database's URL with its password hidden."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage if "@" not in storage else f"{storage.partition(':')[0]}:…"
    hidden = {key: "***" for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
