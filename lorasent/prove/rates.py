"""The gate's error rates as an experiment measured them: JSON, lines for a terminal, Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from lorasent.text import MESSAGE, WIDTH, shown, wrapped

HEAD = ("fault", "found by", "planted", "BLOCK", "INCONCLUSIVE", "PASS", "right cause")
"""Heads of the table of faults."""

FAULT = 30
"""Columns of a fault's name in the table for a terminal; the numbers need the others of 80."""


@dataclass(frozen=True)
class VerdictRates:
    """The gate's verdicts on innocent retrains. A rate is a share with the ends of its interval."""

    count: int
    outcomes: dict[str, int]
    blocked: tuple[float, float, float]
    """Rate of BLOCK: the gate's false positive rate."""
    undecided: tuple[float, float, float]
    """Rate of INCONCLUSIVE."""
    causes: dict[str, int]
    """Of verdicts other than PASS: the check and the cause of the first finding."""


@dataclass(frozen=True)
class FaultResult:
    """The gate's verdicts on one planted fault. `named`: BLOCK by a right cause; `note`: why it was not planted."""

    name: str
    kind: str
    what: str
    planted: int
    outcomes: dict[str, int]
    named: int
    causes: dict[str, int]
    note: str = ""


@dataclass(frozen=True)
class ErrorRates:
    """The gate's measured error rates on these adapters under this policy."""

    policy: dict[str, Any]
    members: dict[str, str]
    """Path and identity of the innocent retrains: adapters that differ in the seed only."""
    failed: dict[str, str]
    """Path of each retrain that learnt nothing (its validation loss is that of a guess), and its verdict; it is not innocent."""
    pairs: VerdictRates | None
    """Each retrain against each other one, once."""
    bank: VerdictRates | None
    """Each retrain against a bank of others."""
    faults: tuple[FaultResult, ...]
    missed: dict[str, tuple[int, int, float]]
    """By kind: faults that passed, faults planted, upper bound of the miss rate (Clopper-Pearson)."""
    libraries: dict[str, str]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ErrorRates":
        """The error rates that `to_json` gave. Raises pydantic's ValidationError."""
        return TypeAdapter(cls).validate_python(content)


def text(rates: ErrorRates) -> str:
    """The error rates as lines for a terminal, 80 columns at most, with or without one."""
    lines = [f"Innocent retrains ({len(rates.members)} adapters that differ in the seed only):"]
    lines += [part for line in _innocent(rates) for part in wrapped(f"  {line}", WIDTH, "    ")]
    for kind in dict.fromkeys(fault.kind for fault in rates.faults):
        lines.append(_columns((f"Faults found by {shown(kind, 12)}:", *HEAD[2:])))
        for name, _, *numbers in (row for row in _rows(rates) if row[1] == kind):
            first, *rest = wrapped(f"  {shown(name)}", FAULT, "    ")
            lines += [_columns((first, *numbers)), *rest]
    notes = [shown(f"  {fault.name}: {fault.note}", MESSAGE) for fault in rates.faults if fault.note]
    return "\n".join([*lines, *(part for line in [*notes, *_missed(rates)] for part in wrapped(line, WIDTH, "    "))])


def _columns(cells: Sequence[str]) -> str:
    """A line of the table: a name, and numbers below their heads."""
    return cells[0].ljust(FAULT) + "".join(cell.rjust(len(head) + 2) for cell, head in zip(cells[1:], HEAD[2:], strict=False))


def markdown(rates: ErrorRates) -> str:
    """The error rates in Markdown."""
    lines = [f"- {line}" for line in (*_innocent(rates), *_missed(rates))]
    if rates.faults:
        lines += ["", f"| {' | '.join(HEAD)} |", f"|{'---|' * 2}{'--:|' * 5}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in _rows(rates))]) + "\n"


def _rows(rates: ErrorRates) -> Iterator[tuple[str, ...]]:
    for fault in rates.faults:
        counts = (fault.planted, *(fault.outcomes.get(outcome, 0) for outcome in ("BLOCK", "INCONCLUSIVE", "PASS")), fault.named)
        yield (fault.name, fault.kind, *map(str, counts))


def _innocent(rates: ErrorRates) -> Iterator[str]:
    if rates.pairs is None:
        yield "a single adapter has no other to be judged against; train some with --retrain, or give several --baseline"
        return
    yield f"in pairs: {_shares(rates.pairs)}"
    if outcomes := list(rates.failed.values()):
        counts = ", ".join(f"{outcomes.count(each)} {each}" for each in sorted(set(outcomes)))
        yield f"retrains that learnt nothing (validation loss of a guess), not innocent: {len(outcomes)}, verdicts: {counts}"
    if rates.bank is not None:
        yield f"against a bank: {_shares(rates.bank)}"


def _shares(rates: VerdictRates) -> str:
    shares = [
        f"{100 * share:.1f} % {outcome} (95 % interval {100 * low:.1f} to {100 * high:.1f})"
        for outcome, (share, low, high) in (("BLOCK", rates.blocked), ("INCONCLUSIVE", rates.undecided))
    ]
    return f"{rates.count} verdicts, {', '.join(shares)}"


def _missed(rates: ErrorRates) -> Iterator[str]:
    for kind, (missed, planted, high) in rates.missed.items():
        if planted:
            yield f"missed (PASS) of {kind} faults: {missed} of {planted} (95 % interval up to {100 * high:.1f} %)"
