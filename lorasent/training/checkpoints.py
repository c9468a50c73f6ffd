"""The folder of a run's checkpoints: one for each epoch, as Trainer writes them, named by its last step.

A checkpoint is whole once it has the file `COMPLETE`, which is written last.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

COMPLETE = "complete"
"""The file that marks a checkpoint as whole."""

AVERAGE = "average.safetensors"
"""The moving average beside a checkpoint's weights."""


def path_of(run_path: Path, step: int) -> Path:
    """The checkpoint after this step."""
    return run_path / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def is_interrupted(run_path: Path) -> bool:
    """Whether a folder has a whole checkpoint."""
    return any(run_path.glob(f"checkpoint-*/{COMPLETE}"))


def last(run_path: Path) -> Path | None:
    """The latest whole checkpoint; broken ones, left by a kill, are removed."""
    prune(run_path, (file.parent for file in run_path.glob(f"checkpoint-*/{COMPLETE}")))
    return max(run_path.glob("checkpoint-*"), key=step_of, default=None)


def prune(run_path: Path, kept: Iterable[Path]) -> None:
    """Removes all checkpoints but these."""
    for checkpoint in {*run_path.glob("checkpoint-*")} - {*kept}:
        shutil.rmtree(checkpoint)
