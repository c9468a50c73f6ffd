"""Training: the same seed gives the same adapter, also after an interruption; the best epoch is kept; bad runs stop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lorasent.adapter.directory import SAMPLE_REVIEWS
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.adapter.manifest import read as read_manifest
from lorasent.augmentation import ways
from lorasent.data.reviews import read
from lorasent.errors import DataError, DeviceError, RecipeError, TrainingError
from lorasent.files import sha256
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.scorer import load
from lorasent.training import loop
from lorasent.training.run import read_splits
from lorasent.training.train import Listener, train
from tests.support.architectures import make
from tests.support.bases import LABELS, write_small_recipe
from tests.support.in_memory import FORMS
from tests.support.killed import train_until

STEPS = 6  # 24 reviews in batches of 4, in each of three epochs


def weights(path):
    return sha256(path / "adapter_model.safetensors")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(small_recipe, small_adapter, tmp_path):
    """Weights and manifest are equal bit for bit; another seed gives other weights."""
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
    """A run that was killed anywhere and resumed gives the adapter of the uninterrupted run, and leaves no other file."""
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
    """It rises linearly for a fifth of the steps, then follows the schedule by the share of the other steps."""
    seen, step = [], loop._Callback.on_step_end

    def note(self, *arguments, **options):
        seen.append(self.trainer.lr_scheduler.get_last_lr()[0])
        step(self, *arguments, **options)

    monkeypatch.setattr(loop._Callback, "on_step_end", note)
    overrides = [] if schedule is None else [f'training.schedule="{schedule}"']
    train(Recipe.read(small_recipe, ["training.warmup=0.2", *overrides]), tmp_path / "adapter")
    steps, up = 3 * STEPS, int(0.2 * 3 * STEPS)
    expected = [done / up if done < up else after((done - up) / (steps - up)) for done in range(1, steps + 1)]
    assert seen == pytest.approx(np.multiply(1e-2, expected), abs=1e-12)


def test_the_linear_schedule_is_the_default(small_recipe):
    """A recipe with the linear schedule is the recipe without a schedule."""
    assert Recipe.read(small_recipe, ['training.schedule="linear"']) == Recipe.read(small_recipe)


@pytest.mark.slow
def test_the_average_is_what_is_kept_and_resumes_to_the_same_bits(small_recipe, small_adapter, tmp_path):
    """Training losses are those without an average; validation figures and kept weights are the average's."""
    averaged = tmp_path / "averaged.toml"
    averaged.write_text(small_recipe.read_text() + "ema_decay = 0.8\n")
    whole, out = train(Recipe.read(averaged), tmp_path / "whole"), tmp_path / "resumed"
    plain = read_json(small_adapter / MANIFEST)["epochs"]
    assert [row.training_loss for row in whole.epochs] == [row["training_loss"] for row in plain]
    assert all(row.validation_loss != was["validation_loss"] for row, was in zip(whole.epochs, plain, strict=True))
    assert weights(whole.path) != weights(small_adapter)
    assert train_until(averaged, out, "step", STEPS + 2) == -9
    assert weights(train(Recipe.read(averaged), out, resume=True).path) == weights(whole.path)
    assert load(out)  # loading checks the answers that the manifest records


AUGMENTED = ["augmentation.share=0.7", "augmentation.typos=0.2", "augmentation.synonyms=0.5", "augmentation.window=20"]


@pytest.mark.slow
def test_augmented_training_is_another_run_and_resumes_to_the_same_bits(small_recipe, small_adapter, tmp_path):
    """The texts of an epoch follow from seed and epoch, so a run that was killed and resumed gives the same adapter."""
    recipe = Recipe.read(small_recipe, AUGMENTED)
    whole, out, augmented = train(recipe, tmp_path / "whole").path, tmp_path / "resumed", tmp_path / "augmented.toml"
    table = "\n".join(line.removeprefix("augmentation.") for line in AUGMENTED)
    augmented.write_text(f"{small_recipe.read_text()}\n[augmentation]\n{table}\n")
    assert train_until(augmented, out, "step", STEPS + 2) == -9
    resumed = train(recipe, out, resume=True).path
    assert weights(resumed) == weights(whole) != weights(small_adapter)
    assert (resumed / "lorasent.json").read_bytes() == (whole / "lorasent.json").read_bytes()


@pytest.mark.slow
def test_augmented_training_is_training_on_the_augmented_texts(small_recipe, tmp_path):
    """Without randomness it gives the bits of a run on a file of the augmented texts; validation is not augmented."""
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
def test_each_epoch_draws_its_own_texts_also_when_resumed(small_recipe, tmp_path, monkeypatch):
    """Augmentation is called once in each epoch, with the training reviews, the seed and the epoch's number."""
    recipe = Recipe.read(small_recipe, [*AUGMENTED, "training.seed=5"])
    calls, draw = [], ways.epoch
    reviews = read_splits(recipe)[0].texts

    def noted(texts, settings, seed, number):
        calls.append((list(texts) == reviews, seed, number))
        return draw(texts, settings, seed, number)

    monkeypatch.setattr(ways, "epoch", noted)
    with pytest.raises(KeyboardInterrupt, match=INTERRUPT):
        train(recipe, tmp_path / "adapter", listener=Interrupt(1))
    train(recipe, tmp_path / "adapter", resume=True)
    assert calls == [(True, 5, number) for number in (0, 1, 1, 2)]


INTERRUPT = "after an epoch"


class Interrupt(Listener):
    """Raises KeyboardInterrupt after `after` epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def epoch(self, row):
        if row.epoch > self.after:
            raise KeyboardInterrupt(INTERRUPT)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_another_program_is_kept(small_recipe, tmp_path, resume):
    """Also one that looks like a run's; a partial claim of a run that was killed at once does not stop a new run."""
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
def test_an_interrupted_run_is_not_overwritten_and_resumes_only_with_its_recipe_and_data(small_recipe, tmp_path):
    """A new run needs its removal; another recipe or other data are refused, and the message says what changed."""
    out, recipe = tmp_path / "adapter", Recipe.read(small_recipe)
    with pytest.raises(KeyboardInterrupt, match=INTERRUPT):
        train(recipe, out, listener=Interrupt(1))
    with pytest.raises(TrainingError, match=r"adapter.partial: holds an interrupted run; continue with --resume, or remove it"):
        train(recipe, out)
    with pytest.raises(TrainingError, match=r"was made with another recipe and train_sha256"):
        train(Recipe.read(small_recipe, ["data.seed=5", "data.validation=embedded:validation"]), out, resume=True)
    claim = read_json(out.with_name("adapter.partial") / "run.json")
    (out.with_name("adapter.partial") / "run.json").write_text(json.dumps({**claim, "device": "cuda"}))
    with pytest.raises(TrainingError, match=r"was made with another device; remove it, or resume with the same"):
        train(recipe, out, resume=True, device="cpu")
    del claim["device"]  # an older lorasent began the run
    (out.with_name("adapter.partial") / "run.json").write_text(json.dumps(claim))
    resumed = []
    listener = Listener()
    listener.prepared = lambda run: resumed.append(run.resumed_epochs)
    assert len(train(recipe, out, resume=True, listener=listener).epochs) == 3
    assert resumed == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "waited"),
    [
        (["training.early_stopping_patience=2", "training.learning_rate=0.05"], 2),
        (["training.early_stopping_patience=4", "training.early_stopping_min_improvement=0.002"], 2),
    ],
    ids=["any improvement", "an improvement over 0.002"],
)
def test_patience_survives_a_resume(small_recipe, tmp_path, overrides, waited):
    """Early stopping counts from the last improvement, and a resumed run stops where the uninterrupted one did."""
    recipe = Recipe.read(small_recipe, ["training.epochs=12", *overrides])
    whole = train(recipe, tmp_path / "whole")
    stopped = len(whole.epochs)
    assert stopped == whole.best.epoch + waited < 12
    with pytest.raises(KeyboardInterrupt, match=INTERRUPT):
        train(recipe, tmp_path / "resumed", listener=Interrupt(stopped - 1))
    resumed = train(recipe, tmp_path / "resumed", resume=True)
    assert resumed.epochs == whole.epochs
    assert weights(resumed.path) == weights(whole.path)


@pytest.mark.slow
def test_lora_plus_moves_b_by_its_ratio(small_recipe, tmp_path):
    """In Adam's first step B moves 16 times as far as without the ratio, and A and the head as far."""
    one_step = ["training.epochs=1", "training.batch_size=24", "training.learning_rate=1e-3", "training.weight_decay=0.0"]
    with_ratio = train(Recipe.read(small_recipe, [*one_step, "lora.lora_plus_ratio=16"]), tmp_path / "ratio").path
    without = load_file(train(Recipe.read(small_recipe, one_step), tmp_path / "none").path / "adapter_model.safetensors")
    for name, tensor in load_file(with_ratio / "adapter_model.safetensors").items():
        if "lora_B" in name:
            torch.testing.assert_close(tensor, 16 * without[name])
        elif tensor.ndim == 2:  # PEFT moves biases as it moves B
            torch.testing.assert_close(tensor, without[name])


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
    """Each variant, interrupted after an epoch and resumed, gives the adapter of the uninterrupted run, which loads."""
    recipe = Recipe.read(small_recipe, overrides)
    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=INTERRUPT):
        train(recipe, tmp_path / "resumed", listener=Interrupt(1))
    resumed = train(recipe, tmp_path / "resumed", resume=True)
    assert weights(resumed.path) == weights(whole.path)
    assert np.isfinite(load(resumed.path).logits(SAMPLE_REVIEWS)).all()


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [["training.early_stopping_patience=1"], []], ids=["stopped early", "all epochs done"])
def test_a_resumed_run_that_had_ended_only_writes_its_adapter(small_recipe, tmp_path, monkeypatch, overrides):
    """After a full disk the resumed run does not train again, also in another folder, and writes the same adapter."""
    recipe = Recipe.read(small_recipe, ["training.epochs=6", "training.learning_rate=0.05", *overrides])
    whole = train(recipe, tmp_path / "whole")
    assert (len(whole.epochs) == whole.best.epoch + 1) == bool(overrides)
    (tmp_path / "here").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "here")
        patch.setattr("lorasent.adapter.writing.write", raise_full)
        with pytest.raises(TrainingError, match=r"be written: .*No space left on device; make room and continue with --resume"):
            train(recipe, "mine")
    (tmp_path / "here" / "mine.partial").rename(tmp_path / "moved.partial")
    resumed = train(recipe, tmp_path / "moved", resume=True)
    assert resumed.epochs == whole.epochs
    assert weights(resumed.path) == weights(whole.path)


def raise_full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_the_best_epoch_is_kept(small_recipe, tmp_path):
    """The adapter is that of the epoch with the lowest validation loss, not of the last epoch."""
    recipe = Recipe.read(small_recipe, ["training.epochs=12", "training.learning_rate=0.1", "training.early_stopping_patience=1"])
    result = train(recipe, tmp_path / "adapter")
    losses = [row.validation_loss for row in result.epochs]
    assert result.best.epoch == 1 + losses.index(min(losses))
    assert min(losses) < losses[-1]
    from lorasent.metrics import evaluate

    reviews = read("embedded:validation", recipe.base.labels).sample(24, 0, recipe.base.labels)
    figures = evaluate(load(result.path).logits(reviews.texts), reviews.labels, recipe.base.labels)
    assert figures.log_loss == pytest.approx(result.best.validation_loss, abs=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(small_recipe, tmp_path):
    """The error names the step, and no file is left."""
    recipe = Recipe.read(small_recipe, ["training.learning_rate=0.9", "training.weight_decay=1e30"])
    with pytest.raises(TrainingError, match=r"training loss is (nan|inf) at step \d+ of 18"):
        train(recipe, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_break_in_an_epochs_last_step_stop_the_run(small_recipe, tmp_path):
    """The error names the step, and no file is left."""
    recipe = Recipe.read(small_recipe, ["training.learning_rate=0.9", "training.weight_decay=1e38", "training.batch_size=24"])
    with pytest.raises(TrainingError, match=r"(after|at) step 1 of 3"):
        train(recipe, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_runs_that_cannot_start_are_refused(small_recipe, tmp_path):
    """An existing output, no run to resume, reviews of one label, and an unknown target module are errors."""
    recipe = Recipe.read(small_recipe)
    with pytest.raises(TrainingError, match=r"exists already; choose another --out"):
        train(recipe, tmp_path)
    with pytest.raises(DeviceError, match=r"device cuda:99: not here"):
        train(recipe, tmp_path / "new", device="cuda:99")
    with pytest.raises(TrainingError, match=r"no interrupted run to resume"):
        train(recipe, tmp_path / "new", resume=True)
    (tmp_path / "one.jsonl").write_text('{"text": "x", "label": 1}\n{"text": "y", "label": 1}\n')
    with pytest.raises(DataError, match=r"needs reviews of every label, found none labelled Negative"):
        tables = Recipe.read(small_recipe, [f"data.train={tmp_path}/one.jsonl"]).to_json()
        del tables["data"]["sample"]
        train(Recipe.parse(tables, "test"), tmp_path / "new")
    with pytest.raises(RecipeError, match=r"no linear layer is called q_lin"):
        train(Recipe.read(small_recipe, ['lora.target_modules=["q_lin"]']), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["one.jsonl"]


@pytest.mark.gpu
def test_training_on_a_gpu_gives_an_adapter_for_any_device(small_recipe, tmp_path):
    """Its probes were answered on the CPU, where loading verifies it, and its manifest names the kind of device."""
    out = train(Recipe.read(small_recipe), tmp_path / "adapter", device="cuda").path
    assert read_json(out / MANIFEST)["device"] == "cuda"
    expected = load(out, device="cpu").logits(SAMPLE_REVIEWS)
    np.testing.assert_allclose(load(out, device="cuda").logits(SAMPLE_REVIEWS), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("given", ["imdb-bert", "mine.toml", Path("mine.toml")], ids=["shipped name", "path as text", "path"])
def test_a_recipe_may_be_named(small_recipe, tmp_path, monkeypatch, given):
    """`train` takes whatever `Recipe.read` takes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_recipe, "mine.toml")
    recipes = []
    monkeypatch.setattr("lorasent.training.train.read_splits", lambda recipe, *_: [recipes.append(recipe), {}["enough"]])
    with pytest.raises(KeyError, match="enough"):
        train(given, "new")
    assert recipes == [Recipe.read(given)]


SPLITS = ("train", "validation")


@pytest.fixture(scope="module")
def columns():
    """Texts and ids of 24 embedded reviews of each split."""
    splits = {split: read(f"embedded:{split}", LABELS).sample(24, 0, LABELS) for split in SPLITS}
    return {split: (reviews.texts, reviews.labels.tolist()) for split, reviews in splits.items()}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_reviews_in_memory_takes_the_place_of_the_recipes(small_recipe, columns, form):
    """They are sampled as those are; what is not given is the recipe's."""
    recipe = Recipe.read(small_recipe)
    train, validation, removed = read_splits(recipe, *(FORMS[form](*columns[split]) for split in SPLITS))
    assert (removed, [sorted(split.texts) for split in (train, validation)]) == (0, [sorted(columns[name][0]) for name in SPLITS])
    assert read_splits(recipe, FORMS[form](*columns["train"]))[1].fingerprint == read_splits(recipe)[1].fingerprint
    assert read_splits(recipe, validation="embedded:test")[1].source == "embedded:test"


@pytest.mark.slow
def test_reviews_in_memory_train_as_those_of_a_file(small_recipe, columns, tmp_path):
    """To the same bits. The manifest has both splits by hash, and names them in the recipe, so that they are known again."""
    for split, (texts, labels) in columns.items():
        rows = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    recipe = Recipe.read(small_recipe, ["training.epochs=1", "training.batch_size=24"])
    files = train(recipe, tmp_path / "files", train=tmp_path / "train.jsonl", validation=f"{tmp_path}/validation.jsonl").path
    pairs = {split: FORMS["pairs"](*columns[split]) for split in SPLITS}
    memory = train(recipe, tmp_path / "memory", **pairs).path
    assert weights(memory) == weights(files)
    of_files, of_memory = read_manifest(files), read_manifest(memory)
    for split in SPLITS:
        assert of_memory.data[split].sha256 == of_files.data[split].sha256
        assert of_memory.trained_on(read(pairs[split], LABELS)) == split
        assert of_memory.data[split].source == getattr(of_memory.recipe.data, split) == read(pairs[split], LABELS).source
        assert getattr(of_files.recipe.data, split) == str(tmp_path / f"{split}.jsonl")


@pytest.mark.slow
def test_a_run_on_reviews_in_memory_resumes_only_on_the_same(small_recipe, columns, tmp_path):
    """They are compared by their hash, whatever form they have."""
    recipe, out = Recipe.read(small_recipe, ["training.epochs=2", "data.sample=12"]), tmp_path / "adapter"
    with pytest.raises(KeyboardInterrupt, match=INTERRUPT):
        train(recipe, out, train=FORMS["pairs"](*columns["train"]), listener=Interrupt(1))
    texts, labels = columns["train"]
    for others in ({"train": (texts[::-1], labels[::-1])}, {}):
        with pytest.raises(TrainingError, match=r"was made with another recipe and train_sha256; remove it, or resume with the"):
            train(recipe, out, resume=True, **others)
    assert len(train(recipe, out, train=FORMS["pandas frame"](texts, labels), resume=True).epochs) == 2


@pytest.mark.parametrize("given", [None, 7, b"new", "", ["new"]], ids=repr)
def test_a_directory_is_a_text_or_a_path(small_recipe, given):
    """Any other value is one clear error."""
    with pytest.raises(TrainingError, match=r"^expected the adapter's directory as a str or a Path, found "):
        train(small_recipe, given)


@pytest.mark.parametrize("name", ["new", "new.partial"])
def test_a_broken_link_counts_as_existing(small_recipe, tmp_path, name):
    """The adapter could not be written there at the end of the run."""
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(
        TrainingError, match=rf"{name}: (exists already|the run needs this folder, and it holds something else); choose another"
    ):
        train(small_recipe, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_listener_gets_all_events_in_order(small_recipe, tmp_path):
    """The events are prepared, untrained, steps and epochs, trained; reviews that validation has too are counted and removed."""
    train_file = tmp_path / "train.jsonl"
    reviews = read("embedded:train", ("Negative", "Positive")).sample(12, 0, ("Negative", "Positive"))
    overlap = read("embedded:validation", ("Negative", "Positive")).texts[:3]
    rows = [*zip(reviews.texts, reviews.labels.tolist(), strict=True), *((text.upper(), 1) for text in overlap)]
    train_file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    tables = Recipe.read(small_recipe, [f"data.train={train_file}", "training.epochs=1"]).to_json()
    del tables["data"]["sample"]
    events = []

    class Notes(Listener):
        def prepared(self, run):
            events.append(("prepared", len(run.train), run.removed, run.steps))

        def untrained(self, predictions):
            events.append(("untrained", tuple(row.text for row in predictions)))

        def step(self, done, total):
            events.append((done, total))

        def epoch(self, row):
            events.append(("epoch", row.epoch))

        def trained(self, result, predictions):
            events.append(("trained", Path(result.path).name, len(predictions)))

    train(Recipe.parse(tables, "test"), tmp_path / "adapter", listener=Notes())
    assert events == [
        ("prepared", 12, 3, 3),
        ("untrained", SAMPLE_REVIEWS),
        (1, 3),
        (2, 3),
        (3, 3),
        ("epoch", 1),
        ("trained", "adapter", 4),
    ]


@pytest.mark.slow
def test_reviews_may_contain_the_end_token(bases, tmp_path):
    """BART refuses a batch whose texts have different numbers of end tokens; the loss is the mean over all reviews all the same."""
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
