"""Power and sample sizes: equal to sums over all tables, and inverse to each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lorasent.statistics import estimates, power
from lorasent.statistics.estimates import PairedAccuracy


@pytest.mark.parametrize("margin", [0.0, 0.05, -0.05])
@pytest.mark.parametrize("damage", [0.15, -0.12])
def test_power_is_the_sum_over_all_tables(damage, margin):
    """The power equals the probability, over every possible table, that the p value is at most alpha."""
    n, discordance, total = 40, 0.25, 0.0
    for worse in range(n + 1):
        for better in range(n + 1 - worse):
            table = PairedAccuracy(worse, better, n)
            p = table.p_above(margin) if damage > margin else table.p_below(margin)
            if margin == 0:
                p = estimates.mcnemar(worse, better) if damage > 0 else estimates.mcnemar(better, worse)
            if p <= 0.05:
                shares = [(discordance + damage) / 2, (discordance - damage) / 2, 1 - discordance]
                total += stats.multinomial.pmf([worse, better, n - worse - better], n, shares)
    assert power.power(n, damage, discordance, margin) == pytest.approx(total, abs=1e-7)


def test_power_where_no_pair_differs_and_where_all_do():
    """Without discordant pairs the table is known: 100 pairs show less than 5 points, 20 do not. With all, worse is binomial."""
    assert power.power(100, 0.0, 0.0, 0.05) == 1.0
    assert power.power(20, 0.0, 0.0, 0.05) == 0.0
    shown = [worse for worse in range(51) if estimates.mcnemar(worse, 50 - worse) <= 0.05]
    assert power.power(50, 0.3, 1.0) == pytest.approx(stats.binom.pmf(shown, 50, 0.65).sum(), abs=1e-8)
    assert power.power(50, 0.3, 1.0, 0.0) == power.power(50, 0.3, 1.0)


@given(
    st.lists(
        st.integers(0, 60).flatmap(
            lambda pairs: st.tuples(st.just(pairs), st.integers(0, pairs + 1), st.floats(-9, 99, allow_nan=False))
        ),
        min_size=1,
    )
)
def test_the_smallest_number_of_worse_pairs_that_decides_is_found(cases):
    """For each number of discordant pairs, wherever the search begins; numbers that cannot occur are not asked about."""
    pairs, enough, near = (np.array(each, dtype=float) for each in zip(*cases, strict=True))

    def decides(worse):
        assert ((worse >= 0) & (worse <= pairs)).all()
        return worse >= enough

    assert power._least_worse(decides, pairs, near).tolist() == enough.tolist()


def test_alpha_and_power_may_be_met_exactly():
    """One worse pair has a mid-p value of 0.25: at alpha = 0.25 it decides, always where each pair is worse."""
    assert power.power(1, 1.0, 1.0, alpha=0.25) == 1.0
    assert power.needed(1.0, 1.0, alpha=0.25, power_at_least=1.0) == 1
    assert power.detectable(1, 1.0, alpha=0.25, power_at_least=1.0) == pytest.approx(1.0)


def test_a_thousand_examples_show_two_points():
    """At 6 % discordance, n = 1000, one-sided 5 % and power 80 %, a damage of 2 points is detectable, one of 1.8 is not."""
    assert 0.018 < power.detectable(1000, 0.06) <= 0.020


def test_sample_sizes_invert_the_power():
    """The detectable damage and the needed number of pairs have the required power; a little less does not."""
    found = power.detectable(800, 0.08, margin=0.02)
    assert power.power(800, found, 0.08, 0.02) >= 0.8 > power.power(800, found - 1e-4, 0.08, 0.02)
    for damage in (0.0, 0.05):
        n = power.needed(damage, 0.08, 0.02)
        assert power.power(n, damage, 0.08, 0.02) >= 0.8 > power.power(n - 1, damage, 0.08, 0.02)


def test_sample_sizes_are_monotone():
    """More examples detect less damage; more discordance hides more; too few examples detect nothing."""
    by_n = [power.detectable(n, 0.05) for n in (50, 200, 1000, 5000)]
    by_discordance = [power.detectable(1000, share) for share in (0.0, 0.01, 0.05, 0.2)]
    assert by_n == sorted(by_n, reverse=True)
    assert by_discordance == sorted(by_discordance)
    assert power.detectable(2, 0.05) == math.inf
    assert power.needed(0.0, 0.02, 0.01) < power.needed(0.0, 0.06, 0.01)


def test_damage_beyond_the_discordance_raises_it():
    """A damage of 5 points needs discordant pairs of 5 % at least."""
    assert power.power(300, 0.05, 0.01) == power.power(300, 0.05, 0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: power.power(100, 0.02, 0.1, 0.02), "no power is defined for n=100, damage=0.02, discordance=0.1, margin=0.02, "),
        (lambda: power.power(0, 0.02, 0.1), "no power is defined"),
        (lambda: power.power(100, 1.5, 0.1), "no power is defined"),
        (lambda: power.power(100, 0.02, 0.1, -1.5), "no power is defined"),
        (lambda: power.power(100, 0.02, -0.1), "no power is defined"),
        (lambda: power.power(100, 0.02, 1.5), "no power is defined"),
        (lambda: power.power(100, 0.02, 0.1, alpha=0.0), "no power is defined"),
        (lambda: power.power(100, 0.02, 0.1, alpha=1.0), "no power is defined"),
        (lambda: power.power(100, 0.02, 0.1, alpha=1.5), "no power is defined"),
        (lambda: power.needed(0.0200001, 0.1, 0.02), "more than 10000000 pairs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_data_can_give_is_refused(wrong, message):
    """Impossible arguments are errors that say what was found."""
    with pytest.raises(ValueError, match=message):
        wrong()


def test_sizes_depend_on_alpha():
    """Four pairs, all worse, have a mid-p value of 0.031: enough at 5 %, not at 2 %. No damage exceeds a margin of 1."""
    assert power.detectable(4, 0.1) < 1
    assert power.detectable(4, 0.1, alpha=0.02) == math.inf
    assert power.detectable(1000, 0.1, margin=1.0) == math.inf


def test_the_needed_number_of_pairs_is_whole_and_may_be_one():
    """The default margin is 0."""
    assert power.needed(1.0, 1.0, alpha=0.3) == 1
    assert power.needed(0.05, 0.08) == power.needed(0.05, 0.08, 0.0)
    assert isinstance(power.needed(0.05, 0.08), int)
