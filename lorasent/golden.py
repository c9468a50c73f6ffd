"""A golden: a recorded result that tests must reproduce. Numbers may differ by the tolerance of their column, and nothing else may.

`MANIFEST.json` lists every file of a folder of goldens with its sha256, so that every change, addition or removal is seen.
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
"""The `kind` of a manifest: other projects have files of that name, too."""

MAX_BYTES = 2**28
"""Largest size of a golden, in bytes."""

MAX_SHOWN = 12
"""Largest number of differences that are shown side by side; the rest are counted."""

Row = Mapping[str, str | bool | float | Sequence[float]]


def _comparable(cell: Any) -> Any:
    """The cell. Raises ValueError where nothing can be compared with it, as with NaN."""
    numbers = _numbers(cell)
    if not isinstance(cell, str | bool) and (numbers is None or not all(map(math.isfinite, numbers))):
        raise ValueError(f"expected a text, a finite number or a list of them, found {shown(str(cell))}")
    return cell


class Golden(BaseModel):
    """The recorded result with its origin, as its file holds it. Messages name a row by its first column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["golden"] = "golden"
    schema_version: Literal[1] = 1
    about: str
    producer: dict[str, str]
    seed: int | None
    tolerance: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """Largest absolute change of a column's numbers; columns that are not named must be equal."""
    why: str
    """The reason for the tolerance."""
    libraries: dict[str, str]
    machine: dict[str, str | int]
    rows: Annotated[list[dict[str, Annotated[Any, AfterValidator(_comparable)]]], Field(min_length=1)]


@dataclass(frozen=True)
class Difference:
    """A value that is not the recorded one. Row -1 is the golden itself; `moved` and `allowed` are None where no number moved."""

    row: int
    column: str
    recorded: Any
    found: Any
    moved: float | None = None
    allowed: float | None = None


def make(rows: Sequence[Row], **description: Any) -> Golden:
    """A golden of `rows` with the current libraries and machine; `description` holds the other fields, `seed` may be left out.

    Raises GoldenError for content that no result can equal.
    """
    origin = {"libraries": machine.libraries(), "machine": machine.features()}
    try:
        return Golden.model_validate({"seed": None, **description, **origin, "rows": rows})
    except ValidationError as error:
        raise GoldenError(f"cannot be a golden: {_first(error)}") from None


def read(path: Path) -> Golden:
    """Reads a golden. Raises GoldenError if the file is missing or not one."""
    try:
        return Golden.model_validate_json(files.read_bounded(path, MAX_BYTES))
    except OSError as error:
        raise GoldenError(f"{path}: cannot be read as a golden: {error.strerror}") from None
    except ValidationError as error:
        raise GoldenError(f"{path}: not a golden: {_first(error)}") from None


def write(path: Path, golden: Golden) -> None:
    """Writes a golden. The same content gives the same bytes; columns keep their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, [golden.model_dump_json(indent=1), "\n"])


def compare(recorded: Golden, found: Golden) -> list[Difference]:
    """The differences of a found result from the recorded one, its description included; libraries and machine may differ."""
    differences = [
        Difference(-1, name, getattr(recorded, name), getattr(found, name))
        for name in ("about", "producer", "seed", "tolerance", "why")
        if getattr(recorded, name) != getattr(found, name)
    ]
    if len(recorded.rows) != len(found.rows):
        differences.append(Difference(-1, "number of rows", len(recorded.rows), len(found.rows)))
    for number, (before, after) in enumerate(zip(recorded.rows, found.rows, strict=False)):
        cells = ((column, before.get(column), after.get(column), recorded.tolerance.get(column, 0.0)) for column in before | after)
        differences += [difference for cell in cells if (difference := _compare_cells(number, *cell))]
    return differences


def describe(name: str, recorded: Golden, differences: Sequence[Difference]) -> str:
    """The differences as text: how many, the largest change of a number, and each with both values."""
    rows = {difference.row for difference in differences if difference.row >= 0}
    lines = [f"{name}: {len(rows)} of {len(recorded.rows)} rows differ, in {len(differences)} places"]
    if moved := [difference for difference in differences if difference.moved is not None]:
        farthest = max(moved, key=lambda difference: difference.moved or 0.0)
        lines.append(f"farthest: row {farthest.row}, {shown(farthest.column)}: {_distance(farthest)}")
    for difference in differences[:MAX_SHOWN]:
        title = "golden"
        if difference.row >= 0:
            title = f"row {difference.row} ({shown(str(next(iter(recorded.rows[difference.row].values())))[:50], 200)})"
        distance = "" if difference.moved is None else f"   {_distance(difference)}"
        lines.append(f"{title}, {shown(difference.column)}:{distance}")
        lines += [f"  recorded  {_shown(difference.recorded)}", f"  found     {_shown(difference.found)}"]
    if len(differences) > MAX_SHOWN:
        lines.append(f"and {len(differences) - MAX_SHOWN} more")
    return "\n".join(lines)


def goldens(folder: Path) -> list[str]:
    """Names of the goldens in a folder: their paths inside it, without `.json`."""
    paths = (path for path in sorted(folder.rglob("*.json")) if _content(path).get("kind") == "golden")
    return [path.relative_to(folder).as_posix().removesuffix(".json") for path in paths]


def write_manifest(folder: Path) -> bool:
    """Writes MANIFEST.json if it does not agree with the folder, and returns whether it wrote it. Git is told to keep line endings.

    Raises GoldenError where the file is no manifest of goldens.
    """
    path, hashes = folder / MANIFEST, _hashes(folder)
    agrees = path.exists() and read_manifest(folder) == hashes and is_manifest(path)
    if not (folder / files.ATTRIBUTES).exists():
        files.write(folder / files.ATTRIBUTES, [files.AS_WRITTEN])
    if not agrees:
        files.write(path, [manifest(hashes)])
    return not agrees


def manifest(hashes: Mapping[str, str]) -> str:
    """The text of MANIFEST.json, for hashes by path inside the folder."""
    return files.canonical({"files": hashes, "kind": KIND})


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of goldens, by its `kind`."""
    return _content(path).get("kind") == KIND


def read_manifest(folder: Path) -> dict[str, str]:
    """The hashes that MANIFEST.json lists, by path inside the folder. Raises GoldenError."""
    path = folder / MANIFEST
    content = _content(path)
    listed = content.get("files") if content.get("kind", KIND) == KIND else None
    if isinstance(listed, dict) and all(isinstance(digest, str) and len(digest) == 64 for digest in listed.values()):
        return listed
    raise GoldenError(
        f"{path}: missing, or not a manifest of goldens; if it exists, remove it, and --lorasent-update-golden writes one"
    )


def faults(folder: Path) -> list[str]:
    """The disagreements between MANIFEST.json and the folder, a line each."""
    listed, there = read_manifest(folder), _hashes(folder)
    reasons = dict.fromkeys(sorted(listed.keys() - there.keys()), f"missing, {MANIFEST} lists it")
    reasons |= dict.fromkeys(sorted(there.keys() - listed.keys()), f"{MANIFEST} does not list it")
    for name in sorted(there.keys() & listed.keys()):
        if there[name] != listed[name]:
            converted = files.is_converted(folder / name, listed[name])
            reasons[name] = files.CONVERTED if converted else f"not the file that {MANIFEST} lists (another sha256)"
    return [f"{folder.name}/{shown(name)}: {reason}" for name, reason in reasons.items()]


def _content(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one where it cannot be read, or holds something else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _compare_cells(row: int, column: str, recorded: Any, found: Any, allowed: float) -> Difference | None:
    before, after = _numbers(recorded), _numbers(found)
    if before is None or after is None or len(before) != len(after):
        return None if recorded == found and type(recorded) is type(found) else Difference(row, column, recorded, found)
    moved = max((float(abs(old - new)) for old, new in zip(before, after, strict=True)), default=0.0)
    return None if moved <= allowed else Difference(row, column, recorded, found, moved, allowed)


def _numbers(cell: Any) -> list[int | float] | None:
    """The numbers of a cell, or None if it holds none. They are not converted to float: large integers would become equal."""
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


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file in the folder, by path inside it, but for the manifest and .gitattributes."""
    entries = (path for path in folder.rglob("*") if path != folder / MANIFEST and path.name != files.ATTRIBUTES)
    paths = sorted(path for path in entries if path.is_file())
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}
