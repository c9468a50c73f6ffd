"""Whether labels hold: an adapter answers labelled reviews as they are and augmented, and what it newly gets wrong is counted.

The adapter stands in for a reader: mistyped words confuse it more, and it is blind where its own training was. So a way that it is
lost on deserves a look at what it made; what each way promises to leave alone, the tests of `augmentation` hold it to.
"""

from dataclasses import dataclass

import numpy as np

from lorasent.augmentation.ways import WAYS, epoch
from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Augmentation
from lorasent.scoring.scorer import Scorer
from lorasent.statistics.estimates import Interval, PairedAccuracy

MARGIN = 0.02
"""The accuracy that a way may cost, as a share."""

TOGETHER = "all together"


@dataclass(frozen=True)
class Held:
    """What one way, at one setting, did to the labels of the reviews that it changed."""

    way: str
    setting: float
    changed: int
    flipped: int
    """Changed reviews that are answered with another label than before."""
    worse: int
    """Changed reviews whose own label was answered before and is not now."""
    better: int

    @property
    def lost(self) -> float:
        """Accuracy lost on changed reviews, as a share."""
        return (self.worse - self.better) / self.changed if self.changed else 0.0

    @property
    def bounds(self) -> Interval:
        """One-sided 95 % bounds of what is lost."""
        return PairedAccuracy(self.worse, self.better, self.changed).interval(0.9) if self.changed else Interval(-1.0, 1.0)

    def holds(self, margin: float = MARGIN) -> bool | None:
        """Whether labels hold up to a margin; None where these reviews do not tell."""
        low, high = self.bounds
        return True if high <= margin else False if low > margin else None


def check(scorer: Scorer, reviews: Reviews, settings: Augmentation, seed: int = 0) -> list[Held]:
    """Each way that the settings turn on, alone, and then all together; every review is augmented once, drawn by the seed."""
    before = scorer.logits(reviews.texts).argmax(axis=1)
    on = {name: getattr(settings, name) for name in WAYS if getattr(settings, name)}
    asked = {name: {name: setting} for name, setting in on.items()} | ({TOGETHER: on} if len(on) > 1 else {})
    found = []
    for way, ways in asked.items():
        alone = settings.model_copy(update={"share": 1.0, **dict.fromkeys(WAYS, 0), **ways})
        texts = epoch(reviews.texts, alone, seed, 0)
        rows = [row for row, (text, was) in enumerate(zip(texts, reviews.texts, strict=True)) if text != was]
        now, old, labels = scorer.logits(texts[row] for row in rows).argmax(axis=1), before[rows], reviews.labels[rows]
        right, was_right = now == labels, old == labels
        counts = (int(np.sum(of)) for of in (now != old, was_right & ~right, right & ~was_right))
        found.append(Held(way, on.get(way, 0), len(rows), *counts))
    return found


def table(found: list[Held], margin: float = MARGIN) -> str:
    """The figures for people, a line a way."""
    words = {True: "holds", False: "breaks", None: "undecided"}
    lines = [
        f"{'way':<18}{'at':>6}{'changed':>9}{'flipped':>9}{'to wrong':>10}{'to right':>10}  accuracy lost, 95 % bounds, points"
    ]
    for row in found:
        low, high = row.bounds
        at = f"{row.setting:g}" if row.setting else ""
        flipped = f"{row.flipped / max(row.changed, 1):.1%}"
        lost = f"{100 * row.lost:5.2f} ({100 * low:.2f} to {100 * high:.2f}): {words[row.holds(margin)]}"
        lines.append(f"{row.way:<18}{at:>6}{row.changed:>9}{flipped:>9}{row.worse:>10}{row.better:>10}  {lost}")
    return "\n".join(lines)
