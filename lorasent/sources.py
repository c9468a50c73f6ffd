"""source -> columns: the embedded corpus, files, folders, and hub data sets, each as columns by name."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from lorasent import hub
from lorasent.errors import DataError

SUFFIXES = (".parquet", ".jsonl", ".csv")

Columns = Mapping[str, Sequence[Any]]


def columns_of(source: str) -> Columns:
    """The columns of a source, at least one row each. Raises DataError, which names the source, and the row where there is one."""
    path, split = _parse(source)
    try:
        if path == "embedded":
            columns = _embedded(split)
        elif Path(path).is_file():
            columns = _file(Path(path), split)
        elif Path(path).is_dir():
            columns = _folder(Path(path), split)
        elif Path(path).suffix in SUFFIXES or path.startswith(("/", ".")):
            raise DataError(f"{path}: no such file or folder")
        else:
            columns = _hub(path, split)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from None
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{source}: holds no reviews")
    return columns


def _parse(source: str) -> tuple[str, str | None]:
    if Path(source).exists():
        return source, None
    path, colon, split = source.rpartition(":")
    return (path, split) if colon else (source, None)


def _embedded(split: str | None) -> Columns:
    folder = resources.files("lorasent") / "reviews"
    names = ("train", "validation", "test")
    if split not in names:
        raise DataError(f"embedded{':' + split if split else ''}: the embedded corpus has the splits {', '.join(names)}")
    text = (folder / f"{split}.jsonl").read_text("utf-8")
    return _transpose([json.loads(line) for line in text.splitlines()], "embedded")


def _file(path: Path, split: str | None) -> Columns:
    if split is not None:
        raise DataError(f"{path}:{split}: a file has no splits; name the file alone")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            return {name: table.column(name).to_pylist() for name in table.column_names}
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: expected UTF-8, found byte {error.object[error.start]:#04x}") from None
        except pa.ArrowException as error:
            raise DataError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    try:
        return _transpose(list(_jsonl(path) if path.suffix == ".jsonl" else _csv(path)), str(path))
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise DataError(f"{path}: expected UTF-8, found byte {found:#04x}; convert the file, for one with iconv") from None


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


def _transpose(rows: list[dict[str, Any]], source: str) -> Columns:
    """Rows -> columns; a key that some rows lack is None there."""
    if not rows:
        raise DataError(f"{source}: holds no reviews")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _folder(path: Path, split: str | None) -> Columns:
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        import datasets
        import pyarrow as pa

        try:
            return _split_of(datasets.load_from_disk(str(path)), str(path), split)
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a saved data set that can be read: {str(error).splitlines()[0]}") from None
    files = [path / f"{split}{suffix}" for suffix in SUFFIXES if split and (path / f"{split}{suffix}").is_file()]
    if files:
        return _file(files[0], None)
    root = path / split if split else path
    texts = sorted(file for file in root.glob("*/*.txt") if file.parent.name != "unsup")
    if not texts:
        raise DataError(
            f"{path}{':' + split if split else ''}: expected a saved data set, {split or 'SPLIT'}.parquet (.jsonl, .csv), "
            f"or one folder of .txt files a label in {root}"
        )
    try:
        return {"text": [file.read_text("utf-8") for file in texts], "label": [file.parent.name for file in texts]}
    except UnicodeDecodeError as error:
        raise DataError(f"{root}: expected UTF-8 text files, found byte {error.object[error.start]:#04x}") from None


def _hub(name: str, split: str | None) -> Columns:
    import datasets

    if hub.is_offline():
        return _split_of(_cached(name, split), name, split)
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises its own and other libraries' errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name}: no such file, and not to be had as a hub data set: {reason}") from None
    return _split_of(loaded, name, split)


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


def _split_of(loaded: Any, source: str, split: str | None) -> Columns:
    if isinstance(loaded, dict):
        if split not in loaded:
            raise DataError(f"{source}: name a split out of {', '.join(loaded)}, as in {source}:{next(iter(loaded), 'train')}")
        loaded = loaded[split]
    elif split is not None:
        raise DataError(f"{source}:{split}: the saved data set has no splits; name the folder alone")
    columns = {name: loaded[name][:] for name in loaded.column_names}
    # A class label is read by its name: another set may number the names the other way round.
    classes = {name: feature.names for name, feature in loaded.features.items() if hasattr(feature, "names")}
    for name, names in classes.items():
        columns[name] = [names[value] if value in range(len(names)) else value for value in columns[name]]
    return columns
