"""Training: one seed, one adapter, whatever interrupts it; the best epoch; and runs that must stop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lorasent.adapter.directory import SAMPLE_REVIEWS
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.augmentation import ways
from lorasent.errors import DataError, RecipeError, TrainingError
from lorasent.files import sha256
from lorasent.recipe.recipe import Recipe, Training
from lorasent.scoring.scorer import load
from lorasent.training import loop
from lorasent.training.batches import LengthGroupedSampler
from lorasent.training.run import Epoch, best_of, ended, read_splits
from lorasent.training.train import Listener, train
from tests.support.architectures import make
from tests.support.bases import write_small_recipe
from tests.support.killed import train_until

STEPS = 6  # 24 reviews in batches of 4, in each of three epochs


def weights(path):
    return sha256(path / "adapter_model.safetensors")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(small_recipe, small_adapter, tmp_path):
    """Weights, and the manifest but for nothing, come out again; another seed gives others."""
    again = train(Recipe.read(small_recipe), tmp_path / "again").path
    other = train(Recipe.read(small_recipe, ["training.seed=1"]), tmp_path / "other").path
    assert weights(again) == weights(small_adapter) != weights(other)
    assert (again / "lorasent.json").read_bytes() == (small_adapter / "lorasent.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "number"),
    [("step", 2), ("epoch", 1), ("step", STEPS + 1), ("step", STEPS + 4), ("epoch", 2), ("step", 3 * STEPS)],
    ids=[
        "in the first epoch",
        "before a checkpoint",
        "after a checkpoint",
        "within an epoch",
        "before the second",
        "at the last step",
    ],
)
def test_killed_and_resumed_gives_the_same_bits(small_recipe, small_adapter, tmp_path, at, number):
    """SIGKILL anywhere, then resume: the adapter of the uninterrupted run, and nothing left beside it."""
    out = tmp_path / "adapter"
    assert train_until(small_recipe, out, at, number) == -9
    assert not out.exists()
    train(Recipe.read(small_recipe), out, resume=True)
    assert weights(out) == weights(small_adapter)
    assert (out / "lorasent.json").read_bytes() == (small_adapter / "lorasent.json").read_bytes()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        (None, lambda done: 1 - done),
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: (1 + np.cos(np.pi * done)) / 2),
        ("constant", lambda _: 1.0),
    ],
)
def test_the_learning_rate_follows_the_schedule(small_recipe, tmp_path, monkeypatch, schedule, after):
    """Up along a line for a fifth of the steps, then as the recipe says: by the share of the other steps that are done."""
    seen, step = [], loop._Callback.on_step_end

    def note(self, *arguments, **options):
        seen.append(self.trainer.lr_scheduler.get_last_lr()[0])
        step(self, *arguments, **options)

    monkeypatch.setattr(loop._Callback, "on_step_end", note)
    said = [] if schedule is None else [f'training.schedule="{schedule}"']
    train(Recipe.read(small_recipe, ["training.warmup=0.2", *said]), tmp_path / "adapter")
    steps, up = 3 * STEPS, int(0.2 * 3 * STEPS)
    expected = [done / up if done < up else after((done - up) / (steps - up)) for done in range(1, steps + 1)]
    assert seen == pytest.approx(np.multiply(1e-2, expected), abs=1e-12)


def test_a_schedule_that_is_linear_is_none(small_recipe):
    """Said or not, it is the same recipe."""
    assert Recipe.read(small_recipe, ['training.schedule="linear"']) == Recipe.read(small_recipe)


@pytest.mark.slow
def test_the_average_is_what_is_kept_and_resumes_to_the_same_bits(small_recipe, small_adapter, tmp_path):
    """Training takes the same steps, so its losses are those without; the epochs' figures and the weights are the average's."""
    asked = tmp_path / "averaged.toml"
    asked.write_text(small_recipe.read_text() + "ema_decay = 0.8\n")
    whole, out = train(Recipe.read(asked), tmp_path / "whole"), tmp_path / "resumed"
    plain = read_json(small_adapter / MANIFEST)["epochs"]
    assert [row.training_loss for row in whole.epochs] == [row["training_loss"] for row in plain]
    assert all(row.validation_loss != was["validation_loss"] for row, was in zip(whole.epochs, plain, strict=True))
    assert weights(whole.path) != weights(small_adapter)
    assert train_until(asked, out, "step", STEPS + 2) == -9
    assert weights(train(Recipe.read(asked), out, resume=True).path) == weights(whole.path)
    assert load(out)  # which proves that the kept weights answer as the manifest says


AUGMENTED = ["augmentation.share=0.7", "augmentation.typos=0.2", "augmentation.synonyms=0.5", "augmentation.window=20"]


@pytest.mark.slow
def test_augmented_training_is_another_run_and_resumes_to_the_same_bits(small_recipe, small_adapter, tmp_path):
    """What an epoch shows follows from seed and epoch: killed within the second and resumed, the adapter comes out again."""
    recipe = Recipe.read(small_recipe, AUGMENTED)
    whole, out, asked = train(recipe, tmp_path / "whole").path, tmp_path / "resumed", tmp_path / "augmented.toml"
    table = "\n".join(line.removeprefix("augmentation.") for line in AUGMENTED)
    asked.write_text(f"{small_recipe.read_text()}\n[augmentation]\n{table}\n")
    assert train_until(asked, out, "step", STEPS + 2) == -9
    resumed = train(recipe, out, resume=True).path
    assert weights(resumed) == weights(whole) != weights(small_adapter)
    assert (resumed / "lorasent.json").read_bytes() == (whole / "lorasent.json").read_bytes()


@pytest.mark.slow
def test_augmented_training_is_training_on_the_augmented_texts(small_recipe, tmp_path):
    """Where nothing is left to chance, it gives the bits of a run on a file of those texts: labels and validation are untouched."""
    recipe = Recipe.read(small_recipe, ["augmentation.share=1", "augmentation.markup=1"])
    splits = dict(zip(("train", "validation"), read_splits(recipe), strict=False))
    texts = {name: split.texts for name, split in splits.items()}
    texts["train"] = ways.epoch(texts["train"], recipe.augmentation, 0, 0)
    assert texts["train"] != splits["train"].texts
    for name, split in splits.items():
        rows = zip(texts[name], split.labels.tolist(), strict=True)
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    values = {f"data.{name}": f"{tmp_path}/{name}.jsonl" for name in splits} | {"data.sample": None}
    augmented, plain = train(recipe, tmp_path / "augmented"), train(Recipe.read(small_recipe, (), values), tmp_path / "plain")
    assert augmented.epochs == plain.epochs
    assert weights(augmented.path) == weights(plain.path)


@pytest.mark.slow
def test_each_epoch_draws_its_own_texts_and_a_resumed_one_what_it_would_have_drawn(small_recipe, tmp_path, monkeypatch):
    """Augmentation is asked once an epoch, with the training reviews alone, the run's seed and the epoch's number."""
    recipe = Recipe.read(small_recipe, [*AUGMENTED, "training.seed=5"])
    asked, draw = [], ways.epoch
    reviews = read_splits(recipe)[0].texts

    def noted(texts, settings, seed, number):
        asked.append((list(texts) == reviews, seed, number))
        return draw(texts, settings, seed, number)

    monkeypatch.setattr(ways, "epoch", noted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "adapter", listener=Interrupt(1))
    train(recipe, tmp_path / "adapter", resume=True)
    assert asked == [(True, 5, number) for number in (0, 1, 1, 2)]


class Interrupt(Listener):
    """Presses Ctrl-C after so many epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def epoch(self, row):
        if row.epoch > self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_no_run_made_is_left_alone(small_recipe, tmp_path, resume):
    """Even one that looks like a run's; half a claim of a run that was killed at once is not in the way."""
    mine = tmp_path / "adapter.partial" / "checkpoint-500"
    mine.mkdir(parents=True)
    (mine / "model.safetensors").touch()
    with pytest.raises(TrainingError, match=r"adapter.partial: the run needs this folder, and it holds something else"):
        train(Recipe.read(small_recipe), tmp_path / "adapter", resume=resume)
    assert [path.name for path in mine.iterdir()] == ["model.safetensors"]
    shutil.rmtree(mine)
    (mine.parent / ".run.json.7.tmp").touch()
    with pytest.raises(DataError, match="nowhere"):
        train(Recipe.read(small_recipe, ["data.train=nowhere.jsonl"]), tmp_path / "adapter", resume=resume)


@pytest.mark.slow
def test_an_interrupted_run_is_not_overwritten_and_resumes_only_as_itself(small_recipe, tmp_path):
    """Starting over needs its removal; another recipe or data is refused, naming what changed."""
    out, recipe = tmp_path / "adapter", Recipe.read(small_recipe)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out, listener=Interrupt(1))
    with pytest.raises(TrainingError, match=r"adapter.partial: holds an interrupted run; go on with --resume, or remove it"):
        train(recipe, out)
    with pytest.raises(TrainingError, match=r"was made with another recipe and train_sha256"):
        train(Recipe.read(small_recipe, ["data.seed=5", "data.validation=embedded:validation"]), out, resume=True)
    heard = []
    listener = Listener()
    listener.prepared = lambda run: heard.append(run.resumed_epochs)
    assert len(train(recipe, out, resume=True, listener=listener).epochs) == 3
    assert heard == [1]


LOSSES = st.lists(st.integers(0, 12).map(lambda value: value / 4), min_size=1, max_size=12)
"""Of few values, so that equal ones and exact differences occur."""


@given(LOSSES, st.integers(1, 5), st.sampled_from([None, 0.0, 0.25, 0.3, 1.0]))
def test_a_run_stops_after_so_many_epochs_without_an_improvement(losses, patience, least):
    """A second, plainer way: an epoch improves if every earlier loss is higher by more than the least; the lowest loss is kept."""
    schedule = Training(
        epochs=len(losses),
        batch_size=1,
        learning_rate=0.1,
        early_stopping_patience=patience,
        early_stopping_min_improvement=least,
    )
    rows = [Epoch(number, 0.0, loss, 0.0, 0.0, 0.0, 0.0, 0.0) for number, loss in enumerate(losses, 1)]
    improved = [all(before - loss > (least or 0) for before in losses[:place]) for place, loss in enumerate(losses)]
    stale = (n for n in range(patience + 1, len(losses) + 1) if not any(improved[n - patience : n]))
    expected = next(stale, len(losses))
    assert next(n for n in range(1, len(losses) + 1) if ended(rows[:n], schedule)) == expected
    assert best_of(rows[:expected]).epoch == 1 + losses.index(min(losses[:expected]))
    assert not ended([], schedule)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "waited"),
    [
        (["training.early_stopping_patience=2", "training.learning_rate=0.05"], 2),
        (["training.early_stopping_patience=4", "training.early_stopping_min_improvement=0.002"], 2),
    ],
    ids=["of any improvement", "of one over 0.002"],
)
def test_patience_survives_a_resume(small_recipe, tmp_path, overrides, waited):
    """Early stopping counts from the last improvement, and a resumed run stops where the uninterrupted one did."""
    recipe = Recipe.read(small_recipe, ["training.epochs=12", *overrides])
    whole = train(recipe, tmp_path / "whole")
    stopped = len(whole.epochs)
    assert stopped == whole.best.epoch + waited < 12
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "resumed", listener=Interrupt(stopped - 1))
    resumed = train(recipe, tmp_path / "resumed", resume=True)
    assert resumed.epochs == whole.epochs
    assert weights(resumed.path) == weights(whole.path)


@pytest.mark.slow
def test_lora_plus_moves_b_by_its_ratio(small_recipe, tmp_path):
    """Adam's first step goes by the learning rate: 16 times as far in B, and as far as without it in A and in the head."""
    one_step = ["training.epochs=1", "training.batch_size=24", "training.learning_rate=1e-3", "training.weight_decay=0.0"]
    with_ratio = train(Recipe.read(small_recipe, [*one_step, "lora.lora_plus_ratio=16"]), tmp_path / "ratio").path
    without = load_file(train(Recipe.read(small_recipe, one_step), tmp_path / "none").path / "adapter_model.safetensors")
    for name, found in load_file(with_ratio / "adapter_model.safetensors").items():
        if "lora_B" in name:
            torch.testing.assert_close(found, 16 * without[name])
        elif found.ndim == 2:  # PEFT moves biases as it moves B
            torch.testing.assert_close(found, without[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["lora.use_rslora=true", "training.precision=bf16"],
        ["lora.use_dora=true"],
        ["lora.use_dora=true", "training.precision=bf16"],
        ["lora.lora_plus_ratio=4"],
    ],
    ids=["rsLoRA in bf16", "DoRA", "DoRA in bf16", "LoRA+"],
)
def test_variants_resume_to_the_same_bits(small_recipe, tmp_path, overrides):
    """Interrupted after an epoch and resumed, each gives the adapter of the uninterrupted run, which loads and is proved."""
    recipe = Recipe.read(small_recipe, overrides)
    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "resumed", listener=Interrupt(1))
    resumed = train(recipe, tmp_path / "resumed", resume=True)
    assert weights(resumed.path) == weights(whole.path)
    assert np.isfinite(load(resumed.path).logits(SAMPLE_REVIEWS)).all()


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [["training.early_stopping_patience=1"], []], ids=["stopped early", "all epochs done"])
def test_a_run_that_had_ended_is_only_written_when_resumed(small_recipe, tmp_path, monkeypatch, overrides):
    """A full disk when the adapter is written: the resumed run trains no further, wherever its folder has gone, and is the same."""
    recipe = Recipe.read(small_recipe, ["training.epochs=6", "training.learning_rate=0.05", *overrides])
    whole = train(recipe, tmp_path / "whole")
    assert (len(whole.epochs) == whole.best.epoch + 1) == bool(overrides)
    (tmp_path / "here").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "here")
        patch.setattr("lorasent.adapter.writing.write", raise_full)
        with pytest.raises(TrainingError, match=r"cannot be written: .*No space left on device; make room and go on with --resume"):
            train(recipe, "mine")
    (tmp_path / "here" / "mine.partial").rename(tmp_path / "moved.partial")
    resumed = train(recipe, tmp_path / "moved", resume=True)
    assert resumed.epochs == whole.epochs
    assert weights(resumed.path) == weights(whole.path)


def raise_full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_the_best_epoch_is_kept(small_recipe, tmp_path):
    """The epoch of the lowest validation loss answers afterwards, not the last one."""
    recipe = Recipe.read(small_recipe, ["training.epochs=12", "training.learning_rate=0.1", "training.early_stopping_patience=1"])
    result = train(recipe, tmp_path / "adapter")
    losses = [row.validation_loss for row in result.epochs]
    assert result.best.epoch == 1 + losses.index(min(losses))
    assert min(losses) < losses[-1]
    from lorasent.data.reviews import read
    from lorasent.metrics import evaluate

    reviews = read("embedded:validation", recipe.base.labels).sample(24, 0, recipe.base.labels)
    figures = evaluate(load(result.path).logits(reviews.texts), reviews.labels, recipe.base.labels)
    assert figures.log_loss == pytest.approx(result.best.validation_loss, abs=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(small_recipe, tmp_path):
    """The step is named, and nothing is left behind that could be taken for an adapter."""
    recipe = Recipe.read(small_recipe, ["training.learning_rate=0.9", "training.weight_decay=1e30"])
    with pytest.raises(TrainingError, match=r"training loss is (nan|inf) at step \d+ of 18"):
        train(recipe, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_break_in_an_epochs_last_step_stop_the_run(small_recipe, tmp_path):
    """Nothing finite is left to evaluate; the step is named all the same."""
    recipe = Recipe.read(small_recipe, ["training.learning_rate=0.9", "training.weight_decay=1e38", "training.batch_size=24"])
    with pytest.raises(TrainingError, match=r"(after|at) step 1 of 3"):
        train(recipe, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_start_is_refused(small_recipe, tmp_path):
    """An output that exists, nothing to resume, one class only, and a target that the base lacks."""
    recipe = Recipe.read(small_recipe)
    with pytest.raises(TrainingError, match=r"exists already; choose another --out"):
        train(recipe, tmp_path)
    with pytest.raises(TrainingError, match=r"no interrupted run to resume"):
        train(recipe, tmp_path / "new", resume=True)
    (tmp_path / "one.jsonl").write_text('{"text": "x", "label": 1}\n{"text": "y", "label": 1}\n')
    with pytest.raises(DataError, match=r"needs reviews of every label, found none labelled Negative"):
        one = Recipe.read(small_recipe, [f"data.train={tmp_path}/one.jsonl"]).to_json()
        del one["data"]["sample"]
        train(Recipe.parse(one, "test"), tmp_path / "new")
    with pytest.raises(RecipeError, match=r"no linear layer is called q_lin"):
        train(Recipe.read(small_recipe, ['lora.target_modules=["q_lin"]']), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["one.jsonl"]


@pytest.mark.parametrize("given", ["imdb-bert", "mine.toml", Path("mine.toml")], ids=["shipped name", "path as text", "path"])
def test_a_recipe_may_be_named(small_recipe, tmp_path, monkeypatch, given):
    """Whatever `Recipe.read` takes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_recipe, "mine.toml")
    asked = []
    monkeypatch.setattr("lorasent.training.train.read_splits", lambda recipe: [asked.append(recipe), {}["enough"]])
    with pytest.raises(KeyError, match="enough"):
        train(given, "new")
    assert asked == [Recipe.read(given)]


@pytest.mark.parametrize("given", [None, 7, b"new", "", ["new"]], ids=repr)
def test_a_directory_is_a_text_or_a_path(small_recipe, given):
    """Anything else is one clear error."""
    with pytest.raises(TrainingError, match=r"^expected the adapter's directory as a str or a Path, found "):
        train(small_recipe, given)


@pytest.mark.parametrize("name", ["new", "new.partial"])
def test_a_link_to_nothing_is_something(small_recipe, tmp_path, name):
    """The adapter could not take its place, after the whole run."""
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(
        TrainingError, match=rf"{name}: (exists already|the run needs this folder, and it holds something else); choose another"
    ):
        train(small_recipe, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_listener_hears_everything_in_order(small_recipe, tmp_path):
    """Prepared, untrained, steps and epochs, trained; overlap with validation is counted and removed."""
    train_file = tmp_path / "train.jsonl"
    from lorasent.data.reviews import read

    reviews = read("embedded:train", ("Negative", "Positive")).sample(12, 0, ("Negative", "Positive"))
    overlap = read("embedded:validation", ("Negative", "Positive")).texts[:3]
    rows = [*zip(reviews.texts, reviews.labels.tolist(), strict=True), *((text.upper(), 1) for text in overlap)]
    train_file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    tables = Recipe.read(small_recipe, [f"data.train={train_file}", "training.epochs=1"]).to_json()
    del tables["data"]["sample"]
    heard = []

    class Notes(Listener):
        def prepared(self, run):
            heard.append(("prepared", len(run.train), run.removed, run.steps))

        def untrained(self, predictions):
            heard.append(("untrained", tuple(row.text for row in predictions)))

        def step(self, done, total):
            heard.append((done, total))

        def epoch(self, row):
            heard.append(("epoch", row.epoch))

        def trained(self, result, predictions):
            heard.append(("trained", Path(result.path).name, len(predictions)))

    train(Recipe.parse(tables, "test"), tmp_path / "adapter", listener=Notes())
    assert heard == [
        ("prepared", 12, 3, 3),
        ("untrained", SAMPLE_REVIEWS),
        (1, 3),
        (2, 3),
        (3, 3),
        ("epoch", 1),
        ("trained", "adapter", 4),
    ]


@given(st.lists(st.integers(1, 512), min_size=1, max_size=400), st.integers(1, 16), st.integers(0, 3))
def test_the_sampler_visits_each_review_once(lengths, batch_size, epoch):
    """Every epoch holds every row once; the order follows from seed and epoch alone."""
    sampler = LengthGroupedSampler(lengths, batch_size, seed=0)
    sampler.epoch = epoch
    assert sorted(sampler) == list(range(len(lengths))) == sorted(set(sampler))
    assert list(sampler) == list(sampler)


def test_the_sampler_groups_lengths_and_shuffles():
    """Batches pad by under 3 % where random ones would by over 30 %, and two epochs have little in common."""
    lengths = np.random.default_rng(0).gamma(2, 120, 2000).clip(10, 512).astype(int)
    sampler = LengthGroupedSampler(lengths, 4, seed=0)
    first = np.array(list(sampler)).reshape(-1, 4)
    sampler.epoch = 1
    second = np.array(list(sampler)).reshape(-1, 4)
    assert lengths[first].max(axis=1).sum() * 4 < 1.03 * lengths.sum()
    assert len({frozenset(row) for row in first.tolist()} & {frozenset(row) for row in second.tolist()}) < 50


def test_reviews_may_hold_what_ends_a_text(bases, tmp_path):
    """BART takes no batch of texts with different numbers of end tokens; each review has its own gradient's share all the same."""
    texts = [f"{'fine </s> film ' * (number % 3)}it was good, number {number}" for number in range(12)]
    rows = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts)]
    (tmp_path / "ended.jsonl").write_text("\n".join(rows))
    recipe = write_small_recipe(tmp_path, make(bases, tmp_path / "base", "bart"))
    settings = [f"data.train={tmp_path}/ended.jsonl", "data.sample=12", "training.epochs=1", "lora.dropout=0", "base.dropout=0"]
    settings += ["training.batch_size=12", "training.learning_rate=1e-9"]
    trained = train(Recipe.read(recipe, settings), tmp_path / "trained")
    logits = torch.from_numpy(load(trained.path).logits(texts))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([number % 2 for number in range(12)]))
    assert trained.epochs[0].training_loss == pytest.approx(expected.item(), abs=1e-5)
