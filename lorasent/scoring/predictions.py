"""Predictions of another system, by id: an API, a model of another framework, adapters that were scored in bulk.

They are a file (`forms` says of what form), a folder of Parquet files, or a pattern such as "answers/*.parquet". Who made them is
declared: in Parquet's metadata `lorasent.identity`, or by `Predictions.identity`.
"""

import functools
import glob
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lorasent import files
from lorasent.data import formats
from lorasent.data.arrays import Keys
from lorasent.data.columns import reading
from lorasent.data.labelled import id_of, ordered_keys
from lorasent.data.labels import folded, names_of
from lorasent.data.reviews import Reviews
from lorasent.errors import DataError, LorasentError, PredictionsError
from lorasent.scoring import progress
from lorasent.scoring.evidence import Answers
from lorasent.scoring.forms import Form, Part, parts
from lorasent.text import shown, some

IDENTITY = "lorasent.identity"
"""Key of Parquet's metadata: a JSON object with a `name`, and with `labels` in the order of lists of numbers; or a text."""

BULK = "lorasent"
"""The same of what `lorasent predict` writes into a folder: JSON with the hash of the `adapter`, and what is said of a `shard`."""

NOT_SHOWN = ("name", "labels", "shard", "threads")
"""Keys of a declared identity that its text does not repeat."""

LARGEST_IDENTITY = 1 << 16
"""Largest size of a declared identity, in bytes."""

MOST_FILES = 100_000
"""Largest number of files of one subject."""

LARGEST = 1 << 30
"""Largest number of logits of one subject. Memory holds each in 4 bytes."""


Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Predictions:
    """Predictions of a system that is no adapter, which `lorasent.judge` takes in place of an adapter's path.

    `identity` says which system made them, where their file does not; `labels` are the labels, where neither their file nor an
    adapter on the other side names them.
    """

    path: str | os.PathLike[str]
    identity: str | None = None
    labels: Sequence[str] | None = None

    def __str__(self) -> str:
        return os.fspath(self.path)


Adapter = TypeVar("Adapter")


def subjects(
    candidate: tuple[Adapter | None, str | None, str | None],
    baselines: tuple[Sequence[Adapter] | None, Sequence[str] | None, Sequence[str] | None],
    labels: str | None,
) -> tuple[Adapter | Predictions, list[Adapter | Predictions]]:
    """The candidate and the baselines that a command line names, by options: adapters, paths of predictions, their identities.

    `labels` are "A,B". Baselines that are adapters come first. Raises LorasentError for options that do not fit together.
    """
    (adapter, path, identity), (adapters, paths, identities) = candidate, baselines
    paths, names = paths or (), [name.strip() for name in labels.split(",")] if labels else None
    if (adapter is None) == (path is None):
        raise LorasentError("expected one candidate: the path of an adapter, or predictions (--candidate-predictions)")
    if (identity and path is None) or len(identities or paths) != len(paths):
        raise LorasentError("expected one --candidate-identity, or --baseline-identity, for each option that names predictions")
    if names and path is None and not paths:
        raise LorasentError("--labels names the labels of predictions, and there are none: an adapter names its own")
    systems: Sequence[str | None] = identities or [None] * len(paths)
    bank: list[Adapter | Predictions] = [*(adapters or ())]
    bank += [Predictions(each, system, names) for each, system in zip(paths, systems, strict=True)]
    return cast("Adapter", adapter) if path is None else Predictions(path, identity, names), bank


class PredictedSubject:
    """What the gate asks of predictions. It and its methods raise PredictionsError for what cannot be judged."""

    def __init__(self, predictions: Predictions) -> None:
        self.name = str(predictions)
        self.paths = _paths(self.name)
        declared = [_declared(path) for path in self.paths]
        if any(each != declared[0] for each in declared):
            raise PredictionsError(f"{self.name}: its files declare different systems in {IDENTITY}: judge those of one")
        text, labels = declared[0]
        if not isinstance(predictions.identity, str | None):
            raise PredictionsError(f"{self.name}: identity: expected a text, found {shown(predictions.identity)}")
        option = (predictions.identity or "").strip()
        if text and option:
            raise PredictionsError(f"{self.name}: declares its system already ({shown(text)}): give no other identity")
        self.declared = shown(text or option, 500)
        """Which system made them, as it was declared."""
        if not self.declared:
            raise PredictionsError(
                f"{self.name}: which system made it is not declared: give an identity (--candidate-identity, --baseline-identity), "
                f'such as "sentiment API 2.1, asked on 1 May", or write {IDENTITY} into Parquet\'s metadata'
            )
        self.labels, named = labels, _names(predictions.labels or (), self.name)
        if not labels:
            self.labels = named
        elif named and {*map(folded, named)} != {*map(folded, labels)}:
            raise PredictionsError(f"{self.name}: declares the labels {some(labels, 10)}, other ones were given: {some(named, 10)}")
        self.order: Sequence[int] = range(len(self.labels))
        """Label l of `labels` is number order[l] in the files."""
        self._states = self._now()

    @functools.cached_property
    def identity(self) -> str:
        """The sha256 of all files, and of what was declared."""
        return hashlib.sha256("\n".join([self.declared, *map(files.sha256, self.paths)]).encode()).hexdigest()

    def use_labels(self, labels: Sequence[str]) -> None:
        """From now on answers in the order of these labels."""
        if not labels:
            raise PredictionsError(f"{self.name}: names no labels: give --labels, or labels in {IDENTITY} of Parquet's metadata")
        file_labels = [folded(label) for label in self.labels or labels]
        if sorted(file_labels) != sorted(map(folded, labels)):
            raise PredictionsError(
                f"{self.name}: its labels are {some(self.labels, 10)}, the other side's {some(labels, 10)}: they must be the same"
            )
        self.order = [file_labels.index(folded(label)) for label in labels]
        self.labels = tuple(labels)

    def answer(self, whole: Reviews, rows: NDArray[np.int64] | None = None) -> Answers:
        """The answers to the reviews at `rows` of a source, or to all. Each of its ids must have one prediction, and no other."""
        try:
            logits, forms = self._joined(whole)
        except DataError as error:
            raise PredictionsError(error) from None
        self._require_predicted(whole, forms)
        if self._now() != self._states:
            raise PredictionsError(f"{self.name}: changed while it was read: judge it again")
        taken = logits if rows is None else logits[rows]
        has_probabilities = all(form.has_probabilities for form in forms)
        return Answers(taken, np.zeros(0, dtype=np.int64), self.name, has_probabilities=has_probabilities)

    def _now(self) -> list[tuple[int, ...]]:
        """What changes when a file is replaced or written."""
        try:
            return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in map(os.stat, self.paths)]
        except OSError as error:
            raise PredictionsError(f"{self.name}: cannot be read: {error.strerror}") from None

    def _require_predicted(self, whole: Reviews, forms: Sequence[Form]) -> None:
        """Raises PredictionsError where a column of predicted labels is also that of the true ones: all would be right."""
        column = next((form.label for form in forms if form.label and form.label not in whole.columns), None)
        sources = {*map(os.path.realpath, glob.glob(whole.source) or [whole.source])}  # noqa: PTH207 - may be absolute
        if column and sources & {*map(os.path.realpath, self.paths)}:
            raise PredictionsError(
                f"{self.name}: its column {shown(column)} is read as the true labels, and as the predicted ones: name the true "
                "ones by label_column in [data]"
            )

    def _joined(self, whole: Reviews) -> tuple[NDArray[np.float32], list[Form]]:
        """The logits (N, L) of all N ids of a source, in its order, and the forms of the files."""
        ordered, order = ordered_keys(whole)
        if len(order) * len(self.labels) > LARGEST:
            raise PredictionsError(f"{self.name}: {len(order):,} ids by {len(self.labels):,} labels: more than {LARGEST:,} numbers")
        logits = np.zeros((len(order), len(self.labels)), dtype=np.float32)
        is_there, unknown, forms = np.zeros(len(order), dtype=np.bool_), list[str](), list[Form]()
        unknowns = 0
        with progress.stage(f"joining {len(order):,} predictions: {Path(self.name).name}", len(order)):
            for path in self.paths:
                for part in parts(path, self.labels, self.order, forms):
                    place = _places(ordered, part.keys)
                    is_known = ordered[place] == part.keys
                    if not is_known.all():
                        unknowns += int((~is_known).sum())
                        unknown = unknown or [part.ids[int(np.argmin(is_known))].as_py()]
                    rows = order[place[is_known]]
                    _require_first(is_there, rows, part, is_known, path)
                    is_there[rows] = True
                    logits[rows] = part.logits[is_known]
                    progress.advance(len(part.keys))
        self._require_same(whole, is_there, unknowns, unknown)
        return logits, forms

    def _require_same(self, whole: Reviews, is_there: NDArray[np.bool_], unknowns: int, unknown: Sequence[str]) -> None:
        """Raises PredictionsError unless the ids of predictions and of reviews are the same."""
        reasons = []
        if missing := int((~is_there).sum()):
            example = shown(id_of(whole, int(np.argmin(is_there))))
            reasons.append(f"{missing:,} of {len(is_there):,} ids of {whole.source} have no prediction, such as {example}")
        if unknowns:
            reasons.append(f"{unknowns:,} predictions are of no id of {whole.source}, such as {shown(unknown[0])}")
        if reasons:
            raise PredictionsError(f"{self.name}: {'; '.join(reasons)}")


def _places(ordered: Keys, found: Keys) -> NDArray[np.int64]:
    """Where each key would stand among the ordered ones; searched in their order, which visits memory in order, too."""
    by_size, places = np.argsort(found), np.empty(len(found), dtype=np.int64)
    places[by_size] = np.searchsorted(ordered, found[by_size])
    return np.minimum(places, len(ordered) - 1)


def _require_first(is_there: Flags, rows: NDArray[np.int64], part: Part, is_known: Flags, path: Path) -> None:
    """Raises PredictionsError where an id of a part was there before, in the part itself or in an earlier one."""
    again = is_there[rows]
    if not again.any():
        first = np.unique(rows, return_index=True)[1]
        again = np.ones(len(rows), dtype=np.bool_)
        again[first] = False
    if again.any():
        place = int(np.flatnonzero(is_known)[np.argmax(again)])
        raise PredictionsError(f"{path}, row {part.first + place}: a second prediction of {shown(part.ids[place].as_py())}")


def _paths(name: str) -> list[Path]:
    """The files of a path, a folder of Parquet files, or a pattern."""
    if "\0" in name or not name:
        raise PredictionsError(f"predictions: expected a path, found {shown(name) or 'an empty one'}")
    try:
        path = Path(name)
        if path.is_file():
            found = [path]
        else:
            pattern = str(Path(glob.escape(name)) / "*.parquet") if path.is_dir() else name
            found = [each for each in map(Path, sorted(glob.glob(pattern))) if each.is_file()]  # noqa: PTH207 - may be absolute
    except OSError as error:
        raise PredictionsError(f"{name}: cannot be read: {error.strerror}") from None
    if not found:
        raise PredictionsError(f"{name}: no such file of predictions, nor a folder with *.parquet files")
    if len(found) > MOST_FILES:
        raise PredictionsError(f"{name}: {len(found):,} files; at most {MOST_FILES:,} are read")
    return found


def _declared(path: Path) -> tuple[str, tuple[str, ...]]:
    """What a file declares of the system that made it, as a text, and its labels; nothing if it is no Parquet file."""
    if formats.format_of(path) != ".parquet":
        return "", ()
    import pyarrow.parquet as pq

    try:
        with reading(path, "not a readable Parquet file"):
            metadata = pq.read_metadata(path).metadata or {}
            content: bytes = metadata.get(IDENTITY.encode()) or metadata.get(BULK.encode(), b"")
    except (DataError, OSError) as error:
        raise PredictionsError(error) from None
    where = f"{path}: {IDENTITY} in its metadata"
    if len(content) > LARGEST_IDENTITY:
        raise PredictionsError(f"{where}: has {len(content):,} bytes; at most {LARGEST_IDENTITY:,} are read")
    text = content.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text, ()
    try:
        table = formats.parse_json(text, where)
    except DataError as error:
        raise PredictionsError(error) from None
    if "adapter" in table and "name" not in table:
        table["name"] = f"adapter {table.pop('adapter')}"
    if not isinstance(table.get("name"), str) or not table["name"].strip():
        raise PredictionsError(f'{where}: expected a JSON object with a "name", such as {{"name": "sentiment API 2.1"}}')
    return _text(table), _names(table.get("labels") or (), where)


def _text(table: Mapping[str, Any]) -> str:
    """A declared identity in words: its name, then what else is in it."""
    entries = [f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in sorted(table.items())]
    return ", ".join([table["name"], *(entry for entry in entries if entry.partition(":")[0] not in NOT_SHOWN)])


def _names(labels: Any, where: str) -> tuple[str, ...]:
    """Declared labels; none where nothing is declared."""
    try:
        return names_of(labels) if labels else ()
    except DataError as error:
        raise PredictionsError(f"{where}: {error}") from None
