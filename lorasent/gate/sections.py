"""Tables of a policy that belong to no family of checks, and what all tables share."""

import os
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from lorasent.data.memory import MEMORY
from lorasent.data.reviews import ReviewsLike
from lorasent.recipe import settings
from lorasent.recipe.recipe import Recipe

FREE_KEYS = ("base.revision", "base.labels", "training.seed")
"""Recipe keys that may_change cannot list: the base is compared by hash, labels must be equal, and a seed may always differ."""

PEFT_KEYS = (
    "bias", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "exclude_modules", "modules_to_save",
    "init_lora_weights", "lora_bias", "trainable_token_indices", "dtype",
)  # fmt: skip
"""Keys of LoRA that only adapters of other scripts have. "dtype" is the type of the saved weights."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""An allowed loss, as a share. Below 1: a candidate that may lose everything could never be blocked."""


class Section(settings.Table):
    """A table of a policy. Infinite and NaN limits are errors."""

    model_config = ConfigDict(allow_inf_nan=False)


class Data(Section):
    """The labelled reviews that candidate and baselines answer."""

    test: str
    """Source of the reviews."""
    sample: Annotated[int, Field(ge=2)] | None = None
    """Number of reviews to draw, balanced over the labels; absent: all."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sample."""
    text_column: str | None = None
    """Name of the column of texts; absent: `text`, `review` or `sentence`."""
    label_column: str | None = None
    """Name of the column of labels; absent: `label` or `sentiment`."""
    skip_empty: bool = False
    """Whether reviews without text are left out. Otherwise they are an error."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Number format in which reviews are answered."""
    _in_memory: Any = PrivateAttr(None)

    @property
    def reviews(self) -> ReviewsLike:
        """The reviews in memory that `on` gave, or the source `test`."""
        return self.test if self._in_memory is None else self._in_memory

    def on(self, reviews: ReviewsLike) -> "Data":
        """This table with other reviews: a source, or reviews in memory."""
        source, in_memory = (os.fspath(reviews), None) if isinstance(reviews, str | os.PathLike) else (MEMORY, reviews)
        table = self.model_copy(update={"test": source})
        table._in_memory = in_memory  # noqa: SLF001 - of its own class
        return table


class Integrity(Section):
    """What is required of the candidate's files. These checks always run, with these defaults if the table is absent."""

    trainable_parameters: Literal["recipe"] | Annotated[int | float, Field(gt=0)] = "recipe"
    """The count that the candidate's recipe implies, or a number, or a fraction below 1 of all parameters."""
    may_change: tuple[str, ...] = Field(default=(), strict=False)
    """Allowed differences from the baseline: keys of the recipe ("lora.r") or whole tables ("lora")."""
    truncation_side: Literal["left", "right"] | None = None
    """The side on which texts must be cut; absent: the baseline's."""
    manifest: Literal["required", "optional"] = "optional"
    """Whether adapters that nobody sealed in the trainer's memory are refused."""

    @field_validator("trainable_parameters")
    @classmethod
    def _is_count_or_fraction(cls, required: str | float) -> str | float:
        if isinstance(required, float) and required >= 1 and not required.is_integer():
            raise ValueError("a whole number of parameters, or a fraction of them below 1")
        return required

    @field_validator("may_change")
    @classmethod
    def _are_recipe_keys(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        keys = {
            table: [key for key in keys_of.model_fields if f"{table}.{key}" not in FREE_KEYS]
            for table, field in Recipe.model_fields.items()
            if (keys_of := settings.table_of(field.annotation))
        }
        keys["encoding"].append("tokenizer")
        keys["lora"] += PEFT_KEYS
        known = {*keys, *(f"{table}.{key}" for table in keys for key in keys[table])}
        if unknown := [entry for entry in entries if entry not in known]:
            tables = "; ".join(f"{table}: {', '.join(keys[table])}" for table in keys)
            raise ValueError(f'"lora", "lora.r" and the like, not {", ".join(unknown)}. Tables and keys that may change: {tables}')
        return entries


class VerdictSettings(Section):
    """How strict the verdict is, and how pytest shows an INCONCLUSIVE check. `lorasent gate` exits 3 for it in any case."""

    on_inconclusive: Literal["fail", "warn"] = "fail"
    """How pytest shows an INCONCLUSIVE check: it fails, or warns."""
    alpha: Annotated[float, Field(ge=0.001, lt=0.5)] = 0.05
    """Familywise error rate of all checks, and level of each non-inferiority test. Near 0, some checks would never block."""
