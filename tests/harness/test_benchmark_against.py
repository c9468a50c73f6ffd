"""Two trees of code are compared as they are: each by a process of its own, which is known to run it."""

import shutil

import pytest

from tests.benchmarks import against, trials
from tests.benchmarks.against import ROOT, Subject, WorkerError, checkout, slower, workers


@pytest.fixture
def tree(tmp_path):
    """A copy of today's code."""
    return trials.copy(tmp_path / "tree", "figures")


def test_a_worker_runs_the_code_of_its_tree(tree):
    """It answers each command with a time; its `lorasent` is the tree's, though this checkout's is on the path too."""
    with workers(Subject("figures", ROOT, tree), Subject("figures", ROOT)) as pair:
        assert all(one() > 0 for one in (*pair, *pair))


def test_a_tree_without_the_code_is_found_out(tmp_path):
    """Today's code would take its place, and the two would be alike."""
    with (
        pytest.raises(WorkerError, match=r"figures: needs the code in .*, found that in "),
        workers(Subject("figures", ROOT, tmp_path)),
    ):
        pytest.fail("it works")


def test_a_worker_that_ends_says_why(tree):
    """The last line of its error."""
    (tree / "lorasent" / "metrics.py").write_text("raise ValueError('broken')\n")
    reason = r"figures, the code in .*: its process ended early; it said last: ValueError: broken$"
    with workers(Subject("figures", ROOT, tree)) as (work,), pytest.raises(WorkerError, match=reason):
        work()


def test_a_commit_is_checked_out(tmp_path):
    """The package, and nothing that would take the place of today's workloads."""
    assert [path.name for path in checkout("HEAD", tmp_path).iterdir()] == ["lorasent"]
    assert (tmp_path / "lorasent" / "__init__.py").is_file()


def test_a_revision_that_is_none_is_named(tmp_path):
    """With git's own reason."""
    with pytest.raises(
        WorkerError, match=r"^nowhere: no commit of this repository that holds the package: not a valid object name"
    ):
        checkout("nowhere", tmp_path)


def test_slower_is_what_fresh_processes_confirm(monkeypatch):
    """A first pair that says twice the time is asked again, by a second pair; what that says counts."""
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
    """Workers that are there."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.mark.slow
def test_a_planted_slowdown_is_caught(tree, tmp_path):
    """Everything is done twice in one of two trees; the same tree against itself is not slower."""
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
