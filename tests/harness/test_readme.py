"""The README can be executed as written."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.augmentation import ways
from lorasent.errors import BaseModelError
from lorasent.pytest_plugin.goldens import Check
from lorasent.recipe.recipe import Augmentation, Encoding
from tests.adapter.test_classifier import SHIPPED
from tests.support.architectures import make
from tests.support.plain import train

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    """Returns the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path, monkeypatch, small_adapter):
    """Enters a folder with what the README's examples name: a trained adapter and a file of reviews."""
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
    golden = {update: Check(Path("golden"), "predictions/mine", update=update) for update in (True, False)}
    with pytest.raises(pytest.fail.Exception, match=r"mine.json: missing\nWritten: the golden is now the new result, 2 rows"):
        names["test_my_adapter_answers_as_recorded"](golden[True])
    names["test_my_adapter_answers_as_recorded"](golden[False])


@pytest.mark.usefixtures("workplace")
def test_its_commands_run(lorasent):
    """Every `lorasent` line of an sh block exits 0; lines that need a network stand in blocks called `sh online`."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("lorasent ")]
    assert len(lines) >= 4
    for line in lines:
        command = re.split(r"\s+#", line)[0]
        done = lorasent(*shlex.split(command)[1:])
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_the_gates_commands_run(lorasent, small_adapter, tmp_path, monkeypatch):
    """Every line about the gate runs, with a small adapter on both sides and the repository's policy without its golden."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(small_adapter, tmp_path / "golden" / "reference-adapter")
    policy = re.sub(r"\[golden\]\npredictions = .*\n|min = .*\n", "", (ROOT / "gate.toml").read_text("utf-8"))
    (tmp_path / "gate.toml").write_text(policy.replace("margin = 0.05", "margin = 0.5"))
    for line in "".join([*blocks("sh gate"), *blocks("sh proof")]).splitlines():
        program, *arguments = shlex.split(re.split(r"\s+#", line)[0])
        if program == "pytest":
            done = subprocess.run([sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
        else:
            done = lorasent(*arguments)
            assert done.returncode == 0, (line, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_a_first_adapter_is_judged(lorasent, tmp_path, monkeypatch):
    """Both lines run on the repository's policy without its golden; the floor is one that the small adapter reaches."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    policy = re.sub(r"\[golden\]\npredictions = .*\n", "", (ROOT / "gate.toml").read_text("utf-8"))
    (tmp_path / "gate.toml").write_text(policy.replace("min = 0.70", "min = 0.01") + '[verdict]\non_inconclusive = "warn"\n')
    command, under_pytest = (shlex.split(line)[1:] for line in "".join(blocks("sh first")).splitlines())
    done = lorasent(*command)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "adapters/embedded, a first adapter: nothing was compared" in done.stdout.splitlines()[0]
    done = subprocess.run([sys.executable, "-m", "pytest", *under_pytest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_adoption_runs(lorasent, bases, tmp_path):
    """Every line about adoption, on the checkpoint of a small script."""
    train(make(bases, tmp_path / "base", "bert"), tmp_path / "runs" / "checkpoint-2", cut=32)
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    for line in "".join(blocks("sh adopt")).splitlines():
        done = lorasent(*shlex.split(re.split(r"\s+#", line)[0])[1:])
        assert done.returncode == 0, (line, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_its_search_runs(lorasent, small_recipe):
    """Both lines about the search run, with the small recipe and fewer trials; the best recipe trains."""
    written = "".join(blocks("sh sweep")).replace(" embedded ", f" {small_recipe} ").replace("--trials 30", "--trials 3")
    for line in written.splitlines():
        done = lorasent(*shlex.split(line)[1:])
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_its_conversion_makes_a_base(bases, tmp_path, monkeypatch):
    """The README's conversion of a pickled base writes safetensors, for a small DeBERTa."""
    monkeypatch.chdir(tmp_path)
    pickled = shutil.copytree(bases("deberta-v2"), tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match=r"found only pytorch_model.bin, which is a pickle"):
        find(str(pickled))
    (block,) = blocks("python online")
    exec(block.replace("microsoft/deberta-v3-small", str(pickled)), {})  # noqa: S102 - our own README
    assert find("bases/deberta-v3-small").sha256
    assert Encoder(Path("bases/deberta-v3-small"), Encoding(max_length=64)).encode(["a film"])


def test_its_table_of_bases_is_what_is_counted():
    """The table lists every shipped recipe, with the trainable share that another test counts."""
    rows = [line.split("|") for line in README.splitlines() if re.fullmatch(r"\|.*\| [\d,]+ of [\d,]+ \([\d.]+ %\) \|", line)]
    told = {name: row[5].strip() for row in rows for name in re.findall(r"`([\w-]+)`", row[1])}
    assert told == {name: printed.replace("%", " %") for name, (_, _, printed) in SHIPPED.items()}


def test_its_policy_is_the_repositorys():
    """The README's gate.toml has the checks of the file at the root."""
    assert tomllib.loads(blocks("toml")[0]) == {
        **(tables := tomllib.loads((ROOT / "gate.toml").read_text())),
        "integrity": {**tables["integrity"], "may_change": []},
    }


def test_its_augmentation_is_a_recipes():
    """The README's augmentation table is valid in a recipe, and turns on every way."""
    settings = Augmentation.model_validate(tomllib.loads(blocks("toml")[1])["augmentation"])
    assert all(getattr(settings, way) for way in ways.WAYS)


def test_it_gives_the_two_commands():
    """The README has a new user's two commands on lines of their own."""
    assert "\npython -m pip install tox && tox -e train\n" in README
    assert "\ntox\n" in README
