"""The gate's statistics: equal to references written a second way, symmetric, nested, inverse to their p values, strict."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import optimize, stats

from lorasent.metrics import by_label, evaluate, f1, matthews
from lorasent.statistics import estimates as statistics
from lorasent.statistics.estimates import Estimate, PairedAccuracy, Rate


def macro_f1(counts):
    """The mean F1 of the labels that occur, also of two."""
    return float(by_label(counts)[2][counts.sum(axis=0) + counts.sum(axis=1) > 0].mean())


LEVELS = st.sampled_from((0.8, 0.9, 0.95, 0.98))


@st.composite
def pairs(draw: st.DrawFn, most: int = 3000) -> PairedAccuracy:
    """Counts, often at the extremes."""
    n = draw(st.integers(1, most))
    worse = draw(st.sampled_from((0, n)) | st.integers(0, min(n, 60)) | st.integers(0, n))
    return PairedAccuracy(worse, draw(st.integers(0, min(n - worse, 60))), n)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """Estimates with and without skewness."""
    value, error = draw(st.floats(-1, 1)), draw(st.floats(1e-4, 1))
    return Estimate(value, error, draw(st.floats(2, 500)), draw(st.just(0.0) | st.floats(-1, 1)))


def any_estimate() -> st.SearchStrategy:
    """One of all that have an interval and p values."""
    rates = st.integers(1, 500).flatmap(lambda n: st.builds(Rate, st.integers(0, n), st.just(n)))
    return pairs() | rates | estimates()


def score_by_maximisation(worse: int, better: int, n: int, margin: float) -> float:
    """Tango's score with the likelihood maximised numerically over the share of better pairs."""
    low, high = max(0.0, -margin), (1 - margin) / 2

    def unlikelihood(share: float) -> float:
        cells = ((worse, share + margin), (better, share), (n - worse - better, 1 - 2 * share - margin))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    share = optimize.minimize_scalar(unlikelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (worse - better - n * margin) / math.sqrt(n * (2 * share + margin - margin**2))


@pytest.mark.parametrize("counts", [(30, 10, 1000), (3, 4, 50), (0, 9, 200), (12, 0, 100), (80, 60, 300)], ids=str)
@pytest.mark.parametrize("margin", [-0.05, 0.005, 0.02, 0.1])
def test_the_score_is_tangos(counts, margin):
    """The closed form of the restricted estimate is where the likelihood is largest."""
    assert statistics.tango(*counts, margin, 0.0) == pytest.approx(score_by_maximisation(*counts, margin), rel=1e-4)


def test_without_a_margin_the_score_is_mcnemars():
    """At margin 0 the uncorrected score is (worse - better) / sqrt(worse + better)."""
    assert statistics.tango(30, 10, 1000, 0.0, 0.0) == pytest.approx(20 / math.sqrt(40))


@given(st.integers(0, 80), st.integers(0, 80))
def test_mid_p_is_the_exact_p_less_half_the_point(worse, better):
    """McNemar's mid-p value is the binomial test's p value less half the probability of the observation."""
    assume(worse + better > 0)
    point = stats.binom.pmf(worse, worse + better, 0.5)
    exact = stats.binomtest(worse, worse + better, alternative="greater").pvalue
    assert statistics.mcnemar(worse, better) == pytest.approx(exact - point / 2)
    assert statistics.mcnemar(worse, better) + statistics.mcnemar(better, worse) == pytest.approx(1)


def test_without_discordant_pairs_mid_p_is_a_half():
    """They show nothing."""
    assert statistics.mcnemar(0, 0) == 0.5


@given(pairs(), LEVELS)
@example(PairedAccuracy(0, 0, 1), 0.9)
@example(PairedAccuracy(1, 0, 1), 0.9)
@example(PairedAccuracy(0, 5, 5), 0.95)
@example(PairedAccuracy(0, 0, 1_000_000), 0.95)
def test_swapping_the_classifiers_flips_the_interval(damage, level):
    """The damage of one is the gain of the other."""
    swapped = PairedAccuracy(damage.better, damage.worse, damage.n)
    low, high = damage.interval(level)
    assert (-high, -low) == pytest.approx(tuple(swapped.interval(level)), abs=1e-9)
    assert damage.p_above(0.02) == pytest.approx(swapped.p_below(-0.02))
    assert -1 <= low <= damage.value <= high <= 1


@given(any_estimate(), LEVELS)
def test_the_interval_inverts_the_tests(estimate, level):
    """At an end of the interval the p value is alpha; inside it is larger, outside smaller."""
    low, high = estimate.interval(level)
    alpha = (1 - level) / 2
    smallest, largest = {Rate: (0, 1), PairedAccuracy: (-1, 1)}.get(type(estimate), (-math.inf, math.inf))
    step = (high - low) / 100
    if low > smallest:
        assert estimate.p_above(low) == pytest.approx(alpha, rel=1e-3)
        assert estimate.p_above(max(low - step, smallest)) < alpha < estimate.p_above(low + step)
    if high < largest:
        assert estimate.p_below(high) == pytest.approx(alpha, rel=1e-3)
        assert estimate.p_below(min(high + step, largest)) < alpha < estimate.p_below(high - step)


@given(any_estimate())
def test_a_higher_level_gives_a_wider_interval(estimate):
    """Intervals are nested by level."""
    nested = [estimate.interval(level) for level in (0.5, 0.8, 0.95, 0.999)]
    for inner, outer in itertools.pairwise(nested):
        assert outer.low <= inner.low + 1e-9
        assert inner.high <= outer.high + 1e-9


@given(pairs(500), st.integers(2, 20))
def test_more_examples_with_the_same_shares_narrow_the_interval(damage, times):
    """For the same shares of worse and better pairs."""
    more = PairedAccuracy(damage.worse * times, damage.better * times, damage.n * times)
    (low, high), (closer, nearer) = damage.interval(0.9), more.interval(0.9)
    assert nearer - closer < high - low


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0.01, 0.99))
def test_rates_are_scipys(hits, n, rate):
    """Clopper-Pearson's bounds and exact p values equal scipy's."""
    assume(hits <= n)
    reference = stats.binomtest(hits, n).proportion_ci(0.9, method="exact")
    assert Rate(hits, n).interval(0.9) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert Rate(hits, n).p_above(rate) == pytest.approx(stats.binomtest(hits, n, rate, "greater").pvalue, abs=1e-12)
    assert Rate(hits, n).p_below(rate) == pytest.approx(stats.binomtest(hits, n, rate, "less").pvalue, abs=1e-12)


def test_a_symmetric_mean_has_students_interval():
    """It is 5/N wider, with the degrees of freedom that the kurtosis leaves."""
    values = np.concatenate([np.linspace(-1, 1, 101), [0.0]])
    estimate = statistics.mean_change(values)
    reference = stats.t.interval(0.9, estimate.df, estimate.value, stats.sem(values) * (1 + 5 / 102))
    assert estimate.skew == pytest.approx(0, abs=1e-3)
    assert estimate.interval(0.9) == pytest.approx(reference, rel=2e-3)
    assert estimate.df == 101  # a flat distribution leaves them all


def test_a_long_tail_moves_the_interval_towards_it():
    """For a mean skewed to the right, the upper end is further off than the lower one, and than Student's."""
    values = np.random.default_rng(0).exponential(1, 100) ** 2
    estimate = statistics.mean_change(values)
    low, high = estimate.interval(0.9)
    assert high - estimate.value > 1.3 * (estimate.value - low)
    assert high > estimate.value + stats.t.isf(0.05, 99) * stats.sem(values)


def test_equal_differences_have_no_error():
    """The interval is a point, and p values are 0, or 1 at the point."""
    estimate = statistics.mean_change([0.1] * 10)
    assert estimate.interval(0.9) == pytest.approx((0.1, 0.1))
    assert (estimate.p_above(0.05), estimate.p_below(0.05)) == (0.0, 1.0)
    assert Estimate(0.0, 0.0, 9).p_below(0.0) == 0.5


def test_a_joint_table_counts_triples():
    """Axes are label, incumbent, candidate; its sums are both confusion matrices."""
    labels, incumbent, candidate = [0, 1, 1, 2, 2], [0, 1, 0, 2, 2], [0, 1, 1, 1, 2]
    table = statistics.joint_table(labels, incumbent, candidate, 3)
    assert table[2, 2, 1] == table[1, 0, 1] == table[0, 0, 0] == 1
    assert table.sum(axis=2).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 2]]


@given(st.integers(2, 4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_f1_is_the_figure_of_evaluate(size, n, seed):
    """F1 of a confusion matrix is the F1 that `lorasent.metrics` reports."""
    random = np.random.default_rng(seed)
    labels, logits = random.integers(0, size, n), random.normal(size=(n, size))
    counts = statistics.joint_table(labels, logits.argmax(axis=1), labels, size).sum(axis=2)
    assert f1(counts) == pytest.approx(evaluate(logits, labels, list("ABCD"[:size])).f1)
    if size > 2:
        assert macro_f1(counts) == f1(counts)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("metric", [f1, macro_f1, matthews])
def test_the_standard_error_of_a_metric_is_the_bootstraps(metric, size):
    """The delta method agrees with the spread of resampled tables, to their 3 % noise and what the pseudo pairs add."""
    random = np.random.default_rng(0)
    shares = random.random((size, size, size)) + 3 * np.eye(size)[:, :, None] * np.eye(size)[:, None, :]
    table = random.multinomial(4000, shares.ravel() / shares.sum()).reshape(shares.shape)
    estimate = statistics.metric_damage(table, metric)
    again = random.multinomial(4000, table.ravel() / 4000, 1000).reshape(-1, *shares.shape)
    spread = np.std([metric(one.sum(axis=2)) - metric(one.sum(axis=1)) for one in again])
    assert estimate.value == metric(table.sum(axis=2)) - metric(table.sum(axis=1))
    assert estimate.error == pytest.approx(spread, rel=0.08)


def test_the_delta_method_of_accuracy_is_the_textbooks():
    """For accuracy the standard error is sqrt((worse + better)/n - damage^2)/sqrt(n), with the pseudo pairs counted."""
    table = np.zeros((2, 2, 2))
    table[0, 0, 0], table[1, 1, 1], table[0, 0, 1], table[1, 0, 1] = 400, 560, 30, 10
    found = statistics.metric_damage(table, lambda counts: np.trace(counts) / counts.sum())
    share, damage = 44 / 1004, 20 / 1004
    assert (found.value, found.error) == pytest.approx((0.02, math.sqrt((share - damage**2) / 1004)), rel=1e-3)


def test_two_equal_classifiers_are_not_surely_equal():
    """Without a discordant pair the upper bound of a metric's damage is near the rule of three's, not zero."""
    table = np.zeros((2, 2, 2))
    table[0, 0, 0], table[1, 1, 1] = 500, 500
    assert 2.5e-3 < statistics.metric_damage(table, macro_f1).interval(0.9).high < 4e-3


def test_holm_is_its_definition():
    """The r-th smallest of m is multiplied by m - r + 1, never falls below an earlier one, never exceeds 1; order is kept."""
    adjusted = statistics.holm({"c": 0.03, "a": 0.01, "d": 0.6, "b": 0.02, "e": 0.7})
    assert list(adjusted) == list("cadbe")
    assert adjusted == pytest.approx({"a": 0.05, "b": 0.08, "c": 0.09, "d": 1.0, "e": 1.0})
    assert statistics.holm({}) == {}


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from((1.0, 0.1, 3.0))), min_size=1, max_size=12),
    st.sampled_from((0.01, 0.05, 0.2)),
)
def test_holm_rejects_what_stepping_down_rejects(values, alpha):
    """One by one, as long as any has a p value within its share, by weight, of alpha over those not yet rejected."""
    p_values, weights = ({str(i): value[part] for i, value in enumerate(values)} for part in (0, 1))
    left = set(p_values)
    while within := [name for name in left if p_values[name] * sum(weights[one] for one in left) / weights[name] <= alpha]:
        left.remove(min(within, key=lambda name: p_values[name] / weights[name]))
    assert {name for name, value in statistics.holm(p_values, weights).items() if value > alpha} == left


def test_weights_decide_the_order():
    """What is small for its weight goes first; what is small of a light one does not hold up a heavy one."""
    p_values, weights = {"light": 0.01, "heavy": 0.02}, {"light": 0.1, "heavy": 3.0}
    assert statistics.holm(p_values, weights) == pytest.approx({"light": 0.0207, "heavy": 0.0207}, abs=1e-4)


def test_equal_weights_are_holms():
    """Weights that are equal, whatever their size, change nothing."""
    p_values = {"a": 0.03, "b": 0.01, "c": 0.6}
    assert statistics.holm(p_values, dict.fromkeys("abc", 0.1)) == pytest.approx(statistics.holm(p_values))


# the figures themselves, against formulas written a second way


def hall(t, skew):
    """Hall's transformation as his paper has it."""
    return t + skew / 3 * t**2 + skew**2 / 27 * t**3 + skew / 6


@pytest.mark.parametrize("skew", [0.6, 0.05, 0.0, -0.05, -0.6])
@pytest.mark.parametrize("margin", [-0.4, 0.0, 0.1, 0.7])
def test_p_values_are_the_wider_of_students_and_halls(skew, margin):
    """Each side takes the statistic that accuses, or acquits, less."""
    estimate, t = Estimate(0.1, 0.25, 7, skew), (0.1 - margin) / 0.25
    assert estimate.p_above(margin) == pytest.approx(stats.t.sf(min(t, hall(t, skew)), 7))
    assert estimate.p_below(margin) == pytest.approx(stats.t.cdf(max(t, hall(t, skew)), 7))


@pytest.mark.parametrize("skew", [0.6, 0.05, 0.0, -0.05, -0.6])
def test_bounds_are_the_wider_of_students_and_halls(skew):
    """Hall's transformation, inverted numerically, and Student's quantile: the further one from the value, on each side."""
    t = stats.t.isf(0.05, 7)
    lower, upper = (optimize.brentq(lambda x, end=end: hall(x, skew) - end, -50, 50, xtol=1e-13) for end in (t, -t))
    expected = (0.1 - 0.25 * max(t, lower), 0.1 - 0.25 * min(-t, upper))
    assert Estimate(0.1, 0.25, 7, skew).interval(0.9) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 0.5, 3.0), (0.0, 0.5, 3.0, -1.0), (0.0,) * 30 + (1.0, 5.0)], ids=len)
def test_the_mean_of_few_differences_is_whole(values):
    """Its error, 5/N wider; its skewness and kurtosis by the unbiased spread; as many degrees of freedom as that leaves."""
    n, spread = len(values), np.std(values, ddof=1)
    cubes, fourths = (sum(((value - np.mean(values)) / spread) ** power for value in values) / n for power in (3, 4))
    skew = cubes * math.sqrt(n * (n - 1)) / (n - 2) if n > 2 else 0.0
    df = min(n - 1, 2 * n / (fourths - 1)) if fourths > 1 else n - 1
    found = statistics.mean_change(values)
    assert (found.value, found.error) == pytest.approx((np.mean(values), spread * (1 + 5 / n) / math.sqrt(n)))
    assert (found.df, found.skew) == pytest.approx((df, skew / math.sqrt(n)))


def test_equal_differences_keep_their_degrees_of_freedom():
    """Their mean is an estimate without an error."""
    assert statistics.mean_change([0.25] * 10) == Estimate(0.25, 0.0, 9)


def test_narrow_numbers_are_counted_in_double_precision():
    """Half precision and bytes, which arrays of losses, events and labels may have, lose nothing."""
    losses = np.linspace(0, 1, 77).astype(np.float16) ** 2
    assert statistics.mean_change(losses) == statistics.mean_change(losses.astype(np.float64))
    ids = np.arange(7, dtype=np.uint8)
    table = statistics.joint_table(ids, ids, ids, 7)
    assert table.dtype == np.int64
    assert np.argwhere(table).tolist() == [[label] * 3 for label in range(7)]


def test_rates_at_their_ends_are_possible():
    """All hits do not speak against a rate of 1, nor none against a rate of 0."""
    assert Rate(5, 5).p_below(1.0) == 1.0
    assert Rate(0, 5).p_above(0.0) == 1.0
    assert Rate(1, 20).interval(0.9).low == pytest.approx(1 - 0.95 ** (1 / 20))
    assert Rate(1, 5).p_above(0.1) == pytest.approx(1 - 0.9**5)


def test_f1_of_shares_is_that_of_counts():
    """Cells may hold less than one example, as smoothed tables do."""
    assert f1(np.diag([0.2, 0.3])) == macro_f1(np.diag([0.2, 0.3])) == 1.0


def test_one_pair_alike_has_a_score():
    """Without discordant pairs the share of better ones is estimated as 0."""
    assert statistics.tango(0, 0, 1, 0.1, 0.0) == pytest.approx(-1 / 3)


def test_a_label_that_does_not_occur_is_no_failure():
    """Neither in the label ids nor in the decisions: the mean is over the others."""
    assert f1(np.diag([3, 4, 0])) == macro_f1(np.diag([3, 4, 0])) == 1.0


@pytest.mark.parametrize("metric", [f1, macro_f1, matthews])
def test_the_delta_method_is_the_slopes(metric):
    """On few examples of three labels: half a pair more of each kind, slopes from both sides, their spread by weight."""
    table = np.random.default_rng(1).integers(1, 9, (3, 3, 3)).astype(float)
    gold, smooth = table.sum(axis=(1, 2)), table.copy()
    for label, other in itertools.permutations(range(3), 2):
        share = gold[label] / gold.sum()
        smooth[label, label, other] += share  # four pairs, over two ways and two other labels
        smooth[label, other, label] += share

    def damage(of):
        return metric(of.sum(axis=2)) - metric(of.sum(axis=1))

    slopes = np.empty_like(smooth)
    for cell in np.ndindex(smooth.shape):
        up, down = smooth.copy(), smooth.copy()
        up[cell], down[cell] = up[cell] + 1e-4, down[cell] - 1e-4
        slopes[cell] = (damage(up) - damage(down)) / 2e-4
    found = statistics.metric_damage(table, metric)
    assert found.error == pytest.approx(math.sqrt((smooth * slopes**2).sum()), rel=1e-3)
    assert (found.value, found.df) == (damage(table), gold.min() - 1)


def test_the_delta_method_centres_the_influence():
    """A metric that counts, and does not divide, varies with the deviations of examples from their mean."""
    table = np.zeros((2, 2, 2))
    table[0, 0, 0], table[1, 1, 1], table[0, 0, 1], table[1, 0, 1] = 40, 30, 26, 4
    found = statistics.metric_damage(table, np.trace)
    worse, better, n = 28, 6, 104  # of the four pseudo pairs half each way
    assert found.error == pytest.approx(math.sqrt(worse + better - (worse - better) ** 2 / n), rel=1e-6)


@pytest.mark.parametrize(("gold", "df"), [((0, 5, 9), 4.0), ((1, 9, 9), 1.0), ((2, 9, 9), 1.0), ((9, 7, 8), 6.0)])
def test_the_rarest_label_gives_the_degrees_of_freedom(gold, df):
    """Its examples less one, and one at least; a label that does not occur is none."""
    table = np.zeros((3, 3, 3))
    for label, count in enumerate(gold):
        table[label, label, label] = count
    assert statistics.metric_damage(table, f1).df == df


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: PairedAccuracy(3, 3, 5), "5 pairs cannot hold 3 worse and 3 better"),
        (lambda: PairedAccuracy(-1, 0, 5), "cannot hold -1 worse"),
        (lambda: PairedAccuracy(0, 0, 0), "0 pairs"),
        (lambda: PairedAccuracy(0, 0, 5).p_above(1.5), "margin of accuracy lies in -1 to 1, found 1.5"),
        (lambda: PairedAccuracy(0, 0, 5).p_above(-1.5), "margin of accuracy lies in -1 to 1, found -1.5"),
        (lambda: PairedAccuracy(0, 0, 5).interval(0.0), "level lies between 0 and 1, found 0.0"),
        (lambda: PairedAccuracy(0, 0, 5).interval(1.0), "level lies between 0 and 1, found 1.0"),
        (lambda: Rate(3, 2), "2 trials cannot hold 3 hits"),
        (lambda: statistics.mcnemar(-1, 2), "at least 0, found -1 and 2"),
        (lambda: statistics.mean_change([0.5]), "two or more finite numbers"),
        (lambda: statistics.mean_change([0.5, math.nan]), "two or more finite numbers"),
        (lambda: statistics.joint_table([0, 2], [0, 1], [0, 1], 2), "ids must be 0 to 1"),
        (lambda: Rate(0, 0), "0 trials cannot hold 0 hits"),
        (lambda: statistics.metric_damage(np.zeros((2, 2, 2)), matthews), "of shape (L, L, L), found (2, 2, 2)"),
        (lambda: statistics.metric_damage(-np.ones((2, 2, 2)), matthews), "of shape (L, L, L), found (2, 2, 2)"),
        (lambda: statistics.metric_damage(np.ones((1, 1, 1)), matthews), "of shape (L, L, L), found (1, 1, 1)"),
        (lambda: statistics.metric_damage(np.ones((2, 2, 3)), matthews), "of shape (L, L, L), found (2, 2, 3)"),
        (lambda: statistics.metric_damage(np.ones((2, 2)), matthews), "of shape (L, L, L), found (2, 2)"),
        (lambda: statistics.holm({"a": 1.5}), "found 1.5 for a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_data_can_give_is_refused(wrong, message):
    """Impossible counts, levels and shapes are errors that say what was found."""
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()
