"""source -> columns by name, in blocks of rows. A kind of source is a row of `SOURCES`."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from itertools import chain
from pathlib import Path

from lorasent.data import formats, huggingface, memory, storage
from lorasent.data.columns import Choice, Columns, blocks_of_rows, of_card, reading, values
from lorasent.errors import DataError
from lorasent.text import lines, some

SPLITS = ("train", "validation", "test")
"""The splits of the embedded corpus."""


def columns_of(source: str) -> Columns:
    """The columns of a source, at least one row each; a key that a row lacks is None in it. Raises DataError as `blocks_of`."""
    blocks = list(blocks_of(source)[1])
    names = dict.fromkeys(name for block in blocks for name in block)
    return {name: [value for block in blocks for value in values(block, name)] for name in names}


def blocks_of(source: str, choice: Choice = None) -> tuple[list[str], Iterator[Columns]]:
    """The chosen names, and blocks that have at least these columns, one in memory at a time. The first block is read at once.

    Raises DataError, which names the source, and the row where there is one; for a later block, when it is read.
    """
    blocks = (block for block in _blocks(source, choice) if any(block.values()))
    if not (first := next(blocks, None)):
        raise DataError(f"{source}: holds no reviews")
    return list(choice(list(first)) if choice else first), chain([first], blocks)


def lines_of(source: str) -> list[int] | None:
    """The line (from 1) on which each row begins in a file of rows in lines (JSONL, CSV, TSV); None for any other source."""
    path, split = _parse(source)
    files = [Path(path)] if split is None else _files_of(Path(path), split)
    in_lines = [file for file in files if file.is_file() and formats.format_of(file) in (".jsonl", ".csv", ".tsv")]
    if path == "embedded" or len(files) > 1 or not in_lines:
        return None
    with reading(files[0]):
        return [line for line, _ in formats.rows(files[0])]


def is_embedded(source: str) -> bool:
    """Whether a source is a split of the embedded corpus."""
    return _parse(source)[0] == "embedded"


def _blocks(source: str, choice: Choice) -> Iterator[Columns]:
    path, split = _parse(source)
    try:
        for matches, read in SOURCES:
            if matches(path):
                yield from read(path, split, choice)
                return
        raise DataError(f"{path}: no such file or folder")
    except OSError as error:
        reason, *_ = (error.strerror or str(error)).split("\n")  # Arrow's reasons have several lines
        raise DataError(f"{source}: cannot be read: {reason}") from None


def _parse(source: str) -> tuple[str, str | None]:
    """The path or name in a source, and the split behind its last colon; a path that exists has no split."""
    with contextlib.suppress(OSError):  # raised for a name that is too long
        if Path(source).exists():
            return source, None
    if storage.is_remote(source):
        return source, None
    path, colon, split = source.rpartition(":")
    return (path, split) if colon else (source, None)


def _embedded(_path: str, split: str | None, _choice: Choice) -> Iterator[Columns]:
    if split not in SPLITS:
        raise DataError(f"embedded{':' + split if split else ''}: the embedded corpus has the splits {', '.join(SPLITS)}")
    file = resources.files("lorasent") / "reviews" / f"{split}.jsonl"
    rows = map(json.loads, lines(file.read_text("utf-8")))
    return blocks_of_rows(rows, f"embedded:{split}", {"label": ["Negative", "Positive"]})


def _matching(path: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    """Every file that a glob or a URL names, one after the other."""
    for file in storage.matches(path):
        yield from formats.read(file.path, split, choice)


def _folder(path: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    """A file for each split, as on the hub, or a folder of text files for each label, as IMDB ships."""
    folder = Path(path)
    if not split or not (files := _files_of(folder, split)):
        yield from _texts(folder, split)
        return
    classes = of_card(folder)
    for file in files:
        yield from formats.read(str(file), None, choice, classes)


def _files_of(folder: Path, split: str) -> list[Path]:
    """The file of a split, or all its shards as the hub names them, in a folder or in its `data`; none if there is none."""
    named = re.compile(rf"{re.escape(split)}(-\d+-of-(\d+))?(?i:{'|'.join(map(re.escape, formats.ENDINGS))})")
    homes = [home for home in (folder, folder / "data") if home.is_dir()]
    shards = {file: match for home in homes for file in sorted(home.iterdir()) if (match := named.fullmatch(file.name))}
    if shards and [match[2] and int(match[2]) for match in shards.values()] not in ([None], [len(shards)] * len(shards)):
        names = some([file.name for file in shards], 5)
        raise DataError(
            f"{folder}:{split}: expected one file, or every shard of one, found {names}: name one file, or fetch all shards"
        )
    return list(shards)


def _texts(folder: Path, split: str | None) -> Iterator[Columns]:
    root = folder / split if split else folder
    texts = sorted(
        file
        for file in root.glob("*/*")
        if file.suffix.lower() == ".txt" and file.parent.name != "unsup" and "." not in (file.parent.name[0], file.name[0])
    )
    if not texts:
        raise DataError(
            f"{folder}{':' + split if split else ''}: expected a saved data set, {split or 'SPLIT'}.parquet (.jsonl, .csv), "
            f"or a folder of .txt files for each label in {root}"
        )
    rows = ({"text": file.read_text("utf-8-sig"), "label": file.parent.name} for file in texts)
    with reading(root):
        yield from blocks_of_rows(rows, root, {})


SOURCES: Sequence[tuple[Callable[[str], bool], Callable[[str, str | None, Choice], Iterator[Columns]]]] = (
    (lambda path: path == "embedded", _embedded),
    (lambda path: Path(path).is_file(), formats.read),
    (huggingface.is_saved, huggingface.read_saved),
    (lambda path: Path(path).is_dir(), _folder),
    (storage.is_pattern, _matching),
    (memory.is_name, memory.refuse),
    (lambda path: not formats.format_of(Path(path)) and not path.startswith(("/", ".")), huggingface.read_hub),
)
"""Kinds of sources: a test of the path or name, and the reader (path, split, choice). The first kind whose test holds reads."""
