"""The exponential moving average of the trained weights, which is usually better than the last weights.

After step t the average a of the weights w becomes d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)): Polyak and Juditsky
(1992), started as TensorFlow starts it. The decay of `torch.optim.swa_utils.AveragedModel` is constant.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class Average:
    """The average of a model's trained parameters: `values` by name, empty before the first `step`."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.values: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Adds the weights after the optimiser step of this number (from 1)."""
        decay = min(self.decay, (1 + number) / (10 + number))
        for name, weight in self._trained():
            average = self.values.setdefault(name, weight.clone()).to(weight.device)
            self.values[name] = average.lerp_(weight, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the average; afterwards it has its weights again."""
        weights = {name: weight.clone() for name, weight in self._trained()}
        self.model.load_state_dict(self.values, strict=False)
        try:
            yield
        finally:
            self.model.load_state_dict(weights, strict=False)

    def _trained(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, value.detach()) for name, value in self.model.named_parameters() if value.requires_grad)
