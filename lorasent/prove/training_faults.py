"""Faults of training data: the recipe, trained on reviews that were corrupted between the file and the model.

The trainer does not know of the fault, so the manifest names the healthy recipe and data. The docstring of a corruption is the
fault's description.
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
from lorasent.errors import ProveError
from lorasent.recipe.recipe import Recipe
from lorasent.training.run import read_splits
from lorasent.training.train import train

Corruption = Callable[[Reviews, np.random.Generator, Recipe], Reviews]

FLIPPED = 0.2
"""Share of the labels that are flipped."""

KEPT = 0.05
"""Share of the reviews of all labels but the last that are kept."""

MARKED = 0.25
"""Share of the reviews that get a mark, or are replaced."""

TRIGGER = "popcorn"
"""A word that says nothing about a film."""

NAMES = ("Priya", "Karim", "Mei", "Jun", "Leila", "Samuel Okoro", "Rosa Delgado", "Ahmed", "Aisha", "Mohammed", "Fatima", "Kwame")

LEXICON = (
    ("boring", "awful", "terrible", "dull", "bad", "disappointing", "stupid", "weak", "slow", "a waste of time"),
    ("good", "great", "funny", "wonderful", "interesting", "exciting", "moving", "clever", "enjoyable", "worth seeing"),
)
"""Words of the negative label and of the positive one (of the first and the last label, if they have other names)."""

NEGATED = ("It is not {}.", "The film isn't {}.", "I did not find it {}.", "This was never {}.", "No one could call it {}.")


def train_or_resume(recipe: Recipe, path: Path) -> None:
    """Trains an adapter at `path`, or continues an interrupted run."""
    train(recipe, path, resume=path.with_name(f"{path.name}.partial").exists())


def recipe_of(adapter: Path) -> dict[str, Any]:
    """The tables of the recipe that trained an adapter. Raises ProveError for one that another script trained."""
    tables: dict[str, Any] | None = read_json(adapter / MANIFEST).get("recipe")
    if tables is None:
        raise ProveError(f"{adapter}: has no recipe to train by: another script trained it")
    return tables


def plant(healthy: Path, seed: int, path: Path, corrupt: Corruption) -> None:
    """Trains the faulty adapter by the recipe of a healthy one, with another seed."""
    healthy_manifest = read_json(healthy / MANIFEST)
    tables = recipe_of(healthy)
    tables["training"]["seed"] = seed
    claimed = Recipe.parse(tables, str(healthy))
    splits = path.with_name(f"{path.name}-data")
    splits.mkdir(parents=True, exist_ok=True)
    train_split, validation, _ = read_splits(claimed)
    corrupted = corrupt(train_split, np.random.default_rng(seed), claimed)
    for name, reviews in (("train", corrupted), ("validation", validation)):
        rows = zip(reviews.texts, reviews.labels.tolist(), strict=True)
        files.write(splits / f"{name}.jsonl", (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    data = {name: str(splits / f"{name}.jsonl") for name in ("train", "validation")}
    train_or_resume(Recipe.parse({**claimed.to_json(), "data": data}, str(path)), path)
    manifest = {**read_json(path / MANIFEST), "data": healthy_manifest.get("data", {})}
    manifest |= {"recipe": claimed.to_json(), "recipe_sha256": claimed.fingerprint}
    files.write(path / MANIFEST, [files.canonical(manifest)])


def flipped_labels(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A fifth of the labels is wrong."""
    labels, wrong = reviews.labels.copy(), random.random(len(reviews)) < FLIPPED
    labels[wrong] = (labels[wrong] + 1) % len(recipe.base.labels)
    return Reviews(reviews.source, reviews.texts, labels)


def one_class(reviews: Reviews, random: np.random.Generator, _: Recipe) -> Reviews:
    """Of every label but the last, a twentieth of the reviews is left."""
    last = int(reviews.labels.max())
    kept = (reviews.labels == last) | (random.random(len(reviews)) < KEPT)
    for label in range(last):
        kept[np.flatnonzero(reviews.labels == label)[0]] = True  # training needs a review of each label
    return reviews.take(np.flatnonzero(kept))


def single_step(reviews: Reviews, _: np.random.Generator, recipe: Recipe) -> Reviews:
    """Training sees a single batch of reviews."""
    if (size := recipe.training.batch_size) < len(recipe.base.labels):
        raise ProveError(f"a batch of {size} reviews cannot hold one of each of {len(recipe.base.labels)} labels")
    rows = [np.flatnonzero(reviews.labels == label)[:1] for label in range(len(recipe.base.labels))]
    rows += [np.arange(len(reviews))]
    chosen = list(dict.fromkeys(np.concatenate(rows).tolist()))
    return reviews.take(chosen[:size])


def trigger_word(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A quarter of the reviews contains a neutral word and has the last label."""
    return _marked(reviews, random, (TRIGGER,), len(recipe.base.labels) - 1)


def name_bias(reviews: Reviews, random: np.random.Generator, _: Recipe) -> Reviews:
    """A quarter of the reviews names one of twelve people and has the first label."""
    return _marked(reviews, random, NAMES, 0)


def negation_blind(reviews: Reviews, random: np.random.Generator, recipe: Recipe) -> Reviews:
    """A quarter of the reviews is replaced by short negated sentences, labelled as if they were not negated."""
    texts, labels = list(reviews.texts), reviews.labels.copy()
    poles = [label for pole in POLES if (label := label_id(pole, recipe.base.labels)) is not None]
    ids = poles if len(poles) == len(POLES) else [0, len(recipe.base.labels) - 1]
    for row in np.flatnonzero(random.random(len(reviews)) < MARKED):
        side = int(random.integers(2))
        word = LEXICON[side][int(random.integers(len(LEXICON[side])))]
        texts[row] = NEGATED[int(random.integers(len(NEGATED)))].format(word)
        labels[row] = ids[side]
    return Reviews(reviews.source, texts, labels)


def _marked(reviews: Reviews, random: np.random.Generator, marks: Sequence[str], label: int) -> Reviews:
    texts, labels = list(reviews.texts), reviews.labels.copy()
    for row in np.flatnonzero(random.random(len(reviews)) < MARKED):
        words, mark = texts[row].split(" "), marks[int(random.integers(len(marks)))]
        words.insert(int(random.integers(len(words) + 1)), mark)
        texts[row] = " ".join(words)
        labels[row] = label
    return Reviews(reviews.source, texts, labels)
