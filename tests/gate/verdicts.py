"""Error rates and power of whole verdicts: `quality.ask`, `calibration.ask` and `settle` on answers with drawn rights.

Part of `python -m tests.studies.simulate`. With one baseline and nothing but the metric the outcome hangs on two counts, so that
it is enumerated; otherwise retrains are drawn. A retrain is right where a logit is positive: the review's ease, the seed's
effect, and noise; their variances give the measured accuracy, the spread of the seeds' true accuracies, and the discordance
of two retrains (`MEASURED`, or `--measured FILE`). A true drop is the incumbent's true accuracy less the candidate's.
"""

import functools
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from unittest import mock

import numpy as np
from scipy import optimize, stats

from lorasent.data.reviews import Reviews
from lorasent.errors import PolicyError
from lorasent.gate.calibration import Calibration
from lorasent.gate.finding import Outcome, settle
from lorasent.gate.quality import Quality
from lorasent.scoring.evidence import Answers
from lorasent.statistics import power
from tests.gate.answers import calibration_claims, quality_claims

ALPHA = 0.05
MARGIN = 0.02
BRIER = 0.01
MEASURED = {"accuracy": 0.90, "spread": 0.0045, "discordance": 0.05}
MAX_LENGTH = 512
ORDER = (Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.PASS)
GENRES = 29
FAMILIES = {"the metric": (), "about 12 claims": ("length", "truncated"), "about 40 claims": ("length", "truncated", "genre")}
"""Policies by their slices; those with slices also have a floor and two scores of calibration."""


@dataclass(frozen=True)
class Retraining:
    """Retrains of a recipe: the distribution of their rights."""

    accuracy: float
    spread: float
    discordance: float

    @functools.cached_property
    def ease(self) -> float:
        """The standard deviation of reviews' ease that gives the discordance, where that of the noise is 1."""
        z = stats.norm.ppf(self.accuracy)

        def excess(ease: float) -> float:
            shared = ease**2 / (ease**2 + 1)
            both = stats.multivariate_normal.cdf([z, z], cov=[[1, shared], [shared, 1]])
            return 2 * (self.accuracy - both) - self.discordance

        return float(optimize.brentq(excess, 1e-3, 300))

    @property
    def scale(self) -> float:
        """The standard deviation of a logit over reviews."""
        return float(np.hypot(self.ease, 1))

    def logit(self, accuracy):
        """The mean logit of this accuracy."""
        return self.scale * stats.norm.ppf(accuracy)

    def true(self, logit):
        """The true accuracy of a mean logit."""
        return stats.norm.cdf(logit / self.scale)

    def below(self, logit, drop):
        """The mean logit whose true accuracy is so much lower."""
        return self.logit(self.true(logit) - drop)

    def seeds(self, random, count, drop=0.0):
        """Mean logits of so many retrains of a recipe so much worse."""
        slope = self.scale / stats.norm.pdf(stats.norm.ppf(self.accuracy))
        return self.logit(self.accuracy - drop) + random.normal(0, self.spread * slope, count)

    def draw(self, random, n, logits):
        """Logits of the right label, (retrains, n), of retrains with these mean logits."""
        ease = random.normal(0, self.ease, n).astype(np.float32)
        noise = random.standard_normal((len(logits), n), dtype=np.float32)
        return np.asarray(logits, dtype=np.float32)[:, None] + ease + noise


@functools.cache
def reviews(n):
    """Reviews of which every other is positive, in genres of chance."""
    genres = np.random.default_rng(n).integers(0, GENRES, n)
    return Reviews("drawn", [""] * n, np.arange(n) % 2, {"genre": [f"genre {genre}" for genre in genres]})


@functools.cache
def lengths(n):
    """Lengths in tokens, of which a quarter is cut."""
    return np.random.default_rng(n).integers(10, 4 * MAX_LENGTH // 3, n)


def answers(logits):
    """Answers that are right where the logit of the right label, (n,), is positive."""
    n = len(logits)
    positive = np.where(np.arange(n) % 2, logits, -logits) / 4
    return Answers(np.stack([-positive, positive], axis=1), lengths(n))


def outcomes(policy, candidate, bank, limits=None):
    """Outcomes by check, of the deciding code; a policy that cannot be judged has none."""
    data = reviews(len(candidate.logits))
    try:
        claims = quality_claims(policy, data, candidate, bank, MAX_LENGTH, ALPHA)
    except PolicyError:
        return {}
    if limits is not None:
        claims += calibration_claims(limits, data, candidate, bank[0], ALPHA)
    return {finding.check: finding.outcome for finding in settle(claims, ALPHA)}


def worst(found):
    """The verdict of outcomes by check."""
    return min(found.values(), key=ORDER.index) if found else None


def metric(found):
    """The verdict of the policy's metric and the bank alone."""
    return worst({name: outcome for name, outcome in found.items() if name in {"quality::accuracy", "quality::retraining"}})


@contextmanager
def unexplained():
    """Without the figures that only explain: sample sizes cost more than the decision."""
    with mock.patch.object(power, "detectable", return_value=0.0), mock.patch.object(power, "needed", return_value=0):
        yield


def asks(family, measured, margin=MARGIN, brier=BRIER):
    """The policy of a family's name, and its limits of calibration."""
    if family == "the metric":
        return Quality(margin=margin), None
    least = round(measured.accuracy - 2 * margin, 4)
    return Quality(margin=margin, min=least, slices=FAMILIES[family]), Calibration(
        max_brier_increase=brier, max_log_loss_increase=0.05
    )


def share(claim, hits, many, limit, case, *, least=False):
    """A measured rate, and whether it is at most (at least) the limit; held unless the 95 % interval lies beyond it."""
    low = float(stats.beta.ppf(0.025, hits, many - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(0.975, hits + 1, many - hits)) if hits < many else 1.0
    held = high >= limit if least else low <= limit
    return {
        "claim": claim, "case": case, "rate": hits / many, "limit": limit, "least": least, "drawn": many,
        "low": low, "high": high, "within": bool(hits / many >= limit if least else hits / many <= limit), "held": bool(held),
    }  # fmt: skip


# --- one baseline, the metric alone: enumerated ---


@functools.cache
def _tables(n):
    right = answers(np.full(n, 2, dtype=np.float32))
    return right, right.logits[:, ::-1]


def table(n, worse, better):
    """A candidate and an incumbent that differ on so many reviews."""
    right, wrong = _tables(n)
    logits = [right.logits.copy(), right.logits.copy()]
    logits[0][:worse] = wrong[:worse]
    logits[1][worse : worse + better] = wrong[worse : worse + better]
    return [Answers(one, right.lengths) for one in logits]


def limits(n, margin, most):
    """For each number of discordant pairs to `most`: the fewest worse ones that do not pass, and that block."""
    policy, found = Quality(margin=margin), {}
    for name, beyond in (("passes", lambda one: one is not Outcome.PASS), ("blocks", lambda one: one is Outcome.BLOCK)):

        def decides(worse, pairs, beyond=beyond):
            candidate, incumbent = table(n, worse, pairs - worse)
            return beyond(worst(outcomes(policy, candidate, [incumbent])))

        fewest = [0]
        for pairs in range(most + 1):
            worse = min(fewest[-1], pairs)
            while worse > 0 and decides(worse - 1, pairs):
                worse -= 1
            while worse <= pairs and not decides(worse, pairs):
                worse += 1
            fewest.append(worse)
        found[name] = np.array(fewest[1:])
    return found


def enumerated(fewest, n, discordance, damage):
    """The probability of so many worse ones or more."""
    both = max(discordance, damage)
    pairs = np.arange(len(fewest))
    return float(stats.binom.pmf(pairs, n, both) @ stats.binom.sf(fewest - 1, pairs, (both + damage) / (2 * both)))


def most_pairs(n, discordance):
    """Discordant pairs beyond which lies 1e-9."""
    return int(stats.binom.isf(1e-9, n, discordance))


def passing(sizes=(50, 200, 1000, 2000, 5000), margins=(0.01, 0.02, 0.05)) -> Iterator[dict]:
    """(a) PASS at a true damage of the margin, and of 1.5 times it: at most 5 %, exactly."""
    for n, margin in itertools.product(sizes, margins):
        found = limits(n, margin, most_pairs(n, 0.20))
        for discordance, times in itertools.product((0.02, 0.05, 0.10, 0.20), (1.0, 1.5)):
            if times * margin > discordance:
                continue
            rate = max(0.0, 1 - enumerated(found["passes"], n, discordance, times * margin))
            case = {"n": n, "margin": margin, "discordance": discordance, "damage": round(times * margin, 4)}
            yield {
                "claim": "a: PASS at damage of the margin or more, one baseline", "case": case, "rate": rate, "limit": ALPHA,
                "drawn": 0, "within": rate <= ALPHA, "held": rate <= ALPHA + 0.01,
            }  # fmt: skip


# --- banks: drawn ---


def passing_with_bank(measured, many=1000) -> Iterator[dict]:
    """(a) With a bank: the candidate's true accuracy is the incumbent's less the margin; 5 % may pass."""
    for n, margin, k, times in itertools.product((50, 200, 1000, 2000, 5000), (0.01, 0.02, 0.05), (3, 10), (1.0, 1.5)):
        random, policy, passed = np.random.default_rng([1, n, k, int(1e4 * margin * times)]), Quality(margin=margin), 0
        for _ in range(many):
            logits = measured.seeds(random, k)
            own = measured.below(logits[0], times * margin)
            drawn = [answers(one) for one in measured.draw(random, n, [own, *logits])]
            passed += worst(outcomes(policy, drawn[0], drawn[1:])) is Outcome.PASS
        case = {"n": n, "margin": margin, "k": k, "damage": round(times * margin, 4)}
        yield share("a: PASS at damage of the margin or more, with a bank", passed, many, ALPHA, case)


def dropping(measured, many=1000) -> Iterator[dict]:
    """(b) Three points, margin two, n 5000, a bank of 10: at least 95 % BLOCK, however many claims the policy has.

    The drop is below the incumbent itself, or of the recipe's mean: then luck is the incumbent's and the candidate's.
    """
    for of, family in itertools.product(("incumbent", "recipe"), FAMILIES):
        random, blocked, whole = np.random.default_rng(2), 0, 0
        policy, extra = asks(family, measured)
        for _ in range(many):
            bank = measured.seeds(random, 10)
            own = measured.below(bank[0], 0.03) if of == "incumbent" else measured.seeds(random, 1, 0.03)[0]
            drawn = [answers(one) for one in measured.draw(random, 5000, [own, *bank])]
            found = outcomes(policy, drawn[0], drawn[1:], extra)
            blocked += metric(found) is Outcome.BLOCK
            whole += worst(found) is Outcome.BLOCK
        case = {"n": 5000, "k": 10, "drop": 0.03, "below": of, "claims": len(found), "whole policy": whole / many}
        yield share("b: BLOCK by the metric or the bank at 3 points", blocked, many, 0.95, case, least=True)


def familywise(measured, many=1500) -> Iterator[dict]:
    """BLOCK where every hypothesis holds at its bound: the metric, the slices and the floor; at most 5 %."""
    for n, family in itertools.product((1000, 5000), FAMILIES):
        random, blocked = np.random.default_rng([3, n]), 0
        floor = None if family == "the metric" else measured.accuracy - MARGIN
        policy = Quality(margin=MARGIN, min=floor, slices=FAMILIES[family], slice_margin=MARGIN)
        logits = [measured.logit(measured.accuracy - MARGIN), measured.logit(measured.accuracy)]
        for _ in range(many):
            drawn = [answers(one) for one in measured.draw(random, n, logits)]
            found = outcomes(policy, drawn[0], drawn[1:])
            blocked += worst(found) is Outcome.BLOCK
        yield share("b: BLOCK where all hypotheses hold, at their bounds", blocked, many, ALPHA, {"n": n, "claims": len(found)})


def innocent(measured, many=4000, sizes=(400, 1000, 2000, 5000), banks=(1, 3, 5, 10), margin=MARGIN, brier=BRIER) -> Iterator[dict]:
    """(c, d) Retrains by the whole policy: at most 1 % BLOCK; by the metric at n 2000, at most 10 % INCONCLUSIVE."""
    policy, extra = asks("about 12 claims", measured, margin, brier)
    for n in sizes:
        random, found = np.random.default_rng([4, n]), {k: [] for k in banks}
        for _ in range(many):
            drawn = [answers(one) for one in measured.draw(random, n, measured.seeds(random, max(banks) + 1))]
            for k in banks:
                found[k].append(outcomes(policy, drawn[0], drawn[1 : k + 1], extra))
        for k in banks:
            case, own = (
                {"n": n, "k": k, "margin": margin, "brier": brier, "claims": len(found[k][-1])},
                [metric(one) for one in found[k]],
            )
            blocked = sum(worst(one) is Outcome.BLOCK for one in found[k])
            yield share("c: innocent BLOCK, whole policy", blocked, many, 0.01, case)
            undecided = {
                "metric": own.count(Outcome.INCONCLUSIVE),
                "whole": sum(worst(o) is Outcome.INCONCLUSIVE for o in found[k]),
            }
            if (n, margin) == (2000, MARGIN):
                yield share("d: innocent INCONCLUSIVE, the metric", undecided["metric"], many, 0.10, case)
                yield share("(innocent INCONCLUSIVE, whole policy)", undecided["whole"], many, 1.0, case)


def curves(measured, many=400, sizes=(200, 500, 1000, 2000, 5000), banks=(1, 3, 5, 10, 20)) -> dict:
    """(e) The share of BLOCK, INCONCLUSIVE and PASS against the true drop, by n and bank; what is left is INVALID."""
    drops, policy, rows = np.arange(0, 0.0601, 0.005), Quality(margin=MARGIN), []
    for n in sizes:
        random, counts = np.random.default_rng([5, n]), np.zeros((len(banks), len(drops), 3), dtype=int)
        for _ in range(many):
            bank = measured.seeds(random, max(banks))
            drawn = measured.draw(random, n, [*bank, 0])
            members = [answers(one) for one in drawn[:-1]]
            for column, drop in enumerate(drops):
                candidate = answers(drawn[-1] + np.float32(measured.below(bank[0], drop)))
                for line, k in enumerate(banks):
                    outcome = worst(outcomes(policy, candidate, members[:k]))
                    if outcome is not None:
                        counts[line, column, ORDER.index(outcome)] += 1
        for line, k in enumerate(banks):
            shares = {name.value: (counts[line, :, place] / many).tolist() for place, name in enumerate(ORDER)}
            rows.append({"n": n, "k": k, **shares})
    about = "P(outcome) against the true drop: the incumbent's accuracy less the candidate's; the policy has the metric alone"
    return {
        "about": about,
        **asdict(measured),
        "margin": MARGIN,
        "drawn": many,
        "drops": np.round(drops, 4).tolist(),
        "curves": rows,
    }


# --- the printed figures ---


def where(rate, low, high, wanted=0.8):
    """The damage at which an increasing rate is as wanted."""
    return float(optimize.brentq(lambda damage: rate(damage) - wanted, low, high, xtol=1e-5))


def printed(n, discordance, margin, slices=(), floor=None):
    """What the tool says, of answers as discordant as expected, that it can show and block."""
    pairs = round(n * discordance)
    candidate, incumbent = table(n, pairs // 2, pairs - pairs // 2)
    data = reviews(n)
    claims = quality_claims(Quality(margin=margin, slices=slices, min=floor), data, candidate, [incumbent], MAX_LENGTH, ALPHA)
    (found,) = [finding for finding in settle(claims, ALPHA) if finding.check == "quality::accuracy"]
    return found.figures["detectable"], found.figures["blockable"], len(claims)


def resolving(many=400) -> Iterator[dict]:
    """(g) The smallest drops that the tool prints, against those that it shows and blocks in 80 % of cases: within 0.2 points."""
    cases = ((1000, 0.06, 0.02), (500, 0.10, 0.05), (2000, 0.05, 0.02), (5000, 0.05, 0.01))
    for (n, discordance, margin), family in itertools.product(cases, FAMILIES):
        floor = None if family == "the metric" else 0.5
        policy = Quality(margin=margin, slices=FAMILIES[family], min=floor)
        shown, blocked, claims = printed(n, discordance, margin, FAMILIES[family], floor)
        for name, figure in (("shows", shown), ("blocks", blocked)) if floor is None else (("blocks", blocked),):
            random, drops = np.random.default_rng([6, n]), figure + np.linspace(-0.004, 0.004, 5)
            with unexplained():
                rates = [resolved(random, policy, n, discordance, drop, name, many) for drop in drops]
            slope, level = np.polyfit(drops, stats.norm.ppf(rates), 1)
            drawn = float((stats.norm.ppf(0.8) - level) / slope)
            case = {"n": n, "discordance": discordance, "margin": margin, "claims": claims, "printed": figure, "drawn": drawn}
            off = abs(figure - drawn)
            yield {
                "claim": f"g: the smallest drop that it {name}, printed against drawn", "case": case, "rate": off, "limit": 0.002,
                "drawn": many * len(drops), "within": off <= 0.002, "held": off <= 0.002,
            }  # fmt: skip


def resolved(random, policy, n, discordance, drop, name, many):
    """How often a drop, on reviews drawn, shows or blocks."""
    both, hits = max(discordance, drop), 0.5
    for _ in range(many):
        counts = random.multinomial(n, [(both + drop) / 2, (both - drop) / 2, 1 - both])
        worse, better, _ = np.split(random.permutation(n), np.cumsum(counts[:2]))
        right = np.full((2, n), 2, dtype=np.float32)
        right[0, worse], right[1, better] = -2, -2
        candidate, incumbent = map(answers, right)
        claims = quality_claims(policy, reviews(n), candidate, [incumbent], MAX_LENGTH, ALPHA)
        (found,) = [finding for finding in settle(claims, ALPHA) if finding.check == "quality::accuracy"]
        hits += found.outcome is Outcome.BLOCK if name == "blocks" else found.figures["mcnemar"] <= ALPHA
    return hits / (many + 1)


def compact(rows):
    """The rows of claims; of one with many cases the five farthest, and how many there are."""
    kept = []
    for claim in dict.fromkeys(one["claim"] for one in rows):
        mine = sorted((one for one in rows if one["claim"] == claim), key=lambda one: one["limit"] - one["rate"])
        few = mine[:5] if len(mine) > 24 else mine
        kept.append(
            {"claim": claim, "cases": len(mine), "within": sum(one["within"] for one in mine), "held": sum(o["held"] for o in mine)}
        )
        kept[-1]["farthest" if len(few) < len(mine) else "rows"] = [
            {name: value for name, value in one.items() if name not in {"claim", "least", "within", "held"}} for one in few
        ]
    return kept


def packed(text):
    """JSON whose lists of numbers, and whose innermost objects, are lines."""
    return re.sub(
        r"([\[{])([^\[\]{}]*)([\]}])", lambda found: found[1] + re.sub(r"\s*\n\s*", " ", found[2]).strip() + found[3], text
    )
