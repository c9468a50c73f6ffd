"""A script as in PEFT's own example, sealed by one line, on real reviews, from training to every command.

It is the one of docs/how-to/other-scripts.md.
"""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from lorasent.adapter.base import _embedded_path
from lorasent.adapter.directory import SAMPLE_REVIEWS
from tests.docs.blocks import of

POLICY = """
[data]
test = "reviews.csv"
[quality]
margin = 0.20
[calibration]
max_brier_increase = 0.10
"""

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def workplace(real_data, tmp_path_factory):
    """A folder where the page's script has trained two adapters on SST-2: sealed, and as Trainer saved them."""
    folder = tmp_path_factory.mktemp("script")
    for name, split, rows in (("train", "train", 800), ("reviews", "dev", 400)):
        reviews = pd.read_parquet(real_data / f"sst2_{split}.parquet")[["text", "label"]].head(rows)
        reviews.to_csv(folder / f"{name}.csv", index=False)
    (script,) = of("docs/how-to/other-scripts.md", "python", "script")
    (folder / "train.py").write_text(script.replace("distilbert-base-uncased", str(_embedded_path())))
    for seed in "01":
        environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / f"datasets-{seed}")}
        subprocess.run([sys.executable, "train.py", seed], cwd=folder, check=True, capture_output=True, env=environment)
        (checkpoint,) = (folder / "runs").iterdir()
        shutil.move(checkpoint, folder / "saved" / seed)
    (folder / "gate.toml").write_text(POLICY)
    return folder


@pytest.fixture
def run(lorasent, workplace, monkeypatch):
    """Runs a command in the workplace, with a cache of its own."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("LORASENT_CACHE", str(workplace / "cache"))
    return lorasent


@pytest.mark.parametrize("kind", ["adapters/seed-", "saved/"])
def test_two_seeds_pass_the_gate(run, kind):
    """Sealed, and as Trainer's checkpoint, whose pickles are named."""
    done = run("gate", f"{kind}1", "--baseline", f"{kind}0", "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["outcome"]) == (0, "PASS"), verdict["findings"][0]
    notes = [finding["message"] for finding in verdict["findings"] if finding["check"] == "integrity::files::manifest"]
    assert [("not read: optimizer.pt" in note) for note in notes] == ([True] if kind == "saved/" else [])


def test_a_policy_is_written_for_them(run):
    """As the page says, and the sealed pair passes by it."""
    pair = ["adapters/seed-1", "--baseline", "adapters/seed-0"]
    done = run("init", "--candidate", *pair, "--data", "reviews.csv", "--out", "mine.toml")
    assert done.returncode == 0, done.stderr
    done = run("gate", *pair, "--policy", "mine.toml")
    assert done.returncode in (0, 1, 3), done.stderr  # a verdict: two seeds differ, and its margin is the data's


@pytest.mark.filterwarnings("ignore::lorasent.adapter.directory.UnverifiedAdapterWarning")
@pytest.mark.parametrize("adapter", ["adapters/seed-0", "saved/0"])
def test_every_command_takes_them(run, workplace, tmp_path, adapter):
    """The four sample reviews, evaluate, record, a gate under pytest and prove."""
    done = run("predict", adapter, *SAMPLE_REVIEWS)
    assert len(done.stdout.splitlines()) == len(SAMPLE_REVIEWS), done.stderr
    done = run("evaluate", adapter, "--data", "reviews.csv", "--json")
    assert json.loads(done.stdout)["accuracy"] > 0.7
    assert run("record", adapter, "--out", str(tmp_path / "evidence")).returncode == 0
    assert run("gate", adapter, "--baseline", str(tmp_path / "evidence")).returncode == 0
    arguments = [sys.executable, "-m", "pytest", "gate.toml", f"--gate-candidate={adapter}", f"--gate-baseline={adapter}"]
    done = subprocess.run(arguments, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = run("prove", "--baseline", adapter, "--fault", "head", "--per-fault", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert {fault["name"]: fault["outcomes"].get("PASS", 0) for fault in json.loads(done.stdout)["faults"]}
