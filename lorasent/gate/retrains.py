"""Whether a bank is one: its members are retrains of the first, which differ by their seed alone, or their spread says nothing."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from lorasent.adapter.manifest import WEIGHTS, Manifest
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity.recipe import ELSEWHERE, flat
from lorasent.scoring.evidence import Answers, LiveSubject, Subject

ADVICE = "give baselines that differ by their seed alone"


APART = 1e-3
"""Two retrains' logits differ by more somewhere; those of one adapter, on two machines, by less."""


def check(bank: Sequence[Subject], candidate: Subject | None = None) -> list[Finding]:
    """A finding, INVALID, for each baseline behind the first that is no retrain of it, stands there already, or is the candidate.

    A retrain has the same base, labels, reviews and recipe, but for the seed, and other weights. The candidate may be the first.
    """
    if len(bank) == 1:
        return []
    marks = [_marks(member) for member in bank]
    own = _marks(candidate) if candidate is not None else set()
    findings: list[Finding] = []
    for place, member in enumerate(bank[1:], 1):
        apart = [name for name, what in DIFFERENCES.items() if what(member.manifest) != what(bank[0].manifest)]
        apart += [f"it is {bank[other].name} over again" for other in range(place) if marks[other] & marks[place]][:1]
        apart += ["it is the candidate"] if own & marks[place] else []
        if apart:
            findings.append(_invalid(f"{member.name}: is no retrain of {bank[0].name}: {', '.join(apart)}"))
    return findings


def alike(names: Sequence[str], answers: Sequence[Answers]) -> list[Finding]:
    """A finding, INVALID, for each two of candidate and bank, in this order, that answer alike: one adapter in two guises.

    The candidate may be the first of the bank.
    """
    return [
        _invalid(f"{names[later]}: is no retrain: it answers all {len(answers[0].logits)} reviews as {names[first]} does")
        for first, later in combinations(range(len(answers)), 2)
        if (first, later) != (0, 1) and np.abs(answers[first].logits - answers[later].logits).max() < APART
    ]


def _invalid(message: str) -> Finding:
    return Finding("baseline", Outcome.INVALID, "baseline", message, ADVICE)


def _marks(subject: Subject) -> set[str]:
    """Hashes that two subjects of the same weights share: of all files, of the weights' file, and of its numbers without names."""
    marks = {subject.identity, *filter(None, [subject.manifest.files.get(WEIGHTS)])}
    if isinstance(subject, LiveSubject):
        try:
            with safe_open(subject.snapshot.folder / WEIGHTS, framework="np") as file:
                tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, TypeError, AttributeError):
            return marks  # which others say
        marks.add(_digest(sorted(_digest([f"{one.dtype} {one.shape}".encode(), one.tobytes()]).encode() for one in tensors)))
    return marks


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _recipe(manifest: Manifest) -> dict[str, Any]:
    """Without what others judge and where its reviews lay."""
    tables = {table: keys for table, keys in manifest.tables.items() if isinstance(keys, dict)}
    return {key: value for key, value in flat(tables).items() if key not in ELSEWHERE and not key.startswith("data.")}


def _reviews(manifest: Manifest) -> list[str | None]:
    splits = [manifest.data.get(split) for split in ("train", "validation")]
    return [split.sha256 if split else None for split in splits]


DIFFERENCES: Mapping[str, Callable[[Manifest], Any]] = {
    "another base": lambda manifest: manifest.base.sha256,
    "other labels": lambda manifest: manifest.labels,
    "another recipe": _recipe,
    "other reviews": _reviews,
}
"""What tells two adapters apart, by its name in messages."""
