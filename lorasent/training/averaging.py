"""The exponential moving average of the trained weights, which as a rule is better than the last weights.

After step t the average a of the weights w becomes d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)): Polyak and Juditsky
(1992), started as TensorFlow starts it. `torch.optim.swa_utils.AveragedModel` would save no line: its moving average has a constant
decay, and the device, the swap with the weights and the safetensors file would still be ours.
"""

import contextlib
from collections.abc import Iterator, Mapping
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
        """Adds the weights after the step of this number (from 1)."""
        decay = min(self.decay, (1 + number) / (10 + number))
        for name, weight in self.trained.items():
            average = self.values.setdefault(name, weight.detach().clone()).to(weight.device)
            self.values[name] = average.lerp_(weight, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the average; afterwards it has its weights again."""
        weights = {name: weight.detach().clone() for name, weight in self.trained.items()}
        self._copy(self.values)
        try:
            yield
        finally:
            self._copy(weights)

    def write(self, path: Path) -> None:
        """Writes the average to a safetensors file."""
        save_file(self.values, path)

    def read(self, path: Path) -> None:
        """Continues with the average of a file."""
        self.values = load_file(path)

    def settle(self) -> None:
        """Replaces the model's weights by the average for good."""
        self._copy(self.values)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.trained[name].copy_(value)
