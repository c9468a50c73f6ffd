"""Where work is done: by processes, by Ray; what goes wrong there is one line."""

import os
import pickle
import signal
import sys
import time

import pytest

from lorasent.bulk import engines
from lorasent.bulk.engines import WorkerError, Workers
from lorasent.errors import DataError, LorasentError


def work(item):
    """Squares a number; 3 is an error of the data, 4 kills the process, 5 is a bug."""
    if item == 3:
        raise DataError("row 3: no text")
    if item == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        raise ZeroDivisionError("a bug")
    return item * item


def environment(name):
    """What a worker sees of a variable."""
    return os.environ.get(name)


def test_processes_answer_each_item(monkeypatch):
    """In any order; with the environment of now, whenever the fork server began."""
    assert sorted(engines.local(work, [0, 1, 2], Workers(2))) == [0, 1, 4]
    monkeypatch.setenv("LORASENT_TRIED", "now")
    assert list(engines.local(environment, ["LORASENT_TRIED"], Workers())) == ["now"]


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (3, LorasentError, r"^row 3: no text$"),
        (4, WorkerError, r"^one of 1 workers was killed, perhaps"),
        (5, ZeroDivisionError, r"^a bug$"),
    ],
    ids=["data", "killed", "a bug"],
)
def test_what_goes_wrong_in_a_process_ends_the_work(item, error, message):
    """With its own message."""
    with pytest.raises(error, match=message):
        list(engines.local(work, [item], Workers(1)))


def test_work_that_is_left_ends_its_processes():
    """Ctrl-C, or an error of whoever reads the results."""
    import multiprocessing

    before = set(multiprocessing.active_children())
    results = engines.local(work, [1] * 50, Workers(2))
    next(results)
    results.close()
    deadline = time.monotonic() + 30
    while set(multiprocessing.active_children()) - before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_ends_with_its_parent(monkeypatch):
    """However the parent ends."""
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    engines._end_with(type("Parent", (), {"join": staticmethod(lambda: None)}))
    assert ended == [1]


def test_an_actor_returns_errors_as_results():
    """An exception of another process may not survive pickling."""
    answers = [pickle.loads(engines._Actor(work)({"item": pickle.dumps(item)})["result"]) for item in (2, 3)]  # noqa: S301
    assert engines._result(answers[0]) == 4
    with pytest.raises(LorasentError, match=r"^row 3: no text$"):
        engines._result(answers[1])


def test_without_ray_a_line_says_what_to_install(monkeypatch):
    """An extra brings it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r"the engine ray needs a package that is not installed: pip install 'lorasent\[ray\]'"):
        next(engines.ray(work, [1], Workers(1)))


class Cluster:
    """What is asked of a cluster, without one."""

    def __init__(self, **resources):
        self.resources = resources

    def cluster_resources(self):
        return self.resources


def test_workers_fit_into_the_cluster():
    """As many as there is room for, or as were asked for; GPUs may be shared."""
    assert engines._fitting(Cluster(CPU=8.0), Workers(cpus=3)) == 2
    assert engines._fitting(Cluster(CPU=8.0, GPU=1.0), Workers(gpus=0.25)) == 4
    assert engines._fitting(Cluster(CPU=8.0), Workers(3)) == 3
    message = r"^2 actors of 1 CPU and 1 GPU each: expected a cluster that has room for them, found 8 CPU and 0 GPU$"
    with pytest.raises(WorkerError, match=message):
        engines._fitting(Cluster(CPU=8.0), Workers(2, gpus=1))


def test_an_error_of_ray_is_one_line():
    """What is ours passes."""
    with pytest.raises(WorkerError, match=r"^Ray: gone$"), engines._failing("Ray"):
        raise RuntimeError("gone\nand more")
    with pytest.raises(DataError, match="ours"), engines._failing("Ray"):
        raise DataError("ours")


def test_silence_is_of_standard_error_alone(capfd):
    """And ends."""
    with engines._silent():
        os.write(2, b"hidden")
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


class Ray(Cluster):
    """What is asked of the module ray, and what it heard."""

    def __init__(self, *, connected):
        super().__init__(CPU=2.0)
        self.data = self.DataContext = self
        self.connected, self.heard = connected, []

    def get_current(self):
        return self

    def is_initialized(self):
        return self.connected

    def init(self, **options):
        self.heard.append(options)

    def shutdown(self):
        self.heard.append("shutdown")


@pytest.mark.parametrize(
    ("connected", "address", "expected"),
    [(True, None, None), (False, "head:6379", None), (False, None, "local")],
    ids=["a program's own", "a cluster", "none"],
)
def test_ray_is_started_only_where_there_is_none(monkeypatch, connected, address, expected):
    """What was connected stays so; a Ray that is started here has no dashboard, and ends."""
    ray = Ray(connected=connected)
    monkeypatch.setattr(engines, "require_ray", lambda: ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with engines._connected(Workers(2)) as (_, count):
        assert count == 2
    if connected:
        assert ray.heard == []
        return
    options, end = ray.heard
    assert (options.get("address"), end) == (expected, "shutdown")
    assert options.get("include_dashboard") is (None if address else False)


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_a_busy_machine_may_start_ray_later(failures):
    """It is tried three times."""
    ray, left = Ray(connected=False), [None] * failures

    def start(**options):
        ray.init(**options)
        if left:
            left.pop()
            raise RuntimeError("timed out")

    if failures == 3:
        with pytest.raises(RuntimeError, match="timed out"):
            engines._start_here(ray, start, address="local")
    else:
        engines._start_here(ray, start, address="local")
    assert len([each for each in ray.heard if each != "shutdown"]) == min(failures + 1, 3)
    assert ray.heard.count("shutdown") == failures
