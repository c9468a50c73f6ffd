"""A moving average of what is trained: steadier, and as a rule better, than where the last steps happened to go.

After step t the average a takes in the weights w, a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)): Polyak and Juditsky
(1992), begun as TensorFlow begins it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Average:
    """The average of a model's trained parameters. `step` follows each optimiser step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.values: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Takes in the weights after the step of this number, from 1."""
        decay = min(self.decay, (1 + number) / (10 + number))
        for name, weight in self.trained.items():
            known = self.values.setdefault(name, weight.detach().clone()).to(weight.device)
            self.values[name] = known.lerp_(weight, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average inside, and its own weights again afterwards."""
        own = {name: weight.detach().clone() for name, weight in self.trained.items()}
        self._put(self.values)
        try:
            yield
        finally:
            self._put(own)

    def write(self, path: Path) -> None:
        """Keeps the average in a file."""
        save_file(self.values, path)

    def read(self, path: Path) -> None:
        """Goes on from a file."""
        self.values = load_file(path)

    def settle(self) -> None:
        """Leaves the average in the model for good."""
        self._put(self.values)

    @torch.no_grad()
    def _put(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.trained[name].copy_(value)
