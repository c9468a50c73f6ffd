"""Two trees of code are compared, each in a process of its own that provably runs that tree."""

import shutil

import pytest

from tests.benchmarks import against, trials
from tests.benchmarks.against import ROOT, Subject, WorkerError, checkout, slower, workers


@pytest.fixture
def tree(tmp_path):
    """Returns a copy of today's code."""
    return trials.copy(tmp_path / "tree", "figures")


@pytest.mark.slow
def test_a_worker_runs_the_code_of_its_tree(tree):
    """A worker answers each command with a time, and imports `lorasent` from its tree, although this checkout is on the path."""
    with workers(Subject("figures", ROOT, tree), Subject("figures", ROOT)) as pair:
        assert all(one() > 0 for one in (*pair, *pair))


def test_a_tree_without_the_code_is_found_out(tmp_path):
    """A tree without the package is refused, because today's code would be measured in its place."""
    with (
        pytest.raises(WorkerError, match=r"figures: needs the code in .*, found that in "),
        workers(Subject("figures", ROOT, tmp_path)),
    ):
        pytest.fail("it works")


def test_a_worker_that_ends_says_why(tree):
    """A worker that fails is reported with the last line of its error."""
    (tree / "lorasent" / "metrics.py").write_text("raise ValueError('broken')\n")
    reason = r"figures, the code in .*: its process ended early; it said last: ValueError: broken$"
    with workers(Subject("figures", ROOT, tree)) as (work,), pytest.raises(WorkerError, match=reason):
        work()


def test_a_commit_is_checked_out(tmp_path):
    """A checkout holds the package alone, so that today's workloads are used."""
    assert [path.name for path in checkout("HEAD", tmp_path).iterdir()] == ["lorasent"]
    assert (tmp_path / "lorasent" / "__init__.py").is_file()


def test_a_revision_that_is_none_is_named(tmp_path):
    """An unknown revision is reported with git's reason."""
    with pytest.raises(
        WorkerError, match=r"^nowhere: no commit of this repository that holds the package: not a valid object name"
    ):
        checkout("nowhere", tmp_path)


def test_slower_is_what_fresh_processes_confirm(monkeypatch):
    """If a first pair of processes shows a slowdown, a second pair measures again, and its result counts."""
    times = iter([2.0, 1.0])
    pairs = []

    def pair(*subjects):
        seconds = next(times)
        pairs.append(subjects)
        return _Ready([lambda: seconds, lambda: 1.0])

    monkeypatch.setattr(against, "workers", pair)
    now, then = Subject("figures", ROOT), Subject("figures", ROOT)
    assert slower(now, then).value == 1.0
    assert pairs == [(now, then)] * 2
    times = iter([2.0, 1.9])
    assert slower(now, then).low == pytest.approx(1.9)


class _Ready(list):
    """Workers that run already."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.mark.slow
def test_a_planted_slowdown_is_caught(tree, tmp_path):
    """A tree that does everything twice is found slower; a tree compared with itself is not."""
    worse = shutil.copytree(tree, tmp_path / "worse")
    with (worse / "lorasent" / "metrics.py").open("a") as file:
        file.write("\n\n_done = evaluate\n\n\ndef evaluate(*a):\n    _done(*a)\n    return _done(*a)\n")
    then = Subject("figures", ROOT, tree)
    assert slower(Subject("figures", ROOT, worse), then).low > against.THRESHOLD
    assert slower(then, then).low <= against.THRESHOLD


@pytest.mark.parametrize("workload", trials.WORK)
def test_the_planted_work_is_15_percent_more(workload):
    """3 of 20 calls are made twice."""
    made = []
    names: dict = {"made": made}
    _file, name = trials.WORK[workload]
    owner, _, method = name.rpartition(".")
    plain = "def {m}(*a):\n    made.append(a)\n" if not owner else "class Scorer:\n    def {m}(self, *a):\n        made.append(a)\n"
    exec(plain.format(m=method) + trials.SLOWER.format(name=name, calls=trials.CALLS), names)  # noqa: S102
    called = names["evaluate"] if not owner else names["Scorer"]().logits
    for _ in range(40):
        called("text")
    assert len(made) == 46
