"""A shard: rows of a file -> a Parquet file of labels, named by the hash of all that determines it.

A shard is written beside its place and renamed, or put by one request, and holds its own name: one that is there was written whole,
and one that is damaged, or from another job, is recognised. So work that was killed goes on where it was.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lorasent import files
from lorasent.bulk import model
from lorasent.bulk.model import Model
from lorasent.data import formats, storage
from lorasent.data.columns import values
from lorasent.data.labels import is_missing
from lorasent.data.reviews import find, require_text
from lorasent.errors import DataError
from lorasent.metrics import probabilities
from lorasent.text import shown

SCHEMA = 1
"""Version of a shard's content. It changes when the same shard would be written otherwise."""

METADATA = b"lorasent"
"""Key of a shard's metadata in its file: JSON."""

AT_ONCE = 16
"""Number of files that are looked at side by side: a store answers slowly, and many requests at once."""


@dataclass(frozen=True)
class Job:
    """What is done with each shard."""

    model: Model
    output: str
    """Folder of the shards, a path or a URL."""
    text_column: str | None = None
    id_column: str | None = None
    """Column of the ids; without one an id is FILE#ROW, rows from 1."""
    keep_text: bool = False
    skip_empty: bool = False


@dataclass(frozen=True)
class Shard:
    """The rows `start` to `stop` (from 0, without `stop`) of a file."""

    path: str
    name: str
    """The file's name in ids: its path from the pattern's last folder."""
    version: str
    """What changes with the file's content."""
    start: int
    stop: int


@dataclass(frozen=True)
class Done:
    """A shard that is written."""

    file: str
    """Name of its file."""
    source: str
    first_row: int
    """The first of its rows in the source, from 1."""
    rows: int
    skipped: int
    """Rows without a text that were left out; they count in `rows`."""
    labels: dict[str, int]
    """Number of reviews by label."""


def plan(pattern: str, rows: int) -> list[Shard]:
    """The shards of all files that a path, a glob or a URL names, of at most `rows` rows each. Raises DataError."""
    with ThreadPoolExecutor(AT_ONCE) as beside:
        return [shard for cut in beside.map(lambda file: list(_cut(file, rows)), storage.matches(pattern)) for shard in cut]


def _cut(file: storage.File, rows: int) -> Iterator[Shard]:
    count, version = formats.count(file.path), storage.version(file)
    path = file.path if storage.is_remote(file.path) else str(Path(file.path).absolute())
    for start in range(0, count, rows):
        yield Shard(path, file.name, version, start, min(start + rows, count))


def file_name(job: Job, shard: Shard) -> str:
    """The name of a shard's file: a hash of all that determines its content, and ".parquet"."""
    about: dict[str, Any] = {**asdict(job), **asdict(shard), "schema": SCHEMA}
    adapter = about.pop("model")
    for place in ("output", "path"):  # a folder that is moved holds the same
        del about[place]
    about |= {"adapter": adapter["identity"], "made_on": adapter["made_on"], "threads": adapter["threads"]}
    return hashlib.sha256(files.canonical(about).encode()).hexdigest() + ".parquet"


def score(job: Job, shard: Shard) -> Done:
    """Labels the rows of a shard, and writes its file. Raises LorasentError, which names file and row."""
    ids, texts = _read(job, shard)
    return _put(job, shard, ids, texts, model.logits(job.model, texts))


def _put(job: Job, shard: Shard, ids: list[str], texts: list[str], logits: NDArray[np.float32]) -> Done:
    """Writes the file of a shard: N reviews, and their logits (N, L)."""
    best, probability = logits.argmax(axis=1), probabilities(logits) if texts else logits
    labels = [job.model.labels[label] for label in best]
    rows = shard.stop - shard.start
    done = Done(file_name(job, shard), shard.name, shard.start + 1, rows, rows - len(texts), dict(Counter(labels)))
    columns = {
        "id": pa.array(ids, pa.string()),
        **({"text": pa.array(texts, pa.string())} if job.keep_text else {}),
        "label": pa.array(labels, pa.string()),
        "probability": pa.array(np.take_along_axis(probability, best[:, None], 1)[:, 0].astype(np.float32)),
        "logits": pa.array(list(logits), pa.list_(pa.float32())),
    }
    about = {
        "adapter": job.model.identity,
        "labels": job.model.labels,
        "made_on": job.model.made_on,
        "threads": job.model.threads,
        "shard": asdict(done),
    }
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about)})
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd", write_page_checksum=True)
    storage.write(f"{job.output.rstrip('/')}/{done.file}", written.getvalue())
    return done


def written(job: Job, shard: Shard) -> Done | None:
    """The shard as it is in its file; None if the file is damaged, or not this shard's."""
    name = file_name(job, shard)
    try:
        with storage.opened(f"{job.output.rstrip('/')}/{name}") as file:
            table = pq.read_table(io.BytesIO(file.read()), page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {})[METADATA])
        done = Done(**about["shard"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
    expected = (name, shard.name, shard.start + 1, shard.stop - shard.start, about.get("adapter"))
    found = (done.file, done.source, done.first_row, done.rows, job.model.identity)
    return done if expected == found and table.num_rows == done.rows - done.skipped else None


def _read(job: Job, shard: Shard) -> tuple[list[str], list[str]]:
    """Ids and texts of a shard, without those rows that are left out. Raises DataError with file and row."""
    text = identifier = ""

    def choice(names: Any) -> list[str]:
        nonlocal text, identifier
        text = find(names, job.text_column, shard.path, "text")
        identifier = find(names, job.id_column, shard.path, "id") if job.id_column else ""
        return [text, *([identifier] if identifier else [])]

    row, texts, ids = shard.start, list[str](), list[str]()
    for block in formats.between(shard.path, choice, shard.start, shard.stop, {}):
        if not text:
            choice(list(block))
        cells, names = values(block, text), values(block, identifier)
        for cell, name in zip(cells, names, strict=True):
            row += 1
            if is_missing(cell) and job.skip_empty:
                continue
            if is_missing(cell):
                advice = "leave such rows out with --skip-empty"
                raise DataError(f"{shard.path}: column {shown(text)}, row {row}: expected a text, found nothing; {advice}")
            if identifier and (is_missing(name) or not isinstance(name, str | int)):
                found = "nothing" if is_missing(name) else f"{type(name).__name__} {shown(name, 40)}"
                place = f"{shard.path}: column {shown(identifier)}, row {row}"
                raise DataError(f"{place}: expected an id that is a text or a whole number, found {found}")
            texts.append(require_text(cell, f"{shard.path}: column {shown(text)}", row))
            where = f"{shard.path}: column {shown(identifier)}" if identifier else f"{shard.path}: its name, for ids"
            ids.append(require_text(str(name) if identifier else f"{shard.name}#{row}", where, row))
    if row != shard.stop:
        raise DataError(f"{shard.path}: expected {shard.stop} rows or more, found {row}: it was changed while it was read")
    return ids, texts
