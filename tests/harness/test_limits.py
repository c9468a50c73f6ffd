"""Limits that no linter of this project checks: the length of functions and of lines."""

import ast

from tests.studies.planted import ROOT

LONGEST_FUNCTION = 50
"""Lines from `def` to the last line of the body."""

LONGEST_LINE = 132
"""Characters."""


def sources():
    """Each module of the package: its path and its text."""
    return {path.relative_to(ROOT): path.read_text("utf-8") for path in sorted((ROOT / "lorasent").rglob("*.py"))}


def test_no_function_is_longer_than_a_screen():
    """No function of the package has more than 50 lines."""
    functions = [
        (node.end_lineno - node.lineno + 1, f"{path}::{node.name}")
        for path, text in sources().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 100
    assert [function for function in functions if function[0] > LONGEST_FUNCTION] == []


def test_no_line_is_too_long():
    """No line of the package has more than 132 characters; the formatter leaves comments and strings as they are."""
    lines = [(f"{path}:{number}", line) for path, text in sources().items() for number, line in enumerate(text.splitlines(), 1)]
    assert [place for place, line in lines if len(line) > LONGEST_LINE] == []
