"""The README is executable as written."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(language):
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path, monkeypatch, small_adapter):
    """A folder that holds what the README's examples name: a trained adapter and a file of reviews."""
    shutil.copytree(small_adapter, tmp_path / "adapters" / "embedded")
    (tmp_path / "reviews.csv").write_text("text,label\nA lovely film,Positive\nA waste of time,Negative\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("workplace")
def test_its_python_runs():
    """Every Python block runs, one after the other."""
    names: dict = {}
    for block in blocks("python"):
        exec(block, names)  # noqa: S102 - our own README
    assert len(names["predictions"]) == 2


@pytest.mark.usefixtures("workplace")
def test_its_commands_run(lorasent):
    """Every `lorasent` line of a sh block exits 0; those that need a network stand in blocks called `sh online`."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("lorasent ")]
    assert len(lines) >= 4
    for line in lines:
        command = re.split(r"\s+#", line)[0]
        done = lorasent(*shlex.split(command)[1:])
        assert done.returncode == 0, (line, done.stderr)


def test_it_gives_the_two_commands():
    """A new user's two commands stand in it, to be copied."""
    assert "\npython -m pip install tox && tox -e train\n" in README
    assert "\ntox\n" in README


def test_its_map_is_the_house():
    """Every module that the README names exists, and every module is named."""
    house = Path(__file__).parents[2] / "lorasent"
    modules = {path.name for path in house.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^  (\w+\.py) ", README, re.MULTILINE)) == modules
