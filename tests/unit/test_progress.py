"""What a terminal is told of a run."""

from pathlib import Path

import pytest

from lorasent.progress import _stopped
from lorasent.recipe import Training
from lorasent.run import Epoch, Trained


@pytest.mark.parametrize(
    ("done", "patience", "least", "told"),
    [
        (5, 3, 0.001, "Stopped after epoch 5 of 10: no improvement over 0.001 for 3 epochs; kept epoch 2"),
        (3, 1, None, "Stopped after epoch 3 of 10: no improvement for 1 epoch; kept epoch 2"),
        (10, 3, 0.001, None),
        (10, None, None, None),
    ],
    ids=["by a least improvement", "by any", "patience lost in the last epoch", "off"],
)
def test_it_is_told_where_a_run_stopped_and_why(done, patience, least, told):
    """One line says after which epoch, for want of what, and which epoch was kept; a whole run has none."""
    schedule = Training(
        epochs=10,
        batch_size=1,
        learning_rate=0.1,
        early_stopping_patience=patience,
        early_stopping_min_improvement=least,
    )
    rows = [Epoch(number, *[0.5] * 7) for number in range(1, done + 1)]
    assert _stopped(Trained(Path("mine"), rows, rows[1], 1.0), schedule) == told
