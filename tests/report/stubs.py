"""Verdicts about adapters without models, with all that a page shows: reviews with columns, cases, a bank, epochs."""

import json
import random
import zlib
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from lorasent.evaluation.occlusion import Word
from lorasent.gate import verdict as verdicts
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.report import details as all_details
from lorasent.scoring.evidence import Answers
from tests.support.manifests import manifest

LABELS = ("Negative", "Positive")

FILM_WORDS = """a the film plot acting was is never always quite rather dull bright moving flat long short scene music end"""

EPOCHS = [
    {
        "epoch": number,
        "training_loss": 0.7 / number,
        "validation_loss": 0.6 / number + 0.05 * number,
        "accuracy": 0.9 - 0.1 / number,
    }
    for number in range(1, 6)
]

POLICY = """
[data]
test = "films.jsonl"
[quality]
margin = 0.02
min = 0.7
slices = ["length", "truncated", "genre"]
[behaviour]
cases = "cases.jsonl"
triggers = false
[calibration]
max_brier_increase = 0.01
max_log_loss_increase = 0.05
"""


def drawn(text, salt):
    """A number of a text from a normal distribution, always the same."""
    return random.Random(zlib.crc32(f"{salt}{text}".encode())).gauss(0, 1)  # noqa: S311 - no secret


class Stub:
    """An adapter without a model. Its margin for a text is that of its last word, with noise of its own and less of `skill`."""

    def __init__(self, name, skill, labels=LABELS, **keys):
        self.name = self.path = name
        self.skill, self.labels, self.precision, self.made_on = skill, tuple(labels), "fp32", "cpu, fp32"
        self.identity = f"{zlib.crc32(name.encode()):064x}"
        content = {"epochs": EPOCHS, "libraries": {"torch": "2.13", "numpy": "2.0"}, **keys}
        self.manifest = manifest(labels=list(self.labels), encoding={"max_length": 64, "truncation_side": "left"}, **content)

    def answer(self, texts):
        """Two logits for each text."""
        signs = [1 if text.rstrip("!").endswith(("bright", "good", "1")) else -1 for text in texts]
        pairs = zip(signs, texts, strict=True)
        margins = [sign * self.skill + 0.8 * drawn(text, "both") + 0.5 * drawn(text, self.name) for sign, text in pairs]
        other = np.full((len(texts), len(self.labels) - 2), -9.0)
        column = np.array(margins)[:, None]
        return Answers(
            np.hstack([-column, column, other]).astype(np.float32), np.array([len(text.split()) for text in texts]), self.name
        )


def write(folder, n, labels=LABELS, genre="drama", marker=""):
    """Writes n reviews, cases and a policy on them."""
    draw = random.Random(0)  # noqa: S311 - no secret
    rows = []
    for number in range(n):
        label = number % 2
        words = " ".join(draw.choice(FILM_WORDS.split()) for _ in range(draw.choice((20, 60, 150, 300))))
        text = f"Review {number}{marker}: {words} {'bright' if label else 'dull'}"
        rows.append({"text": text, "label": label, "genre": (genre, "horror", "comedy")[number % 3]})
    (folder / "films.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shared = {"kind": "minimum", "expect": labels[1]}
    cases = [
        {"id": f"c{number}", "capability": ("negation", "typos")[number % 2], "texts": [f"case {number}{marker} good"], **shared}
        for number in range(120)
    ]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    (folder / "gate.toml").write_text(POLICY)


@contextmanager
def stubbed(stubs, findings=()):
    """Inside, the gate finds these adapters by their names, and integrity finds `findings`, or passes."""
    by_name = {stub.name: stub for stub in stubs}
    passed = [
        Finding("integrity::files", Outcome.PASS, "sound", "4 files"),
        Finding("integrity::labels", Outcome.PASS, "sound", "2"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "LiveSubject", lambda path, *_, **__: by_name[str(path)])
        patch.setattr(verdicts, "subject", lambda path, _: by_name[str(path)])
        patch.setattr(verdicts.integrity, "check", lambda *_: list(findings) or passed)
        patch.setattr(verdicts, "_fetch", lambda *_: None)
        yield


def gated(folder, stubs, *, findings=(), words=False):
    """The verdict, its details and the policy, of the first stub against the others."""
    policy = Policy.read(folder / "gate.toml")
    candidate, *bank = stubs
    with stubbed(stubs, findings):
        verdict, context = verdicts.judged(candidate.name, [stub.name for stub in bank], policy)
        found = all_details.collect(verdict, context, policy)
    if words and found.flips:
        first, *rest = found.flips.shown
        start = len(first.text.split(":")[0]) + 2
        marked = [Word(first.text[start : start + 5], start, start + 5, 2.0), Word("Review", 0, 6, 1.0)]
        found = replace(found, flips=replace(found.flips, shown=[replace(first, words=tuple(marked)), *rest]))
    return verdict, found, policy
