"""A small training gives the recorded losses: schedule, shuffling, dropout, clipping, evaluation."""

import pytest

from lorasent import machine
from lorasent.recipe.recipe import Recipe
from lorasent.training.train import train
from tests.support.references import SCHEDULE

pytestmark = pytest.mark.processor


@pytest.mark.parametrize(
    "onednn",
    [
        pytest.param("1", marks=[pytest.mark.golden("tables/small-epochs"), pytest.mark.onednn("float32")], id="packed"),
        pytest.param("0", marks=pytest.mark.golden("tables/small-epochs-plain"), id="by the model itself"),
    ],
)
def test_a_small_run_gives_the_recorded_epoch_table(golden, small_recipe, tmp_path, monkeypatch, onednn):
    """Three epochs of the small recipe, with warmup, weight decay, dropout and label smoothing, lose what they lost.

    What drops is drawn otherwise where there is no oneDNN and the model itself trains: its table is another one.
    """
    monkeypatch.setenv(machine.ONEDNN_VARIABLE, onednn)
    table = train(Recipe.read(small_recipe, SCHEDULE), tmp_path / "adapter").epochs
    golden.check(
        [{"epoch": row.epoch, "training_loss": row.training_loss, "validation_loss": row.validation_loss} for row in table],
        about="The losses of the suite's small recipe: a BERT of two layers, 24 embedded reviews, three epochs.",
        producer={"code": "lorasent.training, fp32"},
        tolerance={"training_loss": 1e-5, "validation_loss": 1e-5},
        why="1 and 2 threads, AVX2 and AVX-512 move these losses by 1e-7; leaving out weight decay by 4e-5 at least.",
        seed=0,
    )
