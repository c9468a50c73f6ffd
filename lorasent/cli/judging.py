"""Commands of the gate: gate, record, prove."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lorasent import files
from lorasent.cli import ending
from lorasent.cli.shared import AdapterPath, BaseOption, SkipEmptyOption, console, require_folder, require_writable
from lorasent.errors import LorasentError, PolicyError
from lorasent.text import MESSAGE, shown


def gate(
    candidate: Annotated[Path, typer.Argument(help="The adapter that is to ship.")],
    baseline: Annotated[
        list[Path], typer.Option(help="Adapter or recorded evidence; the first is the incumbent, more are a bank.")
    ],
    policy: Annotated[Path, typer.Option(help="The policy.")] = Path("gate.toml"),
    data: Annotated[str | None, typer.Option(help="A source of labelled reviews, instead of the policy's.")] = None,
    skip_empty: SkipEmptyOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    report: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    base: BaseOption = None,
) -> int:
    """Judge whether a candidate may replace a baseline.

    Exits 0 PASS, 1 BLOCK and for nothing else, 2 bad input, 3 INCONCLUSIVE, 4 INVALID, 70 and above where there is no verdict, or a
    PASS that could not be written.
    """
    from lorasent.adapter.base import look_in
    from lorasent.gate import report as reports
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import judge

    look_in(base)
    judged_by = Policy.read(policy, data, skip_empty=skip_empty)
    if report is not None:
        require_writable("--report", report, policy, data, *baseline)
    try:
        verdict = judge(candidate, baseline, judged_by)
    except PolicyError:
        raise
    except (LorasentError, OSError) as error:  # neither bad usage nor a verdict
        raise RuntimeError(f"no verdict: {error}") from error
    again = shown(shlex.join(["lorasent", *sys.argv[1:]]), MESSAGE)
    code = ending.told(verdict.exit_code, ending.line(verdict.to_json()) if as_json else reports.text(verdict, again) + "\n")
    if report is not None:
        try:
            files.write(report, [reports.page(verdict, again)])
        except OSError as error:
            ending.say(f"--report {report}: cannot be written: {error.strerror}")
            return code or ending.NOT_WRITTEN
        console.print(shown(f"Written: {report}", MESSAGE))
    return code


def record(
    adapter: AdapterPath,
    out: Annotated[Path, typer.Option(help="The file, new.")],
    data: Annotated[str | None, typer.Option(help="A source of labelled reviews, instead of the policy's.")] = None,
    policy: Annotated[Path, typer.Option(help="The policy whose questions are answered.")] = Path("gate.toml"),
    skip_empty: SkipEmptyOption = False,
    base: BaseOption = None,
) -> None:
    """Record an adapter's answers to everything that a policy asks, as a baseline for another machine or other libraries."""
    from lorasent.adapter.base import look_in
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import questions
    from lorasent.scoring import evidence

    if out.exists():
        raise LorasentError(f"{out}: exists already; choose another --out or remove it")
    require_writable("--out", out)
    look_in(base)
    asked = Policy.read(policy, data, skip_empty=skip_empty)
    live = evidence.LiveSubject(adapter, asked.data.precision if asked.data else "fp32")
    evidence.record(live, questions(asked, live.labels), out)
    console.print(shown(f"Written: {out}. Judge against it: lorasent gate CANDIDATE --baseline {out}", MESSAGE))


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
    from lorasent.prove.experiment import measure
    from lorasent.prove.table import text

    judged_by, faults = Policy.read(policy, data), select(fault)
    require_folder("--work", work)
    if out is not None:
        require_writable("--out", out, policy, data, *baseline)
    proof = measure(baseline, judged_by, work, retrain=retrain, per_fault=per_fault, faults=faults, report=console.print)
    if out is not None:
        files.write(out, [files.canonical(proof.to_json())])
        console.print(shown(f"Written: {out}", MESSAGE))
    ending.write([ending.line(proof.to_json()) if as_json else text(proof) + "\n"])
