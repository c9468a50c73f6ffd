"""The recipe: everything that determines a training run, as a validated TOML file.

A recipe is immutable. `fingerprint` is the sha256 of its canonical JSON: runs with the same fingerprint had the same settings.
A key that is absent is not in the JSON, so a new optional key changes no fingerprint.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from lorasent import files
from lorasent.errors import RecipeError
from lorasent.recipe import settings
from lorasent.recipe.settings import Table
from lorasent.text import decode, shown

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Flag = Annotated[bool | None, AfterValidator(lambda on: on or None)]
"""A setting that is on or absent: off becomes absent."""

VARIANTS = ("use_rslora", "use_dora")
"""Keys of `Lora` that switch a variant of LoRA on, each named as PEFT's option."""


class Base(Table):
    """The frozen encoder, and the labels that the head on top of it distinguishes (id = position)."""

    model: Annotated[str, Field(min_length=1)]
    """The base: a name on the hub, a directory, or `embedded`."""
    revision: Annotated[str, Field(min_length=1)] | None = None
    """The commit, tag or branch of a base on the hub; absent = the newest. The manifest records the hash of what was used."""
    labels: Annotated[tuple[str, ...], Field(min_length=2, strict=False)]
    """Names of the labels; a label's place is its id."""
    dropout: Fraction | None = None
    """Probability of every dropout of the base (hidden states and attention); absent = as in the base's configuration."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len({label.casefold() for label in labels}) < len(labels):
            raise ValueError("labels must differ in more than case")
        if any(label.isdigit() for label in labels):
            raise ValueError(
                "names, because a number in the data is the id of a label: "
                'write "1 star", "2 stars" for 1, 2, and the same in the data, or ids from 0'
            )
        return labels


class Data(Table):
    """Where the labelled reviews come from. `sample` reviews of each split are used, balanced over the labels; absent = all."""

    train: str
    """Source of the training reviews."""
    validation: str
    """Source of the reviews that choose the best epoch."""
    sample: Annotated[int, Field(ge=2)] | None = None
    """Number of reviews to draw from each split, balanced over the labels; absent = all."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sample. It differs from training's seed, so that retrains with other seeds see the same reviews."""
    text_column: str | None = None
    """Name of the column of texts; absent = `text`, `review` or `sentence`."""
    label_column: str | None = None
    """Name of the column of labels; absent = `label` or `sentiment`."""
    skip_empty: Flag = None
    """Whether reviews without a text are left out; otherwise they are an error."""


class Encoding(Table):
    """How a review becomes token ids."""

    max_length: Annotated[int, Field(ge=4)] = 512
    """Largest number of tokens, special tokens included; the rest of a longer review is cut."""
    truncation_side: Literal["left", "right"] = "left"
    """The side that is cut. A review gives its verdict at its end, so the beginning is."""
    add_prefix_space: bool = True
    """Whether byte-level tokenizers, as RoBERTa's, read the first word as one within a text. WordPiece ignores it."""


class Lora(Table):
    """Low-rank adaptation, as PEFT's LoraConfig names it."""

    r: Annotated[int, Field(ge=1)]
    """Rank of LoRA's matrices."""
    alpha: Annotated[int, Field(ge=1)]
    """LoRA's change is multiplied by alpha / r."""
    dropout: Fraction = 0.0
    """Probability of dropout before LoRA's first matrix, in training."""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """Module names. "query" is any architecture's query projection (in ModernBERT and GPT-2 with key and value, one layer),
    "all-linear" every linear layer."""
    use_rslora: Flag = None
    """Rank-stabilised LoRA: scaled by alpha / sqrt(r) instead of alpha / r (Kalajdzievski 2023)."""
    use_dora: Flag = None
    """DoRA: LoRA changes the direction of each weight, and its magnitude is trained separately (Liu et al. 2024)."""
    lora_plus_ratio: Annotated[float, Field(ge=1, le=1000)] | None = None
    """LoRA+: ratio of B's learning rate to A's, which is training.learning_rate (Hayou et al. 2024); absent = 1."""

    @property
    def variants(self) -> dict[str, bool]:
        """PEFT's options of the variants, on or off."""
        return {option: bool(getattr(self, option)) for option in VARIANTS}

    @property
    def method(self) -> str:
        """The name of the method, such as "rank-stabilised LoRA"."""
        return ("rank-stabilised " if self.use_rslora else "") + ("DoRA" if self.use_dora else "LoRA")


class Training(Table):
    """AdamW; the learning rate rises during `warmup` (a fraction of the steps), then decays; gradients are clipped to norm 1."""

    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training reviews; the one with the lowest validation loss is kept."""
    batch_size: Annotated[int, Field(ge=1)]
    """Reviews in a step."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    """Largest learning rate, which the warmup ends with."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decay of weights."""
    warmup: Fraction = 0.0
    """Share of the steps in which the learning rate rises from 0."""
    schedule: Annotated[
        Literal["linear", "cosine", "constant"] | None, AfterValidator(lambda name: None if name == "linear" else name)
    ] = None
    """The learning rate after the warmup: it decays to 0 linearly or as half a cosine, or is constant. Absent = linear."""
    label_smoothing: Fraction = 0.0
    """Share of each label's weight that is spread over all labels, in the training loss alone."""
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs without an improvement after which training stops; absent = off."""
    early_stopping_min_improvement: Annotated[float, Field(ge=0)] | None = None
    """Nats by which an epoch must lower the lowest validation loss so far to count as an improvement. Absent = 0."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay per step of the weights' moving average, which is evaluated and kept in place of the weights. Absent = no average."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Number format of the products; `auto` is bf16 where the machine multiplies it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the run: the head, the order of reviews, dropout, augmentation."""

    @field_validator("early_stopping_min_improvement")
    @classmethod
    def _needs_patience(cls, improvement: float | None, validated: ValidationInfo) -> float | None:
        if improvement is not None and validated.data.get("early_stopping_patience", 0) is None:
            raise ValueError("absent, or used with early_stopping_patience: without patience nothing stops early")
        return improvement


class Augmentation(Table):
    """How training reviews are changed without changing their labels: `augmentation.ways` has the ways. A way at 0 is off.

    In each epoch each training review is changed with probability `share`, in all ways that are on, drawn anew from the run's seed.
    """

    share: Probability = 0.5
    """Probability that a training review is changed, in each epoch."""
    window: Annotated[int, Field(ge=0)] = 0
    """Number of words. A longer review keeps only its ending: at least this many, from the beginning of a sentence."""
    sentence_dropout: Probability = 0.0
    """Probability that a sentence is dropped, if it has no opinion and is not part of the ending."""
    synonyms: Probability = 0.0
    """Probability that a word is replaced by a synonym, if it has one and is not negated."""
    typos: Probability = 0.0
    """Probability that a word is mistyped."""
    markup: Probability = 0.0
    """Probability that the space after a sentence becomes HTML line breaks."""
    language: Literal["en"] | None = None
    """"en" uses the ways that know English words only, whatever the reviews are. Absent: not on reviews of another language."""

    @model_validator(mode="after")
    def _some_way(self) -> "Augmentation":
        ways = [name for name in type(self).model_fields if name not in ("share", "language")]
        if not any(getattr(self, name) for name in ways):
            raise ValueError(f"a table that turns a way on: {', '.join(ways)}")
        return self


class Recipe(Table):
    """The whole recipe. `Recipe.read` reads one. Without the table `augmentation`, training reviews are not changed."""

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
        """The recipe of a shipped name or of a TOML file's path, in which `values` ("table.key": value; None removes the key), and
        then `overrides` ("table.key=value", the value in TOML), replace keys in order. Raises RecipeError.
        """
        files.path_of(name, "a shipped recipe's name or the path of a TOML file", RecipeError)
        overrides = [overrides] if isinstance(overrides, str) or not isinstance(overrides, Iterable) else overrides
        origin, text = _locate(name)
        try:
            tables: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{origin}: not valid TOML: {error}") from None
        for key, value in [*(values or {}).items(), *map(_override, overrides)]:
            name, _, field = key.partition(".")
            table = tables.setdefault(name, {})
            if not isinstance(table, dict):
                raise RecipeError(f"{origin}: {name} is not a table")
            table[field] = value
            if value is None:
                del table[field]
        return cls.parse(tables, origin)

    @classmethod
    def parse(cls, tables: dict[str, Any], origin: str) -> "Recipe":
        """Validates a parsed recipe; `origin` names it in errors. Raises RecipeError."""
        return settings.parse(cls, tables, origin, RecipeError)

    def on_data(self, train: str, validation: str) -> "Recipe":
        """This recipe with other sources of reviews."""
        return self.model_copy(update={"data": self.data.model_copy(update={"train": train, "validation": validation})})

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON tables, without keys that are absent."""
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
    is_shipped = str(name) in shipped()
    file = resources.files("lorasent") / "recipes" / f"{name}.toml" if is_shipped else Path(name)
    if not file.is_file():
        raise RecipeError(f"{name}: no such recipe: give the path of a TOML file or one of {', '.join(shipped())}")
    try:
        return f"recipe {name}" if is_shipped else str(file), decode(file.read_bytes())
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: a recipe is UTF-8 text, found byte {error.object[error.start]:#04x} at {error.start}") from None


def _override(override: str) -> tuple[str, Any]:
    """The key of TABLE.KEY=VALUE and its value; a value that is not TOML is a text."""
    if not isinstance(override, str):
        raise RecipeError(f"overrides: expected texts, TABLE.KEY=VALUE, found {shown(override)}")
    key, equals, value = override.partition("=")
    if not (equals and key.strip().partition(".")[2]):
        raise RecipeError(f"--set {override}: expected TABLE.KEY=VALUE, as in lora.r=8")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
