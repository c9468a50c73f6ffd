"""Facts about adapters and reviews -> a policy with comments, whose margin the reviews can resolve."""

import functools
import json
import math
import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lorasent import files
from lorasent.data.labels import are_poles
from lorasent.errors import PolicyError
from lorasent.gate.facts import Facts
from lorasent.gate.policy import Policy
from lorasent.gate.quality import FEWEST_OF_LABEL
from lorasent.gate.sections import VerdictSettings
from lorasent.statistics import power
from lorasent.text import MESSAGE, shown, some

MARGINS = (0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Margins that are proposed, the smallest that can be resolved. Accuracies of retrains differ by up to a point or two."""

WIDE = 0.1
"""Margin from which a policy is said to be a wide one."""

DISCORDANCE = 0.06
"""Assumed share of reviews that only one of the two gets right. Retrains of shipped recipes answer 5.4 and 5.7 % differently."""

OFTEN = 0.8
"""The power, 4 times in 5, that a margin must have."""

ALPHA: float = VerdictSettings().alpha
BLOCKING = ALPHA / 2
"""The level at which the metric blocks beside other claims: `finding.shares` gives it half of the error rate."""

BRIER_SPREAD = 0.15
"""Assumed standard deviation, over reviews, of the change of the Brier score: 0.116 between two seeds of the recipe `embedded`."""

MANY = 5000
"""Number of reviews from which a sample is suggested."""

SAMPLE = 2000

WIDTH = 110
"""Characters of a line of the file."""


COST = ("[cost]  # against an adapter only: a record has no model to measure", "max_flops_ratio = 1.0", "max_bytes_ratio = 1.05")
"""Lines of a table that is a comment, because ratios of operations and bytes depend on what may change."""


class Resolution(NamedTuple):
    """The smallest margin that reviews can resolve, and the smallest true drop that they block with this margin 4 times in 5."""

    margin: float
    blocked: float


@functools.cache
def resolution(reviews: int) -> Resolution | None:
    """What this many reviews can resolve: a candidate that is no worse is shown to be so 4 times in 5, and some drop is blocked.

    None if they are too few.
    """
    for margin in MARGINS if reviews else ():
        blocked = power.detectable(reviews, DISCORDANCE, BLOCKING, OFTEN, margin)
        if blocked < math.inf and power.power(reviews, 0.0, DISCORDANCE, margin, ALPHA) >= OFTEN:
            return Resolution(margin, blocked)
    return None


def needed(margin: float) -> int:
    """The smallest number of reviews that resolves a margin of MARGINS; more may miss it by a fraction of a point of power."""
    enough = power.needed(0.0, DISCORDANCE, margin, ALPHA, OFTEN)
    while (found := resolution(enough)) is None or found.margin > margin:
        enough += 1
    return enough


def require_new(out: Path) -> None:
    """Raises PolicyError if there is a file, or anything else, at a path."""
    if os.path.lexists(out):
        raise PolicyError(f"{out}: exists already; choose another --out or remove it")


def write(facts: Facts, out: Path) -> None:
    """Writes the policy to a new file: beside its place, and renamed once it can be read. Raises PolicyError if the file exists."""
    require_new(out)
    staging = out.with_name(f".{out.name[:100]}.{os.getpid()}.tmp")
    try:
        files.write(staging, [text(facts)])
        Policy.read(staging)
        staging.rename(out)
    finally:
        staging.unlink(missing_ok=True)


def remarks(facts: Facts) -> list[str]:
    """What a user should know before the first verdict, in sentences: labels, reviews, the margin, and what stands in the way."""
    counts = some([f"{count} {shown(label)}" for label, count in facts.counts.items()], 10)
    return [
        f"Labels ({facts.labels_of}): {some(list(facts.counts), 10)}.",
        f"Reviews: {facts.reviews:,} distinct ones in {shown(facts.data.test)} ({counts}).",
        *_margin_in_words(facts.reviews),
        *_few_of_a_label(facts),
        *(f"Note: {shown(remark, MESSAGE)}." for remark in facts.remarks),
    ]


def text(facts: Facts) -> str:
    """The policy in TOML, with comments."""
    resolved = resolution(facts.reviews)
    head = [
        "May a candidate replace the baseline? `lorasent init` wrote this policy; change what you like.",
        *remarks(facts),
    ]
    tables = [
        [f"# {line}" for part in head for line in textwrap.wrap(part, WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False)],
        _data(facts),
        _integrity(facts),
        _quality(facts, resolved),
        _behaviour(facts),
        _calibration(facts, resolved),
        _off(COST),
    ]
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def _margin_in_words(reviews: int) -> Iterator[str]:
    resolved = resolution(reviews)
    assumed = (
        f"Assumed, not measured: only one of the two is right on {100 * DISCORDANCE:g} % of the reviews, about as often as with "
        "two retrains. Every verdict tells what its own reviews resolve."
    )
    if resolved is None:
        yield (
            f"Margin: none. {reviews} reviews are too few to show that a candidate is no worse, so [quality] and [calibration] are "
            f"off: {needed(MARGINS[-1])} or more turn them on, {needed(0.05)} resolve a margin of 5 points. {assumed}"
        )
        return
    margin, blocked = resolved
    yield (
        f"Margin: {100 * margin:g} points. With {reviews:,} reviews a drop of {100 * blocked:.1f} points or more is blocked 4 "
        f"times in 5, and a candidate that is no worse is shown to be so at least 4 times in 5. {assumed}"
    )
    if margin > MARGINS[0]:
        wide = "That is a wide margin: smaller drops may ship. " if margin >= WIDE else ""
        targets = [target for target in (0.05, MARGINS[0]) if target < margin]
        yield wide + " ".join(f"A margin of {100 * target:g} points takes {needed(target):,} reviews." for target in targets)


def _few_of_a_label(facts: Facts) -> Iterator[str]:
    few = [f"{count} {shown(label)}" for label, count in facts.counts.items() if count < FEWEST_OF_LABEL]
    if few:
        yield f"Note: no candidate passes until there are {FEWEST_OF_LABEL} reviews of every label: there are {some(few, 10)}."


def _data(facts: Facts) -> list[str]:
    data = facts.data.model_dump(exclude_defaults=True, exclude={"test"})
    keys = [f"{key} = {'true' if value is True else _quoted(value)}" for key, value in data.items()]
    lines = ["[data]", f"test = {_quoted(facts.data.test)}  # the labelled reviews that both answer", *keys]
    if facts.reviews > MANY and (sampled := resolution(SAMPLE)):
        fewer = f"margin {sampled.margin:g}, drops of {100 * sampled.blocked:.1f} points blocked"
        lines.append(f"# sample = {SAMPLE}  # fewer are answered sooner: {fewer}")
    return lines


def _integrity(facts: Facts) -> list[str]:
    proof = ['manifest = "required"  # only adapters that lorasent trained, or that were sealed in the trainer\'s memory']
    side = [f'truncation_side = "{facts.truncation_side or "left"}"  # where the baseline cuts texts that are too long']
    lines = [
        "[integrity]",
        'trainable_parameters = "recipe"  # as many as the recipe, or PEFT\'s configuration, implies; or a number',
        *(proof if facts.is_proven else _off(proof)),
        *(side if facts.truncation_side else _off(side)),
    ]
    if not facts.differences:
        return [*lines, 'may_change = []  # differences from the baseline that are allowed, such as "lora.r" or "data"']
    changes = [f"{key}: {shown(old)} -> {shown(new)}" for key, (old, new) in facts.differences.items()]
    entries = ", ".join(map(_quoted, facts.differences))
    comment = ["Baseline and candidate differ, which blocks the candidate. Allow what is meant to differ:", *changes]
    return [*lines, *_off(comment), f"# may_change = [{entries}]"]


def _quality(facts: Facts, resolved: Resolution | None) -> list[str]:
    slices = ", ".join(map(_quoted, facts.slices))
    lines = [
        "[quality]",
        'metric = "accuracy"  # or "f1", "mcc"',
        f"margin = {resolved.margin if resolved else MARGINS[-1]}  # the drop that may not ship",
        "# min = 0.80  # the least that any candidate must reach; without a baseline it is needed",
        f'slices = [{slices}]  # columns; "length" and "truncated" are counted in tokens',
    ]
    return lines if resolved else _off(lines)


def _behaviour(facts: Facts) -> list[str]:
    cases = 'cases = "embedded"'
    if facts.english and are_poles(tuple(facts.counts)):
        return ["[behaviour]", f"{cases}  # English test cases about films; or a JSONL file of your own"]
    lines = ["[behaviour]", "cases = false  # triggers alone: words that newly change the label of clear reviews"]
    if not facts.english:
        return [*lines, "# The embedded cases are English, and the reviews do not read so. A JSONL file of your own may be named."]
    names = (f"# {key} = [...]" for key in ("negative", "positive"))
    return [*lines, f"# The embedded cases ask with the labels that mean Negative and Positive named: {cases}", *names]


def _calibration(facts: Facts, resolved: Resolution | None) -> list[str]:
    spread = 2.5 * BRIER_SPREAD / math.sqrt(max(facts.reviews, 1))  # shown 4 times in 5, at a level of 5 %
    limit = next((margin for margin in MARGINS if margin >= spread), MARGINS[-1])
    lines = ["[calibration]", f"max_brier_increase = {limit}  # of the probabilities; wider where reviews are few"]
    return lines if resolved else _off(lines)


def _off(lines: Sequence[str]) -> list[str]:
    """The lines as comments."""
    return [f"# {line}" for line in lines]


def _quoted(value: str) -> str:
    """A text as TOML. Raises PolicyError for one that is not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PolicyError(f"{shown(value)}: not UTF-8, so no policy can name it; rename it") from None
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
