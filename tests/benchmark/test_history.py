"""The history of `lorasent benchmark`: a line a run, and times beside those of the same kind of machine only."""

import json

import pytest

from lorasent.benchmark import history
from lorasent.errors import LorasentError
from lorasent.text import columns
from tests.support.benchmarks import HERE, THERE, run


def changes(rows):
    """The last column of each row, by its name."""
    return {name: change for name, _, change in rows}


def test_a_run_is_one_line_and_comes_back(tmp_path):
    """Runs are read as they were kept, the oldest first."""
    path = tmp_path / "deep" / "history.jsonl"
    kept = [run(1), run(2, ratio=1.2), run(3, adapter="größe\n::set-output::")]
    for each in kept:
        history.append(path, each)
    assert len(path.read_text("utf-8").splitlines()) == 3
    assert history.read(path) == kept


def test_a_file_without_its_last_line_end_is_added_to(tmp_path):
    """As an editor may leave it."""
    path = tmp_path / "history.jsonl"
    path.write_text(history.line(run(1)).rstrip("\n"))
    history.append(path, run(2))
    assert history.read(path) == [run(1), run(2)]


def test_without_a_file_there_are_no_runs(tmp_path):
    """The first run begins it."""
    assert history.read(tmp_path / "history.jsonl") == []


GOOD = json.loads(history.line(run(1)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "JSON: Invalid JSON"),
        ("", "JSON: Invalid JSON"),
        ("[1]", "JSON: Input should be an object"),
        ({"p50": None}, "p50: Input should be a valid number"),
        ({"p50": -1}, "p50: Input should be greater than 0"),
        ({"p50": float("nan")}, "p50: Input should be"),
        ({"p50": 1e300}, "p50: Input should be less than"),
        ({"peak_bytes": "LONG"}, "JSON: Invalid JSON: number out of range"),
        ({"when": "yesterday"}, "when: "),
        ({"ratio": {"value": 1.0}}, "ratio.low: Field required"),
        ({"kind": "another"}, "kind: Input should be 'lorasent benchmark'"),
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    """By the file, the line, the key and what was expected; nothing is guessed."""
    path = tmp_path / "history.jsonl"
    bad = line if isinstance(line, str) else json.dumps({**GOOD, **line}).replace('"LONG"', "9" * 5000)
    path.write_text(history.line(run(1)) + bad + "\n" + history.line(run(2)))
    with pytest.raises(LorasentError, match=r"history\.jsonl, line 2: not a run of lorasent benchmark: ") as error:
        history.read(path)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no UTF-8", "a folder"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content):
    """With its path."""
    path = tmp_path / "history.jsonl"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(LorasentError, match=r"history\.jsonl: cannot be read as a history of benchmarks: "):
        history.read(path)


def test_times_stand_beside_the_last_run_of_this_kind():
    """The change is from the last one, not from the best."""
    found = changes(history.rows(run(3, p50=0.012), [run(1, p50=0.001), run(2, p50=0.010)]))
    assert found["one review, median"] == "+20.0% from the last run"


@pytest.mark.parametrize(
    "other",
    [{"machine": THERE}, {"libraries": {"torch": "1"}}, {"made_on": "cuda, bf16"}, {"data_sha256": "d" * 64}],
    ids=["machine", "libraries", "number format", "reviews"],
)
def test_kinds_of_machine_are_kept_apart(other):
    """Times of another machine, library, number format or of other reviews are compared with nothing."""
    found = changes(history.rows(run(3), [run(1, **other)]))
    assert {found[name] for name in ("one review, median", "one review, 99 %", "reviews a second", "memory at most")} == {
        "no earlier figure"
    }
    assert len([line for line in history.card([run(1, **other), run(3)]) if line.startswith("  when")]) == 2


def test_counts_are_exact_and_the_same_on_every_machine():
    """They are compared wherever the same reviews were counted; a change is told to the last unit."""
    earlier = [run(1, machine=THERE, tokens=100, flops=7)]
    found = changes(history.rows(run(2, tokens=100, flops=5, bytes=9), earlier))
    assert (found["tokens"], found["flops"], found["bytes"]) == ("exact, as before", "exact, -2", "exact")


def test_the_card_fits_80_columns_and_shows_the_last_runs_first():
    """Eight of a group at most; the others are counted."""
    lines = history.card([run(day, ratio=1.013, machine={**HERE, "processor": "a long name " * 9}) for day in range(1, 13)])
    assert all(columns(line) <= 80 for line in lines)
    days = [line.split()[0] for line in lines if line.startswith("  2026-")]
    assert days == sorted(days, reverse=True)
    assert len(days) == 8
    assert lines[-1] == "  4 earlier"
    assert "1.013" in next(line for line in lines if line.startswith("  2026-"))
