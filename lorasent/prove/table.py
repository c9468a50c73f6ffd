"""Error rates for people: lines for a terminal, and Markdown for the README.

rich.table would need a console of a fixed width, and does not write Markdown.
"""

from collections.abc import Iterator

from lorasent.prove.experiment import ErrorRates, VerdictRates

HEAD = ("fault", "found by", "planted", "BLOCK", "INCONCLUSIVE", "PASS", "right cause")


def text(rates: ErrorRates) -> str:
    """Lines for a terminal."""
    rows = [HEAD, *_rows(rates)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"Innocent retrains ({len(rates.members)} adapters that differ in the seed only):"]
    lines += [f"  {line}" for line in _innocent(rates)]
    lines.append("Faults:")
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"  {fault.name}: {fault.note}" for fault in rates.faults if fault.note]
    return "\n".join([*lines, *_missed(rates)])


def markdown(rates: ErrorRates) -> str:
    """The same in Markdown."""
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
