"""Whether the best recipe is better than the one that the search started from, or had luck.

The winner of many trials is the luckiest of them too. Both recipes are trained again with fresh seeds and answer reviews that
chose nothing; the gain is the difference of their mean accuracies, and its variance is

    S^2 = s_d^2 / n + s_1^2 / k + s_2^2 / k

with s_d the spread over the n reviews of the difference of the shares of seeds that are right, and s_1, s_2 the spread of the
accuracy over the k seeds of either. The interval is Student's, its degrees of freedom those of the sum (Satterthwaite 1946).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lorasent.data import Reviews, read, without_overlap
from lorasent.errors import SweepError
from lorasent.evidence import LiveSubject
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.recipe import Recipe
from lorasent.run import read_splits
from lorasent.training import train

LEVEL = 0.95


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say."""

    data: str
    n: int
    seeds: tuple[int, ...]
    started: tuple[float, ...]
    """Accuracies of the recipe that the search started from, by seed."""
    found: tuple[float, ...]
    """Those of the best one."""
    gain: float
    low: float
    high: float
    outcome: str
    """The gate's, on the first retrain of the best recipe against those of the other."""
    message: str

    @property
    def better(self) -> bool:
        """Whether the interval of the gain lies above zero."""
        return self.low > 0

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return {**asdict(self), "better": self.better}


def confirm(
    first: Recipe, best: Recipe, data: str, folder: Path, *, seeds: int, precision: str, say: Callable[[str], None]
) -> Confirmation:
    """Trains either recipe with fresh seeds in `folder`, but for what lies there already, and compares them on `data`."""
    fresh = tuple(first.training.seed + number for number in range(1, seeds + 1))

    def answers(recipe: Recipe, arm: str) -> tuple[list[Path], NDArray[np.bool_]]:
        paths = [_trained(recipe, seed, folder / arm, say) for seed in fresh]
        return paths, np.array([_right(path, precision, reviews.texts, reviews.labels) for path in paths])

    reviews = unseen(first, data)
    (bank, started), (retrains, found) = answers(first, "start"), answers(best, "best")
    gain, low, high = interval(started, found)
    changed = tuple(table for table, keys in best.to_json().items() if first.to_json().get(table) != keys)
    policy = Policy.model_validate(
        {"data": {"test": data, "precision": precision, **_columns(first)}, "integrity": {"may_change": changed}, "quality": {}}
    )
    verdict = judge(retrains[0], bank, policy)
    decided = [one for one in verdict.findings if one.outcome is verdict.outcome]
    told = next((one.message for one in decided if one.check.startswith("quality")), decided[0].message)
    was, now = tuple(started.mean(axis=1).tolist()), tuple(found.mean(axis=1).tolist())
    return Confirmation(data, len(reviews), fresh, was, now, gain, low, high, str(verdict.outcome), told)


def unseen(recipe: Recipe, data: str) -> Reviews:
    """The reviews that confirm. Raises SweepError if some of them trained, or chose the best."""
    reviews = read(data, recipe.base.labels, **_columns(recipe))
    for name, split in zip(("train", "validation"), read_splits(recipe)[:2], strict=True):
        if known := len(reviews) - len(without_overlap(reviews, split)):
            raise SweepError(f"{data}: {known} of its {len(reviews)} reviews are in the recipe's {name} too; confirm with others")
    return reviews


def _columns(recipe: Recipe) -> dict[str, str | None]:
    return {"text_column": recipe.data.text_column, "label_column": recipe.data.label_column}


def interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The gain of the second over the first, with its bounds; both say (k, n) who was right, by seed and review."""
    difference = second.mean(axis=0) - first.mean(axis=0)
    sampled = (difference, first.mean(axis=1), second.mean(axis=1))
    parts, freedoms = np.array([(one.var(ddof=1) / len(one), len(one) - 1) for one in sampled]).T
    gain, variance = float(difference.mean()), float(parts.sum())
    if variance == 0:
        return gain, gain, gain
    freedom = variance**2 / float((parts**2 / freedoms).sum())
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    return gain, max(gain - reach, -1.0), min(gain + reach, 1.0)


def _trained(recipe: Recipe, seed: int, folder: Path, say: Callable[[str], None]) -> Path:
    tables = recipe.to_json()
    tables["training"]["seed"] = seed
    seeded = Recipe.parse(tables, "sweep")
    path = folder / f"seed-{seed}-{seeded.fingerprint[:12]}"  # another best recipe is another adapter
    if not path.exists():
        say(f"training {path}")
        train(seeded, path, resume=path.with_name(f"{path.name}.partial").exists())
    return path


def _right(path: Path, precision: Any, texts: Sequence[str], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(LiveSubject(path, precision).answer(texts).logits.argmax(axis=1) == labels)
