"""The command line. Results go to standard output, everything else to standard error; bad input exits 2 with one line."""

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lorasent import files
from lorasent.errors import DataError, LorasentError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorasent.data import Reviews
    from lorasent.mistakes import Mistakes
    from lorasent.scoring import Scorer

USAGE_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    help="May this LoRA adapter replace that one? Trains, scores and judges adapted sentiment classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

AdapterPath = Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter directory.")]
TextColumnOption = Annotated[str | None, typer.Option(help="Column of the reviews. [default: text, review or sentence]")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 where the machine has it in hardware.")]


def main() -> None:
    """Runs the command line; every error that a user can cause becomes one line and exit code 2."""
    try:
        app()
    except LorasentError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or the path of a TOML file.")] = "embedded",
    out: Annotated[Path | None, typer.Option(help="The adapter's directory, new. [default: adapters/RECIPE]")] = None,
    base: Annotated[str | None, typer.Option(help="Base model: hub name, directory, or embedded.")] = None,
    train_source: Annotated[str | None, typer.Option("--train", help="Source of the training reviews.")] = None,
    validation: Annotated[str | None, typer.Option(help="Source of the reviews that choose the epoch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key: lora.r=8")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train an adapter from a recipe."""
    from lorasent.recipe import Recipe

    named = {"base.model": base, "data.train": train_source, "data.validation": validation, "training.seed": seed}
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if base is not None:
        values["base.revision"] = None  # it pins the recipe's own base
    read = Recipe.read(recipe, set_ or [], values)
    out = out or Path("adapters") / Path(recipe).stem
    try:
        from lorasent.progress import Printer, bar
        from lorasent.training import train as run

        with bar(console) as progress:
            run(read, out, resume=resume, listener=Printer(console, progress, recipe))
    except KeyboardInterrupt:
        again = shlex.join(["lorasent", *sys.argv[1:], *([] if resume else ["--resume"])])
        begun = out.with_name(out.name + ".partial").exists()
        console.print(f"Interrupted. Go on after the last whole epoch with: {again}" if begun else "Interrupted.")
        sys.exit(INTERRUPTED)


@app.command()
def augment(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or the path of a TOML file.")] = "embedded",
    train_source: Annotated[str | None, typer.Option("--train", help="Source of the training reviews.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key: augmentation.typos=0.02")
    ] = None,
    judge: Annotated[Path | None, typer.Option(metavar="ADAPTER", help="Ask this adapter whether labels hold instead.")] = None,
    data: Annotated[str | None, typer.Option(help="Labelled reviews to ask it about. [default: the recipe's validation]")] = None,
    margin: Annotated[float, typer.Option(min=0, max=1, help="The accuracy, as a share, that changed reviews may lose.")] = 0.02,
) -> None:
    """Show the training reviews as the first epoch sees them, a JSON object a line, or ask an adapter whether their labels hold.

    With --judge, exits 0 where the labels hold under every way, 1 where they break, 3 where the reviews are too few to tell.
    """
    from lorasent import augmentation
    from lorasent.recipe import Recipe

    read = Recipe.read(recipe, set_ or [], {} if train_source is None else {"data.train": train_source})
    settings, seed, labels = read.augmentation, read.training.seed, read.base.labels
    if settings is None:
        raise RecipeError(
            f"recipe {recipe}: has no table [augmentation]; write one, or turn a way on: --set augmentation.typos=0.02"
        )
    if judge is None:
        from lorasent.run import read_splits

        train = read_splits(read)[0]
        shown = zip(augmentation.epoch(train.texts, settings, seed, 0), train.labels.tolist(), train.texts, strict=True)
        lines = ({"text": text, "label": labels[label], "original": original} for text, label, original in shown)
        sys.stdout.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        sys.stdout.flush()
        return
    from lorasent import preservation
    from lorasent.data import read as read_reviews

    scorer = _load(judge, "auto")
    reviews = read_reviews(data or read.data.validation, scorer.labels, read.data.text_column, read.data.label_column)
    found = preservation.check(scorer, reviews, settings, seed)
    print(preservation.table(found, margin))
    verdicts = {one.holds(margin) for one in found}
    sys.exit(1 if False in verdicts else 3 if None in verdicts else 0)


@app.command()
def predict(
    adapter: AdapterPath,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Reviews; absent, a line of standard input each.")
    ] = None,
    source: Annotated[str | None, typer.Option("--input", help="A source of reviews, labelled or not.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
    text_column: TextColumnOption = None,
    precision: PrecisionOption = "fp32",
) -> None:
    """Label reviews: one JSON object a line, with text, label and probability."""
    if texts and source:
        raise LorasentError("predict: give reviews as arguments or with --input, not both")
    reviews = _input(texts, source, text_column)
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise LorasentError(f"--output {output}: expected a file in a directory that exists")
    scorer = _load(adapter, precision)
    lines = (json.dumps(vars(row), ensure_ascii=False) + "\n" for row in scorer.stream(reviews))
    if output is None:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
        return
    files.write(output, lines)
    console.print(f"Written: {output}")


@app.command()
def evaluate(
    adapter: AdapterPath,
    data: Annotated[str, typer.Option(help="A source of labelled reviews.")],
    errors: Annotated[bool, typer.Option("--errors", help="Also the mistakes: where, how sure, which labels and words.")] = False,
    slices: Annotated[
        list[str] | None, typer.Option("--slice", metavar="COLUMN", help="A column to count mistakes by, with --errors.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Mistakes that are told, and explained, the most confident first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    text_column: TextColumnOption = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    precision: PrecisionOption = "fp32",
) -> None:
    """Measure an adapter on labelled reviews."""
    if slices and not errors:
        raise LorasentError("evaluate: --slice says how mistakes are told; add --errors")
    scorer = _load(adapter, precision)
    from lorasent import evaluation
    from lorasent.data import read
    from lorasent.slices import require

    reviews = read(data, scorer.labels, text_column, label_column)
    for column in slices or ():
        require(column, reviews)
    logits = scorer.logits(reviews.texts)
    found = evaluation.measure(logits, reviews.labels, scorer.labels)
    if errors:
        found = replace(found, mistakes=_mistakes(adapter, scorer, reviews, logits, slices or (), top))
    if as_json:
        print(json.dumps({"adapter": str(adapter), "data": data, "data_sha256": reviews.fingerprint, **found.to_json()}))
        if found.mistakes and found.mistakes.trained_on:
            console.print(evaluation.doubt(found.mistakes))
    else:
        evaluation.tell(found, Console(highlight=False, markup=False, emoji=False))


@app.command()
def gate(
    candidate: Annotated[Path, typer.Argument(help="The adapter that is to ship.")],
    baseline: Annotated[
        list[Path], typer.Option(help="Adapter or recorded evidence; the first is the incumbent, more are a bank.")
    ],
    policy: Annotated[Path, typer.Option(help="The policy.")] = Path("gate.toml"),
    data: Annotated[str | None, typer.Option(help="A source of labelled reviews, instead of the policy's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    report: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
) -> None:
    """Judge whether a candidate may replace a baseline. Exits 0 PASS, 1 BLOCK, 2 bad input, 3 INCONCLUSIVE, 4 INVALID."""
    from lorasent import report as reports
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import judge

    verdict = judge(candidate, baseline, Policy.read(policy, data))
    again = shlex.join(["lorasent", *sys.argv[1:]])
    if report is not None:
        files.write(report, [reports.page(verdict, again)])
        console.print(f"Written: {report}")
    if as_json:
        print(json.dumps(verdict.to_json()))
    else:
        print(reports.text(verdict, again))
    sys.exit(verdict.exit_code)


@app.command()
def record(
    adapter: AdapterPath,
    out: Annotated[Path, typer.Option(help="The file, new.")],
    data: Annotated[str | None, typer.Option(help="A source of labelled reviews, instead of the policy's.")] = None,
    policy: Annotated[Path, typer.Option(help="The policy whose questions are answered.")] = Path("gate.toml"),
) -> None:
    """Record an adapter's answers to everything that a policy asks, as a baseline for another machine or other libraries."""
    from lorasent import evidence
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import questions

    if out.exists():
        raise LorasentError(f"{out}: exists already; choose another --out or remove it")
    asked = Policy.read(policy, data)
    live = evidence.LiveSubject(adapter, asked.data.precision if asked.data else "fp32")
    evidence.record(live, questions(asked, live.labels), out)
    console.print(f"Written: {out}. Judge against it: lorasent gate CANDIDATE --baseline {out}")


@app.command()
def prove(
    baseline: Annotated[list[Path], typer.Option(help="An adapter; several are alike but for the seed.")],
    policy: Annotated[Path, typer.Option(help="The policy that is put to the proof.")] = Path("gate.toml"),
    data: Annotated[str | None, typer.Option(help="A source of labelled reviews, instead of the policy's.")] = None,
    retrain: Annotated[int, typer.Option(min=0, help="Twins to train of the first baseline, with the seeds that follow.")] = 0,
    per_fault: Annotated[int, typer.Option(min=1, help="Adapters that each fault is planted in.")] = 5,
    fault: Annotated[list[str] | None, typer.Option(help="Only faults whose names begin so.")] = None,
    work: Annotated[Path, typer.Option(help="Folder of what is trained and planted; a proof goes on where it was.")] = Path(
        "proof"
    ),
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure how often this gate is wrong on your adapters: what it misses of planted faults, and which innocents it blocks."""
    from lorasent.gate.policy import Policy
    from lorasent.prove.catalogue import select
    from lorasent.prove.proof import prove as run
    from lorasent.prove.table import text

    judged_by, faults = Policy.read(policy, data), select(fault)
    proof = run(baseline, judged_by, work, retrain=retrain, per_fault=per_fault, faults=faults, say=console.print)
    if out is not None:
        files.write(out, [files.canonical(proof.to_json())])
        console.print(f"Written: {out}")
    print(json.dumps(proof.to_json()) if as_json else text(proof))


@app.command()
def sweep(
    recipe: Annotated[str, typer.Argument(help="The recipe to search around: a shipped one's name or a TOML file.")] = "embedded",
    trials: Annotated[int, typer.Option(min=1, help="Finished trials, those of an interrupted search among them.")] = 30,
    out: Annotated[Path | None, typer.Option(help="The search's folder. [default: sweeps/RECIPE]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train at once; the cores are shared among them.")] = 1,
    storage: Annotated[str | None, typer.Option(help="A database's URL, for several machines. [default: SQLite in --out]")] = None,
    over: Annotated[list[str] | None, typer.Option(help="Search over this alone; may be repeated. [default: everything]")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key: lora.r=8")] = None,
    confirm: Annotated[int, typer.Option(min=0, help="Fresh seeds with which the best is trained again; 0 for none.")] = 3,
    data: Annotated[str | None, typer.Option(help="Reviews that confirm. [default: embedded:test for the embedded corpus]")] = None,
    precision: PrecisionOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search; the recipe has its own.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search, alone or beside others.")] = False,
) -> None:
    """Search for a better recipe, and ask whether it is one."""
    from lorasent.recipe import Recipe

    read = Recipe.read(recipe, set_ or [])
    out = out or Path("sweeps") / Path(recipe).stem
    _checked(precision)
    if missing := [name for name in ("optuna", "matplotlib", "tomli_w") if find_spec(name) is None]:
        raise LorasentError(f"sweep: needs {missing[0]}; install it with: python -m pip install 'lorasent[sweep]'")
    from lorasent.progress import bar
    from lorasent.sweep import confirmation, outcome, space, study

    confirming = confirmation.source(read, data, confirm)
    search = study.Search(
        read.to_json(), out, storage or f"sqlite:///{(out / study.STUDY).resolve()}", trials, seed, tuple(over or space.NAMES)
    )
    try:
        with bar(console) as progress:
            task = progress.add_task("trials", total=trials)

            def say(trial: Any, done: int) -> None:
                console.print(outcome.row(trial))
                progress.update(task, completed=done)

            found = study.run(search, workers, resume=resume, say=say, note=console.print)
        for line in outcome.table(found):
            print(line)
        confirmed, written = None, outcome.write(found, read, out, None)
        best = space.recipe_at(read, study.best(found).params)
        if confirming is not None and best != read:
            console.print("Is it better? Both recipes again, with fresh seeds:")
            confirmed = confirmation.confirm(
                read, best, confirming, out / "confirmation", seeds=confirm, precision=precision, say=console.print
            )
    except KeyboardInterrupt:
        again = shlex.join(["lorasent", *sys.argv[1:], *([] if resume else ["--resume"])])
        console.print(f"Interrupted. Running trials are lost; go on with: {again}")
        sys.exit(INTERRUPTED)
    for line in outcome.conclusion(confirmed, same=best == read):
        print(line)
    written = outcome.write(found, read, out, confirmed) if confirmed else written
    for path in written:
        console.print(f"Written: {path}")
    console.print(f"Next:\n  lorasent train {out / outcome.RECIPE}")


@app.command()
def doctor() -> None:
    """Say what this machine offers."""
    import platform
    from importlib import metadata

    import torch

    from lorasent.base import find
    from lorasent.scoring import uses_bf16

    rows = {name: metadata.version(name) for name in ("lorasent", "torch", "transformers", "peft", "datasets")}
    rows["python"] = platform.python_version()
    rows["processor"] = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    rows["bf16"] = "in hardware (precision auto = bf16)" if uses_bf16("auto") else "not in hardware (precision auto = fp32)"
    rows["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    rows["embedded base"] = _tried(lambda: f"{find('embedded').sha256[:12]}… (as pinned)")
    rows["hub"] = _tried(_ask_hub)
    for name, value in rows.items():
        print(f"{name:<14}{value}")


def _ask_hub() -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "offline (HF_HUB_OFFLINE is set); the cache is used"
    get_session().head(constants.ENDPOINT, timeout=3)
    return f"{constants.ENDPOINT} answers"


def _tried(question: Callable[[], str]) -> str:
    """An answer, or why there is none: doctor reports faults, it does not stop at them."""
    try:
        return question()
    except Exception as error:
        return f"no: {(str(error).splitlines() or [type(error).__name__])[0]}"


def _checked(precision: str) -> None:
    if precision not in ("auto", "fp32", "bf16"):
        raise LorasentError(f"--precision {precision}: allowed are auto, fp32, bf16")


def _load(adapter: Path, precision: str) -> "Scorer":
    _checked(precision)
    from lorasent.scoring import load

    return load(adapter, precision)  # type: ignore[arg-type]


def _mistakes(
    adapter: Path, scorer: "Scorer", reviews: "Reviews", logits: "NDArray[np.float32]", columns: Iterable[str], top: int
) -> "Mistakes":
    from lorasent import manifest, mistakes, sources
    from lorasent.progress import bar

    lines, said = sources.lines_of(reviews.source), manifest.read(adapter)
    with bar(console) as progress:
        task = progress.add_task("leaving words out", total=None)
        return mistakes.find(
            scorer, reviews, logits, columns, lines, said, top, lambda done, of: progress.update(task, completed=done, total=of)
        )


def _input(texts: list[str] | None, source: str | None, text_column: str | None) -> Iterable[str]:
    from lorasent.data import check_texts, read_texts

    if source is not None:
        return read_texts(source, text_column)
    if texts:
        return list(check_texts(texts, "arguments"))
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


def _fail(message: str) -> None:
    console.print(f"lorasent: {message}")
    sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    main()
