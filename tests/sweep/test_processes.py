"""Processes that train in parallel."""

import pytest

from lorasent.errors import DivergedError, SweepError
from lorasent.sweep import processes


def diverge():
    """Raises the error of a training that diverged."""
    raise DivergedError("training loss is nan after 3 steps")


def test_a_diverged_training_is_not_advised_to_continue():
    """It would diverge again with the same seed."""
    with pytest.raises(SweepError, match=r"^training loss is nan after 3 steps; finished trainings are kept$"):
        processes.run_parallel(diverge, [()])
