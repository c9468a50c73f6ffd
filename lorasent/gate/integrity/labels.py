"""integrity::labels: the manifest, its recipe and the baseline name the same labels in the same order."""

from collections.abc import Iterable

from lorasent.adapter.manifest import MANIFEST
from lorasent.gate.integrity.comparison import Comparison, Passed
from lorasent.gate.integrity.side import Side, shortened

MOST_NAMED = 10
"""Number of labels that a message names."""


def sides(comparison: Comparison) -> Iterable[Side]:
    """Both: a recorded baseline has a manifest, too."""
    return comparison.candidate, comparison.baseline


def inspect(side: Side) -> None:
    """Raises the fault of labels that are not those of the manifest's recipe."""
    labels, trained = tuple(side.manifest.labels), side.recipe.base.labels
    if labels != trained:
        message = f"labels are {shortened(labels, MOST_NAMED)}, its recipe trained {shortened(trained, MOST_NAMED)}"
        raise side.fault("labels", message, file=MANIFEST)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of labels that are not the baseline's, in its order."""
    side = comparison.candidate
    labels, required = (tuple(each.manifest.labels) for each in (side, comparison.baseline))
    names = shortened(labels, MOST_NAMED)
    if labels != required:
        how = "in another order" if sorted(labels) == sorted(required) else "other labels"
        message = f"labels are {names}, the baseline's are {shortened(required, MOST_NAMED)}: {how}"
        raise side.fault("labels", message, "train the candidate with the baseline's base.labels", file=MANIFEST)
    return Passed(f"labels {names}")
