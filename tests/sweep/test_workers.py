"""Processes that train in parallel; leases of trials: which are lost, and what becomes of their values."""

import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from lorasent.errors import DivergedError, SweepError
from lorasent.sweep import workers

HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"


def test_a_trial_is_lost_when_its_process_ends(tmp_path):
    """It is not lost before, and its lock file is removed."""
    optuna_study = optuna.create_study()
    optuna_study.ask()
    command = [sys.executable, "-c", HOLD, tmp_path / "0.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert workers.lost(optuna_study, tmp_path) == []
        holder.kill()
        holder.wait()
        assert [trial.number for trial in workers.lost(optuna_study, tmp_path)] == [0]
    assert not list(tmp_path.iterdir())


def test_a_trial_of_another_machine_is_lost_without_heartbeats(tmp_path):
    """There is no lock file of it here; its last heartbeat decides."""
    optuna_study = optuna.create_study()
    trial = optuna_study.ask()
    assert workers.lost(optuna_study, tmp_path) == []
    trial.set_user_attr(workers.HEARTBEAT_KEY, time.time() - workers.EXPIRY - 1)
    assert [trial.number for trial in workers.lost(optuna_study, tmp_path)] == [0]


def test_a_trial_without_any_heartbeat_is_lost_after_a_while(tmp_path, monkeypatch):
    """Its process was killed before the first heartbeat; the clock of the waiting process decides."""
    monkeypatch.setattr(workers, "EXPIRY", 0.2)
    optuna_study = optuna.create_study()
    optuna_study.ask()
    assert workers.lost(optuna_study, tmp_path) == []
    time.sleep(0.3)
    assert [trial.number for trial in workers.lost(optuna_study, tmp_path)] == [0]


def test_time_zones_do_not_make_a_trial_lost(tmp_path, monkeypatch):
    """Its start is noted in the local time of one machine, and read by another hours ahead."""
    optuna_study = optuna.create_study()
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    optuna_study.ask()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    lost = workers.lost(optuna_study, tmp_path)
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
        assert workers.lost(optuna_study, tmp_path) == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(SweepError, match="full"), workers.held(trial, tmp_path):
        raise SweepError("full")
    assert len(workers.lost(optuna_study, tmp_path)) == 1


def test_values_whose_process_dies_are_given_up_after_three_attempts():
    """The starting recipe's are never given up, and are whole even if its process died early."""
    optuna_study = optuna.create_study()
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    optuna_study.enqueue_trial({"x": 0.5})
    seen = []
    for _ in range(workers.MAX_ATTEMPTS + 1):
        seen.append(optuna_study.ask(space).params["x"])
        workers.give_up(optuna_study, optuna_study.get_trials()[-1], {"x": 0.25})
    assert (seen[:-1], seen[-1] == 0.5) == ([0.5] * workers.MAX_ATTEMPTS, False)
    optuna_study = optuna.create_study()
    optuna_study.enqueue_trial({"x": 0.25}, user_attrs={workers.FIRST_KEY: True})
    for _ in range(workers.MAX_ATTEMPTS + 1):
        optuna_study.ask()
        workers.give_up(optuna_study, optuna_study.get_trials()[-1], {"x": 0.25})
    assert optuna_study.ask(space).params == {"x": 0.25}


def test_a_finished_trial_is_not_tried_again():
    """It finished while another process took it for lost."""
    optuna_study = optuna.create_study()
    trial = optuna_study.ask()
    stale = optuna_study.get_trials()[0]
    optuna_study.tell(trial, 1.0)
    workers.give_up(optuna_study, stale, {})
    assert [trial.state for trial in optuna_study.trials] == [TrialState.COMPLETE]


def diverge():
    """Raises the error of a training that diverged."""
    raise DivergedError("training loss is nan after 3 steps")


@pytest.mark.slow
def test_a_diverged_training_is_not_advised_to_continue():
    """It would diverge again with the same seed."""
    with pytest.raises(SweepError, match=r"^training loss is nan after 3 steps; finished trainings are kept$"):
        workers.run_parallel(diverge, [()])
