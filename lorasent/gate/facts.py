"""Adapters and reviews -> the facts that a policy for them is made of.

Nothing is scored. Only an adapter without a manifest is loaded, as the gate does to adopt it; nothing else imports torch.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lorasent.augmentation.english import is_foreign
from lorasent.data.labels import are_poles
from lorasent.data.reviews import Reviews, label_names
from lorasent.data.slices import cut
from lorasent.errors import DataError
from lorasent.gate.context import Source, read_source
from lorasent.gate.integrity import encoding, recipe, tensors
from lorasent.gate.integrity.comparison import Comparison, Fault, Side, find_base
from lorasent.gate.quality import SMALLEST_SLICE
from lorasent.gate.sections import Data, Integrity
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject, RecordedSubject, Subject
from lorasent.text import shown, some

EMBEDDED = "embedded:test"
"""The source of reviews where none is given."""

MOST_VALUES = 20
"""Largest number of values of a column that slices reviews. Columns of more hold texts, dates or ids."""

TOKENS_OF_WORD, TOKENS_OF_CHARACTER = 4 / 3, 1 / 4
"""Rough numbers of tokens, in English."""


@dataclass(frozen=True)
class Facts:
    """What a policy is made of. Names in it may be a stranger's."""

    data: Data
    counts: Mapping[str, int]
    """Distinct reviews by label."""
    labels_of: str
    """Whose labels these are."""
    slices: tuple[str, ...] = ()
    """Columns of the reviews, and "length" and "truncated", of which two values or more have enough reviews."""
    english: bool = True
    truncation_side: str | None = None
    """The baseline's; None without a baseline."""
    is_proven: bool | None = None
    """Whether the manifest of every adapter says what its trainer's memory answered; None without adapters."""
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """The baseline's value and the candidate's by the entry of may_change that would allow them to differ."""
    remarks: tuple[str, ...] = ()
    """What else a user should know, in sentences."""

    @property
    def reviews(self) -> int:
        """The number of distinct reviews."""
        return sum(self.counts.values())


def look(candidate: Path | None, baseline: Path | None, data: str | None, folder: Path, **columns: Any) -> Facts:
    """The facts for a policy in `folder`; `columns` are keys of its [data]. Raises LorasentError for what cannot be judged by."""
    given = {role: _subject(role, path) for role, path in (("baseline", baseline), ("candidate", candidate)) if path is not None}
    labels_of, labels = next(((f"the {role}'s", each.labels) for role, each in given.items()), ("of the data", ()))
    differences: dict[str, tuple[Any, Any]] = {}
    remarks = [*_remarks(given), *dict.fromkeys(_compare(given, differences))]
    if data is None:
        data = _embedded(labels)
        remarks.append(f"no --data was given: the reviews are {EMBEDDED}, of films, in English, which come with lorasent")
    if not labels:
        labels = label_names(data, columns.get("label_column"))
        remarks += ["labels are ids there: give --baseline, which names them"] if labels[0] == "label 0" else []
    source = read_source(Data(test=data, **columns), labels)
    _require_unseen(source, given)
    record = given.get("baseline")
    recorded: dict[str, Any] = {"precision": record.precision} if isinstance(record, RecordedSubject) else {}
    encodings = [each.manifest.encoding for each in given.values()]
    return Facts(
        data=Data(test=_seen_from(folder, data), **columns, **recorded),
        counts=source.reviews.counts(labels),
        labels_of=labels_of,
        slices=tuple(_slices(source.reviews, (encodings[0] if encodings else Recipe.read().encoding).max_length)),
        english=not is_foreign(source.reviews.texts),
        truncation_side=given["baseline"].manifest.encoding.truncation_side if baseline is not None else None,
        is_proven=all(each.manifest.origin != "adopted" for each in given.values()) if given else None,
        differences=differences,
        remarks=tuple(remarks),
    )


def _subject(role: str, path: Path) -> Subject:
    """The adapter at a path, or the baseline's record. One without a manifest is adopted in memory. Raises LorasentError."""
    return RecordedSubject(path) if role == "baseline" and path.is_file() else LiveSubject(path)


def _remarks(given: Mapping[str, Subject]) -> Iterator[str]:
    """Adapters whose training is not known, and labels that differ."""
    for each in given.values():
        if each.manifest.origin == "adopted":
            yield f"{shown(each.name)} was not sealed by its trainer, so what it answered then is not known"
    baseline, candidate = (given[role].labels if role in given else () for role in ("baseline", "candidate"))
    if baseline and candidate and baseline != candidate:
        yield f"the candidate will be blocked: its labels are {some(candidate, 10)}, the baseline's {some(baseline, 10)}"


def _compare(given: Mapping[str, Subject], differences: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    """Adds to `differences` those of two adapters; yields why they cannot be compared."""
    candidate, baseline = (given.get(role) for role in ("candidate", "baseline"))
    if candidate is None or baseline is None:
        return
    sides = Side(candidate, baseline=False, find_base=find_base), Side(baseline, baseline=True, find_base=find_base)
    old, new = (f"{base.name} {base.sha256[:12]}" for base in (baseline.manifest.base, candidate.manifest.base))
    for check in (encoding, tensors, recipe):
        try:
            if not Comparison(*sides, Integrity()).same_base:
                differences["base.model"] = (old, new)
            while True:  # a check tells some differences at a time, and the next if those are allowed
                try:
                    check.compare(Comparison(*sides, Integrity.model_construct(may_change=tuple(differences))))
                    break
                except Fault as fault:
                    if not (more := fault.figures.get("differences")):
                        raise
                    differences |= more
        except Fault as fault:
            yield fault.message


def _embedded(labels: Sequence[str]) -> str:
    """The embedded reviews' source. Raises DataError where labels are no poles."""
    if labels and not are_poles(labels):
        raise DataError(
            f"init needs --data: the labels are {some(labels, 10)}, those of the embedded reviews Negative and Positive: "
            "give a source of labelled reviews"
        )
    return EMBEDDED


def _require_unseen(source: Source, given: Mapping[str, Subject]) -> None:
    """Raises DataError for reviews that trained one of the adapters: a verdict on them is INVALID."""
    for each in given.values():
        if "train" in {each.manifest.trained_on(reviews) for reviews in (source.whole, source.reviews)}:
            raise DataError(
                f"{source.whole.source}: these reviews trained {each.name}, so no verdict can rest on them; give others"
            )


def _seen_from(folder: Path, source: str) -> str:
    """A source as a policy in `folder` names it: the path of a file or folder from there, anything else as it is."""
    name, colon, split = (source, "", "") if os.path.exists(source) else source.rpartition(":")  # noqa: PTH110 - as in Policy.read
    if os.path.isabs(name) or not os.path.exists(name):  # noqa: PTH110, PTH117
        return source
    return f"{os.path.relpath(name, folder)}{colon}{split}"


def _slices(reviews: Reviews, max_length: int) -> Iterator[str]:
    """The columns that slice reviews, with "length" and "truncated"."""
    lengths = np.array([max(TOKENS_OF_WORD * len(text.split()), TOKENS_OF_CHARACTER * len(text)) for text in reviews.texts])
    columns = [name for name in reviews.columns if name not in ("length", "truncated") and shown(name) == name]
    for column in ("length", "truncated", *columns):
        values = cut(column, reviews, lengths, max_length)
        if len(values) <= MOST_VALUES and sum(len(rows) >= SMALLEST_SLICE for rows in values.values()) > 1:
            yield column
