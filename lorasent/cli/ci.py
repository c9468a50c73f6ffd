"""Commands beside `gate` that hooks and CI call: check, comment."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lorasent.cli import ending
from lorasent.cli.messages import console
from lorasent.errors import LorasentError
from lorasent.text import MESSAGE, shown

LARGEST_SUMMARY = 1 << 20
"""Largest size of a file that becomes a comment, in bytes."""


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Adapters, or files of adapters, as a hook names them.")],
) -> int:
    """Check the files of adapters, in seconds.

    Asks what `gate` asks of a candidate's files, without a baseline, and loads no model. For a pre-commit hook.
    Exit codes: 0 sound, 1 a fault, 2 bad usage or input, 4 could not be checked.
    """
    from lorasent.gate.integrity import checks
    from lorasent.gate.verdict import EXIT_CODES
    from lorasent.report import terminal

    codes = []
    for adapter in dict.fromkeys(map(_adapter, paths)):
        findings = checks.of_files(adapter)
        failed = [finding for finding in findings if finding.outcome != "PASS"]
        worst = min(findings, key=lambda finding: [*EXIT_CODES].index(finding.outcome)).outcome
        sound = "" if failed else f": {len(findings)} checks of its files; its answers were not asked"
        rows = [line.plain for finding in failed for line in terminal.finding_lines(finding)]
        ending.write(f"{line}\n" for line in [f"{worst}: {shown(adapter, MESSAGE)}{sound}", *rows])
        codes.append(EXIT_CODES[worst])
    return next((code for code in EXIT_CODES.values() if code in codes), 0)


def _adapter(path: Path) -> Path:
    """The adapter's directory that a path is, or lies in."""
    from lorasent.adapter.snapshot import CONFIG

    if path.is_dir():
        return path
    if not os.path.lexists(path) and not path.parent.is_dir():
        raise LorasentError(f"{path}: no such adapter directory, nor a file of one")
    folder = path.parent
    if not (folder / CONFIG).exists():
        raise LorasentError(f"{path}: lies in no adapter directory: {folder} has no {CONFIG}")
    return folder


def comment(
    summary: Annotated[Path, typer.Argument(metavar="FILE", help="The Markdown file that gate --summary wrote.")],
    name: Annotated[str, typer.Option(help="Name of the comment, where a repository gates several adapters.")] = "gate",
) -> None:
    """Write the comment on this job's pull request, or update the one of an earlier run.

    For a job on GitHub: reads GITHUB_EVENT_PATH, GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN. A token that may only read,
    as that of a pull request from a fork, is said, and is no error.
    """
    from lorasent import files
    from lorasent.report import github

    pull = github.Pull.of_job(os.environ)
    if pull is None:
        console.print("no comment: this job belongs to no pull request")
        return
    text = files.read_bounded(summary, LARGEST_SUMMARY).decode("utf-8", "replace")
    console.print(shown(pull.comment(f"{text}{github.run_link(os.environ)}", name), MESSAGE))
