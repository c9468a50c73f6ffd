"""Bulk jobs: resumed, refused, summed up, and killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextvars import Context
from dataclasses import replace

import psutil
import pyarrow.parquet as pq
import pytest

from lorasent import files
from lorasent.bulk import engines, shards
from lorasent.bulk.engines import Workers
from lorasent.bulk.run import SUMMARY, run
from lorasent.errors import DataError, LorasentError
from lorasent.scoring import progress


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """An engine that works in this process: processes have tests of their own."""
    monkeypatch.setitem(engines.ENGINES, "local", lambda function, items, _: (Context().run(function, item) for item in items))


def hashes(folder):
    """Hash by name of each file in a folder."""
    return {path.name: files.sha256(path) for path in folder.iterdir()}


def test_what_is_there_is_not_scored_again(job, pattern, tmp_path, monkeypatch):
    """A shard that is missing or damaged is, and the folder is the same, byte for byte; what a killed process left is removed."""
    summary = run(job, pattern, rows=8)
    before = hashes(tmp_path / "out")
    assert (summary.rows, summary.reused, len(before)) == (40, 0, 7)
    (missing, damaged, *_) = (tmp_path / "out" / done.file for done in summary.shards)
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (tmp_path / "out" / f".{missing.name}.123-abcd.tmp").touch()
    scored = []
    monkeypatch.setattr(shards, "score", lambda job, shard, score=shards.score: scored.append(shard.start) or score(job, shard))
    again = run(job, pattern, rows=8)
    assert (again.shards, again.reused, scored) == (summary.shards, 4, [0, 8])
    assert hashes(tmp_path / "out") == before
    assert run(job, pattern, rows=8).reused == 6


def test_the_summary_lists_every_shard(job, pattern, tmp_path):
    """With counts; it is written last, and readers of the folder do not see it."""
    summary = run(job, pattern, rows=8)
    about = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert (about["rows"], about["skipped"], about["adapter"]) == (40, 0, job.model.identity)
    assert sum(about["by_label"].values()) == sum(shard["rows"] for shard in about["shards"]) == 40
    ids = pq.read_table(tmp_path / "out")["id"].to_pylist()
    assert sorted(ids) == sorted([f"a.parquet#{row}" for row in range(1, 31)] + [f"b.parquet#{row}" for row in range(1, 11)])
    assert summary.labels == about["by_label"]


def test_shards_of_another_job_are_refused(job, pattern):
    """Whoever reads the folder would read both."""
    run(job, pattern)
    with pytest.raises(
        LorasentError, match=r"out: holds Parquet files of another adapter, input or choice of options .*folder, or rem"
    ):
        run(replace(job, keep_text=True), pattern)


def test_a_row_that_cannot_be_read_ends_the_job(job, pattern, tmp_path):
    """Other shards are kept, and there is no summary, not even an old one."""
    run(job, pattern, rows=10)
    (tmp_path / "in" / "c.csv").write_text("text\nfine\n \n")
    with pytest.raises(DataError, match=r"c\.csv: column text, row 2: expected a text"):
        run(job, f"{tmp_path}/in/*", rows=10)
    assert len(list((tmp_path / "out").iterdir())) == 4
    (tmp_path / "in" / "c.csv").write_text("text\nfine\n")
    assert run(job, f"{tmp_path}/in/*", rows=10).reused == 4


def test_an_empty_input_is_an_error(job, tmp_path):
    """As it is without a folder."""
    (tmp_path / "a.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"a\.csv: holds no reviews"):
        run(job, f"{tmp_path}/a.csv")


def test_progress_counts_rows(job, pattern):
    """Of all that is left to do."""
    seen = []
    with progress.shown_by(lambda _, done, total: seen.append((done, total))):
        run(job, pattern, rows=30)
    assert [each for each in seen if each[0] in (0, 30, 40)] == [(0, 40), (30, 40), (40, 40)]


def test_shards_that_other_machines_kept_to_themselves_are_missed(job, pattern, monkeypatch):
    """A folder must be shared."""

    def elsewhere(job, shard, score=shards.score):
        done = score(job, shard)
        os.unlink(f"{job.output}/{done.file}")  # noqa: PTH108
        return done

    monkeypatch.setattr(shards, "score", elsewhere)
    with pytest.raises(LorasentError, match=r"out: 2 shards were written and are not there: machines of a cluster need a folder"):
        run(job, pattern)


def test_input_and_output_in_a_store(job, pattern, bucket, tmp_path):
    """S3 gives the same rows as a folder, and a job goes on there too."""
    import s3fs

    store = s3fs.S3FileSystem()
    store.put(f"{tmp_path}/in/", f"{bucket}/in/", recursive=True)
    summary = run(replace(job, output=f"{bucket}/out"), f"{bucket}/in/*.parquet", rows=8)
    run(job, pattern, rows=8)
    there, here = pq.read_table(f"{bucket[5:]}/out", filesystem=store), pq.read_table(job.output)
    assert there.sort_by("id").equals(here.sort_by("id"))
    store.pipe_file(f"{bucket}/out/{summary.shards[0].file}", b"damaged")
    again = run(replace(job, output=f"{bucket}/out"), f"{bucket}/in/*.parquet", rows=8)
    assert (again.shards, again.reused) == (summary.shards, 5)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_job_that_is_killed_goes_on(small_adapter, job, pattern, tmp_path):
    """With SIGKILL, at random moments: every row comes out once, as without it, and no process is left."""
    command = [
        "predict",
        str(small_adapter),
        "--input",
        pattern,
        "--output",
        f"{tmp_path}/out/",
        "--shard-rows",
        "2",
        "--actors",
        "2",
    ]
    chance = random.Random(0)  # noqa: S311 - no secret
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-m", "lorasent.cli", *command], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        wanted = len(list((tmp_path / "out").glob("*"))) + chance.randint(0, 3)
        while process.poll() is None and len(list((tmp_path / "out").glob("*"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(below, timeout=300)[1] == []  # a fork server that still imports ends when it has
    assert not (tmp_path / "out" / SUMMARY).exists()
    subprocess.run([sys.executable, "-m", "lorasent.cli", *command], check=True)
    whole = replace(job, output=f"{tmp_path}/whole")
    run(whole, pattern, rows=2)
    assert {n: h for n, h in hashes(tmp_path / "out").items() if n != SUMMARY} == {
        n: h for n, h in hashes(tmp_path / "whole").items() if n != SUMMARY
    }
    assert len(pq.read_table(tmp_path / "out")) == 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_engines_and_workers_do_not_change_a_byte(small_adapter, job, pattern, tmp_path, process):
    """Ray with one actor and with two, processes of this machine, and the scorer itself; no process of Ray's is left."""
    pytest.importorskip("ray", reason="ray is not installed")
    run(job, pattern, rows=8)
    arguments = ["predict", small_adapter, "--input", pattern, "--shard-rows", 8, "--precision", "fp32"]
    for name, options in (("one", ["--engine", "ray", "--actors", 1]), ("two", ["--engine", "ray", "--actors", 2]), ("local", [])):
        done = process(*arguments, "--output", f"{tmp_path}/{name}/", *options)
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if "labelling reviews" not in line] == [
            f"Written: {tmp_path}/{name}: 40 reviews ({', '.join(f'{n} {label}' for label, n in _counts(tmp_path / name))})"
        ]
        assert hashes(tmp_path / name) == hashes(tmp_path / "out")
    assert [
        line for line in (" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)) if "ray" in line
    ] == []


def _counts(folder):
    """Label and count, as the summary has them."""
    by_label = json.loads((folder / SUMMARY).read_text())["by_label"]
    return by_label.items()


def test_workers_are_small():
    """What is sent to a worker says how many there are, and what each takes."""
    assert Workers() == Workers(None, 1, 0)
