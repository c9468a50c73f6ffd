"""Where work is done: in processes of this machine, or by actors of Ray. Both call the same function for each item.

The function and the items are pickled, and each process keeps what it loads (see `model`), so no work depends on other work.
"""

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from lorasent.errors import LorasentError, foreign

Item = TypeVar("Item")
Result = TypeVar("Result")

OBJECT_STORE = 128 << 20
"""Bytes of memory for objects of a Ray that is started here: items and results are small."""

STARTS = 3
"""Times that a Ray is tried to be started here."""

BLOCKS = 4096
"""Largest number of tasks of Ray: of more items each task gets several."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
"""Variables that keep Ray from reporting its use to its makers, and from messages that its user cannot act on."""


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and what each takes."""

    count: int | None = None
    """By default as many as there are cores, or GPUs."""
    cpus: int = 1
    """Cores of each."""
    gpus: float = 0
    """GPUs of each, or a share of one."""


class WorkerError(LorasentError):
    """Workers that cannot start, or that ended."""


def local(function: Callable[[Item], Result], items: Sequence[Item], workers: Workers) -> Iterator[Result]:
    """What the function returns for each item, in any order, from processes of this machine. Raises LorasentError.

    The processes end with this one, however it ends.
    """
    count = min(workers.count or max(1, cores() // workers.cpus), len(items))
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["lorasent.bulk.shards", "lorasent.scoring.scorer"])  # torch is imported once for all
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(count, context, _begin, (dict(os.environ),))
    try:
        for future in as_completed([executor.submit(_call, function, item) for item in items]):
            yield _result(future.result())
    except BrokenProcessPool:
        raise WorkerError(f"one of {count} workers was killed, perhaps for want of memory: choose fewer (--actors)") from None
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def ray(function: Callable[[Item], Result], items: Sequence[Item], workers: Workers) -> Iterator[Result]:
    """As `local`, by actors of Ray Data: of the cluster that RAY_ADDRESS names, else of a Ray that is started here and ends here.

    Ray starts an actor that died again, and repeats its item.
    """
    with _connected(workers) as (ray, room):
        dataset = ray.data.from_items(
            [{"item": pickle.dumps(item)} for item in items], override_num_blocks=min(len(items), BLOCKS)
        ).map(
            _Actor,
            fn_constructor_args=[function],
            compute=ray.data.ActorPoolStrategy(size=min(room, len(items))),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus or None,
        )
        with _failing("Ray's job ended"):
            for row in dataset.iter_rows():
                yield _result(pickle.loads(row["result"]))  # noqa: S301 - made by `_Actor`


ENGINES: Mapping[str, Callable[[Callable[[Any], Any], Sequence[Any], Workers], Iterator[Any]]] = {"local": local, "ray": ray}
"""Engines by name."""


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_ray() -> Any:
    """The module ray. Raises WorkerError if it is not installed."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        import ray
        import ray.data
    except ImportError:
        raise WorkerError("the engine ray needs a package that is not installed: pip install 'lorasent[ray]'") from None
    return ray


class _Actor:
    """What Ray keeps in each of its processes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item = pickle.loads(row["item"])  # noqa: S301 - made by `ray`
        return {"result": pickle.dumps(_call(self.function, item))}


def _call(function: Callable[[Item], Result], item: Item) -> Result | str:
    """What the function returns, or the message of a LorasentError: an exception may not survive pickling."""
    try:
        return function(item)
    except LorasentError as error:
        return _Failure(error)


class _Failure(str):
    """The message of an error."""

    __slots__ = ()


def _result(result: Result | str) -> Result:
    if isinstance(result, _Failure):
        raise LorasentError(result)
    return result  # type: ignore[return-value]


def _begin(environment: Mapping[str, str]) -> None:
    """Readies a process: the parent hears Ctrl-C, and when it ends so does this process. A fork server's environment may be old."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _connected(workers: Workers) -> Iterator[tuple[Any, int]]:
    """Ray, and the number of workers. Where this process had not connected, it disconnects again."""
    ray = require_ray()
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield ray, _fitting(ray, workers)
        return
    start = partial(ray.init, log_to_driver=False, logging_level=logging.CRITICAL)
    try:
        with _failing("Ray cannot be started or reached"), _silent():
            if os.environ.get("RAY_ADDRESS"):
                start()
            else:
                count = workers.count or (1 if workers.gpus else max(1, cores() // workers.cpus))
                _start_here(
                    ray,
                    start,
                    address="local",
                    num_cpus=max(count * workers.cpus, cores()),
                    num_gpus=None if workers.gpus else 0,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE,
                    _node_ip_address="127.0.0.1",
                )
        yield ray, _fitting(ray, workers)
    finally:
        ray.shutdown()


def _start_here(ray: Any, start: Callable[..., Any], **options: Any) -> None:
    """Starts a Ray on this machine. It gives itself 30 seconds, which a busy machine may exceed, so it is tried again."""
    for left in reversed(range(STARTS)):
        try:
            start(**options)
        except Exception:
            ray.shutdown()
            if not left:
                raise
        else:
            return


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Inside, nothing is written to standard error: Ray writes there that it will not write there. Its errors are exceptions."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _fitting(ray: Any, workers: Workers) -> int:
    """The number of workers that is wanted, or for which there is room. Raises WorkerError where there is room for none."""
    has = ray.cluster_resources()
    wanted = {"CPU": workers.cpus, **({"GPU": workers.gpus} if workers.gpus else {})}
    room = min(int(has.get(kind, 0) // amount) for kind, amount in wanted.items())
    if room < (workers.count or 1):
        needs = " and ".join(f"{amount:g} {kind}" for kind, amount in wanted.items())
        found = " and ".join(f"{has.get(kind, 0):g} {kind}" for kind in wanted)
        raise WorkerError(f"{workers.count or 1} actors of {needs} each: expected a cluster that has room for them, found {found}")
    return workers.count or room


def _failing(what: str) -> contextlib.AbstractContextManager[None]:
    """Turns an exception of Ray's into a WorkerError of one line."""
    return foreign(lambda reason: WorkerError(f"{what}: {reason}"))
