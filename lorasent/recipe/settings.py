"""Settings as people write them: TOML tables whose every key and value is checked, with errors that say what is allowed."""

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from lorasent.errors import LorasentError
from lorasent.text import shown


class Section(BaseModel):
    """A table: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Settings = TypeVar("Settings", bound=Section)


def parse(kind: type[Settings], tables: dict[str, Any], origin: str, failure: type[LorasentError]) -> Settings:
    """Validates parsed TOML as `kind`. Raises `failure` with the origin, the key, what was found and what is allowed."""
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        raise failure("; ".join(_explain(kind, problem, origin) for problem in error.errors()[:3])) from None


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table that a key is annotated with, which may be optional; None where it is no table."""
    kinds = (one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel))
    return next(kinds, None)


def _explain(kind: type[BaseModel], problem: Any, origin: str) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        owner = kind
        for part in path[:-1]:
            owner = table_of(owner.model_fields[part].annotation) or owner
        return f"{origin}: unknown key {key}; allowed here: {', '.join(owner.model_fields)}"
    if problem["type"] == "missing":
        return f"{origin}: required key {key} is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = problem["input"]
    told = f"'{shown(found)}'" if isinstance(found, str) else shown(found)
    return f"{origin}: {key} = {told}: should be {message}"
