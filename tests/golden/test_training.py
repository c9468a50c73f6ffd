"""Training's arithmetic, pinned in a second: schedule, shuffling, dropout, clipping, evaluation."""

import pytest

from lorasent.recipe import Recipe
from lorasent.training import train
from tests.support.references import SCHEDULE

pytestmark = pytest.mark.processor


@pytest.mark.golden("tables/small-epochs")
def test_a_small_run_gives_the_recorded_epoch_table(golden, small_recipe, tmp_path):
    """Three epochs of the small recipe, with warmup, weight decay, dropout and label smoothing, lose what they lost."""
    table = train(Recipe.read(small_recipe, SCHEDULE), tmp_path / "adapter").epochs
    golden.check(
        [{"epoch": row.epoch, "training_loss": row.training_loss, "validation_loss": row.validation_loss} for row in table],
        about="The losses of the suite's small recipe: a BERT of two layers, 24 embedded reviews, three epochs.",
        producer={"code": "lorasent.training, fp32"},
        tolerance={"training_loss": 1e-5, "validation_loss": 1e-5},
        why="1 and 2 threads, AVX2 and AVX-512 move these losses by 1e-7; leaving out weight decay by 4e-5 at least.",
        seed=0,
    )
