"""Fixtures of a gate without models: adapters that answer by a rule, policies and goldens."""

import json
from typing import ClassVar

import numpy as np
import pytest

from lorasent.gate import verdict
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.scoring.evidence import Answers
from tests.gate.answers import LABELS, first_word_decides
from tests.support.manifests import manifest


class StubAdapter:
    """An adapter without a model; its logits of Positive are those of its reader, by name."""

    readers: ClassVar[dict] = {}
    labels = LABELS

    def __init__(self, path, precision="fp32", *, adopt=True):
        self.path, self.name, self.identity, self.precision = path, str(path), f"identity of {path}", precision
        self.made_on = f"cpu, {precision}"
        self.manifest = manifest(labels=[*LABELS], **self.readers.get(f"{path} manifest", {}))

    def answer(self, texts):
        margins = np.array(self.readers.get(self.name, first_word_decides)(texts), dtype=np.float32)
        try:
            return Answers(np.stack([-margins, margins], axis=1), np.array([len(text) for text in texts]))
        except verdict.AnswersError as error:
            error.subject = self.name
            raise


@pytest.fixture
def adapters(monkeypatch):
    """Makes every path an adapter without a model, and integrity pass. Returns the readers by the adapter's name."""
    readers = {}
    monkeypatch.setattr(StubAdapter, "readers", readers)
    monkeypatch.setattr(verdict, "LiveSubject", StubAdapter)
    monkeypatch.setattr(verdict, "subject", lambda path, precision: StubAdapter(str(path), precision))
    monkeypatch.setattr(verdict.integrity, "check", lambda *_: [Finding("integrity::files", Outcome.PASS, "sound", "")])
    return readers


@pytest.fixture
def policy(tmp_path):
    """A function that writes labelled reviews, `times` copies of each, and returns a policy on them."""

    def make(reviews, tables="[quality]\nmargin = 0.05", times=1, **columns):
        rows = [{"text": text, "label": label} for text, label in reviews for _ in range(times)]
        for name, cells in columns.items():
            rows = [{**row, name: cell} for row, cell in zip(rows, cells, strict=True)]
        (tmp_path / "films.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / "gate.toml").write_text(f'{tables}\n[data]\ntest = "films.jsonl"')
        return Policy.read(tmp_path / "gate.toml")

    return make


@pytest.fixture
def recorded(tmp_path):
    """A function that writes a golden of texts and label ids, made by nobody here."""
    from lorasent import golden

    def write(rows):
        cells = [{"text": text, "label": LABELS[label], "logits": [-2.0, 2.0] if label else [2.0, -2.0]} for text, label in rows]
        made = golden.make(cells, about="test", producer={"adapter_sha256": "x"}, tolerance={"logits": 1e-4}, why="test")
        golden.write(tmp_path / "golden.json", made)
        return str(tmp_path / "golden.json")

    return write


@pytest.fixture
def of_files(tmp_path):
    """A function that returns a policy of files and answers alone, with this table [integrity]."""

    def write(table=""):
        (tmp_path / "gate.toml").write_text(f"[integrity]\n{table}")
        return Policy.read(tmp_path / "gate.toml")

    return write
