"""What a bank of retrains tells: its bound, the spread that single examples alone give, rates over pairs that share seeds."""

import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from lorasent.statistics import retrains
from lorasent.statistics.estimates import Rate


def test_the_bound_of_a_bank_is_the_prediction_interval():
    """It is mean - t s sqrt(1 + 1/k), with a p value of 1 %; the floor replaces a smaller spread."""
    known = retrains.Retrains((0.90, 0.91, 0.905, 0.895), 0.001)
    spread = np.std(known.scores, ddof=1)
    assert known.lowest(0.99) == pytest.approx(0.9025 - stats.t.ppf(0.99, 3) * spread * math.sqrt(1.25))
    assert known.p_value(known.lowest(0.99)) == pytest.approx(0.01)
    assert retrains.Retrains((0.9, 0.9, 0.9), 0.004).spread == 0.004


def test_churn_is_the_mean_discordance_over_2n():
    """The square of churn is the mean discordance of two members over twice the number of examples."""
    rights = np.random.default_rng(0).random((5, 400)) < 0.9
    discordance = np.mean([(a != b).mean() for a, b in itertools.combinations(rights, 2)])
    assert retrains.churn(rights) ** 2 == pytest.approx(discordance / 800)
    assert retrains.churn(np.ones((3, 100))) == pytest.approx(math.sqrt(0.5) / 100)


def test_clusters_of_one_event_are_nearly_independent_trials():
    """The effective number is the true one less the price of estimating the variance."""
    events = np.arange(200) < 20
    rate = retrains.clustered_rate(events, np.arange(200))
    assert rate.value == pytest.approx(0.1)
    assert 190 < rate.n <= 200


def test_repeated_events_are_not_new_trials():
    """Copies of each event in its cluster leave the effective number near the number of clusters."""
    events = np.repeat(np.arange(50) < 5, 20)
    assert 40 < retrains.clustered_rate(events, np.repeat(np.arange(50), 20)).n < 52


def test_without_events_disjoint_pairs_are_counted():
    """Of 8 seeds, however many pairs, 4 pairs are independent."""
    pairs = np.array(list(itertools.combinations(range(8), 2)))
    assert retrains.clustered_rate(np.zeros(28), pairs) == Rate(0.0, 4.0)


def test_a_bank_of_one_example_has_a_churn():
    """It is that of one discordant pair, the least that is assumed."""
    assert retrains.churn([[1], [0]]) == retrains.churn([[1], [1]]) == pytest.approx(math.sqrt(0.5))


def test_p_values_of_a_bank_without_spread_are_0_or_1():
    """With a floor of 0: 0 for a lower score, 1 for an equal or better one."""
    known = retrains.Retrains((0.5, 0.5), 0.0)
    assert [known.p_value(score) for score in (0.25, 0.5, 0.75)] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("seeds", [6, 9])
def test_the_effective_number_of_pairs_is_worked_out_by_hand(seeds):
    """From the jackknife's variance over seeds, and Student's t."""
    pairs = list(itertools.combinations(range(seeds), 2))
    events = [0 in pair or sum(pair) % 5 == 0 for pair in pairs]
    left_out = []
    for seed in range(seeds):
        kept = [event for event, pair in zip(events, pairs, strict=True) if seed not in pair]
        left_out.append(sum(kept) / len(kept))
    mean, middle = sum(events) / len(events), sum(left_out) / seeds
    variance = (seeds - 1) / seeds * sum((one - middle) ** 2 for one in left_out)
    trials = mean * (1 - mean) / variance * (stats.norm.ppf(0.025) / stats.t.ppf(0.025, seeds - 1)) ** 2
    found = retrains.clustered_rate(events, pairs)
    assert 1 < trials < len(pairs)
    assert (found.hits, found.n) == pytest.approx((mean * trials, trials))


@pytest.mark.parametrize(("seeds", "disjoint"), [(3, 1.0), (4, 2.0), (7, 3.0)])
def test_disjoint_pairs_are_counted_whole(seeds, disjoint):
    """An odd seed adds no pair; three seeds have one pair."""
    pairs = list(itertools.combinations(range(seeds), 2))
    assert retrains.clustered_rate([0] * len(pairs), pairs) == Rate(0.0, disjoint)


def test_events_of_half_precision_lose_nothing():
    """Nor do they as booleans."""
    events = np.arange(70) % 7 == 0
    assert retrains.clustered_rate(events.astype(np.float16), np.arange(70)) == retrains.clustered_rate(events, np.arange(70))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: retrains.Retrains((0.9,), 0.0), "two retrains or more"),
        (lambda: retrains.churn([[1, 0], [1, 0.5]]), "right (1) or wrong (0)"),
        (lambda: retrains.churn([[1, 0]]), "shape (k, N) with k > 1, found (1, 2)"),
        (lambda: retrains.clustered_rate([], []), "0 events in 0 clusters leave nothing"),
        (lambda: retrains.clustered_rate([1, 0, 1], [[0, 1], [0, 2], [0, 3]]), "leave nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_data_can_give_is_refused(wrong, message):
    """Impossible arguments are errors that say what was found."""
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()
