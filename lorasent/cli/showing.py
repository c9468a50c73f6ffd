"""The command that prints a card: show."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorasent import files
from lorasent.cli import ending
from lorasent.cli.messages import fitted, verdict_text
from lorasent.errors import LorasentError, first_line
from lorasent.text import LONG, decode, shown

if TYPE_CHECKING:
    from lorasent.gate.verdict import Verdict

LARGEST = 64 << 20
"""Largest file that is read as JSON, in bytes."""

KNOWN = "an adapter's directory, a verdict (gate --json), evidence (record), a history (benchmark), or a proof (prove --out)"


def show(
    path: Annotated[Path, typer.Argument(metavar="ADAPTER|REPORT", help=f"What to show: {KNOWN}.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Of a verdict, every finding with its figures.")] = False,
) -> None:
    """Print the card of an adapter or of a report.

    A verdict, recorded evidence, a history of benchmarks and a proof have cards, too. No model is loaded.
    """
    from lorasent.adapter.snapshot import NAME
    from lorasent.report import cards

    if path.is_dir() or (not path.exists() and NAME.fullmatch(str(path))):
        _print(cards.adapter(path))
    elif not path.exists():
        raise LorasentError(f"{path}: no such file or directory; expected {KNOWN}")
    elif path.suffix == ".safetensors" or _begins_like_safetensors(path):
        _print(cards.evidence(path))
    else:
        _report(path, verbose=verbose)


def _begins_like_safetensors(path: Path) -> bool:
    """Whether a file has a header's length and then a brace, as evidence of any name has."""
    try:
        with files.open_regular(path, 1 << 40) as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise LorasentError(f"{path}: {error.strerror}") from None


def _report(path: Path, *, verbose: bool) -> None:
    """Prints the card of a JSON or JSONL file, by what is in it."""
    from lorasent.benchmark import history

    content = _content(path)
    try:
        if content.get("kind") == history.KIND:
            runs = history.read(path)
            _print([shown(path, LONG), *history.card(runs)])
        elif "findings" in content:
            more = shlex.join(["lorasent", "show", str(path), "--verbose"])
            ending.write([verdict_text(_verdict(path, content), "", verbose=verbose, more=shown(more, LONG))])
        elif {"members", "faults", "missed"} <= content.keys():
            from lorasent.prove import rates

            _print([shown(path, LONG), *rates.text(rates.ErrorRates.from_json(content)).splitlines()])
        else:
            raise LorasentError(f"{path}: expected {KNOWN}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LorasentError(f"{path}: damaged, or of another version of lorasent: {first_line(error)}; expected {KNOWN}") from None


def _verdict(path: Path, content: Mapping[str, Any]) -> "Verdict":
    """The verdict in a file's JSON. Raises LorasentError that names the file, and what `Verdict.from_json` raises."""
    from lorasent.gate.verdict import Verdict

    try:
        return Verdict.from_json(content)
    except LorasentError as error:
        raise LorasentError(f"{path}: {error}") from None


def _content(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, or in its first line. Raises LorasentError."""
    try:
        with files.open_regular(path, LARGEST) as file:
            text = decode(file.read())
        try:
            content = json.loads(text)
        except ValueError:
            content = json.loads(text.partition("\n")[0])
    except (OSError, ValueError, RecursionError) as error:
        raise LorasentError(f"{path}: cannot be read: {first_line(error)}; expected {KNOWN}") from None
    if not isinstance(content, Mapping):
        raise LorasentError(f"{path}: expected {KNOWN}")
    return content


def _print(lines: Iterable[str]) -> None:
    ending.write(f"{line}\n" for line in fitted(shown(line, LONG) for line in lines))
