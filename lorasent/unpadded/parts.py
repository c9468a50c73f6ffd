"""Classifiers of BERT's family taken apart: which of the model's own modules does what. The head reads the first token only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN

from lorasent.adapter.architectures import ARCHITECTURES
from lorasent.adapter.encoding import Ids

ACTIVATIONS = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "gelu_pytorch_tanh": ("gelu", "tanh"), "relu": ("relu", "")}
"""Name of an activation in config.json -> oneDNN's name of it and of its algorithm."""

LAYER_PATHS = {
    "bert": (
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
        "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
        "attention.self.dropout", "output.dropout", "attention.output.dropout",
    ),
    "distilbert": (
        "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm",
        "ffn.lin1", "ffn.lin2", "output_layer_norm", "attention.dropout", "ffn.dropout",
    ),
}  # fmt: skip
"""Paths of a layer's modules, in the order of `Layer`, by `blocks` in the table of architectures."""


@dataclass(frozen=True)
class Layer:
    """The modules of one layer: attention's, the feed-forward part's, and the dropouts; DistilBERT has none after attention."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    output: nn.Module
    attended: nn.LayerNorm
    inner: nn.Module
    outer: nn.Module
    answered: nn.LayerNorm
    drop_weights: nn.Module
    drop_outer: nn.Module
    drop_output: nn.Module = field(default_factory=nn.Identity)

    def linears(self, *, last: bool) -> Iterator[list[nn.Module]]:
        """The linear layers, those on the same states together. In the last layer only first tokens have queries."""
        yield from [[self.query], [self.key, self.value]] if last else [[self.query, self.key, self.value]]
        yield from ([self.output], [self.inner], [self.outer])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a classifier of BERT's family."""

    embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Ids (1, rows) and positions (1, rows) -> (1, rows, h)."""
    layers: list[Layer]
    head: Callable[[torch.Tensor], torch.Tensor]
    """First tokens (B, h) -> logits (B, L)."""
    heads: int
    """Number of attention heads."""
    activation: tuple[str, str]
    """oneDNN's name of the feed-forward part's activation, and of its algorithm."""
    activate: Callable[[torch.Tensor], torch.Tensor]
    """The same activation, as the model's own module."""
    pad_id: int | None
    """The pad token's id in RoBERTa: positions begin behind it, and pad tokens take none. None elsewhere: they begin at 0."""

    def embedded(self, reviews: Sequence[Ids], rows: int) -> torch.Tensor:
        """The first layer's input (rows, h): the reviews' tokens one behind the other, then unused rows."""
        ids, positions = np.zeros((2, 1, rows), np.int64)
        start = 0
        for review in reviews:
            end = start + len(review)
            ids[0, start:end] = review
            if self.pad_id is None:
                positions[0, start:end] = np.arange(len(review))
            else:
                counted = review != self.pad_id
                positions[0, start:end] = np.where(counted, np.cumsum(counted), 0) + self.pad_id
            start = end
        return self.embed(torch.from_numpy(ids), torch.from_numpy(positions))[0]


def parts(model: Any) -> Parts | None:
    """The parts of a transformers classifier, or None unless its architecture has blocks of BERT's or DistilBERT's form."""
    config, row = model.config, ARCHITECTURES.get(model.config.model_type)
    if row is None or not row.blocks or row.reads != "first":
        return None
    body = getattr(model, model.base_model_prefix, None)
    activation = getattr(config, "activation" if row.blocks == "distilbert" else "hidden_act", "")
    if body is None or activation not in ACTIVATIONS or getattr(config, "is_decoder", False):
        return None

    blocks = body.transformer.layer if row.blocks == "distilbert" else body.encoder.layer
    pooled = any(layer.name.startswith(f"{row.prefix}.") for layer in row.head)

    def head(first: torch.Tensor) -> torch.Tensor:
        if row.blocks == "distilbert":
            states = model.dropout(functional.relu(model.pre_classifier(first)))
        else:
            states = model.dropout(body.pooler(first[:, None])) if pooled else first[:, None]
        return model.classifier(states)  # type: ignore[no-any-return]

    def embed(ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        states = body.embeddings(input_ids=ids, position_ids=positions)
        return body.embeddings_project(states) if hasattr(body, "embeddings_project") else states  # type: ignore[no-any-return]

    return Parts(
        embed=embed,
        layers=[Layer(*attrgetter(*LAYER_PATHS[row.blocks])(block)) for block in blocks],
        head=head,
        heads=config.num_attention_heads,
        activation=ACTIVATIONS[activation],
        activate=ACT2FN[activation],
        pad_id=body.embeddings.padding_idx if row.after_pad_token else None,
    )
