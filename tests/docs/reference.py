"""The pages of the reference that follow from the code: recipe, policy, manifest, command line.

    python -m tests.docs.reference

writes them; a test says whether they are fresh. What a key means is the text below it in its class.
"""

import ast
import inspect
import itertools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lorasent import files
from lorasent.adapter.manifest import CompleteManifest
from lorasent.gate.policy import Policy
from lorasent.recipe.recipe import Recipe
from lorasent.recipe.settings import table_of

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

RECIPE = """# Recipe

A recipe is a TOML file that determines a training run. [Train by a recipe](../how-to/train.md) shows how to use one. The shipped
ones lie in `lorasent/recipes/`. A key that is unknown, or a value that is not allowed, is an error that says what is.
"""

POLICY = """# Policy

A policy, `gate.toml`, lists the checks of a verdict. [Write a policy](../how-to/policy.md) shows how to use one. A table that is
absent turns on no check; `[integrity]` is always checked. A share is a number from 0 to 1: 0.05 is 5 points of accuracy.
"""

MANIFEST = """# Manifest

`lorasent.json` lies beside an adapter and says what it was made from; see [What an adapter is](../explanation/adapter.md).
Training, sealing and adoption write it; nobody needs to edit it. Training also writes keys that only people read: the epoch table,
the best epoch, the time.
"""


def fields(table: type[BaseModel]) -> dict[str, str]:
    """What each key of a class means: the text below it, or below the same key of a class that it extends."""
    told: dict[str, str] = {}
    for owner in reversed(table.__mro__):
        if owner is BaseModel or not issubclass(owner, BaseModel):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for key, text in itertools.pairwise(tree.body):
            if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                told[key.target.id] = " ".join(str(text.value.value).split())
    return told


def allowed(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values that a JSON Schema allows, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "table" if definitions[name].get("type") == "object" else allowed(definitions[name], definitions)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in values)
    if "anyOf" in schema:
        return ", or ".join(allowed(each, definitions) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        entries = allowed(schema.get("items", {}), definitions)
        least = f", at least {schema['minItems']}" if "minItems" in schema else ""
        return f"list of {entries if entries.startswith('list') else f'{entries}s'}{least}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "object": "table"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:,}" for key, word in bounds.items() if key in schema]
    return ", ".join([words.get(schema.get("type", ""), "anything"), *limits])


def default(info: Any) -> str:
    """A key's default, in words."""
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "absent" if value is None else "empty" if value in ("", (), [], {}) else f"`{value}`"


def keys(table: type[BaseModel]) -> str:
    """The table of a class's keys."""
    schema, told = table.model_json_schema(), fields(table)
    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for name, info in table.model_fields.items():
        key = info.alias or name
        values = allowed(schema["properties"][key], schema.get("$defs", {}))
        lines.append(f"| `{key}` | {values} | {default(info)} | {told[name]} |")
    return "\n".join(lines)


def tables(root: type[BaseModel], heading: str, *, whole: bool = False) -> str:
    """A section for each table of a class, with its keys; with `whole`, first the keys of the class itself."""
    parts = [keys(root)] if whole else []
    for name, info in root.model_fields.items():
        if table := table_of(info.annotation):
            about = inspect.cleandoc(table.__doc__ or "").replace("\n\n", "\n").replace("\n", " ")
            key = info.alias or name
            parts.append(f"## {key}\n\n{heading.format(key)}{about}\n\n{keys(table)}")
    return "\n\n".join(parts)


def command_line() -> str:
    """The page that typer writes of the commands."""
    command = [sys.executable, "-m", "typer", "lorasent.cli.commands", "utils", "docs", "--name", "lorasent"]
    plain = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    page = re.sub(r"^# `lorasent`", "# Command line", done.stdout, flags=re.MULTILINE)
    page = page.replace("```console\n$ ", "```text\n").replace("* `", "- `")
    return re.sub(r"\n\n--debug, anywhere[^\n]*\n", "\n", page)


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    return {
        "recipe.md": f"{RECIPE}\n{tables(Recipe, '`[{}]`: ')}\n",
        "policy.md": f"{POLICY}\n{tables(Policy, '`[{}]`: ')}\n",
        "manifest.md": f"{MANIFEST}\n{tables(CompleteManifest, '', whole=True)}\n",
        "command-line.md": command_line().rstrip("\n") + "\n",
    }


if __name__ == "__main__":
    for name, page in pages().items():
        files.write(FOLDER / name, [page])
