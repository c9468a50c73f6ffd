"""An adapter is measured, held beside a baseline, and kept in the history. Counts are exact; a ratio alone says "slower"."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from lorasent import files, machine
from lorasent.benchmark import history, page
from lorasent.benchmark.history import Ratio, Run
from lorasent.benchmark.measure import measure
from lorasent.data.reviews import Reviews
from lorasent.errors import LorasentError
from lorasent.gate import cost
from lorasent.gate.finding import Finding
from lorasent.scoring import progress
from lorasent.scoring.evidence import LiveSubject
from lorasent.text import LONG, WIDTH, shown, wrapped

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Precision

PAGE = "trend.html"
"""The name of the trend page, beside the history."""

LIMIT = 1.10
"""Default of the largest ratio of times that is not called slower."""


@dataclass(frozen=True)
class Benchmark:
    """A run, those before it in the history, and how it stands beside the baseline, if there is one."""

    run: Run
    earlier: list[Run]
    finding: Finding | None


def drawn(reviews: Reviews, most: int) -> Reviews:
    """At most so many of the reviews, always the same ones. Raises LorasentError where there are none."""
    if not len(reviews):
        raise LorasentError(f"{reviews.source}: has no reviews to measure with")
    return reviews if len(reviews) <= most else reviews.take(np.random.default_rng(0).permutation(len(reviews))[:most])


def benchmark(
    adapter: Path,
    reviews: Reviews,
    baseline: Path | None = None,
    *,
    limit: float = LIMIT,
    precision: "Precision" = "auto",
    device: str = "auto",
) -> Benchmark:
    """Measures an adapter on reviews; its history is not read yet. Raises LorasentError.

    With a baseline both answer the same reviews in turns in this process: PASS, BLOCK where two intervals lie above `limit`,
    INCONCLUSIVE where one holds it.
    """
    subject = LiveSubject(adapter, precision, device)
    if baseline is not None and baseline.is_file():
        raise LorasentError(f"{baseline}: recorded evidence has no model to measure; give an adapter as --baseline")
    other = None if baseline is None else LiveSubject(baseline, precision, device)
    measured = measure(adapter, reviews.texts, precision, subject.device)
    with progress.stage(f"counting operations of {subject.path.name}"):
        lengths = subject.scorer.encoder.lengths(reviews.texts)
        counted = cost.counts(LiveSubject(subject.snapshot, "fp32", subject.device), lengths)
    finding = None
    if other is not None:
        with progress.stage(f"timing it and {other.path.name} in turns"):
            finding = cost.latency(subject, other, reviews.texts[: cost.LATENCY_REVIEWS], limit)
    ratio = None
    if finding is not None:
        figures = finding.figures
        ratio = Ratio(value=figures["ratio"], low=figures["low"], high=figures["high"], limit=figures["limit"])
    run = Run(
        when=datetime.now(UTC).replace(microsecond=0),
        adapter=shown(adapter, LONG),
        identity=subject.identity,
        data=shown(reviews.source, LONG),
        data_sha256=reviews.fingerprint,
        reviews=len(reviews),
        made_on=subject.made_on,
        machine=machine.kind(),
        libraries=dict(machine.libraries()),
        counts={
            f"operations for {len(reviews)} reviews": counted["flops"],
            "tokens": int(lengths.clip(max=subject.manifest.encoding.max_length).sum()),
            "bytes of weights": counted["bytes"],
        },
        baseline=None if baseline is None else shown(baseline, LONG),
        ratio=ratio,
        **measured._asdict(),
    )
    return Benchmark(run, [], finding)


def keep(measured: Benchmark, folder: Path) -> Benchmark:
    """Adds the run to the folder's history and draws its page anew, one process at a time. Raises LorasentError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        earlier = history.read(folder / history.FILE)
        history.append(folder / history.FILE, measured.run)
        files.write(folder / PAGE, [page.page([*earlier, measured.run])])
    return Benchmark(measured.run, earlier, measured.finding)


def text(measured: Benchmark, width: int = WIDTH) -> list[str]:
    """The lines for a terminal: how it stands beside the baseline first, then each figure beside the last one."""
    run, finding, rows = measured.run, measured.finding, history.rows(measured.run, measured.earlier)
    lines = []
    if finding is not None:
        lines += [f"{finding.outcome}: {run.adapter} beside {run.baseline}", *wrapped(f"  {finding.message}", width, "  ")]
        lines += wrapped(f"  what to do: {finding.advice}", width, "    ") if finding.advice else []
    lines += [run.adapter, *wrapped(f"  {run.reviews} reviews of {run.data}", width, "    ")]
    lines += wrapped(f"  {history.about(run)}", width, "    ")
    names, figures = (max(len(row[place]) for row in rows) for place in (0, 1))
    lines += [f"  {name:<{names}}  {value:>{figures}}  {change}" for name, value, change in rows]
    like = sum(each.is_like(run) for each in measured.earlier)
    unlike = len(measured.earlier) - like
    return [*lines, f"  earlier runs: {like} on this kind of machine, with these reviews; {unlike} other{'s' * (unlike != 1)}"]
