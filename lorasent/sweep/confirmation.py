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
from filelock import FileLock
from numpy.typing import NDArray
from scipy import stats

from lorasent.data.reviews import Reviews, read, without_overlap
from lorasent.errors import SweepError
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject
from lorasent.sweep.team import beside
from lorasent.training.run import read_splits
from lorasent.training.train import train

LEVEL = 0.95

MARGIN = 0.02


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
    margin: float
    """The loss that the gate lets pass."""
    outcome: str
    """The gate's, on the first retrain of the best recipe against those of the other."""
    message: str
    known: int
    """Reviews of the n that trained the recipes or chose among them."""

    @property
    def word(self) -> str:
        """What the interval of the gain says: above zero, below it, or above the loss that the gate lets pass."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        return "no worse" if self.low > -self.margin else "not shown to be better"

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return {**asdict(self), "word": self.word}


def source(recipe: Recipe, data: str | None, seeds: int) -> str | None:
    """Where the reviews that confirm come from, or None for no seeds. Raises SweepError if nothing could be confirmed so."""
    if data is None and recipe.data.validation == "embedded:validation":
        data = "embedded:test"
    if seeds == 1 or (seeds and data is None):
        needed = "two seeds at least, or 0" if seeds == 1 else "--data with reviews that chose nothing, or --confirm 0"
        raise SweepError(f"sweep: to confirm the best recipe needs {needed}")
    if not seeds or data is None:
        return None
    unknown(recipe, data)
    _seeded(recipe, recipe.training.seed + seeds, Path())  # the last seed is one, too
    return data


def unknown(recipe: Recipe, data: str) -> tuple[Reviews, int]:
    """The reviews that confirm, and how many of them trained the recipe or chose it. Raises SweepError if all did."""
    reviews = rest = read(data, recipe.base.labels, **_reading(recipe))
    for split in read_splits(recipe)[:2]:
        rest = without_overlap(rest, split)
    if len(reviews) < 2:
        raise SweepError(f"--data {data}: holds {len(reviews)} review; give two at least, and rather a thousand")
    if not len(rest):
        raise SweepError(f"--data {data}: each of its {len(reviews)} reviews trained the recipe or chose its epoch; give others")
    return reviews, len(reviews) - len(rest)


def _reading(recipe: Recipe) -> dict[str, Any]:
    """How its reviews are read, by the names that `data.read` and a policy have for it."""
    data = recipe.data
    return {"text_column": data.text_column, "label_column": data.label_column, "skip_empty": bool(data.skip_empty)}


def confirm(
    first: Recipe, best: Recipe, data: str, folder: Path, *, seeds: int, workers: int, precision: str, say: Callable[[str], None]
) -> Confirmation:
    """Trains either recipe with fresh seeds in `folder`, but for what lies there already, and compares them on `data`."""
    reviews, known = unknown(first, data)
    fresh = tuple(first.training.seed + number for number in range(1, seeds + 1))
    arms = [[_seeded(recipe, seed, folder / arm) for seed in fresh] for recipe, arm in ((first, "start"), (best, "best"))]
    _train([one for arm in arms for one in arm if not one[1].exists()], workers, say)
    bank, retrains = ([path for _, path in arm] for arm in arms)
    started, found = (
        np.array([_right(path, precision, reviews.texts, reviews.labels) for path in paths]) for paths in (bank, retrains)
    )
    gain, low, high = interval(started, found)
    changed = tuple(table for table, keys in best.to_json().items() if first.to_json().get(table) != keys)
    policy = Policy.model_validate(
        {
            "data": {"test": data, "precision": precision, **_reading(first)},
            "integrity": {"may_change": changed},
            "quality": {"margin": MARGIN},
        }
    )
    verdict = judge(retrains[0], bank, policy)
    was, now = tuple(started.mean(axis=1).tolist()), tuple(found.mean(axis=1).tolist())
    decided = [one for one in verdict.findings if one.outcome is verdict.outcome]
    said = (str(verdict.outcome), next((one for one in decided if one.check.startswith("quality")), decided[0]).message)
    return Confirmation(data, len(reviews), fresh, was, now, gain, low, high, MARGIN, *said, known)


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


def _seeded(recipe: Recipe, seed: int, folder: Path) -> tuple[Recipe, Path]:
    """The recipe with that seed, and where its adapter lies: a search that goes on may find another best recipe."""
    tables = recipe.to_json()
    tables["training"]["seed"] = seed
    seeded = Recipe.parse(tables, "sweep")
    return seeded, folder / f"seed-{seed}-{seeded.fingerprint[:12]}"


def _train(wanted: Sequence[tuple[Recipe, Path]], workers: int, say: Callable[[str], None]) -> None:
    """Trains what is wanted, or goes on with it, in so many processes. Raises SweepError if one of them ends without."""
    for _, path in wanted:
        say(f"training {path}")
    for codes in beside(_train_each, [(wanted[number::workers],) for number in range(min(workers, len(wanted)))]):
        if None not in codes and (lost := [path for _, path in wanted if not path.exists()]):
            ended = ", ".join(map(str, codes))
            raise SweepError(f"{lost[0]}: the process that trained it ended (exit codes {ended}); go on with --resume")


def _train_each(wanted: Sequence[tuple[Recipe, Path]]) -> None:
    """A process: trains what nobody trained meanwhile; one of a search that was killed may still be at it."""
    for recipe, path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                train(recipe, path, resume=path.with_name(f"{path.name}.partial").exists())


def _right(path: Path, precision: Any, texts: Sequence[str], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(LiveSubject(path, precision).answer(texts).logits.argmax(axis=1) == labels)
