"""Retrains: whether the further baselines differ from the first by the seed alone. Only then is their spread that of retraining."""

import contextlib
import hashlib
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate.finding import Finding, Outcome, not_asked
from lorasent.gate.integrity.recipe import ELSEWHERE, flat
from lorasent.scoring.evidence import Answers, LiveSubject, Subject
from lorasent.scoring.predictions import PredictedSubject
from lorasent.text import some

SAME_LOGITS = 1e-3
"""Largest difference between logits of one adapter, even on two machines. Logits of two retrains differ by more."""


def check(bank: Sequence[Subject | PredictedSubject], candidate: Subject | PredictedSubject) -> list[Finding]:
    """An INVALID finding for each further baseline that is not a retrain of the first, or repeats an adapter.

    A retrain has the same base, labels, reviews and recipe but for the seed, and other weights. The candidate may be the first
    baseline, but none of the others. Of predictions of another system only the hashes are known, which a finding says.
    """
    if len(bank) < 2:
        return []
    hashes, candidate_hashes = [_hashes(member) for member in bank], _hashes(candidate)
    incumbent, findings = _parts(bank[0]), list[Finding]()
    if predicted := [member.name for member in bank if isinstance(member, PredictedSubject)]:
        reason = f"whether {some(predicted)} are retrains, which differ in the seed alone, is declared and not verified"
        findings.append(not_asked("baseline::retrains", reason))
    for place, member in enumerate(bank[1:], 1):
        reasons = [difference for difference, part in _parts(member).items() if part != incumbent.get(difference, part)]
        reasons += [f"it is the same adapter as {bank[other].name}" for other in range(place) if hashes[other] & hashes[place]][:1]
        reasons += ["it is the candidate"] if candidate_hashes & hashes[place] else []
        if reasons:
            findings.append(_invalid(f"{member.name}: is not a retrain of {bank[0].name}: {', '.join(reasons)}"))
    return findings


def alike(names: Sequence[str], answers: Sequence[Answers]) -> list[Finding]:
    """An INVALID finding for each pair of adapters that answers alike, but for the candidate and the first of the bank."""
    return [
        _invalid(f"{names[later]}: is not a retrain: it answers all {len(answers[0].logits)} reviews as {names[first]} does")
        for first, later in combinations(range(len(answers)), 2)
        if (first, later) != (0, 1) and np.abs(answers[first].logits - answers[later].logits).max() < SAME_LOGITS
    ]


def _invalid(message: str) -> Finding:
    return Finding("baseline", Outcome.INVALID, "baseline", message, "give baselines that differ by their seed alone")


def _hashes(subject: Subject | PredictedSubject) -> set[str]:
    """Hashes of all files, of the weights' file, and of its tensors. Subjects with the same weights share at least one."""
    if isinstance(subject, PredictedSubject):
        return {subject.identity}
    hashes = {subject.identity, *filter(None, [subject.manifest.files.get(WEIGHTS)])}
    if isinstance(subject, LiveSubject):
        broken = SafetensorError, OSError, ValueError, TypeError, AttributeError  # the integrity checks report it
        with contextlib.suppress(*broken), safe_open(subject.snapshot.folder / WEIGHTS, framework="np") as file:
            tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - no mapping
            digests = sorted(hashlib.sha256(f"{each.dtype} {each.shape}".encode() + each.tobytes()).hexdigest() for each in tensors)
            hashes.add(hashlib.sha256("".join(digests).encode()).hexdigest())
    return hashes


def _parts(subject: Subject | PredictedSubject) -> dict[str, Any]:
    """The parts of a manifest in which retrains are equal, by a message's words for a difference; none of predictions.

    The recipe is without the keys that other checks compare, and without the source of its reviews.
    """
    if isinstance(subject, PredictedSubject):
        return {}
    manifest = subject.manifest
    tables = {"lora": manifest.peft, "encoding": manifest.content.get("encoding")} if manifest.tables is None else manifest.tables
    recipe = flat({table: keys for table, keys in tables.items() if isinstance(keys, dict)})
    splits = [manifest.data.get(split) for split in ("train", "validation")]
    return {
        "another base": manifest.base.sha256,
        "other labels": manifest.labels,
        "another recipe": {key: recipe[key] for key in recipe if key not in ELSEWHERE and not key.startswith("data.")},
        "other reviews": [split and split.sha256 for split in splits],
    }
