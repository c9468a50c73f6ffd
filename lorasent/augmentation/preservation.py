"""Whether augmentation preserves labels: an adapter answers labelled reviews before and after, and its new errors are counted.

The adapter replaces a human reader, whom typing errors would confuse less: a way that costs accuracy may still keep labels.
"""

from dataclasses import dataclass

import numpy as np

from lorasent.augmentation.ways import WAYS, epoch
from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Augmentation
from lorasent.scoring.scorer import Scorer
from lorasent.statistics.estimates import Interval, PairedAccuracy

ACCURACY_MARGIN = 0.02
"""Non-inferiority margin: the accuracy that a way may cost, as a share of the changed reviews."""

TOGETHER = "all together"
"""The name of all ways applied together."""


@dataclass(frozen=True)
class Effect:
    """The effect of one way, at one setting, on the answers to the reviews that it changed."""

    way: str
    setting: float
    changed: int
    flipped: int
    """Changed reviews whose answer is another label than before."""
    worse: int
    """Changed reviews whose answer was right before and is wrong now."""
    better: int
    """Changed reviews whose answer was wrong before and is right now."""

    @property
    def bounds(self) -> Interval:
        """One-sided 95 % bounds of the accuracy lost."""
        return PairedAccuracy(self.worse, self.better, self.changed).interval(0.9) if self.changed else Interval(-1.0, 1.0)

    def holds(self, margin: float = ACCURACY_MARGIN) -> bool | None:
        """Whether the accuracy lost is within the margin; None if the reviews are too few to decide."""
        low, high = self.bounds
        return True if high <= margin else False if low > margin else None


def check(scorer: Scorer, reviews: Reviews, settings: Augmentation, seed: int = 0) -> list[Effect]:
    """The effect of each way that the settings turn on, and of all together; every review is augmented once, drawn by the seed."""
    before = scorer.logits(reviews.texts).argmax(axis=1)
    on = {name: getattr(settings, name) for name in WAYS if getattr(settings, name)}
    combinations = {name: {name: setting} for name, setting in on.items()} | ({TOGETHER: on} if len(on) > 1 else {})
    effects = []
    for way, ways in combinations.items():
        chosen = settings.model_copy(update={"share": 1.0, **dict.fromkeys(WAYS, 0), **ways})
        texts = epoch(reviews.texts, chosen, seed, 0)
        rows = [row for row, text in enumerate(texts) if text != reviews.texts[row]]
        now, old, labels = scorer.logits(texts[row] for row in rows).argmax(axis=1), before[rows], reviews.labels[rows]
        right, was_right = now == labels, old == labels
        counts = (int(np.sum(changes)) for changes in (now != old, was_right & ~right, right & ~was_right))
        effects.append(Effect(way, on.get(way, 0), len(rows), *counts))
    return effects


def table(effects: list[Effect], margin: float = ACCURACY_MARGIN) -> str:
    """The effects as text, one line for each way."""
    words = {True: "holds", False: "breaks", None: "undecided"}
    lines = [
        f"{'way':<18}{'at':>6}{'changed':>9}{'flipped':>9}{'to wrong':>10}{'to right':>10}  accuracy lost, 95 % bounds, points"
    ]
    for row in effects:
        low, high = row.bounds
        at = f"{row.setting:g}" if row.setting else ""
        changed = max(row.changed, 1)
        lost = f"{100 * (row.worse - row.better) / changed:5.2f} ({100 * low:.2f} to {100 * high:.2f}): {words[row.holds(margin)]}"
        lines.append(f"{row.way:<18}{at:>6}{row.changed:>9}{row.flipped / changed:>9.1%}{row.worse:>10}{row.better:>10}  {lost}")
    return "\n".join(lines)
