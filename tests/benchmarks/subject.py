"""What every peer answers with and is asked: an adapter of DistilBERT's shape, real reviews, and the operations they need."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import DistilBertConfig, PreTrainedConfig

from lorasent.adapter import writing
from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import Reviews, read
from lorasent.recipe.recipe import Recipe
from tests.support.patterned import fill, make_patterned

LABELS = ("Negative", "Positive")


@dataclass(frozen=True)
class Subject:
    """An adapter on disk, its base, the merged model as transformers saves it, and the recipe they were made by."""

    adapter: Path
    base: Path
    merged: Path
    recipe: Recipe
    config: PreTrainedConfig


def make_subject(folder: Path, config: PreTrainedConfig | None = None, max_length: int = 512) -> Subject:
    """The reference notebook's model, by default in DistilBERT's full shape, with weights that a formula gives.

    They need not be trained for timing; they are such that real reviews get logits of a standard deviation near 0.2, not one
    answer, so that agreement means something.
    """
    config = config or DistilBertConfig()
    base = make_patterned(folder / "base", config, find("embedded").path)
    values = {"base.model": str(base), "base.revision": None, "encoding.max_length": max_length}
    recipe = Recipe.read("imdb-distilbert", values=values)
    encoder = Encoder(base, recipe.encoding)
    model = build(find(str(base)), recipe.base, recipe.lora, encoder)
    fill(model, trained=True)
    writing.write(folder / "adapter", model, encoder, find(str(base)), recipe, {})
    merged = model.eval().merge_and_unload()
    merged.save_pretrained(folder / "merged")
    encoder.save(folder / "merged")
    return Subject(folder / "adapter", base, folder / "merged", recipe, config)


def reviews(split: str, size: int, seed: int) -> Reviews:
    """Real IMDB reviews, `test` or `train`, out of the folder LORASENT_DATA, as many of each label, drawn by `seed`."""
    file = {"test": "imdb_test_5000.parquet", "train": "imdb_1000_train.parquet"}[split]
    return read(str(Path(os.environ["LORASENT_DATA"]) / file), LABELS).sample(size, seed, LABELS)


def operations(config: PreTrainedConfig, lengths: Sequence[int], *, first_row_only: bool = False) -> int:
    """Floating-point operations of matrix products that scoring reviews of these token counts needs, no padding among them.

    A layer multiplies each token with 12 h² weights (query, key, value, output: 4 h²; feed-forward: 8 h²) and each pair of
    tokens twice over h, a multiplication and an addition each: 24 h² L + 4 h L². The head multiplies one row with h² + labels h
    weights. The head reads the first token alone: with `first_row_only` the last layer makes keys and values of every token,
    4 h² L, and everything else of one row, which gives the same logits.
    """
    tokens = np.asarray(lengths, np.int64)
    h, layers, inner = config.dim, config.n_layers, config.hidden_dim
    layer = (8 * h * h + 4 * h * inner) * tokens + 4 * h * tokens**2
    head = 2 * (h * h + len(LABELS) * h)
    if first_row_only:
        last = 4 * h * h * tokens + 4 * h * tokens + 4 * h * h + 4 * h * inner
        return int((layer * (layers - 1) + last + head).sum())
    return int((layer * layers + head).sum())
