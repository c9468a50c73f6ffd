"""The command sweep: a whole search, killed, interrupted, resumed; bad input in one line."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from lorasent import Recipe
from lorasent.adapter import manifest
from lorasent.cli.training import sweep
from lorasent.sweep import study, workers
from lorasent.sweep.database import opened
from lorasent.sweep.search import DATABASE, NAMES, STUDY, start


@pytest.fixture
def search(small_recipe, tmp_path):
    """The arguments of a quick search around the small recipe."""
    return ["sweep", small_recipe, "--out", tmp_path / "found", "--over", "lora.r", "--over", "training.learning_rate"]


def study_in(folder):
    """The study in a search's folder."""
    return optuna.load_study(study_name=STUDY, storage=opened(f"sqlite:///{folder / DATABASE}"))


@pytest.mark.slow
def test_a_search_writes_the_best_recipe_its_adapter_and_plots(lorasent, search, tmp_path):
    """The first trial is the starting recipe; the best one is confirmed with fresh seeds and by the gate."""
    done = lorasent(*search, "--trials", 4, "--workers", 2, "--confirm", 2)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found" / "sweep.json").read_text())
    losses = [trial["validation_loss"] for trial in found["trials"] if trial["state"] == "COMPLETE"]
    best = found["trials"][found["best"]["trial"]]
    assert best["validation_loss"] == min(losses)
    first = Recipe.parse(found["recipe"], "test")
    assert found["trials"][0]["point"] == {name: start(first)[name] for name in ("lora.r", "training.learning_rate")}
    assert Recipe.read(tmp_path / "found" / "best.toml").to_json() == found["best"]["recipe"]
    assert found["over"] == ["lora.r", "training.learning_rate"]
    assert len([trial for trial in found["trials"] if trial["state"] in ("COMPLETE", "PRUNED")]) == 4
    assert (tmp_path / "found" / "history.svg").read_text().startswith("<?xml")
    assert not list((tmp_path / "found" / "trials").iterdir())
    if best["trial"] == 0:
        assert "No trial did better than the starting recipe." in done.stdout
    else:
        assert found["confirmation"]["seeds"] == [1, 2]
        assert f"\n{found['confirmation']['word'].upper()}" in done.stdout
    assert manifest.read(tmp_path / "found" / "best").tables == found["best"]["recipe"]


@pytest.mark.slow
def test_a_killed_search_loses_only_its_running_trials(lorasent, search, tmp_path):
    """Finished trials count after --resume, and the values of the running ones are tried again."""
    arguments = [*search, "--set", "training.epochs=1", "--trials", "3", "--workers", "2", "--confirm", "0"]
    begun = subprocess.Popen(
        [sys.executable, "-m", "lorasent.cli", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    found = tmp_path / "found"
    while not any(found.glob("trials/*.partial")):
        assert begun.poll() is None
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    lost = study_in(found).get_trials(states=[TrialState.RUNNING])
    assert 1 <= len(lost) <= 2
    finished = {trial.number for trial in study_in(found).get_trials(states=study.FINISHED)}
    done = lorasent(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    trials = study_in(found).get_trials()
    assert [trial.number for trial in trials if trial.state is TrialState.FAIL] == [trial.number for trial in lost]
    again = [trial.params.items() for trial in trials if trial.number > max(trial.number for trial in lost)]
    assert all(any(trial.params.items() <= values for values in again) for trial in lost)  # a subset, if it was just handed out
    ended = {trial.number for trial in trials if trial.state in study.FINISHED}
    assert finished < ended
    assert len(ended) == 3
    assert not list((found / "trials").iterdir())


@pytest.mark.slow
def test_an_interrupted_search_says_how_to_continue(search, tmp_path):
    """Ctrl-C: exit 130, one line with the command, and no process that still trains."""
    # A suite that runs in the background may ignore interrupts, and the processes that it starts would, too.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lorasent.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, search), "--trials", "2", "--confirm", "0"]
    found = tmp_path / "found"
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.PIPE) as begun:
        while not list(found.glob("trials/*.lock")):
            assert begun.poll() is None
            time.sleep(0.02)
        begun.send_signal(signal.SIGINT)
        errors = begun.stderr.read().decode()
        assert begun.wait() == 130, errors
    assert errors.splitlines()[-1].startswith("Interrupted. Running trials are lost; continue with: lorasent sweep ")
    assert errors.endswith(" --resume\n")
    assert [trial.number for trial in workers.Watch(found / "trials").lost(study_in(found))] == [0]


def test_an_interrupted_search_shows_no_password(lorasent, small_recipe, monkeypatch):
    """The command that continues contains the storage without it."""

    def run(search, *_, **__):
        assert search.storage == "postgresql://me:secret@host/db"
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run", run)
    done = lorasent("sweep", small_recipe, "--storage", "postgresql://me:secret@host/db", "--confirm", 0)
    assert done.returncode == 130
    assert "secret" not in done.stdout + done.stderr
    assert "postgresql://me:***@host/db" in done.stderr


def test_a_refused_storage_shows_no_password(lorasent, small_recipe):
    """The error message hides it, too."""
    done = lorasent("sweep", small_recipe, "--storage", "nonsense://me:secret@host/db", "--confirm", 0)
    assert done.returncode == 2
    assert "secret" not in done.stdout + done.stderr
    assert "--storage nonsense://me:***@host/db: no study can be kept there" in done.stderr


def test_a_storage_that_cannot_be_used_is_one_line(lorasent, small_recipe, tmp_path):
    """Exit code 2."""
    done = lorasent("sweep", small_recipe, "--out", tmp_path / "x", "--storage", "nonsense://here", "--confirm", 0)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--storage nonsense://here: no study can be kept there" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imdb-minilm"], "confirming the best recipe needs --data with reviews that chose nothing, or --confirm 0"),
        (["--confirm", "1"], "confirming the best recipe needs two seeds at least, or 0"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--data", "embedded:validation"], "reviews trained the recipe or chose its epoch; give others"),
        (["--precision", "fp8"], "--precision fp8: allowed are auto, fp32, bf16"),
        (["--over", "lora.rank", "--confirm", "0"], "--over lora.rank: not searched"),
    ],
)
def test_bad_input_to_sweep_is_one_line(lorasent, arguments, message):
    """Exit code 2, before anything is trained."""
    done = lorasent("sweep", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize("package", ["optuna", "tomli_w"])
def test_a_missing_package_is_named_with_the_command_to_install_it(package, lorasent, monkeypatch):
    """One line, before anything else is tried."""
    monkeypatch.setitem(sys.modules, package, None)
    done = lorasent("sweep")
    assert done.returncode == 2
    assert done.stderr == f"lorasent: sweep: needs {package}; install it with: python -m pip install 'lorasent[sweep]'\n"


def test_the_help_lists_the_searched_names():
    """It lists all of them and no other; the command line may not import Optuna for that."""
    (option,) = inspect.signature(sweep).parameters["over"].annotation.__metadata__
    assert sorted(re.findall(r"(?:lora|training)\.\w+", option.help)) == sorted(NAMES)
