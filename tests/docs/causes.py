"""The causes that a finding can have, read from the package's source."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import lorasent
from lorasent.adapter.untrusted import POINTERS
from lorasent.gate.finding import NOT_CHECKED
from lorasent.gate.integrity import encoding, recipe

PACKAGE = Path(lorasent.__file__).parent

PLACE = {
    "Finding": 2, "_passed": 1,  # lorasent.gate.finding and triggers
    "Claim": 1, "only_blocks": 1,
    "Fault": 0, "fault": 0, "allow": 1,  # lorasent.gate.integrity.comparison
    "AdapterError": 1, "NotFetchedError": 1, "require_read": 1,
}  # fmt: skip
"""The position of the cause among the arguments of what makes a finding, or an error that becomes one."""

SUSPECT = "_suspect"
"""The function of lorasent.gate.integrity.probes that returns a cause and a sentence."""

DIFFERENCES = "differences"
"""The function of lorasent.gate.integrity.encoding that fills a dictionary, whose keys are causes."""

TABLES = {*recipe.CAUSES.values(), *encoding.CAUSES.values(), *(cause for _, cause, _ in POINTERS.values()), NOT_CHECKED}
"""Causes that stand in constants."""


def found() -> set[str]:
    """Every cause, without the "baseline-" of faults that are the baseline's."""
    causes = set(TABLES)
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                causes |= {cause for place in _places(function) for cause in _texts(place, function)}
    return {cause for cause in causes if cause}


def _places(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions whose value is a cause."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if len(node.args) > (place := PLACE.get(name, len(node.args))):
                yield node.args[place]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "cause")
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "attr", "") == "cause":
            yield node.value
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and function.name == DIFFERENCES:
            yield node.slice
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and function.name == SUSPECT:
            yield node.value.elts[0]


def _texts(value: ast.expr, function: ast.FunctionDef) -> set[str]:
    """The texts that an expression may be: constants, and those of the names in it."""
    parts: Iterable[ast.expr] = ()
    start = ""
    match value:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=body, orelse=otherwise):
            parts = (body, otherwise)
        case ast.BoolOp(values=values):
            parts = values
        case ast.JoinedStr(values=[ast.Constant(value=start), ast.FormattedValue(value=rest)]) if start != "baseline-":
            parts = (rest,)
        case ast.Name(id=name):
            parts = _bound(name, function)
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, otherwise]):
            parts = (otherwise,)
    return {start + text for part in parts for text in _texts(part, function)}


def _bound(name: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    """What a name is set to in a function: by assignments and by loops over tuples and dicts that are written out."""
    yield from _assigned(name, function)
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            for value in _entries(node.iter, function):
                yield from _unpacked(node.target, value, name)


def _assigned(name: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            yield from _unpacked(node.targets[0], node.value, name)


def _entries(loop: ast.expr, function: ast.FunctionDef) -> list[ast.expr]:
    """What a loop goes through, if it is written out."""
    match loop:
        case ast.Tuple(elts=entries):
            return entries
        case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="items")):
            tables = [value for value in _assigned(table, function) if isinstance(value, ast.Dict)]
            return [ast.Tuple([key, value]) for each in tables for key, value in zip(each.keys, each.values, strict=True)]
    return []


def _unpacked(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """The values that a name gets where a value is unpacked into a target."""
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for part, each in zip(target.elts, value.elts, strict=True):
            yield from _unpacked(part, each, name)
