"""The history of benchmarks: comparable runs are compared, and others are named."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lorasent import files, golden, machine
from lorasent.errors import GoldenError
from tests.benchmarks import history, page

HERE = {"architecture": "x86_64", "threads": 2}
THERE = {"architecture": "x86_64", "threads": 8}


def run(day, p50=0.004, machine=HERE, dirty=False, ratio=1.0, limit=1.07, **counts):
    """Returns a run of a day with one time, one ratio and some counts."""
    return history.Run(
        when=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day),
        commit=f"{day:040x}",
        dirty=dirty,
        machine=machine,
        libraries={"torch": "2"},
        times={"one review": {"p50": p50, "p99": 2 * p50, "rounds": 100}},
        ratios={"one <review>": {"low": ratio - 0.02, "value": ratio, "high": ratio + 0.02, "limit": limit}},
        counts=counts,
    )


def row(lines, name):
    """Returns the cells of the table's row with a name."""
    (found,) = [line for line in lines if line.startswith(name)]
    return found.removeprefix(name).split()


def test_a_missing_baseline_is_reported():
    """The first run on a kind of machine is reported as such and compared with nothing."""
    lines = history.trend([], run(0))
    assert lines[0] == "no earlier run on this kind of machine (architecture x86_64, threads 2)"
    assert row(lines, "one review") == ["4.00ms", "no", "earlier", "figure"]


def test_another_machines_times_are_never_compared():
    """Even if only another kind of machine has run before, its times are not shown, only that it ran."""
    lines = history.trend([run(0, p50=0.5, machine=THERE)], run(1))
    assert lines[0].startswith("no earlier run on this kind of machine")
    assert lines[1] == "1 run on other kinds of machine: the times are not compared"
    assert row(lines, "one review") == ["4.00ms", "no", "earlier", "figure"]
    assert "500" not in "".join(lines)


def test_times_are_compared_with_the_last_run_of_this_kind():
    """The table shows the last three runs, oldest first, and the change from the last one."""
    earlier = [run(day, p50=day / 100) for day in range(1, 6)]
    lines = history.trend([*earlier[:4], run(9, p50=7, machine=THERE), earlier[4]], run(10, p50=0.06))
    assert lines[0].startswith("5 earlier runs on this kind of machine")
    assert row(lines, "one review") == ["30.00ms", "40.00ms", "50.00ms", "60.00ms", "+20.0%"]


def test_counts_are_compared_with_the_last_run_wherever_it_was():
    """Changed counts are listed with their difference; the others are summed up."""
    lines = history.trend([run(0, machine=THERE, calls=100, tokens=7)], run(1, calls=90, tokens=7, bytes=3))
    assert row(lines, "calls") == ["100", "90", "-10"]
    assert lines[-1] == "exact counts: 1 of 3 as in the last run that has any"
    assert history.trend([], run(0, calls=1))[-1] == "exact counts: no earlier run has any"
    assert history.trend([run(0, calls=1), run(1)], run(2, calls=1))[-1] == "exact counts: 1 of 1 as in the last run that has any"


def test_a_stored_run_comes_back_and_is_listed(tmp_path):
    """A stored run is one more line of the goldens' manifest, which still finds a golden that was edited by hand."""
    other = tmp_path / "other.json"
    other.write_text("{}")
    golden.write_manifest(tmp_path)
    other.write_text('{"edited": 1}')
    later, first = run(3), run(1, calls=4)
    folder = tmp_path / "benchmarks" / "history"
    paths = [history.store(one, folder, tmp_path) for one in (later, first)]
    assert history.read(folder) == [first, later]
    assert golden.read_manifest(tmp_path)[paths[0].relative_to(tmp_path).as_posix()] == files.sha256(paths[0])
    assert golden.faults(tmp_path) == [f"{tmp_path.name}/other.json: not the file that MANIFEST.json lists (another sha256)"]


def test_no_folder_is_no_history(tmp_path):
    """A folder that does not exist holds no runs."""
    assert history.read(tmp_path / "history") == []


def test_a_file_that_is_no_run_is_named(tmp_path):
    """The error says what the file lacks and what to do."""
    content = json.loads(run(0).model_dump_json())
    del content["commit"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(GoldenError, match=r"a\.json: not a run of benchmarks: commit: Field required; remove it$"):
        history.read(tmp_path)


def test_this_machine_has_a_processor():
    """The machine is described by its processor's name, because architecture alone says little about speed."""
    kind = machine.kind()
    assert kind["processor"]
    assert kind["cores"] >= 1


def test_the_page_draws_each_kind_of_machine_by_itself():
    """Each kind of machine has its own drawing, this run's first; points of a changed tree are hollow; names are escaped."""
    drawn = page.page([run(0), run(1, machine=THERE, p50=3), run(2, dirty=True, ratio=1.2)])
    here, there = drawn.split("<h2>")[1:3]
    assert (here.startswith("2 runs on: architecture x86_64, threads 2<"), there.startswith("1 run on: ")) == (True, True)
    assert (here.count("<circle"), here.count("class=dirty"), there.count("<circle")) == (4, 2, 2)
    assert "<span class=slower>1.2 times</span>" in here
    assert "<b>one &lt;review&gt;</b>" in here
    assert "<review>" not in drawn
    assert "+0.0% from the last run" in here
    assert "no earlier figure" in there


def test_a_ratio_within_its_limit_is_not_marked():
    """A ratio is marked as slower only if its whole interval exceeds the limit."""
    assert "class=slower" not in page.page([run(0, ratio=1.08)])


def test_a_point_lies_where_its_figure_is():
    """A point of 4 ms lies in the middle of an axis from 0 to 8."""
    drawn = page.page([run(0)])
    middle = (page.HEIGHT + page.TOP - page.BOTTOM) / 2
    assert f'cy="{middle}" r="3"><title>4 at 0000000, 2026-01-01<' in drawn


def test_the_page_counts_what_changed():
    """The page shows how counts changed since the run before."""
    drawn = page.page([run(0, calls=1000), run(1, calls=900, tokens=5)])
    assert "<td>calls<td>900<td>-100</tr>" in drawn
    assert "<td>tokens<td>5<td>new</tr>" in drawn
