"""What is searched, and where it is kept: a study in a database, and the folder where its trials are trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lorasent.adapter.manifest import read_json
from lorasent.errors import SweepError

STUDY = "study.db"
"""The study in a sweep's folder, where no other storage is named."""

OWNER = "study.json"
"""Which study the folder is for."""

NAME = "lorasent"
"""A study's, where no other is asked for."""

UNPRUNED = 5
"""Trials that run to their end before any is pruned: what others are held to."""


@dataclass(frozen=True)
class Search:
    """What is searched, where; every process gets it whole."""

    recipe: dict[str, Any]
    out: Path
    storage: str
    trials: int
    seed: int
    over: tuple[str, ...]
    name: str = NAME
    """Of the study, in a database that holds others besides."""

    def open(self, worker: int = 0) -> optuna.Study:
        """The study, made where there is none. Raises SweepError if the storage is not to be had."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(storage=self.storage, study_name=self.name, load_if_exists=True)
        except (ImportError, ValueError, LookupError, RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SweepError(f"--storage {shown(self.storage)}: no study can be kept there: {reason}") from None
        # Every worker, and every one that goes on later, draws its own: one seed would try one recipe again and again.
        seed = np.random.SeedSequence([self.seed, worker, len(study.get_trials(deepcopy=False))]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=int(seed[0]))
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
        return study

    @property
    def place(self) -> str:
        """Where the study lies, for messages."""
        return str(self.out) if self.storage == kept_in(self.out) else f"--storage {shown(self.storage)}"

    @property
    def other(self) -> str:
        """What to choose for another study."""
        return "--out" if self.storage == kept_in(self.out) else "--study"

    @property
    def folder(self) -> Path:
        """Where trials are trained."""
        return self.out / "trials"

    @property
    def lock(self) -> FileLock:
        """Held while a trial is given out, or the best is changed; a process that dies lets go of it."""
        return FileLock(self.out / ".lock")

    def owner(self) -> dict[str, str | None]:
        """For which study the folder is: trials of two would have the same numbers. Raises SweepError where another has it."""
        mine = {"storage": None if self.storage == kept_in(self.out) else shown(self.storage), "study": self.name}
        path = self.out / OWNER
        if path.is_file() and (found := read_json(path)) != mine:
            where = found.get("storage") or STUDY
            raise SweepError(f"{self.out}: holds the trials of the study {found.get('study')} in {where}; choose another --out")
        return mine


def kept_in(out: Path) -> str:
    """The database of a search's folder."""
    return f"sqlite:///{(out / STUDY).resolve()}"


def shown(storage: str) -> str:
    """A database's URL without its password."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage if "@" not in storage else f"{storage.partition(':')[0]}:…"
    hidden = {key: "***" for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
