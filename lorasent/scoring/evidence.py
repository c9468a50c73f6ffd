"""A subject's answers to texts: logits and lengths. Cached and recorded answers are found without importing torch."""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lorasent import devices, hub, machine
from lorasent.adapter import manifest, snapshot
from lorasent.adapter.base import find
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError, AnswersError, BaseModelError, EvidenceError, foreign
from lorasent.scoring import cache, progress
from lorasent.text import shown

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Precision, Scorer


@dataclass(frozen=True)
class Answers:
    """A subject's answers to N texts: `logits` (N, L) in float32, `lengths` (N,) in tokens before truncation.

    Of predictions of another system, whose tokens are not known, `lengths` is empty; of predicted labels alone, the logits' softmax
    is no probability.
    Raises AnswersError, which names the subject, where logits are not finite: argmax would take them for an answer.
    """

    logits: NDArray[np.float32]
    lengths: NDArray[np.int64]
    subject: InitVar[str] = "a subject"
    has_probabilities: bool = True

    def __post_init__(self, subject: str) -> None:
        if count := int((~np.isfinite(self.logits).all(axis=1)).sum()):
            error = AnswersError(f"{subject}: answers to {count} of {len(self.logits)} texts are not finite numbers")
            error.subject = subject
            raise error


class LiveSubject:
    """An adapter's directory: it answers any texts. Its model is loaded, and verified, when an answer is not in the cache.

    An adapter without a manifest is adopted in memory, unless `adopt` is off: then it is an AdapterError.
    """

    def __init__(self, path: Path | Snapshot, precision: "Precision" = "fp32", device: str = "auto", *, adopt: bool = True) -> None:
        self.snapshot = snapshot.of(path)
        if adopt and self.snapshot.is_bare:
            from lorasent.adapter.sealing import adopted

            try:
                self.snapshot = adopted(self.snapshot)
            except AdapterError as error:
                error.cause = error.cause or "not-adopted"
                raise
        self.path = self.snapshot.path
        self.name = str(self.path)
        self.precision: Precision = precision
        self.device = devices.resolve(device)
        with foreign(lambda reason: AdapterError(f"{self.path}: no manifest that can be read: {reason}")):
            self.manifest = manifest.read(self.snapshot)
            self.identity = manifest.identity(self.snapshot)
        self.labels = tuple(self.manifest.labels)
        self.libraries: Mapping[str, str] = machine.libraries()

    def at(self, precision: "Precision") -> "LiveSubject":
        """The same adapter, answering in this precision."""
        return LiveSubject(self.snapshot, precision, self.device)

    @functools.cached_property
    def made_on(self) -> str:
        """The kind of device and the number format of the answers, such as "cuda, bf16"."""
        return f"{devices.kind(self.device)}, {self._number_format if self.precision == 'auto' else self.precision}"

    @functools.cached_property
    def scorer(self) -> "Scorer":
        """The adapter in memory. Its answer to a text does not depend on the texts beside it."""
        from lorasent.scoring.scorer import load

        with progress.stage(f"loading {self.path.name}"):
            return load(self.snapshot, self.precision, device=self.device, invariant=True)

    @functools.cached_property
    def quick(self) -> "Scorer":
        """The adapter as users load it, to measure their latency: invariant answers take longer."""
        from lorasent.scoring.scorer import Scorer

        return Scorer(self.scorer.model, self.scorer.encoder, self.labels, self.precision)

    def answer(self, texts: Sequence[str]) -> Answers:
        """The answers to `texts`, in their order; from the cache if they are there."""
        # What "auto" means depends on the machine, and machines may share a cache.
        meaning = machine.bf16() if self.device == "cpu" else self._number_format
        precision = f"auto: {meaning}" if self.precision == "auto" else self.precision
        question = {"texts": texts_sha256(texts), "precision": precision, **self._origin}
        shapes = {"logits": (len(texts), len(self.labels)), "lengths": (len(texts),)}
        arrays, _ = cache.find(question) or ({}, {})
        if {name: array.shape for name, array in arrays.items()} == shapes:
            return Answers(arrays["logits"].astype(np.float32), arrays["lengths"].astype(np.int64), self.name)
        scorer = self.scorer
        with progress.stage(f"answering {len(texts):,} texts: {self.path.name}", len(texts)):
            answers = Answers(scorer.logits(texts), scorer.encoder.lengths(texts), self.name)
        cache.keep(question, {"logits": answers.logits, "lengths": answers.lengths})
        return answers

    def remember(self, name: str, compute: Any) -> Any:
        """The result of `compute` (JSON), which depends on this adapter and these libraries; from the cache if it is there."""
        question = {"fact": name, **self._origin}
        if cached := cache.find(question):
            with contextlib.suppress(KeyError, ValueError):
                return json.loads(cached[1]["answer"])
        fact = compute()
        cache.keep(question, {"nothing": np.zeros(0)}, answer=json.dumps(fact))
        return fact

    @property
    def _origin(self) -> dict[str, Any]:
        """What an answer depends on beside the question; the base's files, because the manifest pins only its weights."""
        pinned, edited = self.manifest.base, {}
        if self.manifest.is_model:  # its own files are its base
            return {"identity": self.identity, "libraries": self.libraries}
        with contextlib.suppress(BaseModelError), hub.offline():  # a missing base is an error where it is needed
            base = find(pinned.name, pinned.revision, pinned.sha256, self.path.absolute().parent)
            edited = {"base": base.content}
        elsewhere = {} if self.device == "cpu" else {"device": devices.kind(self.device)}
        return {"identity": self.identity, "libraries": self.libraries, **edited, **elsewhere}

    @property
    def _number_format(self) -> str:
        """What the precision means on the device."""
        import torch

        from lorasent.scoring.scorer import number_format

        return number_format(self.precision, torch.device(self.device))


class RecordedSubject:
    """A file of recorded answers, which needs no adapter; all of it is checked when it is opened. Raises EvidenceError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.tensors, metadata = cache.read(path)
        try:
            self.identity: str = metadata["identity"]
            self.labels: tuple[str, ...] = tuple(json.loads(metadata["labels"]))
            self.manifest = manifest.Manifest.parse(json.loads(metadata["manifest"]), path)
            self.libraries: Mapping[str, str] = dict(json.loads(metadata["libraries"]))
            self.precision: str = metadata["precision"]
            self.made_on: str = shown(metadata.get("made_on", f"cpu, {self.precision}"))  # older records: on the CPU
            valid = (
                self.manifest.labels == list(self.labels)
                and len(set(self.labels)) == len(self.labels)
                and all(isinstance(part, str) for library in self.libraries.items() for part in library)
            )
        except (KeyError, ValueError, TypeError, RecursionError, AdapterError):
            valid = False
        if not valid:
            raise EvidenceError(f"{path}: not recorded evidence; lorasent record writes it")
        for name in self.tensors:
            self._check(name.partition(".")[0])

    def _check(self, key: str) -> None:
        """Raises EvidenceError unless the answers under this hash are finite logits for each label, and lengths."""
        logits, lengths = (self.tensors.get(f"{key}.{part}") for part in ("logits", "lengths"))
        if not (
            re.fullmatch("[0-9a-f]{64}", key)
            and (logits is not None and logits.dtype == np.float32 and np.isfinite(logits).all())
            and (lengths is not None and lengths.dtype == np.int64 and (lengths >= 0).all())
            and (lengths.ndim == 1 and logits.shape == (len(lengths), len(self.labels)))
        ):
            raise EvidenceError(
                f"{self.path}: recorded answers {shown(key, 12)}: expected float32 logits (N, {len(self.labels)}), all "
                "finite, and int64 lengths (N,), under the sha256 of N texts; record it again (lorasent record)"
            )

    def answer(self, texts: Sequence[str]) -> Answers:
        """The recorded answers to `texts`. Raises EvidenceError if they were not recorded."""
        key = texts_sha256(texts)
        logits, lengths = (self.tensors.get(f"{key}.{part}") for part in ("logits", "lengths"))
        if logits is None or lengths is None or len(lengths) != len(texts):
            message = f"holds no answers to these {len(texts)} texts: record it again, on the policy's data (lorasent record)"
            raise EvidenceError(f"{self.path}: {message}")
        return Answers(logits, lengths, self.name)


Subject = LiveSubject | RecordedSubject
"""What the gate asks for answers. `identity` is a hash of everything that its answers depend on."""


def subject(path: str | Path, precision: "Precision" = "fp32") -> Subject:
    """The subject at a path: an adapter's directory, or recorded evidence. Raises EvidenceError for evidence in other precision."""
    path = Path(path)
    if not path.is_file():
        return LiveSubject(path, precision)
    recorded = RecordedSubject(path)
    if recorded.precision != precision:
        was = shown(recorded.precision)
        raise EvidenceError(
            f"{path}: recorded in precision {was}, but precision {precision} is required: record it again (lorasent record), or "
            f"set data.precision = '{was}' in the policy"
        )
    return recorded


def record(
    live: LiveSubject, questions: Sequence[Sequence[str]], out: Path, answered: Sequence[Answers] = (), made_on: str | None = None
) -> None:
    """Writes a subject's answers to lists of texts to a file, or raises AnswersError where an answer is not finite.

    `answered` are its answers where an engine has them already, and `made_on` says on what kind of device it made them.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for texts, answers in zip(questions, answered or map(live.answer, questions), strict=True):
        key = texts_sha256(texts)
        tensors |= {f"{key}.logits": answers.logits, f"{key}.lengths": answers.lengths}
    metadata = {
        "identity": live.identity,
        "labels": list(live.labels),
        "manifest": live.manifest.content,
        "precision": live.precision,
        "made_on": made_on or live.made_on,
        "libraries": live.libraries,
        "machine": machine.features(),
    }
    cache.write(out, tensors, metadata)


def texts_sha256(texts: Sequence[str]) -> str:
    """The sha256 of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text).encode())
    return digest.hexdigest()
