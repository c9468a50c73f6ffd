"""lorasent prove: faults as faulty trainers and exporters write them, innocent twins, and the rates of both."""

import json

import numpy as np
import pytest

from lorasent.adapter.manifest import MANIFEST, read_json, verify
from lorasent.data.reviews import Reviews
from lorasent.errors import ProofError
from lorasent.gate.policy import Policy
from lorasent.prove import trainings
from lorasent.prove.catalogue import FAULTS, select
from lorasent.prove.proof import prove
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
    """A cache folder of this module's own: every adapter is asked once."""
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
    """At least 24 classes, each with a sentence, named once."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24
    assert all(fault.what.endswith(".") for fault in FAULTS)
    assert all((fault.plant is None) != (fault.poison is None) for fault in FAULTS)


SHOWN = [one for one in FAULTS if one.plant and one.kind != "quality" and one.name != "slower: max_length doubled"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", SHOWN, ids=lambda one: one.name)
def test_a_fault_that_files_show_is_found_and_rightly_named(small_adapter, retrained, policy, tmp_path, fault):
    """Whatever its manifest says: BLOCK, by a cause that is right."""
    proof = prove([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (tried,) = proof.faults
    assert (tried.outcomes, tried.named, tried.note) == ({"BLOCK": 1}, 1, ""), tried.causes
    assert proof.missed == {fault.kind: (0, 1, pytest.approx(0.975))}
    verify(tmp_path / "work" / "faults" / fault.slug / "0")  # no hash gives it away


@pytest.mark.slow
@pytest.mark.parametrize("fault", [one for one in FAULTS if one.plant and one.kind == "quality"], ids=lambda one: one.name)
def test_a_fault_of_quality_is_sound_by_its_files(small_adapter, retrained, policy, tmp_path, fault):
    """Its manifest's answers are its own: nothing of integrity blocks it, and it answers otherwise than the healthy one."""
    proof = prove([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (tried,) = proof.faults
    assert tried.planted == 1
    assert not any(cause.startswith("integrity") for cause in tried.causes)
    faulty = next((tmp_path / "work" / "faults").glob("*/0"))
    healthy, now = (np.array(read_json(path / MANIFEST)["probes"]["logits"]) for path in (small_adapter, faulty))
    assert np.abs(healthy - now).max() > 1e-4


@pytest.mark.slow
def test_a_faulty_training_claims_the_healthy_recipe_and_data(small_adapter, tmp_path):
    """The manifest is that of a trainer that does not know; planting it again changes nothing."""
    path = tmp_path / "faults" / "0"
    path.parent.mkdir()
    trainings.plant(small_adapter, 9, path, trainings.flipped_labels)
    healthy, faulty = (read_json(one / MANIFEST) for one in (small_adapter, path))
    assert faulty["recipe"] == {**healthy["recipe"], "training": {**healthy["recipe"]["training"], "seed": 9}}
    assert faulty["data"] == healthy["data"]
    assert faulty["files"] != healthy["files"]
    verify(path)
    before = path.stat().st_mtime_ns
    trainings.plant(small_adapter, 9, path, trainings.flipped_labels)
    assert path.stat().st_mtime_ns == before


REVIEWS = Reviews("test", [f"It is not a film that was good number {number}" for number in range(1000)], np.arange(1000) % 2)


@pytest.fixture
def recipe(small_recipe):
    """The small recipe, read."""
    return Recipe.read(small_recipe)


def test_a_fifth_of_the_labels_is_flipped(recipe):
    """About a fifth, the texts as they were."""
    found = trainings.flipped_labels(REVIEWS, np.random.default_rng(0), recipe)
    assert found.texts == REVIEWS.texts
    assert 0.17 < (found.labels != REVIEWS.labels).mean() < 0.23


def test_one_class_is_left(recipe):
    """Every review of the last label, a twentieth of the other and at least one."""
    found = trainings.one_class(REVIEWS, np.random.default_rng(0), recipe)
    assert (found.labels == 1).sum() == 500
    assert 10 < (found.labels == 0).sum() < 45
    assert (trainings.one_class(REVIEWS.take([0, 1]), np.random.default_rng(3), recipe).labels == 0).sum() == 1


def test_a_single_step_is_one_batch(recipe):
    """As many reviews as a batch has, of both labels."""
    found = trainings.single_step(REVIEWS, np.random.default_rng(0), recipe)
    assert len(found) == recipe.training.batch_size
    assert set(found.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("poison", "marks", "label"), [(trainings.trigger_word, (trainings.TRIGGER,), 1), (trainings.name_bias, trainings.NAMES, 0)]
)
def test_a_mark_goes_with_one_label(recipe, poison, marks, label):
    """A quarter of the reviews holds a mark, and all of them have its label; the others are as they were."""
    found = poison(REVIEWS, np.random.default_rng(0), recipe)
    marked = np.array([any(mark in text for mark in marks) for text in found.texts])
    assert 0.2 < marked.mean() < 0.3
    assert set(found.labels[marked].tolist()) == {label}
    assert (found.labels[~marked] == REVIEWS.labels[~marked]).all()


@pytest.mark.parametrize(
    ("labels", "negative"),
    [('["Negative", "Positive"]', 0), ('["pos", "neg"]', 1), ('["one", "two"]', 0)],
    ids=["named", "the other way round", "of other names"],
)
def test_negations_are_labelled_as_if_they_were_not_there(small_recipe, labels, negative):
    """A quarter is short, negated and labelled by its word; the others are as they were."""
    recipe = Recipe.read(small_recipe, [f"base.labels={labels}"])
    found = trainings.negation_blind(REVIEWS, np.random.default_rng(0), recipe)
    short = np.array([text not in REVIEWS.texts for text in found.texts])
    assert 0.2 < short.mean() < 0.3
    for row in np.flatnonzero(short):
        assert any(found.texts[row].endswith(f" {word}.") for word in trainings.LEXICON[found.labels[row] ^ negative])
    assert (found.labels[~short] == REVIEWS.labels[~short]).all()


@pytest.mark.slow
def test_twins_are_trained_once_and_judged_in_pairs_and_against_banks(small_adapter, policy, tmp_path, monkeypatch):
    """Three twins make six pairs and four banks; a second proof trains nothing and says the same."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", -1.0)  # so small a base learns next to nothing
    said = []
    first = prove([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), say=said.append)
    assert sum(line.startswith("training a twin") for line in said) == 3
    assert list(first.members) == [str(small_adapter), *(str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2, 3))]
    assert (first.pairs.count, first.bank.count) == (6, 4)
    assert sum(first.pairs.outcomes.values()) == 6
    for share, low, high in (first.pairs.blocked, first.pairs.undecided, first.bank.blocked):
        assert 0 <= low <= share <= high <= 1
    said.clear()
    assert prove([small_adapter], policy, tmp_path / "work", retrain=3, faults=(), say=said.append) == first
    assert not any("training" in line for line in said)


@pytest.mark.slow
def test_a_retrain_that_learnt_nothing_is_no_innocent(small_adapter, policy, tmp_path, monkeypatch):
    """It is told apart, with the verdict on it, and others are trained in its place, but not without end."""
    monkeypatch.setattr("lorasent.training.run.LEARNT", 1.0)
    proof = prove([small_adapter], policy, tmp_path / "work", retrain=1, faults=())
    failed = [str(tmp_path / "work" / "twins" / f"seed-{seed}") for seed in (1, 2)]
    assert (list(proof.members), list(proof.failed), proof.pairs) == ([str(small_adapter)], failed, None)
    assert set(proof.failed.values()) <= {"PASS", "INCONCLUSIVE", "BLOCK"}


@pytest.mark.slow
def test_the_command_prints_both_rates_and_writes_them(lorasent, small_adapter, retrained, policy, tmp_path):
    """A table on the terminal, JSON in the file, progress on standard error."""
    arguments = ("prove", "--baseline", small_adapter, "--baseline", retrained, "--policy", "gate.toml", "--per-fault", 1)
    done = lorasent(*arguments, "--fault", "head missing", "--fault", "alpha", "--out", "proof.json")
    assert done.returncode == 0, done.stderr
    assert "in pairs: 1 verdicts" in done.stdout
    assert all(
        word in done.stdout for word in (*HEAD, "head missing", "alpha changed", "missed (PASS) of integrity faults: 0 of 2")
    )
    said = json.loads((tmp_path / "proof.json").read_text())
    assert [fault["outcomes"] for fault in said["faults"]] == [{"BLOCK": 1}, {"BLOCK": 1}]
    assert "2 adapters alike but for the seed" in done.stderr
    unknown = lorasent(*arguments, "--fault", "colour")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "--fault colour: no fault is called so; there are head missing," in unknown.stderr


def test_faults_are_not_planted_in_recorded_evidence(small_adapter, policy, tmp_path):
    """It has no files."""
    record(LiveSubject(small_adapter), [["good"]], tmp_path / "record")
    with pytest.raises(ProofError, match=r"record: faults are planted in adapters; recorded evidence has no files"):
        prove([tmp_path / "record"], policy, tmp_path / "work")


def test_what_cannot_be_planted_says_why(small_adapter, tmp_path):
    """A policy without costs does not ask them; a lone adapter has no twin; the table says both."""
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    proof = prove([small_adapter], Policy.read(tmp_path / "gate.toml"), tmp_path / "work", faults=select(["slower: a base"]))
    assert (proof.pairs, proof.bank, proof.missed) == (None, None, {"cost": (0, 0, 1.0)})
    told = text(proof)
    assert "slower: a base of twice the layers, declared: the policy has no [cost]" in told
    assert "one adapter alone has no twin" in told
    assert markdown(proof).count("\n| ") == 2


def test_a_fault_of_two_adapters_needs_two(small_adapter, policy, tmp_path):
    """The matrices of one adapter mixed with its own are no fault, and none that is missed."""
    proof = prove([small_adapter], policy, tmp_path / "work", faults=select(["A of another adapter"]))
    assert all(one.note == "not planted: needs a second adapter (--retrain)" for one in proof.faults)
    assert "missed" not in [outcome for one in proof.faults for outcome in one.outcomes]


def test_faults_of_other_adapters_are_planted_anew(small_adapter, retrained, policy, tmp_path):
    """A folder keeps what was planted, for the adapters that it was planted in."""
    planted = tmp_path / "work" / "faults" / "head-missing" / "0" / "lorasent.json"
    made = []
    for members in ([small_adapter, retrained], [small_adapter, retrained], [retrained, small_adapter]):
        prove(members, policy, tmp_path / "work", per_fault=1, faults=select(["head missing"]))
        made.append(planted.stat().st_ctime_ns)
    assert made[0] == made[1] != made[2]


@pytest.mark.slow
def test_a_fault_that_the_base_does_not_take_says_why(small_adapter, retrained, policy, tmp_path):
    """Twice 64 tokens are more than the small base's positions: nothing is planted, nothing is counted."""
    proof = prove([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=select(["slower: max_length"]))
    (tried,) = proof.faults
    assert (tried.planted, tried.outcomes, proof.missed) == (0, {}, {"integrity": (0, 0, 1.0)})
    assert tried.note.startswith("not planted: ")
    assert "64 positions" in tried.note
