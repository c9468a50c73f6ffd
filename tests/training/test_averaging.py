"""The moving average of the trained weights: its recursion, and the weights that come back after it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lorasent.training.averaging import Average


def small():
    """A model with one frozen and one trained layer."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(requires_grad=False)
    return model


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_the_average_is_the_plain_recursion(weights, decay):
    """It starts with the first weights; early steps count more than the decay says."""
    model, expected = small(), weights[0]
    average = Average(model, decay)
    for number, weight in enumerate(weights, 1):
        nn.init.constant_(model[1].weight, weight)
        average.step(number)
        now = min(decay, (1 + number) / (10 + number))
        expected = now * expected + (1 - now) * weight
    assert average.values["1.weight"].flatten().tolist() == pytest.approx([expected] * 2, abs=1e-4)


def test_only_trained_weights_are_averaged():
    """Inside, the model has the average; its weights come back, also after an exception. Frozen weights are not touched."""
    model = small()
    average = Average(model, 0.5)
    average.step(1)
    frozen, first = model[0].weight.clone(), model[1].weight.clone()
    nn.init.constant_(model[1].weight, 7.0)
    with pytest.raises(ValueError, match="it fails"), average.in_place():
        assert torch.equal(model[1].weight, first)
        raise ValueError("it fails")
    assert (model[1].weight == 7.0).all()
    assert torch.equal(model[0].weight, frozen)
    assert average.values.keys() == {"1.weight", "1.bias"}
