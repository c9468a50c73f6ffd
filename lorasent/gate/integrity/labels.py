"""integrity::labels: the manifest, its recipe and the baseline name the same labels in the same order."""

from lorasent.adapter.manifest import MANIFEST
from lorasent.gate.integrity.comparison import Comparison, Passed, Side
from lorasent.text import some

MOST_NAMED = 10
"""Number of labels that a message names."""


def sides(comparison: Comparison) -> tuple[Side, Side]:
    """Both: a recorded baseline has a manifest, too."""
    return comparison.candidate, comparison.baseline


def inspect(side: Side) -> None:
    """Raises the fault of labels that are not those of the manifest's recipe."""
    if not side.is_trained:
        return
    labels, trained = side.manifest.labels, list(side.recipe.base.labels)
    if labels != trained:
        message = f"labels are {some(labels, MOST_NAMED)}, its recipe trained {some(trained, MOST_NAMED)}"
        raise side.fault("labels", message, file=MANIFEST)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of labels that are not the baseline's, in its order."""
    labels, required = (side.manifest.labels for side in sides(comparison))
    names = some(labels, MOST_NAMED)
    if labels != required:
        how = "in another order" if sorted(labels) == sorted(required) else "other labels"
        message = f"labels are {names}, the baseline's are {some(required, MOST_NAMED)}: {how}"
        advice = "train the candidate with the baseline's base.labels"
        raise comparison.candidate.fault("labels", message, advice, file=MANIFEST)
    return Passed(f"labels {names}")
