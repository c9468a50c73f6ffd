"""Occlusion, for any text: words are where they say, their tokens are theirs, passages are a partition, the cost is bounded."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lorasent.adapter.encoding import Encoder
from lorasent.evaluation import occlusion
from lorasent.recipe.recipe import Encoding

LIMIT = 60
"""Tokens: many of the texts are cut."""

WORDS = st.sampled_from(["film", "good", "don't", "größer", "映画", "unbelievably", "e\u0301tude", "10", "🎬", "<br />", "so-so"])
TEXTS = st.lists(WORDS | st.text(max_size=6), min_size=1, max_size=120).flatmap(
    lambda words: st.sampled_from([" ", ". ", "\n", "  "]).map(lambda between: between.join(words))
)


ASKED = ["bert", "roberta", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("albert", "deberta-v2", "gpt2"))]


@pytest.fixture(scope="module", params=ASKED)
def encoder(request, bases):
    """A small tokenizer of each kind, which cuts on the left."""
    return Encoder(bases(request.param), Encoding(max_length=LIMIT))


@settings(max_examples=40)
@given(TEXTS)
def test_spans_index_into_the_text(encoder, text):
    """Each word that was read stands at its span, and leaving it out leaves its tokens out; what is read is what `encode` gives."""
    reading = occlusion.read(encoder, text)
    assert reading.ids.tolist() == encoder.encode([text])[0].tolist()
    assert [span for span, _ in reading.words] == sorted(span for span, _ in reading.words)
    for word, ((start, end), tokens) in enumerate(reading.words):
        assert occlusion.WORD.fullmatch(text[start:end])
        assert len(reading.less([word])) == len(reading.ids) - len(tokens) < len(reading.ids)


@settings(max_examples=40)
@given(TEXTS)
def test_special_tokens_are_never_left_out(encoder, text):
    """With every word left out, what the tokenizer adds around a text is still there."""
    reading = occlusion.read(encoder, text)
    special = set(encoder.tokenizer.all_special_ids) - {encoder.tokenizer.unk_token_id}
    kept = reading.less(range(len(reading.words))).tolist()
    assert [one for one in kept if one in special] == [one for one in reading.ids.tolist() if one in special]


@settings(max_examples=40)
@given(TEXTS)
@example("good " * 50)
def test_passages_are_runs_that_hold_each_word_once(encoder, text):
    """In order, none longer than LONGEST, and only the last shorter than SHORTEST."""
    reading = occlusion.read(encoder, text)
    passages = occlusion._passages(reading)
    assert [word for passage in passages for word in passage] == list(range(len(reading.words)))
    assert all(len(passage) <= occlusion.LONGEST for passage in passages)
    assert all(len(passage) >= occlusion.SHORTEST for passage in passages[:-1])


@given(st.lists(st.tuples(st.integers(1, 16), st.floats(-5, 5)), min_size=4, max_size=90))
def test_what_carried_most_is_chosen_and_the_budget_kept(parts):
    """The words of the passages of largest loss, as many as MOST allows."""
    lost, begin = {}, 0
    for size, loss in parts:
        lost[range(begin, begin + size)] = loss
        begin += size
    chosen = occlusion._chosen(lost)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= occlusion.MOST
    taken = [passage for passage in lost if passage.start in chosen]
    assert [word for passage in taken for word in passage] == chosen
    left = [passage for passage in lost if passage not in taken]
    assert not left or min(lost[one] for one in taken) >= max(lost[one] for one in left)
    assert (
        not left or len(chosen) + max(len(one) for one in left) > occlusion.MOST or len(chosen) > occlusion.MOST - occlusion.LONGEST
    )
