"""Runs of `lorasent benchmark`, kept in one file: a line of canonical JSON each, the oldest first.

Times are compared with those of the same kind of machine only, and judge nothing: what judges is a ratio, measured in turns.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lorasent import files
from lorasent.errors import LorasentError
from lorasent.text import LONG, WIDTH, decode, lines, shown, wrapped

FILE = "history.jsonl"
"""The name of the history in its folder."""

KIND = "lorasent benchmark"
"""What a line of a history says it is."""

MOST_SHOWN = 8
"""Runs of a group that a card shows."""

LARGEST = 64 << 20
"""Largest history that is read, in bytes."""


Words = Annotated[str, AfterValidator(lambda text: shown(text, LONG))]
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63)]

STRICT = ConfigDict(extra="forbid", frozen=True)


class Ratio(BaseModel):
    """The time over the baseline's, measured in turns, with its interval, and the limit that it was held to."""

    model_config = STRICT

    value: Positive
    low: Positive
    high: Positive
    limit: Positive


class Run(BaseModel):
    """One adapter, measured once. Times are in seconds. A history may be a stranger's: texts are safe to show."""

    model_config = STRICT

    kind: Literal["lorasent benchmark"] = "lorasent benchmark"
    schema_version: Literal[1] = 1
    when: datetime
    adapter: Words
    identity: Words
    """The sha256 of what determines the adapter's answers."""
    data: Words
    data_sha256: Words
    reviews: Annotated[Count, Field(ge=1)]
    made_on: Words
    """Kind of device and number format, such as "cpu, bf16"."""
    machine: dict[Words, Words | Count]
    libraries: dict[Words, Words]
    p50: Positive
    """Median time of one review by itself."""
    p99: Positive
    calls: Count
    reviews_per_second: Positive
    """The most of a few rounds in which all reviews are answered at once."""
    peak_bytes: Count
    """Most memory of a process that loads the adapter and answers: resident, or allocated on the GPU."""
    counts: dict[Words, Count]
    """Exact: operations and tokens of the reviews, bytes of weights."""
    baseline: Words | None = None
    ratio: Ratio | None = None

    def is_like(self, other: "Run") -> bool:
        """Whether the times of two runs may stand beside each other: same machine, libraries, number format and reviews."""
        names = ("machine", "libraries", "made_on", "data_sha256")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def read(path: Path) -> list[Run]:
    """The runs in a file, the oldest first; none where there is no file. Raises LorasentError for a line that is no run."""
    if not path.exists():
        return []
    try:
        with files.open_regular(path, LARGEST) as file:
            rows = lines(decode(file.read()))
    except (OSError, UnicodeDecodeError) as error:
        raise LorasentError(
            f"{path}: cannot be read as a history of benchmarks: {getattr(error, 'strerror', '') or error}"
        ) from None
    runs = []
    for number, row in enumerate(rows, 1):
        try:
            runs.append(Run.model_validate_json(row))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "JSON"
            raise LorasentError(f"{path}, line {number}: not a run of lorasent benchmark: {where}: {problem['msg']}") from None
    return runs


def append(path: Path, run: Run) -> None:
    """Adds a run to the file, which is written anew beside it and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else b""
    files.write(path, [before, b"" if before.endswith(b"\n") or not before else b"\n", line(run)])


def line(run: Run) -> str:
    """The run as a line of canonical JSON: sorted keys, so that equal runs are equal lines."""
    return json.dumps(run.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def rows(run: Run, earlier: Sequence[Run]) -> list[tuple[str, str, str]]:
    """What was found, each as its name, its figure, and the change from the last run on this kind of machine."""
    like = [each for each in earlier if each.is_like(run)]
    last = like[-1] if like else None
    found = [
        ("one review, median", milliseconds(run.p50), _change(run, last, "p50")),
        ("one review, 99 %", milliseconds(run.p99), _change(run, last, "p99")),
        ("reviews a second", figure(run.reviews_per_second), _change(run, last, "reviews_per_second")),
        ("memory at most", f"{run.peak_bytes / 2**20:,.0f} MiB", _change(run, last, "peak_bytes")),
    ]
    same = [each for each in earlier if each.data_sha256 == run.data_sha256]  # counts are the same on every machine
    known = same[-1].counts if same else {}
    return found + [(name, f"{count:,}", _moved(count, known.get(name))) for name, count in run.counts.items()]


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs by adapter, kind of machine and reviews: the latest group first, and in each group the latest run first."""
    found: list[list[Run]] = []
    for run in reversed(runs):
        group = next((group for group in found if group[0].adapter == run.adapter and group[0].is_like(run)), None)
        found.append([run]) if group is None else group.append(run)
    return found


def card(runs: Sequence[Run], width: int = WIDTH) -> list[str]:
    """The lines of a history for a terminal: its last runs, by kind of machine, adapter and reviews, the latest group first."""
    shown_runs: list[str] = []
    for group in groups(runs):
        latest = group[0]
        shown_runs += [latest.adapter, *wrapped(f"  {about(latest)}", width, "    ")]
        shown_runs += wrapped(f"  {latest.reviews} reviews of {latest.data}", width, "    ")
        shown_runs.append(f"  {'when (UTC)':<18}{'median':>10}{'99 %':>10}{'a second':>10}{'memory':>11}  ratio to baseline")
        shown_runs += [_row(run) for run in group[:MOST_SHOWN]]
        if len(group) > MOST_SHOWN:
            shown_runs.append(f"  {len(group) - MOST_SHOWN} earlier")
    return shown_runs


def _row(run: Run) -> str:
    ratio = f"  {run.ratio.value:.3f}" if run.ratio else ""
    times = f"{milliseconds(run.p50):>10}{milliseconds(run.p99):>10}{figure(run.reviews_per_second):>10}"
    return f"  {run.when:%Y-%m-%d %H:%M}  {times}{run.peak_bytes / 2**20:>7,.0f} MiB{ratio}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, to three digits."""
    return f"{figure(1000 * seconds)} ms"


def figure(value: float) -> str:
    """A figure to three digits, or whole from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def about(run: Run) -> str:
    """The kind of machine in words: those of a person who compares two."""
    parts: dict[str, Any] = {**run.machine, "torch": run.libraries.get("torch", "unknown")}
    return shown(f"{run.made_on}; " + ", ".join(f"{name} {value}" for name, value in sorted(parts.items())), 300)


def _change(run: Run, last: Run | None, name: str) -> str:
    before = last and getattr(last, name)
    return f"{getattr(run, name) / before - 1:+.1%} from the last run" if before else "no earlier figure"


def _moved(now: int, before: int | None) -> str:
    return "exact" if before is None else "exact, as before" if now == before else f"exact, {now - before:+,}"
