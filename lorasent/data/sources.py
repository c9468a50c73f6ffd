"""source -> columns: the embedded corpus, files, folders, and hub data sets, each as columns by name, in blocks of rows.

Whatever the format, a class label is read by its name, and two columns whose names differ in case alone are refused. A hub data
set is OWNER/NAME, or OWNER/NAME/CONFIGURATION, with `:SPLIT` behind it; no other split of it is fetched.
"""

import contextlib
import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from lorasent import hub
from lorasent.errors import DataError, LorasentError
from lorasent.text import lines, shown

FORMATS = (".parquet", ".jsonl", ".csv", ".tsv", ".json")

ENDINGS = (*FORMATS, *(f"{ending}.gz" for ending in FORMATS[1:]))
"""What a file's name ends in, in any case."""

ROWS_PER_BLOCK = 1024

PARQUET_BUFFER = 1 << 20
"""Bytes read at a time: neither the file nor a row group, which may be all of it, is held as it lies on disk."""

EMBEDDED = {"label": ["Negative", "Positive"]}
"""The names of the embedded corpus's labels."""

Columns = Mapping[str, Sequence[Any]]

Classes = Mapping[str, Sequence[str]]
"""The names of class labels, by column: a number stands for the name at its place."""

Choice = Callable[[Sequence[str]], Sequence[str]] | None
"""Which of the names found are read; None: all."""


def columns_of(source: str) -> Columns:
    """The columns of a source, at least one row each; a key that some rows lack is None there. Raises DataError as `blocks_of`."""
    blocks = list(blocks_of(source)[1])
    names = dict.fromkeys(name for block in blocks for name in block)
    return {name: [value for block in blocks for value in block.get(name) or [None] * _length(block)] for name in names}


def blocks_of(source: str, choice: Choice = None) -> tuple[list[str], Iterator[Columns]]:
    """The chosen names, and their columns in blocks of rows, of which one is in memory at a time; the first is read at once.

    Raises DataError, which names the source, and the row where there is one; of a later block when its turn comes.
    """
    blocks = (block for block in _blocks(source, choice) if _length(block))
    first = next(blocks, None)
    if first is None:
        raise DataError(f"{source}: holds no reviews")
    return list(first), chain([first], blocks)


def lines_of(source: str) -> list[int] | None:
    """The line, from 1, on which each row begins in a file of rows in lines (JSONL, CSV, TSV); None of any other source."""
    path, split = _parse(source)
    files = [Path(path)] if split is None else _files(Path(path), split)
    if is_embedded(source) or len(files) != 1 or not files[0].is_file() or not _in_lines(files[0]):
        return None
    with _decoding(files[0]):
        return [line for line, _ in _rows(files[0])]


def is_embedded(source: str) -> bool:
    """Whether a source is a part of the embedded corpus."""
    return _parse(source)[0] == "embedded"


def _length(block: Columns) -> int:
    return len(next(iter(block.values()), ()))


def _blocks(source: str, choice: Choice) -> Iterator[Columns]:
    path, split = _parse(source)
    try:
        if path == "embedded":
            yield from _embedded(split, choice)
        elif Path(path).is_file():
            yield from _file(Path(path), split, choice, _card(Path(path).parent))
        elif Path(path).is_dir():
            yield from _folder(Path(path), split, choice)
        elif _ending(Path(path)) or path.startswith(("/", ".")):
            raise DataError(f"{path}: no such file or folder")
        else:
            yield from _hub(path, split, choice)
    except OSError as error:
        reason, *_ = (error.strerror or str(error)).split("\n")  # Arrow's have several lines
        raise DataError(f"{source}: cannot be read: {reason}") from None


def _parse(source: str) -> tuple[str, str | None]:
    with contextlib.suppress(OSError):  # of a name that is too long
        if Path(source).exists():
            return source, None
    path, colon, split = source.rpartition(":")
    return (path, split) if colon else (source, None)


def _ending(path: Path) -> str:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")


def _in_lines(path: Path) -> bool:
    return _ending(path).startswith((".jsonl", ".csv", ".tsv"))


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever a library raises of a broken file becomes a DataError; what has a better place to be told passes."""
    try:
        yield
    except (LorasentError, OSError, UnicodeDecodeError):
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{what} that can be read: {reason}") from None


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """What is no text, or not packed as it says, becomes a DataError."""
    try:
        yield
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise DataError(f"{path}: expected UTF-8, found byte {found:#04x}; convert the file, for one with iconv") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a gzip file that can be read: {error}") from None


def _chosen(found: Iterable[str], where: object, choice: Choice) -> list[str]:
    """The names that are read, if no two are the same but for case and spaces: which is meant, nobody knows."""
    names: dict[str, str] = {}
    for name in found:
        if (key := name.strip().casefold()) in names:
            both = f"{shown(names[key])} and {shown(name)}" if key else "without a name"
            raise DataError(f"{where}: two columns cannot be told apart, {both}: rename or remove one")
        names[key] = name
    return list(choice(list(names.values())) if choice else names.values())


def _by_name(block: Columns, classes: Classes) -> Columns:
    return {name: [_name(value, classes[name]) for value in block[name]] if name in classes else block[name] for name in block}


def _name(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_name(one, names) for one in value]
    if isinstance(value, str) and value not in names and value.isascii() and value.isdigit():  # CSV has no numbers
        value = int(value[:9])
    if isinstance(value, float) and value.is_integer():  # a column of integers with a gap in it
        value = int(value)
    if isinstance(value, int):
        return names[value] if value in range(len(names)) else f"class {value}"
    return value


def _classes(features: Mapping[str, Any]) -> Classes:
    """The class labels among features as `datasets` writes them down; those in lists too.

    Names that are numbers, but not those of places (stars from 1 to 5), are no ids.
    """
    found = {}
    for column, kind in features.items():
        feature = kind
        while isinstance(feature, list | dict) and "names" not in feature:
            feature = feature.get("feature") if isinstance(feature, dict) else next(iter(feature), None)
        if isinstance(feature, dict) and feature["names"] and feature.get("_type") == "ClassLabel":
            names = feature["names"]
            stars = all(name.isdecimal() for name in names) and set(names) != {str(place) for place in range(len(names))}
            found[column] = [f"class {name}" for name in names] if stars else names
    return found


def _embedded(split: str | None, choice: Choice) -> Iterator[Columns]:
    folder = resources.files("lorasent") / "reviews"
    names = ("train", "validation", "test")
    if split not in names:
        raise DataError(f"embedded{':' + split if split else ''}: the embedded corpus has the splits {', '.join(names)}")
    rows = map(json.loads, lines((folder / f"{split}.jsonl").read_text("utf-8")))
    return _transpose(rows, f"embedded:{split}", choice, EMBEDDED)


def _file(path: Path, split: str | None, choice: Choice, classes: Classes) -> Iterator[Columns]:
    """A file's columns; `classes` are those of its data set's card, a Parquet file may bring its own."""
    if split is not None:
        raise DataError(f"{path}:{split}: a file has no splits; name the file alone")
    if not _ending(path):
        raise DataError(f"{path}: expected a file that ends in {', '.join(FORMATS)}, which may be packed (.gz) but for Parquet")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    with _decoding(path):
        if _ending(path) == ".parquet":
            yield from _parquet(path, choice, classes)
        else:
            yield from _transpose((row for _, row in _rows(path)), path, choice, classes)


def _parquet(path: Path, choice: Choice, classes: Classes) -> Iterator[Columns]:
    import pyarrow.parquet as pq

    with (
        _reading(f"{path}: not a Parquet file"),
        pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False) as file,
    ):
        names = _chosen(file.schema_arrow.names, path, choice)
        said = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        classes = _classes(said.get("info", {}).get("features", {})) or classes
        for batch in file.iter_batches(ROWS_PER_BLOCK, columns=names, use_threads=False):
            block = {}
            for name in names:
                with _reading(f"{path}: column {shown(name)}: no values"):
                    block[name] = batch.column(name).to_pylist()
            yield _by_name(block, classes)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file of text, each with the line, from 1, on which it begins; of a JSON array, with its number."""
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
        if _ending(path).startswith((".csv", ".tsv")):
            yield from _csv(file, path)
        elif _in_lines(path):
            yield from _jsonl(file, path)
        else:
            text = file.read()
            yield from _array(text, path) if text.lstrip().startswith("[") else _jsonl(lines(text), path)


def _jsonl(file: Iterable[str], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            row = parsed(line, f"{path}, line {number}")
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected one JSON object a line, found {type(row).__name__}")
            yield number, row


def _array(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(parsed(text, str(path)), 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, item {number}: expected an array of JSON objects, found {type(row).__name__}")
        yield number, row


def parsed(text: str, where: str) -> Any:
    """JSON in which no object has two keys of one name. Raises DataError, which begins with `where`."""

    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(row := dict(pairs)) < len(pairs):
            _chosen((key for key, _ in pairs), where, None)
        return row

    try:
        return json.loads(text, object_pairs_hook=whole)
    except (ValueError, RecursionError) as error:  # of a number of 5,000 digits, and of brackets in brackets in brackets
        raise DataError(f"{where}: not JSON that can be read: {getattr(error, 'msg', error)}") from None


def _csv(file: IO[str], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Fields are parted by a comma, or by a semicolon or a tab where the header has no comma; in .tsv by a tab."""
    csv.field_size_limit(2**31 - 1)
    above, first = next(((number, line) for number, line in enumerate(file) if line.strip("\r\n")), (0, ""))
    parted = "\t" if ".tsv" in _ending(path) else next((sign for sign in ",;\t" if sign in first), ",")
    reader = csv.reader(chain([first], file), strict=True, delimiter=parted)
    try:
        header = _chosen(next(reader, []), path, None)
        ended = above + reader.line_num
        for row in reader:
            if len(row) > len(header):
                raise DataError(f"{path}, line {above + reader.line_num}: more fields than the header names")
            if row:
                yield ended + 1, dict(zip(header, row, strict=False))
            ended = above + reader.line_num
    except csv.Error as error:
        reason, *_ = str(error).split(" - ")  # the rest is advice for a programmer
        raise DataError(f"{path}, line {above + reader.line_num}: not CSV: {reason}") from None


def _transpose(rows: Iterable[Mapping[str, Any]], where: object, choice: Choice, classes: Classes) -> Iterator[Columns]:
    """Rows -> blocks of columns; a key that some rows of a block lack is None there. The first block decides the choice."""
    rows, seen, names = iter(rows), dict[str, None](), list[str]()
    while block := list(islice(rows, ROWS_PER_BLOCK)):
        found = dict.fromkeys(name for row in block for name in row)
        seen |= found
        read = _chosen(seen, where, choice if not names else None)
        names = names or (read if choice else [])
        yield _by_name({name: [row.get(name) for row in block] for name in names or found}, classes)


def _folder(path: Path, split: str | None, choice: Choice) -> Iterator[Columns]:
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        import datasets
        import pyarrow as pa

        with _reading(f"{path}: not a saved data set"):
            for file in [*path.glob("*.arrow"), *path.glob(f"{split}/*.arrow")][:1]:
                with pa.memory_map(str(file)) as table:
                    _chosen(pa.ipc.open_stream(table).schema.names, path, None)
            yield from _split_of(datasets.load_from_disk(str(path)), str(path), split, choice)
        return
    if split and (files := _files(path, split)):
        classes = _card(path)
        for file in files:
            for block in _file(file, None, choice, classes):
                names = list(block)
                yield block
            choice = (lambda _, names=names: names) if choice else None  # the first shard decides
        return
    root = path / split if split else path
    texts = sorted(
        file
        for file in root.glob("*/*")
        if file.suffix.lower() == ".txt" and file.parent.name != "unsup" and "." not in (file.parent.name[0], file.name[0])
    )
    if not texts:
        raise DataError(
            f"{path}{':' + split if split else ''}: expected a saved data set, {split or 'SPLIT'}.parquet (.jsonl, .csv), "
            f"or one folder of .txt files a label in {root}"
        )
    try:
        rows = ({"text": file.read_text("utf-8-sig"), "label": file.parent.name} for file in texts)
        yield from _transpose(rows, root, choice, {})
    except UnicodeDecodeError as error:
        raise DataError(f"{root}: expected UTF-8 text files, found byte {error.object[error.start]:#04x}") from None


def _files(path: Path, split: str) -> list[Path]:
    """The file of a split, or its shards as the hub names them, in a folder or in `data` in it."""
    named = re.compile(rf"{re.escape(split)}(-\d+-of-(\d+))?(?i:{'|'.join(map(re.escape, ENDINGS))})")
    folders = [folder for folder in (path, path / "data") if folder.is_dir()]
    found = {file: match for folder in folders for file in sorted(folder.iterdir()) if (match := named.fullmatch(file.name))}
    if found and [match[2] and int(match[2]) for match in found.values()] not in ([None], [len(found)] * len(found)):
        some = ", ".join(file.name for file in list(found)[:5])
        raise DataError(
            f"{path}:{split}: expected one file, or every shard of one, found {some}: name one file, or fetch all shards"
        )
    return list(found)


def _card(path: Path) -> Classes:
    """The class labels that a data set's card names (README.md, as on the hub), for the folder or one of its configurations."""
    for home in (path, path.parent):
        if (home / "README.md").is_file() and (home / "README.md").read_bytes().startswith(b"---"):  # as a card begins
            from datasets.info import DatasetInfosDict

            cards: dict[str, Any] = {}
            with contextlib.suppress(Exception):  # any project has a README.md; of one that is no card there is nothing to say
                cards = DatasetInfosDict.from_directory(str(home))
            asked = [cards[path.name]] if path.name in cards else cards.values()
            said = [_classes(card.features.to_dict()) for card in asked if card.features]
            # Where configurations differ, nobody knows which is meant: no number has a name.
            return {
                column: names if all(one.get(column, names) == names for one in said) else []
                for one in said
                for column, names in one.items()
            }
    return {}


def _hub(name: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    import datasets

    repository, configuration = _repository(name)
    if hub.is_offline():
        return _split_of(_cached(name, split), name, split, choice)
    try:
        builder = datasets.load_dataset_builder(repository, configuration)
        if files := builder.config.data_files:
            _require(split, files, name)
            builder = _only(builder, files, str(split))
        builder.download_and_prepare()
        loaded = builder.as_dataset()
    except LorasentError:
        raise
    except Exception as error:  # the hub client raises its own and other libraries' errors
        reason = " ".join(str(error).splitlines()[:2]) or type(error).__name__  # the second line names the configurations
        raise DataError(
            f"{name}: no such file, and not to be had as a hub data set, OWNER/NAME[/CONFIGURATION]:SPLIT: {reason}"
        ) from None
    return _split_of(loaded, name, split, choice)


def _repository(name: str) -> tuple[str, str | None]:
    """A hub data set's name and, of three parts, its configuration: names have no more than two."""
    parts = name.split("/")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None


def _only(builder: Any, files: Any, split: str) -> Any:
    """A builder of the same data set with nothing but one split: `load_dataset` fetches them all, whichever it is asked for."""
    info = builder.info.copy()
    info.splits = None  # a builder checks that it finds every split that it knows
    return type(builder)(
        dataset_name=builder.dataset_name,
        config_name=builder.config.name,
        repo_id=builder.repo_id,
        hash=builder.hash,
        base_path=builder.base_path,
        info=info,
        data_files=type(files)({split: files[split]}),
    )


def _cached(name: str, split: str | None) -> Any:
    """A hub data set as an earlier reading left it in the cache, whole or this split; `load_dataset` would ask the hub first."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    (repository, configuration), source = _repository(name), f"{name}:{split or 'SPLIT'}"
    *owner, last = repository.split("/")
    folder = Path(config.HF_DATASETS_CACHE, "___".join([*owner, camelcase_to_snakecase(last)]))
    try:
        held = _held(folder, configuration, split)
        if len(held) == 1:
            *_, config_id, version, hash_ = next(iter(held.values())).parts
            return Cache(repo_id=repository, dataset_name=last, config_name=config_id, version=version, hash=hash_).as_dataset()
        reason = f"nothing of it in {config.HF_DATASETS_CACHE}"
    except Exception as error:  # whatever the library raises of a cache that is not whole
        held, reason = {}, (str(error).splitlines() or [type(error).__name__])[0]
    if held:
        raise DataError(f"{source}: has several configurations; name one, as in {name}/{next(iter(held))}:{split or 'SPLIT'}")
    raise DataError(
        f"{source}: no such file, and not in the cache of hub data sets ({reason}), and a verdict asks no network: "
        f"fetch it once, with lorasent evaluate ADAPTER --data {source}, or give a file"
    )


def _held(folder: Path, configuration: str | None, split: str | None) -> dict[str, Path]:
    """The newest reading of each configuration that the cache of a data set holds with the split."""
    held = {}
    for file in sorted(folder.glob("*/*/*/dataset_info.json"), key=lambda file: file.stat().st_mtime):
        said = json.loads(file.read_text("utf-8"))
        if configuration in (None, said["config_name"]) and (split is None or split in said["splits"]):
            held[said["config_name"]] = file.parent
    return held


def _require(split: str | None, splits: Iterable[Any], source: str) -> None:
    names = [str(name) for name in splits]
    if split not in names:
        raise DataError(f"{source}: name a split out of {', '.join(names)}, as in {source}:{next(iter(names), 'train')}")


def _split_of(loaded: Any, source: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    if isinstance(loaded, dict):
        _require(split, loaded, source)
        loaded = loaded[split]
    elif split is not None:
        raise DataError(f"{source}:{split}: the saved data set has no splits; name the folder alone")
    names = _chosen(loaded.column_names, source, choice)
    if choice:
        loaded = loaded.select_columns(names)
    classes = _classes(loaded.features.to_dict())
    with _reading(f"{source}: no rows"):
        for block in loaded.iter(ROWS_PER_BLOCK):
            yield _by_name(block, classes)
