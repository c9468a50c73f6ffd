"""Cost: exact counts of operations and bytes, and a latency ratio measured interleaved in one process.

An encoder's floating-point operations are a polynomial of second degree in the length: counts at three lengths give it exactly.
"""

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lorasent.errors import PolicyError
from lorasent.gate.context import Models
from lorasent.gate.finding import Finding, Outcome, not_compared
from lorasent.gate.sections import Section
from lorasent.scoring.evidence import LiveSubject, RecordedSubject
from lorasent.statistics.latency import Clock, confirmed, ratio, timed

LENGTHS = (8, 16, 32)
"""Lengths at which operations are counted, in tokens."""

LATENCY_REVIEWS = 4
"""Number of reviews that are answered when latency is measured."""

LARGEST_RATIO = 1000
"""Largest ratio of costs that a policy may allow. Larger ones would limit nothing."""


class Cost(Section):
    """How much more the candidate may cost: ratios of candidate to baseline."""

    max_latency_ratio: Annotated[float, Field(gt=1, le=LARGEST_RATIO)] | None = None
    """Largest ratio of times. Above 1: no clock shows that two times are equal. Absent: not measured."""
    max_flops_ratio: Annotated[float, Field(ge=1, le=LARGEST_RATIO)] = 1.0
    """Largest ratio of floating-point operations for the reviews."""
    max_bytes_ratio: Annotated[float, Field(ge=1, le=LARGEST_RATIO)] = 1.05
    """Largest ratio of the weights' bytes."""


def checks(table: Cost) -> list[str]:
    """The names of the checks."""
    return ["cost::flops", "cost::bytes"] + (["cost::latency"] if table.max_latency_ratio is not None else [])


def ask(table: Cost, context: Models, clock: Clock = time.perf_counter) -> Iterator[Finding]:
    """A finding for each count, and one for the latency if the policy limits it.

    Raises SharedError without answers to the reviews, and PolicyError for recorded evidence.
    """
    candidate, baseline = context.candidate, context.incumbent
    if isinstance(baseline, RecordedSubject):
        raise PolicyError("cost: recorded evidence has no model to measure; give an adapter as baseline, or remove [cost]")
    texts = context.source.reviews.texts
    now = counts(candidate, context.answers[0].lengths)
    if baseline is None:
        absolute = f"{now['flops']:,} operations for {len(texts)} reviews, {now['bytes']:,} bytes of weights"
        yield from (not_compared(check, "" if check == "cost::latency" else absolute) for check in checks(table))
        return
    was = counts(baseline, context.answers[1].lengths)
    yield _ratio("flops", f"operations for {len(texts)} reviews", was["flops"], now["flops"], table.max_flops_ratio)
    yield _ratio("bytes", "bytes of weights", was["bytes"], now["bytes"], table.max_bytes_ratio)
    if table.max_latency_ratio is not None:
        yield latency(candidate, baseline, texts[:LATENCY_REVIEWS], table.max_latency_ratio, clock)


def counts(subject: LiveSubject, lengths: NDArray[np.int64]) -> dict[str, int]:
    """The operations that reviews of these lengths in tokens take, and the bytes of the adapter's weights."""
    coefficients = subject.remember("operations", lambda: operations(subject))
    limit = subject.manifest.encoding.max_length
    tokens = np.minimum(lengths, limit).astype(np.float64)
    flops = sum(coefficient * float((tokens**power).sum()) for power, coefficient in enumerate(coefficients))
    return {
        "flops": round(flops),
        "bytes": sum((subject.snapshot.folder / file).stat().st_size for file in subject.snapshot.weights),
    }


def operations(subject: LiveSubject) -> list[float]:
    """The floating-point operations of one review of n tokens, as the coefficients of 1, n and n²."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model: Any = subject.scorer.model
    encoder = subject.scorer.encoder
    (*_, last), *_ = encoder.encode(["a"])  # BART and T5 answer at the token that ends a text
    counts = []
    implementation = model.config._attn_implementation  # noqa: SLF001 - there is no public way to read it
    model.set_attn_implementation("eager")  # the counter sees each of its products
    try:
        for length in LENGTHS:
            ids = torch.full((1, length), encoder.pad_id, device=model.device)
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
    compared = "as the baseline" if now == was else f"{ratio:.4f} times the baseline's {was:,}"
    message = f"{now:,} {unit}, {compared} (limit: {limit:.2f} times)"
    if ratio <= limit * (1 + 1e-9):
        return Finding(f"cost::{name}", Outcome.PASS, "", message, figures=figures)
    cause = "slower" if name == "flops" else "larger"
    return Finding(f"cost::{name}", Outcome.BLOCK, cause, message, "a smaller rank or length costs less", figures)


def latency(
    candidate: LiveSubject, baseline: LiveSubject, texts: Sequence[str], limit: float, clock: Clock = time.perf_counter
) -> Finding:
    """How much longer the candidate takes. BLOCK only if the intervals of two successive measurements both lie above the limit."""
    first, second = (timed(functools.partial(subject.quick.logits, texts), clock) for subject in (candidate, baseline))
    measured = confirmed(lambda: ratio(first, second, limit), limit)
    figures = {"ratio": measured.value, "low": measured.low, "high": measured.high, "limit": limit}
    interval = f"interval {measured.low:.3f} to {measured.high:.3f}"
    message = f"{measured.value:.3f} times the baseline's time ({interval}; limit: {limit:.2f} times)"
    outcome, cause, advice = Outcome.PASS, "", ""
    if measured.low > limit:
        outcome, cause, advice = Outcome.BLOCK, "slower", "see cost::flops: more operations take more time"
    elif measured.high > limit:
        outcome, cause, advice = Outcome.INCONCLUSIVE, "undecided", "measure again on a machine that does nothing else"
    return Finding("cost::latency", outcome, cause, message, advice, figures)
