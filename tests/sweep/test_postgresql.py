"""A search in a real PostgreSQL server: hosts, each with a folder of its own, know of each other from the database alone."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from optuna.trial import TrialState

from lorasent import Recipe
from lorasent.adapter import manifest
from lorasent.errors import SweepError
from lorasent.sweep import database, study, workers
from lorasent.sweep.search import space
from tests.support import hosts as simulated
from tests.support import postgresql
from tests.sweep.studies import EMBEDDED, search_over

HOSTS = 4


@pytest.fixture(scope="module")
def server():
    """A server that runs, on the loopback."""
    if reason := postgresql.missing():
        pytest.skip(reason)
    with postgresql.running() as started:
        yield started


@pytest.fixture(scope="module")
def shared(server):
    """The URL of a database with Optuna's tables."""
    url = server.database("shared")
    database.opened(url)
    return url


@pytest.fixture
def hosts(shared, tmp_path, request):
    """A function that makes searches, each with a folder of its own, of one study."""
    name = re.sub(r"\W", "-", request.node.name)

    def searches(trials, count=HOSTS):
        made = [
            search_over(EMBEDDED, tmp_path / f"host-{host}", "lora.r", trials=trials, storage=shared, study_name=name)
            for host in range(count)
        ]
        for search in made:
            search.folder.mkdir(parents=True)
        return made

    return searches


def together(function, arguments):
    """The results of a function called in a thread for each argument, all at one moment."""
    barrier = threading.Barrier(len(arguments))

    def call(argument):
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def finish_all(search):
    """The numbers of the trials that a host is handed until no more are wanted; each is told a loss."""
    shared_study, distributions, numbers = search.open(1), space(search.recipe, search.over), []
    study._clean_up(search, shared_study, workers.Watch(search.folder))
    while True:
        with ExitStack() as lease:
            trial = study._next(search, shared_study, distributions, lease)
            if trial is None:
                return numbers
            shared_study.tell(trial, 0.5)
            numbers.append(trial.number)


def test_hosts_are_handed_each_trial_once_and_as_many_as_wanted(hosts):
    """Four hosts that ask at the same moments finish 12 trials in all, the starting recipe once."""
    searches = hosts(trials=12)
    numbers = [number for each in together(finish_all, searches) for number in each]
    assert len(numbers) == len(set(numbers)) == 12
    trials = searches[0].open().get_trials()
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert sorted(trial.number for trial in finished) == sorted(numbers)
    assert sum(workers.FIRST_KEY in trial.user_attrs for trial in finished) == 1
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}


def test_of_two_hosts_that_took_the_last_trial_one_gives_it_back(hosts):
    """Both saw that one was wanted; the smaller number is trained."""
    one, other = hosts(trials=2, count=2)
    studies = [search.open() for search in (one, other)]
    study._clean_up(one, studies[0], workers.Watch(one.folder))
    study._clean_up(other, studies[1], workers.Watch(other.folder))
    handed = [studies[number % 2].ask(space(EMBEDDED, ["lora.r"])) for number in range(3)]
    assert [study.is_admitted(one, studies[0], trial) for trial in handed] == [True, True, False]
    assert [workers.FIRST_KEY in trial.user_attrs for trial in handed] == [True, False, False]
    studies[0].enqueue_trial(one.first, user_attrs={workers.FIRST_KEY: True})  # two hosts began at the same moment
    assert not study.is_admitted(one, studies[0], studies[0].ask(space(EMBEDDED, ["lora.r"])))


def test_a_lost_trial_is_queued_once_by_all_hosts(hosts):
    """Each host found that it was silent."""
    searches = hosts(trials=5)
    shared_study = searches[0].open()
    shared_study.ask(space(EMBEDDED, ["lora.r"]))
    (lost,) = shared_study.get_trials()
    together(lambda search: workers.give_up(search.open(), lost), searches)
    assert [trial.state for trial in shared_study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]


def test_hosts_may_begin_at_the_same_moment(server, tmp_path):
    """The database is empty; each of them creates its tables and the study."""
    url = server.database("empty")
    searches = [search_over(EMBEDDED, tmp_path / str(host), "lora.r", storage=url) for host in range(3)]
    opened = together(lambda search: search.open(), searches)
    assert {each._study_id for each in opened} == {1}


def test_hosts_propose_different_recipes(hosts):
    """They have one seed, and the same number of trials before them."""
    proposed = [search.open(1).sampler._rng.rng.random() for search in hosts(trials=5)]
    assert len(set(proposed)) == HOSTS


@pytest.mark.parametrize(("password", "port"), [("secret123", None), (postgresql.ESCAPED, 1)], ids=["password", "port"])
def test_a_server_that_refuses_is_one_line_without_the_password(server, lorasent, small_recipe, password, port):
    """Exit code 2, and the reason is the server's own."""
    url = server.url(password=password).replace(f":{server.port}/", f":{port or server.port}/")
    done = lorasent("sweep", small_recipe, "--storage", url, "--confirm", 0)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    reason = "Connection refused" if port else "password authentication failed"
    place = rf"--storage postgresql://lorasent:\*\*\*@127.0.0.1:{port or server.port}/postgres"
    assert re.match(rf"lorasent: {place}: no study can be kept there: .*{reason}.*; check that the server runs", line)
    assert not {password, postgresql.PASSWORD} & set(re.split(r"[ :@]", done.stdout + done.stderr))
    assert password not in done.stderr


def test_a_server_that_is_away_for_a_moment_is_waited_for(hosts, server):
    """Afterwards trials go on."""
    (search,) = hosts(trials=5, count=1)
    shared_study = search.open()
    trial = shared_study.ask(space(EMBEDDED, ["lora.r"]))
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(shared_study.tell, trial, 0.5)
        time.sleep(0.7)
        assert not told.done()
        server.start()
        told.result()
    assert [each.state for each in shared_study.get_trials()] == [TrialState.COMPLETE]


def test_a_server_that_stays_away_ends_the_search_in_one_line(hosts, server, monkeypatch):
    """The line has the reason and no password."""
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    (search,) = hosts(trials=1, count=1)
    shared_study = search.open()
    server.stop()
    try:
        message = r"^--storage postgresql://lorasent:\*\*\*@\S+: the search cannot go on: .+refused"
        with pytest.raises(SweepError, match=message), search.failing_clearly():
            shared_study.get_trials()
    finally:
        server.start()


def begin(arguments, folder, command=()):
    """A search as a process, with all that it starts in a group of its own."""
    words = [sys.executable, "-m", "lorasent.cli", "sweep", *map(str, arguments), "--confirm", "0", "--resume"]
    return subprocess.Popen([*command, *words], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def wait_for(process, pattern, folder):
    """Waits until a search has a file like this."""
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture
def stopped():
    """A list of processes whose groups are killed after the test."""
    processes = []
    yield processes
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_two_processes_search_together_and_a_killed_one_costs_only_its_trial(server, small_recipe, tmp_path, stopped, lorasent):
    """Each has a folder of its own. There are as many trials as wanted, the same table, and the best adapter in both folders."""
    arguments = [small_recipe, "--storage", server.database("pair"), "--over", "lora.r", "--trials", 5]
    outs = [tmp_path / name for name in ("one", "other")]
    first, second = (begin([*arguments, "--out", out], tmp_path) for out in outs)
    stopped += [first, second]
    wait_for(first, "trials/*.partial", outs[0])
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    again = begin([*arguments, "--out", outs[0]], tmp_path)
    stopped.append(again)
    printed = [process.communicate() for process in (again, second)]
    assert [process.returncode for process in (again, second)] == [0, 0], printed
    assert printed[0][0].splitlines()[:7] == printed[1][0].splitlines()[:7]
    tables = [json.loads((out / "sweep.json").read_text())["trials"] for out in outs]
    assert tables[0] == tables[1]
    finished = [trial for trial in tables[0] if trial["state"] in ("COMPLETE", "PRUNED")]
    assert len(finished) == 5
    assert {trial["folder"] for trial in finished} <= {str(out) for out in outs}
    winner = Recipe.read(outs[0] / "best.toml").to_json()
    assert [manifest.read(out / study.BEST).tables for out in outs] == [winner, winner]
    assert not [path for out in outs for path in (out / "trials").iterdir()]
    assert f"trained on {socket.gethostname()} in {tmp_path}" in (printed[0][1] + printed[1][1]).decode()


@pytest.mark.slow
def test_hosts_in_networks_of_their_own_search_together(small_recipe, tmp_path, stopped):
    """Two network namespaces reach the server over a bridge; each host's name is kept with its trials."""
    if reason := postgresql.missing() or simulated.missing():
        pytest.skip(reason)
    with simulated.network(2) as (address, names), postgresql.running(address) as server:
        arguments = [small_recipe, "--storage", server.database("hosts"), "--over", "lora.r", "--trials", 4]
        for name in names:
            stopped.append(begin([*arguments, "--out", tmp_path / name], tmp_path, simulated.command_on(name)))
        printed = [process.communicate() for process in stopped]
        assert [process.returncode for process in stopped] == [0, 0], printed
    tables = [json.loads((tmp_path / name / "sweep.json").read_text())["trials"] for name in names]
    assert tables[0] == tables[1]
    assert len(tables[0]) - sum(trial["state"] == "FAIL" for trial in tables[0]) == 4
    assert {trial["host"] for trial in tables[0] if trial["state"] != "FAIL"} <= set(names)
    assert all((tmp_path / name / study.BEST).is_dir() for name in names)
