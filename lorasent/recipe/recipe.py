"""The recipe: everything that determines a training run, as a validated TOML file.

A recipe is read once, checked whole, and never changes afterwards. `fingerprint` is the sha256 of its canonical JSON: two
runs with the same fingerprint were asked to do the same thing.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lorasent import files
from lorasent.errors import RecipeError
from lorasent.recipe import settings
from lorasent.recipe.settings import Section
from lorasent.text import decode, shown

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Base(Section):
    """The frozen encoder, and the labels that the head on top of it tells apart (id = position)."""

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=2, strict=False)]
    dropout: Fraction | None = None
    """Probability of every dropout of the base (hidden states and attention); absent = what the base's configuration says."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len({label.casefold() for label in labels}) < len(labels):
            raise ValueError("labels must differ, whatever their case")
        if any(label.isdigit() for label in labels):
            raise ValueError("labels must be names: a number in the data is the id of a label")
        return labels


class Data(Section):
    """Where the labelled reviews come from; `sample` reviews of each split, balanced over the labels."""

    train: str
    validation: str
    sample: Annotated[int, Field(ge=2)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sample, apart from training's: retraining with another seed must see the same reviews."""
    text_column: str | None = None
    label_column: str | None = None
    skip_empty: bool | None = None
    """Whether reviews without a text are left out; else they are an error."""

    @field_validator("skip_empty")
    @classmethod
    def _off_is_absent(cls, asked: bool | None) -> bool | None:
        return asked or None


class Encoding(Section):
    """How a review becomes token ids."""

    max_length: Annotated[int, Field(ge=4)] = 512
    truncation_side: Literal["left", "right"] = "left"
    add_prefix_space: bool = True


class Lora(Section):
    """Low-rank adaptation, as PEFT's LoraConfig names it."""

    r: Annotated[int, Field(ge=1)]
    alpha: Annotated[int, Field(ge=1)]
    dropout: Fraction = 0.0
    target_modules: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """Module names; "query" means the query projection whatever the architecture calls it (with key and
    value where they are one layer: ModernBERT, GPT-2), "all-linear" every linear layer."""
    use_rslora: bool | None = None
    """Rank-stabilised: scaled by alpha / sqrt(r) instead of alpha / r (Kalajdzievski 2023)."""
    use_dora: bool | None = None
    """Weights in directions, which LoRA moves, and magnitudes, which are trained beside it (Liu et al. 2024)."""
    lora_plus_ratio: Annotated[float, Field(ge=1, le=1000)] | None = None
    """LoRA+: B's learning rate over A's, which is training.learning_rate (Hayou et al. 2024); absent = 1."""

    @field_validator("use_rslora", "use_dora")
    @classmethod
    def _off_is_absent(cls, asked: bool | None) -> bool | None:
        return asked or None


class Training(Section):
    """AdamW, a learning rate that decays after `warmup` (a fraction of the steps), gradients clipped to norm 1."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Fraction = 0.0
    schedule: Literal["linear", "cosine", "constant"] | None = None
    """How the learning rate goes on after the warmup: down to 0 along a line or half a cosine, or as it is. Absent = linear."""
    label_smoothing: Fraction = 0.0
    """Share of each label's weight that is spread over all labels, in the training loss only."""
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs without an improvement after which training stops; absent = off."""
    early_stopping_min_improvement: Annotated[float, Field(ge=0)] | None = None
    """Nats; an epoch is an improvement if it lowers the lowest validation loss so far by more than this. Absent = 0."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay, a step, of a moving average of what is trained: it is what is evaluated and kept. Absent = the weights as they are."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @field_validator("schedule")
    @classmethod
    def _linear_is_absent(cls, asked: str | None) -> str | None:
        return None if asked == "linear" else asked

    @field_validator("early_stopping_min_improvement")
    @classmethod
    def _of_early_stopping(cls, least: float | None, so_far: ValidationInfo) -> float | None:
        if least is not None and so_far.data.get("early_stopping_patience", 0) is None:
            raise ValueError("absent, or stand beside early_stopping_patience: without it nothing stops early")
        return least


class Augmentation(Section):
    """How training reviews are changed without changing their labels; `augmentation` has the ways. A way at 0 is off.

    In each epoch a training review is changed with probability `share`, in all ways that are on, drawn anew from the run's seed.
    """

    share: Share = 0.5
    window: Annotated[int, Field(ge=0)] = 0
    """Of reviews longer than so many words the ending is kept, at least so many, from the beginning of a sentence on."""
    sentence_dropout: Share = 0.0
    """Probability that a sentence goes which takes no side and is not of the ending."""
    synonyms: Share = 0.0
    """Probability that a word gives its place to a synonym, if it has one and is not denied."""
    typos: Share = 0.0
    """Probability that a word is mistyped."""
    markup: Share = 0.0
    """Probability that the space after a sentence becomes HTML's line breaks."""

    @model_validator(mode="after")
    def _some_way(self) -> "Augmentation":
        ways = [name for name in type(self).model_fields if name != "share"]
        if not any(getattr(self, name) for name in ways):
            raise ValueError(f"a table in which a way is on: {', '.join(ways)}")
        return self


class Recipe(Section):
    """The whole recipe. Read one with `Recipe.read`. Without a table `augmentation` reviews are trained on as they are."""

    base: Base
    data: Data
    encoding: Encoding = Encoding()
    lora: Lora
    training: Training
    augmentation: Augmentation | None = None

    @classmethod
    def read(
        cls, name: str | Path = "embedded", overrides: Iterable[str] = (), values: Mapping[str, Any] | None = None
    ) -> "Recipe":
        """Reads a shipped recipe by name, or a TOML file by path.

        `values` replace keys ("table.key": value; None removes the key), then `overrides` ("table.key=value", the value in
        TOML) do, in order. Raises RecipeError with the file, the key, what was found and what is allowed.
        """
        files.path_of(name, "a shipped recipe's name or the path of a TOML file", RecipeError)
        overrides = [overrides] if isinstance(overrides, str) or not isinstance(overrides, Iterable) else list(overrides)
        if strangers := [one for one in overrides if not isinstance(one, str)]:
            raise RecipeError(f"overrides: expected texts, TABLE.KEY=VALUE, found {shown(strangers[0])}")
        origin, text = _locate(name)
        try:
            tables: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{origin}: not valid TOML: {error}") from None
        for key, value in (values or {}).items():
            table, _, field = key.partition(".")
            section = tables.setdefault(table, {})
            if not isinstance(section, dict):
                break  # `parse` says what is wrong
            section[field] = value
            if value is None:
                del section[field]
        for override in overrides:
            _override(tables, override)
        return cls.parse(tables, origin)

    @classmethod
    def parse(cls, tables: dict[str, Any], origin: str) -> "Recipe":
        """Validates a parsed recipe; `origin` names it in errors."""
        return settings.parse(cls, tables, origin, RecipeError)

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON tables, keys that are absent left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def shipped() -> list[str]:
    """The names of the recipes that come with lorasent."""
    folder = resources.files("lorasent") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def _locate(name: str | Path) -> tuple[str, str]:
    if str(name) in shipped():
        return f"recipe {name}", decode((resources.files("lorasent") / "recipes" / f"{name}.toml").read_bytes())
    path = Path(name)
    if not path.is_file():
        raise RecipeError(f"{name}: no such recipe: give the path of a TOML file or one of {', '.join(shipped())}")
    try:
        return str(path), decode(path.read_bytes())
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: a recipe is UTF-8 text, found byte {error.object[error.start]:#04x} at {error.start}") from None


def _override(tables: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    table, dot, name = key.strip().partition(".")
    if not (equals and dot and name):
        raise RecipeError(f"--set {override}: expected TABLE.KEY=VALUE, as in lora.r=8")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    section = tables.setdefault(table, {})
    if not isinstance(section, dict):
        raise RecipeError(f"--set {override}: {table} is not a table")
    section[name] = parsed
