"""Behaviour: test cases in the sense of CheckList (Ribeiro et al. 2020) that newly fail, against the baseline.

A case is a line of JSON. Its `kind` is minimum (one text, whose label is `expect`), invariance (texts that have the same label) or
directional (the probability of `expect` does not fall from the first text to the last); its `capability` is what it tests.
The embedded cases are English reviews of films, negative or positive. They ask a classifier of other labels if the policy says
which of its labels are negative and which are positive.
"""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lorasent import files, metrics
from lorasent.data.formats import parse_json
from lorasent.data.labels import POLES, folded, have_plain_poles, label_id
from lorasent.errors import DataError, PolicyError
from lorasent.gate.context import Models
from lorasent.gate.finding import NOT_CHECKED, Claim, Finding, Outcome, not_compared, only_blocks
from lorasent.gate.sections import Section, Share
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import PairedAccuracy, Rate
from lorasent.text import decode, lines, shown, some

LARGEST_FILE = 2**28
"""Largest size of a file of cases, in bytes."""

MOST_NAMED = 5
"""Largest number of newly failing cases, or of labels, that a message names."""

LANGUAGE = "behaviour::language"
"""The name of the finding that the embedded cases are of another language than the policy's reviews."""


EMBEDDED = "embedded"
"""The name of the cases that come with lorasent."""


class Behaviour(Section):
    """Cases: `embedded`, or a file or folder of JSONL, or false for none."""

    cases: str | Literal[False] = EMBEDDED
    """The cases that are asked."""
    negative: tuple[str, ...] = Field(default=(), strict=False)
    """The labels that count as negative in the embedded cases. Labels that are plainly poles need not be named."""
    positive: tuple[str, ...] = Field(default=(), strict=False)
    """The labels that count as positive there."""
    margin: Share = 0.10
    """Largest net share of a capability's cases that may newly fail."""
    max_failed: dict[str, Share] = Field(default_factory=dict)
    """Largest share of a capability's cases, or of "all", that may fail, whatever a baseline does."""
    tolerance: Share = 0.10
    """How far the probability of an invariance or directional case may move without failing it."""
    triggers: bool = True
    """Whether every word of the tokenizer's vocabulary is tried: a word that newly changes the label of clear reviews blocks."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> "Behaviour":
        named = [*map(folded, (*self.negative, *self.positive))]
        if not (self.cases or self.triggers):
            raise ValueError("a table that turns on cases or triggers, or absent")
        if named and self.cases != EMBEDDED:
            raise ValueError("without negative and positive: they are for the embedded cases, others name labels themselves")
        if bool(self.negative) != bool(self.positive) or len(set(named)) < len(named):
            raise ValueError("a table with labels both in negative and in positive, each label once")
        return self


class Case(BaseModel):
    """One case; `texts` are reviews, `expect` is a label's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    capability: Annotated[str, Field(min_length=1)]
    kind: Literal["minimum", "invariance", "directional"]
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    expect: str | None = None

    @field_validator("capability")
    @classmethod
    def _is_no_other_check(cls, capability: str) -> str:
        if capability in ("all", "language", "triggers"):
            raise ValueError(f"{shown(capability)} is the name of another check; choose another name")
        return capability

    @model_validator(mode="after")
    def _fits_kind(self) -> "Case":
        fewest = {"minimum": 1, "invariance": 2, "directional": 2}[self.kind]
        if len(self.texts) < fewest or (self.kind == "minimum" and len(self.texts) > 1):
            raise ValueError(f"texts: {self.kind} needs {'exactly' if self.kind == 'minimum' else 'at least'} {fewest}")
        if (self.expect is None) != (self.kind == "invariance"):
            raise ValueError("expect: minimum and directional need a label's name, invariance has none")
        return self


def checks(_: Behaviour) -> list[str]:
    """The name of the check, of which each capability is a part."""
    return ["behaviour"]


def texts(table: Behaviour, labels: Sequence[str]) -> list[str]:
    """All texts of the policy's cases, in order. Raises DataError, and PolicyError as `meanings` does."""
    return _texts(read(table.cases, meanings(table, labels))) if table.cases else []


def ask(table: Behaviour, context: Models) -> list[Finding | Claim]:
    """A claim for each capability, and one for all: the share of cases that newly fail, net, is at most the margin.

    Where the policy's reviews are evidently not English, a finding says so, and the embedded cases are asked only if the policy
    names them. Raises DataError, PolicyError as `meanings` does and for a limit of no capability, and what the
    subjects' answers raise.
    """
    if not table.cases:
        return []
    findings: list[Finding | Claim] = []
    if table.cases == EMBEDDED and context.is_foreign:
        is_asked = "cases" in table.model_fields_set
        language = "the embedded cases are English reviews of films, and the reviews of [data] are not English"
        message, advice = (language, "") if is_asked else (f"not checked: {language}", ' (cases = "embedded" asks them anyway)')
        findings.append(Finding(LANGUAGE, Outcome.PASS, "" if is_asked else NOT_CHECKED, message + advice))
        if not is_asked:
            return findings
    labels = meanings(table, context.candidate.labels)
    cases = read(table.cases, labels)
    subjects = [subject for subject in (context.incumbent, context.candidate) if subject is not None]
    answers = [subject.answer(_texts(cases)) for subject in subjects]
    failed = [failures(cases, labels, each, table.tolerance) for each in answers]
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        groups.setdefault(case.capability, []).append(row)
    groups["all"] = list(range(len(cases)))
    if unknown := [name for name in table.max_failed if name not in groups]:
        raise PolicyError(f"behaviour.max_failed: {some(unknown)}: no case tests that; capabilities are {some(list(groups), 100)}")
    limited = [_limited(name, failed[-1][groups[name]], limit) for name, limit in table.max_failed.items()]
    return findings + limited + [_claim(name, rows, cases, failed, table.margin) for name, rows in groups.items()]


def is_headline(finding: Finding) -> bool:
    """Whether a terminal shows a passing finding by name: that of all cases, or of their language."""
    return finding.check in ("behaviour::all", "behaviour::all::failed", LANGUAGE)


def meanings(table: Behaviour, labels: Sequence[str]) -> tuple[str, ...]:
    """What each label means to the policy's cases: itself, or, as the policy names them, "negative", "positive" or neither.

    Raises PolicyError for a name that is no label, and where the embedded cases need names.
    """
    names = some([*labels], MOST_NAMED)
    if not table.negative:
        if table.cases == EMBEDDED and not have_plain_poles(labels):
            raise PolicyError(
                f"the embedded cases are negative and positive reviews, the labels are {names}: name yours under [behaviour], as "
                'in negative = ["1 star", "2 stars"] and positive = ["4 stars", "5 stars"], or give other cases, or cases = false'
            )
        return tuple(labels)
    poles: dict[int, str] = {}
    for pole, named in zip(POLES, (table.negative, table.positive), strict=True):
        for name in named:
            if (label := label_id(name, labels)) is None:
                raise PolicyError(f"behaviour.{pole}: {shown(name)} is not a label; the labels are {names}")
            if poles.setdefault(label, pole) != pole:
                raise PolicyError(f"behaviour.{pole}: {shown(name)} is named as {poles[label]}, too; name each label once")
    return tuple(poles.get(number, f"label {number}") for number in range(len(labels)))


def _texts(cases: Sequence[Case]) -> list[str]:
    return [text for case in cases for text in case.texts]


def read(source: str, labels: Sequence[str]) -> list[Case]:
    """The cases of `embedded`, of a JSONL file, or of a folder of such files.

    What a case expects is one of `labels`, see `meanings` and `label_id`. Raises DataError, with the file and line, if two cases
    have one id, if a capability has a case twice, or if two cases expect opposites of the same texts: where one of them newly
    fails, the other newly holds, and the net is 0.
    """
    origin: Any = resources.files("lorasent") / "behaviours" if source == EMBEDDED else Path(source)
    if not origin.exists():
        raise DataError(f"{source}: behavioural cases cannot be read: no such file or folder")
    labels = tuple(dict.fromkeys(labels))
    paths = sorted(origin.iterdir() if origin.is_dir() else [origin], key=lambda path: str(path.name))
    placed = [row for path in paths if path.name.lower().endswith(".jsonl") for row in _lines(path, labels)]
    if not placed:
        raise DataError(f"{source}: holds no behavioural cases; expected JSONL, one case a line")
    first_of: dict[Any, tuple[Any, str]] = {}
    for place, case in placed:
        texts = (case.kind, case.texts)
        for key, value, problem in (
            (("id", case.id), place, f"id: another case is called {shown(case.id)}"),
            (texts, case.expect, "expect: another case expects the opposite of the same texts"),
            ((case.capability, texts), place, "this case is there already"),
        ):
            first, first_place = first_of.setdefault(key, (value, place))
            if first != value:
                raise DataError(f"{place}: {problem} ({first_place})")
    return [case for _, case in placed]


def failures(cases: Sequence[Case], labels: Sequence[str], answers: Answers, tolerance: float) -> NDArray[np.bool_]:
    """Which cases fail, (cases,).

    `labels` are the meanings of the columns of the answers; several columns may have one. A minimum case fails by an answer of
    another meaning, an invariance or directional one if a meaning's probability falls by more than the tolerance.
    """
    probability, failed, start = metrics.probabilities(answers.logits), np.zeros(len(cases), dtype=bool), 0
    meaning = np.array(labels)
    for row, case in enumerate(cases):
        each = probability[start : start + len(case.texts)]
        start += len(case.texts)
        decided = meaning[each.argmax(axis=1)]
        share = each[:, meaning == (decided[0] if case.expect is None else case.expect)].sum(axis=1)
        if case.kind == "minimum":
            failed[row] = decided[0] != case.expect
        elif case.kind == "invariance":
            failed[row] = bool(((decided != decided[0]) & (share[0] - share > tolerance)).any())
        else:
            failed[row] = share[0] - share[-1] > tolerance
    return failed


def _limited(name: str, failed: NDArray[np.bool_], limit: float) -> Claim:
    """The claim that the share of failing cases is at most the policy's limit."""
    rate = Rate(int(failed.sum()), len(failed))
    message = f"{rate.hits} of {rate.n} cases fail (limit: {100 * limit:g} %)"
    figures = {"cases": rate.n, "failed": rate.hits, "limit": limit}
    check, is_lost = f"behaviour::{name}::failed", rate.hits == rate.n
    return only_blocks(check, "failing", message, figures, rate, limit, is_lost=is_lost)


def _claim(name: str, rows: list[int], cases: Sequence[Case], failed: list[NDArray[np.bool_]], margin: float) -> Finding | Claim:
    if len(failed) == 1:
        return not_compared(f"behaviour::{name}", f"{int(failed[0][rows].sum())} of {len(rows)} cases fail")
    was, now = (fails[rows] for fails in failed)
    newly = [cases[row].id for row, new in zip(rows, now & ~was, strict=True) if new]
    damage = PairedAccuracy(len(newly), int((was & ~now).sum()), len(rows))
    message = f"{int(was.sum())} -> {int(now.sum())} of {len(rows)} cases fail, {len(newly)} newly (margin: {100 * margin:g} % net)"
    if newly:
        message += f": {some(newly, MOST_NAMED)}"
    figures = {"cases": len(rows), "failed_before": int(was.sum()), "failed_now": int(now.sum()), "newly": newly}
    is_lost = damage.worse == (~was).sum()
    return only_blocks(f"behaviour::{name}", "behaviour", message, figures, damage, margin, is_lost=is_lost)


def _lines(path: Any, labels: Sequence[str]) -> Iterator[tuple[str, Case]]:
    """The file and line of each case, and the case."""
    try:
        text = decode(files.read_bounded(path, LARGEST_FILE))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"expected UTF-8, found byte {error.object[error.start]:#04x}"
        raise DataError(f"{path}: behavioural cases cannot be read: {reason}") from None
    for number, line in enumerate(lines(text), 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            case = Case.model_validate(parse_json(line, where))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ": ".join([where, *filter(None, [".".join(map(str, problem["loc"]))])])
            raise DataError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None
        if case.expect is not None:
            if (label := label_id(case.expect, labels)) is None:
                names = ", ".join(map(shown, labels))
                raise DataError(f"{where}: expect: {shown(case.expect)} is not a label; the labels are {names}")
            case = case.model_copy(update={"expect": labels[label]})
        yield where, case
