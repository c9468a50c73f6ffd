"""An adapter is measured, held beside a baseline, and kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lorasent.benchmark import history
from lorasent.benchmark import run as benchmarks
from lorasent.benchmark.measure import measure
from lorasent.data.reviews import read
from lorasent.errors import LorasentError
from lorasent.gate import cost
from lorasent.gate.finding import Finding, Outcome
from lorasent.scoring import progress
from lorasent.scoring.evidence import LiveSubject
from lorasent.text import columns
from tests.support.benchmarks import run

LABELS = ("Negative", "Positive")
SLOWER = Finding("cost::latency", Outcome.BLOCK, "slower", "1.3 times the baseline's time", "see cost::flops")


def measured(earlier, now, finding=None):
    """A benchmark with a history."""
    return benchmarks.Benchmark(now, earlier, finding)


def test_the_same_reviews_are_drawn_each_time():
    """At most as many as asked for; runs with them can be compared."""
    reviews = read("embedded:test", LABELS)
    first, second = (benchmarks.drawn(reviews, 10) for _ in range(2))
    assert (len(first), first.fingerprint) == (10, second.fingerprint)
    assert benchmarks.drawn(first, 20) is first


def test_no_reviews_are_one_line():
    """It names their source."""
    with pytest.raises(LorasentError, match=r"^embedded:test: has no reviews to measure with$"):
        benchmarks.drawn(read("embedded:test", LABELS).take(np.array([], dtype=np.int64)), 10)


def test_what_is_kept_grows_by_a_line_a_run(tmp_path):
    """The page is drawn anew; the earlier runs are told."""
    for day in (1, 2, 3):
        kept = benchmarks.keep(measured([], run(day)), tmp_path / "b")
    assert kept.earlier == [run(1), run(2)]
    assert history.read(tmp_path / "b" / "history.jsonl") == [run(1), run(2), run(3)]
    assert "3 runs" in (tmp_path / "b" / "trend.html").read_text("utf-8")


def test_runs_that_end_together_are_all_kept(tmp_path):
    """None overwrites what another one added."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: benchmarks.keep(measured([], run(day)), tmp_path), range(1, 17)))
    assert len(history.read(tmp_path / history.FILE)) == 16


def test_a_damaged_history_is_never_overwritten(tmp_path):
    """The run is lost rather than the runs before."""
    (tmp_path / "history.jsonl").write_text("damaged\n")
    with pytest.raises(LorasentError, match=r"line 1: not a run"):
        benchmarks.keep(measured([], run(1)), tmp_path)
    assert (tmp_path / "history.jsonl").read_text() == "damaged\n"


def test_the_lines_fit_and_the_ratio_stands_on_top():
    """80 columns; how it stands beside the baseline first, then each figure beside the last run's."""
    lines = benchmarks.text(measured([run(1)], run(2, p50=0.02, baseline="adapters/old", ratio=1.3, tokens=28720), SLOWER))
    assert lines[0] == "BLOCK: adapters/new beside adapters/old"
    assert any(line.split() == ["one", "review,", "median", "20", "ms", "+100.0%", "from", "the", "last", "run"] for line in lines)
    assert any(line.split() == ["tokens", "28,720", "exact"] for line in lines)
    assert lines[-1] == "  earlier runs: 1 on this kind of machine, with these reviews; 0 others"
    assert all(columns(line) <= 80 for line in lines)


def test_without_a_baseline_no_outcome_is_said():
    """Times of a history judge nothing, however much they grew."""
    lines = benchmarks.text(measured([run(1, p50=0.001)], run(2, p50=1.0)))
    assert lines[0] == "adapters/new"
    assert not any(outcome in "\n".join(lines) for outcome in ("PASS", "BLOCK", "INCONCLUSIVE"))


def test_recorded_evidence_has_no_speed(small_adapter, tmp_path):
    """As a baseline it is refused, before anything is measured."""
    (tmp_path / "record").touch()
    with pytest.raises(LorasentError, match=r"record: recorded evidence has no model to measure; give an adapter as --baseline$"):
        benchmarks.benchmark(small_adapter, read("embedded:test", LABELS), tmp_path / "record")


@pytest.mark.slow
def test_an_adapter_is_measured_beside_another(small_adapter):
    """Counts are those of the cost checks; the times are in order; the ratio has its interval; how far it is is told."""
    reviews, stages = benchmarks.drawn(read("embedded:test", LABELS), 12), []
    with progress.shown_by(lambda name, done, total: stages.append((name.split()[0], done, total))):
        found = benchmarks.benchmark(small_adapter, reviews, small_adapter, limit=20, precision="fp32")
    subject = LiveSubject(small_adapter)
    expected = cost.counts(subject, subject.scorer.encoder.lengths(reviews.texts))
    assert [*found.run.counts.values()][::2] == [expected["flops"], expected["bytes"]]
    assert 0 < found.run.p50 <= found.run.p99
    assert found.run.peak_bytes > 10 << 20
    assert found.finding.outcome is Outcome.PASS
    assert found.run.ratio.low <= found.run.ratio.value <= found.run.ratio.high <= found.run.ratio.limit == 20
    total = found.run.calls + 3 * 12
    assert ("measuring", total, total) in stages
    assert len([stage for stage in stages if stage[0] == "measuring"]) > found.run.calls


@pytest.mark.slow
def test_a_process_that_cannot_measure_is_one_line(tmp_path):
    """It names the adapter, and the reason that the process gave."""
    with pytest.raises(LorasentError, match=r"missing: the process that measures it failed: .*missing") as error:
        measure(tmp_path / "missing", ["a film"])
    assert "\n" not in str(error.value)
