"""What README.md and the pages under docs/ show can be executed as written."""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.augmentation import ways
from lorasent.data.reviews import read
from lorasent.errors import BaseModelError
from lorasent.gate.behaviour import Case
from lorasent.gate.policy import Policy
from lorasent.gate.waivers import Waivers
from lorasent.pytest_plugin.goldens import Check
from lorasent.recipe.recipe import Augmentation, Encoding, Recipe
from lorasent.recipe.settings import table_of
from tests.adapter.test_classifier import SHIPPED
from tests.docs.blocks import ELSEWHERE, LANGUAGES, ROOT, blocks, commands, of, pages
from tests.support.architectures import make
from tests.support.plain import train

POLICY = (ROOT / "gate.toml").read_text("utf-8")
PAGES = pages()

RUN = [path for path, page in PAGES.items() if any(block.language in ("sh", "python") and not block.word for block in blocks(page))]
"""Pages with blocks that are run as they stand."""

TUTORIAL = "docs/tutorial.md"

DIFFERENT = "lorasent gate adapters/candidate --baseline adapters/current --report gate.html"
"""A command on two small adapters of different seeds, which may get any verdict: they learnt nothing."""

TIMED = "lorasent benchmark adapters/new --baseline adapters/current"
"""A command that measures times: on a busy machine it is undecided."""


@pytest.fixture
def workplace(tmp_path, monkeypatch, small_adapter, own_cache):
    """Enters a folder with what examples name: adapters, the repository's policy for small adapters, reviews."""
    for name in ("adapters/embedded", "adapters/current", "adapters/new", "golden/reference-adapter"):
        shutil.copytree(small_adapter, tmp_path / name)
    policy = re.sub(r"\[golden\]\npredictions = .*\n|min = .*\n", "", POLICY).replace("margin = 0.05", "margin = 0.5")
    (tmp_path / "gate.toml").write_text(policy)
    (tmp_path / "without-cost.toml").write_text(policy.partition("[cost]")[0])
    reviews = read("embedded:test", ("Negative", "Positive"))
    rows = [{"text": text, "label": int(label)} for text, label in zip(reviews.texts[:60], reviews.labels[:60], strict=True)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "reviews.csv").write_text("text,label\n" + 2 * "A lovely film,Positive\nA waste of time,Negative\n")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(lorasent, small_recipe):
    """Runs a command in the folder, with the small recipe in place of the default one, and few trials. It must exit as it says."""

    def command(line: str) -> None:
        said = re.search(r"# exit code (\d)", line)
        program, *arguments = shlex.split(line, comments=True)
        if arguments[:1] == ["train"] and arguments[1:2] != [] and arguments[1].startswith("--"):
            arguments.insert(1, str(small_recipe))
        if arguments[:2] == ["sweep", "embedded"]:
            arguments = ["3" if word == "30" else word for word in ["sweep", str(small_recipe), *arguments[2:]]]
        if program == "lorasent":
            done = lorasent(*arguments)
        else:
            words = [sys.executable, "-m", "pytest", *arguments] if program == "pytest" else ["bash", "-c", line]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        expected = (0, 1, 3) if line in (DIFFERENT, TIMED) else (int(said[1]) if said else 0,)
        assert done.returncode in expected, (line, done.stdout, done.stderr)

    return command


def run_page(page, run, names):
    """Runs a page's blocks in order. What Python prints is what the block of text right below it shows."""
    printed = ""
    for block in blocks(page):
        if block.language == "text" and block.is_output and printed:
            assert block.code == printed
        printed = ""
        if block.language == "sh" and not block.word:
            for line in commands(block.code):
                run(line)
        if block.language == "python" and not block.word:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(block.code, names)  # noqa: S102 - our own documentation
            printed = output.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", [path for path in RUN if path != TUTORIAL])
def test_a_pages_blocks_run(path, run):
    """Every command and every piece of Python of a page runs, one after the other, in one folder."""
    run_page(PAGES[path], run, {})


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_the_tutorial_runs_from_an_empty_folder(run):
    """Its commands run one after the other, and the broken adapter is blocked."""
    run_page(PAGES[TUTORIAL], run, {})


@pytest.mark.usefixtures("workplace")
def test_a_golden_of_ones_own_is_held():
    """The test on the page about goldens first writes its golden, then passes."""
    names: dict = {}
    for code in of("docs/how-to/goldens.md", "python"):
        exec(code, names)  # noqa: S102 - our own documentation
    golden = {update: Check(Path("golden"), "predictions/mine", update=update) for update in (True, False)}
    with pytest.raises(pytest.fail.Exception, match=r"mine.json: missing\nWritten: the golden is now the new result, 2 rows"):
        names["test_my_adapter_answers_as_recorded"](golden[True])
    names["test_my_adapter_answers_as_recorded"](golden[False])


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_a_first_adapter_is_judged(lorasent, tmp_path):
    """Both lines run on the repository's policy without its golden; the floor is one that the small adapter reaches."""
    policy = re.sub(r"\[golden\]\npredictions = .*\n", "", POLICY)
    (tmp_path / "gate.toml").write_text(policy.replace("min = 0.70", "min = 0.01") + '[verdict]\non_inconclusive = "warn"\n')
    command, under_pytest = (shlex.split(line)[1:] for line in of("docs/how-to/policy.md", "sh", "first")[0].splitlines())
    done = lorasent(*command)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "a first adapter: nothing was compared" in done.stdout
    done = subprocess.run([sys.executable, "-m", "pytest", *under_pytest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_adoption_runs(lorasent, bases, tmp_path):
    """Every line about adoption, on the checkpoint of a small script."""
    train(make(bases, tmp_path / "base", "bert"), tmp_path / "runs" / "checkpoint-2", cut=32)
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    for line in commands("".join(of("docs/how-to/other-scripts.md", "sh", "adopt"))):
        done = lorasent(*shlex.split(line, comments=True)[1:])
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_the_conversion_makes_a_base(bases, tmp_path, monkeypatch):
    """The conversion of a pickled base writes safetensors, for a small DeBERTa."""
    monkeypatch.chdir(tmp_path)
    pickled = shutil.copytree(bases("deberta-v2"), tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match=r"found only pytorch_model.bin, which is a pickle"):
        find(str(pickled))
    (block,) = of("docs/how-to/bases.md", "python", "online")
    exec(block.replace("microsoft/deberta-v3-small", str(pickled)), {})  # noqa: S102 - our own documentation
    assert find("bases/deberta-v3-small").sha256
    assert Encoder(Path("bases/deberta-v3-small"), Encoding(max_length=64)).encode(["a film"])


@pytest.mark.parametrize("path", PAGES)
def test_every_block_has_a_language_and_a_reason(path):
    """Each block names its language; one that is not run with its page says why, by a word that is explained."""
    for block in blocks(PAGES[path]):
        assert block.language in LANGUAGES, block
        assert not block.word or block.word in ELSEWHERE, block


@pytest.mark.parametrize("path", [path for path, page in PAGES.items() if "```toml" in page])
def test_settings_have_these_keys(path):
    """Every table and key that a page shows is one of a recipe, a policy or a file of waivers."""
    known = {"waiver": {*Waivers.model_json_schema()["$defs"]["Waiver"]["properties"]}}
    for root in (Recipe, Policy):
        for name, info in root.model_fields.items():
            known.setdefault(name, set()).update(table_of(info.annotation).model_fields)
    for code in of(path, "toml"):
        for name, table in tomllib.loads(code).items():
            for each in table if isinstance(table, list) else [table]:
                assert name == "tool" or each.keys() <= known[name], (name, each)


@pytest.mark.parametrize("path", [path for path, page in PAGES.items() if "```yaml" in page or "```json" in page])
def test_data_can_be_read(path):
    """Blocks of YAML and JSON can be read; cases of behaviours are valid."""
    for code in of(path, "yaml"):
        assert yaml.safe_load(code)
    for line in "".join(of(path, "json")).splitlines():
        Case.model_validate_json(line)


def test_the_table_of_bases_is_what_is_counted():
    """The table lists every shipped recipe, with the trainable share that another test counts."""
    lines = PAGES["docs/how-to/bases.md"].splitlines()
    rows = [line.split("|") for line in lines if re.fullmatch(r"\|.*\| [\d,]+ of [\d,]+ \([\d.]+ %\) \|", line)]
    told = {name: row[5].strip() for row in rows for name in re.findall(r"`([\w-]+)`", row[1])}
    assert told == {name: printed.replace("%", " %") for name, (_, _, printed) in SHIPPED.items()}


def test_the_policy_is_the_repositorys():
    """The gate.toml that is shown has the checks of the file at the root."""
    tables = tomllib.loads(POLICY)
    shown = tomllib.loads(of("docs/how-to/policy.md", "toml")[0])
    assert shown == {**tables, "integrity": {**tables["integrity"], "may_change": []}}


def test_the_augmentation_is_a_recipes():
    """The augmentation table that is shown is valid in a recipe, and turns on every way."""
    settings = Augmentation.model_validate(tomllib.loads(of("docs/how-to/augmentation.md", "toml")[0])["augmentation"])
    assert all(getattr(settings, way) for way in ways.WAYS)


def test_the_readme_gives_the_two_commands():
    """The README has a new user's two commands on lines of their own, and is short."""
    assert "\npython -m pip install tox && tox -e train\n" in PAGES["README.md"]
    assert "\ntox\n" in PAGES["README.md"]
    assert len(PAGES["README.md"].splitlines()) <= 200
