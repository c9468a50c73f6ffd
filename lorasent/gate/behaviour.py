"""Behaviour: test cases in the sense of CheckList (Ribeiro et al. 2020) that newly fail, against the baseline.

A case is a line of JSON. Its `kind` is minimum (one text, whose label is `expect`), invariance (texts that have the same label) or
directional (the probability of `expect` does not fall from the first text to the last); its `capability` is what it tests.
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
from lorasent.data.labels import label_id
from lorasent.errors import DataError
from lorasent.gate.context import Context
from lorasent.gate.finding import Claim, Finding, only_blocks
from lorasent.gate.sections import Section, Share
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import PairedAccuracy
from lorasent.text import decode, lines, shown, some

LARGEST_FILE = 2**28
"""Largest size of a file of cases, in bytes."""

MOST_NAMED = 5
"""Largest number of newly failing cases that a message names."""


class Behaviour(Section):
    """Cases: `embedded`, or a file or folder of JSONL."""

    cases: str = "embedded"
    margin: Share = 0.10
    """Largest net share of a capability's cases that may newly fail."""
    tolerance: Share = 0.10
    """How far the probability of an invariance or directional case may move without failing it."""
    triggers: bool = True
    """Whether every word of the tokenizer's vocabulary is tried: a word that newly changes the label of clear reviews blocks."""


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
        if capability in ("all", "triggers"):
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
    """All texts of the policy's cases, in order. Raises DataError."""
    return _texts(read(table.cases, labels))


def ask(table: Behaviour, context: Context) -> list[Claim]:
    """A claim for each capability, and one for all: the share of cases that newly fail, net, is at most the margin.

    Raises DataError, and what the subjects' answers raise.
    """
    labels = context.candidate.labels
    cases = read(table.cases, labels)
    answers = [subject.answer(_texts(cases)) for subject in (context.incumbent, context.candidate)]
    failed = [failures(cases, labels, each, table.tolerance) for each in answers]
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        groups.setdefault(case.capability, []).append(row)
    return [_claim(name, rows, cases, failed, table.margin) for name, rows in [*groups.items(), ("all", list(range(len(cases))))]]


def is_headline(finding: Finding) -> bool:
    """Whether a terminal shows a passing finding by name: that of all cases."""
    return finding.check == "behaviour::all"


def _texts(cases: Sequence[Case]) -> list[str]:
    return [text for case in cases for text in case.texts]


def read(source: str, labels: Sequence[str]) -> list[Case]:
    """The cases of `embedded`, of a JSONL file, or of a folder of such files.

    What a case expects is one of `labels`, see `label_id`. Raises DataError, with the file and line, if two cases
    have one id, if a capability has a case twice, or if two cases expect opposites of the same texts: where one of them newly
    fails, the other newly holds, and the net is 0.
    """
    origin: Any = resources.files("lorasent") / "behaviours" if source == "embedded" else Path(source)
    if not origin.exists():
        raise DataError(f"{source}: behavioural cases cannot be read: no such file or folder")
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

    A minimum case fails by a wrong label, an invariance or directional one by a change of more than the tolerance.
    """
    probability, failed, start = metrics.probabilities(answers.logits), np.zeros(len(cases), dtype=bool), 0
    for row, case in enumerate(cases):
        each = probability[start : start + len(case.texts)]
        start += len(case.texts)
        if case.kind == "minimum":
            failed[row] = each[0].argmax() != labels.index(str(case.expect))
        elif case.kind == "invariance":
            label = each[0].argmax()
            failed[row] = bool(((each.argmax(axis=1) != label) & (each[0, label] - each[:, label] > tolerance)).any())
        else:
            column = each[:, labels.index(str(case.expect))]
            failed[row] = column[0] - column[-1] > tolerance
    return failed


def _claim(name: str, rows: list[int], cases: Sequence[Case], failed: list[NDArray[np.bool_]], margin: float) -> Claim:
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
