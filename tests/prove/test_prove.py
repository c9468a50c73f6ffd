"""lorasent prove: planted faults, innocent retrains, and the gate's error rates on both."""

import json

import numpy as np
import pytest

from lorasent.adapter.manifest import MANIFEST, read_json, verify
from lorasent.data.reviews import Reviews
from lorasent.errors import ProveError
from lorasent.gate.policy import Policy
from lorasent.prove import training_faults
from lorasent.prove.catalogue import FAULTS, select
from lorasent.prove.experiment import measure
from lorasent.prove.table import HEAD, markdown, text
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject, record
from lorasent.training.train import train

POLICY = """
[data]
test = "embedded:test"
sample = 60
[quality]
margin = 0.30
[cost]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder for this module: every adapter is scored once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    monkeypatch.setenv("LORASENT_CACHE", str(cache))


@pytest.fixture(scope="module")
def retrained(small_recipe, tmp_path_factory):
    """The small recipe with another seed."""
    return train(Recipe.read(small_recipe, ["training.seed=5"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture
def policy(tmp_path):
    """A policy of quality and cost."""
    (tmp_path / "gate.toml").write_text(POLICY)
    return Policy.read(tmp_path / "gate.toml")


def test_there_are_many_faults():
    """There are at least 24; each has its own name, a sentence, and one way to plant it."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24
    assert all(fault.what.endswith(".") for fault in FAULTS)
    assert all((fault.plant is None) != (fault.corrupt is None) for fault in FAULTS)


IN_FILES = [fault for fault in FAULTS if fault.plant and fault.kind != "quality" and fault.name != "slower: max_length doubled"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", IN_FILES, ids=lambda fault: fault.name)
def test_a_fault_that_shows_in_the_files_is_blocked_by_a_right_cause(small_adapter, retrained, policy, tmp_path, fault):
    """The verdict is BLOCK, although every hash of the manifest agrees."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (result,) = rates.faults
    assert (result.outcomes, result.named, result.note) == ({"BLOCK": 1}, 1, ""), result.causes
    assert rates.missed == {fault.kind: (0, 1, pytest.approx(0.975))}
    verify(tmp_path / "work" / "faults" / fault.slug / "0")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.plant and fault.kind == "quality"], ids=lambda fault: fault.name
)
def test_a_fault_of_quality_passes_every_integrity_check(small_adapter, retrained, policy, tmp_path, fault):
    """Its manifest holds its own answers, which differ from those of the healthy adapter."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (result,) = rates.faults
    assert result.planted == 1
    assert not any(cause.startswith("integrity") for cause in result.causes)
    faulty = next((tmp_path / "work" / "faults").glob("*/0"))
    healthy, now = (np.array(read_json(path / MANIFEST)["probes"]["logits"]) for path in (small_adapter, faulty))
    assert np.abs(healthy - now).max() > 1e-4


@pytest.mark.slow
def test_a_faulty_training_claims_the_healthy_recipe_and_data(small_adapter, tmp_path):
    """The manifest is that of a trainer that does not know of the fault; planting it again changes nothing."""
    path = tmp_path / "faults" / "0"
    path.parent.mkdir()
    training_faults.plant(small_adapter, 9, path, training_faults.flipped_labels)
    healthy, faulty = (read_json(one / MANIFEST) for one in (small_adapter, path))
    assert faulty["recipe"] == {**healthy["recipe"], "training": {**healthy["recipe"]["training"], "seed": 9}}
    assert faulty["data"] == healthy["data"]
    assert faulty["files"] != healthy["files"]
    verify(path)
    before = path.stat().st_mtime_ns
    training_faults.plant(small_adapter, 9, path, training_faults.flipped_labels)
    assert path.stat().st_mtime_ns == before


REVIEWS = Reviews("test", [f"It is not a film that was good number {number}" for number in range(1000)], np.arange(1000) % 2)


@pytest.fixture
def recipe(small_recipe):
    """The small recipe, read."""
    return Recipe.read(small_recipe)


def test_a_fifth_of_the_labels_is_flipped(recipe):
    """The texts stay as they were."""
    found = training_faults.flipped_labels(REVIEWS, np.random.default_rng(0), recipe)
    assert found.texts == REVIEWS.texts
    assert 0.17 < (found.labels != REVIEWS.labels).mean() < 0.23


def test_one_class_is_left(recipe):
    """Every review of the last label stays, and a twentieth of the other, at least one."""
    found = training_faults.one_class(REVIEWS, np.random.default_rng(0), recipe)
    assert (found.labels == 1).sum() == 500
    assert 10 < (found.labels == 0).sum() < 45
    assert (training_faults.one_class(REVIEWS.take([0, 1]), np.random.default_rng(3), recipe).labels == 0).sum() == 1


def test_a_single_step_is_one_batch(recipe):
    """The reviews are as many as a batch has, and of both labels."""
    found = training_faults.single_step(REVIEWS, np.random.default_rng(0), recipe)
    assert len(found) == recipe.training.batch_size
    assert set(found.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("corrupt", "marks", "label"),
    [(training_faults.trigger_word, (training_faults.TRIGGER,), 1), (training_faults.name_bias, training_faults.NAMES, 0)],
)
def test_a_mark_goes_with_one_label(recipe, corrupt, marks, label):
    """A quarter of the reviews contains a mark and has its label; the others stay as they were."""
    found = corrupt(REVIEWS, np.random.default_rng(0), recipe)
    marked = np.array([any(mark in text for mark in marks) for text in found.texts])
    assert 0.2 < marked.mean() < 0.3
    assert set(found.labels[marked].tolist()) == {label}
    assert (found.labels[~marked] == REVIEWS.labels[~marked]).all()


@pytest.mark.parametrize(
    ("labels", "negative"),
    [('["Negative", "Positive"]', 0), ('["pos", "neg"]', 1), ('["one", "two"]', 0)],
    ids=["negative first", "negative last", "other names"],
)
def test_negated_reviews_are_labelled_as_if_they_were_not_negated(small_recipe, labels, negative):
    """A quarter is short, negated and labelled by its word; the others stay as they were."""
    recipe = Recipe.read(small_recipe, [f"base.labels={labels}"])
    found = training_faults.negation_blind(REVIEWS, np.random.default_rng(0), recipe)
    short = np.array([text not in REVIEWS.texts for text in found.texts])
    assert 0.2 < short.mean() < 0.3
    for row in np.flatnonzero(short):
        assert any(found.texts[row].endswith(f" {word}.") for word in training_faults.LEXICON[found.labels[row] ^ negative])
    assert (found.labels[~short] == REVIEWS.labels[~short]).all()


@pytest.mark.slow
def test_retrains_are_trained_once_and_judged_in_pairs_and_against_banks(small_adapter, policy, tmp_path, monkeypatch):
    """Three retrains make six pairs and four banks; a second run trains nothing and gives the same rates."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", -1.0)  # so small a base learns next to nothing
    lines = []
    first = measure([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), report=lines.append)
    assert sum(line.startswith("training an innocent retrain") for line in lines) == 3
    assert list(first.members) == [str(small_adapter), *(str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2, 3))]
    assert (first.pairs.count, first.bank.count) == (6, 4)
    assert sum(first.pairs.outcomes.values()) == 6
    for share, low, high in (first.pairs.blocked, first.pairs.undecided, first.bank.blocked):
        assert 0 <= low <= share <= high <= 1
    lines.clear()
    assert measure([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), report=lines.append) == first
    assert not any("training" in line for line in lines)


@pytest.mark.slow
def test_a_retrain_that_learnt_nothing_is_not_innocent(small_adapter, policy, tmp_path, monkeypatch):
    """It is listed apart, with its verdict, and replaced by others, a bounded number of times."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", 1.0)
    rates = measure([small_adapter], policy, tmp_path / "work", retrain=1, faults=())
    failed = [str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2)]
    assert (list(rates.members), list(rates.failed), rates.pairs) == ([str(small_adapter)], failed, None)
    assert set(rates.failed.values()) <= {"PASS", "INCONCLUSIVE", "BLOCK"}


@pytest.mark.slow
def test_the_command_prints_and_writes_the_error_rates(lorasent, small_adapter, retrained, policy, tmp_path):
    """A table goes to standard output, JSON to the file, progress to standard error."""
    arguments = ("prove", "--baseline", small_adapter, "--baseline", retrained, "--policy", "gate.toml", "--per-fault", 1)
    done = lorasent(*arguments, "--fault", "head missing", "--fault", "alpha", "--out", "proof.json")
    assert done.returncode == 0, done.stderr
    assert "in pairs: 1 verdicts" in done.stdout
    assert all(
        word in done.stdout for word in (*HEAD, "head missing", "alpha changed", "missed (PASS) of integrity faults: 0 of 2")
    )
    written = json.loads((tmp_path / "proof.json").read_text())
    assert [fault["outcomes"] for fault in written["faults"]] == [{"BLOCK": 1}, {"BLOCK": 1}]
    assert "2 adapters alike but for the seed" in done.stderr
    unknown = lorasent(*arguments, "--fault", "colour")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "--fault colour: no such fault; the faults are head missing," in unknown.stderr


def test_recorded_evidence_is_refused(small_adapter, policy, tmp_path):
    """Faults are planted in files, which it does not have."""
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    with pytest.raises(ProveError, match=r"record: faults are planted in adapters; recorded evidence has no files"):
        measure([tmp_path / "record"], policy, tmp_path / "work")


def test_the_table_says_what_was_not_measured_and_why(small_adapter, tmp_path):
    """A policy without [cost] judges no cost fault; a single adapter makes no pair."""
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    rates = measure([small_adapter], Policy.read(tmp_path / "gate.toml"), tmp_path / "work", faults=select(["slower: a base"]))
    assert (rates.pairs, rates.bank, rates.missed) == (None, None, {"cost": (0, 0, 1.0)})
    lines = text(rates)
    assert "slower: a base of twice the layers, declared: the policy has no [cost]" in lines
    assert "a single adapter has no other to be judged against" in lines
    assert markdown(rates).count("\n| ") == 2


def test_a_fault_that_mixes_two_adapters_needs_two(small_adapter, policy, tmp_path):
    """With a single adapter it is not planted, and not counted as missed."""
    rates = measure([small_adapter], policy, tmp_path / "work", faults=select(["A of another adapter"]))
    assert all(fault.note == "not planted: needs a second adapter (--retrain)" for fault in rates.faults)
    assert "missed" not in [outcome for fault in rates.faults for outcome in fault.outcomes]


def test_faults_are_planted_anew_in_other_adapters(small_adapter, retrained, policy, tmp_path):
    """The work folder keeps a planted fault for the adapters that it was planted in."""
    planted = tmp_path / "work" / "faults" / "head-missing" / "0" / "lorasent.json"
    made = []
    for members in ([small_adapter, retrained], [small_adapter, retrained], [retrained, small_adapter]):
        measure(members, policy, tmp_path / "work", per_fault=1, faults=select(["head missing"]))
        made.append(planted.stat().st_ctime_ns)
    assert made[0] == made[1] != made[2]


@pytest.mark.slow
def test_a_fault_that_does_not_fit_the_base_is_not_planted(small_adapter, retrained, policy, tmp_path):
    """Twice 64 tokens are more than the small base has positions for; the note says so."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=select(["slower: max_length"]))
    (result,) = rates.faults
    assert (result.planted, result.outcomes, rates.missed) == (0, {}, {"integrity": (0, 0, 1.0)})
    assert result.note.startswith("not planted: ")
    assert "64 positions" in result.note
