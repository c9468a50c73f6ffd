"""Adapters that no training made: for claims about files, training would only take time."""

import json
import re

from lorasent.adapter import writing
from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.encoding import Encoder
from lorasent.files import sha256
from lorasent.recipe.recipe import Recipe
from tests.support.bases import LABELS, edit_json


def rehash(path):
    """Makes the manifest agree with the files, as a faulty exporter's would."""
    manifest = json.loads((path / "lorasent.json").read_text())
    edit_json(path / "lorasent.json", files={name: sha256(path / name) for name in manifest["files"]})


def recipe_of(model, revision=None, labels=LABELS):
    """The recipe of an adapter of every linear layer."""
    tables = {
        "base": {"model": str(model), "labels": labels} | ({"revision": revision} if revision else {}),
        "data": {"train": "embedded:train", "validation": "embedded:validation"},
        "encoding": {"max_length": 64},
        "lora": {"r": 2, "alpha": 4, "target_modules": ["all-linear"]},
        "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3},
    }
    return Recipe.parse(tables, "test")


def write_untrained(path, model, revision=None, labels=LABELS, training=None):
    """Writes an adapter with a random head and B = 0, for claims about files: training would only take time."""
    recipe, base = recipe_of(model, revision, labels), find(str(model), revision)
    encoder = Encoder(base.path, recipe.encoding)
    writing.write(path, build(base, recipe.base, recipe.lora, encoder), encoder, base, recipe, training or {})
    return path


def exactly(message):
    """A pattern for the whole of a message."""
    return f"^{re.escape(message)}$"
