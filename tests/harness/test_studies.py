"""The programs in tests/studies can be started."""

import ast
import importlib

import pytest

from tests.studies.planted import ROOT

STUDIES = sorted(path.stem for path in (ROOT / "tests" / "studies").glob("*.py"))


@pytest.mark.parametrize("study", STUDIES)
def test_each_study_can_be_imported(study):
    """`python -m tests.studies.NAME` finds what it needs; mutants needs mutmut, which only `tox -e mutants` installs."""
    if study == "mutants":
        pytest.importorskip("mutmut", reason="needs mutmut: tox -e mutants installs it")
    assert importlib.import_module(f"tests.studies.{study}").__doc__


@pytest.mark.parametrize("study", STUDIES)
def test_each_study_says_what_it_measures(study):
    """In its docstring: a paragraph, with the command that starts it where it is a program."""
    text = (ROOT / "tests" / "studies" / f"{study}.py").read_text("utf-8")
    description = ast.get_docstring(ast.parse(text))
    assert description is not None
    if 'if __name__ == "__main__":' in text:
        assert f"`python -m tests.studies.{study}" in description or "tox -e" in description
