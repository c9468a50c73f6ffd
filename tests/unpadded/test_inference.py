"""The engine: the model's own answers, from unpadded tokens, which no neighbour moves by a bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorasent.adapter.base import find
from lorasent.adapter.classifier import answer, build, inference
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Base, Encoding, Lora
from lorasent.scoring.plans import fill, matrices
from lorasent.scoring.scorer import Scorer
from lorasent.unpadded import inference as engine
from lorasent.unpadded import parts, products
from tests.support.bases import CONFIGS, LABELS

pytestmark = pytest.mark.processor

KNOWN = ("bert", "distilbert", "electra", "roberta")
TEXTS = [*read("embedded:validation", LABELS).texts[:30], "good", "bad", "a film", "so good", "so bad", ""]


@pytest.fixture(scope="module")
def trained(bases):
    """A function that gives an architecture's model and encoder, with LoRA and head far from what they start as."""

    def trained(name, targets=("all-linear",), **variant):
        base = find(str(bases(name)))
        encoder = Encoder(base.path, Encoding(max_length=64))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            lora = Lora(r=2, alpha=4, target_modules=targets, **variant)
            model = build(base, Base(model=base.name, labels=LABELS, dropout=0.0), lora, encoder)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.2)
        return model, encoder

    return trained


def has_its_engine(scorer):
    """Whether a scorer has an engine just where oneDNN multiplies in its precision."""
    dtype = torch.bfloat16 if scorer.bf16 else torch.float32
    return (scorer._engine is not None) is products.available(torch.device("cpu"), dtype)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant"),
    [*((name, {}) for name in KNOWN), ("bert", {"use_rslora": True}), ("bert", {"use_dora": True})],
    ids=lambda value: value if isinstance(value, str) else next(iter(value), "LoRA"),
)
def test_the_engine_answers_as_the_model(trained, name, variant):
    """The engine's logits of texts of many lengths, some equal, are the model's of each text alone, to 1e-5 in float32.

    So they have where there is no oneDNN, and the model answers.
    """
    model, encoder = trained(name, **variant)
    scorer = Scorer(model, encoder, LABELS)
    assert has_its_engine(scorer)
    expected = answer(model, encoder, TEXTS)
    assert expected.std() > 0.1
    np.testing.assert_allclose(scorer.logits(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([scorer.logits([text]) for text in TEXTS]), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.onednn("float32")
@pytest.mark.parametrize("tile", [8, 16])
def test_the_engine_answers_as_the_model_with_tiles_of_8_and_of_16_rows(trained, monkeypatch, tile):
    """Whatever tile the machine needs, logits are the model's, for one text and for many."""
    monkeypatch.setattr(products, "tile", lambda: tile)
    model, encoder = trained("bert")
    scorer, expected = Scorer(model, encoder, LABELS), answer(model, encoder, TEXTS)
    assert engine.build(model, bf16=False, invariant=False)._rows(3, 3) == tile
    np.testing.assert_allclose(scorer.logits(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([scorer.logits([text]) for text in TEXTS]), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CONFIGS) - set(KNOWN)))
def test_other_architectures_are_answered_by_the_model(trained, name):
    """An architecture outside BERT's family has no engine, and its logits are the model's."""
    model, encoder = trained(name)
    scorer = Scorer(model, encoder, LABELS)
    assert scorer._engine is None
    np.testing.assert_allclose(scorer.logits(TEXTS), answer(model, encoder, TEXTS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", [{"hidden_act": "silu"}, {"is_decoder": True}], ids=["activation", "decoder"])
def test_a_bert_with_another_activation_or_a_causal_mask_has_no_engine(trained, change):
    """Only what the engine computes is taken apart."""
    model, _ = trained("bert")
    plain = model.get_base_model()
    assert parts.parts(plain) is not None
    for key, value in change.items():
        setattr(plain.config, key, value)
    assert parts.parts(plain) is None


def test_pad_tokens_in_a_text_do_not_count_as_positions(trained):
    """RoBERTa's positions after a pad token in a text are those of the text without it."""
    model, encoder = trained("roberta")
    text = "a film <pad> <pad> not worth the time"
    assert (encoder.encode([text])[0] == encoder.pad_id).sum() == 2
    with inference(model):
        ids = torch.from_numpy(encoder.encode([text])[0])[None]
        expected = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()
    np.testing.assert_allclose(Scorer(model, encoder, LABELS).logits([text]), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CONFIGS) - set(KNOWN)))
def test_no_neighbour_moves_a_bit_without_an_engine(trained, name):
    """With invariant=True the model scores one review at a time: the bits are the same alone and together."""
    model, encoder = trained(name)
    scorer = Scorer(model, encoder, LABELS, invariant=True)
    together = scorer.logits(TEXTS)
    np.testing.assert_array_equal(np.concatenate([scorer.logits([text]) for text in TEXTS]), together)


@pytest.mark.onednn("float32")
@pytest.mark.parametrize("width", [30, 32])
def test_a_width_that_is_no_multiple_of_4_has_no_invariant_engine(width):
    """On such a width a row's place changes the bits of the head."""
    from transformers import AutoModelForSequenceClassification

    config = type(CONFIGS["bert"])(**{**CONFIGS["bert"].to_dict(), "hidden_size": width, "num_attention_heads": 2})
    model = AutoModelForSequenceClassification.from_config(config).eval()
    assert (engine.build(model, bf16=False, invariant=True) is None) == bool(width % 4)
    assert engine.build(model, bf16=False, invariant=False) is not None


@pytest.mark.onednn("float32")
def test_an_engine_keeps_the_packed_weights_only(trained):
    """The layers' own weights are released."""
    built = engine.build(trained("bert")[0], bf16=False, invariant=False)
    kept = [value for layer in built.parts.layers for module in vars(layer).values() for value in module.parameters()]
    assert kept
    assert all(value.is_meta for value in kept)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", KNOWN)
def test_no_neighbour_moves_a_bit(trained, monkeypatch, name, precision):
    """Invariant logits have the same bits alone, in pairs, all together and in reverse order, for short and for longer reviews."""
    monkeypatch.setattr(engine, "SHORT", 20)
    model, encoder = trained(name)
    scorer = Scorer(model, encoder, LABELS, precision, invariant=True)
    assert has_its_engine(scorer)
    together = scorer.logits(TEXTS)
    np.testing.assert_array_equal(scorer.logits(TEXTS[::-1])[::-1], together)
    for row in (0, 1, 7, 30, 35):
        np.testing.assert_array_equal(scorer.logits([TEXTS[row]])[0], together[row])
        np.testing.assert_array_equal(scorer.logits([TEXTS[row - 1], TEXTS[row]])[1], together[row])


@pytest.mark.onednn("float32")
def test_the_shape_of_an_invariant_answer_follows_from_the_reviews_own_length(trained):
    """The matrix has as many rows however few tokens lie beside the review. Without invariant=True it has few rows."""
    model, _ = trained("bert")
    fixed, free = (engine.build(model, bf16=False, invariant=invariant) for invariant in (True, False))
    for longest in (1, engine.SHORT, engine.SHORT + 1, 512):
        room = engine.capacity(longest, invariant=True)
        assert room + engine.SPARE == (engine.SHORT_ROWS if longest <= engine.SHORT else engine.ROWS)
        assert {fixed._rows(needed, longest) for needed in range(longest, room + products.tile())} == {room + engine.SPARE}
    assert free._rows(3, 3) == products.tile()


@given(st.lists(st.integers(1, 512), max_size=200), st.booleans())
def test_a_matrix_holds_reviews_of_one_capacity(lengths, invariant):
    """Each review is in one matrix, of its own capacity, which is not exceeded. Without invariant=True there is one capacity."""
    found = list(matrices(lengths, invariant=invariant))
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    for rows in found:
        (capacity,) = {engine.capacity(lengths[row], invariant=invariant) for row in rows}
        assert sum(lengths[row] for row in rows) <= capacity
        assert invariant or capacity == engine.CAPACITY


@pytest.mark.slow
@pytest.mark.onednn("bfloat16")
def test_no_neighbour_moves_a_bit_of_the_embedded_base(bases):
    """The embedded base in bf16 has the same bits alone and together, over more reviews than one matrix holds."""
    base = find("embedded")
    encoder = Encoder(base.path, Encoding(max_length=256))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(base, Base(model="embedded", labels=LABELS), Lora(r=2, alpha=4, target_modules=("query",)), encoder)
    scorer = Scorer(model, encoder, LABELS, "bf16", invariant=True)
    texts = read("embedded:test", LABELS).texts[:40]
    together = scorer.logits(texts)
    np.testing.assert_array_equal(np.concatenate([scorer.logits(texts[row : row + 3]) for row in range(0, 40, 3)]), together)


@pytest.mark.onednn("float32")
def test_a_review_longer_than_the_matrix_has_the_models_logits(bases):
    """A base may accept more tokens than a full matrix has rows."""
    config = type(CONFIGS["bert"])(**{**CONFIGS["bert"].to_dict(), "max_position_embeddings": 4096, "vocab_size": 100})
    from transformers import AutoModelForSequenceClassification

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = [np.arange(length) % 90 + 5 for length in (engine.ROWS + 100, 3)]
    built = engine.build(model, bf16=False, invariant=True)
    for review in ids:
        with inference(model):
            expected = model(input_ids=torch.from_numpy(review)[None]).logits.numpy()
            np.testing.assert_allclose(built.logits([review]), expected, rtol=0, atol=1e-5)


def test_building_an_engine_does_not_change_the_model(trained):
    """LoRA is merged in a copy: the model's weights keep their bits, and LoRA stays apart."""
    model, encoder = trained("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Scorer(model, encoder, LABELS).logits(TEXTS)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@given(st.lists(st.integers(1, 3000), max_size=300), st.integers(500, 2100))
def test_a_batch_holds_no_more_than_its_capacity(lengths, capacity):
    """Each row is in one batch; a batch holds at most its capacity, or one review."""
    batches = fill(lengths, capacity)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in batch) <= capacity or len(batch) == 1 for batch in batches)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200))
def test_fill_is_best_fit_decreasing(lengths):
    """The free room of each batch is that of a plain implementation."""
    rooms = []
    for length in sorted(lengths, reverse=True):
        fitting = [place for place, room in enumerate(rooms) if room >= length]
        if not fitting:
            fitting = [len(rooms)]
            rooms.append(engine.CAPACITY)
        rooms[min(fitting, key=lambda place: rooms[place])] -= length
    found = [engine.CAPACITY - sum(lengths[row] for row in batch) for batch in fill(lengths, engine.CAPACITY)]
    assert sorted(found) == sorted(rooms)


@pytest.mark.slow
@pytest.mark.real_data
def test_matrices_of_real_reviews_have_at_most_2_percent_empty_rows(real_data):
    """Over IMDB's test reviews, with 512 tokens at most."""
    base = find("embedded")
    encoder = Encoder(base.path, Encoding(max_length=512))
    texts = read(str(real_data / "imdb_test_5000.parquet"), LABELS).texts[:2048]
    lengths = [len(ids) for ids in encoder.encode(texts)]
    assert len(fill(lengths, engine.CAPACITY)) * engine.ROWS <= 1.02 * sum(lengths)
