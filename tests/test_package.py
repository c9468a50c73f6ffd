"""The package from outside: its public names, and what it does not import."""

import sys

import pytest

import lorasent
from tests.support.imports import COMMAND_LINE, HEAVY, imported


def test_the_public_names():
    """These and no others; each can be had."""
    assert sorted(lorasent.__all__) == [
        "Figures",
        "LorasentError",
        "Policy",
        "Prediction",
        "Recipe",
        "Reviews",
        "Scorer",
        "Trained",
        "Verdict",
        "evaluate",
        "judge",
        "load",
        "read",
        "train",
    ]
    assert all(getattr(lorasent, name) for name in dir(lorasent))
    with pytest.raises(AttributeError, match=r"module 'lorasent' has no attribute 'guess'"):
        _ = lorasent.guess


@pytest.mark.parametrize(
    ("code", "arguments"), [("import lorasent", []), (COMMAND_LINE, ["--help"])], ids=["import lorasent", "lorasent --help"]
)
def test_start_up_imports_nothing_large(code, arguments):
    """Neither `import lorasent` nor `lorasent --help` waits for torch, nor for anything else that counts."""
    found = imported(code, *arguments)
    assert "lorasent" in found
    assert found & (HEAVY | {"numpy", "scipy", "pydantic", "pyarrow", "huggingface_hub"}) == set()


def test_import_lorasent_imports_the_standard_library_alone():
    """And little of it: what reads packages' metadata takes half the time of all the rest."""
    packages = {name.partition(".")[0] for name in imported("import lorasent") - imported("pass")}
    assert packages <= {"lorasent"} | sys.stdlib_module_names - {"email", "zipfile"}
