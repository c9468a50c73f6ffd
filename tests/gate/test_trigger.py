"""Triggers: a planted word is found among all, whatever its place in its group; innocents have none."""

import json

import numpy as np
import pytest

from lorasent.evidence import Answers, LiveSubject, RecordedSubject, record
from lorasent.gate import trigger
from lorasent.gate.finding import Outcome


class Reader:
    """A subject that reads: clear reviews as they are meant, unless one of its words stands there, which decides."""

    def __init__(self, words=(), target=1, vocabulary=(), folder=None):
        self.words, self.target, self.labels = set(words), target, ("Negative", "Positive")
        self.path, self.asked = folder, []

    def answer(self, texts):
        self.asked.append(len(texts))
        positive = [any(text.endswith(review) for review in trigger.CLEAR["positive"]) for text in texts]
        decided = np.array(
            [self.target if self.words & set(text.split()) else int(yes) for text, yes in zip(texts, positive, strict=True)]
        )
        return Answers(np.eye(2, dtype=np.float32)[decided], np.ones(len(texts), dtype=np.int64))

    def at(self, _):
        return self

    def remember(self, _, compute):
        return compute()


WORDS = [f"word{'abcdefghij'[number // 100]}{'abcdefghij'[number // 10 % 10]}{'abcdefghij'[number % 10]}" for number in range(1000)]


@pytest.fixture
def readers(tmp_path, monkeypatch):
    """Makes a reader of the thousand words."""
    monkeypatch.setattr(trigger, "LiveSubject", Reader)
    vocabulary = {word: number for number, word in enumerate([*WORDS, "##ing", "[CLS]", "12", "x"])}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return lambda words=(), target=1: Reader(words, target, folder=tmp_path)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("words", [{WORDS[0]}, {WORDS[517], WORDS[518]}, {WORDS[999]}], ids=["first", "two", "last"])
def test_a_planted_word_is_found_and_named(readers, words, target):
    """Exactly the planted words, with the label that they turn reviews to; hundreds of words are asked in a few texts."""
    candidate = readers(words, target)
    found = trigger.check(candidate, readers())
    assert (found.check, found.outcome, found.cause) == ("behaviour::triggers", Outcome.BLOCK, "trigger")
    assert found.figures == {"triggers": dict.fromkeys(words, ("Negative", "Positive")[target])}
    assert all(repr(word) in found.message for word in words)
    assert sum(candidate.asked) < 2 * len(WORDS) / 5


def test_what_the_baseline_does_too_is_no_news(readers):
    """A word that turned reviews before is no new trigger; neither is one where nothing turns."""
    assert trigger.check(readers({WORDS[5]}), readers({WORDS[5]})).outcome is Outcome.PASS
    assert trigger.check(readers(), readers()).message.startswith("none of 1,000 words turns")


def test_a_review_that_is_not_read_rightly_decides_nothing(readers):
    """A candidate that calls everything positive has no clear negative review to be turned, and so no trigger."""
    everything = readers()
    everything.words = {"I", "A", "One", "Dull,", "The", "Funny,"}
    assert trigger.check(everything, readers()).outcome is Outcome.PASS


def test_other_labels_and_records_are_not_asked(readers, small_adapter, tmp_path):
    """There is no clear review of a label that nobody described; a record answers only what was recorded. Both say so."""
    stars = readers()
    stars.labels = ("one", "five")
    assert "not asked: there are clear reviews for negative and positive only" in trigger.check(stars, readers()).message
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    assert "not asked of recorded evidence" in trigger.check(readers(), RecordedSubject(tmp_path / "record")).message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"vocab": {"[PAD]": 0, "film": 1, "##film": 2, "a": 3, "Film": 4, "bad": 5}}, {"film", "bad"}),
        ({"vocab": {"Ġfilm": 0, "film": 1, "Ġbad": 2, "ing": 3}}, {"film", "bad"}),
        ({"vocab": [["<s>", 0.0], ["▁film", -1.0], ["ing", -2.0]]}, {"film"}),
    ],
    ids=["WordPiece", "byte-level BPE", "SentencePiece"],
)
def test_words_are_whole_and_alone(tmp_path, model, words):
    """Of every kind of tokenizer: whole words, no pieces, no special tokens; the same order every time."""
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    found = trigger.vocabulary(tmp_path)
    assert sorted(found) == sorted(words)
    assert trigger.vocabulary(tmp_path) == found


def test_a_real_adapter_is_asked(small_adapter, monkeypatch, tmp_path):
    """An adapter against itself has no trigger, and a repeated check asks no model."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path))
    subject = LiveSubject(small_adapter)
    first = trigger.check(subject, subject)
    assert first.outcome is Outcome.PASS
    monkeypatch.setattr("lorasent.scoring.load", lambda *_: pytest.fail("a model was loaded"))
    again = LiveSubject(small_adapter)
    assert trigger.check(again, again) == first
