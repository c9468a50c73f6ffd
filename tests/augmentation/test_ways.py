"""The ways of augmentation: what each does to examples, and what it keeps of any text, with any setting and seed."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorasent.augmentation import ways
from lorasent.augmentation.english import NEGATION, OPINIONS, SYNONYMS, opinions, sentences, words
from lorasent.augmentation.ways import ENDING, WAYS, augment, epoch, markup, sentence_dropout, slips, synonyms, typos, window
from lorasent.data.reviews import Reviews, read
from lorasent.errors import RecipeError
from lorasent.recipe.recipe import Augmentation, Recipe
from lorasent.training.run import read_splits
from tests.support.bases import LABELS

LETTERS = "abcdefghij"
PLOT = "A man walks into a bank. He has a gun. The clerk smiles. "
EVERY = Augmentation(share=1.0, window=60, sentence_dropout=0.3, synonyms=0.3, typos=0.05, markup=0.2)


def results(way, text, setting, times=40):
    """All texts that a way makes of a text with the first `times` seeds."""
    return {way(text, setting, np.random.default_rng(seed)) for seed in range(times)}


def test_dropout_drops_the_plot_and_keeps_the_verdict():
    """At a rate of 1 every sentence without an opinion is dropped, except the ending."""
    text = PLOT + "It is a dull film. They drive off. She is late. The end comes at night. Then they leave."
    assert results(sentence_dropout, text, 1.0) == {"It is a dull film. The end comes at night. Then they leave."}


@pytest.mark.parametrize(
    "needed",
    ["The clerk smiles. But she is armed.", "The clerk smiles. And yet she is armed.", "Who is it? The clerk."],
    ids=["but", "and yet", "question"],
)
def test_dropout_keeps_the_context_of_contrasts_and_questions(needed):
    """The sentence before a contrast is kept, and so are a question and its answer."""
    assert results(sentence_dropout, f"{PLOT}{needed} One. Two.", 1.0) == {f"{needed} One. Two."}


def test_a_window_is_an_ending_of_its_size():
    """Every beginning of a sentence that leaves enough words is drawn, and shorter reviews are kept whole."""
    text = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    ends = ["".join(sentences(text)[start:]) for start in (1, 2)]
    assert results(window, text, 6) == set(ends)
    assert results(window, text, 12) == results(window, text, 100) == {text}


def test_a_window_begins_with_no_contrast_and_keeps_half_of_the_opinions():
    """It is never only the plot, and never begins with "But"."""
    assert results(window, f"A superb film. A wonderful cast. {PLOT}A gem. They part.", 2) == {
        f"A wonderful cast. {PLOT}A gem. They part."
    }
    assert results(window, "They meet. But they part. It rains.", 1) == {"It rains."}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("The film ends.", {"The movie ends."}),
        ("FILM of a film's making", {"MOVIE of a movie's making"}),
        ("Film of the year", {"Movie of the year"}),
        ("an actor, a villain", {"an actor, a villain"}),
        ("an excellent tale", {"an outstanding story"}),
        ("I saw Scary Movie twice", {"I saw Scary Movie twice"}),
        ("a film-maker, www.film.com", {"a film-maker, www.film.com"}),
    ],
    ids=["plain", "capitals and genitive", "first word", "article", "article that fits", "name", "compound and address"],
)
def test_synonyms_fit_their_place(text, made):
    """Case, genitive and article are kept; names, compounds and addresses are not changed."""
    assert results(synonyms, text, 1.0) == made


@pytest.mark.parametrize("negation", ["not", "never", "isn't", "isn\u2019t", "dont", "Hardly", "without", "NO"])
def test_negated_words_are_not_replaced(negation):
    """Words are kept from a negation to the end of its sentence, and replaced before it and after the sentence."""
    assert results(synonyms, f"The film is {negation}, I say, a film. A film!", 1.0) == {
        f"The movie is {negation}, I say, a film. A movie!"
    }


def test_typing_errors_are_those_of_fingers():
    """Inside a word a letter is doubled, left out, swapped or replaced by a neighbouring key; a capital or apostrophe is lost."""
    made = {slip for kind in slips("Train") for slip in kind}
    assert {"Traain", "Tain", "Trian", "Trwin", "train"} <= made
    assert {word[0].lower() + word[-1] for word in made} == {"tn"}
    assert slips("it's") == [["its"]]
    assert ["theyve"] in slips("they've")
    assert ["excelent"] in slips("excellent")


@pytest.mark.parametrize(
    "word", ["not", "Never", "don't", "didn\u2019t", "nothing", "without", "good", "dull", "Bad", "fun", "war", "a"], ids=str
)
def test_words_that_decide_the_label_have_no_typing_errors(word):
    """Negations, short words of praise or blame, and words of up to three letters are kept."""
    assert slips(word) == []


def test_no_typing_error_is_a_word_of_the_lexicon():
    """An error that would make "love" or "film" is left out; longer words of praise keep their letters."""
    assert "lose" in {slip for kind in slips("lode") for slip in kind}
    assert "love" not in {slip for kind in slips("loce") for slip in kind}
    assert "film" not in {slip for kind in slips("flim") for slip in kind}
    assert all(set(slip) == set("wonderful") for kind in slips("wonderful") for slip in kind)


def test_breaks_stand_between_sentences():
    """At a rate of 1 they follow every sentence except the last, and are not doubled."""
    assert results(markup, "One. Two!<br />Three.\n\nFour. ", 1.0) == {"One.<br /><br />Two!<br />Three.<br /><br />Four. "}


def test_ways_are_applied_in_order(monkeypatch):
    """Each way that is on changes the result of the way before it; a way at 0 is not applied."""
    notes = {name: lambda text, setting, _, name=name: f"{text} {name}={setting}" for name in WAYS}
    monkeypatch.setattr(ways, "WAYS", notes)
    assert augment("text", Augmentation(window=9, typos=0.5), np.random.default_rng(0)) == "text window=9 typos=0.5"


@pytest.mark.slow
def test_an_epoch_changes_a_share_that_is_drawn_anew():
    """About the share is changed; the result is a function of epoch, seed and row, and differs with each."""
    texts = read("embedded:train", LABELS).texts[:60]
    half = EVERY.model_copy(update={"share": 0.5})
    first = epoch(texts, half, 0, 0)
    changed = [row for row, (was, now) in enumerate(zip(texts, first, strict=True)) if was != now]
    assert 18 <= len(changed) <= 42
    assert epoch(texts, half, 0, 0) == first
    assert epoch(texts, half, 0, 1) != first != epoch(texts, half, 1, 0)
    assert epoch(texts[:7], half, 0, 0) == first[:7]
    assert len(set(epoch([texts[2]] * 20, EVERY, 0, 0))) > 10
    assert epoch(texts, half.model_copy(update={"share": 0.0}), 0, 0) == texts


def test_the_ways_are_the_recipes_keys():
    """Each way is a key of the recipe's table, and each key but the share and the language is a way."""
    assert [*WAYS] == [name for name in Augmentation.model_fields if name not in ("share", "language")]
    assert Recipe.read("embedded", ["augmentation.typos=0.02"]).augmentation == Augmentation(typos=0.02)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_changes_reviews_that_ship(way):
    """Every way changes at least 20 of the 100 embedded validation reviews."""
    texts = read("embedded:validation", LABELS).texts
    alone = Augmentation(share=1.0, **{way: getattr(EVERY, way)})
    assert sum(was != now for was, now in zip(texts, epoch(texts, alone, 0, 0), strict=True)) >= 20


def test_typos_leave_addresses_alone():
    """Addresses, compounds and markup are not mistyped."""
    text = "http://films.example/review?id=review must-see review_2 reviewer@films.example <br /> <title>"
    assert results(typos, text, 1.0, times=10) == {text}


REVIEWS = [text for text in read("embedded:validation", LABELS).texts if len(text) < 1200]
PIECES = ["not", "don't", "No", "film", "an actor", "superb", "dull", "But", "it's", "I"]
PIECES += ["<br />", "\n\n", ". ", "? ", "! ", ", ", "7/10", " "]

GENITIVE = re.compile("['\u2019]s$")

quick = settings(max_examples=40)

texts = st.sampled_from(REVIEWS) | st.lists(st.sampled_from(PIECES), min_size=1).map(" ".join) | st.text(min_size=1)
texts = texts.filter(lambda text: text.strip() != "")  # sources refuse empty texts
rates = st.sampled_from((0.1, 0.5, 1.0))
seeds = st.integers(0, 2**32 - 1)
recipes = st.builds(
    Augmentation,
    window=st.integers(1, 60),
    sentence_dropout=rates,
    synonyms=st.just(0.0) | rates,
    typos=st.just(0.0) | rates,
    markup=st.just(0.0) | rates,
)


def generator(seed):
    return np.random.default_rng(seed)


@quick
@given(texts)
def test_sentences_are_the_text(text):
    """Joined, the sentences are the text; only the first can be blank."""
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert all(piece.strip() for piece in pieces[1:])


@quick
@given(texts, recipes, seeds)
def test_one_seed_draws_one_text_and_never_an_empty_one(text, recipe, seed):
    """The same seed draws the same text, which is never empty."""
    once = augment(text, recipe, generator(seed))
    assert once == augment(text, recipe, generator(seed))
    assert once.strip() != ""


@pytest.mark.parametrize("way", [sentence_dropout, markup], ids=lambda way: way.__name__)
@quick
@given(text=texts, rate=rates, seed=seeds)
def test_the_ending_is_kept_word_for_word(way, text, rate, seed):
    """The last sentence is unchanged; with dropout the last two are."""
    ending = "".join(sentences(text)[-(ENDING if way is sentence_dropout else 1) :])
    assert way(text, rate, generator(seed)).endswith(ending)


@quick
@given(texts, st.integers(1, 200), seeds)
def test_a_window_is_an_ending_with_enough_words(text, size, seed):
    """It is the end of the text, has at least `size` words unless it is the whole text, and half of the praise and blame."""
    kept = window(text, size, generator(seed))
    assert text.endswith(kept)
    assert kept == text or (
        len(kept.split()) >= size and kept in {"".join(sentences(text)[at:]) for at in range(len(sentences(text)))}
    )
    assert 2 * opinions(kept) >= opinions(text)


@quick
@given(texts, rates, seeds)
def test_dropout_drops_no_opinion_and_no_negation(text, rate, seed):
    """All words of praise, blame and negation are kept; the words that are left are in order."""
    left = sentence_dropout(text, rate, generator(seed))
    assert NEGATION.findall(left) == NEGATION.findall(text)
    assert opinions(left) == opinions(text)
    rest = iter(words(text))
    assert all(word in rest for word in words(left))


@pytest.mark.parametrize("way", [synonyms, typos, markup], ids=lambda way: way.__name__)
@quick
@given(text=texts, rate=rates, seed=seeds)
def test_negations_are_kept_word_for_word(way, text, rate, seed):
    """The negations are the same in the same order: none is mistyped, replaced or made."""
    assert NEGATION.findall(way(text, rate, generator(seed))) == NEGATION.findall(text)


@quick
@given(texts, rates, seeds)
def test_a_word_is_kept_or_replaced_by_a_synonym(text, rate, seed):
    """Each word is the same or a synonym; nothing changes from a negation to the end of its sentence."""
    made = synonyms(text, rate, generator(seed))
    for was, now in zip(sentences(text), sentences(made), strict=True):
        pairs = list(zip(words(was), words(now), strict=True))
        assert all(before == after or GENITIVE.sub("", after) in SYNONYMS[GENITIVE.sub("", before)] for before, after in pairs)
        if denied := NEGATION.search(was):
            assert now.endswith(was[denied.start() :])


@quick
@given(texts, rates, seeds)
def test_typos_make_no_opinion_and_no_negation(text, rate, seed):
    """A typing error may spoil a word of praise or blame, and never makes one."""
    before, after = words(text), words(typos(text, rate, generator(seed)))
    assert len(before) == len(after)
    assert all(old == new for old, new in zip(before, after, strict=True) if new in OPINIONS)


@quick
@given(st.lists(texts, min_size=1, max_size=4), recipes, seeds, st.integers(0, 50))
def test_an_epoch_keeps_number_and_order(reviews, recipe, seed, number):
    """There is one text for each row, and it does not depend on the rows after it."""
    augmented = epoch(reviews, recipe, seed, number)
    assert len(augmented) == len(reviews)
    assert augmented[:1] == epoch(reviews[:1], recipe, seed, number)


def test_every_way_has_its_property():
    """A new way needs a property in this file."""
    assert set(WAYS.values()) == {window, sentence_dropout, synonyms, typos, markup}


@pytest.mark.parametrize("way", ["sentence_dropout", "synonyms"])
def test_an_english_way_is_not_used_on_other_reviews(way):
    """Unless it is asked for; the message names the way and the reviews. English reviews, and ways of any language, are used."""
    german = Reviews(
        "filme.csv",
        [f"Der Film war gut{letter}{second} und lang{second}{letter}" for letter in LETTERS for second in LETTERS],
        np.zeros(100),
    )
    settings = Augmentation(**{way: 0.1})
    message = f'^augmentation.{way}: knows English words only, and filme.csv is not in English: .* augmentation.language = "en"$'
    with pytest.raises(RecipeError, match=message):
        ways.require_language(settings, german)
    ways.require_language(Augmentation(language="en", **{way: 0.1}), german)
    ways.require_language(settings, read("embedded:validation", LABELS))
    ways.require_language(Augmentation(window=5, typos=0.1, markup=0.1), german)
    ways.require_language(None, german)


def test_training_on_other_reviews_refuses_an_english_way(tmp_path):
    """Before anything is trained, and before anything is shown as augmented."""
    rows = [
        {"text": f"Der Film war gut{letter}{second} und lang{second}{letter}", "label": ord(second) % 2}
        for letter in LETTERS
        for second in LETTERS
    ]
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({**row, "text": f"{name} {row['text']}"}) for row in rows))
    changes = [f"data.{name}={tmp_path / name}.jsonl" for name in ("train", "validation")]
    with pytest.raises(RecipeError, match=r"^augmentation.sentence_dropout: .*train.jsonl is not in English"):
        read_splits(Recipe.read("embedded", [*changes, "augmentation.sentence_dropout=0.1"]))
