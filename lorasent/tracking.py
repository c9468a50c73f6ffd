"""Experiment trackers: one run at MLflow, Weights & Biases or TensorBoard, each by its own library.

Where a tracker is, and who is logged in, says its own environment: MLFLOW_TRACKING_URI, WANDB_PROJECT, TENSORBOARD_LOGGING_DIR.
"""

import contextlib
import importlib.util
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorasent import files
from lorasent.errors import TrackerError, first_line, is_foreign
from lorasent.text import shown, without_secrets

_log = logging.getLogger(__name__)

LONGEST = 500
"""Longest value of a parameter, in characters: MLflow refuses more than 6,000, and TensorBoard shows all of it."""

BATCH = 500
"""Number of figures that are kept before they are sent to MLflow, which takes at most 1,000 in a request."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""How long MLflow waits for a server, in seconds, unless its environment says otherwise; by itself it tries for minutes."""


class Tracker(ABC):
    """A run at one tracker; a subclass begins it when it is made, under the name `run`. Its methods raise what the library does."""

    package = ""
    """The module that must be there."""
    extra = ""
    """The extra of lorasent that installs it."""

    @abstractmethod
    def __init__(self, run: str) -> None: ...

    @abstractmethod
    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        """Adds what was decided before the run."""

    @abstractmethod
    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Adds what was measured after a step."""

    @abstractmethod
    def tags(self, values: Mapping[str, str]) -> None:
        """Adds texts by which runs are found."""

    @abstractmethod
    def files(self, paths: Sequence[Path]) -> None:
        """Adds copies of files."""

    @abstractmethod
    def end(self, *, failed: bool) -> None:
        """Ends the run."""


class MLflow(Tracker):
    """A run at MLflow: the active run if the program has one, or a new one that MLFLOW_RUN_ID and MLFLOW_EXPERIMENT_NAME choose."""

    package, extra = "mlflow", "mlflow"

    def __init__(self, run: str) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow

        for noisy in ("mlflow", "alembic"):  # they tell of each table that they make
            logging.getLogger(noisy).setLevel(logging.WARNING)
        active = mlflow.active_run()
        self.is_ours = active is None
        self.id = (active or mlflow.start_run(run_name=run)).info.run_id
        self.client = mlflow.MlflowClient()
        self.kept: list[Any] = []

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        from mlflow.entities import Param

        self.client.log_batch(self.id, params=[Param(name, str(value)) for name, value in values.items()])

    def figures(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self.kept += [Metric(name, value, now, step) for name, value in values.items()]
        if len(values) > 1 or len(self.kept) >= BATCH:  # a step's loss by itself waits for company
            self._send()

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self.id, tags=[RunTag(name, value) for name, value in values.items()])

    def files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self.client.log_artifact(self.id, str(path))

    def end(self, *, failed: bool) -> None:
        import mlflow

        try:
            self._send()
        finally:
            if self.is_ours:
                mlflow.end_run("FAILED" if failed else "FINISHED")

    def _send(self) -> None:
        while self.kept:
            batch, self.kept = self.kept[:BATCH], self.kept[BATCH:]
            self.client.log_batch(self.id, metrics=batch)


class WeightsAndBiases(Tracker):
    """A run at Weights & Biases, in the project WANDB_PROJECT or "lorasent". On a terminal it asks for a login, for a minute."""

    package, extra = "wandb", "wandb"

    def __init__(self, run: str) -> None:
        import wandb

        project, name = os.environ.get("WANDB_PROJECT", "lorasent"), os.environ.get("WANDB_NAME", run)
        settings = wandb.Settings(console="off", silent=True, init_timeout=30, login_timeout=60)
        self.run = wandb.init(project=project, name=name, settings=settings, reinit="create_new")
        self.name = run

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        self.run.config.update(dict(values))

    def figures(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        self.run.summary.update(dict(values))

    def files(self, paths: Sequence[Path]) -> None:
        import wandb

        artifact = wandb.Artifact(_file_name(self.name), type="lorasent")
        for path in paths:
            artifact.add_file(str(path))
        self.run.log_artifact(artifact)

    def end(self, *, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


class TensorBoard(Tracker):
    """A log for TensorBoard, in a new folder of TENSORBOARD_LOGGING_DIR, or of `runs`. Files are copied beside it."""

    package, extra = "tensorboard", "tensorboard"

    def __init__(self, run: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        root = Path(os.environ.get("TENSORBOARD_LOGGING_DIR", "runs")).expanduser()
        self.folder = root / f"{_file_name(run)}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.writer = SummaryWriter(str(self.folder))

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        self._text("parameters", values)

    def figures(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def tags(self, values: Mapping[str, str]) -> None:
        self._text("tags", values)

    def files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            shutil.copyfile(path, self.folder / path.name)

    def end(self, *, failed: bool) -> None:
        if failed:
            self._text("tags", {"status": "failed"})
        self.writer.flush()
        self.writer.close()

    def _text(self, name: str, values: Mapping[str, str | int | float]) -> None:
        """Writes lines of code: TensorBoard shows texts as Markdown."""
        self.writer.add_text(name, "\n".join(f"    {key} = {value}" for key, value in values.items()))


TRACKERS: Mapping[str, type[Tracker]] = {"mlflow": MLflow, "wandb": WeightsAndBiases, "tensorboard": TensorBoard}
"""The trackers by the names that --report-to takes."""


def require(names: Sequence[str]) -> None:
    """Raises TrackerError for a name that no tracker has, and for a tracker whose library is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise TrackerError(f"--report-to {name}: no such tracker; choose of {', '.join(TRACKERS)}")
        if importlib.util.find_spec(TRACKERS[name].package) is None:
            install = f"python -m pip install 'lorasent[{TRACKERS[name].extra}]'"
            raise TrackerError(f"--report-to {name}: needs {TRACKERS[name].package}; install it with: {install}")


class Report:
    """One run at several trackers, under one name.

    Whatever a tracker raises is said in one warning, and that tracker hears no more of the run: a report costs no result.
    """

    def __init__(self, names: Sequence[str], run: str) -> None:
        self.trackers: dict[str, Tracker] = {}
        for name in dict.fromkeys(names):
            with self._tolerating(name):
                self.trackers[name] = TRACKERS[name](shown(run))

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Adds what was decided before the run; what is no number is shortened."""
        self._each(lambda tracker: tracker.parameters(named({name: _plain(value) for name, value in values.items()})))

    def figures(self, values: Mapping[str, float], step: int = 0) -> None:
        """Adds what was measured after a step; what is not finite is left out."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._each(lambda tracker: tracker.figures(named(finite), step))

    def tags(self, values: Mapping[str, str]) -> None:
        """Adds texts by which runs are found."""
        texts = {name: shown(value, LONGEST) for name, value in values.items()}
        self._each(lambda tracker: tracker.tags(named(texts)))

    def texts(self, texts: Mapping[str, str]) -> None:
        """Adds texts as files, by their names."""

        def add(tracker: Tracker) -> None:
            with tempfile.TemporaryDirectory(dir=files.private()) as folder:
                for name, text in texts.items():
                    Path(folder, name).write_text(text, "utf-8", "backslashreplace")
                tracker.files([Path(folder, name) for name in texts])

        self._each(add)

    def end(self, *, failed: bool = False) -> None:
        """Ends the run; nothing can be added any more."""
        self._each(lambda tracker: tracker.end(failed=failed))
        self.trackers = {}

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in [*self.trackers.items()]:
            with self._tolerating(name):
                action(tracker)

    @contextlib.contextmanager
    def _tolerating(self, name: str) -> Iterator[None]:
        """Inside, errors are warnings, and what a library prints goes to standard error: standard output is a command's result.

        A library's own warnings, such as those of what it uses itself, are nothing that the user could act on.
        """
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except BaseException as error:
            if not is_foreign(error):
                raise
            self.trackers.pop(name, None)
            reason = without_secrets(f"{type(error).__name__}: {first_line(error)}")
            _log.warning("warning: --report-to %s: %s; the rest of this run is not reported there", name, shown(reason, LONGEST))


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by names that every tracker takes: letters, digits, _ - . and space, in parts that / separates, each once."""
    names: dict[str, Any] = {}
    for name, value in values.items():
        parts = [re.sub(r"[^\w\-. ]", "_", part, flags=re.ASCII).strip(". ") or "_" for part in name.split("/")]
        plain = taken = "/".join(parts)[:200]
        number = 2
        while taken in names:
            taken, number = f"{plain}_{number}", number + 1
        names[taken] = value
    return names


def _plain(value: Any) -> str | int | float:
    if isinstance(value, int | float):
        return value
    return shown(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), LONGEST)


def _file_name(run: str) -> str:
    return re.sub(r"[^\w.-]", "_", run, flags=re.ASCII).strip(".")[:100] or "run"
