"""The processes of a run under `torchrun` or `accelerate launch`: which of them this is, and what they exchange.

All hold the same weights. Each computes the mean loss of its share of a batch, times the share's part of the batch, and its
gradient. Their sums, one exchange a step, are the mean loss of the whole batch and its gradient, however the reviews divide.
What decides anything (losses, figures, where to resume) is a sum or comes from the first process: all do the same. The first
process alone writes.
"""

import contextlib
import functools
import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from lorasent import devices
from lorasent.errors import DeviceError, TrainingError, first_line

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

RENDEZVOUS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables by which a launcher tells a process its number, the number of processes, and where they meet."""

LAUNCHERS = r"(LOCAL_)?(RANK|WORLD_SIZE)|ACCELERATE_.*"
"""Names of variables from which Trainer would conclude that it has to divide batches and average gradients itself."""

MEETING = timedelta(minutes=10)
"""How long a process waits for the others when a run starts."""

FAILING = timedelta(seconds=20)
"""How long a process that fails before it has met the others waits to learn whether another one failed first."""


@dataclass(frozen=True)
class Ranks:
    """A process by its number, `rank`, among `size` processes. A run of one process exchanges nothing."""

    rank: int = 0
    size: int = 1

    @property
    def share(self) -> slice:
        """This process's share of any rows; each row is in the share of exactly one process."""
        return slice(self.rank, None, self.size)

    def summed(self, values: "torch.Tensor") -> "torch.Tensor":
        """The sum of all processes' values, in place. Raises TrainingError if a process is gone."""
        import torch

        if self.size > 1:
            with _exchange():
                torch.distributed.all_reduce(values)
        return values

    def add_up(self, gradients: Sequence["torch.Tensor"], loss: "torch.Tensor") -> "torch.Tensor":
        """The sum of all processes' losses, after summing their gradients in place. Raises TrainingError if a process is gone."""
        import torch
        from torch.nn.utils import parameters_to_vector, vector_to_parameters

        if self.size == 1:
            return loss
        flat = self.summed(torch.cat([parameters_to_vector(gradients), loss.view(1)]))
        vector_to_parameters(flat, gradients)
        return flat[-1]

    def of_first(self, value: T) -> T:
        """The first process's value, in every process, once all have asked. Raises TrainingError if a process is gone."""
        import torch

        values = [value]
        if self.size > 1:
            with _exchange():
                torch.distributed.broadcast_object_list(values)
        return values[0]


def of_environment() -> Ranks:
    """This process as its launcher's environment variables describe it; without a launcher it is the only one.

    Raises TrainingError for values that no launcher sets.
    """
    if any(name not in os.environ for name in RENDEZVOUS):
        return Ranks()
    rank, size, _, port = values = [os.environ[name] for name in RENDEZVOUS]
    if not (all(re.fullmatch("[0-9]{1,9}", text) for text in (rank, size, port)) and int(rank) < int(size) and int(port) < 1 << 16):
        found = " ".join(f"{name}={value}" for name, value in zip(RENDEZVOUS, values, strict=True))
        raise TrainingError(
            f"{found}: expected a process's number below the number of processes, and a port, as torchrun sets them; start with "
            "torchrun, or unset these variables to train in one process"
        )
    return Ranks(int(rank), int(size))


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """Joins this process with the others: gloo on the CPU, NCCL on GPUs. Yields the process and its own device.

    Raises DeviceError for a device that processes cannot share.
    """
    ranks = of_environment()
    if ranks.size == 1:
        yield ranks, device
        return
    try:
        yield ranks, _join(ranks, device)
    except BaseException:
        fails_first()  # asks before the others see that this process is gone
        raise
    import torch

    torch.distributed.destroy_process_group()


def _join(ranks: Ranks, device: str) -> str:
    import torch

    if device not in ("cpu", "cuda"):
        raise DeviceError(
            f"device {device}: several processes train on cpu, or on cuda, where each takes a GPU of its own; choose one"
        )
    if device == "cuda":
        device = devices.resolve(f"cuda:{os.environ.get('LOCAL_RANK', ranks.rank)}")
        torch.cuda.set_device(device)
    with _exchange():
        if isinstance(store := _store(), RuntimeError):
            raise store
        backend = "gloo" if device == "cpu" else "nccl"
        torch.distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.size)
    return device


@functools.cache
def fails_first() -> bool:
    """Whether this process, which fails, is the first to say so: it alone tells the user why.

    From here on it ignores SIGTERM, by which launchers end a process as soon as another one has failed.
    """
    try:
        if of_environment().size == 1:
            return True
    except TrainingError:  # nobody else can be asked
        return True
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    store = _store() if _store.cache_info().currsize else _store(FAILING)
    try:
        return isinstance(store, RuntimeError) or bool(store.add("lorasent/failed", 1) == 1)
    except RuntimeError:  # the process that keeps the store is gone
        return True


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """Inside, the environment is that of a single process: Trainer neither divides batches nor averages gradients."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if re.fullmatch(LAUNCHERS, name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


@functools.cache
def _store(wait: timedelta = MEETING) -> Any:
    """The store in which processes meet; or the RuntimeError of the first attempt to reach it, which is not repeated."""
    from torch.distributed.rendezvous import rendezvous

    try:
        return next(rendezvous("env://", timeout=wait))[0]
    except RuntimeError as error:
        return error


@contextlib.contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason, ranks = first_line(error).partition(". ")[0], of_environment()
        where = f"process {ranks.rank} of {ranks.size} (counted from 0)"
        raise TrainingError(f"{where} cannot reach the others: {reason}; if one is gone, start all again with --resume") from None
