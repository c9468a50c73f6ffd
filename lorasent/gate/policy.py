"""The policy, gate.toml: which checks, how strict, on what data. A table that is absent asks nothing."""

import os
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from lorasent import files
from lorasent.errors import PolicyError
from lorasent.recipe import settings
from lorasent.recipe.recipe import Recipe
from lorasent.text import decode

FAMILIES = ("integrity", "golden", "quality", "behaviour", "calibration", "cost")

LARGEST = 2**20
"""Bytes of a policy."""

UNASKED = ("base.revision", "base.labels", "training.seed")
"""Keys of a recipe that may_change has no say in: the base's hash is what counts, labels never differ, a seed always may."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""What may be lost: below 1, for who may lose all is never blocked."""

MOST_TIMES = 1000
"""A ratio of costs beyond which a limit limits nothing."""


class Section(settings.Table):
    """A table of a policy: no limit is infinite, or no number."""

    model_config = ConfigDict(allow_inf_nan=False)


class Data(Section):
    """The labelled reviews that both answer."""

    test: str
    sample: Annotated[int, Field(ge=2)] | None = None
    """So many of them, balanced over the labels, drawn by `seed`."""
    seed: Annotated[int, Field(ge=0)] = 0
    text_column: str | None = None
    label_column: str | None = None
    skip_empty: bool = False
    """Whether reviews without a text are left out; else they are an error."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


class Integrity(Section):
    """What the candidate's files must be. Always asked: without the table, with these defaults."""

    trainable_parameters: Literal["recipe"] | Annotated[int | float, Field(gt=0)] = "recipe"
    """The count that the candidate's recipe implies, or a count, or a fraction below 1 of all parameters."""
    may_change: tuple[str, ...] = Field(default=(), strict=False)
    """Declared differences from the baseline that are allowed: keys of the recipe ("lora.r"), or whole tables of it ("lora")."""
    truncation_side: Literal["left", "right"] | None = None

    @field_validator("trainable_parameters")
    @classmethod
    def _whole(cls, required: str | float) -> str | float:
        if isinstance(required, float) and required >= 1 and not required.is_integer():
            raise ValueError("a whole number of parameters, or a fraction of them below 1")
        return required

    @field_validator("may_change")
    @classmethod
    def _known(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        keys = {
            table: [key for key in keys_of.model_fields if f"{table}.{key}" not in UNASKED]
            for table, field in Recipe.model_fields.items()
            if (keys_of := settings.table_of(field.annotation))
        }
        keys["encoding"].append("tokenizer")
        known = {*keys, *(f"{table}.{key}" for table in keys for key in keys[table])}
        if strangers := [entry for entry in entries if entry not in known]:
            tables = "; ".join(f"{table}: {', '.join(keys[table])}" for table in keys)
            raise ValueError(
                f'"lora", "lora.r" and the like, not {", ".join(strangers)}. Tables and keys that may change: {tables}'
            )
        return entries


class Golden(Section):
    """Recorded predictions, of the adapter that they name."""

    predictions: str
    max_changed: Share = 0.10
    """The share of its labels that a retrained candidate may change."""


class Quality(Section):
    """The drop that may not ship, and the least that may."""

    metric: Literal["accuracy", "f1", "mcc"] = "accuracy"
    margin: Share = 0.02
    min: Annotated[float, Field(gt=0, le=1)] | None = None
    slices: tuple[str, ...] = Field(default=(), strict=False)
    """Columns of the data by whose values it is cut, and "length" (quartiles) and "truncated"."""
    slice_margin: Share | None = None
    """The drop on a slice that may not ship; absent: twice the margin, at most half way from it to 1."""

    @field_validator("slices")
    @classmethod
    def _once(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [column for column, count in Counter(slices).items() if count > 1]:
            raise ValueError(f"each column once, not {', '.join(twice)} again")
        return slices


class Behaviour(Section):
    """Cases: `embedded`, or a file or folder of JSONL."""

    cases: str = "embedded"
    margin: Share = 0.10
    """The share of a capability's cases, net, that may newly fail."""
    tolerance: Share = 0.10
    """How far an invariant or directional case's probability may move before it counts."""
    triggers: bool = True
    """Whether every word of the tokenizer's vocabulary is tried: one that newly turns clear reviews blocks."""


class Calibration(Section):
    """How much worse the probabilities may get: mean paired change, of the Brier score and of the log loss (nats)."""

    max_brier_increase: Share = 0.01
    max_log_loss_increase: Annotated[float, Field(ge=0, lt=100)] | None = None


class Cost(Section):
    """How much more the candidate may cost: ratios, candidate over baseline."""

    max_latency_ratio: Annotated[float, Field(gt=1, le=MOST_TIMES)] | None = None
    """Above 1: no clock shows that two times are equal."""
    max_flops_ratio: Annotated[float, Field(ge=1, le=MOST_TIMES)] = 1.0
    max_bytes_ratio: Annotated[float, Field(ge=1, le=MOST_TIMES)] = 1.05


class Verdict(Section):
    """How an undecided check colours a pytest item. `lorasent gate` exits 3 all the same."""

    on_inconclusive: Literal["fail", "warn"] = "fail"
    alpha: Annotated[float, Field(ge=0.001, lt=0.5)] = 0.05
    """The familywise error rate of everything that may block by chance, and that of each claim which PASS requires.

    At least 0.001: at next to nothing, a check that only blocks never does.
    """


class Policy(Section):
    """The whole policy. Read one with `Policy.read`."""

    data: Data | None = None
    integrity: Integrity = Integrity()
    golden: Golden | None = None
    quality: Quality | None = None
    behaviour: Behaviour | None = None
    calibration: Calibration | None = None
    cost: Cost | None = None
    verdict: Verdict = Verdict()

    @classmethod
    def read(cls, path: str | Path, data: str | None = None, *, skip_empty: bool = False) -> "Policy":
        """Reads a policy; `data` replaces its source, `skip_empty` its key. Files that it names are looked for beside it first.

        Raises PolicyError.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(decode(files.read_bounded(path, LARGEST)))
        except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or too deep
            raise PolicyError(f"{path}: not valid TOML: {error}") from None
        except OSError as error:
            raise PolicyError(f"{path}: no policy that can be read: {error.strerror}") from None
        for table, key in (("data", "test"), ("golden", "predictions"), ("behaviour", "cases")):
            _from(path.parent, tables.get(table), key)
        if data is not None and isinstance(tables.setdefault("data", {}), dict):
            tables["data"]["test"] = data
        if skip_empty and isinstance(tables.get("data"), dict):
            tables["data"]["skip_empty"] = True
        policy = settings.parse(cls, tables, str(path), PolicyError)
        if not tables.keys() & set(FAMILIES):
            raise PolicyError(
                f"{path}: asks for no check: add [integrity], [golden], [quality], [behaviour], [calibration] or [cost]"
            )
        needs = [name for name in ("quality", "calibration", "cost") if name in tables]
        if needs and policy.data is None:
            raise PolicyError(f"{path}: [{needs[0]}] needs data: add [data] with test = a source of labelled reviews")
        return policy


def _from(folder: Path, table: Any, key: str) -> None:
    """Makes a file or folder that lies beside the policy a path from here; a split may stand behind it."""
    source = table.get(key) if isinstance(table, dict) else None
    if isinstance(source, str) and source and source.partition(":")[0] != "embedded":
        name, colon, split = source.rpartition(":") if ":" in source else (source, "", "")
        if os.path.exists(folder / name):  # noqa: PTH110 - which says no where Path.exists raises, of a name too long or with NUL
            table[key] = f"{folder / name}{colon}{split}"
