"""A golden: a recorded result that must come out again.

It says who made it, how far each column may move and why, and under which libraries and on what machine it was made. Numbers,
and lists of numbers, may move by the tolerance of their column; everything else must be equal. `MANIFEST.json` lists every
file of the folder that goldens live in with its sha256, so that nothing in it changes, comes or goes unseen.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lorasent import files, machine
from lorasent.errors import GoldenError
from lorasent.text import shown

MANIFEST = "MANIFEST.json"

KIND = "lorasent goldens"
"""What a manifest says that it is of."""

LARGEST = 2**28
"""Bytes of a golden."""

SHOWN = 12
"""How many differences are shown side by side; the rest are counted."""

Row = Mapping[str, str | bool | float | Sequence[float]]


def _holdable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for position, row in enumerate(rows):
        for column, cell in row.items():
            numbers = _numbers(cell)
            if not isinstance(cell, str | bool) and (numbers is None or not all(map(math.isfinite, numbers))):
                raise ValueError(f"row {position}, {column}: expected a text, a finite number or a list of them, found {cell!r}")
    return rows


class Golden(BaseModel):
    """The recorded result. `rows` have the same columns; the first one names a row where differences are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["golden"] = "golden"
    schema_version: Literal[1] = 1
    about: str
    producer: dict[str, str]
    seed: int | None
    tolerance: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """How far the numbers of a column may move, absolutely; columns that are not named must be equal."""
    why: str
    """Where the tolerance comes from."""
    libraries: dict[str, str]
    machine: dict[str, str | int]
    rows: Annotated[list[dict[str, Any]], Field(min_length=1), AfterValidator(_holdable)]


@dataclass(frozen=True)
class Difference:
    """One place where what was found is not what was recorded. `moved` and `allowed` are None where no number moved."""

    row: int
    column: str
    recorded: Any
    found: Any
    moved: float | None = None
    allowed: float | None = None


def make(
    rows: Sequence[Row],
    *,
    about: str,
    producer: Mapping[str, str],
    tolerance: Mapping[str, float],
    why: str,
    seed: int | None = None,
) -> Golden:
    """A golden of `rows`, with today's libraries and machine. Raises GoldenError where it could not be held to."""
    try:
        return Golden.model_validate(
            {
                "about": about,
                "producer": dict(producer),
                "seed": seed,
                "tolerance": dict(tolerance),
                "why": why,
                "libraries": machine.libraries(),
                "machine": machine.features(),
                "rows": [dict(row) for row in rows],
            }
        )
    except ValidationError as error:
        raise GoldenError(f"no golden comes of this: {_first(error)}") from None


def read(path: Path) -> Golden:
    """Reads a golden. Raises GoldenError if the file is missing or not one."""
    try:
        return Golden.model_validate_json(files.read_bounded(path, LARGEST))
    except FileNotFoundError:
        raise GoldenError(f"{path}: missing: no such golden") from None
    except OSError as error:
        raise GoldenError(f"{path}: no golden that can be read: {error.strerror}") from None
    except ValidationError as error:
        raise GoldenError(f"{path}: not a golden: {_first(error)}") from None


def write(path: Path, golden: Golden) -> None:
    """Writes a golden: the same text for the same content, columns in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, [golden.model_dump_json(indent=1), "\n"])


def compare(recorded: Golden, found: Golden) -> list[Difference]:
    """Where `found` is not what was recorded, what a golden says of itself included; libraries and machine may differ."""
    differences = [
        Difference(-1, name, getattr(recorded, name), getattr(found, name))
        for name in ("about", "producer", "seed", "tolerance", "why")
        if getattr(recorded, name) != getattr(found, name)
    ]
    if len(recorded.rows) != len(found.rows):
        differences.append(Difference(-1, "number of rows", len(recorded.rows), len(found.rows)))
    for number, (before, after) in enumerate(zip(recorded.rows, found.rows, strict=False)):
        for column in before | after:
            difference = _compare_cells(number, column, before.get(column), after.get(column), recorded.tolerance.get(column, 0.0))
            if difference:
                differences.append(difference)
    return differences


def describe(name: str, recorded: Golden, differences: Sequence[Difference]) -> str:
    """Differences side by side: how many, how far, where."""
    places = {difference.row for difference in differences if difference.row >= 0}
    lines = [f"{name}: {len(places)} of {len(recorded.rows)} rows differ, in {len(differences)} places"]
    moved = [(difference.moved, difference) for difference in differences if difference.moved is not None]
    if moved:
        _, farthest = max(moved, key=lambda pair: pair[0])
        lines.append(f"farthest: row {farthest.row}, {shown(farthest.column)}: {_distance(farthest)}")
    for difference in differences[:SHOWN]:
        title = "golden"
        if difference.row >= 0:
            title = f"row {difference.row} ({shown(str(next(iter(recorded.rows[difference.row].values())))[:50], 200)})"
        limit = "" if difference.moved is None else f"   {_distance(difference)}"
        lines += [
            f"{title}, {shown(difference.column)}:{limit}",
            f"  recorded  {_shown(difference.recorded)}",
            f"  found     {_shown(difference.found)}",
        ]
    if len(differences) > SHOWN:
        lines.append(f"and {len(differences) - SHOWN} more")
    return "\n".join(lines)


def goldens(folder: Path) -> list[str]:
    """Names of the goldens in a folder: paths inside it, without their `.json`."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(content, dict) and content.get("kind") == "golden":
            found.append(path.relative_to(folder).as_posix().removesuffix(".json"))
    return found


def write_manifest(folder: Path) -> bool:
    """Makes MANIFEST.json agree with the folder; whether it had to change. Raises GoldenError where it is somebody else's.

    Beside it git is told to leave line endings alone.
    """
    path, hashes = folder / MANIFEST, _hashes(folder)
    known = read_manifest(folder) if path.exists() else None
    if not (folder / files.ATTRIBUTES).exists():
        files.write(folder / files.ATTRIBUTES, [files.AS_WRITTEN])
    if known == hashes and is_manifest(path):
        return False
    files.write(path, [manifest(hashes)])
    return True


def manifest(hashes: Mapping[str, str]) -> str:
    """MANIFEST.json of these hashes, by path inside the folder."""
    return files.canonical({"files": hashes, "kind": KIND})


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of goldens by what it says of itself: other projects have files of that name, too."""
    try:
        listed = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(listed, dict) and listed.get("kind") == KIND


def read_manifest(folder: Path) -> dict[str, str]:
    """The hashes that MANIFEST.json lists, by path inside the folder. Raises GoldenError."""
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_bytes())
        listed: dict[str, str] = said["files"]
        if said.get("kind", KIND) == KIND and all(len(digest) == 64 for digest in listed.values()):
            return listed
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise GoldenError(
        f"{path}: missing, or not a manifest of goldens; where it lies, remove it, and --lorasent-update-golden writes one"
    )


def faults(folder: Path) -> list[str]:
    """What MANIFEST.json and the folder do not agree on, a line each."""
    listed, there = read_manifest(folder), _hashes(folder)
    return [
        *(f"{folder.name}/{shown(name)}: missing, {MANIFEST} lists it" for name in sorted(listed.keys() - there.keys())),
        *(f"{folder.name}/{shown(name)}: {MANIFEST} does not list it" for name in sorted(there.keys() - listed.keys())),
        *(
            f"{folder.name}/{shown(name)}: {_unlike(folder / name, listed[name])}"
            for name in sorted(there.keys() & listed.keys())
            if there[name] != listed[name]
        ),
    ]


def _compare_cells(row: int, column: str, recorded: Any, found: Any, allowed: float) -> Difference | None:
    before, after = _numbers(recorded), _numbers(found)
    if before is None or after is None or len(before) != len(after):
        return None if recorded == found and type(recorded) is type(found) else Difference(row, column, recorded, found)
    moved = max((float(abs(one - other)) for one, other in zip(before, after, strict=True)), default=0.0)
    return None if moved <= allowed else Difference(row, column, recorded, found, moved, allowed)


def _numbers(cell: Any) -> list[int | float] | None:
    """The numbers of a cell as they are, or None if it holds none: as floats, large whole numbers would be alike."""
    cells = cell if isinstance(cell, list) else [cell]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in cells):
        return None
    return cells


def _distance(difference: Difference) -> str:
    return f"moved by {difference.moved:.3g}, allowed {difference.allowed:g}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    text = "nothing" if value is None else str(value)
    return shown(text if len(text) <= 200 else text[:200] + "…", 1000)


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg'].removeprefix('Value error, ')}"


def _unlike(path: Path, digest: str) -> str:
    """Why a file is not the one that the manifest lists."""
    return files.CONVERTED if files.is_converted(path, digest) else f"not the file that {MANIFEST} lists (another sha256)"


def _hashes(folder: Path) -> dict[str, str]:
    """Those of all files but the manifest and what git is told, which a checkout brings or not."""
    listed = (path for path in folder.rglob("*") if path != folder / MANIFEST and path.name != files.ATTRIBUTES)
    paths = sorted(path for path in listed if path.is_file())
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}
