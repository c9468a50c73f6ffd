"""What benchmarks found, run by run: stored as JSON, one file a run, and told as a trend.

Absolute times are compared with those of the same kind of machine only, and never judged: tests/benchmarks/against.py does that.
Exact counts are compared with the last run, wherever it was.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lorasent import files, golden, machine
from lorasent.errors import GoldenError

SHOWN = 3
"""How many earlier runs the table shows."""


class Run(BaseModel):
    """One run: where, of what, and what was found by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["benchmarks"] = "benchmarks"
    schema_version: Literal[1] = 1
    when: datetime
    commit: str
    dirty: bool
    machine: dict[str, str | int]
    libraries: dict[str, str]
    times: dict[str, dict[str, float]]
    """`p50` and `p99` in seconds, `rounds`, and whatever figures belong to them."""
    ratios: dict[str, dict[str, float]]
    """`low`, `value`, `high`, and `limit` where the ratio is held to one."""
    counts: dict[str, int]


def now(found: Mapping[str, Any], root: Path) -> Run:
    """A run of today on the commit that is checked out in `root`. `found` holds times, ratios and counts."""
    return Run(
        when=datetime.now(UTC).replace(microsecond=0),
        commit=_git(root, "rev-parse", "HEAD") or "no commit",
        dirty=bool(_git(root, "status", "--porcelain")),
        machine=machine.kind(),
        libraries=machine.libraries(),
        **found,
    )


def read(folder: Path) -> list[Run]:
    """The runs stored in a folder, oldest first; none where there is no folder. Raises GoldenError for a file that is none."""
    runs = []
    for path in folder.glob("*.json"):
        try:
            runs.append(Run.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "file"
            raise GoldenError(f"{path}: not a run of benchmarks: {where}: {problem['msg']}; remove it") from None
    return sorted(runs, key=lambda run: run.when)


def store(run: Run, folder: Path, goldens: Path) -> Path:
    """Writes a run into a folder under `goldens`, whose manifest lists it from now on; nothing else in there is touched."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.when:%Y-%m-%dT%H%M%SZ}-{run.commit[:7]}.json"
    files.write(path, [run.model_dump_json(indent=1), "\n"])
    if (goldens / golden.MANIFEST).is_file():
        hashes = {**golden.read_manifest(goldens), path.relative_to(goldens).as_posix(): files.sha256(path)}
        files.write(goldens / golden.MANIFEST, [golden.manifest(hashes)])
    return path


def alike(runs: Sequence[Run], run: Run) -> list[Run]:
    """Those of `runs` whose times may stand beside that of `run`: of the same kind of machine."""
    return [one for one in runs if one.machine == run.machine]


def trend(earlier: Sequence[Run], run: Run) -> list[str]:
    """The table, a line each: what earlier runs found, oldest first, what this one did, and the change from the last one."""
    same = alike(earlier, run)
    kind = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    if same:
        lines = [f"{_runs(len(same), 'earlier ')} on this kind of machine ({kind})"]
    else:
        lines = [f"no earlier run on this kind of machine ({kind})"]
    if others := len(earlier) - len(same):
        lines.append(f"{_runs(others)} on other kinds of machine: the times are not compared")
    rows = [("", "earlier", "now", "change")]
    for name, times in run.times.items():
        before = [one.times[name]["p50"] for one in same if name in one.times]
        rows.append((name, " ".join(map(_time, before[-SHOWN:])), _time(times["p50"]), _change(before, times["p50"])))
    for name, found in run.ratios.items():
        before = [one.ratios[name]["value"] for one in same if name in one.ratios]
        interval = f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        rows.append((name, " ".join(f"{value:.3f}" for value in before[-SHOWN:]), interval, _change(before, found["value"])))
    last = next((one.counts for one in reversed(earlier) if one.counts), {})
    changed = [(name, last[name], count) for name, count in run.counts.items() if last.get(name, count) != count]
    rows += [(name, f"{was:,}", f"{count:,}", f"{count - was:+,}") for name, was, count in changed]
    lines += _columns(rows)
    if run.counts:
        known = len(run.counts.keys() & last.keys())
        lines.append(
            f"exact counts: {known - len(changed)} of {len(run.counts)} as in the last run that has any" if known else NO_COUNTS
        )
    return lines


NO_COUNTS = "exact counts: no earlier run has any"


def _runs(number: int, which: str = "") -> str:
    return f"{number} {which}run{'s' * (number != 1)}"


def _change(before: Sequence[float], after: float) -> str:
    return f"{after / before[-1] - 1:+.1%}" if before else "no earlier figure"


def _time(seconds: float) -> str:
    return f"{seconds:.2f}s" if seconds >= 1 else f"{1000 * seconds:.2f}ms"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
