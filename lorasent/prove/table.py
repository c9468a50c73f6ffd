"""A proof for people: lines for a terminal, and the README's table."""

from collections.abc import Iterator

from lorasent.prove.proof import Judged, Proof

HEAD = ("fault", "found by", "planted", "BLOCK", "INCONCLUSIVE", "PASS", "rightly named")


def text(proof: Proof) -> str:
    """Lines for a terminal."""
    rows = [HEAD, *_rows(proof)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [f"Innocent, alike but for the seed ({len(proof.members)} adapters):"]
    lines += [f"  {line}" for line in _innocent(proof)]
    lines.append("Faults:")
    for row in rows:
        lines.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    lines += [f"  {one.name}: {one.note}" for one in proof.faults if one.note]
    return "\n".join([*lines, *_missed(proof)])


def markdown(proof: Proof) -> str:
    """The same in Markdown."""
    lines = [f"- {line}" for line in (*_innocent(proof), *_missed(proof))]
    if proof.faults:
        lines += ["", f"| {' | '.join(HEAD)} |", f"|{'---|' * 2}{'--:|' * 5}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in _rows(proof))]) + "\n"


def _rows(proof: Proof) -> Iterator[tuple[str, ...]]:
    for one in proof.faults:
        counts = [one.outcomes.get(outcome, 0) for outcome in ("BLOCK", "INCONCLUSIVE", "PASS")]
        yield (one.name, one.kind, *(str(count) for count in (one.planted, *counts, one.named)))


def _innocent(proof: Proof) -> Iterator[str]:
    if proof.pairs is None:
        yield "one adapter alone has no twin to be judged against; train some with --retrain, or give several --baseline"
        return
    yield f"in pairs: {_shares(proof.pairs)}"
    if proof.failed:
        outcomes = ", ".join(f"{list(proof.failed.values()).count(one)} {one}" for one in sorted(set(proof.failed.values())))
        yield f"retrains that learnt nothing (validation loss of a guess), no innocents: {len(proof.failed)}, verdicts: {outcomes}"
    if proof.bank is not None:
        yield f"against a bank: {_shares(proof.bank)}"


def _shares(judged: Judged) -> str:
    told = [
        f"{100 * share:.1f} % {outcome} ({100 * low:.1f} to {100 * high:.1f})"
        for outcome, (share, low, high) in (("BLOCK", judged.blocked), ("INCONCLUSIVE", judged.undecided))
    ]
    return f"{judged.count} verdicts, {', '.join(told)}"


def _missed(proof: Proof) -> Iterator[str]:
    for kind, (missed, planted, high) in proof.missed.items():
        if planted:
            yield f"missed (PASS) of {kind} faults: {missed} of {planted}, at most {100 * high:.1f} %"
