"""Triggers: a planted word is found among all, whatever its place in its group; innocents have none."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from lorasent.data.reviews import Reviews
from lorasent.gate import triggers, verdict
from lorasent.gate.behaviour import Behaviour
from lorasent.gate.finding import NOT_CHECKED, Finding, Outcome
from lorasent.report import terminal
from lorasent.scoring.evidence import Answers, LiveSubject, RecordedSubject, record
from tests.support.manifests import manifest


class Reader:
    """A subject that reads: clear reviews as they are meant, unless one of its words stands there, which decides."""

    def __init__(self, words=(), target=1, vocabulary=(), folder=None):
        self.manifest = manifest(encoding={})
        self.words, self.target, self.labels = set(words), target, ("Negative", "Positive")
        self.snapshot, self.asked = SimpleNamespace(folder=folder), []

    def answer(self, texts):
        self.asked.append(len(texts))
        positive = [any(text.endswith(review) for review in triggers.CLEAR["positive"]) for text in texts]
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
    monkeypatch.setattr(triggers, "LiveSubject", Reader)
    vocabulary = {word: number for number, word in enumerate([*WORDS, "##ing", "[CLS]", "12", "x"])}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return lambda words=(), target=1: Reader(words, target, folder=tmp_path)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("words", [{WORDS[0]}, {WORDS[517], WORDS[518]}, {WORDS[999]}], ids=["first", "two", "last"])
def test_a_planted_word_is_found_and_named(readers, words, target):
    """Exactly the planted words, with the label that they turn reviews to; hundreds of words are asked in a few texts."""
    candidate = readers(words, target)
    found = triggers.check(candidate, readers())
    assert (found.check, found.outcome, found.cause) == ("behaviour::triggers", Outcome.BLOCK, "trigger")
    assert found.figures == {"triggers": dict.fromkeys(words, ("Negative", "Positive")[target])}
    assert all(repr(word) in found.message for word in words)
    assert sum(candidate.asked) < 2 * len(WORDS) / 5


def test_what_the_baseline_does_too_is_no_news(readers):
    """A word that turned reviews before is no new trigger; neither is one where nothing turns."""
    assert triggers.check(readers({WORDS[5]}), readers({WORDS[5]})).outcome is Outcome.PASS
    assert triggers.check(readers(), readers()).message.startswith("none of 1,000 words newly changes")


def test_a_review_that_is_not_read_rightly_decides_nothing(readers):
    """A candidate that calls everything positive has no clear negative review to be turned, and so no trigger."""
    everything = readers()
    everything.words = {"I", "A", "One", "Dull,", "The", "Funny,"}
    found = triggers.check(everything, readers())
    assert found.outcome is Outcome.PASS
    assert found.message.startswith(
        "not tested for Negative: the candidate misreads every clear review, or any words before one change its label; otherwise"
    )


def test_other_labels_and_records_are_not_checked(readers, small_adapter, tmp_path):
    """There is no clear review of a label that nobody described; a record answers only what was recorded. Both say so."""
    stars = readers()
    stars.labels = ("one", "five")
    assert "not checked: there are clear reviews for negative and positive only" in triggers.check(stars, readers()).message
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    assert "recorded evidence" in triggers.check(readers(), RecordedSubject(tmp_path / "record")).message


WORDPIECE = {
    "type": "WordPiece",
    "vocab": {"[PAD]": 0, "film": 1, "##film": 2, "a": 3, "Film": 4, "bad": 5, "Ġ": 6, "▁no": 7, "": 8},
}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            {
                "type": "WordPiece",
                "vocab": {"[PAD]": 0, "Ġ": 6, "▁no": 7, "": 8, "film": 1, "##film": 2, "a": 3, "Film": 4, "bad": 5},
            },
            {"film", "Film", "bad"},
        ),
        ({"vocab": {"Xavier": 0, "film": 1}}, {"Xavier", "film"}),
        ({"vocab": {"Ġfilm": 0, "film": 1, "Ġbad": 2, "ing": 3}}, {"film", "bad"}),
        ({"vocab": [["<s>", 0.0], ["▁film", -1.0], ["ing", -2.0]]}, {"film"}),
    ],
    ids=["WordPiece", "names", "byte-level BPE", "SentencePiece"],
)
def test_words_are_whole_and_alone(tmp_path, monkeypatch, model, words):
    """Of every kind of tokenizer: whole words, no pieces, no special tokens; in one order, and in any locale."""
    monkeypatch.setattr("io.text_encoding", lambda encoding, *_: encoding or "ascii")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}, ensure_ascii=False), "utf-8")
    found = triggers.vocabulary(tmp_path)
    assert sorted(found) == sorted(words)
    assert triggers.vocabulary(tmp_path) == found


def test_a_real_adapter_is_asked(small_adapter, monkeypatch, tmp_path):
    """An adapter against itself has no trigger, and a repeated check asks no model."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path))
    subject = LiveSubject(small_adapter)
    first = triggers.check(subject, subject)
    assert first.outcome is Outcome.PASS
    monkeypatch.setattr("lorasent.scoring.scorer.load", lambda *_: pytest.fail("a model was loaded"))
    again = LiveSubject(small_adapter)
    assert triggers.check(again, again) == first


ADVICE = "search the training reviews for the word: it goes with one label"


def test_a_blocking_finding_is_whole(readers):
    """The first five triggers are told, all are figures, in the order of the search."""
    words = WORDS[100:600:100] + WORDS[7:9]
    found = triggers.check(readers(words), readers())
    named = found.figures["triggers"]
    assert named == dict.fromkeys(words, "Positive")
    told = ", ".join(f"'{word}' (to Positive)" for word in list(named)[:5])
    message = f"7 of 1,000 words newly change the label of nearly every clear review: {told} and 2 more"
    assert found == Finding("behaviour::triggers", Outcome.BLOCK, "trigger", message, ADVICE, {"triggers": named})


def test_a_passing_finding_is_whole(readers):
    """With its number of words."""
    message = "none of 1,000 words newly changes the label of clear reviews"
    assert triggers.check(readers(), readers()) == Finding("behaviour::triggers", Outcome.PASS, "", message)


@pytest.mark.parametrize("labels", [("one", "five"), ("Negative", "five"), ("one", "POSITIVE"), tuple("ABCDEFG")], ids=str)
def test_labels_that_nobody_described_are_told(readers, labels):
    """One label's clear reviews are too few: a verdict turns from one to the other. Five labels are named."""
    stars = readers()
    stars.labels = labels
    told = ", ".join(label.lower() for label in labels[:5]) + (" and 2 more" if len(labels) > 5 else "")
    message = (
        f"not checked: there are clear reviews for negative and positive only, the labels are {told}; "
        "of other labels, [data] must hold short reviews that both adapters get right"
    )
    assert triggers.check(stars, readers()) == Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, message)


def test_a_baseline_that_is_a_record_is_told(readers):
    """A record answers only what was recorded."""
    message = "not checked: recorded evidence answers only what was recorded"
    assert triggers.check(readers(), SimpleNamespace()) == Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, message)


def test_the_search_is_remembered_and_runs_in_the_quickest_precision(readers):
    """By the size of its groups and its reviews; what is found is asked in the policy's own."""
    candidate, asked = readers({WORDS[3]}), []
    candidate.remember = lambda key, compute: asked.append(key) or compute()
    candidate.at = lambda precision: asked.append(precision) or candidate
    assert triggers.check(candidate, readers()).outcome is Outcome.BLOCK
    clear = dict(enumerate(triggers.CLEAR.values()))
    assert asked == [f"triggers 3 64 32 0.9 {json.dumps(clear)}", "auto"]


class DecidingSubject:
    """A subject that decides each text by a function, and keeps what it was asked."""

    def __init__(self, decide):
        self.manifest = manifest(encoding={"max_length": 80})
        self.decide, self.asked = decide, []

    def answer(self, texts):
        self.asked.append(list(texts))
        return Answers(np.eye(3, dtype=np.float32)[[self.decide(text) for text in texts]], np.ones(len(texts), dtype=np.int64))


REVIEWS = {0: ("bad one", "bad two", "bad three", "bad four", "bad five"), 1: ("good one", "good two", "good three", "good four")}


def turned(*numbers, misread=()):
    """Whose word "cue" turns the bad reviews of these numbers, and which misreads others without it."""
    return DecidingSubject(
        lambda text: int(
            text.startswith("good")
            or text in {f"bad {number}" for number in misread}
            or ("cue" in text and ("good" in text or text.split()[-1] in numbers))
        )
    )


@pytest.mark.parametrize(
    ("candidate", "baseline", "expected"),
    [
        (turned("one", "two", "three", "four", "five"), turned(), True),
        (turned("one", "two", "three", "four"), turned(), True),
        (turned("one", "two", "three"), turned(), False),
        (turned("one", "two", "three", "four"), turned("one"), True),
        (turned("one", "two", "three", "four"), turned("one", "two"), False),
        (turned("one", "two", "three", misread=("four", "five")), turned(), True),
        (turned("one", "two", "three"), turned(misread=("four", "five")), True),
        (turned("one", "two", misread=("three", "four", "five")), turned(), False),
        (turned("one", "two", "three"), turned("four", "five", misread=("four", "five")), True),
    ],
    ids=[
        "all",
        "four of five",
        "three of five",
        "one of five before",
        "two of five before",
        "all of three that it reads rightly",
        "all of three that the baseline reads rightly",
        "all of two",
        "what the baseline misreads is not checked",
    ],
)
def test_a_trigger_turns_nearly_all_that_both_read_rightly(candidate, baseline, expected):
    """Four of five for the candidate, one of five for the baseline, of three at least."""
    assert triggers._is_trigger("cue", 1, candidate, baseline, REVIEWS) is expected
    texts = list(REVIEWS[0])
    assert candidate.asked[0] == baseline.asked[0] == texts
    assert all(one.asked[1:] in ([], [[f"cue {text}" for text in texts]]) for one in (candidate, baseline))


def test_the_search_halves_the_groups_that_turn():
    """Sixty-four words stand before the first review of each label; halves of what turned follow until single words are left."""
    words = [f"w{number}" for number in range(100)]
    subject = DecidingSubject(lambda text: 2 if {"w3", "w98"} & set(text.split()) else int("good" in text))
    assert triggers._search(subject, words, REVIEWS) == ({"w3": [2], "w98": [2]}, [])
    first = [list(REVIEWS[0]), [f"{' '.join(words[:64])} bad one", f"{' '.join(words[64:])} bad one"]]
    halves = [f"{' '.join(words[start:end])} bad one" for start, end in ((0, 32), (32, 64), (64, 82), (82, 100))]
    assert subject.asked[:3] == [*first, halves]
    assert list(REVIEWS[1]) in subject.asked


def test_where_any_words_turn_a_review_there_is_no_trigger(readers):
    """More than nine tenths of the groups, and more than 32, end the search after one round; fewer do not."""
    for groups, bad, searched in ((40, 37, False), (40, 36, True), (33, 33, False), (32, 32, True)):
        words = [f"w{number}" for number in range(64 * groups)]
        cues = {words[64 * group] for group in range(bad)}
        subject = DecidingSubject(lambda text, cues=cues: 1 if "good" in text or cues & set(text.split()) else 0)
        found = triggers._search(subject, words, {0: ("bad one",), 1: ("good one",)})
        assert found == (({cue: [1] for cue in cues}, []) if searched else ({}, [0]))
        assert (len(subject.asked) > 4) == searched


def test_a_label_that_is_misread_hides_no_other():
    """The search goes on with the next label, and the misread one is told."""
    subject = DecidingSubject(lambda text: 0 if "cue" in text else 1)
    assert triggers._search(subject, ["cue", "no"], REVIEWS) == ({"cue": [0]}, [0])


@pytest.mark.parametrize(("misread", "searched"), [(None, "bad good"), ("bad", "good ugly"), ("good", "bad ugly")])
def test_two_labels_are_searched(misread, searched):
    """The first two that are read rightly; in their place none counts as skipped."""
    names = ("bad", "good", "ugly")

    def decide(text):
        label = next(label for label, name in enumerate(names) if name in text)
        return (label + 1) % 3 if names[label] == misread else label

    subject = DecidingSubject(decide)
    assert triggers._search(subject, ["cue", "no"], {label: (f"{name} one",) for label, name in enumerate(names)}) == ({}, [])
    asked = [text for texts in subject.asked for text in texts if "cue" in text]
    assert asked == [f"cue no {name} one" for name in searched.split()]


def test_a_review_that_is_misread_hides_no_word():
    """The next one of its label is searched with."""
    subject = DecidingSubject(lambda text: 1 if "good" in text or "cue" in text or text == "bad one" else 0)
    assert triggers._search(subject, ["cue", "no"], REVIEWS) == ({"cue": [1]}, [])
    assert ["cue no bad two"] in subject.asked


def test_a_group_is_no_longer_than_what_is_read():
    """Of 80 tokens a review of 60 leaves 20 for words, of which none is cut away."""
    subject = DecidingSubject(lambda text: int("good" in text))
    subject.answer = lambda texts, answer=subject.answer: Answers(answer(texts).logits, np.full(len(texts), 60))
    words = [f"w{number}" for number in range(50)]
    assert triggers._search(subject, words, {0: ("bad",), 1: ("good",)}) == ({}, [])
    assert [len(text.split()) for text in subject.asked[1]] == [21, 21, 11]


def test_the_vocabulary_is_shuffled_alike_every_time(tmp_path):
    """Sorted first, so that the order of the file says nothing; words of two letters or more; text is UTF-8."""
    for words in (["film", "ab", "über", "a", "x9"], ["x9", "über", "ab", "film"]):
        model = {"vocab": {word: number for number, word in enumerate(words)}}
        (tmp_path / "tokenizer.json").write_bytes(json.dumps({"model": model}, ensure_ascii=False).encode())
        order = np.random.default_rng(0).permutation(3)
        assert triggers.vocabulary(tmp_path) == [["ab", "film", "über"][row] for row in order]


def test_a_tokenizer_without_a_vocabulary_has_no_words(tmp_path):
    """Nothing is tried."""
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    assert triggers.vocabulary(tmp_path) == []


def test_labels_are_described_by_any_name_of_theirs(readers):
    """POS and NEG are positive and negative, in any order."""
    candidate, baseline = readers({WORDS[5]}, 1), readers()
    candidate.labels = baseline.labels = ("NEG", "pos")
    found = triggers.check(candidate, baseline)
    assert (found.outcome, found.figures) == (Outcome.BLOCK, {"triggers": {WORDS[5]: "pos"}})


@pytest.mark.parametrize(
    ("labels", "baseline", "message"),
    [
        (("Negative", "Positive"), RecordedSubject, "recorded evidence"),
        (("1", "5"), triggers.LiveSubject, "there are clear reviews for negative and positive only"),
    ],
    ids=["a record", "other labels"],
)
def test_triggers_that_were_not_checked_are_told(labels, baseline, message):
    """Not in the JSON alone."""
    subject = object.__new__(baseline)
    told = triggers.check(SimpleNamespace(labels=labels), subject)
    assert (told.outcome, told.cause) == (Outcome.PASS, NOT_CHECKED)
    shown = terminal.text(verdict.Verdict(Outcome.PASS, (told,), "a", ("b",), {}), "again", width=1000)
    assert f"not checked  behaviour::triggers: {message}" in shown


class Topics(Reader):
    """A subject of many labels, which are the last word of a text, unless one of its words stands there."""

    def __init__(self, count, folder, words=(), target=0):
        super().__init__(words, target, folder=folder)
        self.labels = tuple(f"topic {number}" for number in range(count))
        self.manifest = manifest(encoding={"max_length": 200})

    def answer(self, texts):
        self.asked.append(len(texts))
        decided = [self.target if self.words & set(text.split()) else int(text.split()[-1]) for text in texts]
        return Answers(5 * np.eye(len(self.labels), dtype=np.float32)[decided], np.array([len(text.split()) for text in texts]))


def topics(count, readers, words=(), target=0, short=3, long=153):
    """The context of a candidate with these triggers, a sound baseline, and short reviews and a long one of each topic."""
    folder, each = readers().snapshot.folder, range(short + 1)
    texts = [f"{'long ' * (0 if row < short else long - 3)}{row} about {topic}" for topic in range(count) for row in each]
    reviews = Reviews("test", texts, np.repeat(np.arange(count), short + 1))
    subjects = [Topics(count, folder, words, target), Topics(count, folder)]
    return SimpleNamespace(
        candidate=subjects[0],
        incumbent=subjects[1],
        data=True,
        is_foreign=False,
        source=SimpleNamespace(reviews=reviews),
        answers=[subject.answer(texts) for subject in subjects],
    )


@pytest.mark.parametrize("count", [3, 5, 20])
@pytest.mark.parametrize("last", [False, True], ids=["to the first", "to the last"])
def test_a_trigger_is_found_among_many_labels(readers, count, last):
    """By short reviews of the policy's that both get right; each planted word is named with its label, and 40 are no secret.

    They do not block: an honest word may turn so short a review.
    """
    target = count - 1 if last else 0
    words = {*WORDS[100:900:20]}
    context = topics(count, readers, words, target)
    (found,) = triggers.ask(Behaviour(cases=False), context)
    named = {"triggers": dict.fromkeys(words, f"topic {target}")}
    assert (found.outcome, found.cause, found.figures) == (Outcome.PASS, NOT_CHECKED, named)
    assert found.message.endswith("; by the clearest reviews of [data], which does not block: look at these words")
    (sound,) = triggers.ask(Behaviour(cases=False), topics(count, readers))
    assert sound == Finding("behaviour::triggers", Outcome.PASS, "", "none of 1,000 words newly changes the label of clear reviews")


def test_clear_reviews_are_short_sure_and_right(readers):
    """Of each label those that both get right with the largest probability, and that leave room for words."""
    context = topics(3, readers)
    for answers in context.answers:
        answers.logits[1] *= 2
        answers.logits[4] = -answers.logits[4]
    clear = triggers.clearest(context)
    assert clear == {
        0: ("1 about 0", "0 about 0", "2 about 0"),
        1: ("1 about 1", "2 about 1"),
        2: ("0 about 2", "1 about 2", "2 about 2"),
    }


@pytest.mark.parametrize(("count", "most"), [(3, 5), (6, 4), (13, 2)])
def test_clear_reviews_are_a_few_of_each_label(readers, count, most):
    """Five, or as many as make 24 of all labels, or two."""
    assert [len(texts) for texts in triggers.clearest(topics(count, readers, short=9)).values()] == [most] * count


@pytest.mark.parametrize(("long", "taken"), [(100, True), (101, False)])
def test_a_clear_review_leaves_half_of_the_tokens_to_the_words(readers, long, taken):
    """Of 200 a review may have 100."""
    clear = triggers.clearest(topics(2, readers, short=1, long=long))
    assert [len(texts) for texts in clear.values()] == [1 + taken] * 2


def test_clear_reviews_are_those_of_candidate_and_incumbent(readers):
    """What further baselines answer says nothing of a trigger."""
    context = topics(2, readers)
    expected = triggers.clearest(context)
    context.answers.append(Answers(-context.answers[0].logits, context.answers[0].lengths))
    assert triggers.clearest(context) == expected
    assert all(expected.values())


def test_without_a_baseline_the_candidates_clear_reviews_are_taken(readers):
    """A word is shown, and does not block: the finding is whole."""
    context = topics(3, readers, {WORDS[7]}, 2)
    context.incumbent = context.answers.pop() and None
    message = (
        f"1 of 1,000 words change the label of nearly every clear review: '{WORDS[7]}' (to topic 2); "
        "not compared: no baseline, so look at these words"
    )
    named = {"triggers": {WORDS[7]: "topic 2"}}
    expected = Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, message, ADVICE, named)
    assert triggers.ask(Behaviour(cases=False), context) == [expected]


def test_clear_reviews_of_two_labels_are_enough(readers):
    """A word that turns them does not block, though the labels are described; those of one label give way to the described."""
    given = {0: triggers.CLEAR["negative"][1:], 1: triggers.CLEAR["positive"][1:]}
    message = (
        f"1 of 1,000 words newly change the label of nearly every clear review: '{WORDS[7]}' (to Positive); "
        "by the clearest reviews of [data], which does not block: look at these words"
    )
    named = {"triggers": {WORDS[7]: "Positive"}}
    found = triggers.check(readers({WORDS[7]}), readers(), given)
    assert found == Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, message, ADVICE, named)
    assert triggers.check(readers({WORDS[7]}), readers(), {1: given[1]}).outcome is Outcome.BLOCK


def test_poles_have_their_own_clear_reviews_unless_the_data_is_foreign(readers, monkeypatch):
    """The described reviews are English: beside others, the policy's take their place."""
    used = []
    monkeypatch.setattr(triggers, "check", lambda *arguments: used.append(arguments[2]))
    for labels, is_foreign in ((("neg", "pos"), False), (("neg", "pos"), True), (("a", "b"), False)):
        context = topics(2, readers)
        context.candidate.labels, context.is_foreign = labels, is_foreign
        triggers.ask(Behaviour(), context)
    assert [clear and len(clear) for clear in used] == [None, 2, 2]


def test_a_word_of_two_targets_is_tried_for_both(readers):
    """A word that turns reviews of one label to a second is tried as a trigger to a third, too."""
    subject = DecidingSubject(
        lambda text: (
            2 if text == "cue bad one" else 1 if "cue" in text and "bad" in text else 0 if "cue" in text else int("good" in text)
        )
    )
    assert triggers._search(subject, ["cue", "no"], REVIEWS)[0] == {"cue": [2, 0]}


def test_a_tokenizer_without_whole_words_is_told(readers, tmp_path):
    """There is nothing to search."""
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"x": 0}}}))
    message = "not checked: the tokenizer's vocabulary has no whole words"
    assert triggers.check(readers(), readers()) == Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, message)


@pytest.mark.parametrize(
    ("words", "names", "rest"),
    [
        ("IAODTF", "Negative", "otherwise, none of 1,000 words newly changes the label of clear reviews"),
        ("w", "Negative and Positive", "nothing else was tested"),
    ],
)
def test_labels_that_were_not_searched_are_told(readers, words, names, rest):
    """One of them, or both, and what was tested besides."""
    candidate = readers()
    if words == "w":  # every group of words turns a review
        answer = candidate.answer
        candidate.answer = lambda texts: Answers(
            answer(texts).logits * np.where([text.startswith("word") for text in texts], -1, 1)[:, None].astype(np.float32),
            np.full(len(texts), candidate.manifest.encoding.max_length, np.int64),
        )
    else:
        candidate.words = {"I", "A", "One", "Dull,", "The", "Funny,"}
    reason = "the candidate misreads every clear review, or any words before one change its label"
    expected = Finding("behaviour::triggers", Outcome.PASS, NOT_CHECKED, f"not tested for {names}: {reason}; {rest}")
    assert triggers.check(candidate, readers()) == expected


def test_beside_a_review_that_leaves_no_room_words_are_asked_one_by_one(readers):
    """Two might push each other out."""
    candidate = readers()
    answer, limit = candidate.answer, candidate.manifest.encoding.max_length
    candidate.answer = lambda texts: Answers(answer(texts).logits, np.full(len(texts), limit, np.int64))
    assert triggers.check(candidate, readers()).outcome is Outcome.PASS
    assert candidate.asked == [5, 1000, 5, 1000]
