"""Behaviour: cases in the CheckList sense (Ribeiro et al. 2020), judged by what newly fails against the baseline, paired.

A case is a line of JSON: `kind` is minimum (one text, its label is `expect`), invariance (texts whose label is the same), or
directional (the probability of `expect` does not fall from the first text to the last); `capability` is what it tests.
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
from lorasent.gate.finding import Claim, paired
from lorasent.gate.policy import Behaviour
from lorasent.scoring.evidence import Answers
from lorasent.statistics.estimates import PairedAccuracy
from lorasent.text import decode, lines, shown

LARGEST = 2**28
"""Bytes of a file of cases."""

NAMED = 5
"""How many newly failing cases a message names."""


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
    def _free(cls, capability: str) -> str:
        if capability in ("all", "triggers"):
            raise ValueError(f"{capability!r} is the name of another check; call it otherwise")
        return capability

    @model_validator(mode="after")
    def _whole(self) -> "Case":
        fewest = {"minimum": 1, "invariance": 2, "directional": 2}[self.kind]
        if len(self.texts) < fewest or (self.kind == "minimum" and len(self.texts) > 1):
            raise ValueError(f"texts: {self.kind} needs {'exactly' if self.kind == 'minimum' else 'at least'} {fewest}")
        if (self.expect is None) != (self.kind == "invariance"):
            raise ValueError("expect: minimum and directional need a label's name, invariance has none")
        return self


def read(source: str, labels: Sequence[str]) -> list[Case]:
    """The cases of `embedded`, a JSONL file, or a folder of them; what they expect is one of `labels`, see `label_id`.

    An id names one case, a case stands in a capability once, and no two cases expect of the same texts what cannot both be:
    where one of them newly fails the other newly holds, and nobody would be told. Raises DataError with the file and line.
    """
    if source == "embedded":
        paths: list[Any] = list((resources.files("lorasent") / "behaviours").iterdir())
    elif not Path(source).exists():
        raise DataError(f"{source}: no behavioural cases that can be read: no such file or folder")
    else:
        paths = list(Path(source).iterdir()) if Path(source).is_dir() else [Path(source)]
    found: list[tuple[str, Case]] = []
    for path in sorted((path for path in paths if path.name.lower().endswith(".jsonl")), key=lambda path: str(path.name)):
        found += _lines(path, labels)
    if not found:
        raise DataError(f"{source}: holds no behavioural cases; expected JSONL, one case a line")
    held: dict[Any, tuple[Any, str]] = {}
    for place, case in found:
        texts, again = (case.kind, case.texts), "the same case again: each counts once"
        for mark, value, problem in (
            (("id", case.id), place, f"id: {shown(case.id)} is another case's"),
            (texts, case.expect, "expect: another case of the same texts denies it"),
            ((case.capability, texts), place, again),
        ):
            first, other = held.setdefault(mark, (value, place))
            if first != value:
                raise DataError(f"{place}: {problem} ({other})")
    return [case for _, case in found]


def texts(cases: Sequence[Case]) -> list[str]:
    """All texts of the cases, in order: what a subject is asked."""
    return [text for case in cases for text in case.texts]


def check(policy: Behaviour, cases: Sequence[Case], labels: Sequence[str], candidate: Answers, incumbent: Answers) -> list[Claim]:
    """A claim for each capability, and one for all: the share of cases that newly fail, net, is at most the margin."""
    failed = [failures(cases, labels, answers, policy.tolerance) for answers in (incumbent, candidate)]
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        groups.setdefault(case.capability, []).append(row)
    return [_claim(name, rows, cases, failed, policy.margin) for name, rows in [*groups.items(), ("all", list(range(len(cases))))]]


def failures(cases: Sequence[Case], labels: Sequence[str], answers: Answers, tolerance: float) -> NDArray[np.bool_]:
    """Which cases fail, (cases,): a wrong label; a label that changes, or a probability that falls, by more than the tolerance."""
    probability, failed, start = metrics.probabilities(answers.logits), np.zeros(len(cases), dtype=bool), 0
    for row, case in enumerate(cases):
        own = probability[start : start + len(case.texts)]
        start += len(case.texts)
        if case.kind == "minimum":
            failed[row] = own[0].argmax() != labels.index(str(case.expect))
        elif case.kind == "invariance":
            label = own[0].argmax()
            failed[row] = bool(((own.argmax(axis=1) != label) & (own[0, label] - own[:, label] > tolerance)).any())
        else:
            column = own[:, labels.index(str(case.expect))]
            failed[row] = column[0] - column[-1] > tolerance
    return failed


def _claim(name: str, rows: list[int], cases: Sequence[Case], failed: list[NDArray[np.bool_]], margin: float) -> Claim:
    was, now = (one[rows] for one in failed)
    newly = [cases[row] for row, new in zip(rows, now & ~was, strict=True) if new]
    damage = PairedAccuracy(len(newly), int((was & ~now).sum()), len(rows))
    message = f"{int(was.sum())} -> {int(now.sum())} of {len(rows)} cases fail, {len(newly)} newly; net, {100 * margin:g} % may"
    if newly:
        message += f": {', '.join(case.id for case in newly[:NAMED])}{', ...' if len(newly) > NAMED else ''}"
    figures = {
        "cases": len(rows),
        "failed_before": int(was.sum()),
        "failed_now": int(now.sum()),
        "newly": [case.id for case in newly],
    }
    return Claim(
        f"behaviour::{name}",
        damage.p_above(margin),
        passes=True,
        cause="behaviour",
        message=message,
        figures=figures,
        stakes=paired(damage, int((~was).sum()), margin),
    )


def _lines(path: Any, labels: Sequence[str]) -> Iterator[tuple[str, Case]]:
    """Each case, with the file and line where it stands."""
    try:
        text = decode(files.read_bounded(path, LARGEST))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"expected UTF-8, found byte {error.object[error.start]:#04x}"
        raise DataError(f"{path}: no behavioural cases that can be read: {reason}") from None
    for number, line in enumerate(lines(text), 1):
        if not line.strip():
            continue
        try:
            case = Case.model_validate_json(line)
            parse_json(line, f"{path.name}, line {number}")  # refuses a key that stands there twice
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise DataError(
                f"{path.name}, line {number}: {key + ': ' if key else ''}{problem['msg'].removeprefix('Value error, ')}"
            ) from None
        if case.expect is not None:
            if (meant := label_id(case.expect, labels)) is None:
                told = ", ".join(map(shown, labels))
                raise DataError(f"{path.name}, line {number}: expect: {shown(case.expect)} is no label; labels are {told}")
            case = case.model_copy(update={"expect": labels[meant]})
        yield f"{path.name}, line {number}", case
