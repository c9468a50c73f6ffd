"""source -> labelled reviews.

A source is `embedded`, a file (.parquet, .jsonl, .csv), a folder (`save_to_disk`, one file a split, or one folder of text files
a label, as IMDB ships), or the name of a hub data set; `:split` behind it chooses a split. Columns are found by name.
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorasent import hub
from lorasent.errors import DataError

TEXT_COLUMNS = ("text", "review", "sentence")
LABEL_COLUMNS = ("label", "sentiment")
SUFFIXES = (".parquet", ".jsonl", ".csv")

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Reviews:
    """N reviews: `texts`, `labels` (N,) as ids, and every further column of the source in `columns`."""

    source: str
    texts: list[str]
    labels: NDArray[np.int64]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Reviews":
        """The reviews at `rows`, in that order."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=self.labels[list(rows)],
            columns={name: [values[row] for row in rows] for name, values in self.columns.items()},
        )

    def sample(self, size: int, seed: int, labels: Sequence[str]) -> "Reviews":
        """`size` reviews, as many of each label as of any other (the first labels get the rest), shuffled by `seed`."""
        random = np.random.default_rng(seed)
        chosen: list[int] = []
        for label, name in enumerate(labels):
            rows = np.flatnonzero(self.labels == label)
            wanted = size // len(labels) + (label < size % len(labels))
            if len(rows) < wanted:
                raise DataError(f"{self.source}: a sample of {size} needs {wanted} reviews labelled {name}, found {len(rows)}")
            chosen.extend(random.permutation(rows)[:wanted].tolist())
        return self.take(random.permutation(chosen))

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        """Reviews by label name."""
        return {name: int((self.labels == label).sum()) for label, name in enumerate(labels)}

    def require_every_label(self, labels: Sequence[str]) -> None:
        """Raises DataError unless every label occurs: nothing is learnt, or chosen, from one class."""
        missing = [name for name, count in self.counts(labels).items() if count == 0]
        if missing:
            raise DataError(f"{self.source}: training needs reviews of every label, found none labelled {' or '.join(missing)}")

    @property
    def fingerprint(self) -> str:
        """The sha256 of texts and labels, in order."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(json.dumps([text, label]).encode())
        return digest.hexdigest()


def read(
    source: str,
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
) -> Reviews:
    """Reads a source whose labels are ids, or names out of `labels` in any case.

    Raises DataError, which names the source, the row (from 1) and what was expected there.
    """
    columns = _columns(source)
    text = _find(columns, text_column, TEXT_COLUMNS, source, "text")
    label = _find(columns, label_column, LABEL_COLUMNS, source, "label")
    rest = {name: list(values) for name, values in columns.items() if name not in (text, label)}
    ids = _label_ids(columns[label], labels, f"{source}: column {label}")
    return Reviews(source, check_texts(columns[text], f"{source}: column {text}"), ids, rest)


def read_texts(source: str, text_column: str | None = None) -> list[str]:
    """Reads the reviews of a source that need not be labelled."""
    columns = _columns(source)
    text = _find(columns, text_column, TEXT_COLUMNS, source, "text")
    return check_texts(columns[text], f"{source}: column {text}")


def check_texts(values: Sequence[Any], where: str) -> list[str]:
    """The values, if each is a text that says something and that UTF-8 can write; DataError names the row (from 1) if not."""
    for row, value in enumerate(values, 1):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}, row {row}: expected a text, found {value!r}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}, row {row}: expected UTF-8, found {value[error.start]!r} in it") from None
    return list(values)


def without_overlap(train: Reviews, validation: Reviews) -> Reviews:
    """`train` less every review that is also in `validation`, whatever its case and spacing."""
    held_out = {_normal(text) for text in validation.texts}
    return train.take([row for row, text in enumerate(train.texts) if _normal(text) not in held_out])


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _columns(source: str) -> Columns:
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


def _find(columns: Columns, named: str | None, known: Sequence[str], source: str, kind: str) -> str:
    by_name = {name.casefold(): name for name in columns}
    wanted = [named] if named else known
    for name in wanted:
        if name.casefold() in by_name:
            return by_name[name.casefold()]
    raise DataError(
        f"{source}: no {kind} column: expected {' or '.join(wanted)}, found {', '.join(columns)}; "
        f"name it with --{kind}-column, or data.{kind}_column in a recipe"
    )


def _label_ids(values: Sequence[Any], labels: Sequence[str], where: str) -> NDArray[np.int64]:
    known: dict[Any, int] = {}
    ids = []
    for row, value in enumerate(values, 1):
        key = value if isinstance(value, str | int | float) else repr(value)
        if key not in known:
            label = _label_id(value, labels)
            if label is None:
                allowed = f"{', '.join(labels)} or 0 to {len(labels) - 1}"
                raise DataError(f"{where}, row {row}: unknown label {value!r}; expected {allowed}")
            known[key] = label
        ids.append(known[key])
    return np.array(ids, dtype=np.int64)


def _label_id(value: Any, labels: Sequence[str]) -> int | None:
    """An id, an id as text, a label name in any case, or an unambiguous beginning of one ("pos")."""
    if isinstance(value, str):
        name = value.strip().casefold()
        exact = [label for label, known in enumerate(labels) if known.casefold() == name]
        begins = [label for label, known in enumerate(labels) if len(name) >= 3 and known.casefold().startswith(name)]
        if exact or len(begins) == 1:
            return (exact or begins)[0]
        value = int(name) if name.isascii() and name.isdigit() else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return int(value) if isinstance(value, bool) and len(labels) == 2 else None
    return int(value) if value in range(len(labels)) else None
