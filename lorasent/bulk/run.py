"""A bulk job: planned, what is there already checked, the rest scored, and summed up in one file."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from lorasent import files
from lorasent.bulk import shards
from lorasent.bulk.engines import ENGINES, Workers
from lorasent.bulk.shards import Done, Job, Shard
from lorasent.data import storage
from lorasent.errors import DataError, LorasentError
from lorasent.scoring import progress
from lorasent.text import some

SUMMARY = "_SUCCESS.json"
"""The file that a finished job writes last. Readers of Parquet folders leave out names that begin with an underscore."""

ROWS = 8192
"""Rows of a shard, by default: half a minute of one core, and a file of a hundred kilobytes."""


@dataclass(frozen=True)
class Summary:
    """What a job did."""

    shards: Sequence[Done]
    """In the order of the input."""
    reused: int
    """How many were there already."""

    @property
    def rows(self) -> int:
        """Rows that were labelled."""
        return sum(done.rows - done.skipped for done in self.shards)

    @property
    def labels(self) -> dict[str, int]:
        """Rows by label."""
        return dict(sum((Counter(done.labels) for done in self.shards), Counter()))


def run(job: Job, pattern: str, *, engine: str = "local", workers: Workers | None = None, rows: int = ROWS) -> Summary:
    """Labels the reviews of all files that a path, a glob or a URL names. What a job that was killed wrote is kept.

    Raises LorasentError; DataError names file and row of a review that cannot be read. Other shards are kept then, too.
    """
    planned = {shards.file_name(job, shard): shard for shard in shards.plan(pattern, rows)}
    if not planned:
        raise DataError(f"{pattern}: holds no reviews")
    storage.make_folder(job.output)
    found = _kept(job, planned)
    left = [shard for name, shard in planned.items() if name not in found]
    reused = len(found)
    if left:
        storage.remove(f"{job.output.rstrip('/')}/{SUMMARY}")  # it would speak of another input, or of shards that are damaged
        total = sum(shard.stop - shard.start for shard in left)
        with progress.stage("labelling reviews", total):
            for done in ENGINES[engine](partial(shards.score, job), left, workers or Workers()):
                found[done.file] = done
                progress.advance(done.rows)
    summary = Summary([found[name] for name in planned], reused)
    _finish(job, pattern, summary)
    return summary


def _kept(job: Job, planned: dict[str, Shard]) -> dict[str, Done]:
    """The shards that are there, by name, and whole. Raises LorasentError for shards of another job: both would be read."""
    names = [name for name in storage.names_in(job.output) if name.endswith(".parquet") and not name.startswith((".", "_"))]
    if others := [name for name in names if name not in planned]:
        raise LorasentError(
            f"{job.output}: holds Parquet files of another adapter, input or choice of options ({some(others)}): choose another "
            "folder, or remove them"
        )
    with ThreadPoolExecutor(shards.AT_ONCE) as beside:
        looked_at = beside.map(lambda name: (name, shards.written(job, planned[name])), names)
        return {name: done for name, done in looked_at if done is not None}


def _finish(job: Job, pattern: str, summary: Summary) -> None:
    """Writes the summary, and removes what killed workers left of the shards."""
    about: dict[str, Any] = {
        "adapter": job.model.identity,
        "labels": job.model.labels,
        "made_on": job.model.made_on,
        "threads": job.model.threads,
        "input": pattern,
        "rows": summary.rows,
        "skipped": sum(done.skipped for done in summary.shards),
        "by_label": summary.labels,
        "shards": [asdict(done) for done in summary.shards],
    }
    names = {done.file for done in summary.shards}
    folder = job.output.rstrip("/")
    there = storage.names_in(folder)
    if missing := names.difference(there):
        raise LorasentError(
            f"{job.output}: {len(missing)} shards were written and are not there: machines of a cluster need a folder that all "
            "of them share, or a URL"
        )
    for name in there:
        if name.endswith(".tmp") and f"{name[1:65]}.parquet" in names:
            storage.remove(f"{folder}/{name}")
    storage.write(f"{folder}/{SUMMARY}", files.canonical(about).encode())
