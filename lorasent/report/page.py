"""A verdict as one HTML page that needs no other file: `page` alone from the findings, with details all that they rest on."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from lorasent import files
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import CHECK_TABLES, Policy
from lorasent.gate.verdict import Verdict
from lorasent.metrics import Figures
from lorasent.report import parts, plots
from lorasent.report.details import Details
from lorasent.report.render import percent, points, render
from lorasent.text import MESSAGE, shown

KINDS = {"broken": "newly wrong", "fixed": "newly right", "other": "wrong in another way"}
"""What a page calls the kinds of flips."""

COSTS = {"cost::flops": "operations", "cost::bytes": "bytes of weights", "cost::latency": "time"}

MOST_OPEN = 4
"""Number of findings that are open; further ones are folded."""

LONGEST_REASON = 300
"""Longest reason in the first sentence, in characters."""


def page(verdict: Verdict, command: str, details: Details | None = None, policy: Policy | None = None) -> str:
    """One HTML page that needs no other file. Without details it has the findings alone."""
    d = details or Details()
    by_part = parts.parts(verdict)
    failed = by_part["Not passed"]
    of = {finding.check: finding for finding in verdict.findings}
    costs = [finding for check, finding in of.items() if check.startswith("cost::")]
    behaviours = [each for each in verdict.findings if _is_capability(each)]
    passed: dict[str, list[Finding]] = {}
    for finding in by_part["Passed"]:
        passed.setdefault(finding.check.partition("::")[0], []).append(finding)
    return render(
        "gate.html",
        verdict=verdict,
        d=d,
        sentence=sentence(verdict),
        first=verdict.findings[0] if verdict.findings else None,
        advice=_advice(verdict, d),
        more=len(failed) - 1,
        most=MOST_OPEN,
        tiles=list(_tiles(of, policy, d)),
        candidate=shown(verdict.candidate, parts.LONGEST_PATH),
        baselines=parts.baselines(verdict) or f"none: {parts.FIRST}",
        command=shown(command, parts.LONGEST_PATH),
        written=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        failed=failed,
        unchecked=by_part["Not checked"],
        absent=[table for table in CHECK_TABLES if policy and getattr(policy, table) is None],
        passed=passed,
        behaviours=behaviours,
        costs=costs,
        cost_names=COSTS,
        compared=bool(verdict.baselines),
        kinds=KINDS,
        predictions={shown(name, parts.LONGEST_PATH): shown(system, MESSAGE) for name, system in verdict.predictions.items()},
        evidence={shown(name, parts.LONGEST_PATH): shown(digest) for name, digest in verdict.evidence.items()},
        policy_text=files.canonical(policy.model_dump(mode="json")) if policy else "",
        outcome_of=parts.outcome,
        figures=parts.figures,
        cause_url=parts.cause_url,
        **_drawn(d),
        **_flips(d),
        sections=list(_sections(d, failed, behaviours, costs, passed)),
    )


def sentence(verdict: Verdict) -> str:
    """The verdict in one plain sentence, with its reason."""
    first = verdict.findings[0]
    if verdict.outcome is Outcome.PASS:
        if waived := sum(finding.waived is not None for finding in verdict.findings):
            known = "1 known regression is" if waived == 1 else f"{waived} known regressions are"
            return f"This candidate may ship, because {known} waived."
        if verdict.predictions:
            return "Every check that predictions can answer passed; what made them, and its files, were not asked."
        if not verdict.baselines:
            return "This first adapter holds its limits; nothing was compared, because there is no baseline."
        return "Every check passed: this candidate may replace the baseline."
    reason = shown(_reason(first), LONGEST_REASON).replace(" %", "\N{NO-BREAK SPACE}%")
    begin = {
        Outcome.BLOCK: "Do not ship this candidate",
        Outcome.INCONCLUSIVE: "There is not enough evidence to decide",
        Outcome.INVALID: "Nothing can be said of this candidate",
    }
    return f"{begin[verdict.outcome]}: {reason}."


def _reason(finding: Finding) -> str:
    """The reason that a finding gives, in few words."""
    of = finding.figures
    if "damage" in of and "incumbent" in of and of["damage"] > 0:
        metric = finding.check.partition("::")[2]
        fell = f"{metric} fell from {100 * of['incumbent']:.1f} % to {100 * of['candidate']:.1f} % on {of['n']:,} reviews"
        allowed = f"{100 * of['margin']:g} points"
        return (
            f"{fell}, and the policy allows {allowed}"
            if finding.outcome is Outcome.BLOCK
            else f"{fell}, which may exceed {allowed}"
        )
    return finding.message.partition("; ")[0].rstrip(".")


def _advice(verdict: Verdict, d: Details) -> str:
    """What to do about the finding that decided."""
    first = verdict.findings[0]
    if first.outcome is Outcome.BLOCK and first.check.partition("::")[0] in ("quality", "calibration", "behaviour", "golden"):
        seen = "slices, behaviours and flips below show what was lost" if d.flips else "the findings below say what was lost"
        return f"keep the baseline; {seen}" if verdict.baselines else f"train again; {seen}"
    return first.advice.rstrip(".") or "read the finding"


def _tiles(of: Mapping[str, Finding], policy: Policy | None, d: Details) -> Iterator[tuple[str, str, str]]:
    """The figures on top: name, value and a note."""
    metric = of.get(f"quality::{policy.quality.metric}") if policy and policy.quality else None
    if metric and "damage" in (figures := metric.figures):
        name = metric.check.partition("::")[2]
        yield name, f"{percent(figures['incumbent'])} → {percent(figures['candidate'])}", f"on {figures['n']:,} reviews"
        interval = f"{points(-figures['high'])} to {points(-figures['low'])}; margin {points(-figures['margin'])}"
        yield "change in points", points(-figures["damage"]), interval
    elif d.sides:
        yield "accuracy", percent(d.sides[-1].figures.accuracy), f"on {d.sides[-1].figures.n:,} reviews"
    if d.flips:
        counts = d.flips.counts
        yield "labels changed", f"{d.flips.total:,}", f"{counts['broken']:,} newly wrong, {counts['fixed']:,} newly right"
    if d.sides and d.has_probabilities:
        eces = " → ".join(f"{side.figures.ece:.3f}" for side in d.sides)
        yield "calibration error", eces, "how far confidence is from accuracy"


def _drawn(d: Details) -> dict[str, Any]:
    """The figures of the page."""
    two = len(d.labels) == 2
    score = f"probability of {shown(d.labels[1], 40)}" if two else "confidence"
    return {
        "forest": plots.forest(d),
        "scores": plots.scores(d),
        "forest_left_out": plots.left_out(d),
        "reliability": plots.reliability(d.sides) if d.sides and d.has_probabilities else "",
        "distributions": [(side, plots.distribution(side, score)) for side in d.sides if d.has_probabilities],
        "score_name": f"{score}, by label," if two else f"{score}, of right and of wrong answers,",
        "curves": plots.curves(d.curves) if d.curves else [],
        "roles": [side.role for side in d.sides],
        "side_figures": [
            (name.replace("_", " "), [f"{getattr(side.figures, name):.4f}" for side in d.sides])
            for name in Figures.__annotations__
            if name not in ("n", "average") and (d.has_probabilities or name not in ("log_loss", "brier", "ece"))
        ],
        "places": list(dict.fromkeys(place for _, versions in d.libraries for place in versions)),
        "differ": lambda versions: len(set(versions.values())) > 1,
    }


def _flips(d: Details) -> dict[str, Any]:
    names = sorted({name for flip in d.flips.shown for name in flip.slices}) if d.flips else []
    explained = sum(bool(flip.words) for flip in d.flips.shown) if d.flips else 0
    return {"slice_names": names, "slice_numbers": {name: number for number, name in enumerate(names)}, "explained": explained}


def _sections(d: Details, *parts_there: Any) -> Iterator[tuple[str, str, bool]]:
    """The anchor and the name of each part of the page, and whether it is there."""
    failed, behaviours, costs, passed = parts_there
    yield "findings", "Findings", bool(failed)
    yield "differences", "Differences", bool(d.differences)
    yield "slices", "Slices", bool(d.slices)
    yield "behaviours", "Behaviours", bool(behaviours)
    yield "answers", "Answers", bool(d.sides)
    yield "flips", "Flips", bool(d.flips)
    yield "cost", "Cost", bool(costs)
    yield "training", "Training", bool(d.curves)
    yield "unchecked", "Not checked", True
    yield "passed", "Passed", bool(passed)
    yield "provenance", "Provenance", True


def _is_capability(finding: Finding) -> bool:
    family, _, name = finding.check.partition("::")
    return family == "behaviour" and name not in ("", "language", "triggers")
