"""The files that `gate` writes of a verdict: each option that names one, and what is written there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorasent import files
from lorasent.cli import ending, options
from lorasent.cli.messages import report_written, stages_shown
from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.gate.context import Context
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import Verdict

Paths = Mapping[str, Path | None]
"""The path that each option names, by the option's name without its dashes; None for an option that is not used."""


def require_writable(paths: Paths, *inputs: str | Path | None) -> None:
    """Raises LorasentError, before the work begins, unless each path is a writable one of its own, and none is an input."""
    named = {name: path for name, path in paths.items() if path is not None}
    for name, path in named.items():
        options.require_writable(f"--{name}", path, *inputs)
        if path in [other for option, other in named.items() if option != name]:
            raise LorasentError(f"--{name} {path}: is named by two options; choose another file")


def write(
    code: int,
    paths: Paths,
    verdict: "Verdict",
    context: "Context | None",
    command: str,
    policy: "Policy",
    trackers: Sequence[str] = (),
) -> int:
    """Writes the files, and returns the exit code: `code`, or that of output that could not be written in place of 0.

    Trackers are contacted at the end, once all is said and written; what fails there changes no exit code.
    """
    for name, path in paths.items():
        if path is None:
            continue
        try:
            files.write(path, [_content(name, verdict, context, command, policy)])
        except Exception as error:  # the verdict stands, whatever a page meets
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            ending.print_error(f"--{name} {path}: cannot be written: {reason}")
            code = code or ending.NOT_WRITTEN
        else:
            if not str(path).startswith("/dev/"):
                report_written(path)
    if trackers:
        from lorasent.report import tracked

        names = {"verdict.json": "json-out", "report.html": "report"}
        tracked.report(verdict, trackers, {file: _content(name, verdict, context, command, policy) for file, name in names.items()})
    return code


def _content(name: str, verdict: "Verdict", context: "Context | None", command: str, policy: "Policy") -> str:
    """What an option's file holds."""
    from lorasent.report import details, github, markdown, page, sarif

    match name:
        case "report":
            with stages_shown():
                found = details.collect(verdict, context, policy)
            return page.page(verdict, command, found, policy)
        case "json-out":
            return ending.json_line(verdict.to_json())
        case "summary":
            return markdown.summary(verdict, context, command)
        case "sarif":
            return sarif.sarif(verdict)
        case _:
            return github.annotations(verdict)
