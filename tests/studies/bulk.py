"""Bulk scoring: Ray beside the plain engine, and workers that are killed at random.

    `python -m tests.studies.bulk engines [--rows N] [--shard-rows N] [--rounds N]`
    `python -m tests.studies.bulk kills [--kills N] [--ray-kills N]`

"engines" labels short reviews (LORASENT_DATA/sst2_train.parquet, repeated to N rows) with the reference adapter, by two processes
and by Ray with two actors, one core each, in turns. It compares the wall time of whole jobs, the time from their first shard to
their last, and every byte of their shards. "kills" kills workers of a small adapter with SIGKILL at random moments, starts the job
again where the engine does not, and counts the rows of what came out. Writes golden/measured/bulk.json; a part that is not measured
keeps what stands there.
"""

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from lorasent import files, machine
from lorasent.bulk import shards
from lorasent.bulk.engines import ENGINES, WorkerError, Workers
from lorasent.bulk.model import describe
from lorasent.bulk.run import run
from lorasent.bulk.shards import Job

ROOT = Path(__file__).parents[2]
OUT = ROOT / "golden" / "measured" / "bulk.json"


def reviews(folder: Path, rows: int, parts: int = 4) -> str:
    """Writes short reviews into Parquet files; the glob that names them."""
    texts = pq.read_table(Path(os.environ["LORASENT_DATA"]) / "sst2_train.parquet")["text"].to_pylist()
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        chosen = range(part * rows // parts, (part + 1) * rows // parts)
        table = pa.table({"text": [texts[row % len(texts)] for row in chosen], "key": [f"r{row}" for row in chosen]})
        pq.write_table(table, folder / f"part-{part}.parquet")
    return f"{folder}/*.parquet"


def timed(engine: str, job: Job, pattern: str, rows: int, workers: Workers) -> tuple[float, float, int]:
    """Seconds of a whole job, seconds from its first shard to its last, and the rows that were labelled between them."""
    planned, begun = shards.plan(pattern, rows), time.perf_counter()
    scored = ENGINES[engine](partial(shards.score, job), planned, workers)
    ends = [(time.perf_counter(), done.rows) for done in scored]
    return time.perf_counter() - begun, ends[-1][0] - ends[0][0], sum(count for _, count in ends[1:])


def engines(work: Path, rows: int, shard_rows: int, rounds: int) -> dict[str, Any]:
    """Both engines in turns."""
    model, pattern = describe(ROOT / "golden" / "reference-adapter", "auto", "cpu", 1), reviews(work / "in", rows)
    times: dict[str, list[tuple[float, float, int]]] = {"local": [], "ray": []}
    for number in range(rounds):
        for engine in ("local", "ray") if number % 2 == 0 else ("ray", "local"):
            folder = work / f"{engine}-{number}"
            folder.mkdir()
            times[engine].append(timed(engine, Job(model, str(folder)), pattern, shard_rows, Workers(2)))
            print(engine, times[engine][-1], flush=True)
    contents = [{path.name: files.sha256(path) for path in work.glob(f"{engine}-*/*")} for engine in times]
    steady = [local[1] / local[2] / (ray[1] / ray[2]) for local, ray in zip(*times.values(), strict=True)]
    whole = [local[0] / ray[0] for local, ray in zip(*times.values(), strict=True)]
    return {
        "rows": rows,
        "shard_rows": shard_rows,
        "rounds": rounds,
        "identical": contents[0] == contents[1] and len(contents[0]) > 0,
        "ray_to_local_throughput": statistics.median(steady),
        "ray_to_local_whole_job": statistics.median(whole),
        "seconds": times,
    }


def killed(victims: Callable[[], Sequence[psutil.Process]], stop: threading.Event, most: int, seconds: float) -> Iterator[int]:
    """Kills one of the victims now and then, until `stop` is set, or `most` were; yields once for each, to be counted."""
    chance = random.Random(0)  # noqa: S311 - no secret
    while most and not stop.wait(chance.uniform(0, seconds)):
        if alive := victims():
            os.kill(chance.choice(list(alive)).pid, signal.SIGKILL)
            most -= 1
            yield 1


def _working(name: str) -> list[psutil.Process]:
    """Processes below this one whose command line has a name in it and that are no servers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
            if name in line and (name != "forkserver" or process.ppid() != os.getpid()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kills(work: Path, engine: str, wanted: int, seconds: float) -> dict[str, Any]:
    """Jobs whose workers are killed at random, until so many were."""
    import lorasent
    from tests.support.bases import make_base, write_small_recipe

    adapter = work / "adapter"
    if not adapter.exists():
        (work / "base").mkdir(parents=True)
        recipe = write_small_recipe(work, make_base(work / "base", "bert"))
        lorasent.train(lorasent.Recipe.read(recipe), adapter)
    model, rows, counted, jobs, restarts = describe(adapter, "fp32", "cpu", 1), 2000, 0, 0, 0
    pattern = reviews(work / "in", rows)
    name = {"local": "forkserver", "ray": "ray::"}[engine]
    while counted < wanted:
        folder, stop, jobs = work / f"{engine}-{jobs}", threading.Event(), jobs + 1
        job, seen = Job(model, str(folder), id_column="key"), list[int]()
        killer = threading.Thread(
            target=lambda stop=stop, seen=seen, most=wanted - counted: seen.extend(
                killed(lambda: _victims(name), stop, most, seconds)
            )
        )
        killer.start()
        while True:
            try:
                summary = run(job, pattern, engine=engine, workers=Workers(2), rows=20)
                break
            except WorkerError:
                restarts += 1
        stop.set()
        killer.join()
        counted += len(seen)
        ids = pq.read_table(folder)["id"].to_pylist()
        if sorted(ids) != sorted(f"r{row}" for row in range(rows)) or summary.rows != rows:
            raise SystemExit(f"{folder}: rows were lost or repeated: {len(ids)} of {rows}, {len(set(ids))} of them different")
        print(f"{engine}: job {jobs}, {counted} workers killed, {restarts} starts more, every row once", flush=True)
    return {"kills": counted, "jobs": jobs, "rows_of_each": rows, "shard_rows": 20, "restarts": restarts, "every_row_once": True}


def _victims(name: str) -> list[psutil.Process]:
    return [process for process in _working(name) if name != "ray::" or "MapWorker" in " ".join(process.cmdline())]


def main() -> None:
    """Measures one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["engines", "kills"])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--shard-rows", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--ray-kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.0, help="longest time between two kills")
    given = parser.parse_args()
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if given.part == "engines":
            kept["engines"] = engines(work, given.rows, given.shard_rows, given.rounds)
        else:
            for engine, count in (("local", given.kills), ("ray", given.ray_kills)):
                if count:
                    kept[f"kills_{engine}"] = kills(work, engine, count, given.seconds)
    kept["machine"] = {**machine.features(), "libraries": dict(machine.libraries())}
    OUT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
