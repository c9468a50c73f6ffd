"""The package from outside: its public names, and what it does not import."""

import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest

import lorasent
from tests.support.imports import COMMAND_LINE, HEAVY, imported

HOUSE = Path(lorasent.__file__).parent
ROOT = Path(__file__).parents[1]
CONTRACTS = {
    contract["containers"][0]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def mapped(text):
    """The names in a map: the first word of each indented line."""
    return re.findall(r"^ *(\w+/?) {2,}\S", text, re.MULTILINE)


def layers(container):
    """The layers of an import contract, from the top down, each a set of names."""
    return [set(layer.split(" | ")) for layer in CONTRACTS[container]["layers"]]


def ordered(names, container):
    """Whether names come in the order of the contract's layers, those of one layer side by side."""
    expected = layers(container)
    positions = [next(number for number, layer in enumerate(expected) if name in layer) for name in names]
    return positions == sorted(positions) and set(names) | {"__main__"} == set(itertools.chain(*expected)) | {"__main__"}


def test_the_map_is_the_house():
    """The package's docstring names every room once, in the order of the import contract; README's map is the same text."""
    names = [name.rstrip("/") for name in mapped(lorasent.__doc__)]
    assert len(names) == len(set(names))
    assert set(names) == {path.stem for path in HOUSE.iterdir() if path.suffix != ".typed"} - {
        "__init__",
        "__main__",
        "__pycache__",
    }
    assert ordered([name for name in names if name not in CONTRACTS["lorasent"]["exhaustive_ignores"]], "lorasent")
    rooms = [line.strip() for line in lorasent.__doc__.splitlines() if re.match(r"    \w", line)]
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme[readme.index("\nlorasent/\n") :].partition("```")[0]
    assert [line.strip() for line in section.splitlines() if line.startswith("  ")] == rooms


@pytest.mark.parametrize("room", sorted(path.parent for path in HOUSE.rglob("*/__init__.py")), ids=lambda path: path.name)
def test_each_room_has_its_map(room):
    """A line for each of its modules, in the order of the room's import contract."""
    container = ".".join(room.relative_to(ROOT).parts)
    modules = {path.stem for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - {
        "__init__",
        "__main__",
    }
    names = [name.rstrip("/") for name in mapped((room / "__init__.py").read_text("utf-8").split('"""')[1])]
    assert set(names) == modules
    assert ordered(names, container)


def test_the_public_names():
    """These and no others; each can be had."""
    assert sorted(lorasent.__all__) == [
        "Figures",
        "LorasentError",
        "Policy",
        "Prediction",
        "Predictions",
        "Recipe",
        "Reviews",
        "Scorer",
        "SealCallback",
        "Trained",
        "Verdict",
        "adopt",
        "evaluate",
        "judge",
        "load",
        "read",
        "seal",
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


def test_measuring_logits_does_not_import_torch():
    """Nor does reading reviews."""
    code = "import lorasent; lorasent.evaluate([[0, 1]], [1], lorasent.read([('a', 1)], ['N', 'P']).names)"
    assert imported(code) & HEAVY == set()


def test_import_lorasent_imports_the_standard_library_alone():
    """And little of it: what reads packages' metadata takes half the time of all the rest."""
    packages = {name.partition(".")[0] for name in imported("import lorasent") - imported("pass")}
    assert packages <= {"lorasent"} | sys.stdlib_module_names - {"email", "zipfile"}
