"""integrity::values: cause, message and advice of every fault of the weights' numbers."""

import numpy as np
import pytest

from lorasent.adapter.manifest import CONFIG, WEIGHTS
from lorasent.gate.integrity import values
from lorasent.gate.integrity.comparison import EXPORT, Passed
from tests.gate.integrity.sides import (
    KEY,
    PREFIX,
    QUERY,
    WHERE,
    blocks,
    compare,
    fault,
    manifest,
    old,
    side,
)
from tests.support.manifests import adopted

RANDOM = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)


def numbers(**changes):
    """A side of two LoRA layers and a head, filled; `changes` replace matrices: qa, qb, ka, kb, head, bias."""
    values = {"qa": RANDOM, "qb": RANDOM, "ka": RANDOM, "kb": RANDOM, "head": RANDOM, "bias": RANDOM[0], **changes}
    names = {
        "qa": f"{QUERY}.lora_A.weight",
        "qb": f"{QUERY}.lora_B.weight",
        "ka": f"{KEY}.lora_A.weight",
        "kb": f"{KEY}.lora_B.weight",
        "head": "classifier.weight",
        "bias": "classifier.bias",
    }
    tensors = {PREFIX + names[key]: (value.shape, "F32") for key, value in values.items()}
    return side(tensors=tensors, numbers=lambda: iter([(PREFIX + names[key], value) for key, value in values.items()]))


ZERO = np.zeros_like(RANDOM)


def test_numbers_that_live_are_sound():
    """A bias may be zero, or round, and so may a small matrix's be; dead units' zeros are set aside."""
    values.inspect(numbers())
    values.inspect(numbers(bias=np.zeros(100, dtype=np.float32)))
    values.inspect(numbers(bias=np.ones(100, dtype=np.float32)))
    values.inspect(numbers(head=np.ones((7, 9), dtype=np.float32)))
    half_dead = RANDOM.copy()
    half_dead[:3] = 0
    values.inspect(numbers(head=half_dead))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_counted(value):
    """In a matrix and in a bias."""
    advice, matrix, bias = "train again: the run diverged, or the file is damaged", RANDOM.copy(), RANDOM[0].copy()
    matrix[0, :3] = bias[1] = value
    name = f"{PREFIX}{QUERY}.lora_B.weight"
    message = f"{WHERE}3 of 128 numbers in {name} are not finite"
    assert fault(values.inspect, numbers(qb=matrix)) == blocks("not-finite", message, advice, name=name, count=3)
    name = f"{PREFIX}classifier.bias"
    message = f"{WHERE}1 of 16 numbers in {name} are not finite"
    assert fault(values.inspect, numbers(bias=bias)) == blocks("not-finite", message, advice, name=name, count=1)


def test_numbers_that_were_rounded_are_found():
    """To few values, or to 16 bits."""
    name = f"{PREFIX}{KEY}.lora_A.weight"
    message = f"{WHERE}{name} was rounded: 9 distinct values among 128 numbers"
    few = (np.arange(128, dtype=np.float32) % 9 + 1.1).reshape(8, 16)
    assert fault(values.inspect, numbers(ka=few)) == blocks("quantized", message, EXPORT + ", in float32", name=name)
    message = f"{WHERE}{name} was rounded: all 128 numbers are those of a 16-bit type"
    found = fault(values.inspect, numbers(ka=RANDOM.astype(np.float16).astype(np.float32)))
    assert found == blocks("quantized", message, EXPORT + ", in float32", name=name)


def test_a_single_step_is_found():
    """By B, whose numbers are then of one size, from 64 of them on; A and the head begin at random."""
    name, step = f"{PREFIX}{QUERY}.lora_B.weight", (np.sign(RANDOM) * 1e-3).astype(np.float32)
    message = f"{WHERE}numbers in {name} are all about 0.001 in size, as after a single training step"
    advice = "train again: the run ended after its first step"
    assert fault(values.inspect, numbers(qb=step)) == blocks("one-step", message, advice, name=name)
    assert fault(values.inspect, numbers(qb=step[:4])) == blocks("one-step", message, advice, name=name)
    assert fault(values.inspect, numbers(qa=step))[0] == "quantized"
    values.inspect(numbers(qb=step[:3]))


def test_a_single_step_is_told_from_numbers_that_lie_close():
    """A tenth may be smaller: the tenth smallest of a hundred is the largest, less a tenth at most."""
    many, few = np.ones(100, dtype=np.float32), np.ones(100, dtype=np.float32)
    many[:12], few[:9] = 0.5, 0.5
    assert not values._one_step(many)
    assert values._one_step(-few)


def test_a_grid_is_found_at_its_bounds():
    """In 64 numbers and more; where fewer than six tenths of them are distinct."""
    fine = np.random.default_rng(1).normal(size=100).astype(np.float32)
    assert values._rounded(np.ones(63, dtype=np.float32), "F32") is None
    assert values._rounded(np.ones(64, dtype=np.float32), "F32") == "1 distinct values among 64 numbers"
    assert values._rounded(np.concatenate([np.zeros(9, dtype=np.float32), np.ones(63, dtype=np.float32)]), "F32") is None
    assert values._rounded(np.concatenate([fine[:60], fine[:40]]), "F32") is None
    assert values._rounded(np.concatenate([fine[:59], fine[:41]]), "F32") == "59 distinct values among 100 numbers"
    half = fine.astype(np.float16).astype(np.float32)
    assert values._rounded(half, "F32") == "all 100 numbers are those of a 16-bit type"
    assert values._rounded(np.concatenate([half, fine[:1]]), "F32") is None


@pytest.mark.parametrize(("kind", "distinct", "found"), [("F32", 257, True), ("BF16", 257, False), ("BF16", 256, True)])
def test_numbers_of_a_16_bit_type_may_be_few(kind, distinct, found):
    """They are rounded anyway: to 257 values, where less than six tenths of a thousand would tell float32's."""
    numbers = (np.arange(1000, dtype=np.float32) % distinct + 1.1).astype(np.float32)
    assert values._rounded(numbers, kind) == (f"{distinct} distinct values among 1000 numbers" if found else None)


def test_what_is_saved_beside_lora_may_not_be_zero_and_of_a_whole_model_only_the_head():
    """A model's embedding of one kind of token may be."""
    name, head = "bert.embeddings.token_type_embeddings.weight", "classifier.weight"
    message = f"{WHERE}{name} is all zero: every text gets the same answer"
    assert fault(values._require_effect, side(tensors={}), {name}) == blocks("head-zero", message)
    model = side(tensors={}, manifest=adopted({}))
    values._require_effect(model, {name})
    assert fault(values._require_effect, model, {name, head})[1] == f"{WHERE}{head} is all zero: every text gets the same answer"


def test_a_head_of_zeros_is_named():
    """Before layers that are zero; a LoRA matrix is no head."""
    message = f"{WHERE}{PREFIX}classifier.weight is all zero: every text gets the same answer"
    assert fault(values.inspect, numbers(head=ZERO, qb=ZERO, kb=ZERO)) == blocks("head-zero", message)


def test_lora_of_zeros_is_named():
    """In all layers, by whichever matrix; in one, by its name."""
    message = f"{WHERE}LoRA is zero in all 2 layers: the base is unchanged"
    assert fault(values.inspect, numbers(qb=ZERO, ka=ZERO)) == blocks("adapter-zero", message)
    message = f"{WHERE}LoRA is zero in 1 of 2 layers: {KEY}"
    assert fault(values.inspect, numbers(ka=ZERO, kb=ZERO)) == blocks("layer-zero", message, layers=[PREFIX + KEY])


def test_the_first_layers_of_zeros_are_named():
    """Three of them, in the order of their names; the figures hold them all."""
    names = [f"{PREFIX}bert.{number}.query" for number in range(6)]
    weights = {f"{name}.lora_B.weight": ZERO if number != 2 else RANDOM for number, name in enumerate(names)}
    one = side(tensors=dict.fromkeys(weights, ((8, 16), "F32")), numbers=lambda: reversed(weights.items()))
    message = f"{WHERE}LoRA is zero in 5 of 6 layers: bert.0.query, bert.1.query, bert.3.query and 2 more"
    dead = [name for name in names if ".2." not in name]
    assert fault(values.inspect, one) == blocks("layer-zero", message, layers=dead)


def test_the_same_weights_are_told():
    """By the hash that both manifests list."""
    assert compare("values", side(), old()) == Passed("the same weights as the baseline's")
    other = old(manifest=manifest(files={WEIGHTS: "v", CONFIG: "w"}))
    assert compare("values", side(), other) == Passed("every number is finite and in full precision, every layer has an effect")
