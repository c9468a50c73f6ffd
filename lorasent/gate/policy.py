"""The policy, gate.toml: which checks, how strict, on what data. An absent table turns on no check.

To add a family of checks, write its module with its table of the policy, and add a line to FAMILIES and one to Policy.
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lorasent import files
from lorasent.data.memory import MEMORY
from lorasent.data.reviews import ReviewsLike
from lorasent.errors import PolicyError
from lorasent.gate import behaviour, calibration, cost, data, golden, quality, triggers
from lorasent.gate.behaviour import Behaviour
from lorasent.gate.calibration import Calibration
from lorasent.gate.cost import Cost
from lorasent.gate.finding import Claim, Finding
from lorasent.gate.golden import Golden
from lorasent.gate.quality import Quality
from lorasent.gate.sections import Data, Integrity, Section, VerdictSettings
from lorasent.recipe import settings
from lorasent.text import decode

LARGEST_POLICY = 2**20
"""Largest size of a policy's file, in bytes."""


class Family(NamedTuple):
    """What a family offers. The first argument of the first three functions is the family's table of the policy."""

    ask: Callable[[Any, Any], Iterable[Finding | Claim]]
    """Findings, and claims whose outcome depends on the other claims. The second argument is the Context; Models of a family that
    asks models. Any exception becomes an INVALID finding."""
    checks: Callable[[Any], list[str]] = lambda _: []
    """The names of the checks; a finding has such a name, or one and "::" and a part."""
    texts: Callable[[Any, Sequence[str]], list[str]] = lambda *_: []
    """The texts that a baseline must answer, given the names of the labels."""
    is_headline: Callable[[Finding], bool] = lambda _: True
    """Whether a terminal shows a passing finding by name. Others are counted."""
    needs_data: bool = False
    """Whether a policy with this table needs [data]."""
    asks_models: bool = False
    """Whether it asks for more than answers to the policy's reviews, which predictions of another system do not have."""


FAMILIES: Mapping[str, Family] = {
    "data": Family(data.ask, texts=data.texts),
    "quality": Family(quality.ask, quality.checks, is_headline=quality.is_headline, needs_data=True),
    "calibration": Family(calibration.ask, calibration.checks, needs_data=True),
    "cost": Family(cost.ask, cost.checks, needs_data=True, asks_models=True),
    "behaviour": Family(behaviour.ask, behaviour.checks, behaviour.texts, behaviour.is_headline, asks_models=True),
    "behaviour::triggers": Family(triggers.ask, triggers.checks, asks_models=True),
    "golden": Family(golden.ask, golden.checks, golden.texts, asks_models=True),
}
"""Families by the prefix of their checks' names. The first part of it is the name of the policy's table."""


class Policy(Section):
    """The whole policy. A family without its table is not checked. Read one with `Policy.read`."""

    data: Data | None = None
    integrity: Integrity = Integrity()
    quality: Quality | None = None
    behaviour: Behaviour | None = None
    calibration: Calibration | None = None
    golden: Golden | None = None
    cost: Cost | None = None
    verdict: VerdictSettings = VerdictSettings()

    @classmethod
    def read(
        cls, path: str | Path, data: ReviewsLike | None = None, *, skip_empty: bool = False, precision: str | None = None
    ) -> "Policy":
        """The policy of a file. Files that it names are looked for beside it first.

        `data` replaces the policy's reviews: a source, or reviews in memory. `skip_empty` turns on the key of that name, and
        `precision` replaces it. Raises PolicyError.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(decode(files.read_bounded(path, LARGEST_POLICY)))
        except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
            raise PolicyError(f"{path}: not valid TOML: {error}") from None
        except OSError as error:
            advice = "; lorasent init writes one, --policy names another" if isinstance(error, FileNotFoundError) else ""
            raise PolicyError(f"{path}: the policy cannot be read: {error.strerror}{advice}") from None
        for table, key in (("data", "test"), ("golden", "predictions"), ("behaviour", "cases")):
            _resolve(path.parent, tables.get(table), key)
        if data is not None and isinstance(tables.setdefault("data", {}), dict):
            tables["data"]["test"] = MEMORY  # until `on` names what they are
        if skip_empty and isinstance(tables.get("data"), dict):
            tables["data"]["skip_empty"] = True
        if precision is not None:
            if not isinstance(tables.get("data"), dict):
                raise PolicyError(f"{path}: a precision needs [data], which this policy does not have")
            tables["data"]["precision"] = precision
        policy = settings.parse(cls, tables, str(path), PolicyError)
        if not tables.keys() & set(CHECK_TABLES):
            *names, last = (f"[{table}]" for table in CHECK_TABLES)
            raise PolicyError(f"{path}: turns on no check: add {', '.join(names)} or {last}")
        needs = [name for name, family in FAMILIES.items() if family.needs_data and name in tables]
        if needs and policy.data is None:
            raise PolicyError(f"{path}: [{needs[0]}] needs data: add [data] with test = a source of labelled reviews")
        return policy if data is None else policy.on(data)

    def on(self, data: ReviewsLike) -> "Policy":
        """This policy with other reviews: a source, or reviews in memory."""
        return self.model_copy(update={"data": (self.data or Data(test=MEMORY)).on(data)})

    def require_absolute(self) -> None:
        """Raises PolicyError if [quality] cannot judge a first adapter, which has no baseline."""
        if self.quality and self.quality.min is None:
            raise PolicyError(
                f"[quality] only compares, and there is no baseline: set min, the {self.quality.metric} that a first adapter must "
                "reach, or give a baseline: an adapter's directory or recorded evidence"
            )

    @property
    def families(self) -> list[tuple[str, Family, Any]]:
        """The prefix, the family and the table of each family that the policy turns on, in the order of FAMILIES."""
        families = ((name, family, getattr(self, name.partition("::")[0])) for name, family in FAMILIES.items())
        return [(name, family, table) for name, family, table in families if table is not None]


CHECK_TABLES = tuple(table for table in Policy.model_fields if table not in ("data", "verdict"))
"""Names of the tables that turn on checks."""


def _resolve(folder: Path, table: Any, key: str) -> None:
    """Replaces the name of a file or folder beside the policy by its path. The name of a split may follow."""
    source = table.get(key) if isinstance(table, dict) else None
    if isinstance(source, str) and source and source.partition(":")[0] != "embedded":
        name, colon, split = source.rpartition(":") if ":" in source else (source, "", "")
        if os.path.exists(folder / name):  # noqa: PTH110 - False for names that are too long or hold NUL; Path.exists raises
            table[key] = f"{folder / name}{colon}{split}"
