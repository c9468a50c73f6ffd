"""Commands that ask one adapter, or the machine: predict, evaluate, doctor."""

import functools
import io
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lorasent import files
from lorasent.cli import ending
from lorasent.cli.shared import (
    AdapterPath,
    BaseOption,
    PrecisionOption,
    SkipEmptyOption,
    TextColumnOption,
    console,
    load_scorer,
    require_writable,
)
from lorasent.errors import DataError, LorasentError
from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorasent.data.reviews import Reviews
    from lorasent.evaluation.mistakes import Mistakes
    from lorasent.scoring.scorer import Scorer


def predict(
    adapter: AdapterPath,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Reviews; absent, a line of standard input each.")
    ] = None,
    source: Annotated[str | None, typer.Option("--input", help="A source of reviews, labelled or not.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
    text_column: TextColumnOption = None,
    skip_empty: SkipEmptyOption = False,
    precision: PrecisionOption = "fp32",
    base: BaseOption = None,
) -> None:
    """Label reviews: one JSON object a line, with text, label and probability."""
    if texts and source:
        raise LorasentError("predict: give reviews as arguments or with --input, not both")
    reviews = _input(texts, source, text_column, skip_empty=skip_empty)
    if output is not None:
        require_writable("--output", output, source)
    rows = map(vars, load_scorer(adapter, precision, base).stream(reviews))
    if output is None:
        ending.write_lines(rows)
        return
    files.write(output, map(ending.line, rows))
    console.print(shown(f"Written: {output}", MESSAGE))


def evaluate(
    adapter: AdapterPath,
    data: Annotated[str, typer.Option(help="A source of labelled reviews.")],
    errors: Annotated[bool, typer.Option("--errors", help="Also the mistakes: where, how sure, which labels and words.")] = False,
    slices: Annotated[
        list[str] | None, typer.Option("--slice", metavar="COLUMN", help="A column to count mistakes by, with --errors.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Mistakes that are told, and explained, the most confident first. [default: 10]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    text_column: TextColumnOption = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    skip_empty: SkipEmptyOption = False,
    precision: PrecisionOption = "fp32",
    base: BaseOption = None,
) -> None:
    """Measure an adapter on labelled reviews."""
    if not errors and (slices or top is not None):
        raise LorasentError(f"evaluate: --{'slice' if slices else 'top'} says how mistakes are told; add --errors")
    scorer = load_scorer(adapter, precision, base)
    from lorasent.data.reviews import read
    from lorasent.data.slices import require
    from lorasent.evaluation import console as evaluation

    reviews = read(data, scorer.labels, text_column, label_column, skip_empty=skip_empty)
    for column in slices or ():
        require(column, reviews)
    logits = scorer.logits(reviews.texts)
    found = evaluation.measure(logits, reviews.labels, scorer.labels)
    if errors:
        found = replace(found, mistakes=_mistakes(adapter, scorer, reviews, logits, slices or (), top or 10))
    if as_json:
        ending.write_lines([{"adapter": str(adapter), "data": data, "data_sha256": reviews.fingerprint, **found.to_json()}])
        if found.mistakes and found.mistakes.trained_on:
            console.print(evaluation.known_reviews_warning(found.mistakes))
    else:
        terminal = Console(highlight=False, markup=False, emoji=False)
        with terminal.capture() as told:
            evaluation.render(found, terminal)
        ending.write([told.get()])


def doctor() -> None:
    """Say what this machine offers."""
    from importlib import metadata

    libraries = ("lorasent", "torch", "transformers", "peft", "datasets")
    rows: dict[str, Callable[[], str]] = {name: functools.partial(metadata.version, name) for name in libraries}
    rows |= {
        "python": platform.python_version,
        "processor": _processor,
        "onednn": _onednn,
        "bf16": _bf16,
        "gpu": _gpu,
        "embedded base": _embedded_base,
        "hub": _ask_hub,
    }
    for name, question in rows.items():
        try:
            answer = question()
        except Exception as error:  # doctor reports faults, it does not stop at them
            answer = f"no: {(str(error).splitlines() or [''])[0] or type(error).__name__}"
        ending.write([f"{name:<14}{shown(answer, 200)}\n"])


def _processor() -> str:
    import torch

    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _bf16() -> str:
    import torch

    from lorasent import machine
    from lorasent.scoring.scorer import uses_bf16

    if uses_bf16("auto", torch.device("cpu")):
        return f"in hardware, {machine.bf16()} (precision auto = bf16)"
    return "not in hardware (precision auto = fp32; bf16 is emulated, many times as slow)"


def _onednn() -> str:
    import torch

    from lorasent.unpadded import products

    there = products.available(torch.device("cpu"), torch.float32)
    return "yes" if there else "no: the model itself answers, more slowly"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _embedded_base() -> str:
    from lorasent.adapter.base import find

    return f"{find('embedded').sha256[:12]}… (as pinned)"


def _mistakes(
    adapter: Path, scorer: "Scorer", reviews: "Reviews", logits: "NDArray[np.float32]", columns: Iterable[str], top: int
) -> "Mistakes":
    from lorasent.adapter import manifest
    from lorasent.data import sources
    from lorasent.evaluation import mistakes
    from lorasent.training.progress import bar

    trained_on = None  # of an adapter without a manifest nothing is known
    if (adapter / manifest.MANIFEST).is_file():
        trained_on = manifest.read(adapter).trained_on(reviews)
    with bar(console) as progress:
        task = progress.add_task("leaving words out", total=None)
        return mistakes.find(
            scorer,
            reviews,
            logits,
            columns,
            lines=sources.lines_of(reviews.source),
            trained_on=trained_on,
            top=top,
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )


def _input(texts: list[str] | None, source: str | None, text_column: str | None, *, skip_empty: bool) -> Iterable[str]:
    from lorasent.data.reviews import check_texts, read_texts

    if source is not None:
        return read_texts(source, text_column, skip_empty=skip_empty)
    if texts:
        return list(check_texts(texts, "arguments", skip_empty=skip_empty))
    if sys.stdin.isatty():
        console.print("Reading reviews from standard input, one a line.")
    return _lines()


def _lines() -> Iterator[str]:
    """The lines of standard input that say something; only a line feed, or CR LF, ends one."""
    try:
        for line in io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="\n"):
            if line.strip():
                yield line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: expected UTF-8, found byte {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise DataError(f"standard input: cannot be read: {error.strerror}") from None


def _ask_hub() -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "offline (HF_HUB_OFFLINE is set); the cache is used"
    get_session().head(constants.ENDPOINT, timeout=3)
    return f"{constants.ENDPOINT} answers"
