"""source -> columns: the embedded corpus, files, folders, and hub data sets, each as columns by name, in blocks of rows."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lorasent import hub
from lorasent.errors import DataError

SUFFIXES = (".parquet", ".jsonl", ".csv")

ROWS_PER_BLOCK = 1024

PARQUET_BUFFER = 1 << 20
"""Bytes read at a time: neither the file nor a row group, which may be all of it, is held as it lies on disk."""

Columns = Mapping[str, Sequence[Any]]

Choice = Callable[[Sequence[str]], Sequence[str]] | None
"""Which of the names found are read; None: all."""


def columns_of(source: str) -> Columns:
    """The columns of a source, at least one row each; a key that some rows lack is None there. Raises DataError as `blocks_of`."""
    blocks = list(blocks_of(source)[1])
    names = dict.fromkeys(name for block in blocks for name in block)
    return {name: [value for block in blocks for value in block.get(name) or [None] * _rows(block)] for name in names}


def blocks_of(source: str, choice: Choice = None) -> tuple[list[str], Iterator[Columns]]:
    """The chosen names, and their columns in blocks of rows, of which one is in memory at a time; the first is read at once.

    Raises DataError, which names the source, and the row where there is one; of a later block when its turn comes.
    """
    blocks = (block for block in _blocks(source, choice) if _rows(block))
    first = next(blocks, None)
    if first is None:
        raise DataError(f"{source}: holds no reviews")
    return list(first), chain([first], blocks)


def lines_of(source: str) -> list[int] | None:
    """The line, from 1, on which each row of a .jsonl or .csv file begins; None of a source without such lines."""
    path, split = _parse(source)
    file = next((file for suffix in SUFFIXES if (file := Path(path) / f"{split}{suffix}").is_file()), Path(path))
    if path == "embedded" or not file.is_file() or file.suffix == ".parquet":
        return None
    with file.open(encoding="utf-8-sig", newline="" if file.suffix == ".csv" else None) as lines:
        if file.suffix == ".jsonl":
            return [number for number, line in enumerate(lines, 1) if line.strip()]
        begins, ended = [], 0
        reader = csv.reader(lines)
        for row in reader:
            begins += [ended + 1] if row else []
            ended = reader.line_num
        return begins[1:]  # the first is the header's


def _rows(block: Columns) -> int:
    return len(next(iter(block.values()), ()))


def _blocks(source: str, choice: Choice) -> Iterator[Columns]:
    path, split = _parse(source)
    try:
        if path == "embedded":
            yield from _embedded(split, choice)
        elif Path(path).is_file():
            yield from _file(Path(path), split, choice)
        elif Path(path).is_dir():
            yield from _folder(Path(path), split, choice)
        elif Path(path).suffix in SUFFIXES or path.startswith(("/", ".")):
            raise DataError(f"{path}: no such file or folder")
        else:
            yield from _hub(path, split, choice)
    except OSError as error:
        reason, *_ = (error.strerror or str(error)).split("\n")  # Arrow's have several lines
        raise DataError(f"{source}: cannot be read: {reason}") from None


def _parse(source: str) -> tuple[str, str | None]:
    if Path(source).exists():
        return source, None
    path, colon, split = source.rpartition(":")
    return (path, split) if colon else (source, None)


def _embedded(split: str | None, choice: Choice) -> Iterator[Columns]:
    folder = resources.files("lorasent") / "reviews"
    names = ("train", "validation", "test")
    if split not in names:
        raise DataError(f"embedded{':' + split if split else ''}: the embedded corpus has the splits {', '.join(names)}")
    text = (folder / f"{split}.jsonl").read_text("utf-8")
    return _transpose(map(json.loads, text.splitlines()), choice)


def _file(path: Path, split: str | None, choice: Choice) -> Iterator[Columns]:
    if split is not None:
        raise DataError(f"{path}:{split}: a file has no splits; name the file alone")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, choice)
        else:
            yield from _transpose(_jsonl(path) if path.suffix == ".jsonl" else _csv(path), choice)
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise DataError(f"{path}: expected UTF-8, found byte {found:#04x}; convert the file, for one with iconv") from None


def _parquet(path: Path, choice: Choice) -> Iterator[Columns]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False) as file:
            names = choice(file.schema_arrow.names) if choice else file.schema_arrow.names
            for batch in file.iter_batches(ROWS_PER_BLOCK, columns=names, use_threads=False):
                yield {name: batch.column(name).to_pylist() for name in names}
    except (pa.ArrowException, KeyError) as error:  # KeyError: two columns of one name
        raise DataError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: not JSON: {error.msg}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected one JSON object a line, found {type(row).__name__}")
            yield row


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for row in reader:
                if None in row:
                    raise DataError(f"{path}, line {reader.line_num}: more fields than the header names")
                yield row
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _transpose(rows: Iterable[Mapping[str, Any]], choice: Choice) -> Iterator[Columns]:
    """Rows -> blocks of columns; a key that some rows of a block lack is None there. The first block decides the choice."""
    rows, names = iter(rows), None
    while block := list(islice(rows, ROWS_PER_BLOCK)):
        found = list(dict.fromkeys(name for row in block for name in row))
        names = (names or choice(found)) if choice else found
        yield {name: [row.get(name) for row in block] for name in names}


def _folder(path: Path, split: str | None, choice: Choice) -> Iterator[Columns]:
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        import datasets
        import pyarrow as pa

        try:
            yield from _split_of(datasets.load_from_disk(str(path)), str(path), split, choice)
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a saved data set that can be read: {str(error).splitlines()[0]}") from None
        return
    files = [path / f"{split}{suffix}" for suffix in SUFFIXES if split and (path / f"{split}{suffix}").is_file()]
    if files:
        yield from _file(files[0], None, choice)
        return
    root = path / split if split else path
    texts = sorted(file for file in root.glob("*/*.txt") if file.parent.name != "unsup")
    if not texts:
        raise DataError(
            f"{path}{':' + split if split else ''}: expected a saved data set, {split or 'SPLIT'}.parquet (.jsonl, .csv), "
            f"or one folder of .txt files a label in {root}"
        )
    try:
        yield from _transpose(({"text": file.read_text("utf-8"), "label": file.parent.name} for file in texts), choice)
    except UnicodeDecodeError as error:
        raise DataError(f"{root}: expected UTF-8 text files, found byte {error.object[error.start]:#04x}") from None


def _hub(name: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    import datasets

    if hub.is_offline():
        return _split_of(_cached(name, split), name, split, choice)
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises its own and other libraries' errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name}: no such file, and not to be had as a hub data set: {reason}") from None
    return _split_of(loaded, name, split, choice)


def _cached(name: str, split: str | None) -> Any:
    """A hub data set as an earlier reading left it in the cache; `load_dataset` would ask the hub before it looks there."""
    from datasets.packaged_modules.cache.cache import Cache

    try:
        return Cache(repo_id=name, dataset_name=name.rpartition("/")[2], version="auto", hash="auto").as_dataset()
    except Exception as error:  # whatever the library raises of a cache that is not whole
        source, reason = f"{name}:{split or 'SPLIT'}", (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{source}: no such file, and not in the cache of hub data sets ({reason}), and a verdict asks no network: "
            f"fetch it once, with lorasent evaluate ADAPTER --data {source}, or give a file"
        ) from None


def _split_of(loaded: Any, source: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    if isinstance(loaded, dict):
        if split not in loaded:
            raise DataError(f"{source}: name a split out of {', '.join(loaded)}, as in {source}:{next(iter(loaded), 'train')}")
        loaded = loaded[split]
    elif split is not None:
        raise DataError(f"{source}:{split}: the saved data set has no splits; name the folder alone")
    if choice:
        loaded = loaded.select_columns(choice(loaded.column_names))
    # A class label is read by its name: another set may number the names the other way round.
    classes = {name: feature.names for name, feature in loaded.features.items() if hasattr(feature, "names")}
    for block in loaded.iter(ROWS_PER_BLOCK):
        for name, names in classes.items():
            block[name] = [names[value] if value in range(len(names)) else value for value in block[name]]
        yield block
