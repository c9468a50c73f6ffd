"""Commands of the gate: init, gate, adopt, record, prove."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorasent import devices, files, tracking
from lorasent.cli import bulk, ending, options, outputs
from lorasent.cli.messages import command_line, console, report_written, stages_shown, verdict_text
from lorasent.errors import LorasentError, PolicyError
from lorasent.text import MESSAGE, shown, some, wrapped

if TYPE_CHECKING:
    from lorasent.gate.context import Context
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import Verdict
    from lorasent.scoring.predictions import Predictions


def init(
    candidate: Annotated[Path | None, options.folder(help="An adapter that is to ship, to say how it differs.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="PATH", help="The incumbent, an adapter or a record.")] = None,
    data: Annotated[str | None, options.source(help="Source of labelled reviews. [default: embedded:test]")] = None,
    out: Annotated[Path, options.file(help="New file to write.")] = options.GATE,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    skip_empty: options.SkipEmpty = False,
    base: options.Base = None,
) -> None:
    """Write a policy that suits your adapters and reviews.

    Tells the labels, the number of reviews, and the drop in accuracy that so many reviews can block. Nothing is scored.
    """
    from lorasent.adapter.base import look_in
    from lorasent.gate import facts, proposal

    look_in(base)
    options.require_writable("--out", out)
    proposal.require_new(out)
    found = facts.look(
        candidate, baseline, data, out.parent, text_column=text_column, label_column=label_column, skip_empty=skip_empty
    )
    proposal.write(found, out)
    for remark in proposal.remarks(found):
        console.print("\n".join(wrapped(remark, hanging="  ")))
    policy = [] if out == options.GATE else ["--policy", str(out)]
    judge = ["lorasent", "gate", str(candidate or "CANDIDATE"), "--baseline", str(baseline or "BASELINE"), *policy]
    report_written(out, f". Judge by it: {shlex.join(judge)}")


def gate(
    candidate: Annotated[Path | None, typer.Argument(metavar="CANDIDATE", help="The adapter that is to ship.")] = None,
    baseline: options.Baseline = None,
    candidate_predictions: Annotated[str | None, options.file(help="Predictions to judge in place of an adapter.")] = None,
    baseline_predictions: Annotated[list[str] | None, options.file(help="Predictions as a baseline. Repeat for a bank.")] = None,
    candidate_identity: Annotated[str | None, options.name(help="The system that made them, if the file does not say.")] = None,
    baseline_identity: Annotated[list[str] | None, options.name(help="Likewise, in the order of --baseline-predictions.")] = None,
    labels: Annotated[str | None, typer.Option(metavar="A,B", help="Labels of predictions, if nothing else names them.")] = None,
    policy: options.Policy = options.GATE,
    data: options.Data = None,
    skip_empty: options.SkipEmpty = False,
    as_json: options.Json = False,
    report: Annotated[Path | None, options.file(help="HTML page to write, for people: one file.")] = None,
    json_out: Annotated[Path | None, options.file(help="JSON file to write: the verdict, as --json prints it.")] = None,
    summary: Annotated[Path | None, options.file(help="Markdown file to write, for a pull request.")] = None,
    sarif: Annotated[Path | None, options.file(help="SARIF file to write: faults of the candidate's files.")] = None,
    annotations: Annotated[Path | None, options.file(help="File to write: GitHub's annotations, for its log.")] = None,
    precision: Annotated[str | None, options.name(help="fp32, bf16 or auto. [default: the policy's data.precision]")] = None,
    waivers: Annotated[Path | None, options.file(help="Known regressions that do not decide, a TOML file.")] = None,
    report_to: options.ReportTo = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict's line alone.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every finding with its figures.")] = False,
    base: options.Base = None,
    device: options.Device = "auto",
) -> int:
    """Judge whether a candidate may replace a baseline.

    Without --baseline it is a first adapter, held to absolute limits alone. Predictions of another system have an id for each row.
    Exit codes: 0 PASS, 1 BLOCK and nothing else, 2 bad usage or input, 3 INCONCLUSIVE, 4 INVALID, 70 and above: there is no
    verdict, or a PASS could not be written.
    """
    from lorasent.adapter.base import look_in
    from lorasent.gate.policy import Policy
    from lorasent.scoring.predictions import subjects

    tracking.require(report_to or ())
    if quiet and verbose:
        raise LorasentError("gate: --quiet and --verbose exclude each other")
    first, bank = subjects(
        (candidate, candidate_predictions, candidate_identity), (baseline, baseline_predictions, baseline_identity), labels
    )
    look_in(base)
    device = devices.resolve(device)
    read_policy = Policy.read(policy, data, skip_empty=skip_empty, precision=precision)
    paths = {"report": report, "json-out": json_out, "summary": summary, "sarif": sarif, "annotations": annotations}
    outputs.require_writable(paths, policy, data, waivers, candidate_predictions, *map(str, bank))
    verdict, context = _judged(first, bank, read_policy, waivers, device, quiet=quiet)
    command = shown(command_line(), MESSAGE)
    output = ending.json_line(verdict.to_json()) if as_json else verdict_text(verdict, command, quiet=quiet, verbose=verbose)
    return outputs.write(ending.finish(verdict.exit_code, output), paths, verdict, context, command, read_policy, report_to or ())


def _judged(
    candidate: "Path | Predictions",
    baselines: "Sequence[Path | Predictions]",
    policy: "Policy",
    waivers: Path | None,
    device: str,
    *,
    quiet: bool,
) -> "tuple[Verdict, Context | None]":
    """The verdict, with the waivers of a file, and what answered; says how far the work is."""
    from lorasent.gate import waivers as known
    from lorasent.gate.verdict import judged

    read_waivers = known.read(waivers) if waivers else []
    with stages_shown(lines=not quiet), _no_verdict():
        verdict, context = judged(candidate, baselines, policy, device=device)
    return known.applied(verdict, read_waivers), context


@contextlib.contextmanager
def _no_verdict() -> Iterator[None]:
    """Inside, the policy is valid: another error than its own means that there is no verdict, and is no bad usage."""
    try:
        yield
    except PolicyError:
        raise
    except (LorasentError, OSError) as error:
        raise RuntimeError(f"no verdict: {error}") from error


def adopt(
    adapter: options.Adapter,
    out: Annotated[Path, options.folder(help="New directory to write.")],
    base: Annotated[str | None, options.name(help="Base: hub name, directory, or embedded. [default: the adapter's]")] = None,
    labels: Annotated[str | None, typer.Option(metavar="A,B", help="Labels in the order of the head's outputs.")] = None,
    max_length: Annotated[int | None, options.number(min=4, help="Tokens to which the script cut its texts.")] = None,
    truncation_side: Annotated[str | None, typer.Option(metavar="SIDE", help="left or right: the side that it cut.")] = None,
) -> None:
    """Write a manifest for an adapter that another script trained.

    The copy in --out has the manifest. What is not named is taken from the files of the adapter and its base.
    """
    from lorasent.adapter import manifest, sealing

    if truncation_side not in (None, "left", "right"):
        raise LorasentError(f"--truncation-side {truncation_side}: allowed are left, right")
    names = [name.strip() for name in labels.split(",")] if labels else None
    sealing.adopt(adapter, out, base=base, labels=names, max_length=max_length, truncation_side=truncation_side)
    written = manifest.read(out)
    encoding = written.encoding
    console.print(
        f"labels: {some(written.labels)}; base: {shown(written.base.name)}; "
        f"at most {encoding.max_length} tokens, cut on the {encoding.truncation_side}"
    )
    if written.not_read:
        console.print(f"not read: {some(written.not_read)}")
    report_written(out, ". It proves that the adapter answers as today; what its trainer's memory answered is not known")


def record(
    adapter: options.Adapter,
    out: Annotated[Path, options.file(help="New file to write.")],
    data: options.Data = None,
    policy: options.Policy = options.GATE,
    skip_empty: options.SkipEmpty = False,
    base: options.Base = None,
    device: options.Device = "auto",
    engine: bulk.RecordEngine = None,
    actors: bulk.Actors = None,
    cpus: bulk.Cpus = None,
    gpus: bulk.Gpus = None,
) -> None:
    """Record an adapter's answers, as a baseline for later.

    The answers are those that a policy needs. `gate` takes the file as a baseline, on another machine or with other libraries.
    """
    from lorasent.adapter.base import look_in
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import questions
    from lorasent.scoring import evidence

    if out.exists():
        raise LorasentError(f"{out}: exists already; choose another --out or remove it")
    options.require_writable("--out", out)
    look_in(base)
    read_policy = Policy.read(policy, data, skip_empty=skip_empty)
    precision = read_policy.data.precision if read_policy.data else "fp32"
    subject = evidence.LiveSubject(adapter, precision, device)
    texts, bulk_options = questions(read_policy, subject.labels), bulk.BulkOptions(engine, actors, cpus, gpus)
    with stages_shown():
        evidence.record(subject, texts, out, *bulk.answers(adapter, texts, bulk_options, precision, device))
    report_written(out, f". Judge against it: lorasent gate CANDIDATE --baseline {out}")


def prove(
    baseline: Annotated[list[Path], options.folder(help="Adapter; several must differ in the seed only. Repeatable.")],
    policy: options.Policy = options.GATE,
    data: options.Data = None,
    retrain: Annotated[int, options.number(min=0, help="Times to retrain the first baseline, with the next seeds.")] = 0,
    per_fault: Annotated[int, options.number(min=1, help="Adapters to plant each fault in.")] = 5,
    fault: Annotated[list[str] | None, options.name(help="Plant only faults whose names begin with this. Repeatable.")] = None,
    work: Annotated[Path, options.folder(help="Folder of trained and faulty adapters, to continue a run.")] = Path("proof"),
    out: Annotated[Path | None, options.file(help="JSON file to write.")] = None,
    as_json: options.Json = False,
    device: options.Device = "auto",
) -> None:
    """Measure the gate's error rates on your adapters.

    Counts the planted faults that the gate misses, and the innocent retrains that it blocks.
    """
    from lorasent.gate.policy import Policy
    from lorasent.prove.catalogue import select
    from lorasent.prove.experiment import measure
    from lorasent.prove.rates import text

    read_policy, faults = Policy.read(policy, data), select(fault)
    options.require_folder("--work", work)
    options.require_writable("--out", out, policy, data, *baseline)
    with devices.auto_is(device):
        rates = measure(baseline, read_policy, work, retrain=retrain, per_fault=per_fault, faults=faults, report=console.print)
    if out is not None:
        files.write(out, [files.canonical(rates.to_json())])
        report_written(out)
    ending.write([ending.json_line(rates.to_json()) if as_json else text(rates) + "\n"])
