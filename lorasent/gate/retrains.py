"""Whether a bank is one: its members are retrains of the first, which differ by their seed alone, or their spread says nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lorasent.evidence import Subject
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity import ELSEWHERE, flat

ADVICE = "give baselines that differ by their seed alone"


def check(bank: Sequence[Subject]) -> list[Finding]:
    """A finding, INVALID, for each baseline behind the first that is no retrain of it, or stands there already.

    A retrain has the same base, labels, reviews and recipe, but for the seed.
    """
    findings: list[Finding] = []
    for place, member in enumerate(bank[1:], 1):
        apart = [name for name, what in DIFFERENCES.items() if what(member.manifest) != what(bank[0].manifest)]
        apart += [f"it is {other.name} over again" for other in bank[:place] if other.identity == member.identity][:1]
        if apart:
            message = f"{member.name}: is no retrain of {bank[0].name}: {', '.join(apart)}"
            findings.append(Finding("baseline", Outcome.INVALID, "baseline", message, ADVICE))
    return findings


def _recipe(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without what others judge and where its reviews lay."""
    tables = {table: keys for table, keys in manifest["recipe"].items() if isinstance(keys, dict)}
    return {key: value for key, value in flat(tables).items() if key not in ELSEWHERE and not key.startswith("data.")}


def _reviews(manifest: Mapping[str, Any]) -> list[Any]:
    data = manifest.get("data", {})
    return [data.get(split, {}).get("sha256") for split in ("train", "validation")]


DIFFERENCES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "another base": lambda manifest: manifest["base"].get("sha256"),
    "other labels": lambda manifest: list(manifest["labels"]),
    "another recipe": _recipe,
    "other reviews": _reviews,
}
"""What tells two adapters apart, by its name in messages."""
