"""Processes that train in parallel; leases of trials: which are lost, and what becomes of their values."""

import re
import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from lorasent import Recipe
from lorasent.errors import DivergedError, SweepError
from lorasent.sweep import workers
from tests.sweep.studies import ignore

HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"


def test_a_trial_is_lost_when_its_process_ends(tmp_path):
    """It is not lost before, and its lock file is removed."""
    optuna_study = optuna.create_study()
    optuna_study.ask()
    command = [sys.executable, "-c", HOLD, tmp_path / "0.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        watch = workers.Watch(tmp_path)
        assert watch.lost(optuna_study) == []
        holder.kill()
        holder.wait()
        assert [trial.number for trial in watch.lost(optuna_study)] == [0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("beats", [0, 1], ids=["none", "some"])
def test_a_trial_of_another_machine_is_lost_without_new_heartbeats(tmp_path, monkeypatch, beats):
    """There is no lock file of it here; one whose process was killed before its first heartbeat is lost, too."""
    monkeypatch.setattr(workers, "EXPIRY", 0.3)
    optuna_study, watch = optuna.create_study(), workers.Watch(tmp_path)
    trial = optuna_study.ask()
    if beats:
        trial.set_user_attr(workers.HEARTBEAT_KEY, 1)
    assert watch.lost(optuna_study) == []
    time.sleep(0.2)
    trial.set_user_attr(workers.HEARTBEAT_KEY, 2)
    assert watch.lost(optuna_study) == []
    time.sleep(0.2)
    assert watch.lost(optuna_study) == []
    time.sleep(0.2)
    assert [trial.number for trial in watch.lost(optuna_study)] == [0]


def test_clocks_that_differ_do_not_make_a_trial_lost(tmp_path, monkeypatch):
    """Neither the wall clock of a host nor its time zone decides: here the watching host's clock leaps by a day."""
    optuna_study, watch = optuna.create_study(), workers.Watch(tmp_path)
    trial = optuna_study.ask()
    trial.set_user_attr(workers.HEARTBEAT_KEY, 1)
    assert watch.lost(optuna_study) == []
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    lost = watch.lost(optuna_study)
    monkeypatch.undo()
    time.tzset()
    assert lost == []


def test_a_held_trial_writes_heartbeats(tmp_path, monkeypatch):
    """Afterwards its lock file is gone; after an error it is lost at once."""
    monkeypatch.setattr(workers, "HEARTBEAT", 0.01)
    optuna_study = optuna.create_study()
    trial = optuna_study.ask()
    with workers.held(trial, tmp_path):
        first = optuna_study.trials[0].user_attrs[workers.HEARTBEAT_KEY]
        while optuna_study.trials[0].user_attrs[workers.HEARTBEAT_KEY] == first:
            time.sleep(0.01)
        assert workers.Watch(tmp_path).lost(optuna_study) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(SweepError, match="full"), workers.held(trial, tmp_path):
        raise SweepError("full")
    assert len(workers.Watch(tmp_path).lost(optuna_study)) == 1


def test_values_whose_process_dies_are_given_up_after_three_attempts():
    """Each attempt is queued once, whoever gives the trial up; the starting recipe is not queued here."""
    optuna_study = optuna.create_study()
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    optuna_study.enqueue_trial({"x": 0.5})
    seen = []
    for _ in range(workers.MAX_ATTEMPTS + 1):
        seen.append(optuna_study.ask(space).params["x"])
        lost = optuna_study.get_trials()[-1]
        for _ in range(2):
            workers.give_up(optuna_study, lost)
    assert (seen[:-1], seen[-1] == 0.5) == ([0.5] * workers.MAX_ATTEMPTS, False)
    optuna_study = optuna.create_study()
    optuna_study.enqueue_trial({"x": 0.75})
    optuna_study.ask()  # its process dies before it takes over the values
    workers.give_up(optuna_study, optuna_study.get_trials()[-1])
    assert optuna_study.ask(space).params == {"x": 0.75}
    optuna_study = optuna.create_study()
    optuna_study.enqueue_trial({"x": 0.25}, user_attrs={workers.FIRST_KEY: True})
    optuna_study.ask(space)
    workers.give_up(optuna_study, optuna_study.get_trials()[-1])
    assert optuna_study.get_trials(states=[TrialState.WAITING, TrialState.RUNNING]) == []


def test_a_finished_trial_is_not_tried_again():
    """It finished while another process took it for lost."""
    optuna_study = optuna.create_study()
    trial = optuna_study.ask()
    stale = optuna_study.get_trials()[0]
    optuna_study.tell(trial, 1.0)
    workers.give_up(optuna_study, stale)
    assert [trial.state for trial in optuna_study.trials] == [TrialState.COMPLETE]


def diverge():
    """Raises the error of a training that diverged."""
    raise DivergedError("training loss is nan after 3 steps")


@pytest.mark.slow
def test_a_diverged_training_is_not_advised_to_continue():
    """It would diverge again with the same seed."""
    with pytest.raises(SweepError, match=r"^training loss is nan after 3 steps; finished trainings are kept$"):
        workers.run_parallel(diverge, [()])


@pytest.mark.slow
def test_an_adapter_is_trained_once(small_recipe, tmp_path):
    """A process waits for another one that trains the same adapter; a failure is named, and finished adapters are kept."""
    recipe, messages = Recipe.read(small_recipe), []
    wanted = [(recipe, tmp_path / name) for name in ("shared", "shared", "blocked")]
    (tmp_path / "blocked.partial").mkdir()
    (tmp_path / "blocked.partial" / "run.json").write_text("{}")
    message = f"{tmp_path / 'blocked.partial'}: "
    with pytest.raises(SweepError, match=f"^{re.escape(message)}") as raised:
        workers.train_each(wanted, 2, messages.append)
    assert str(raised.value).endswith("; finished trainings are kept: continue with --resume")
    assert messages == [f"training {path}" for _, path in wanted]
    assert (tmp_path / "shared" / "adapter_model.safetensors").is_file()


class Deadly:
    """Kills the process that unpickles it."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


@pytest.mark.slow
def test_a_killed_training_process_is_an_error(tmp_path):
    """Its adapter is missing, so nothing can be compared."""
    message = f"{tmp_path / 'gone'}: the process that trained it ended (exit codes -9); continue with --resume"
    with pytest.raises(SweepError, match=f"^{re.escape(message)}$"):
        workers.train_each([(Deadly(), tmp_path / "gone")], 1, ignore)
