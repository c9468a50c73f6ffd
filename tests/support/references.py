"""The texts and adapters of the goldens of predictions, and how each is made again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import DistilBertConfig, set_seed

from lorasent.adapter import classifier, directory, writing
from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.metrics import probabilities
from lorasent.recipe.recipe import Recipe
from tests.support.patterned import fill, make_patterned

FOLDER = Path(__file__).parents[2] / "golden"
REFERENCE = FOLDER / "reference-adapter"
LABELS = ("Negative", "Positive")

SCHEDULE = [f"training.{one}" for one in ("learning_rate=0.03", "warmup=0.2", "weight_decay=0.1", "label_smoothing=0.1")]
"""Overrides of the small recipe for the golden of a small training."""

COMMAND = "lorasent train embedded --out golden/reference-adapter"


def embedded_texts() -> list[str]:
    """Returns 200 embedded test reviews: every other one, so that some are long or hard."""
    return read("embedded:test", LABELS).texts[::2]


def patterned_texts() -> list[str]:
    """Returns the four sample reviews and one that is truncated on the left."""
    texts = read("embedded:test", LABELS).texts
    longest = max(texts, key=len)
    return [*directory.SAMPLE_REVIEWS, longest]


def rows(texts: Sequence[str], logits: np.ndarray) -> list[dict]:
    """Returns the rows of a golden of predictions."""
    chosen = probabilities(logits).argmax(axis=1)
    return [
        {"text": text, "label": LABELS[label], "logits": [round(float(value), 6) for value in row]}
        for text, label, row in zip(texts, chosen, logits, strict=True)
    ]


def make_untrained(path: Path) -> Path:
    """Writes the embedded recipe's untrained model as an adapter."""
    recipe, base = Recipe.read(), find("embedded")
    encoder = Encoder(base.path, recipe.encoding)
    set_seed(recipe.training.seed)
    writing.write(path, classifier.build(base, recipe.base, recipe.lora, encoder), encoder, base, recipe, {})
    return path


def make_patterned_adapters(path: Path, config: DistilBertConfig, max_length: int) -> dict[str, Path]:
    """Writes `base` and the reference recipe's adapters `untrained` (LoRA's B is zero) and `trained`, all patterned."""
    base = find(str(make_patterned(path / "base", config, find("embedded").path)))
    recipe = Recipe.read(
        "imdb-distilbert", [f"encoding.max_length={max_length}"], {"base.model": str(base.path), "base.revision": None}
    )
    encoder = Encoder(base.path, recipe.encoding)
    made = {"base": base.path}
    for name in ("untrained", "trained"):
        model = classifier.build(base, recipe.base, recipe.lora, encoder)
        fill(model, trained=name == "trained")
        writing.write(path / name, model, encoder, base, recipe, {})
        made[name] = path / name
    return made
