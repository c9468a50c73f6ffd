"""The history of benchmarks: what may be compared is, what may not is said."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lorasent import files, golden
from lorasent.errors import GoldenError
from tests.benchmarks import history, page

HERE = {"architecture": "x86_64", "threads": 2}
THERE = {"architecture": "x86_64", "threads": 8}


def run(day, p50=0.004, machine=HERE, dirty=False, ratio=1.0, limit=1.07, **counts):
    """A run of a day with one time, one ratio and some counts."""
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
    """The cells of the table's row with a name."""
    (found,) = [line for line in lines if line.startswith(name)]
    return found.removeprefix(name).split()


def test_a_missing_baseline_is_said_aloud():
    """The first run on a kind of machine says so, and compares nothing."""
    lines = history.trend([], run(0))
    assert lines[0] == "no earlier run on this kind of machine (architecture x86_64, threads 2)"
    assert row(lines, "one review") == ["4.00ms", "no", "earlier", "figure"]


def test_another_machines_times_are_never_compared():
    """Not even where it alone has run before: its times are in no line, only that it ran."""
    lines = history.trend([run(0, p50=0.5, machine=THERE)], run(1))
    assert lines[0].startswith("no earlier run on this kind of machine")
    assert lines[1] == "1 run on other kinds of machine: the times are not compared"
    assert row(lines, "one review") == ["4.00ms", "no", "earlier", "figure"]
    assert "500" not in "".join(lines)


def test_times_are_compared_with_the_last_run_of_this_kind():
    """The last three are shown, oldest first; the change is from the last one."""
    earlier = [run(day, p50=day / 100) for day in range(1, 6)]
    lines = history.trend([*earlier[:4], run(9, p50=7, machine=THERE), earlier[4]], run(10, p50=0.06))
    assert lines[0].startswith("5 earlier runs on this kind of machine")
    assert row(lines, "one review") == ["30.00ms", "40.00ms", "50.00ms", "60.00ms", "+20.0%"]


def test_counts_are_compared_with_the_last_run_wherever_it_was():
    """Those that changed are named, with the difference; the others are counted."""
    lines = history.trend([run(0, machine=THERE, calls=100, tokens=7)], run(1, calls=90, tokens=7, bytes=3))
    assert row(lines, "calls") == ["100", "90", "-10"]
    assert lines[-1] == "exact counts: 1 of 3 as in the last run that has any"
    assert history.trend([], run(0, calls=1))[-1] == "exact counts: no earlier run has any"
    assert history.trend([run(0, calls=1), run(1)], run(2, calls=1))[-1] == "exact counts: 1 of 1 as in the last run that has any"


def test_a_stored_run_comes_back_and_is_listed(tmp_path):
    """In the manifest of the goldens it is one more line; a golden changed by hand stays found out."""
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
    """A first run finds none."""
    assert history.read(tmp_path / "history") == []


def test_a_file_that_is_no_run_is_named(tmp_path):
    """With what it lacks, and what to do."""
    content = json.loads(run(0).model_dump_json())
    del content["commit"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(GoldenError, match=r"a\.json: not a run of benchmarks: commit: Field required; remove it$"):
        history.read(tmp_path)


def test_this_machine_has_a_processor():
    """Architecture alone would make two machines of very different speed alike."""
    kind = history.kind_of_machine()
    assert kind["processor"]
    assert kind["cores"] >= 1


def test_the_page_draws_each_kind_of_machine_by_itself():
    """This run's kind first, with its own points only; a tree with changes is hollow; names are text."""
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
    """Nor one whose interval only reaches over it."""
    assert "class=slower" not in page.page([run(0, ratio=1.08)])


def test_a_point_lies_where_its_figure_is():
    """4 ms on an axis from 0 to 8: half way down the drawing."""
    drawn = page.page([run(0)])
    middle = (page.HEIGHT + page.TOP - page.BOTTOM) / 2
    assert f'cy="{middle}" r="3"><title>4 at 0000000, 2026-01-01<' in drawn


def test_the_page_counts_what_changed():
    """From the run before, to the unit."""
    drawn = page.page([run(0, calls=1000), run(1, calls=900, tokens=5)])
    assert "<td>calls<td>900<td>-100</tr>" in drawn
    assert "<td>tokens<td>5<td>new</tr>" in drawn
