"""The command that measures speed: benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from lorasent import devices
from lorasent.cli import ending, options
from lorasent.cli.messages import fitted, report_written, stages_shown

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Precision


def benchmark(
    adapter: options.Adapter,
    baseline: Annotated[Path | None, options.folder(help="An adapter to be compared with, in turns.")] = None,
    data: Annotated[str, options.source(help="Source of labelled reviews.")] = "embedded:test",
    reviews: Annotated[int, options.number(min=1, help="Reviews to answer, drawn by a fixed seed.")] = 200,
    limit: Annotated[float, options.number(min=1, help="Largest ratio of times that is not slower.")] = 1.10,
    out: Annotated[Path, options.folder(help="Folder of the history and its trend page.")] = Path("benchmarks"),
    as_json: options.Json = False,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    precision: options.Precision = "auto",
    base: options.Base = None,
    device: options.Device = "auto",
) -> int:
    """Measure an adapter's speed on this machine.

    Time of one review (median, 99th percentile), reviews a second, memory, and exact counts, kept in a history with a page.

    Exit codes with --baseline: 0 not slower, 1 slower, by a ratio measured in turns, 3 undecided.
    Times of the history judge nothing.
    """
    options.check_precision(precision)
    options.require_folder("--out", out)
    from lorasent.adapter.base import look_in
    from lorasent.benchmark import history, run
    from lorasent.data.reviews import read
    from lorasent.gate.verdict import EXIT_CODES
    from lorasent.scoring.evidence import LiveSubject

    look_in(base)
    history.read(out / history.FILE)  # a fault is said before the work
    labels = LiveSubject(adapter, device=device).labels
    sample = run.drawn(read(data, labels, text_column, label_column), reviews)
    with stages_shown(), devices.auto_is(device):
        named = cast("Precision", precision)  # one that check_precision let pass
        measured = run.keep(run.benchmark(adapter, sample, baseline, limit=limit, precision=named, device=device), out)
    lines = [history.line(measured.run)] if as_json else [f"{line}\n" for line in fitted(run.text(measured))]
    code = ending.finish(0 if measured.finding is None else EXIT_CODES[measured.finding.outcome], "".join(lines))
    for name in (history.FILE, run.PAGE):
        report_written(out / name)
    return code
