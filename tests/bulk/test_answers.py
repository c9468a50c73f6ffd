"""Texts in memory, answered by an engine."""

import lorasent
from lorasent.bulk import answers
from lorasent.bulk.engines import Workers
from tests.bulk.conftest import TEXTS


def test_an_engine_answers_as_the_scorer_does(model, small_adapter, monkeypatch):
    """Bit for bit, in the texts' order, with their lengths; no texts have no answers."""
    monkeypatch.setattr(answers, "TEXTS", 7)
    found, scorer = answers.answer(model, TEXTS, workers=Workers(2)), lorasent.load(small_adapter, invariant=True)
    assert found.logits.tobytes() == scorer.logits(TEXTS).tobytes()
    assert found.lengths.tolist() == scorer.encoder.lengths(TEXTS).tolist()
    assert answers.answer(model, []).logits.shape == (0, 2)
