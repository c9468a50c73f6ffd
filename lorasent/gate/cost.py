"""Cost: exact counts that cannot flake, and a latency ratio measured interleaved in one process.

Floating-point operations are counted by torch on the model itself, attention included, at three lengths: an encoder's count
is a polynomial of second degree in the length, which three points give exactly.
"""

import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from lorasent.adapter.manifest import WEIGHTS
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Cost
from lorasent.scoring.evidence import LiveSubject
from lorasent.statistics.latency import Clock, confirmed, ratio, timed

LENGTHS = (8, 16, 32)
"""Tokens at which operations are counted."""

LATENCY_REVIEWS = 4
"""How many reviews are answered when time is taken."""


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
    limit = subject.manifest.recipe.encoding.max_length
    lengths = np.minimum(subject.answer(texts).lengths, limit).astype(np.float64)
    flops = sum(coefficient * float((lengths**power).sum()) for power, coefficient in enumerate(coefficients))
    return {"flops": round(flops), "bytes": (subject.snapshot.folder / WEIGHTS).stat().st_size}


def operations(subject: LiveSubject) -> list[float]:
    """Floating-point operations of one review of n tokens as the coefficients of 1, n and n²."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model: Any = subject.scorer.model
    encoder = subject.scorer.encoder
    (*_, last), *_ = encoder.encode(["a"])  # BART and T5 answer at the token that ends a text
    counts = []
    implementation = model.config._attn_implementation  # noqa: SLF001 - there is no public way to read it
    model.set_attn_implementation("eager")  # whose every product the counter sees
    try:
        for length in LENGTHS:
            ids = torch.full((1, length), encoder.pad_id)
            ids[0, -1] = last
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
    first, second = (timed(functools.partial(one.quick.logits, texts), clock) for one in (candidate, baseline))
    found = confirmed(lambda: ratio(first, second, limit), limit)
    figures = {"ratio": found.value, "low": found.low, "high": found.high, "limit": limit}
    message = f"{found.value:.3f} times the baseline's time ({found.low:.3f} to {found.high:.3f}), allowed are {limit:g}"
    if found.low > limit:
        return Finding("cost::latency", Outcome.BLOCK, "slower", message, "see cost::flops for where the time goes", figures)
    if found.high > limit:
        advice = "ask again on a machine that does nothing else"
        return Finding("cost::latency", Outcome.INCONCLUSIVE, "undecided", message, advice, figures)
    return Finding("cost::latency", Outcome.PASS, "", message, figures=figures)
