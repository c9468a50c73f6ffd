"""adapter x texts -> logits, cached by content: the same question is never computed twice.

A subject is what can be asked: an adapter's directory, which answers any texts, or a file that `lorasent record` wrote, which
answers the texts that it was recorded on, also where its adapter, its machine or its libraries are gone. Answers live in the
cache folder under the hash of everything that they follow from. Asking for what is cached does not import torch.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lorasent import files, hub, machine
from lorasent.adapter import manifest, snapshot
from lorasent.adapter.base import find
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError, AnswersError, BaseModelError, EvidenceError, foreign
from lorasent.text import shown

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Precision, Scorer

SCHEMA = "3"
"""Another one wherever the same question would be answered in other bits."""

CACHE_VARIABLE = "LORASENT_CACHE"
"""Environment variable with the cache folder; empty: nothing is cached."""


@dataclass(frozen=True)
class Answers:
    """What a subject answers to N texts: `logits` (N, L) in float32, `lengths` (N,) in tokens before anything is cut.

    Raises AnswersError where logits are not finite: the largest of them would be the first label, whatever was asked.
    """

    logits: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def __post_init__(self) -> None:
        if count := int((~np.isfinite(self.logits).all(axis=1)).sum()):
            raise AnswersError(f"answers to {count} of {len(self.logits)} texts are not finite numbers")


def _named(subject: "Subject", logits: NDArray[np.float32], lengths: NDArray[np.int64]) -> Answers:
    """A subject's answers. Raises AnswersError that names it."""
    try:
        return Answers(logits, lengths)
    except AnswersError as error:
        named = AnswersError(f"{subject.name}: {error}")
        named.subject = subject.name
        raise named from None


class LiveSubject:
    """An adapter's directory. Its model is loaded, and proved by its manifest, when a question is not in the cache."""

    def __init__(self, path: Path | Snapshot, precision: "Precision" = "fp32") -> None:
        self.snapshot = snapshot.of(path)
        self.path = self.snapshot.path
        self.name = str(self.path)
        self.precision: Precision = precision
        with foreign(lambda reason: AdapterError(f"{self.path}: no manifest that can be read: {reason}")):
            self.manifest: Mapping[str, Any] = manifest.read(self.snapshot)
            self.identity = manifest.identity(self.snapshot)
        self.labels = tuple(self.manifest["labels"])
        self.libraries: Mapping[str, str] = machine.libraries()

    def at(self, precision: "Precision") -> "LiveSubject":
        """The same adapter, answering in this precision."""
        return LiveSubject(self.snapshot, precision)

    @functools.cached_property
    def scorer(self) -> "Scorer":
        """The adapter in memory. What it answers to a text does not depend on the texts beside it."""
        from lorasent.scoring.scorer import load

        return load(self.snapshot, self.precision, invariant=True)

    @functools.cached_property
    def quick(self) -> "Scorer":
        """The same as its users load it, whose time is theirs: keeping neighbours apart costs rows that hold no token."""
        from lorasent.scoring.scorer import Scorer

        return Scorer(self.scorer.model, self.scorer.encoder, self.labels, self.precision)

    def answer(self, texts: Sequence[str]) -> Answers:
        """The answers to `texts`, in their order, out of the cache where they are."""
        # What "auto" is depends on the machine, and machines may share a cache.
        precision = f"auto: {machine.bf16()}" if self.precision == "auto" else self.precision
        asked = {"texts": texts_sha256(texts), "precision": precision, **self._who}
        path, shapes = cached(asked), {"logits": (len(texts), len(self.labels)), "lengths": (len(texts),)}
        if (known := _known(path, asked)) is not None and {name: one.shape for name, one in known[0].items()} == shapes:
            return _named(self, known[0]["logits"].astype(np.float32), known[0]["lengths"].astype(np.int64))
        answers = _named(self, self.scorer.logits(texts), self.scorer.encoder.lengths(texts))
        _keep(path, {"logits": answers.logits, "lengths": answers.lengths}, asked)
        return answers

    def remember(self, name: str, compute: Any) -> Any:
        """What `compute` says (JSON) of this adapter under these libraries, out of the cache where it is."""
        asked = {"fact": name, **self._who}
        path = cached(asked)
        if (known := _known(path, asked)) is not None:
            with contextlib.suppress(KeyError, ValueError):
                return json.loads(known[1]["answer"])
        fact = compute()
        _keep(path, {"nothing": np.zeros(0)}, {**asked, "answer": json.dumps(fact)})
        return fact

    @property
    def _who(self) -> dict[str, Any]:
        """What an answer follows from beside the question: the base's weights are pinned, its other files may be edited."""
        pinned, edited = self.manifest["base"], {}
        with contextlib.suppress(BaseModelError), hub.offline():  # whoever needs the base says that it is not here
            base = find(pinned["name"], pinned["revision"], pinned["sha256"], self.path.absolute().parent)
            edited = {"base": base.content}
        return {"identity": self.identity, "libraries": self.libraries, **edited}


class RecordedSubject:
    """A file of recorded answers, held as a whole to what `record` writes when it is opened. Raises EvidenceError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.tensors, said = _read(path)
        try:
            self.identity: str = said["identity"]
            self.labels: tuple[str, ...] = tuple(json.loads(said["labels"]))
            self.manifest: Mapping[str, Any] = dict(json.loads(said["manifest"]))
            self.libraries: Mapping[str, str] = dict(json.loads(said["libraries"]))
            self.precision: str = said["precision"]
            whole = self._is_whole()
        except (KeyError, ValueError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise EvidenceError(f"{path}: not recorded evidence; lorasent record writes it")
        for name in self.tensors:
            self._check(name.partition(".")[0])

    def _is_whole(self) -> bool:
        """Whether what stands beside the answers is what an adapter says of itself."""
        tables = (self.manifest.get("recipe"), self.manifest.get("base"))
        names = [*self.labels, *self.libraries, *self.libraries.values()]
        return (
            all(isinstance(table, dict) for table in tables)
            and all(isinstance(name, str) for name in names)
            and len(self.labels) == len(set(self.labels)) > 1
            and self.manifest.get("labels") == list(self.labels)
        )

    def _check(self, key: str) -> None:
        """Raises EvidenceError unless the answers to one list of texts, by its hash, are logits for each label and lengths."""
        logits, lengths = (self.tensors.get(f"{key}.{part}") for part in ("logits", "lengths"))
        where = f"{self.path}: recorded answers {shown(key, 12)}"
        if logits is None or lengths is None or not HASH.fullmatch(key):
            raise EvidenceError(f"{where}: expected logits and lengths under the texts' hash; record it anew (lorasent record)")
        found, needed = (
            f"{kinds[0]} {shapes[0]} and {kinds[1]} {shapes[1]}"
            for kinds, shapes in (
                ((logits.dtype, lengths.dtype), (logits.shape, lengths.shape)),
                (("float32", "int64"), ((lengths.size, len(self.labels)), (lengths.size,))),
            )
        )
        if found != needed:
            raise EvidenceError(f"{where}: logits and lengths are {found}, required are {needed}; record it anew (lorasent record)")
        if not np.isfinite(logits).all() or (lengths < 0).any():
            raise EvidenceError(f"{where}: hold logits that are not finite, or lengths below 0; record it anew (lorasent record)")

    def answer(self, texts: Sequence[str]) -> Answers:
        """The recorded answers to `texts`. Raises EvidenceError if they were not recorded."""
        key = texts_sha256(texts)
        if f"{key}.logits" not in self.tensors:
            raise EvidenceError(
                f"{self.path}: holds no answers to these {len(texts)} texts: record it anew, on the policy's data (lorasent record)"
            )
        if len(self.tensors[f"{key}.lengths"]) != len(texts):
            held = len(self.tensors[f"{key}.lengths"])
            raise EvidenceError(f"{self.path}: holds {held} answers to these {len(texts)} texts: record it anew (lorasent record)")
        return _named(self, self.tensors[f"{key}.logits"], self.tensors[f"{key}.lengths"])


HASH = re.compile("[0-9a-f]{64}")

Subject = LiveSubject | RecordedSubject
"""Whom the gate asks. `identity` is a hash of everything that its answers follow from."""


def subject(path: str | Path, precision: "Precision" = "fp32") -> Subject:
    """The subject at a path: an adapter's directory, or a file of evidence, recorded in that precision or EvidenceError."""
    path = Path(path)
    if not path.is_file():
        return LiveSubject(path, precision)
    found = RecordedSubject(path)
    if found.precision != precision:
        raise EvidenceError(
            f"{path}: was recorded in precision {found.precision}, {precision} is asked for: record it anew (lorasent record), or "
            f"say data.precision = {found.precision!r} in the policy"
        )
    return found


def record(live: LiveSubject, questions: Sequence[Sequence[str]], out: Path) -> None:
    """Writes a subject's answers to lists of texts, with what they were made by, to a file that serves as a baseline elsewhere.

    Raises AnswersError, and writes nothing, where an answer is not finite.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for texts in questions:
        answers, key = live.answer(texts), texts_sha256(texts)
        tensors |= {f"{key}.logits": answers.logits, f"{key}.lengths": answers.lengths}
    said = {
        "identity": live.identity,
        "labels": list(live.labels),
        "manifest": live.manifest,
        "precision": live.precision,
        "libraries": live.libraries,
        "machine": machine.features(),
    }
    _write(out, tensors, said)


def texts_sha256(texts: Sequence[str]) -> str:
    """The sha256 of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text).encode())
    return digest.hexdigest()


def cached(question: Mapping[str, Any]) -> Path | None:
    """Where the answer to a question lies or will lie, or None where nothing is cached: not wanted, or no home to be found."""
    named = os.environ.get(CACHE_VARIABLE, str(Path("~", ".cache", "lorasent")))
    try:
        folder = Path(named).expanduser()
    except RuntimeError:
        return None
    if not named:
        return None
    key = hashlib.sha256(files.canonical({"schema": SCHEMA, **question}).encode()).hexdigest()
    return folder / "evidence" / key[:2] / f"{key}.safetensors"


def _known(path: Path | None, question: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, str]] | None:
    """What the cache holds there, if that answers the question; anything else is none, and is written anew."""
    try:
        if path is None or not path.is_file():
            return None
        tensors, said = _read(path)
    except (EvidenceError, OSError):
        return None
    return (tensors, said) if _written(question).items() <= said.items() else None


def _keep(path: Path | None, tensors: Mapping[str, NDArray[Any]], said: Mapping[str, Any]) -> None:
    """Puts an answer into the cache, if that can be written: a verdict does not hang on it."""
    if path is not None:
        with contextlib.suppress(OSError):
            if not path.is_file():
                path.unlink(missing_ok=True)  # a FIFO would be written in place, and wait for its reader
            _write(path, tensors, said)


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        # NumPy lacks some of the types that such a file may hold, and some shapes.
        raise EvidenceError(f"{path}: not evidence that can be read: {error}") from None


def _write(path: Path, tensors: Mapping[str, NDArray[Any]], said: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, [save(dict(tensors), _written(said))])


def _written(said: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in said.items()}
