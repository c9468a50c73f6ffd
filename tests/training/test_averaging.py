"""The moving average: a plain recursion beside it, and that it leaves the model's own weights alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lorasent.training.averaging import Average


def small():
    """A model of which one layer is trained."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(requires_grad=False)
    return model


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_the_average_is_the_plain_recursion(weights, decay):
    """Of the first weights on; it takes in more of the early steps than its decay says."""
    model, expected = small(), weights[0]
    average = Average(model, decay)
    for number, weight in enumerate(weights, 1):
        nn.init.constant_(model[1].weight, weight)
        average.step(number)
        now = min(decay, (1 + number) / (10 + number))
        expected = now * expected + (1 - now) * weight
    assert average.values["1.weight"].flatten().tolist() == pytest.approx([expected] * 2, abs=1e-4)


def test_only_what_is_trained_is_averaged_and_only_inside(tmp_path):
    """The model's own weights come back, also where the work inside fails; a file gives the average again."""
    model = small()
    average = Average(model, 0.5)
    average.step(1)
    frozen, kept = model[0].weight.clone(), model[1].weight.clone()
    nn.init.constant_(model[1].weight, 7.0)
    with pytest.raises(ValueError, match="it fails"), average.in_place():
        assert torch.equal(model[1].weight, kept)
        raise ValueError("it fails")
    assert (model[1].weight == 7.0).all()
    assert torch.equal(model[0].weight, frozen)
    assert average.values.keys() == {"1.weight", "1.bias"}
    average.write(tmp_path / "average.safetensors")
    again = Average(model, 0.5)
    again.read(tmp_path / "average.safetensors")
    again.settle()
    assert torch.equal(model[1].weight, kept)
