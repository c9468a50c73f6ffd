"""What a bulk job takes, simulated from what its parts cost here, and held to jobs that were run.

    `python -m tests.studies.throughput [--rows N] [--shard-rows N]`

A job of short reviews (LORASENT_DATA/sst2_train.parquet) calibrates the costs of one worker: to start, to read and to encode a
review, to compute a review and each of its tokens, and to write a shard. With them jobs of N, 2N and 4N other reviews are simulated
on one worker and on two, and then run. The clock is the CPU time of each worker, which its neighbours on a busy machine move less
than wall time; a job lasts as long as its busiest worker. Writes golden/measured/throughput.json.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import nnls

from lorasent import machine
from lorasent.bulk import model as models
from lorasent.bulk import shards
from lorasent.bulk.engines import ENGINES, Workers
from lorasent.bulk.shards import Job, Shard

ROOT = Path(__file__).parents[2]
OUT = ROOT / "golden" / "measured" / "throughput.json"
PARTS = ("read", "encode", "forward", "write")


def parts(job: Job, shard: Shard) -> dict[str, Any]:
    """CPU seconds of each part of a shard's work, in this process; "start" for its first shard: all until the adapter is loaded."""
    clock = [time.process_time()]
    if first := models._subject.cache_info().currsize == 0:
        models.logits(job.model, ["warm"])
        clock = [time.process_time()]
    start = clock[0] if first else 0.0
    ids, texts = shards._read(job, shard)
    clock.append(time.process_time())
    scorer = models._subject(job.model).scorer
    encoded = scorer.encoder.encode(texts)
    clock.append(time.process_time())
    with models._threads(job.model.threads):
        logits = scorer.score(encoded)
    clock.append(time.process_time())
    shards._put(job, shard, ids, texts, logits)
    clock.append(time.process_time())
    seconds = dict(zip(PARTS, np.diff(clock).tolist(), strict=True))
    tokens = sum(len(ids) for ids in encoded)
    return {**seconds, "start": start, "rows": len(texts), "tokens": tokens, "worker": os.getpid(), "first": shard.start}


def measured(work: Path, texts: list[str], shard_rows: int, workers: int) -> list[dict[str, Any]]:
    """The parts of every shard of a job."""
    work.mkdir()
    pq.write_table(pa.table({"text": texts}), work / "in.parquet")
    job = Job(models.describe(ROOT / "golden" / "reference-adapter", "fp32", "cpu", 1), str(work))
    planned = shards.plan(f"{work}/in.parquet", shard_rows)
    return list(ENGINES["local"](partial(parts, job), planned, Workers(workers)))


def costs(found: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds: to start, of a read or encoded review, of a computed review and of each of its tokens, and of a written shard."""
    rows = sum(each["rows"] for each in found)
    sizes = np.array([[each["rows"], each["tokens"]] for each in found], float)
    (review, token), _ = nnls(sizes, np.array([each["forward"] for each in found]))
    return {
        "start": float(np.median([each["start"] for each in found if each["start"]])),
        "read_review": sum(each["read"] for each in found) / rows,
        "encode_review": sum(each["encode"] for each in found) / rows,
        "forward_review": float(review),
        "forward_token": float(token),
        "write_shard": float(np.median([each["write"] for each in found])),
    }


def simulated(cost: dict[str, float], sizes: list[tuple[int, int]], workers: int) -> float:
    """Seconds until the last worker is done. Each takes the next shard (reviews, tokens) when it has done one."""
    ends = [cost["start"]] * min(workers, len(sizes))
    for rows, tokens in sizes:
        work = rows * (cost["read_review"] + cost["encode_review"] + cost["forward_review"]) + tokens * cost["forward_token"]
        soonest = ends.index(min(ends))
        ends[soonest] += work + cost["write_shard"]
    return max(ends)


def lasted(found: list[dict[str, Any]]) -> float:
    """CPU seconds of the busiest worker."""
    totals: dict[int, float] = defaultdict(float)
    for each in found:
        totals[each["worker"]] += sum(each[part] for part in PARTS) + each["start"]
    return max(totals.values())


def main() -> None:
    """Measures, and writes the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--shard-rows", type=int, default=32)
    given = parser.parse_args()
    texts = pq.read_table(Path(os.environ["LORASENT_DATA"]) / "sst2_train.parquet")["text"].to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        work, begun = Path(folder), time.perf_counter()
        calibration = measured(work / "calibration", texts[: 2 * given.rows], given.shard_rows, 1)
        cost, jobs, taken = costs(calibration), [], 2 * given.rows
        print(cost, f"{time.perf_counter() - begun:.0f} s", flush=True)
        for rows in (given.rows, 2 * given.rows, 4 * given.rows):
            for workers in (1, 2):
                chosen = [texts[row % len(texts)] for row in range(taken, taken + rows)]
                found = measured(work / f"{rows}-{workers}", chosen, given.shard_rows, workers)
                sizes = [(each["rows"], each["tokens"]) for each in sorted(found, key=lambda each: each["first"])]
                guess, truth, taken = simulated(cost, sizes, workers), lasted(found), taken + rows
                jobs.append({"rows": rows, "workers": workers, "simulated": guess, "measured": truth, "error": guess / truth - 1})
                print(jobs[-1], flush=True)
        sizes = [path.stat().st_size for path in (work / "calibration").glob("*.parquet") if path.name != "in.parquet"]
    total = {part: sum(each[part] for each in calibration) for part in PARTS}
    result = {
        "clock": "CPU seconds of each worker",
        "shard_rows": given.shard_rows,
        "tokens_of_a_review": sum(each["tokens"] for each in calibration) / (2 * given.rows),
        "seconds": cost,
        "shares": {part: seconds / sum(total.values()) for part, seconds in total.items()},
        "bytes_of_a_label": sum(sizes) / (2 * given.rows),
        "jobs": jobs,
        "machine": {**machine.features(), "libraries": dict(machine.libraries())},
    }
    OUT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
