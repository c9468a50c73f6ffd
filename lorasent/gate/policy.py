"""The policy, gate.toml: which checks, how strict, on what data. An absent table asks for no check."""

import os
import tomllib
from pathlib import Path
from typing import Any

from lorasent import files
from lorasent.errors import PolicyError
from lorasent.gate.families import FAMILIES, Tables
from lorasent.gate.sections import VerdictSettings
from lorasent.recipe import settings
from lorasent.text import decode

CHECK_TABLES = tuple(table for table in Tables.model_fields if table != "data")
"""Names of the tables that ask for checks."""

LARGEST_POLICY = 2**20
"""Largest size of a policy's file, in bytes."""


class Policy(Tables):
    """The whole policy. Read one with `Policy.read`."""

    verdict: VerdictSettings = VerdictSettings()

    @classmethod
    def read(cls, path: str | Path, data: str | None = None, *, skip_empty: bool = False) -> "Policy":
        """The policy of a file. Files that it names are looked for beside it first.

        `data` replaces the source of the reviews, `skip_empty` turns on the key of that name. Raises PolicyError.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(decode(files.read_bounded(path, LARGEST_POLICY)))
        except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
            raise PolicyError(f"{path}: not valid TOML: {error}") from None
        except OSError as error:
            raise PolicyError(f"{path}: the policy cannot be read: {error.strerror}") from None
        for table, key in (("data", "test"), ("golden", "predictions"), ("behaviour", "cases")):
            _resolve(path.parent, tables.get(table), key)
        if data is not None and isinstance(tables.setdefault("data", {}), dict):
            tables["data"]["test"] = data
        if skip_empty and isinstance(tables.get("data"), dict):
            tables["data"]["skip_empty"] = True
        policy = settings.parse(cls, tables, str(path), PolicyError)
        if not tables.keys() & set(CHECK_TABLES):
            *names, last = (f"[{table}]" for table in CHECK_TABLES)
            raise PolicyError(f"{path}: asks for no check: add {', '.join(names)} or {last}")
        needs = [name for name, family in FAMILIES.items() if family.needs_data and name in tables]
        if needs and policy.data is None:
            raise PolicyError(f"{path}: [{needs[0]}] needs data: add [data] with test = a source of labelled reviews")
        return policy


def _resolve(folder: Path, table: Any, key: str) -> None:
    """Replaces the name of a file or folder beside the policy by its path. The name of a split may follow."""
    source = table.get(key) if isinstance(table, dict) else None
    if isinstance(source, str) and source and source.partition(":")[0] != "embedded":
        name, colon, split = source.rpartition(":") if ":" in source else (source, "", "")
        if os.path.exists(folder / name):  # noqa: PTH110 - False for names that are too long or hold NUL; Path.exists raises
            table[key] = f"{folder / name}{colon}{split}"
