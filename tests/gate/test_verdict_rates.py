"""A slice of `tests.studies.simulate` that takes seconds: verdicts of drawn retrains, and the committed figures of the whole."""

import json
from pathlib import Path

import pytest

from tests.gate import verdicts

MEASURED = verdicts.Retraining(**verdicts.MEASURED)
COMMITTED = Path(__file__).parents[2] / "golden" / "measured" / "statistics"


@pytest.fixture(autouse=True)
def unexplained():
    """Without sample sizes."""
    with verdicts.unexplained():
        yield


def test_drawn_retrains_are_as_measured():
    """Accuracy, discordance and the seeds' spread of 300 retrains are those asked for."""
    random = verdicts.np.random.default_rng(0)
    logits = MEASURED.seeds(random, 300)
    rights = MEASURED.draw(random, 20_000, logits) > 0
    assert rights.mean() == pytest.approx(MEASURED.accuracy, abs=0.005)
    assert (rights[::2] != rights[1::2]).mean() == pytest.approx(MEASURED.discordance, abs=0.002)
    assert MEASURED.true(logits).std() == pytest.approx(MEASURED.spread, rel=0.1)


@pytest.mark.slow
def test_damage_of_the_margin_passes_in_one_case_of_20_at_most():
    """Enumerated through the verdict on 200 and 1,000 reviews, at every discordance."""
    rows = list(verdicts.passing(sizes=(200, 1000), margins=(0.02,)))
    assert len(rows) == 14
    assert all(0 < row["rate"] <= 0.05 for row in rows)


@pytest.mark.slow
def test_innocent_retrains_are_rarely_blocked():
    """Of 150 on 400 reviews, by a policy of 11 claims, at most 3: a true 1 % gives no more in 19 of 20 cases."""
    rows = list(verdicts.innocent(MEASURED, many=150, sizes=(400,), banks=(1, 5)))
    assert [row["case"]["claims"] for row in rows] == [10, 11]
    assert all(row["rate"] <= 0.02 for row in rows)


@pytest.mark.slow
def test_three_points_are_blocked_by_a_bank_of_ten_however_many_the_claims():
    """Of 40 candidates at margin 2 on 5,000 reviews, 95 % or more, with 2 claims, 11 and 40."""
    rows = [row for row in verdicts.dropping(MEASURED, many=40) if row["case"]["below"] == "incumbent"]
    assert [row["case"]["claims"] for row in rows] == [2, 11, 40]
    assert all(row["rate"] >= 0.95 for row in rows)


@pytest.mark.parametrize(("name", "key"), [("size", "worst"), ("claims", "claims")])
def test_every_claim_of_the_committed_figures_held(name, key):
    """Of each method, and of each claim on verdicts, every row held; what is not claimed may not have."""
    rows = json.loads((COMMITTED / f"{name}.json").read_text("utf-8"))[key]
    assert len(rows) >= 5
    for row in rows:
        if row.get("claimed", True):
            assert row["held"] == row["cases"], row
