"""The command push, and what train does with --push-to-hub."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lorasent.cli import ending, options
from lorasent.cli.messages import console
from lorasent.errors import HubError, LorasentError
from lorasent.text import MESSAGE, shown

Public = Annotated[bool, typer.Option("--public", help="Make a new repository public. [default: private]")]


def push(
    adapter: options.Adapter,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="Model repository on the hub: USER/NAME.")],
    verdict: Annotated[Path | None, options.file(help="Verdict to add to the model card: what `gate --json` printed.")] = None,
    public: Public = False,
) -> int:
    """Push an adapter to the hub.

    Its files are verified before, and its model card goes with them. Log in with `hf auth login`, or set HF_TOKEN.
    """
    from lorasent import hub

    hub.require_pushable(repository)
    return deliver(adapter, repository, public=public, section="" if verdict is None else _section(adapter, verdict))


def deliver(adapter: Path, repository: str, *, public: bool, section: str = "") -> int:
    """Pushes an adapter, says where it is, and returns the exit code: a hub that fails costs no adapter."""
    from lorasent.adapter import pushing

    try:
        pushed = pushing.push(adapter, repository, private=not public, verdict=section)
    except HubError as error:
        again = shlex.join(["lorasent", "push", str(adapter), repository, *(["--public"] if public else [])])
        ending.print_error(f"{error}; the adapter is whole in {adapter}, push it with: {again}")
        return ending.NOT_WRITTEN
    name = shown(f"{pushed.repository}@{pushed.commit}", MESSAGE)
    console.print(f"Pushed: {name}. Judge against it: lorasent gate CANDIDATE --baseline {name}")
    return 0


def _section(adapter: Path, file: Path) -> str:
    """The section of a model card about the verdict in a file. Raises LorasentError for a verdict about another adapter."""
    from lorasent.adapter.manifest import identity
    from lorasent.adapter.untrusted import read_json
    from lorasent.gate.verdict import Verdict
    from lorasent.report import card

    try:
        verdict = Verdict.from_json(read_json(file))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LorasentError(f"{file}: expected the JSON object that `lorasent gate --json` printed") from None
    if (judged := verdict.evidence.get("candidate", "nothing")) != (own := identity(adapter)):
        raise LorasentError(f"{file}: is a verdict on {shown(judged)}, not on {adapter} ({own}); judge it first")
    return card.section(verdict)
