"""Settings in TOML or JSON: every key and value is validated, and errors say what is allowed."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from lorasent.errors import LorasentError
from lorasent.text import shown


class Table(BaseModel):
    """A table of settings: immutable; unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Tables = TypeVar("Tables", bound=BaseModel)


def parse(kind: type[Tables], tables: Mapping[str, Any], origin: str, failure: type[LorasentError]) -> Tables:
    """Validates parsed TOML or JSON as `kind`. Raises `failure` with the origin, the key, what was found and what is allowed."""
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        raise failure("; ".join(_explain(kind, problem, origin) for problem in error.errors()[:3])) from None


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table in a key's annotation, which may be optional; None if there is none."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _explain(kind: type[BaseModel], problem: Any, origin: str) -> str:
    path = [shown(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        for part in (part for part in path[:-1] if part in kind.model_fields):  # a number is a place in a list
            kind = table_of(kind.model_fields[part].annotation) or kind
        return f"{origin}: unknown key {key}; allowed here: {', '.join(kind.model_fields)}"
    if problem["type"] == "missing":
        return f"{origin}: required key {key} is missing"
    message, value = problem["msg"].removeprefix("Value error, "), problem["input"]
    if not path:
        return f"{origin}: {message}"
    _, _, rule = message.partition(" should ")
    quote = "'" if isinstance(value, str) else ""
    return f"{origin}: {key} = {quote}{shown(value)}{quote}: should {rule or f'be {message}'}"
