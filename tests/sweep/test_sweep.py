"""The search over recipes: its space, its trials in processes, whether a winner is better, and what is left on disk."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from lorasent import Recipe, load, read
from lorasent.adapter import manifest
from lorasent.cli import training
from lorasent.errors import DivergedError, RecipeError, SweepError
from lorasent.gate.finding import Outcome
from lorasent.recipe.recipe import shipped
from lorasent.sweep import claims, confirmation, outcome, space, study, team
from lorasent.sweep.confirmation import Confirmation, interval
from lorasent.sweep.search import NAME, STUDY, Search, kept_in, shown
from lorasent.training.run import read_splits

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


def test_the_query_projection_is_one_choice_by_whatever_name():
    """DistilBERT's q_lin stands in place of query, so that nothing is tried twice; a layer of another name stands beside it."""
    targets = {name: space.space(Recipe.read(name))["lora.target_modules"].choices for name in ("imdb-distilbert", "imdb-bert")}
    assert targets == {"imdb-distilbert": ("q_lin", "all-linear"), "imdb-bert": ("query", "all-linear")}
    other = Recipe.read("imdb-bert", values={"lora.target_modules": ["value"]})
    assert space.space(other)["lora.target_modules"].choices == ("query", "all-linear", "value")


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


def searched(recipe, folder, name):
    """A search for one trial over one name, in a folder."""
    return Search(recipe.to_json(), folder, kept_in(folder), 1, 0, (name,))


def begun(search):
    """The study of a search that somebody else began."""
    found, recipe = search.open(), Recipe.parse(search.recipe, "test")
    data = [one.fingerprint for one in read_splits(recipe)[:2]]
    found.set_user_attr(study.MADE_FOR, {"recipe": search.recipe, "data": data, "over": list(search.over)})
    return found


class Deadly:
    """Kills the process that receives it."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


def ignore(*_):
    """What nobody wants to hear."""


def opened(folder):
    """The study of a search's folder."""
    return optuna.load_study(study_name=NAME, storage=f"sqlite:///{folder / STUDY}")


@pytest.mark.slow
def test_a_search_leaves_a_recipe_a_table_and_plots(lorasent, search, tmp_path):
    """The best recipe is one that training takes, the first trial the recipe itself; confirmed by fresh seeds and the gate."""
    done = lorasent(*search, "--trials", 4, "--workers", 2, "--confirm", 2)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found" / "sweep.json").read_text())
    losses = [trial["validation_loss"] for trial in found["trials"] if trial["state"] == "COMPLETE"]
    best = found["trials"][found["best"]["trial"]]
    assert best["validation_loss"] == min(losses)
    first = Recipe.parse(found["recipe"], "test")
    assert found["trials"][0]["point"] == {name: space.start(first)[name] for name in ("lora.r", "training.learning_rate")}
    assert Recipe.read(tmp_path / "found" / "best.toml").to_json() == found["best"]["recipe"]
    assert found["over"] == ["lora.r", "training.learning_rate"]
    assert len([trial for trial in found["trials"] if trial["state"] in ("COMPLETE", "PRUNED")]) == 4
    assert (tmp_path / "found" / "history.svg").read_text().startswith("<?xml")
    assert not list((tmp_path / "found" / "trials").iterdir())
    if best["trial"] == 0:
        assert "No trial did better than the recipe itself." in done.stdout
    else:
        assert found["confirmation"]["seeds"] == [1, 2]
        assert f"\n{found['confirmation']['word'].upper()}" in done.stdout
    assert manifest.read(tmp_path / "found" / "best").tables == found["best"]["recipe"]


@pytest.mark.slow
def test_killed_and_resumed_loses_the_running_trials_alone(lorasent, search, tmp_path):
    """Everything that was finished counts; what ran is tried again, by the same values."""
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
    lost = opened(found).get_trials(states=[TrialState.RUNNING])
    assert 1 <= len(lost) <= 2
    finished = {trial.number for trial in opened(found).get_trials(states=study.FINISHED)}
    done = lorasent(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    trials = opened(found).get_trials()
    assert [trial.number for trial in trials if trial.state is TrialState.FAIL] == [trial.number for trial in lost]
    again = [trial.params.items() for trial in trials if trial.number > max(one.number for one in lost)]
    assert all(any(trial.params.items() <= values for values in again) for trial in lost)  # some, if it was being given out
    ended = {trial.number for trial in trials if trial.state in study.FINISHED}
    assert finished < ended
    assert len(ended) == 3
    assert not list((found / "trials").iterdir())


def test_a_study_goes_on_as_itself_alone(small_recipe, tmp_path):
    """Not unasked, not with another recipe, nor over other names."""
    recipe, other = Recipe.read(small_recipe), Recipe.read(small_recipe, ["training.epochs=2"])

    def run(recipe, name, *, resume=True):
        study.run(searched(recipe, tmp_path, name), 1, resume=resume, say=ignore, note=ignore)

    begun(searched(recipe, tmp_path, "lora.r"))
    with pytest.raises(SweepError, match=r"holds the study lorasent already; go on with --resume, or choose another --out$"):
        run(recipe, "lora.r", resume=False)
    with pytest.raises(SweepError, match=r"the study lorasent was made with another recipe; choose another --out$"):
        run(other, "lora.r")
    with pytest.raises(SweepError, match=r"the study lorasent was made with another over; "):
        run(recipe, "lora.scale")


def test_a_storage_that_cannot_be_used_is_one_line(lorasent, small_recipe, tmp_path):
    """Exit 2."""
    done = lorasent("sweep", small_recipe, "--out", tmp_path / "x", "--storage", "nonsense://here", "--confirm", 0)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--storage nonsense://here: no study can be kept there" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imdb-minilm"], "to confirm the best recipe needs --data with reviews that chose nothing, or --confirm 0"),
        (["--confirm", "1"], "to confirm the best recipe needs two seeds at least, or 0"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--data", "embedded:validation"], "reviews trained the recipe or chose its epoch; give others"),
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


@pytest.mark.parametrize("package", ["optuna", "matplotlib", "tomli_w"])
def test_without_the_extra_it_says_what_to_install(package, lorasent, monkeypatch):
    """One line with the command, before anything is tried."""
    monkeypatch.setitem(sys.modules, package, None)
    done = lorasent("sweep")
    assert done.returncode == 2
    assert done.stderr == f"lorasent: sweep: needs {package}; install it with: python -m pip install 'lorasent[sweep]'\n"


def test_an_arm_has_a_place_of_its_recipe(small_recipe, tmp_path):
    """A search that went on to another best recipe is not judged by the old one's adapter, and finds that of the same again."""
    ranks = [Recipe.read(small_recipe, [f"lora.r={rank}"]) for rank in (2, 8)]
    found = [confirmation._seeded(recipe, 7, tmp_path) for recipe in (*ranks, *ranks)]
    assert [(recipe.lora.r, recipe.training.seed) for recipe, _ in found] == 2 * [(2, 7), (8, 7)]
    assert len({path for _, path in found}) == 2


@pytest.mark.slow
def test_an_arm_is_trained_once(small_recipe, tmp_path):
    """A process that finds another one at it waits; one that cannot train is named, and what was trained is kept."""
    recipe, said = Recipe.read(small_recipe), []
    wanted = [(recipe, tmp_path / name) for name in ("shared", "shared", "blocked")]
    (tmp_path / "blocked.partial").mkdir()
    (tmp_path / "blocked.partial" / "run.json").write_text("{}")
    with pytest.raises(SweepError) as raised:
        confirmation._train(wanted, 2, said.append)
    assert str(raised.value).startswith(f"{tmp_path / 'blocked.partial'}: ")
    assert str(raised.value).endswith("; what was tried is kept: go on with --resume")
    assert said == [f"training {path}" for _, path in wanted]
    assert (tmp_path / "shared" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_winner_is_trained_by_fresh_seeds_and_judged(tmp_path):
    """Each recipe by each seed, once; the figures are those of the adapters, and the gate judges the winner's by the other's."""
    first, best = (
        Recipe.read("embedded", ["encoding.max_length=48", "data.sample=80", f"training.epochs={epochs}"]) for epochs in (1, 3)
    )
    reviews = read("embedded:test", first.base.labels).sample(100, 0, first.base.labels)
    rows = zip(reviews.texts, reviews.labels.tolist(), strict=True)
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    trained = []

    def confirm():
        options = {"seeds": 2, "workers": 2, "precision": "fp32", "say": trained.append}
        return confirmation.confirm(first, best, str(tmp_path / "test.jsonl"), tmp_path, **options)

    found = confirm()
    assert len(trained) == 4
    paths = {arm: sorted((tmp_path / arm).glob("*/adapter_config.json")) for arm in ("start", "best")}
    recipes = [manifest.read(path.parent).tables for path in (*paths["start"], *paths["best"])]
    assert sorted(one["training"]["seed"] for one in recipes) == [1, 1, 2, 2]
    for arm, told in (("start", found.started), ("best", found.found)):
        right = [np.mean(load(path.parent).logits(reviews.texts).argmax(axis=1) == reviews.labels) for path in paths[arm]]
        assert sorted(told) == pytest.approx(sorted(right))
    assert found.gain == pytest.approx(np.mean(found.found) - np.mean(found.started))
    assert found.low <= found.gain <= found.high
    assert (found.n, found.known, found.seeds) == (len(reviews), 0, (1, 2))
    assert found.outcome in set(map(str, Outcome))  # so few reviews may ask for INVALID: the margin would judge luck
    assert confirm() == found
    assert len(trained) == 4


@pytest.mark.slow
def test_a_killed_process_is_told(tmp_path):
    """Without its adapter there is nothing to compare."""
    with pytest.raises(SweepError) as raised:
        confirmation._train([(Deadly(), tmp_path / "gone")], 1, ignore)
    assert str(raised.value) == f"{tmp_path / 'gone'}: the process that trained it ended (exit codes -9); go on with --resume"


@pytest.mark.parametrize(
    ("gain", "low", "high", "line"),
    [
        (0.03, 0.01, 0.05, "BETTER: accuracy 0.8000 -> 0.8300"),
        (0.00, -0.01, 0.01, "NO WORSE (by 2 points or more): accuracy 0.8000 -> 0.8000"),
        (0.03, -0.03, 0.09, "NOT SHOWN TO BE BETTER: accuracy 0.8000 -> 0.8300"),
        (-0.03, -0.05, -0.01, "WORSE: accuracy 0.8000 -> 0.7700"),
    ],
    ids=["better", "no worse", "luck", "worse"],
)
def test_a_winner_is_called_what_the_interval_says(gain, low, high, line):
    """With the gain and its bounds, the gate's outcome, and whether its reviews chose among the recipes."""
    found = Confirmation("some", 400, (1, 2), (0.8, 0.8), (0.8 + gain,) * 2, gain, low, high, 0.02, "PASS", "fine", 3)
    said = list(outcome.conclusion(found, same=False))
    assert said[0].startswith(line)
    assert said[0].endswith(f"{100 * gain:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})")
    assert said[1] == "3 of these reviews trained the recipes or chose among them: the figures are too kind."
    assert said[2].endswith("PASS: fine")


def test_what_cannot_confirm_is_told_before_the_search(tmp_path):
    """One review has no spread; a seed behind the last one is none."""
    (tmp_path / "one.jsonl").write_text('{"text": "fine", "label": "Positive"}\n')
    with pytest.raises(SweepError, match=r"one.jsonl: holds 1 review; give two at least"):
        confirmation.source(EMBEDDED, str(tmp_path / "one.jsonl"), 3)
    last = Recipe.read("embedded", values={"training.seed": 2**32 - 3})
    assert confirmation.source(last, None, 2) == "embedded:test"
    with pytest.raises(RecipeError, match=r"training.seed"):
        confirmation.source(last, None, 3)


def diverge():
    """A process whose training does."""
    raise DivergedError("training loss is nan after 3 steps")


def test_who_diverged_is_not_told_to_go_on():
    """It would again: seeds decide."""
    with pytest.raises(SweepError, match=r"^training loss is nan after 3 steps; what was tried is kept$"):
        list(team.beside(diverge, [()]))


def test_reviews_that_chose_do_not_confirm():
    """All of them known is one line; the embedded test reviews are none of them."""
    assert confirmation.unknown(EMBEDDED, "embedded:test")[1] == 0
    with pytest.raises(SweepError, match=r"^--data embedded:validation: each of its \d+ reviews trained the recipe or chose"):
        confirmation.unknown(EMBEDDED, "embedded:validation")


def test_a_search_in_which_nothing_came_to_its_end_is_one_line():
    """All diverged: there is no best."""
    tried = optuna.create_study()
    tried.tell(tried.ask(), state=TrialState.PRUNED)
    with pytest.raises(SweepError, match=r"^no trial came to its end, all diverged; start from a recipe with a smaller"):
        study.best(tried)


@pytest.mark.slow
def test_plots_are_drawn_of_trials_enough(tmp_path):
    """History, importances and parallel coordinates; the lowest loss, the earliest of equals, is the best recipe."""
    tried = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for loss in (0.5, 0.4, 0.3, 0.3, 0.6, 0.7):
        trial = tried.ask(space.space(EMBEDDED))
        for key, value in (("accuracy", 0.8), ("epoch", 1), ("epochs", 2)):
            trial.set_user_attr(key, value)
        tried.tell(trial, loss)
    written = [path.name for path in outcome.write(tried, EMBEDDED, tmp_path, None)]
    assert written == ["best.toml", "sweep.json", "history.svg", "importances.svg", "parallel.svg"]
    assert Recipe.read(tmp_path / "best.toml") == space.recipe_at(EMBEDDED, tried.trials[2].params)
    assert [line.split()[0] for line in outcome.table(tried)] == ["trial", "2", "3", "1", "0", "4", "5"]


HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"


def test_a_trial_is_lost_when_its_process_ends(tmp_path):
    """However it ends, and not before; then its lock is gone."""
    tried = optuna.create_study()
    tried.ask()
    command = [sys.executable, "-c", HOLD, tmp_path / "0.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert claims.lost(tried, tmp_path) == []
        holder.kill()
        holder.wait()
        assert [trial.number for trial in claims.lost(tried, tmp_path)] == [0]
    assert not list(tmp_path.iterdir())


def test_a_trial_elsewhere_is_lost_when_it_falls_silent(tmp_path):
    """Of a machine that shares the database alone: no lock is here, its last sign of life counts."""
    tried = optuna.create_study()
    trial = tried.ask()
    assert claims.lost(tried, tmp_path) == []
    trial.set_user_attr(claims.HEARD, time.time() - claims.LOST - 1)
    assert [trial.number for trial in claims.lost(tried, tmp_path)] == [0]


def test_a_trial_that_was_never_heard_of_is_lost_after_a_while(tmp_path, monkeypatch):
    """Its process was killed between being given it and claiming it; by the clock of whoever waits, not by the trial's."""
    monkeypatch.setattr(claims, "UNHEARD", 0.2)
    tried = optuna.create_study()
    tried.ask()
    assert claims.lost(tried, tmp_path) == []
    time.sleep(0.3)
    assert [trial.number for trial in claims.lost(tried, tmp_path)] == [0]


def test_a_trial_is_not_lost_because_clocks_show_another_hour(tmp_path, monkeypatch):
    """When it began is noted by the clock of its own zone; a machine whose clock is hours ahead may ask."""
    tried = optuna.create_study()
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    tried.ask()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    found = claims.lost(tried, tmp_path)
    monkeypatch.undo()
    time.tzset()
    assert found == []


def test_a_claimed_trial_gives_signs_of_life(tmp_path, monkeypatch):
    """While it is trained; afterwards its lock is gone, and after an error it is lost at once."""
    monkeypatch.setattr(claims, "SIGN", 0.01)
    tried = optuna.create_study()
    trial = tried.ask()
    with claims.alive(trial, claims.claim(trial, tmp_path)):
        first = tried.trials[0].user_attrs[claims.HEARD]
        while tried.trials[0].user_attrs[claims.HEARD] == first:
            time.sleep(0.01)
        assert claims.lost(tried, tmp_path) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(SweepError, match="full"), claims.alive(trial, claims.claim(trial, tmp_path)):
        raise SweepError("full")
    assert len(claims.lost(tried, tmp_path)) == 1


def test_values_that_a_process_dies_of_are_given_up():
    """After three attempts; those of the recipe itself never, whole even if the process died while they were given out."""
    tried = optuna.create_study()
    one = {"x": optuna.distributions.FloatDistribution(0, 1)}
    tried.enqueue_trial({"x": 0.5})
    seen = []
    for _ in range(claims.ATTEMPTS + 1):
        seen.append(tried.ask(one).params["x"])
        claims.give_up(tried, tried.get_trials()[-1], {"x": 0.25})
    assert (seen[:-1], seen[-1] == 0.5) == ([0.5] * claims.ATTEMPTS, False)
    tried = optuna.create_study()
    tried.enqueue_trial({"x": 0.25}, user_attrs={claims.FIRST: True})
    for _ in range(claims.ATTEMPTS + 1):
        tried.ask()
        claims.give_up(tried, tried.get_trials()[-1], {"x": 0.25})
    assert tried.ask(one).params == {"x": 0.25}


def test_a_finished_trial_is_not_tried_again():
    """It came to its end while it was taken for lost."""
    tried = optuna.create_study()
    trial = tried.ask()
    stale = tried.get_trials()[0]
    tried.tell(trial, 1.0)
    claims.give_up(tried, stale, {})
    assert [trial.state for trial in tried.trials] == [TrialState.COMPLETE]


def test_an_interrupted_search_shows_no_password(lorasent, small_recipe, monkeypatch):
    """The command that goes on has the storage without it."""

    def run(search, *_, **__):
        assert search.storage == "postgresql://me:secret@host/db"
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run", run)
    done = lorasent("sweep", small_recipe, "--storage", "postgresql://me:secret@host/db", "--confirm", 0)
    assert done.returncode == 130
    assert "secret" not in done.stdout + done.stderr
    assert "postgresql://me:***@host/db" in done.stderr


@pytest.mark.parametrize(
    "storage", ["postgresql:/me:secret@host/db", "postgresql://me:secret@host:port/db", "postgresql://host/db?password=secret"]
)
def test_no_url_shows_a_password(storage):
    """Nor one that is none."""
    assert "secret" not in shown(storage)
    assert shown(storage).startswith("postgresql:")


@pytest.mark.parametrize("storage", ["sqlite:///x{1}.db", "sqlite:///{a}.db", "postgresql://me:secret@host:port/db"])
def test_a_storage_that_is_no_url_is_one_line(tmp_path, storage):
    """What Optuna, SQLAlchemy and Python make of it."""
    search = Search(EMBEDDED.to_json(), tmp_path, storage, 1, 0, ("lora.r",))
    with pytest.raises(SweepError, match=r"^--storage \S+: no study can be kept there: .+$") as raised:
        search.open()
    assert "secret" not in str(raised.value)


def test_a_storage_that_is_refused_shows_no_password(lorasent, small_recipe):
    """Nor has the error it."""
    done = lorasent("sweep", small_recipe, "--storage", "nonsense://me:secret@host/db", "--confirm", 0)
    assert done.returncode == 2
    assert "secret" not in done.stdout + done.stderr
    assert "--storage nonsense://me:***@host/db: no study can be kept there" in done.stderr


def test_the_help_names_what_is_searched():
    """Each of the names, and no other; the command line may not import Optuna to ask."""
    (option,) = inspect.signature(training.sweep).parameters["over"].annotation.__metadata__
    assert sorted(re.findall(r"(?:lora|training)\.\w+", option.help)) == sorted(space.NAMES)


def test_a_database_holds_several_studies(small_recipe, tmp_path):
    """Each by its name; the message of one that is there says where, and how to choose another."""
    recipe = Recipe.read(small_recipe)
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("one", "other"):
        search = Search(recipe.to_json(), tmp_path / name, shared, 1, 0, ("lora.r",), name)
        search.folder.mkdir(parents=True)
        begun(search)
    with pytest.raises(SweepError) as raised:
        study.run(search, 1, resume=False, say=ignore, note=ignore)
    there = f"--storage {shared}: holds the study other already; go on with --resume, or choose another --study"
    assert str(raised.value) == there
    assert sorted(optuna.get_all_study_names(shared)) == ["one", "other"]


def test_a_folder_is_for_one_study(small_recipe, tmp_path):
    """Two would give their trials the same numbers, and each would take the other's for its own."""
    recipe = Recipe.read(small_recipe)
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    one, other = (Search(recipe.to_json(), tmp_path / "found", shared, 0, 0, ("lora.r",), name) for name in ("one", "other"))
    study.run(one, 1, resume=False, say=ignore, note=ignore)
    study.run(one, 1, resume=True, say=ignore, note=ignore)
    with pytest.raises(SweepError, match=r"found: holds the trials of the study one in sqlite:\S+; choose another --out$"):
        study.run(other, 1, resume=False, say=ignore, note=ignore)
    assert optuna.get_all_study_names(shared) == ["one"]


def ended(study_, loss):
    """A trial that came to its end."""
    trial = study_.ask(space.space(EMBEDDED))
    for key, value in (("accuracy", 0.8), ("epoch", 1), ("epochs", 2)):
        trial.set_user_attr(key, value)
    study_.tell(trial, loss)
    return trial.number


def test_the_best_adapter_outlives_its_worker(small_recipe, tmp_path):
    """A worker that is killed before it can put it in its place leaves it to the search."""
    recipe = Recipe.read(small_recipe)
    search = Search(recipe.to_json(), tmp_path, kept_in(tmp_path), 1, 0, ("lora.r",))
    search.folder.mkdir()
    tried = begun(search)
    (search.folder / str(ended(tried, 0.5))).mkdir()
    study.run(search, 1, resume=True, say=ignore, note=ignore)
    assert (search.out / study.BEST).is_dir()
    assert not list(search.folder.iterdir())


def test_half_an_adapter_is_not_the_best_one(tmp_path):
    """What a kill left of one is removed, and not told."""
    tried = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    ended(tried, 0.5)
    half = tmp_path / study.BEST
    half.mkdir()
    (half / "adapter_model.safetensors").touch()
    assert half not in outcome.write(tried, EMBEDDED, tmp_path, None)
    assert not half.exists()


@pytest.fixture
def attempts(small_recipe, tmp_path, monkeypatch):
    """A study, and a function that tries a trial of it whose training is what it is given."""
    recipe = Recipe.read(small_recipe)
    search = searched(recipe, tmp_path, "lora.r")
    search.folder.mkdir()
    tried = begun(search)

    def attempt(train):
        monkeypatch.setattr(study, "train", train)
        study._try(search, tried, tried.ask(space.space(recipe, ["lora.r"])), recipe)

    return tried, attempt


def test_what_a_base_cannot_is_no_end_of_a_search(attempts):
    """A point whose recipe is refused is a trial that counts; the recipe itself must be possible."""
    tried, attempt = attempts

    def refuse(*_, **__):
        raise RecipeError("lora.target_modules: no linear layer is called query")

    attempt(refuse)
    (trial,) = tried.get_trials()
    assert (trial.state, trial.user_attrs["ended"]) == (TrialState.PRUNED, "impossible")
    tried.enqueue_trial({"lora.r": 2}, user_attrs={claims.FIRST: True})
    with pytest.raises(RecipeError, match="no linear layer"):
        attempt(refuse)


def test_a_trial_that_diverges_after_it_was_given_up_ends_quietly(attempts):
    """Its worker goes on to the next one."""
    tried, attempt = attempts

    def give_up_and_diverge(*_, **__):
        tried.tell(0, state=TrialState.FAIL)
        raise DivergedError("training loss is nan")

    attempt(give_up_and_diverge)
    assert [trial.state for trial in tried.trials] == [TrialState.FAIL]


def ends(tried, recipe, loss, epoch, *, first=False):
    """Whether another trial of a study ends when it reports that validation loss."""
    trial = tried.ask()
    if first:
        trial.set_user_attr(claims.FIRST, True)
    reporter = study._Reporter(trial)
    reporter.prepared(SimpleNamespace(recipe=recipe))
    try:
        reporter.epoch(SimpleNamespace(validation_loss=loss, epoch=epoch))
    except optuna.TrialPruned:
        return True
    return False


def test_a_trial_that_falls_behind_is_ended(small_recipe, tmp_path):
    """After an epoch that is worse than the median of five that came to their end; never the recipe itself, nor the last epoch."""
    recipe = Recipe.read(small_recipe)
    search = searched(recipe, tmp_path, "lora.r")
    tried = begun(search)
    for loss in (0.5, 0.4, 0.3, 0.2, 0.1):
        trial = tried.ask(space.space(recipe, ["lora.r"]))
        for epoch in (1, 2, 3):
            trial.report(loss, epoch)
        tried.tell(trial, loss)

    assert ends(tried, recipe, 0.35, 1)
    (behind,) = tried.get_trials(states=[TrialState.RUNNING])
    tried.tell(behind.number, state=TrialState.PRUNED)
    assert "pruned after epoch 1, loss 0.3500 " in outcome.row(tried.trials[-1])
    assert not ends(tried, recipe, 0.25, 1)
    assert not ends(tried, recipe, 0.35, 3)
    assert not ends(tried, recipe, 0.35, 1, first=True)


def test_a_trial_that_learns_nothing_is_ended_where_the_recipe_learns(small_recipe, tmp_path):
    """Of two labels a guess loses 0.693 nats. Once the recipe itself loses 0.01 less, others must; sooner, nobody is ended."""
    recipe = Recipe.read(small_recipe)
    tried = begun(searched(recipe, tmp_path, "lora.r"))
    assert not ends(tried, recipe, 0.69, 1)
    assert not ends(tried, recipe, 0.69, 1, first=True)
    assert not ends(tried, recipe, 0.69, 1)
    assert not ends(tried, recipe, 0.68, 2, first=True)
    assert not ends(tried, recipe, 0.69, 1)
    assert ends(tried, recipe, 0.69, 2)
    assert not ends(tried, recipe, 0.682, 2)


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["pruned", "diverged"])
def test_a_trial_that_is_given_up_counts_and_leaves_nothing(small_recipe, tmp_path, monkeypatch, ended):
    """Whether it fell behind or its loss was no number."""
    recipe = Recipe.read(small_recipe)
    search = searched(recipe, tmp_path, "lora.r")
    tried = begun(search)

    def end(self, row):
        raise optuna.TrialPruned if ended == "pruned" else DivergedError("training loss is nan")

    monkeypatch.setattr(study._Reporter, "epoch", end)
    study._try(search, tried, tried.ask(space.space(recipe, ["lora.r"])), recipe)
    (trial,) = tried.get_trials()
    assert (trial.state, trial.user_attrs["ended"]) == (TrialState.PRUNED, ended)
    assert f"{ended} after epoch" in outcome.row(trial)
    assert not list(search.folder.iterdir())


@pytest.mark.slow
def test_a_search_waits_for_trials_that_run_elsewhere(small_recipe, tmp_path):
    """And takes what they give; nothing is trained twice."""
    recipe = Recipe.read(small_recipe)
    search = searched(recipe, tmp_path, "lora.r")
    shared = begun(search)
    elsewhere = threading.Timer(1.5, lambda: shared.tell(0, 0.5))
    noted = []

    def note(line):
        noted.append(line)
        elsewhere.start()

    shared.ask(space.space(recipe, ["lora.r"]))
    heard = []
    study.run(search, 1, resume=True, say=lambda trial, done: heard.append((trial.number, done)), note=note)
    assert noted == ["Waiting for trials that run elsewhere."]
    assert heard == [(0, 1)]


@pytest.mark.slow
def test_a_killed_worker_costs_its_trial_alone(small_recipe, tmp_path):
    """The search itself goes on to its end: the trial is tried again, by the same values."""
    recipe = Recipe.read(small_recipe, ["training.epochs=1"])
    search = Search(recipe.to_json(), tmp_path, kept_in(tmp_path), 2, 0, ("lora.r",))
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(study.run, search, 2, resume=False, say=ignore, note=ignore)
        while not (claimed := list(tmp_path.glob("trials/*.partial"))):
            assert not going.done(), going.exception()
            time.sleep(0.02)
        number = int(claimed[0].name.partition(".")[0])
        os.kill(holder_of(tmp_path / "trials" / f"{number}.lock"), signal.SIGKILL)
        trials = going.result().get_trials()
    assert trials[number].state is TrialState.FAIL
    assert trials[number].params in [trial.params for trial in trials[number + 1 :]]
    assert len([trial for trial in trials if trial.state in study.FINISHED]) == 2
    assert not list((tmp_path / "trials").iterdir())


@pytest.mark.slow
def test_an_interrupted_search_says_how_it_goes_on(search, tmp_path):
    """Ctrl-C: exit 130, one line with the command, no process left behind that trains."""
    # A suite that runs in the background may have been told to ignore interrupts; what it starts would be, too.
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lorasent.cli import main; main()"
    command = [sys.executable, "-c", hears, *map(str, search), "--trials", "2", "--confirm", "0"]
    found = tmp_path / "found"
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.PIPE) as begun:
        while not list(found.glob("trials/*.lock")):
            assert begun.poll() is None
            time.sleep(0.02)
        begun.send_signal(signal.SIGINT)
        said = begun.stderr.read().decode()
        assert begun.wait() == 130, said
    assert said.splitlines()[-1].startswith("Interrupted. Running trials are lost; go on with: lorasent sweep ")
    assert said.endswith(" --resume\n")
    assert [trial.number for trial in claims.lost(opened(found), found / "trials")] == [0]


def holder_of(lock):
    """The process that has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == lock:
                return int(link.parts[2])
    raise AssertionError(f"nobody holds {lock}")
