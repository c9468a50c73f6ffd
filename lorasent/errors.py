"""Every error that a user can cause: the command line prints a LorasentError and exits 2."""

import contextlib
from collections.abc import Callable, Iterator

from lorasent.text import MESSAGE, shown


class LorasentError(Exception):
    """Bad input or a broken artefact. The message is one complete line: the user sees nothing else."""

    def __init__(self, message: object) -> None:
        super().__init__(shown(str(message), MESSAGE))  # somebody else may have written parts of it


class RecipeError(LorasentError):
    """A recipe or an override that cannot be used."""


class BaseModelError(LorasentError):
    """A base model that is missing, unsafe to load, or not the one that was pinned."""


class DataError(LorasentError):
    """A source that cannot be read as labelled reviews."""


class MetricError(LorasentError):
    """Logits and labels from which no figure can be computed."""


class AdapterError(LorasentError):
    """An adapter directory that is missing, incomplete, or not what its manifest says.

    `cause` is a stable word for the fault, such as "manifest-missing", or empty.
    """

    def __init__(self, message: object, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class NotFetchedError(AdapterError):
    """An adapter directory that holds pointers in the place of files; `advice` is the command that fetches them."""

    def __init__(self, message: object, cause: str, advice: str) -> None:
        super().__init__(f"{message}: {advice}", cause)
        self.advice = advice


class TrainingError(LorasentError):
    """A training run that cannot start, go on, or be resumed."""


class DivergedError(TrainingError):
    """A training run whose loss is not finite any more."""


class GoldenError(LorasentError):
    """A golden that is missing, malformed, or not what its manifest lists."""


class EvidenceError(LorasentError):
    """Recorded evidence that cannot be read, or lacks answers that a check needs."""


class PredictionsError(EvidenceError):
    """Predictions of another system that cannot be read, or that are not those of the policy's reviews."""


class AnswersError(EvidenceError):
    """Logits that are not finite. `subject` is the name of the adapter, model or record that gave them."""

    subject = ""


class DeviceError(LorasentError):
    """A device that is not there, or whose memory is too small."""


class PolicyError(LorasentError):
    """A policy that cannot be used."""


class ProveError(LorasentError):
    """Error rates that cannot be measured on these adapters."""


class SweepError(LorasentError):
    """A search that cannot start or go on."""


class TrackerError(LorasentError):
    """An experiment tracker that is unknown or not installed."""


class HubError(LorasentError):
    """An adapter that cannot be pushed to the hub."""


@contextlib.contextmanager
def foreign(failure: Callable[[str], Exception]) -> Iterator[None]:
    """Turns any exception of a library inside into the error that `failure` makes of its first line; see `is_foreign`."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, LorasentError) or not is_foreign(error):
            raise
        raise failure(first_line(error)) from error


def is_foreign(error: BaseException) -> bool:
    """Whether an exception may be a library's: an Exception, or a panic of Rust. MemoryError and what ends the process are not."""
    return (isinstance(error, Exception) and not isinstance(error, MemoryError)) or type(error).__name__ == "PanicException"


def first_line(reason: object) -> str:
    """The first line of what an exception, or a text, says; the exception's class if it says nothing."""
    return shown((str(reason).strip().splitlines() or [type(reason).__name__])[0], 500)
