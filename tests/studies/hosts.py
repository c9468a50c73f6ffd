"""Four searches on two simulated hosts share a database, and one is killed every minute: whether each trial is told once.

    `python -m tests.studies.hosts [--minutes 10]`

Needs root, `ip` and Debian's postgresql. The hosts are network namespaces; each search has a folder of its own. By turns SIGKILL
ends the process that trains, a whole search, which is started again 20 seconds later, or a search whose folder is lost, too: the
others know of its trial only that its heartbeats end. Then all are killed, and continued for eight trials more. A trigger in the
database counts whenever a trial is handed out and told. Writes golden/measured/hosts.json.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from lorasent import Recipe, files, golden, machine
from lorasent.adapter import manifest
from lorasent.sweep import study
from lorasent.sweep.database import opened
from lorasent.sweep.workers import ATTEMPT_KEY, FIRST_KEY, HEARTBEAT_KEY, MAX_ATTEMPTS
from tests.support import hosts, postgresql
from tests.support.bases import make_base, write_small_recipe

ROOT = Path(__file__).parents[2]
OUT = ROOT / "golden" / "measured" / "hosts.json"

MORE = 8
"""Trials that are finished after the last kill."""

AWAY = 20.0
"""Seconds after which a search that was killed is started again."""

KINDS = ("worker", "search", "search and its folder")

TRIGGER = """
CREATE TABLE changes (trial_id int, state text);
CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN INSERT INTO changes VALUES (NEW.trial_id, NEW.state::text); END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON trials FOR EACH ROW EXECUTE FUNCTION note();
"""


class Search:
    """A search on a simulated host."""

    def __init__(self, host: str, out: Path, arguments: list[object]) -> None:
        self.host, self.out, self.arguments = host, out, arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, trials: int) -> None:
        """Starts it, or continues it."""
        command = [
            sys.executable,
            "-m",
            "lorasent.cli",
            "sweep",
            *self.arguments,
            "--trials",
            trials,
            "--out",
            self.out,
            "--resume",
        ]
        with (self.out.parent / f"{self.out.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*hosts.command_on(self.host), *map(str, command)], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def training(self) -> int | None:
        """The process that trains a trial of it."""
        locks = list(self.out.glob("trials/*.lock"))
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if link.readlink() in locks:
                    return int(link.parts[2])
        return None

    def kill(self) -> None:
        """Kills all its processes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def killed_every_minute(searches: list[Search], trials: int, minutes: int) -> Counter[str]:
    """The number of kills by what was killed: each time of the search that trains and was killed longest ago, if one trains."""
    while not all(search.training() for search in searches):
        time.sleep(0.5)
    kills: Counter[str] = Counter()
    for minute, kind in zip(range(1, minutes + 1), itertools.cycle(KINDS), strict=False):
        end = time.monotonic() + 60
        time.sleep(60 - 2 * AWAY)
        while not any(search.training() for search in searches) and time.monotonic() < end - AWAY:
            time.sleep(0.1)
        victim = next((search for search in searches if search.training()), searches[0])
        searches.append(searches.pop(searches.index(victim)))
        worker = victim.training()
        if kind == "worker" and worker is not None:
            os.kill(worker, signal.SIGKILL)
        else:
            victim.kill()
            if "folder" in kind:
                shutil.rmtree(victim.out)
        kills[f"{kind}{'' if worker else ', idle'}"] += 1
        print(f"minute {minute}: killed the {kind} of {victim.out.name}, which trained: {worker is not None}", flush=True)
        time.sleep(AWAY)
        if victim.process is not None and victim.process.poll() is not None:
            victim.start(trials)
        time.sleep(max(0.0, end - time.monotonic()))
    return kills


def result(searches: list[Search], shared: optuna.Study, changes: list[tuple[Any, ...]], trials: int) -> dict[str, Any]:
    """What is left, counted."""
    everything = shared.get_trials()
    lost = [trial for trial in everything if trial.state is TrialState.FAIL and HEARTBEAT_KEY in trial.user_attrs]
    retried = [trial for trial in everything if trial.user_attrs.get(ATTEMPT_KEY, 1) > 1]
    times = Counter(changes)
    told = [[times[trial._trial_id, state.name] for state in (*study.FINISHED, TrialState.FAIL)] for trial in everything]
    tables = [json.loads((search.out / "sweep.json").read_text())["trials"] for search in searches]
    winner = Recipe.read(searches[0].out / "best.toml").to_json()
    adapters = [search.out / study.BEST for search in searches]
    finished = [trial for trial in everything if trial.state in study.FINISHED]
    for trial in everything:
        print(trial.number, trial.state.name, trial.params, trial.user_attrs)
    return {
        "trials": {
            "wanted": trials,
            "finished": len(finished),
            "of the starting recipe": sum(FIRST_KEY in trial.user_attrs for trial in finished),
            "lost": len(lost),
            "lost and tried again": sum(any(same(trial, each) for each in everything) for trial in lost),
            "lost in their last attempt": sum(trial.user_attrs.get(ATTEMPT_KEY, 1) == MAX_ATTEMPTS for trial in lost),
            "attempts after the first": len(retried),
            "handed back": sum(trial.state is TrialState.FAIL for trial in everything) - len(lost),
            "not finished": sum(not trial.state.is_finished() for trial in everything),
            "most times one was handed out": max(
                times[trial._trial_id, "RUNNING"] - times[trial._trial_id, "WAITING"] for trial in everything
            ),
            "told once": sum(sum(each) == 1 for each in told),
            "all": len(everything),
        },
        "tables are the same": all(table == tables[0] for table in tables),
        "best adapters": sum(manifest.read(path).tables == winner for path in adapters),
        "different best adapters": len({files.sha256(path / "adapter_model.safetensors") for path in adapters}),
        "folders": len(searches),
    }


def same(trial: Any, later: Any) -> bool:
    """Whether a later trial has the values of a lost one, or both are the starting recipe."""
    is_first = FIRST_KEY in trial.user_attrs and FIRST_KEY in later.user_attrs
    return later.number > trial.number and (is_first or trial.params == later.params)


def measure(minutes: int, work: Path) -> dict[str, Any]:
    """Runs all of it in a folder."""
    recipe, base = work / "small.toml", work / "base"
    base.mkdir()
    write_small_recipe(work, make_base(base, "bert"))
    with hosts.network(2) as (address, names), postgresql.running(address) as server, ExitStack() as stack:
        url = server.database("searches")
        storage = opened(url)
        server.execute(TRIGGER, "searches")
        values = ["--set", "data.sample=100", "--set", "training.epochs=4", "--over", "lora.r", "--over", "training.learning_rate"]
        arguments = [recipe, "--storage", url, "--confirm", 0, *values]
        searches = [Search(name, work / f"{name}-{number}", arguments) for number in range(2) for name in names]
        began = time.monotonic()
        for search in searches:
            stack.callback(search.kill)
            search.start(10_000)
        kills = killed_every_minute(searches, 10_000, minutes)
        for search in searches:
            search.kill()
        kills["all searches"] += 1
        shared = optuna.load_study(study_name="lorasent", storage=storage)
        trials = len(shared.get_trials(states=study.FINISHED)) + MORE
        for search in searches:
            search.start(trials)
        codes = [search.process.wait() for search in searches if search.process is not None]
        changes = server.execute("SELECT trial_id, state FROM changes", "searches")
        seconds = round(time.monotonic() - began)
        return {"kills": dict(kills), "exit codes": codes, "seconds": seconds, **result(searches, shared, changes, trials)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    if reason := postgresql.missing() or hosts.missing():
        sys.exit(reason)
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    print(folder, flush=True)
    measured = measure(minutes, folder)
    files.write(OUT, [files.canonical({**measured, "machine": machine.kind()})])
    golden.write_manifest(ROOT / "golden")
    print(OUT.read_text())
    shutil.rmtree(folder)
