"""Whether the best recipe is better than the starting recipe, or was only lucky.

The winner of many trials is also the luckiest. So both recipes are trained again with k fresh seeds and answer n reviews that chose
nothing. The gain is the difference of their mean accuracies, and its variance is

    S^2 = s_d^2 / n + s_1^2 / k + s_2^2 / k

where s_d is the standard deviation over reviews of the difference between the shares of seeds that are right, and s_1 and s_2 are
those of the accuracy over seeds. The interval is Student's, with Satterthwaite's degrees of freedom (1946).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lorasent.data.reviews import Reviews, read, without_overlap
from lorasent.errors import SweepError
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject
from lorasent.sweep.workers import train_each
from lorasent.training.run import read_splits

CONFIDENCE_LEVEL = 0.95
"""Confidence level of the gain's interval."""

NON_INFERIORITY_MARGIN = 0.02
"""Largest loss of accuracy, as a share, with which a recipe still counts as no worse, also for the gate."""


@dataclass(frozen=True)
class Confirmation:
    """The accuracies of both recipes with fresh seeds, and what follows from them."""

    data: str
    n: int
    seeds: tuple[int, ...]
    started: tuple[float, ...]
    """Accuracies of the starting recipe, by seed."""
    found: tuple[float, ...]
    """Accuracies of the best recipe, by seed."""
    gain: float
    low: float
    high: float
    outcome: str
    """The gate's verdict on the first retrain of the best recipe, against those of the starting one."""
    message: str
    known: int
    """Number of the n reviews that trained the recipes or chose among them."""
    margin: float = NON_INFERIORITY_MARGIN

    @property
    def word(self) -> str:
        """The conclusion: where the interval of the gain lies, relative to zero and to the margin."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        return "no worse" if self.low > -self.margin else "not shown to be better"

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return {**asdict(self), "word": self.word}


def source(recipe: Recipe, data: str | None, seeds: int) -> str | None:
    """The source of the reviews that confirm, or None without seeds. Raises SweepError if it cannot confirm anything."""
    if not seeds:
        return None
    if data is None and recipe.data.validation == "embedded:validation":
        data = "embedded:test"
    if data is None or seeds == 1:
        needed = "two seeds at least, or 0" if seeds == 1 else "--data with reviews that chose nothing, or --confirm 0"
        raise SweepError(f"sweep: confirming the best recipe needs {needed}")
    unseen(recipe, data)
    _seeded(recipe, recipe.training.seed + seeds, Path())  # raises if the last seed is too large
    return data


def unseen(recipe: Recipe, data: str) -> tuple[Reviews, int]:
    """The reviews that confirm, and how many of them trained the recipe or chose its epoch. Raises SweepError if all did."""
    reviews = rest = read(data, recipe.base.labels, **_columns(recipe))
    for split in read_splits(recipe)[:2]:
        rest = without_overlap(rest, split)
    if len(reviews) < 2:
        raise SweepError(f"--data {data}: holds {len(reviews)} review; give at least two, better a thousand")
    if not len(rest):
        raise SweepError(f"--data {data}: each of its {len(reviews)} reviews trained the recipe or chose its epoch; give others")
    return reviews, len(reviews) - len(rest)


def confirm(
    start: Recipe, best: Recipe, *, data: str, folder: Path, seeds: int, workers: int, precision: str, report: Callable[[str], None]
) -> Confirmation:
    """Trains both recipes with fresh seeds in `folder`, except adapters that are there already, and compares them on `data`."""
    reviews, known = unseen(start, data)
    fresh = tuple(start.training.seed + number for number in range(1, seeds + 1))
    arms = [[_seeded(recipe, seed, folder / arm) for seed in fresh] for recipe, arm in ((start, "start"), (best, "best"))]
    train_each([(recipe, path) for arm in arms for recipe, path in arm if not path.exists()], workers, report)
    bank, candidates = ([path for _, path in arm] for arm in arms)
    before, after = (np.array([_hits(path, precision, reviews) for path in paths]) for paths in (bank, candidates))
    gain, low, high = interval(before, after)
    outcome, message = _judge(start, best, data, precision, candidates[0], bank)
    return Confirmation(
        data=data,
        n=len(reviews),
        seeds=fresh,
        started=tuple(before.mean(axis=1).tolist()),
        found=tuple(after.mean(axis=1).tolist()),
        gain=gain,
        low=low,
        high=high,
        outcome=outcome,
        message=message,
        known=known,
    )


def interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The gain of the second arm over the first and its bounds; both arms are (k, n): right or not, by seed and review."""
    difference = second.mean(axis=0) - first.mean(axis=0)
    samples = (difference, first.mean(axis=1), second.mean(axis=1))
    parts, freedoms = np.array([(sample.var(ddof=1) / len(sample), len(sample) - 1) for sample in samples]).T
    gain, variance = float(difference.mean()), float(parts.sum())
    if variance == 0:
        return gain, gain, gain
    freedom = variance**2 / float((parts**2 / freedoms).sum())
    half = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, freedom)) * math.sqrt(variance)
    return gain, max(gain - half, -1.0), min(gain + half, 1.0)


def _columns(recipe: Recipe) -> dict[str, Any]:
    """How the recipe's reviews are read: keys of a policy's [data], and arguments of `read`."""
    data = recipe.data
    return {"text_column": data.text_column, "label_column": data.label_column, "skip_empty": bool(data.skip_empty)}


def _judge(start: Recipe, best: Recipe, data: str, precision: str, candidate: Path, bank: Sequence[Path]) -> tuple[str, str]:
    """The gate's outcome, and the message of the finding that decided it, one about quality if there is one."""
    changed = [table for table, keys in best.to_json().items() if start.to_json().get(table) != keys]
    policy = Policy.model_validate(
        {
            "data": {"test": data, "precision": precision, **_columns(start)},
            "integrity": {"may_change": changed},
            "quality": {"margin": NON_INFERIORITY_MARGIN},
        }
    )
    verdict = judge(candidate, bank, policy)
    deciding = [finding for finding in verdict.findings if finding.outcome is verdict.outcome]
    finding = min(deciding, key=lambda finding: not finding.check.startswith("quality"))
    return str(verdict.outcome), finding.message


def _seeded(recipe: Recipe, seed: int, folder: Path) -> tuple[Recipe, Path]:
    """The recipe with another seed, and its adapter's path, which names the recipe: a resumed search may find another one."""
    tables = recipe.to_json()
    tables["training"]["seed"] = seed
    seeded = Recipe.parse(tables, "sweep")
    return seeded, folder / f"seed-{seed}-{seeded.fingerprint[:12]}"


def _hits(path: Path, precision: Any, reviews: Reviews) -> NDArray[np.bool_]:
    """Whether the adapter's label of each review is right, (n,)."""
    return np.asarray(LiveSubject(path, precision).answer(reviews.texts).logits.argmax(axis=1) == reviews.labels)
