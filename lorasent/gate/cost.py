"""Cost: exact counts that cannot flake, and a latency ratio measured interleaved in one process.

Floating-point operations are counted by torch on the model itself, attention included, at three lengths: an encoder's count
is a polynomial of second degree in the length, which three points give exactly.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lorasent.evidence import LiveSubject
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Cost
from lorasent.manifest import WEIGHTS

LENGTHS = (8, 16, 32)
"""Tokens at which operations are counted."""

ROUNDS = (20, 40, 80, 160)
"""How often the two answer the same reviews in turn: more often where fewer do not decide."""

LEVEL = 0.998
"""Of the latency's interval; it is looked at up to four times."""

LATENCY_REVIEWS = 4

Clock = Callable[[], float]


def check(
    policy: Cost, candidate: LiveSubject, baseline: LiveSubject, texts: Sequence[str], clock: Clock = time.perf_counter
) -> list[Finding]:
    """A finding for each count, and for the latency where the policy limits it."""
    now, was = (_counts(subject, texts) for subject in (candidate, baseline))
    findings = [
        _ratio("flops", "operations", was["flops"], now["flops"], policy.max_flops_ratio),
        _ratio("bytes", "bytes of weights", was["bytes"], now["bytes"], policy.max_bytes_ratio),
    ]
    if policy.max_latency_ratio is not None:
        findings.append(_latency(candidate, baseline, texts[:LATENCY_REVIEWS], policy.max_latency_ratio, clock))
    return findings


def _counts(subject: LiveSubject, texts: Sequence[str]) -> dict[str, int]:
    coefficients = subject.remember("operations", lambda: operations(subject))
    limit = int(subject.manifest["recipe"].get("encoding", {}).get("max_length", 512))
    lengths = np.minimum(subject.answer(texts).lengths, limit).astype(np.float64)
    flops = sum(coefficient * float((lengths**power).sum()) for power, coefficient in enumerate(coefficients))
    return {"flops": round(flops), "bytes": (subject.path / WEIGHTS).stat().st_size}


def operations(subject: LiveSubject) -> list[float]:
    """Floating-point operations of one review of n tokens as the coefficients of 1, n and n²."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model: Any = subject.scorer.model
    counts = []
    implementation = model.config._attn_implementation  # noqa: SLF001 - there is no public way to read it
    model.set_attn_implementation("eager")  # whose every product the counter sees
    try:
        for length in LENGTHS:
            ids = torch.full((1, length), subject.scorer.encoder.pad_id)
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
            counts.append(counter.get_total_flops())
    finally:
        model.set_attn_implementation(implementation)
    return [float(coefficient) for coefficient in np.polyfit(LENGTHS, counts, 2)[::-1].round(6)]


def _ratio(name: str, unit: str, was: int, now: int, limit: float) -> Finding:
    ratio = now / was
    figures = {"baseline": was, "candidate": now, "ratio": ratio, "limit": limit}
    message = f"{was:,} -> {now:,} {unit}: {ratio:.4f} times, allowed are {limit:g}"
    if ratio <= limit * (1 + 1e-9):
        return Finding(f"cost::{name}", Outcome.PASS, "", message, figures=figures)
    return Finding(
        f"cost::{name}",
        Outcome.BLOCK,
        "slower" if name == "flops" else "larger",
        message,
        "a smaller rank or length costs less",
        figures,
    )


def _latency(candidate: LiveSubject, baseline: LiveSubject, texts: Sequence[str], limit: float, clock: Clock) -> Finding:
    """Blocks only where two measurements after each other both lie above the limit, whole interval and all."""
    low, ratio, high = _measure(candidate, baseline, texts, limit, clock)
    if low > limit:
        low, ratio, high = _measure(candidate, baseline, texts, limit, clock)
    figures = {"ratio": ratio, "low": low, "high": high, "limit": limit}
    message = f"{ratio:.3f} times the baseline's time ({low:.3f} to {high:.3f}), allowed are {limit:g}"
    if low > limit:
        return Finding("cost::latency", Outcome.BLOCK, "slower", message, "see cost::flops for where the time goes", figures)
    if high > limit:
        advice = "ask again on a machine that does nothing else"
        return Finding("cost::latency", Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
    return Finding("cost::latency", Outcome.PASS, "", message, figures=figures)


def _measure(
    candidate: LiveSubject, baseline: LiveSubject, texts: Sequence[str], limit: float, clock: Clock
) -> tuple[float, float, float]:
    """The median over rounds of the ratio of their times, between the ends of its bootstrap interval.

    In a round both answer, one directly after the other and in turns the first, so that what else the machine does slows both.
    Rounds are added until the interval lies on one side of the limit, or there are no more of ROUNDS.
    """
    pair = (candidate.scorer, baseline.scorer)
    for scorer in pair:
        scorer.logits(texts)
    ratios: list[float] = []
    random = np.random.default_rng(0)
    low, high = 0.0, np.inf
    for rounds in ROUNDS:
        for number in range(len(ratios), rounds):
            times = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                started = clock()
                pair[which].logits(texts)
                times[which] = clock() - started
            ratios.append(times[0] / times[1])
        drawn = np.median(random.choice(ratios, (5000, rounds)), axis=1)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if not low <= limit <= high:
            break
    return float(low), float(np.median(ratios)), float(high)
