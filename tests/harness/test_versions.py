"""The versions that pyproject.toml promises, and the environments of tox that try them."""

import re
import tomllib
from configparser import ConfigParser

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.studies.planted import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements():
    """Direct dependencies by name, those of the extras among them; not the package's own extras."""
    listed = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    return {canonicalize_name(one.name): one for one in map(Requirement, listed) if one.name != "lorasent"}


def pinned(name):
    """Versions by name, as a file of constraints pins them."""
    lines = re.findall(r"^([\w-]+)==(\S+)$", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in lines}


def test_the_lowest_versions_are_the_lower_bounds():
    """constraints-lowest.txt pins each dependency that has a lower bound, at a patch release of that bound."""
    lowest = pinned("constraints-lowest.txt")
    bounds = {
        name: one.version for name, requirement in requirements().items() for one in requirement.specifier if one.operator == ">="
    }
    assert lowest.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert f"{lowest[name]}.".startswith(f"{bound}."), name


def test_pinned_versions_are_allowed():
    """Every pin of constraints.txt lies in the range of pyproject.toml."""
    ranges = requirements()
    pins = pinned("constraints.txt")
    assert pins
    for name, version in pins.items():
        assert ranges[name].specifier.contains(version), name


def test_each_python_that_is_promised_has_an_environment():
    """The classifiers name the Pythons from requires-python on, and tox has an environment for each."""
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={classified[0]}"
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    (section,) = (name for name in tox.sections() if "py311" in name)
    assert {f"py{version.replace('.', '')}" for version in classified} <= set(re.findall(r"py\d+", section))
