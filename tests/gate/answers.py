"""Reviews, answers and claims whose damage is known."""

import json
from types import SimpleNamespace

import numpy as np

from lorasent.data.reviews import Reviews
from lorasent.gate import calibration, quality
from lorasent.gate.context import Lengths
from lorasent.gate.finding import Claim, settle
from lorasent.scoring.evidence import Answers

LABELS = ("Negative", "Positive")

N = 1000


def reviews(n=N, size=2, **columns):
    """Reviews of `size` labels in turn."""
    return Reviews("test", [f"review {row}" for row in range(n)], np.arange(n) % size, columns)


def answers(wrong=(), n=N, size=2, confidence=2.0, lengths=None):
    """Answers that are right but for the rows `wrong`, which get the next label."""
    decided = np.arange(n) % size
    decided[list(wrong)] = (decided[list(wrong)] + 1) % size
    logits = np.where(np.arange(size) == decided[:, None], confidence, -confidence).astype(np.float32)
    return Answers(logits, np.full(n, 100) if lengths is None else np.asarray(lengths))


def context_of(data, candidate, bank, limit=512, alpha=0.05):
    """The context of a family's checks, with the answers of a candidate and of its bank."""
    encoding = SimpleNamespace(max_length=limit)
    labels = tuple(str(label) for label in range(candidate.logits.shape[1]))
    subject = SimpleNamespace(labels=labels, manifest=SimpleNamespace(encoding=encoding))
    lengths = Lengths([*bank, candidate][0].lengths, limit)
    return SimpleNamespace(candidate=subject, labelled_reviews=data, answers=[candidate, *bank], alpha=alpha, lengths=lengths)


def quality_claims(policy, data, candidate, bank, limit=512, alpha=0.05):
    """The claims of a quality policy."""
    return [each for each in quality.ask(policy, context_of(data, candidate, bank, limit, alpha)) if isinstance(each, Claim)]


def calibration_claims(policy, data, candidate, incumbent, alpha=0.05):
    """The claims of a calibration policy."""
    return calibration.ask(policy, context_of(data, candidate, [incumbent], alpha=alpha))


def claims_of(policy, candidate, *bank, data=None, limit=512):
    """The claims of a quality policy by name, at 5 %."""
    return {one.check: one for one in quality_claims(policy, reviews() if data is None else data, candidate, bank, limit)}


def full_claim(p, *, passes, name="one"):
    """A claim with a word in every field."""
    return Claim(name, "its-cause", "its message", "its advice", {"n": 7}, p=p, passes=passes)


def claim_of(claims, name):
    """The claim of a name."""
    (found,) = [one for one in claims if one.check == name]
    return found


def outcomes_of(claims):
    """Outcomes by check."""
    return {finding.check: finding.outcome for finding in settle(claims, 0.05)}


def many_claims(count):
    """Claims of other families that nothing speaks against."""
    return [Claim(f"behaviour::{row}", "behaviour", "", p=1.0, passes=True) for row in range(count)]


def write_cases(folder, count, **changes):
    """Writes minimum cases that `first_word_decides` passes."""
    case = {"capability": "praise", "kind": "minimum", "expect": "Positive", **changes}
    lines = [json.dumps({"id": str(row), "texts": [f"good case {row}"], **case}) for row in range(count)]
    (folder / "cases.jsonl").write_text("\n".join(lines))


def always(label, sure=2.0):
    """A reader that answers one label, whatever it reads."""
    return lambda texts: [sure if LABELS[1] == label else -sure] * len(texts)


def first_word_decides(texts, sure=2.0):
    """A reader that takes a review's label from its first word."""
    return [sure if text.startswith("good") else -sure for text in texts]


def film_reviews(good, bad, other=()):
    """Texts and labels, so many of each label, that `first_word_decides` gets right."""
    return [(f"good {row}", "Positive") for row in range(good)] + [(f"bad {row}", "Negative") for row in range(bad)] + [*other]


def by_check(verdict):
    """Findings by check."""
    return {finding.check: finding for finding in verdict.findings}
