"""Error rates of the gate's statistics: `python -m tests.gate.simulate OUT.json`, about two minutes, exit 1 if a claim fails.

The claims: no one-sided test rejects a true hypothesis more often than its level plus one point, and no interval misses more
often than its level allows plus one point (two-sided ones: where 20 or more discordant pairs are expected). Enumerated where the
counts are few; otherwise simulated, and a claim fails where the rate exceeds its limit by two standard errors of the simulation.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from lorasent.gate import statistics

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
DISCORDANCES = (0.01, 0.02, 0.05, 0.10, 0.20)
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.05)
ALPHAS = (0.05, 0.025, 0.01)
SLACK = 0.01


def row(method, case, rate, nominal, *, claimed=True, replications=0, error=None, slack=SLACK):
    """One measured rate of errors; 0 replications: exact."""
    if error is None:
        error = np.sqrt(max(rate, 1 / replications) * (1 - rate) / replications) if replications else 0.0
    held = bool(rate <= nominal + slack + 2 * error + 1e-12)
    return {
        "method": method, "case": case, "rate": float(rate), "nominal": nominal, "claimed": bool(claimed),
        "replications": replications, "standard_error": float(error), "held": held,
    }  # fmt: skip


def tables(n, discordance, damage):
    """All likely (worse, better) with their probabilities."""
    pairs = np.arange(stats.binom.ppf(1e-9, n, discordance), stats.binom.isf(1e-9, n, discordance) + 1)
    worse = np.arange(pairs[-1] + 1)
    share = min((discordance + damage) / (2 * discordance), 1.0)
    mass = stats.binom.pmf(pairs, n, discordance)[:, None] * stats.binom.pmf(worse[None], pairs[:, None], share)
    inside = worse[None] <= pairs[:, None]
    return np.broadcast_to(worse, mass.shape)[inside], (pairs[:, None] - worse)[inside], mass[inside]


def paired_accuracy() -> Iterator[dict]:
    """Exact: the corrected score test at every margin, its interval, and McNemar's mid-p."""
    for n, discordance, margin in itertools.product(SIZES, DISCORDANCES, MARGINS):
        if margin > discordance:
            continue
        worse, better, mass = tables(n, discordance, margin)
        above = stats.norm.sf(statistics._score(worse, better, n, margin, -0.5))
        below = stats.norm.cdf(statistics._score(worse, better, n, margin, 0.5))
        case = {"n": n, "discordance": discordance, "margin": margin}
        for alpha in ALPHAS:
            yield row("score: p_above", {**case, "alpha": alpha}, mass[above <= alpha].sum(), alpha)
            yield row("score: p_below", {**case, "alpha": alpha}, mass[below <= alpha].sum(), alpha)
            missed = mass[np.minimum(above, below) <= alpha / 2].sum()
            enough = n * discordance >= 20
            yield row("score: two-sided interval", {**case, "alpha": alpha}, missed, alpha, claimed=enough)
            if margin == 0:
                tail = statistics._mid_p(worse, worse + better)
                both = 2 * statistics._mid_p(np.maximum(worse, better), worse + better)
                yield row("mcnemar: one-sided", {**case, "alpha": alpha}, mass[tail <= alpha].sum(), alpha)
                yield row("mcnemar: two-sided", {**case, "alpha": alpha}, mass[both <= alpha].sum(), alpha)


def rates() -> Iterator[dict]:
    """Exact: Clopper-Pearson for one proportion, and Wilson's for comparison."""
    for n, rate in itertools.product(SIZES, (0.0005, 0.002, 0.01, 0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 0.998)):
        hits = np.arange(n + 1)
        mass = stats.binom.pmf(hits, n, rate)
        above, below = stats.binom.sf(hits - 1, n, rate), stats.binom.cdf(hits, n, rate)
        z = (hits - n * rate) / np.sqrt(n * rate * (1 - rate))
        for alpha in ALPHAS:
            case = {"n": n, "rate": rate, "alpha": alpha}
            one_sided = max(mass[above <= alpha].sum(), mass[below <= alpha].sum())
            yield row("Clopper-Pearson: one-sided", case, one_sided, alpha)
            yield row("Clopper-Pearson: two-sided", case, mass[np.minimum(above, below) <= alpha / 2].sum(), alpha)
            missed = mass[np.abs(z) > stats.norm.isf(alpha / 2)].sum()
            yield row("(Wilson, not used: two-sided)", case, missed, alpha, claimed=False)


def misses(method, case, estimates, truth, *, claimed=True, alpha=0.05) -> Iterator[dict]:
    """One-sided and two-sided misses of estimates of one truth."""
    above = np.array([one.p_above(truth) for one in estimates])
    below = np.array([one.p_below(truth) for one in estimates])
    many = len(estimates)
    yield row(f"{method}: p_above", case, np.mean(above <= alpha), alpha, claimed=claimed, replications=many)
    yield row(f"{method}: p_below", case, np.mean(below <= alpha), alpha, claimed=claimed, replications=many)
    either = np.mean(np.minimum(above, below) <= alpha / 2)
    yield row(f"{method}: two-sided", case, either, alpha, claimed=claimed, replications=many)


def metrics(replications=2000) -> Iterator[dict]:
    """F1, macro F1 and MCC; claimed for 50 examples or more of the rarest label and 20 or more discordant pairs."""
    from lorasent.metrics import matthews

    random = np.random.default_rng(1)
    for n, discordance, positive in itertools.product((200, 1000, 5000), (0.02, 0.1, 0.2), (0.5, 0.1)):
        for damage in (0.0, discordance / 2):
            shares = np.zeros((2, 2, 2))
            for label, share in enumerate((1 - positive, positive)):
                worse, better, accuracy = (discordance + damage) / 2, (discordance - damage) / 2, 0.88
                shares[label, label, 1 - label], shares[label, 1 - label, label] = share * worse, share * better
                shares[label, label, label] = share * (accuracy - worse)
                shares[label, 1 - label, 1 - label] = share * (1 - accuracy - better)
            drawn = random.multinomial(n, shares.ravel(), replications).reshape(-1, 2, 2, 2)
            claimed = n * discordance >= 20 and n * positive >= 50
            case = {"n": n, "discordance": discordance, "positive": positive, "damage": damage}
            for name, metric in (("F1", statistics.f1), ("macro F1", statistics.macro_f1), ("MCC", matthews)):
                truth = metric(shares.sum(axis=2)) - metric(shares.sum(axis=1))
                estimates = [statistics.metric_damage(table, metric) for table in drawn]
                yield from misses(f"metric_damage {name}", case, estimates, truth, claimed=claimed)


def differences(kind, random, shape):
    """Changes of log loss or Brier score whose scores have the heavy tails of classifiers."""
    before = random.standard_t(4, shape) * 1.6 + 2.4
    after = {
        "retrain": lambda: before + random.normal(0, 0.8, shape),
        "retrain, Brier": lambda: before + random.normal(0, 0.8, shape),
        "overconfident": lambda: before * 1.4,
        "worse": lambda: before - random.gamma(0.5, 1, shape),
        "3 % flipped": lambda: np.where(random.random(shape) < 0.03, -before, before + random.normal(0, 0.5, shape)),
    }[kind]()
    if "Brier" in kind:
        return (1 + np.exp(after)) ** -2.0 - (1 + np.exp(before)) ** -2.0
    return np.logaddexp(0, -after) - np.logaddexp(0, -before)


def means(replications=2000) -> Iterator[dict]:
    """Paired means of log loss and Brier scores; claimed for 100 examples or more, and 6 or more of a rare fault."""
    random = np.random.default_rng(2)
    for kind in ("retrain", "retrain, Brier", "overconfident", "worse", "3 % flipped"):
        truth = np.mean([differences(kind, random, 2_000_000).mean() for _ in range(4)])
        for n in (50, 100, 200, 500, 1000):
            estimates = [statistics.mean_change(one) for one in differences(kind, random, (replications, n))]
            yield from misses("mean_change", {"n": n, "kind": kind}, estimates, truth, claimed=n >= (200 if "%" in kind else 100))


def retrains(random, many, members, n, seeds, last=None):
    """Rights (many, members, n) of retrains with a random effect of the seed on the logit; `last` is the last one's."""
    base = random.normal(6, 4, (many, 1, n)).astype(np.float32)
    effect = random.normal(0, seeds, (many, members, 1)).astype(np.float32)
    if last is not None:
        effect[:, -1] = last
    return base + effect + random.standard_normal((many, members, n), dtype=np.float32) > 0


def banks(draws=1.2e7) -> Iterator[dict]:
    """How many innocent retrains lie below the bound of the bank: claimed 1 %."""
    random = np.random.default_rng(3)
    fresh = 10
    for n, k, seeds in itertools.product((200, 500, 1000, 2000, 5000), (3, 5, 10, 20), (0.0, 0.1)):
        many = int(min(draws / (n * (k + fresh)), 2000))
        blocked = []
        for rights in retrains(random, many, k + fresh, n, seeds):
            scores = rights.mean(axis=1)
            bank = statistics.Retrains(tuple(scores[:k]), statistics.churn(rights[:k]))
            blocked.append(np.mean(scores[k:] < bank.lowest(0.99)))
        error = max(float(np.std(blocked)), 0.01) / np.sqrt(many)
        case = {"n": n, "k": k, "seeds": seeds}
        yield row(
            "Retrains: innocent below the bound", case, np.mean(blocked), 0.01, replications=many * fresh, error=error, slack=0
        )


def bank_power(many=2000) -> dict:
    """A candidate 3 points below a recipe whose spread is half a point, margin 2, n 5000, bank of 10: blocked unless passed."""
    random = np.random.default_rng(4)
    seeds = 0.137  # 0.46 points of accuracy; with the churn, a standard deviation of 0.5
    shift = stats.norm.ppf(stats.norm.cdf(6 / np.sqrt(17)) - 0.03) * np.sqrt(17) - 6
    outside, passed, blocked, spreads = [], [], [], []
    for _ in range(many // 50):
        for rights in retrains(random, 50, 11, 5000, seeds, random.normal(shift, seeds, (50, 1))):
            scores = rights.mean(axis=1)
            bank = statistics.Retrains(tuple(scores[:10]), statistics.churn(rights[:10]))
            outside.append(scores[10] < bank.lowest(0.99))
            passed.append(statistics.damage_against_bank(rights[:10], rights[10]).interval(0.9).high < 0.02)
            blocked.append(outside[-1] and not passed[-1])
            spreads.append(bank.spread)
    shares = {"outside": outside, "passed": passed, "blocked": blocked}
    spread = float(np.sqrt(np.mean(np.square(spreads))))
    return {"drawn": many, "spread": spread, **{name: float(np.mean(each)) for name, each in shares.items()}}


def bank_damage(draws=4e7) -> Iterator[dict]:
    """The damage against the recipe's mean: examples and seeds drawn, the candidate fixed."""
    random = np.random.default_rng(5)
    for n, k, seeds, shift in itertools.product((200, 1000, 5000), (3, 5, 10), (0.05, 0.1, 0.3), (-0.5,)):
        many = int(min(draws / (n * (k + 1)), 2000))
        truth = stats.norm.cdf(6 / np.sqrt(17 + seeds**2)) - stats.norm.cdf((6 + shift) / np.sqrt(17))
        drawn = retrains(random, many, k + 1, n, seeds, shift)
        estimates = [statistics.damage_against_bank(rights[:-1], rights[-1]) for rights in drawn]
        yield from misses("damage_against_bank", {"n": n, "k": k, "seeds": seeds, "shift": shift}, estimates, truth)


def clusters(replications=1000) -> Iterator[dict]:
    """Rates over pairs of retrains that share seeds: an event is a pair further apart than so much."""
    random = np.random.default_rng(6)
    for seeds, rate in itertools.product((5, 8, 12, 20), (0.01, 0.05, 0.2, 0.5)):
        pairs = np.array(list(itertools.combinations(range(seeds), 2)))
        scores = random.standard_normal((replications, seeds))
        events = np.abs(scores[:, pairs[:, 0]] - scores[:, pairs[:, 1]]) > np.sqrt(2) * stats.norm.isf(rate / 2)
        estimates = [statistics.clustered_rate(event, pairs) for event in events]
        yield from misses("clustered_rate", {"seeds": seeds, "rate": rate}, estimates, rate)


def agreement(replications=400_000) -> Iterator[dict]:
    """The computed power against drawn tables."""
    random = np.random.default_rng(7)
    cases = ((1000, 0.06, 0.0, 0.02), (1000, 0.06, 0.02, 0.0), (1000, 0.06, 0.02, 0.04), (200, 0.1, 0.05, 0.0))
    for n, discordance, margin, damage in cases:
        shares = [(discordance + damage) / 2, (discordance - damage) / 2, 1 - discordance]
        worse, better, _ = random.multinomial(n, shares, replications).T
        if margin == 0:
            p_values = statistics._mid_p(worse, worse + better)
        elif damage > margin:
            p_values = stats.norm.sf(statistics._score(worse, better, n, margin, -0.5))
        else:
            p_values = stats.norm.cdf(statistics._score(worse, better, n, margin, 0.5))
        computed = statistics.power(n, damage, discordance, margin)
        case = {"n": n, "discordance": discordance, "margin": margin, "damage": damage}
        yield {**case, "power": computed, "drawn": float(np.mean(p_values <= 0.05))}


def main(path: str | None) -> int:
    """Prints the worst cases of each method, writes all rows."""
    rows = []
    for part in (paired_accuracy, rates, means, clusters, metrics, banks, bank_damage):
        started = time.perf_counter()
        rows += part()
        print(f"{part.__name__}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    found = {"power": list(agreement()), "bank_power": bank_power()}
    for method in dict.fromkeys(one["method"] for one in rows):
        for claimed in (True, False):
            mine = [one for one in rows if one["method"] == method and one["claimed"] == claimed]
            if mine:
                worst = max(mine, key=lambda one: one["rate"] - one["nominal"])
                share = f"{sum(one['held'] for one in mine)}/{len(mine)} held"
                how = f"{worst['replications']} drawn" if worst["replications"] else "exact"
                where = f"worst {worst['rate']:.4f} of {worst['nominal']} at {worst['case']}, {how}"
                print(f"{method:36} {'' if claimed else 'NOT CLAIMED '}{share}; {where}")
    print(json.dumps(found, indent=1))
    if path:
        Path(path).write_text(json.dumps({"rows": rows, **found}, indent=1) + "\n", encoding="utf-8")
    return int(any(one["claimed"] and not one["held"] for one in rows))


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [None])))
