"""What predict does where its output is a folder: shards, by processes of this machine or by Ray."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeGuard

import typer

from lorasent.cli import options
from lorasent.cli.messages import console, stages_shown
from lorasent.errors import LorasentError
from lorasent.text import MESSAGE, shown

if TYPE_CHECKING:
    from lorasent.bulk.engines import Workers
    from lorasent.scoring.evidence import Answers

ENGINES = ("local", "ray")

Output = typer.Option(
    "--output", metavar="FILE|DIR", help="File to write, or a folder (out/, or a URL) of Parquet files. [default: standard output]"
)
Engine = Annotated[str | None, options.name(help="local, or ray: Ray Data. For a folder. [default: local]")]
RecordEngine = Annotated[str | None, options.name("--engine", help="Several processes: local, or ray (Ray Data). [default: none]")]
Actors = Annotated[int | None, options.number(min=1, help="Workers, each with the adapter in memory. [default: as many as fit]")]
Cpus = Annotated[int | None, options.number("--cpus-per-actor", min=1, help="Cores of each worker. [default: 1]")]
Gpus = Annotated[float | None, options.number("--gpus-per-actor", min=0, help="GPUs of each actor, or a share. [default: 0]")]
IdColumn = Annotated[str | None, options.name(help="Column of ids, for a folder. [default: FILE#ROW]")]
KeepText = Annotated[bool, typer.Option("--keep-text", help="Write the reviews into the folder, too.")]
ShardRows = Annotated[int | None, options.number(min=1, help="Rows of each Parquet file, at most. [default: 8192]")]


class BulkOptions(NamedTuple):
    """What the options of bulk scoring say; None where one was not given."""

    engine: str | None
    actors: int | None
    cpus: int | None
    gpus: float | None
    id_column: str | None = None
    keep_text: bool = False
    shard_rows: int | None = None


def is_folder(output: str | None, bulk_options: BulkOptions) -> TypeGuard[str]:
    """Whether the output is a folder of shards. Raises LorasentError for options that need one."""
    _check(bulk_options)
    named = bulk_options.engine is not None and output is not None and not Path(output).suffix
    folder = output is not None and (named or output.endswith("/") or "://" in output)
    if not folder and (names := _option_names(bulk_options)):
        raise LorasentError(f"--{names[0]}: needs a folder to write: --output DIR/, or a URL such as s3://bucket/labels")
    return folder


def answers(
    adapter: Path, questions: Sequence[Sequence[str]], bulk_options: BulkOptions, precision: str, device: str
) -> "tuple[Sequence[Answers], str | None]":
    """An engine's answers to lists of texts, and on what kind of device it made them; of no engine, none. Raises LorasentError."""
    _check(bulk_options)
    if bulk_options.engine is None:
        if names := _option_names(bulk_options):
            raise LorasentError(f"--{names[0]}: needs --engine local or --engine ray")
        return (), None
    device, workers = _workers(bulk_options, device)
    from lorasent.bulk.answers import answer_each
    from lorasent.bulk.model import describe

    model = describe(adapter, precision, device, workers.cpus)
    return answer_each(model, questions, bulk_options.engine, workers), model.made_on


def _check(bulk_options: BulkOptions) -> None:
    if bulk_options.engine not in (None, *ENGINES):
        raise LorasentError(f"--engine {bulk_options.engine}: allowed are {', '.join(ENGINES)}")


def _option_names(bulk_options: BulkOptions) -> list[str]:
    """The names of the options that were given, without dashes in front."""
    spelled = {"cpus": "cpus-per-actor", "gpus": "gpus-per-actor"}
    return [spelled.get(name, name.replace("_", "-")) for name, value in bulk_options._asdict().items() if value]


def label(
    adapter: Path,
    source: str | None,
    output: str,
    bulk_options: BulkOptions,
    text_column: str | None,
    precision: str,
    base: Iterable[Path] | None,
    device: str,
    *,
    skip_empty: bool,
) -> None:
    """Labels the files that `source` names into a folder. Raises LorasentError."""
    if source is None:
        raise LorasentError("predict: a folder is made of files: name them with --input, such as --input 'reviews/*.parquet'")
    options.check_precision(precision)
    device, workers = _workers(bulk_options, device)
    from lorasent.adapter.base import look_in
    from lorasent.bulk import engines
    from lorasent.bulk.model import describe
    from lorasent.bulk.run import ROWS, run
    from lorasent.bulk.shards import Job

    if bulk_options.engine == "ray":
        engines.require_ray()
    look_in(base)
    model = describe(adapter, precision, device, workers.cpus)
    if precision == "auto":
        console.print(f"Precision: {model.made_on.partition(', ')[2]}, on {model.device} (evaluate and gate: fp32)")
    place = output if "://" in output else str(Path(output).absolute())
    job = Job(model, place, text_column, bulk_options.id_column, bulk_options.keep_text, skip_empty)
    with stages_shown():
        summary = run(job, source, engine=bulk_options.engine or "local", workers=workers, rows=bulk_options.shard_rows or ROWS)
    counts = ", ".join(f"{count:,} {name}" for name, count in summary.labels.items())
    kept = f"; {summary.reused} of its {len(summary.shards)} shards were there already" if summary.reused else ""
    folder = output.rstrip("/")
    console.print(shown(f"Written: {folder}: {summary.rows:,} reviews ({counts}){kept}", MESSAGE))


def _workers(bulk_options: BulkOptions, device: str) -> tuple[str, "Workers"]:
    """The device of each worker, and the workers. Raises LorasentError for options that exclude each other."""
    from lorasent import devices
    from lorasent.bulk.engines import Workers

    gpus = bulk_options.gpus or 0
    if bulk_options.engine == "ray":
        if device != "auto":
            raise LorasentError(f"--device {device}: --engine ray takes --gpus-per-actor instead; without GPUs actors use the CPU")
        return "cuda" if gpus else "cpu", Workers(bulk_options.actors, bulk_options.cpus or 1, gpus)
    if gpus:
        raise LorasentError("--gpus-per-actor: needs --engine ray; on this machine choose --device cuda")
    resolved = devices.resolve(device)
    return resolved, Workers(bulk_options.actors or (None if resolved == "cpu" else 1), bulk_options.cpus or 1)
