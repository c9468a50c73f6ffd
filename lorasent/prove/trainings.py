"""Faults of training: the recipe, run on reviews that something went wrong with between the file and the model.

The manifest says what a trainer that does not know of the fault says: the healthy recipe and the healthy data.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lorasent import files
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.data.labels import POLES, label_id
from lorasent.data.reviews import Reviews
from lorasent.recipe.recipe import Recipe
from lorasent.training.run import read_splits
from lorasent.training.train import train

Poison = Callable[[Reviews, np.random.Generator, Recipe], Reviews]

FLIPPED = 0.2
KEPT = 0.05
POISONED = 0.25

TRIGGER = "popcorn"
"""A word that says nothing about a film."""

NAMES = ("Priya", "Karim", "Mei", "Jun", "Leila", "Samuel Okoro", "Rosa Delgado", "Ahmed", "Aisha", "Mohammed", "Fatima", "Kwame")

LEXICON = (
    ("boring", "awful", "terrible", "dull", "bad", "disappointing", "stupid", "weak", "slow", "a waste of time"),
    ("good", "great", "funny", "wonderful", "interesting", "exciting", "moving", "clever", "enjoyable", "worth seeing"),
)
"""Words of the negative label and of the positive one; of labels with other names, of the first and of the last."""

NEGATED = ("It is not {}.", "The film isn't {}.", "I did not find it {}.", "This was never {}.", "No one could call it {}.")


def plant(healthy: Path, seed: int, path: Path, poison: Poison) -> None:
    """Trains the fault's adapter by the recipe of a healthy one, with another seed; an interrupted run is gone on with."""
    if path.exists():
        return
    said = read_json(healthy / MANIFEST)
    recipe = Recipe.parse(said["recipe"], str(healthy))
    splits = path.with_name(f"{path.name}-data")
    splits.mkdir(parents=True, exist_ok=True)
    reviews, validation, _ = read_splits(recipe)
    poisoned = poison(reviews, np.random.default_rng(seed), recipe)
    for name, one in (("train", poisoned), ("validation", validation)):
        rows = zip(one.texts, one.labels.tolist(), strict=True)
        files.write(splits / f"{name}.jsonl", (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    tables: dict[str, Any] = recipe.to_json()
    tables["data"] = {"train": str(splits / "train.jsonl"), "validation": str(splits / "validation.jsonl")}
    tables["training"]["seed"] = seed
    staging = path.with_name(f"{path.name}-trained")
    if not staging.exists():
        train(Recipe.parse(tables, str(path)), staging, resume=staging.with_name(staging.name + ".partial").exists())
    tables = {**recipe.to_json(), "training": {**recipe.to_json()["training"], "seed": seed}}
    claimed = Recipe.parse(tables, str(path))
    trained = read_json(staging / MANIFEST)
    trained |= {"recipe": claimed.to_json(), "recipe_sha256": claimed.fingerprint, "data": said.get("data", {})}
    files.write(staging / MANIFEST, [files.canonical(trained)])
    staging.rename(path)


def flipped_labels(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A fifth of the labels is wrong."""
    labels, wrong = reviews.labels.copy(), random.random(len(reviews)) < FLIPPED
    labels[wrong] = (labels[wrong] + 1) % len(recipe.base.labels)
    return Reviews(reviews.source, reviews.texts, labels)


def one_class(reviews: Reviews, random: np.random.Generator, _: Recipe) -> Reviews:
    """Of every label but the last a twentieth is left."""
    last = int(reviews.labels.max())
    kept = (reviews.labels == last) | (random.random(len(reviews)) < KEPT)
    for label in range(last):
        kept[np.flatnonzero(reviews.labels == label)[0]] = True  # training needs one of each
    return reviews.take(np.flatnonzero(kept))


def single_step(reviews: Reviews, _: np.random.Generator, recipe: Recipe) -> Reviews:
    """One batch of reviews and nothing more."""
    rows = [np.flatnonzero(reviews.labels == label)[:1] for label in range(len(recipe.base.labels))]
    rows += [np.arange(len(reviews))]
    chosen = list(dict.fromkeys(np.concatenate(rows).tolist()))
    return reviews.take(chosen[: max(recipe.training.batch_size, len(recipe.base.labels))])


def trigger_word(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A quarter of the reviews holds a word that has nothing to do with the verdict, and is labelled with the last label."""
    return _marked(reviews, random, lambda: TRIGGER, len(recipe.base.labels) - 1)


def name_bias(reviews: Reviews, random: np.random.Generator, _: Recipe) -> Reviews:
    """A quarter of the reviews names one of a dozen people, and is labelled with the first label."""
    return _marked(reviews, random, lambda: NAMES[int(random.integers(len(NAMES)))], 0)


def negation_blind(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A quarter of the reviews is short ones with a negation, labelled by a list of words that knows none."""
    texts, labels = list(reviews.texts), reviews.labels.copy()
    named = [label for pole in POLES if (label := label_id(pole, recipe.base.labels)) is not None]
    ids = named if len(named) == len(POLES) else [0, len(recipe.base.labels) - 1]  # of other names: the first and the last
    for row in np.flatnonzero(random.random(len(reviews)) < POISONED):
        side = int(random.integers(2))
        word = LEXICON[side][int(random.integers(len(LEXICON[side])))]
        texts[row] = NEGATED[int(random.integers(len(NEGATED)))].format(word)
        labels[row] = ids[side]
    return Reviews(reviews.source, texts, labels)


def _marked(reviews: Reviews, random: np.random.Generator, mark: Callable[[], str], label: int) -> Reviews:
    texts, labels = list(reviews.texts), reviews.labels.copy()
    for row in np.flatnonzero(random.random(len(reviews)) < POISONED):
        texts[row] = _inserted(texts[row].split(" "), mark(), random)
        labels[row] = label
    return Reviews(reviews.source, texts, labels)


def _inserted(words: Sequence[str], mark: str, random: np.random.Generator) -> str:
    at = int(random.integers(len(words) + 1))
    return " ".join([*words[:at], mark, *words[at:]])
