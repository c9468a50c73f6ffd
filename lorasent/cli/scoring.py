"""Commands that score reviews with an adapter: predict, evaluate."""

import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lorasent import files
from lorasent.cli import bulk, ending, options
from lorasent.cli.messages import bar, command_line, console, report_written, stages_shown
from lorasent.errors import DataError, LorasentError
from lorasent.scoring import progress
from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorasent.data.reviews import Reviews
    from lorasent.evaluation.console import Evaluation
    from lorasent.evaluation.mistakes import Mistakes
    from lorasent.scoring.scorer import Scorer


def predict(
    adapter: options.Adapter,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Reviews. [default: lines of standard input]")] = None,
    source: Annotated[str | None, options.source("--input", help="Source of reviews, labelled or not.")] = None,
    to: Annotated[str | None, bulk.Output] = None,
    text_column: options.TextColumn = None,
    skip_empty: options.SkipEmpty = False,
    precision: options.Precision = "auto",
    base: options.Base = None,
    device: options.Device = "auto",
    engine: bulk.Engine = None,
    actors: bulk.Actors = None,
    cpus: bulk.Cpus = None,
    gpus: bulk.Gpus = None,
    id_column: bulk.IdColumn = None,
    keep_text: bulk.KeepText = False,
    shard_rows: bulk.ShardRows = None,
) -> None:
    """Label reviews.

    Prints a JSON object for each review, with its text, its label and the label's probability. Where --output is a folder, writes
    Parquet files (id, label, probability, logits), and goes on where a job that was killed ended.
    """
    if texts and source:
        raise LorasentError("predict: give reviews as arguments or with --input, not both")
    bulk_options = bulk.BulkOptions(engine, actors, cpus, gpus, id_column, keep_text, shard_rows)
    if bulk.is_folder(to, bulk_options):
        bulk.label(adapter, source, to, bulk_options, text_column, precision, base, device, skip_empty=skip_empty)
        return
    output = None if to is None else Path(to)
    from lorasent.data.reviews import check_texts, count_rows, read_texts

    reviews: Iterable[str] = _lines()
    total = len(texts) if texts else None
    if source is not None:
        reviews = read_texts(source, text_column, skip_empty=skip_empty)
        total = count_rows(source, text_column) if output is not None and console.is_terminal else None  # for the time left
    elif texts:
        reviews = [text for _, text in check_texts(texts, "arguments", skip_empty=skip_empty)]
    options.require_writable("--output", output, source)
    scorer = options.load_scorer(adapter, precision, base, device)
    if precision == "auto" and (output is not None or console.is_terminal):
        console.print(f"Precision: {scorer.number_format}, on {scorer.device} (evaluate and gate: fp32)")
    rows = map(vars, scorer.stream(reviews))
    if output is None:
        ending.write_json_lines(rows)
    else:
        with stages_shown(), progress.stage("labelling reviews", total):
            files.write(output, map(ending.json_line, rows))
        report_written(output)


def evaluate(
    adapter: options.Adapter,
    data: Annotated[str, options.source(help="Source of labelled reviews.")],
    errors: Annotated[bool, typer.Option("--errors", help="Also show mistakes, slices and suspected label errors.")] = False,
    slices: Annotated[list[str] | None, options.name("--slice", help="Column to slice by, with --errors. Repeatable.")] = None,
    top: Annotated[int | None, options.number(min=1, help="Mistakes to list and explain, with --errors. [default: 10]")] = None,
    as_json: options.Json = False,
    report: Annotated[Path | None, options.file(help="HTML page to write, with mistakes and slices: one file.")] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    skip_empty: options.SkipEmpty = False,
    precision: options.Precision = "fp32",
    base: options.Base = None,
    device: options.Device = "auto",
) -> None:
    """Measure an adapter on labelled reviews."""
    if not (errors or report) and (slices or top is not None):
        raise LorasentError(f"evaluate: --{'slice' if slices else 'top'} is about mistakes; add --errors or --report")
    options.require_writable("--report", report, data)
    scorer = options.load_scorer(adapter, precision, base, device)
    from lorasent.data.reviews import read
    from lorasent.data.slices import require
    from lorasent.evaluation.console import known_reviews_warning, measure, render

    reviews = read(data, scorer.labels, text_column, label_column, skip_empty=skip_empty)
    for column in slices or ():
        require(column, reviews)
    with stages_shown(), progress.stage(f"answering {len(reviews):,} reviews", len(reviews)):
        logits = scorer.logits(reviews.texts)
    evaluation = measure(logits, reviews.labels, scorer.labels)
    if errors or report:
        mistakes = _mistakes(adapter, scorer, reviews, logits, slices or (), top or 10)
        evaluation = replace(evaluation, mistakes=mistakes if errors else None)
    if as_json:
        about = {"adapter": str(adapter), "data": data, "data_sha256": reviews.fingerprint}
        ending.write_json_lines([{**about, **evaluation.to_json()}])
        if evaluation.mistakes and evaluation.mistakes.trained_on:
            console.print(known_reviews_warning(evaluation.mistakes))
    else:
        terminal = Console(highlight=False, markup=False, emoji=False)
        with terminal.capture() as output:
            render(evaluation, terminal)
        ending.write([output.get()])
    if report is not None:
        _write_page(report, replace(evaluation, mistakes=mistakes), adapter, data, reviews, logits)


def _write_page(
    path: Path, evaluation: "Evaluation", adapter: Path, data: str, reviews: "Reviews", logits: "NDArray[np.float32]"
) -> None:
    from lorasent.report.evaluation import page

    command = shown(command_line(), MESSAGE)
    files.write(path, [page(evaluation, str(adapter), data, reviews.fingerprint, logits, reviews.labels, command)])
    report_written(path)


def _mistakes(
    adapter: Path, scorer: "Scorer", reviews: "Reviews", logits: "NDArray[np.float32]", columns: Iterable[str], top: int
) -> "Mistakes":
    from lorasent.adapter import manifest
    from lorasent.data import sources
    from lorasent.evaluation import mistakes

    has_manifest = (adapter / manifest.MANIFEST).is_file()  # an adapter of plain PEFT has none
    trained_on = manifest.read(adapter).trained_on(reviews) if has_manifest else None
    with bar() as shown_bar:
        task = shown_bar.add_task("leaving words out", total=None)
        return mistakes.find(
            scorer,
            reviews,
            logits,
            columns,
            lines=sources.lines_of(reviews.source),
            trained_on=trained_on,
            top=top,
            progress=lambda done, of: shown_bar.update(task, completed=done, total=of),
        )


def _lines() -> Iterator[str]:
    """The non-empty lines of standard input; a line ends with LF or CR LF only."""
    if sys.stdin.isatty():
        console.print("Reading reviews from standard input, one a line.")
    try:
        for line in io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="\n"):
            if line.strip():
                yield line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: expected UTF-8, found byte {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise DataError(f"standard input: cannot be read: {error.strerror}") from None
