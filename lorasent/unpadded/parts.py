"""Classifiers of BERT's family taken apart: which of the model's own modules is what.

    x = norm(x + O attention(Q x, K x, V x)),   x = norm(x + W2 gelu(W1 x))        x: (tokens, h)        (Devlin et al. 2019)

A head reads the first token alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN

from lorasent.adapter.architectures import ARCHITECTURES
from lorasent.adapter.encoding import Ids

ACTIVATIONS = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "gelu_pytorch_tanh": ("gelu", "tanh"), "relu": ("relu", "")}
"""What configurations call an activation -> oneDNN's name of it and of its algorithm."""


@dataclass(frozen=True)
class Layer:
    """One layer's modules: four linear maps of attention, its norm, two of the feed-forward part, its norm; and what drops in
    training, of attention's weights, of its output, of the feed-forward part's.
    """

    query: nn.Module
    key: nn.Module
    value: nn.Module
    output: nn.Module
    attended: nn.LayerNorm
    inner: nn.Module
    outer: nn.Module
    answered: nn.LayerNorm
    drop_weights: nn.Module
    drop_output: nn.Module
    drop_outer: nn.Module


@dataclass(frozen=True)
class Parts:
    """A classifier of BERT's family taken apart: the model's own modules."""

    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Ids (1, rows) and positions (1, rows) -> (1, rows, h)."""
    layers: list[Layer]
    head: Callable[[torch.Tensor], torch.Tensor]
    """First tokens (B, h) -> logits (B, L)."""
    heads: int
    activation: tuple[str, str]
    activate: Callable[[torch.Tensor], torch.Tensor]
    """The same activation, as the model's own module."""
    first_position: int
    """Position of the first token: RoBERTa's begin behind the pad token's id."""
    pad_id: int | None
    """Where pad tokens in a text do not count as positions (RoBERTa): their id."""

    def embedded(self, reviews: Sequence[Ids], rows: int) -> torch.Tensor:
        """What the first layer sees, (rows, h): the tokens of reviews behind each other, and rows of no meaning behind them."""
        ids, positions = np.zeros((2, 1, rows), np.int64)
        start = 0
        for review in reviews:
            end = start + len(review)
            ids[0, start:end] = review
            positions[0, start:end] = self._positions(review)
            start = end
        return self.embed(torch.from_numpy(ids), torch.from_numpy(positions))[0]

    def _positions(self, review: Ids) -> Ids:
        if self.pad_id is None:
            return np.arange(self.first_position, self.first_position + len(review))
        counted = review != self.pad_id
        return np.where(counted, np.cumsum(counted) - 1, -1) + self.first_position


def parts(model: Any) -> Parts | None:
    """A transformers classifier taken apart, or None unless its architecture has blocks of BERT's or DistilBERT's form."""
    config, row = model.config, ARCHITECTURES.get(model.config.model_type)
    if row is None or not row.blocks or row.reads != "first":
        return None
    body = getattr(model, model.base_model_prefix, None)
    name = getattr(config, "activation" if row.blocks == "distilbert" else "hidden_act", "")
    if body is None or name not in ACTIVATIONS or getattr(config, "is_decoder", False):
        return None
    heads, first, pad = config.num_attention_heads, 0, None
    if row.after_pad_token:
        pad = body.embeddings.padding_idx
        first = pad + 1
    if row.blocks == "distilbert":

        def read(first: torch.Tensor) -> torch.Tensor:
            return model.classifier(model.dropout(functional.relu(model.pre_classifier(first))))  # type: ignore[no-any-return]

        layers = [
            Layer(
                one.attention.q_lin, one.attention.k_lin, one.attention.v_lin, one.attention.out_lin, one.sa_layer_norm,
                one.ffn.lin1, one.ffn.lin2, one.output_layer_norm, one.attention.dropout, nn.Identity(), one.ffn.dropout,
            )
            for one in body.transformer.layer
        ]  # fmt: skip
    else:
        pooled = any(layer.name.startswith(f"{row.prefix}.") for layer in row.head)

        def read(first: torch.Tensor) -> torch.Tensor:
            states = first[:, None]
            return model.classifier(model.dropout(body.pooler(states)) if pooled else states)  # type: ignore[no-any-return]

        layers = [
            Layer(
                one.attention.self.query, one.attention.self.key, one.attention.self.value, one.attention.output.dense,
                one.attention.output.LayerNorm, one.intermediate.dense, one.output.dense, one.output.LayerNorm,
                one.attention.self.dropout, one.attention.output.dropout, one.output.dropout,
            )
            for one in body.encoder.layer
        ]  # fmt: skip

    def embed(ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        states = body.embeddings(input_ids=ids, position_ids=positions)
        return body.embeddings_project(states) if hasattr(body, "embeddings_project") else states  # type: ignore[no-any-return]

    activate = ACT2FN[name]
    return Parts(embed, layers, read, heads, ACTIVATIONS[name], activate, first, pad)
