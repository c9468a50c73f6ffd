"""The study: resuming it, pruned and failed trials, killed workers."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from lorasent import Recipe
from lorasent.adapter import manifest
from lorasent.errors import DivergedError, RecipeError, SweepError
from lorasent.sweep import results, study, workers
from lorasent.sweep.search import recipe_at, space
from tests.sweep.studies import begin, complete, ignore, search_over


@pytest.mark.slow
def test_only_the_same_search_continues_a_study(small_recipe, tmp_path):
    """It needs --resume, the same recipe and the same names."""
    recipe, other = Recipe.read(small_recipe), Recipe.read(small_recipe, ["training.epochs=2"])

    def run(recipe, name, *, resume=True):
        study.run(search_over(recipe, tmp_path, name), 1, resume=resume, on_trial=ignore, note=ignore)

    begin(search_over(recipe, tmp_path, "lora.r"))
    with pytest.raises(SweepError, match=r"holds the study lorasent already; continue it with --resume, or choose another --out$"):
        run(recipe, "lora.r", resume=False)
    with pytest.raises(SweepError, match=r"the study lorasent was made with another recipe; choose another --out$"):
        run(other, "lora.r")
    with pytest.raises(SweepError, match=r"the study lorasent was made with another over; "):
        run(recipe, "lora.scale")


def test_a_search_without_a_complete_trial_is_an_error():
    """All trials diverged, so none is best."""
    optuna_study = optuna.create_study()
    optuna_study.tell(optuna_study.ask(), state=TrialState.PRUNED)
    with pytest.raises(SweepError, match=r"^no trial was completed: all diverged; start from a recipe with a smaller"):
        study.best(optuna_study)


def test_the_search_keeps_the_best_adapter_of_a_killed_worker(small_recipe, tmp_path):
    """The worker was killed before it could move the adapter."""
    recipe = Recipe.read(small_recipe)
    search = search_over(recipe, tmp_path, "lora.r")
    search.folder.mkdir()
    optuna_study = begin(search)
    (search.folder / str(complete(optuna_study, 0.5))).mkdir()
    study.run(search, 1, resume=True, on_trial=ignore, note=ignore)
    assert (search.out / study.BEST).is_dir()
    assert not list(search.folder.iterdir())


@pytest.fixture
def attempts(small_recipe, tmp_path, monkeypatch):
    """A study, and a function that runs a trial of it with another function in place of training."""
    recipe = Recipe.read(small_recipe)
    search = search_over(recipe, tmp_path, "lora.r")
    search.folder.mkdir()
    optuna_study = begin(search)

    def attempt(train):
        monkeypatch.setattr(study, "train", train)
        study._try(search, optuna_study, optuna_study.ask(space(recipe, ["lora.r"])))

    return optuna_study, attempt


def test_a_recipe_that_the_base_does_not_allow_is_a_finished_trial(attempts):
    """Only the starting recipe must be possible."""
    optuna_study, attempt = attempts

    def refuse(*_, **__):
        raise RecipeError("lora.target_modules: no linear layer is called query")

    attempt(refuse)
    (trial,) = optuna_study.get_trials()
    assert (trial.state, trial.user_attrs["ended"]) == (TrialState.PRUNED, "impossible")
    optuna_study.enqueue_trial({"lora.r": 2}, user_attrs={workers.FIRST_KEY: True})
    with pytest.raises(RecipeError, match="no linear layer"):
        attempt(refuse)


def test_a_trial_that_diverges_after_it_was_given_up_ends_quietly(attempts):
    """Its worker continues with the next one."""
    optuna_study, attempt = attempts

    def give_up_and_diverge(*_, **__):
        optuna_study.tell(0, state=TrialState.FAIL)
        raise DivergedError("training loss is nan")

    attempt(give_up_and_diverge)
    assert [trial.state for trial in optuna_study.trials] == [TrialState.FAIL]


def test_a_trial_too_many_is_given_back(small_recipe, tmp_path, monkeypatch):
    """It is failed, untrained; the next one is held by the lease."""
    search = search_over(Recipe.read(small_recipe), tmp_path, "lora.r", trials=3)
    search.folder.mkdir()
    optuna_study, answers = begin(search), iter([False, True])
    monkeypatch.setattr(study, "is_admitted", lambda *_: next(answers))
    with ExitStack() as lease:
        assert study._next(search, optuna_study, space(search.recipe, ["lora.r"]), lease).number == 1
        assert [path.name for path in search.folder.iterdir()] == ["1.lock"]
    assert [trial.state for trial in optuna_study.get_trials()] == [TrialState.FAIL, TrialState.RUNNING]


def test_a_broken_transaction_costs_its_trial_and_three_of_them_the_worker(small_recipe, tmp_path, monkeypatch):
    """The trial's lock stays without a holder, so it is lost at once; the last error is one line."""
    search = search_over(Recipe.read(small_recipe), tmp_path, "lora.r", trials=9)
    search.folder.mkdir()
    optuna_study, failing = begin(search), [True, False, True, True, True]

    def fail(_, shared, trial):
        if failing.pop(0):
            raise optuna.exceptions.StorageInternalError("server closed the connection")
        shared.tell(trial, 0.5)

    monkeypatch.setattr(study, "_try", fail)
    with pytest.raises(SweepError, match=r"the search cannot go on: server closed the connection$"):
        study._worker(search, 0)
    assert not failing
    assert [trial.number for trial in workers.Watch(search.folder).lost(optuna_study)] == [0, 2, 3, 4]


def test_workers_that_end_three_times_without_a_trial_end_the_search(small_recipe, tmp_path, monkeypatch):
    """Their recipe may be the reason; one that is killed once is not."""
    rounds = []
    monkeypatch.setattr(study, "run_parallel", lambda *_: rounds.append(1) or [-9])
    search = search_over(Recipe.read(small_recipe), tmp_path, "lora.r")
    with pytest.raises(SweepError, match=r"^the workers ended 3 times without a finished trial \(exit codes -9\); continue with"):
        study.run(search, 1, resume=False, on_trial=ignore, note=ignore)
    assert len(rounds) == 3


def test_the_starting_recipe_is_queued_until_a_trial_of_it_lives(small_recipe, tmp_path):
    """Its process may die as often as it likes; it is never queued twice."""
    search = search_over(Recipe.read(small_recipe), tmp_path, "lora.r")
    search.folder.mkdir()
    optuna_study, watch = begin(search), workers.Watch(search.folder)
    for _ in range(workers.MAX_ATTEMPTS + 1):
        for _ in range(2):
            study._clean_up(search, optuna_study, watch)
        trial = optuna_study.ask(space(search.recipe, ["lora.r"]))
        assert trial.params == search.first
        (search.folder / f"{trial.number}.lock").touch()
    assert len(optuna_study.get_trials()) == workers.MAX_ATTEMPTS + 1


@pytest.mark.slow
def test_the_best_adapter_is_trained_again_where_it_is_missing(small_recipe, tmp_path):
    """Another host trained it, or its worker was killed; an adapter of another recipe, or a part of one, is replaced."""
    search, notes = search_over(Recipe.read(small_recipe, ["training.epochs=1"]), tmp_path, "lora.r"), []
    optuna_study = begin(search)
    number, kept = complete(optuna_study, 0.5), tmp_path / study.BEST
    kept.mkdir()
    (kept / "adapter_model.safetensors").touch()
    for _ in range(2):
        study.train_best(search, optuna_study, notes.append)
        assert manifest.read(kept).tables == recipe_at(search.recipe, optuna_study.best_trial.params).to_json()
    assert notes == [f"Trial {number}, the best, has lost its adapter; its recipe is trained again:", f"training {kept}"]


def is_pruned(optuna_study, recipe, loss, epoch, *, first=False):
    """Whether a new trial of a study is pruned when it reports this validation loss."""
    trial = optuna_study.ask()
    if first:
        trial.set_user_attr(workers.FIRST_KEY, True)
    reporter = study._Reporter(trial, recipe)
    try:
        reporter.epoch(SimpleNamespace(validation_loss=loss, epoch=epoch))
    except optuna.TrialPruned:
        return True
    return False


@pytest.mark.slow
def test_a_trial_that_falls_behind_is_pruned(small_recipe, tmp_path):
    """It is worse than the median of five complete ones. The starting recipe and the last epoch are exempt."""
    recipe = Recipe.read(small_recipe)
    search = search_over(recipe, tmp_path, "lora.r")
    optuna_study = begin(search)
    for loss in (0.5, 0.4, 0.3, 0.2, 0.1):
        trial = optuna_study.ask(space(recipe, ["lora.r"]))
        for epoch in (1, 2, 3):
            trial.report(loss, epoch)
        optuna_study.tell(trial, loss)

    assert is_pruned(optuna_study, recipe, 0.35, 1)
    (behind,) = optuna_study.get_trials(states=[TrialState.RUNNING])
    optuna_study.tell(behind.number, state=TrialState.PRUNED)
    assert "pruned after epoch 1, loss 0.3500 " in results.row(optuna_study.trials[-1])
    assert not is_pruned(optuna_study, recipe, 0.25, 1)
    assert not is_pruned(optuna_study, recipe, 0.35, 3)
    assert not is_pruned(optuna_study, recipe, 0.35, 1, first=True)


def test_a_trial_that_learns_nothing_is_pruned_if_the_starting_recipe_learns(small_recipe, tmp_path):
    """With two labels a guess has loss 0.693; once the starting recipe is 0.01 better, others must be."""
    recipe = Recipe.read(small_recipe)
    optuna_study = begin(search_over(recipe, tmp_path, "lora.r"))
    assert not is_pruned(optuna_study, recipe, 0.69, 1)
    assert not is_pruned(optuna_study, recipe, 0.69, 1, first=True)
    assert not is_pruned(optuna_study, recipe, 0.69, 1)
    assert not is_pruned(optuna_study, recipe, 0.68, 2, first=True)
    assert not is_pruned(optuna_study, recipe, 0.69, 1)
    assert is_pruned(optuna_study, recipe, 0.69, 2)
    assert not is_pruned(optuna_study, recipe, 0.682, 2)


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["pruned", "diverged"])
def test_a_pruned_or_diverged_trial_is_finished_and_leaves_no_file(small_recipe, tmp_path, monkeypatch, ended):
    """Its row says which of the two it was."""
    recipe = Recipe.read(small_recipe)
    search = search_over(recipe, tmp_path, "lora.r")
    optuna_study = begin(search)

    def end(self, row):
        raise optuna.TrialPruned if ended == "pruned" else DivergedError("training loss is nan")

    monkeypatch.setattr(study._Reporter, "epoch", end)
    study._try(search, optuna_study, optuna_study.ask(space(recipe, ["lora.r"])))
    (trial,) = optuna_study.get_trials()
    assert (trial.state, trial.user_attrs["ended"]) == (TrialState.PRUNED, ended)
    assert f"{ended} after epoch" in results.row(trial)
    assert not list(search.folder.iterdir())


@pytest.mark.slow
def test_a_search_waits_for_trials_that_run_elsewhere(small_recipe, tmp_path):
    """It reports their results; nothing is trained twice."""
    recipe = Recipe.read(small_recipe)
    search = search_over(recipe, tmp_path, "lora.r")
    shared = begin(search)
    elsewhere = threading.Timer(1.5, lambda: shared.tell(0, 0.5))
    notes = []

    def note(line):
        notes.append(line)
        elsewhere.start()

    shared.enqueue_trial(search.first, user_attrs={workers.FIRST_KEY: True})
    shared.ask(space(recipe, ["lora.r"]))
    reports = []
    study.run(search, 1, resume=True, on_trial=lambda trial, done: reports.append((trial.number, done)), note=note)
    assert notes == ["Waiting for trials that run elsewhere."]
    assert reports == [(0, 1)]


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_trial(small_recipe, tmp_path):
    """The search continues, and tries the trial's values again."""
    recipe = Recipe.read(small_recipe, ["training.epochs=1"])
    search = search_over(recipe, tmp_path, "lora.r", trials=2)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(study.run, search, 2, resume=False, on_trial=ignore, note=ignore)
        while not (partial := list(tmp_path.glob("trials/*.partial"))):
            assert not running.done(), running.exception()
            time.sleep(0.02)
        number = int(partial[0].name.partition(".")[0])
        os.kill(process_holding(tmp_path / "trials" / f"{number}.lock"), signal.SIGKILL)
        trials = running.result().get_trials()
    assert trials[number].state is TrialState.FAIL
    assert trials[number].params in [trial.params for trial in trials[number + 1 :]]
    assert len([trial for trial in trials if trial.state in study.FINISHED]) == 2
    assert not list((tmp_path / "trials").iterdir())


def process_holding(lock):
    """The process that has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == lock:
                return int(link.parts[2])
    raise AssertionError(f"nobody holds {lock}")
