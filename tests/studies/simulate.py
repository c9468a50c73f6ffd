"""Measures the error rates of the gate's statistics and verdicts. `python -m tests.studies.simulate [FOLDER] [--measured FILE]`.

It takes about ten minutes and exits 1 if a claim fails. Claims of the statistics: a one-sided test rejects a true hypothesis at
most as often as its level plus one point, and an interval misses at most as often as its level allows plus one point (two-sided
intervals: where 20 or more discordant pairs are expected). Rates are enumerated where the counts are few, and simulated elsewhere;
a simulated claim fails where the rate exceeds its limit by two standard errors of the simulation. The claims of whole verdicts are
in `tests.gate.verdicts`.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy import stats

from lorasent.statistics import estimates as statistics
from lorasent.statistics import power
from lorasent.statistics import retrains as bank
from tests.gate import verdicts
from tests.studies import draw

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
DISCORDANCES = (0.01, 0.02, 0.05, 0.10, 0.20)
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.05)
ALPHAS = (0.05, 0.025, 0.01)
SLACK = 0.01


def row(method, case, rate, nominal, *, claimed=True, replications=0, error=None, slack=SLACK):
    """Returns one measured error rate; 0 replications mean that it is exact."""
    if error is None:
        error = np.sqrt(max(rate, 1 / replications) * (1 - rate) / replications) if replications else 0.0
    held = bool(rate <= nominal + slack + 2 * error + 1e-12)
    return {
        "method": method, "case": case, "rate": float(rate), "nominal": nominal, "claimed": bool(claimed),
        "replications": replications, "standard_error": float(error), "held": held,
    }  # fmt: skip


def tables(n, discordance, damage):
    """Returns the likely counts (worse, better) of discordant pairs, with their probabilities."""
    pairs = np.arange(stats.binom.ppf(1e-9, n, discordance), stats.binom.isf(1e-9, n, discordance) + 1)
    worse = np.arange(pairs[-1] + 1)
    share = min((discordance + damage) / (2 * discordance), 1.0)
    mass = stats.binom.pmf(pairs, n, discordance)[:, None] * stats.binom.pmf(worse[None], pairs[:, None], share)
    inside = worse[None] <= pairs[:, None]
    return np.broadcast_to(worse, mass.shape)[inside], (pairs[:, None] - worse)[inside], mass[inside]


def paired_accuracy() -> Iterator[dict]:
    """Enumerates the corrected score test at every margin, its interval, and McNemar's mid-p."""
    for n, discordance, margin in itertools.product(SIZES, DISCORDANCES, MARGINS):
        if margin > discordance:
            continue
        worse, better, mass = tables(n, discordance, margin)
        above = stats.norm.sf(statistics.tango(worse, better, n, margin, -0.5))
        below = stats.norm.cdf(statistics.tango(worse, better, n, margin, 0.5))
        case = {"n": n, "discordance": discordance, "margin": margin}
        for alpha in ALPHAS:
            yield row("score: p_above", {**case, "alpha": alpha}, mass[above <= alpha].sum(), alpha)
            yield row("score: p_below", {**case, "alpha": alpha}, mass[below <= alpha].sum(), alpha)
            missed = mass[np.minimum(above, below) <= alpha / 2].sum()
            enough = n * discordance >= 20
            yield row("score: two-sided interval", {**case, "alpha": alpha}, missed, alpha, claimed=enough)
            if margin == 0:
                tail = statistics.mid_p(worse, worse + better)
                yield row("mcnemar: one-sided", {**case, "alpha": alpha}, mass[tail <= alpha].sum(), alpha)


def rates() -> Iterator[dict]:
    """Enumerates Clopper-Pearson for one proportion, and Wilson's interval for comparison."""
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


def misses(method, case, estimates, truth, *, claimed=True, two_sided=True, alpha=0.05) -> Iterator[dict]:
    """Counts one-sided and two-sided misses of intervals for one true value."""
    above = np.array([one.p_above(truth) for one in estimates])
    below = np.array([one.p_below(truth) for one in estimates])
    many = len(estimates)
    yield row(f"{method}: p_above", case, np.mean(above <= alpha), alpha, claimed=claimed, replications=many)
    yield row(f"{method}: p_below", case, np.mean(below <= alpha), alpha, claimed=claimed, replications=many)
    either = np.mean(np.minimum(above, below) <= alpha / 2)
    yield row(f"{method}: two-sided", case, either, alpha, claimed=claimed and two_sided, replications=many)


def confirmed(method, case, draw, truth, many, **claims) -> list[dict]:
    """Counts the misses of `draw(many)`; a rate near its limit is measured again with 8 times as many draws."""
    rows = list(misses(method, case, draw(many), truth, **claims))
    if any(one["claimed"] and one["rate"] > one["nominal"] + 0.75 * SLACK for one in rows):
        rows = list(misses(method, case, draw(8 * many), truth, **claims))
    return rows


def metrics(replications=1000) -> Iterator[dict]:
    """Simulates F1, macro F1 and MCC; claimed for 25 examples or more of the rarest label."""
    from lorasent.metrics import by_label, f1, matthews

    def macro_f1(counts):
        return float(by_label(counts)[2][counts.sum(axis=0) + counts.sum(axis=1) > 0].mean())

    random = np.random.default_rng(1)
    sizes, discordances = (50, 200, 1000, 5000), (0.01, 0.05, 0.2)
    for n, discordance, positive, part in itertools.product(sizes, discordances, (0.5, 0.1), (0, 0.5)):
        damage, shares = part * discordance, np.zeros((2, 2, 2))
        for label, share in enumerate((1 - positive, positive)):
            worse, better, accuracy = (discordance + damage) / 2, (discordance - damage) / 2, 0.88
            shares[label, label, 1 - label], shares[label, 1 - label, label] = share * worse, share * better
            shares[label, label, label] = share * (accuracy - worse)
            shares[label, 1 - label, 1 - label] = share * (1 - accuracy - better)
        claims = {"claimed": n * positive >= 25, "two_sided": n * discordance >= 20}
        case = {"n": n, "discordance": discordance, "positive": positive, "damage": damage}
        for name, metric in (("F1", f1), ("macro F1", macro_f1), ("MCC", matthews)):
            truth = metric(shares.sum(axis=2)) - metric(shares.sum(axis=1))

            def draw(many, n=n, shares=shares, metric=metric):
                drawn = random.multinomial(n, shares.ravel(), many).reshape(-1, 2, 2, 2)
                return [statistics.metric_damage(table, metric) for table in drawn]

            yield from confirmed(f"metric_damage {name}", case, draw, truth, replications, **claims)


def differences(kind, random, shape):
    """Draws changes of log loss or Brier score with the heavy tails that classifiers have."""
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
    """Simulates paired means of log loss and Brier scores; claimed where 6 or more cases of a rare fault are expected."""
    random = np.random.default_rng(2)
    for kind, least in {"retrain": 50, "retrain, Brier": 50, "overconfident": 100, "worse": 50, "3 % flipped": 200}.items():
        truth = np.mean([differences(kind, random, 2_000_000).mean() for _ in range(4)])
        for n in (50, 100, 200, 500, 1000, 5000):

            def draw(many, kind=kind, n=n):
                return [statistics.mean_change(differences(kind, random, n)) for _ in range(many)]

            yield from confirmed("mean_change", {"n": n, "kind": kind}, draw, truth, replications, claimed=n >= least)


def retrains(random, many, members, n, seeds, last=None):
    """Draws correct answers, (many, members, n), of retrains with a random seed effect on the logit; `last` is the last one's."""
    base = random.normal(6, 4, (many, 1, n)).astype(np.float32)
    effect = random.normal(0, seeds, (many, members, 1)).astype(np.float32)
    if last is not None:
        effect[:, -1] = last
    return base + effect + random.standard_normal((many, members, n), dtype=np.float32) > 0


def banks(draws=1.2e7) -> Iterator[dict]:
    """Simulates the share of innocent retrains below the bank's bound: claimed 1 %."""
    random = np.random.default_rng(3)
    fresh = 10
    for n, k, seeds in itertools.product((200, 500, 1000, 2000, 5000), (3, 5, 10, 20), (0.0, 0.1)):
        many = int(min(draws / (n * (k + fresh)), 2000))
        blocked = []
        for rights in retrains(random, many, k + fresh, n, seeds):
            scores = rights.mean(axis=1)
            known = bank.Retrains(tuple(scores[:k]), bank.churn(rights[:k]))
            blocked.append(np.mean(scores[k:] < known.lowest(0.99)))
        error = max(float(np.std(blocked)), 0.01) / np.sqrt(many)
        case = {"n": n, "k": k, "seeds": seeds}
        yield row(
            "Retrains: innocent below the bound", case, np.mean(blocked), 0.01, replications=many * fresh, error=error, slack=0
        )


def clusters(replications=1000) -> Iterator[dict]:
    """Simulates rates over pairs of retrains that share seeds: an event is a pair further apart than a threshold."""
    random = np.random.default_rng(6)
    for seeds, rate in itertools.product((5, 8, 12, 20), (0.01, 0.05, 0.2, 0.5)):
        pairs = np.array(list(itertools.combinations(range(seeds), 2)))

        def draw(many, seeds=seeds, rate=rate, pairs=pairs):
            scores = random.standard_normal((many, seeds))
            events = np.abs(scores[:, pairs[:, 0]] - scores[:, pairs[:, 1]]) > np.sqrt(2) * stats.norm.isf(rate / 2)
            return [bank.clustered_rate(event, pairs) for event in events]

        yield from confirmed("clustered_rate", {"seeds": seeds, "rate": rate}, draw, rate, replications)


def agreement(replications=400_000) -> Iterator[dict]:
    """Compares the computed power with drawn tables."""
    random = np.random.default_rng(7)
    cases = ((1000, 0.06, 0.0, 0.02), (1000, 0.06, 0.02, 0.0), (1000, 0.06, 0.02, 0.04), (200, 0.1, 0.05, 0.0))
    for n, discordance, margin, damage in cases:
        shares = [(discordance + damage) / 2, (discordance - damage) / 2, 1 - discordance]
        worse, better, _ = random.multinomial(n, shares, replications).T
        if margin == 0:
            p_values = statistics.mid_p(worse, worse + better)
        elif damage > margin:
            p_values = stats.norm.sf(statistics.tango(worse, better, n, margin, -0.5))
        else:
            p_values = stats.norm.cdf(statistics.tango(worse, better, n, margin, 0.5))
        computed = power.power(n, damage, discordance, margin)
        case = {"n": n, "discordance": discordance, "margin": margin, "damage": damage}
        drawn = float(np.mean(p_values <= 0.05))
        off = abs(drawn - computed)
        yield row("computed power less drawn power", {**case, "power": computed, "drawn": drawn}, off, 0, slack=0.003)


def size() -> list[dict]:
    """Returns every row of every method."""
    rows = []
    for part in (paired_accuracy, rates, means, clusters, metrics, banks, agreement):
        started = time.perf_counter()
        rows += part()
        print(f"{part.__name__}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return rows


def worst(rows) -> list[dict]:
    """Returns for each method, claimed or not, its worst row, and how many of its rows hold."""
    table = []
    for method, claimed in itertools.product(dict.fromkeys(one["method"] for one in rows), (True, False)):
        mine = [one for one in rows if (one["method"], one["claimed"]) == (method, claimed)]
        if mine:
            farthest = max(mine, key=lambda one: one["rate"] - one["nominal"])
            table.append({**farthest, "cases": len(mine), "held": sum(one["held"] for one in mine)})
    return table


def claims(measured, real=None) -> list[dict]:
    """Measures the claims about verdicts; with `real`, innocents also at the spread of those retrains, by their policy's limits."""
    parts = {"passing": verdicts.passing} | {
        name: lambda part=part: part(measured)
        for name, part in (
            ("passing_with_bank", verdicts.passing_with_bank),
            ("dropping", verdicts.dropping),
            ("familywise", verdicts.familywise),
            ("innocent", verdicts.innocent),
        )
    }
    if real is not None:
        moved, limits = real
        parts["innocent_real"] = lambda: (
            {**row, "claim": f"{row['claim']}, at the measured spread"} for row in verdicts.innocent(moved, **limits)
        )
    rows = []
    for name, part in parts.items():
        started = time.perf_counter()
        with verdicts.unexplained():
            rows += part()
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    started = time.perf_counter()
    rows += verdicts.resolving()
    print(f"resolving: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return rows


def rounded(value):
    """Rounds numbers to 5 digits; further digits are noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def shown(table) -> None:
    """Prints the worst rows of the statistics."""
    for one in table:
        how = f"{one['replications']} drawn" if one["replications"] else "exact"
        name = f"{one['method']}{'' if one['claimed'] else ', NOT CLAIMED'}"
        print(f"{name}: {one['held']}/{one['cases']} held; worst {one['rate']:.4f} of {one['nominal']} at {one['case']}, {how}")


def shown_claims(rows) -> None:
    """Prints the rows of verdicts."""
    for one in rows:
        how = f"{one['low']:.4f} to {one['high']:.4f}, {one['drawn']} drawn" if "low" in one else f"{one['drawn'] or 'no'} drawn"
        state = ("" if one["within"] else "BEYOND ") if one["held"] else "FAILED "
        print(f"{state}{one['claim']}: {one['rate']:.4f} of {one['limit']} ({how}) at {one['case']}")


def main() -> int:
    """Prints the worst cases and writes the files that were asked for; returns 1 if a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder for size.json, claims.json, power.json and power.svg")
    parser.add_argument("--measured", type=Path, help="a file like golden/measured/proof.json: simulates its spread, too")
    parser.add_argument("--only", choices=("size", "claims", "power"), help="run one part only")
    asked = parser.parse_args()
    measured, real = verdicts.Retraining(**verdicts.MEASURED), None
    if asked.measured:
        proof = json.loads(asked.measured.read_text("utf-8"))["embedded"]
        moved = proof["retraining"]
        between = moved["spread"] ** 2 - moved["discordance"] / (2 * moved["n"])  # the variance of single reviews is taken off
        retrains = verdicts.Retraining(moved["accuracy"], max(between, 1e-8) ** 0.5, moved["discordance"])
        policy = proof["policy"]
        real = retrains, {"margin": policy["quality"]["margin"], "brier": policy["calibration"]["max_brier_increase"]}
    about, written, failed = "The gate's error rates; made by python -m tests.studies.simulate", {}, False
    if asked.only in {None, "size"}:
        rows = size()
        written["size"] = {"about": about, "worst": worst(rows)}
        shown(written["size"]["worst"])
        failed |= any(one["claimed"] and not one["held"] for one in rows)
    if asked.only in {None, "claims"}:
        found = claims(measured, real)
        terms = (
            "within: the rate keeps its limit; held: its 95 % interval (low, high) does not contradict the limit; drawn 0: exact"
        )
        drawn_with = {"assumed": asdict(measured), "measured": asdict(real[0]) if real else None}
        written["claims"] = {"about": f"{about}; {terms}", **drawn_with, "claims": verdicts.compact(found)}
        shown_claims(found)
        failed |= not all(one["held"] for one in found)
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
        if asked.only in {None, "power"}:
            with verdicts.unexplained():
                written["power"] = verdicts.curves(measured)
            draw.power(written["power"], asked.folder / "power.svg")
        for name, content in written.items():
            lines = json.dumps(rounded(content), indent=1, ensure_ascii=False)
            (asked.folder / f"{name}.json").write_text(verdicts.packed(lines) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
