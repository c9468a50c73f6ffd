"""The search over recipes: its space, its trials in processes, whether a winner is better, and what is left on disk."""

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from lorasent import Recipe
from lorasent.errors import SweepError
from lorasent.recipe import shipped
from lorasent.sweep import confirmation, space, study
from lorasent.sweep.confirmation import interval

EMBEDDED = Recipe.read("embedded")


@pytest.mark.parametrize("name", shipped())
def test_a_recipe_is_a_point_of_its_own_space(name):
    """Whatever it says lies in the ranges, and the point gives the recipe again."""
    recipe = Recipe.read(name)
    point, ranges = space.start(recipe), space.space(recipe)
    assert point.keys() == ranges.keys()
    assert all(ranges[key]._contains(ranges[key].to_internal_repr(value)) for key, value in point.items())
    assert space.recipe_at(recipe, point) == recipe


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_every_point_is_a_recipe(seed):
    """One that the validation of recipes accepts, with what the point says in it, and the rest as it was."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space.space(EMBEDDED))
    found = space.recipe_at(EMBEDDED, trial.params)
    assert found.lora.alpha == max(1, round(trial.params["lora.scale"] * trial.params["lora.r"]))
    assert list(found.lora.target_modules) == [trial.params["lora.target_modules"]]
    for table, key in (("lora", "r"), ("lora", "dropout"), ("training", "learning_rate"), ("training", "epochs")):
        assert getattr(getattr(found, table), key) == trial.params[f"{table}.{key}"]
    assert (found.data, found.encoding, found.training.seed) == (EMBEDDED.data, EMBEDDED.encoding, EMBEDDED.training.seed)


def test_a_search_over_some_names_leaves_the_others_alone():
    """The point has them not, and the recipe keeps its own; an unknown name is one line."""
    assert list(space.space(EMBEDDED, ["training.epochs", "lora.r"])) == ["lora.r", "training.epochs"]
    assert space.recipe_at(EMBEDDED, {"lora.r": 16}).lora.alpha == 32
    with pytest.raises(SweepError, match=r"^--over lora.rank: not searched; choose from lora.r, lora.scale, "):
        space.space(EMBEDDED, ["lora.rank"])


def arms(random, gain, n=1000, k=3, spread=0.01):
    """Two recipes' answers, right or not, (k, n) each, to reviews of which some are harder than others."""
    hard = random.beta(8, 1, n)
    shifts = [random.normal(mean, spread, (k, 1)) for mean in (0.0, gain)]
    return [random.random((k, n)) < np.clip(hard + shift, 0, 1) for shift in shifts]


def test_luck_is_seldom_called_better():
    """Recipes that differ by nothing but seeds: at most 2.5 % of 1,000 are called better, give or take three standard errors."""
    random = np.random.default_rng(0)
    better = sum(interval(*arms(random, 0.0))[1] > 0 for _ in range(1000))
    assert better <= 25 + 3 * np.sqrt(1000 * 0.025 * 0.975)


def test_a_gain_is_called_better():
    """Of six points, in nine cases of ten; and the interval holds it in nineteen of twenty, or more."""
    random = np.random.default_rng(1)
    found = [interval(*arms(random, 0.06)) for _ in range(300)]
    true = np.mean([np.subtract(*(arm.mean() for arm in arms(random, 0.06, n=100_000, k=20)[::-1])) for _ in range(5)])
    assert np.mean([low > 0 for _, low, _ in found]) >= 0.9
    assert np.mean([low <= true <= high for _, low, high in found]) >= 0.94


def test_the_interval_is_symmetric():
    """Who is compared with whom changes the sign alone; alike arms gain nothing."""
    first, second = arms(np.random.default_rng(2), 0.02)
    gain, low, high = interval(first, second)
    assert interval(second, first) == pytest.approx((-gain, -high, -low))
    assert interval(first, first) == pytest.approx((0, -interval(first, first)[2], interval(first, first)[2]))
    alike = np.ones((2, 10), dtype=bool)
    assert interval(alike, alike) == (0, 0, 0)


@pytest.fixture
def search(small_recipe, tmp_path):
    """The arguments of a quick search around the small recipe."""
    return ["sweep", small_recipe, "--out", tmp_path / "found", "--over", "lora.r", "--over", "training.learning_rate"]


def opened(folder):
    """The study of a search's folder."""
    return optuna.load_study(study_name=study.NAME, storage=f"sqlite:///{folder / study.STUDY}")


@pytest.mark.slow
def test_a_search_leaves_a_recipe_a_table_and_plots(process, search, tmp_path):
    """The best recipe is one that training takes, the first trial the recipe itself; confirmed by fresh seeds and the gate."""
    done = process(*search, "--trials", 4, "--workers", 2, "--confirm", 2)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found" / "sweep.json").read_text())
    losses = [trial["validation_loss"] for trial in found["trials"] if trial["state"] == "COMPLETE"]
    best = found["trials"][found["best"]["trial"]]
    assert best["validation_loss"] == min(losses)
    first = Recipe.parse(found["recipe"], "test")
    assert found["trials"][0]["point"] == {name: space.start(first)[name] for name in ("lora.r", "training.learning_rate")}
    assert Recipe.read(tmp_path / "found" / "best.toml").to_json() == found["best"]["recipe"]
    assert len([trial for trial in found["trials"] if trial["state"] in ("COMPLETE", "PRUNED")]) == 4
    assert (tmp_path / "found" / "history.svg").read_text().startswith("<?xml")
    assert not list((tmp_path / "found" / "trials").iterdir())
    if best["trial"] == 0:
        assert "No trial did better than the recipe itself." in done.stdout
    else:
        assert found["confirmation"]["seeds"] == [1, 2]
        assert ("\nBETTER: " if found["confirmation"]["better"] else "\nNOT SHOWN TO BE BETTER: ") in done.stdout


@pytest.mark.slow
def test_killed_and_resumed_loses_the_running_trials_alone(process, search, tmp_path):
    """Everything that was finished counts; what ran is tried again, by the same values."""
    arguments = [*search, "--trials", "3", "--workers", "2", "--confirm", "0"]
    begun = subprocess.Popen(
        [sys.executable, "-m", "lorasent.cli", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    found = tmp_path / "found"
    while not any(found.glob("trials/*")):
        assert begun.poll() is None
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    lost = opened(found).get_trials(states=[TrialState.RUNNING])
    assert 1 <= len(lost) <= 2
    finished = {trial.number for trial in opened(found).get_trials(states=study.FINISHED)}
    refused = process(*arguments)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "holds a study already; go on with --resume" in refused.stderr
    done = process(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    trials = opened(found).get_trials()
    assert [trial.number for trial in trials if trial.state is TrialState.FAIL] == [trial.number for trial in lost]
    again = [trial.params for trial in trials if trial.number > max(one.number for one in lost)]
    assert all(trial.params in again for trial in lost)
    ended = {trial.number for trial in trials if trial.state in study.FINISHED}
    assert finished < ended
    assert len(ended) == 3
    assert not list((found / "trials").iterdir())


@pytest.mark.slow
def test_a_study_goes_on_as_itself_alone(small_recipe, tmp_path):
    """Not with another recipe, nor over other names."""
    recipe = Recipe.read(small_recipe)

    def search(recipe, *over):
        return study.Search(recipe.to_json(), tmp_path, f"sqlite:///{tmp_path / study.STUDY}", 1, 0, over)

    study.run(search(recipe, "lora.r"), 1, resume=False, say=lambda *_: None)
    other = Recipe.read(small_recipe, ["training.epochs=2"])
    with pytest.raises(SweepError, match=r"the study was made with another recipe; choose another --out or --storage$"):
        study.run(search(other, "lora.r"), 1, resume=True, say=lambda *_: None)
    with pytest.raises(SweepError, match=r"the study was made with another over; "):
        study.run(search(recipe, "lora.scale"), 1, resume=True, say=lambda *_: None)


def test_a_storage_that_cannot_be_used_is_one_line(lorasent, small_recipe, tmp_path):
    """Exit 2."""
    done = lorasent("sweep", small_recipe, "--out", tmp_path / "x", "--storage", "nonsense://here", "--confirm", 0)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "nonsense://here: no study can be kept there" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imdb-minilm"], "to confirm the best recipe needs --data with reviews that chose nothing, or --confirm 0"),
        (["--confirm", "1"], "to confirm the best recipe needs two seeds at least, or 0"),
        (["--precision", "fp8"], "--precision fp8: allowed are auto, fp32, bf16"),
        (["--over", "lora.rank", "--confirm", "0"], "--over lora.rank: not searched"),
    ],
)
def test_bad_input_to_sweep_is_one_line(lorasent, arguments, message):
    """Exit 2, before anything is trained."""
    done = lorasent("sweep", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_without_the_extra_it_says_what_to_install():
    """One line with the command."""
    without = "import sys; sys.modules['optuna'] = None; sys.argv = ['lorasent', 'sweep']; from lorasent.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "lorasent: sweep: needs optuna; install it with: python -m pip install 'lorasent[sweep]'\n"


def test_an_arm_is_trained_once_for_each_recipe(small_recipe, tmp_path, monkeypatch):
    """What an interrupted confirmation had trained is taken; another best recipe's adapter is not."""
    trained = []
    monkeypatch.setattr(confirmation, "train", lambda recipe, path, **_: (path.mkdir(), trained.append(recipe)))
    first, second = Recipe.read(small_recipe), Recipe.read(small_recipe, ["lora.r=3"])
    paths = [confirmation._trained(recipe, 7, tmp_path, lambda _: None) for recipe in (first, first, second)]
    assert paths[0] == paths[1] != paths[2]
    assert [(recipe.lora.r, recipe.training.seed) for recipe in trained] == [(2, 7), (3, 7)]


@pytest.mark.parametrize("split", ["validation", "train"])
def test_reviews_that_the_search_saw_confirm_nothing(lorasent, small_recipe, split):
    """One line, before anything is searched."""
    done = lorasent("sweep", small_recipe, "--data", f"embedded:{split}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lorasent: embedded:{split}: 24 of its ")
    assert line.endswith(f" reviews are in the recipe's {split} too; confirm with others")


def test_a_search_without_a_whole_trial_has_no_best():
    """One line, no traceback."""
    empty = optuna.create_study()
    empty.tell(empty.ask(), state=TrialState.PRUNED)
    with pytest.raises(SweepError, match=r"^no trial came to its end: all diverged or fell behind; "):
        study.best(empty)


@pytest.mark.parametrize(
    ("attributes", "age", "gone"),
    [
        ({"worker": f"{socket.gethostname()} {os.getpid()}"}, 0, False),
        ({"worker": f"{socket.gethostname()} {2**22 + 1}"}, 0, True),
        ({"worker": "elsewhere 1", "seen": time.time()}, 10 * study.SILENT, False),
        ({"worker": "elsewhere 1", "seen": time.time() - 2 * study.SILENT}, 0, True),
        ({}, 0, False),
        ({}, 2 * study.UNCLAIMED, True),
    ],
    ids=["own", "gone", "elsewhere", "elsewhere, silent", "just asked for", "never claimed"],
)
def test_a_trial_is_given_up_where_nobody_works_at_it(attributes, age, gone):
    """Its process on this machine has ended, or another machine has been silent for long."""
    begun = dt.datetime.now() - dt.timedelta(seconds=age)  # noqa: DTZ005 - Optuna's are so
    trial = optuna.trial.create_trial(state=TrialState.COMPLETE, value=0.0, user_attrs=attributes)
    trial.datetime_start = begun
    assert study._abandoned(trial) is gone
