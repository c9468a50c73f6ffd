"""A manifest as training writes it, of a made-up adapter, for tests that need no files."""

from lorasent.adapter.manifest import CompleteManifest
from lorasent.recipe.recipe import Recipe

TABLES = {
    "base": {"model": "films/base", "labels": ["Negative", "Positive"]},
    "data": {"train": "train.csv", "validation": "validation.csv"},
    "encoding": {"max_length": 64},
    "lora": {"r": 2, "alpha": 4, "dropout": 0.1, "target_modules": ["query"]},
    "training": {"epochs": 3, "batch_size": 4, "learning_rate": 0.01},
}


def recipe(**changes):
    """A recipe with keys "table__key" changed."""
    tables = {table: dict(keys) for table, keys in TABLES.items()}
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables[table][name] = value
    return Recipe.parse(tables, "test")


def split(source="train.csv", sha256="a" * 64, reviews=24):
    """A split of the training run as a manifest records it."""
    return {"source": source, "sha256": sha256, "reviews": reviews}


def manifest(*, encoding=None, **keys):
    """A manifest with keys, or the recipe's table `encoding`, changed; each label has a logit for the one probe."""
    content = {
        "schema_version": 1,
        "recipe": TABLES if encoding is None else {**TABLES, "encoding": encoding},
        "recipe_sha256": "",
        "base": {"name": "films/base", "sha256": "b" * 64, "revision": "main"},
        "labels": ["Negative", "Positive"],
        "tokenizer_sha256": "c" * 64,
        "files": {},
        "parameters": {"total": 1000, "trainable": 26},
        "data": {"train": split(), "validation": split("validation.csv")},
        **keys,
    }
    content.setdefault("probes", {"texts": ["a film"], "logits": [[0.0] * len(content["labels"])]})
    return CompleteManifest.parse(content, "test")


def adopted(peft, **keys):
    """The manifest of an adapter that another script trained, with PEFT's configuration `peft`, and keys changed."""
    content = {key: value for key, value in manifest().content.items() if key not in ("recipe", "recipe_sha256", "data")}
    encoding = {"max_length": 64, "truncation_side": "right", "pad_token_id": 0}
    return CompleteManifest.parse({**content, "origin": "adopted", "peft": peft, "encoding": encoding, **keys}, "test")
