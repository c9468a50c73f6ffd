"""The ways of augmentation, one by one: what each does, and what it leaves alone."""

import numpy as np
import pytest

from lorasent.augmentation import ways as augmentation
from lorasent.augmentation.english import sentences
from lorasent.augmentation.ways import augment, epoch, markup, sentence_dropout, slips, synonyms, typos, window
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Augmentation, Recipe
from tests.support.bases import LABELS

PLOT = "A man walks into a bank. He has a gun. The clerk smiles. "
EVERY = Augmentation(share=1.0, window=60, sentence_dropout=0.3, synonyms=0.3, typos=0.05, markup=0.2)


def drawn(way, text, setting, times=40):
    """All that a way makes of a text under so many seeds."""
    return {way(text, setting, np.random.default_rng(seed)) for seed in range(times)}


def test_dropout_takes_the_plot_and_leaves_the_verdict():
    """At a rate of 1 all that takes no side goes, but for the ending."""
    text = PLOT + "It is a dull film. They drive off. She is late. The end comes at night. Then they leave."
    assert drawn(sentence_dropout, text, 1.0) == {"It is a dull film. The end comes at night. Then they leave."}


@pytest.mark.parametrize(
    "needed",
    ["The clerk smiles. But she is armed.", "The clerk smiles. And yet she is armed.", "Who is it? The clerk."],
    ids=["but", "and yet", "question"],
)
def test_dropout_leaves_what_a_turn_or_an_answer_needs(needed):
    """The sentence before a turn, and both question and answer, stay."""
    assert drawn(sentence_dropout, f"{PLOT}{needed} One. Two.", 1.0) == {f"{needed} One. Two."}


def test_a_window_is_an_ending_of_its_size():
    """Every beginning of a sentence that leaves words enough is drawn sometime, and shorter reviews stay whole."""
    text = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    ends = ["".join(sentences(text)[start:]) for start in (1, 2)]
    assert drawn(window, text, 6) == set(ends)
    assert drawn(window, text, 12) == drawn(window, text, 100) == {text}


def test_a_window_begins_with_no_turn_and_holds_half_of_the_opinions():
    """It never shows the plot alone, nor begins with "But"."""
    assert drawn(window, f"A superb film. A wonderful cast. {PLOT}A gem. They part.", 2) == {
        f"A wonderful cast. {PLOT}A gem. They part."
    }
    assert drawn(window, "They meet. But they part. It rains.", 1) == {"It rains."}


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
    """Case, genitive and article are kept; names, compounds and addresses stay."""
    assert drawn(synonyms, text, 1.0) == made


@pytest.mark.parametrize("negation", ["not", "never", "isn't", "isn\u2019t", "dont", "Hardly", "without", "NO"])
def test_nothing_that_is_denied_is_reworded(negation):
    """From a negation to the end of its sentence words stay; before it and behind the sentence they do not."""
    assert drawn(synonyms, f"The film is {negation}, I say, a film. A film!", 1.0) == {
        f"The movie is {negation}, I say, a film. A movie!"
    }


def test_slips_are_of_the_fingers():
    """A letter doubled, lost, swapped or the next key's, inside the word; a capital or an apostrophe lost."""
    made = {slip for kind in slips("Train") for slip in kind}
    assert {"Traain", "Tain", "Trian", "Trwin", "train"} <= made
    assert {word[0].lower() + word[-1] for word in made} == {"tn"}
    assert slips("it's") == [["its"]]
    assert ["theyve"] in slips("they've")
    assert ["excelent"] in slips("excellent")


@pytest.mark.parametrize(
    "word", ["not", "Never", "don't", "didn\u2019t", "nothing", "without", "good", "dull", "Bad", "fun", "war", "a"], ids=str
)
def test_what_carries_the_label_is_typed_right(word):
    """No slip on a negation, on a short word of praise or blame, or on any word of up to three letters."""
    assert slips(word) == []


def test_no_slip_ends_in_a_word_of_the_lexicon():
    """Where the next key or a swap would make "love" or "film" it is not pressed; and longer praise keeps its letters."""
    assert "lose" in {slip for kind in slips("lode") for slip in kind}
    assert "love" not in {slip for kind in slips("loce") for slip in kind}
    assert "film" not in {slip for kind in slips("flim") for slip in kind}
    assert all(set(slip) == set("wonderful") for kind in slips("wonderful") for slip in kind)


def test_breaks_stand_between_sentences():
    """At a rate of 1 after every sentence but the last, and not twice where one stands already."""
    assert drawn(markup, "One. Two!<br />Three.\n\nFour. ", 1.0) == {"One.<br /><br />Two!<br />Three.<br /><br />Four. "}


def test_ways_are_composed_in_order(monkeypatch):
    """Those that are on, each on what the one before it made; those at 0 are not asked."""
    ways = {name: lambda text, setting, _, name=name: f"{text} {name}={setting}" for name in augmentation.WAYS}
    monkeypatch.setattr(augmentation, "WAYS", ways)
    settings = Augmentation(window=9, typos=0.5)
    assert augment("text", settings, np.random.default_rng(0)) == "text window=9 typos=0.5"


def test_an_epoch_shows_a_share_drawn_anew():
    """About the share is changed; another epoch, seed or row draws otherwise, and what is drawn is a function of the three."""
    texts = read("embedded:train", LABELS).texts[:60]
    settings = EVERY.model_copy(update={"share": 0.5})
    first = epoch(texts, settings, 0, 0)
    changed = [row for row, (was, now) in enumerate(zip(texts, first, strict=True)) if was != now]
    assert 18 <= len(changed) <= 42
    assert epoch(texts, settings, 0, 0) == first
    assert epoch(texts, settings, 0, 1) != first != epoch(texts, settings, 1, 0)
    assert epoch(texts[:7], settings, 0, 0) == first[:7]
    assert len(set(epoch([texts[2]] * 20, EVERY, 0, 0))) > 10
    assert epoch(texts, settings.model_copy(update={"share": 0.0}), 0, 0) == texts


def test_the_ways_are_the_recipes_keys():
    """A way of `augmentation` is a key of the recipe's table and the other way round."""
    assert [*augmentation.WAYS] == [name for name in Augmentation.model_fields if name != "share"]
    assert Recipe.read("embedded", ["augmentation.typos=0.02"]).augmentation == Augmentation(typos=0.02)


@pytest.mark.parametrize("way", augmentation.WAYS)
def test_every_way_changes_reviews_that_ship(way):
    """Every way changes a good part of the embedded reviews: none is idle."""
    texts = read("embedded:validation", LABELS).texts
    alone = Augmentation(share=1.0, **{way: getattr(EVERY, way)})
    assert sum(was != now for was, now in zip(texts, epoch(texts, alone, 0, 0), strict=True)) >= 20


def test_typos_leave_addresses_alone():
    """What is no word is not mistyped."""
    text = "http://films.example/review?id=review must-see review_2 reviewer@films.example <br /> <title>"
    assert drawn(typos, text, 1.0, times=10) == {text}
