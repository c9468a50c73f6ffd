"""A file -> blocks of columns. A format of rows is a function and a row of `ROW_FORMATS`."""

import contextlib
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import IO, Any

from lorasent.data import columns, storage
from lorasent.data.columns import Choice, Classes, Columns
from lorasent.errors import DataError
from lorasent.text import lines, shown

Rows = Iterator[tuple[int, dict[str, Any]]]
"""Rows, each with the line (from 1) on which it begins; in a JSON array, with its position (from 1)."""

PARQUET_BUFFER = 1 << 20
"""Bytes read at a time, so that memory holds neither the file nor a row group, which may be the whole file."""


def read(path: str, split: str | None, choice: Choice, classes: Classes | None = None) -> Iterator[Columns]:
    """The blocks of a file, by its path or URL. `classes` are those of its data set's card, by default one near a local file.

    Parquet may have its own.
    """
    if split is not None:
        raise DataError(f"{path}:{split}: a file has no splits; name the file alone")
    _require_format(path)
    if not storage.is_remote(path):
        if Path(path).stat().st_size == 0:
            raise DataError(f"{path}: the file is empty")
        classes = columns.of_card(Path(path).parent) if classes is None else classes
    yield from between(path, choice, 0, None, classes or {})


def between(path: str, choice: Choice, start: int, stop: int | None, classes: Classes) -> Iterator[Columns]:
    """The blocks of the rows `start` to `stop` (from 0, without `stop`) of a file. Of Parquet only their row groups are read."""
    _require_format(path)
    if format_of(path) == ".parquet":
        yield from _parquet(path, choice, classes, start, stop)
    else:
        with columns.reading(path):
            yield from columns.blocks_of_rows((row for _, row in islice(rows(path), start, stop)), path, classes)


def count(path: str) -> int:
    """The number of rows of a file: as Parquet says it, else every row is read."""
    _require_format(path)
    if format_of(path) == ".parquet":
        with _parquet_file(path) as file:
            return int(file.metadata.num_rows)
    with columns.reading(path):
        return sum(1 for _ in rows(path))


def format_of(path: Path | str) -> str:
    """The format of a file by its name, in any case, as in `FORMATS`; "" for another file."""
    return next((ending.removesuffix(".gz") for ending in ENDINGS if Path(path).name.lower().endswith(ending)), "")


def rows(path: Path | str) -> Rows:
    """The rows of a file in a format of `ROW_FORMATS`."""
    with storage.opened(path) as raw:
        binary: Any = gzip.GzipFile(fileobj=raw) if str(path).lower().endswith(".gz") else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n") as file:
            yield from ROW_FORMATS[format_of(path)](file, path)


def _require_format(path: str) -> None:
    if not format_of(path):
        raise DataError(f"{path}: expected a file that ends in {', '.join(FORMATS)}; all but .parquet may be gzipped (.gz)")


def parse_json(text: str, where: str) -> Any:
    """JSON in which no object repeats a key. Raises DataError, which begins with `where`."""

    def row(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(made := dict(pairs)) < len(pairs):
            columns.chosen((key for key, _ in pairs), where)
        return made

    try:
        return json.loads(text, object_pairs_hook=row)
    except (ValueError, RecursionError) as error:  # such as an integer of 5,000 digits, or brackets nested too deep
        raise DataError(f"{where}: not valid JSON: {getattr(error, 'msg', error)}") from None


@contextlib.contextmanager
def _parquet_file(path: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with columns.reading(path, "not a readable Parquet file"), contextlib.ExitStack() as stack:
        source = stack.enter_context(storage.opened(path)) if storage.is_remote(path) else path
        yield stack.enter_context(pq.ParquetFile(source, buffer_size=PARQUET_BUFFER, pre_buffer=False))


@contextlib.contextmanager
def parquet(path: str, choice: Choice, classes: Classes) -> Iterator[tuple[Any, list[str], Classes]]:
    """A Parquet file, open; the names of its columns that are chosen; and its own class labels, else `classes`."""
    with _parquet_file(path) as file:
        names = columns.chosen(file.schema_arrow.names, path, choice)
        metadata = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        yield file, names, columns.of_features(metadata.get("info", {}).get("features", {})) or classes


def _parquet(path: str, choice: Choice, classes: Classes, start: int, stop: int | None) -> Iterator[Columns]:
    with parquet(path, choice, classes) as (file, names, classes):  # noqa: PLR1704 - the file's own, if it has any
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = list(accumulate(sizes))
        stop = sum(sizes) if stop is None else stop
        groups = [group for group, end in enumerate(ends) if end > start and end - sizes[group] < stop]
        first = ends[groups[0]] - sizes[groups[0]] if groups else 0
        for batch in file.iter_batches(columns.ROWS_PER_BLOCK, row_groups=groups, columns=names, use_threads=False):
            part = batch.slice(max(start - first, 0))[: max(stop - max(first, start), 0)]
            first += batch.num_rows
            block = {}
            for name in names:
                with columns.reading(path, f"column {shown(name)} has unreadable values"):
                    block[name] = part.column(name).to_pylist()
            yield columns.with_names(block, classes)


def _jsonl(file: Iterable[str], path: Path | str) -> Rows:
    for number, line in enumerate(file, 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield number, _object(parse_json(line, where), where)


def _json(file: IO[str], path: Path | str) -> Rows:
    """An array of objects, or one object a line."""
    if not (text := file.read()).lstrip().startswith("["):
        return _jsonl(lines(text), path)
    items = parse_json(text, str(path))
    return ((number, _object(item, f"{path}, item {number}")) for number, item in enumerate(items, 1))


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def _csv(file: IO[str], path: Path | str, delimiters: str) -> Rows:
    """The rows of a CSV file. The delimiter is the first of `delimiters` that the header has."""
    csv.field_size_limit(2**31 - 1)
    above, header = next(((number, line) for number, line in enumerate(file) if line.strip("\r\n")), (0, ""))
    delimiter = next((sign for sign in delimiters if sign in header), delimiters[0])
    reader = csv.reader(chain([header], file), strict=True, delimiter=delimiter)
    try:
        names = columns.chosen(next(reader, []), path)
        end = above + reader.line_num
        for fields in reader:
            if len(fields) > len(names):
                raise DataError(f"{path}, line {above + reader.line_num}: more fields than the header has")
            if fields:
                yield end + 1, dict(zip(names, fields, strict=False))
            end = above + reader.line_num
    except csv.Error as error:
        reason, *_ = str(error).split(" - ")  # the rest is advice for a programmer
        raise DataError(f"{path}, line {above + reader.line_num}: not CSV: {reason}") from None


ROW_FORMATS: Mapping[str, Callable[[IO[str], Path | str], Rows]] = {
    ".jsonl": _jsonl,
    ".csv": partial(_csv, delimiters=",;\t"),
    ".tsv": partial(_csv, delimiters="\t"),
    ".json": _json,
}
"""Readers of files of rows, by the end of the file's name."""

FORMATS = (".parquet", *ROW_FORMATS)
ENDINGS = (*FORMATS, *(f"{form}.gz" for form in ROW_FORMATS))
"""What the name of a file of reviews may end in, in lower case."""
