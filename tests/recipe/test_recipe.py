"""Recipes: those that are shipped, overrides, fingerprints, and what is refused."""

from importlib import resources

import pytest

from lorasent.errors import RecipeError
from lorasent.recipe.recipe import Recipe, shipped


def test_the_reference_recipe_is_the_notebook():
    """imdb-distilbert has exactly the notebook's values."""
    assert Recipe.read("imdb-distilbert").to_json() == {
        "base": {
            "model": "distilbert-base-uncased",
            "revision": "12040accade4e8a0f71eabdb258fecc2e7e948be",
            "labels": ["Negative", "Positive"],
        },
        "data": {"train": "stanfordnlp/imdb:train", "validation": "stanfordnlp/imdb:test", "sample": 1000, "seed": 0},
        "encoding": {"max_length": 512, "truncation_side": "left", "add_prefix_space": True},
        "lora": {"r": 4, "alpha": 32, "dropout": 0.1, "target_modules": ["q_lin"]},
        "training": {
            "epochs": 10,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "warmup": 0.0,
            "label_smoothing": 0.0,
            "precision": "fp32",
            "seed": 0,
        },
    }


@pytest.mark.parametrize("name", shipped())
def test_a_recipe_is_equal_to_its_json(name):
    """A recipe read back from the manifest's JSON is the recipe."""
    recipe = Recipe.read(name)
    assert Recipe.parse(recipe.to_json(), "manifest") == recipe


def test_an_absent_table_is_not_in_the_fingerprint():
    """A recipe without augmentation has no such table in its JSON; with augmentation its fingerprint is another."""
    assert "augmentation" not in Recipe.read("embedded").to_json()
    augmented = Recipe.read("embedded", ["augmentation.typos=0.02"])
    assert augmented.fingerprint != Recipe.read("embedded").fingerprint
    assert Recipe.parse(augmented.to_json(), "manifest") == augmented


def test_overrides_apply_in_order_and_parse_as_toml():
    """Values are TOML, bare words are texts, and the last override wins."""
    recipe = Recipe.read("embedded", ["lora.r=2", "lora.r=16", "base.model=some/name", 'base.labels=["No", "Maybe", "Yes"]'])
    assert (recipe.lora.r, recipe.base.model, recipe.base.labels) == (16, "some/name", ("No", "Maybe", "Yes"))


def test_the_fingerprint_changes_with_any_key():
    """Two recipes that differ in one key differ in fingerprint; read twice, they do not."""
    assert Recipe.read("embedded").fingerprint == Recipe.read("embedded").fingerprint
    assert Recipe.read("embedded").fingerprint != Recipe.read("embedded", ["training.seed=1"]).fingerprint


@pytest.mark.parametrize("override", ["lora.use_rslora=false", "lora.use_dora=false"])
def test_a_variant_that_is_off_is_absent(override):
    """A variant that is switched off leaves recipe and fingerprint as they are without it."""
    assert Recipe.read("embedded", [override]) == Recipe.read("embedded")
    assert Recipe.read("embedded", [override]).to_json()["lora"].keys() == {"r", "alpha", "dropout", "target_modules"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.rank=8", r"recipe embedded: unknown key lora.rank; allowed here: r, alpha, dropout, target_modules"),
        ("loar.r=8", r"unknown key loar; allowed here: base, data"),
        ("lora.r=0", r"lora.r = 0: should be greater than or equal to 1"),
        ("lora.r=2.5", r"lora.r = 2.5: should be a valid integer"),
        ("lora.r=many", r"lora.r = 'many': should be a valid integer"),
        ("encoding.truncation_side=top", r"truncation_side = 'top': should be 'left' or 'right'"),
        ("training.learning_rate=-1.0", r"learning_rate = -1.0: should be greater than 0"),
        ("training.learning_rate=nan", r"learning_rate = nan: should be"),
        (
            "training.early_stopping_min_improvement=0.001",
            r"min_improvement = 0.001: should be absent, or used with early_stopping_patience",
        ),
        ("training.early_stopping_min_improvement=-1.0", r"min_improvement = -1.0: should be greater than or equal to 0"),
        ("lora.lora_plus_ratio=0.5", r"lora_plus_ratio = 0.5: should be greater than or equal to 1"),
        ("lora.use_dora=1", r"use_dora = 1: should be a valid boolean"),
        ("training.precision=fp8", r"precision = 'fp8': should be 'auto', 'fp32' or 'bf16'"),
        ('base.labels=["Good"]', r"base.labels = list of length 1: "),
        ('base.labels=["good", "Good"]', r"labels must differ in more than case"),
        (
            'base.labels=["1", "2"]',
            r'base.labels = .*: should be names, .*: write "1 star", "2 stars" for 1, 2, and the same in the data, or ids from 0',
        ),
        ("augmentation.typoes=0.1", r"unknown key augmentation.typoes; allowed here: share, window, sentence_dropout, synonyms"),
        ("augmentation.typos=2", r"augmentation.typos = 2: should be less than or equal to 1"),
        (
            "augmentation.share=0.5",
            r"augmentation = an object of 1 keys: should be a table that turns a way on: window, sentence_dropout",
        ),
        ("lora.target_modules=[]", r"lora.target_modules = list of length 0"),
        ("lora=8", r"expected TABLE.KEY=VALUE"),
        ("lora.r", r"expected TABLE.KEY=VALUE"),
    ],
)
def test_impossible_values_are_refused(override, message):
    """The error has the file, the key, the value and what is allowed."""
    with pytest.raises(RecipeError, match=message):
        Recipe.read("embedded", [override])


def test_invalid_recipe_files_are_refused(tmp_path):
    """A missing file, invalid TOML, a missing table, a key in place of a table, and another encoding have their own messages."""
    path = tmp_path / "mine.toml"
    with pytest.raises(
        RecipeError, match=r"no such recipe: give the path of a TOML file or one of embedded, imdb-albert, imdb-bert"
    ):
        Recipe.read(path)
    path.write_text("[base\n")
    with pytest.raises(RecipeError, match=r"mine.toml: not valid TOML"):
        Recipe.read(path)
    path.write_text("[base]\nmodel = 'x'\nlabels = ['a', 'b']\n")
    with pytest.raises(RecipeError, match=r"required key data is missing"):
        Recipe.read(path)
    path.write_text("training = 3\n")
    with pytest.raises(RecipeError, match=r"mine.toml: training is not a table"):
        Recipe.read(path, values={"training.seed": 1})
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(RecipeError, match=r"UTF-8 text, found byte 0xe9 at 5"):
        Recipe.read(path)


def test_a_recipe_is_text_as_people_save_it(tmp_path):
    """A byte-order mark and CR LF do not change a recipe."""
    text = (resources.files("lorasent") / "recipes" / "embedded.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert Recipe.read(tmp_path / "mine.toml") == Recipe.read("embedded")


def test_skip_empty_is_in_the_fingerprint_only_when_on():
    """skip_empty = false is the same as no such key."""
    assert Recipe.read("embedded", ["data.skip_empty=false"]).fingerprint == Recipe.read("embedded").fingerprint
    assert Recipe.read("embedded", ["data.skip_empty=true"]).fingerprint != Recipe.read("embedded").fingerprint


@pytest.mark.parametrize("name", [None, 7, b"embedded", "", "a\0b", ["embedded"]], ids=repr)
def test_a_recipes_name_is_a_text_or_a_path(name):
    """Any other value is one clear error."""
    with pytest.raises(RecipeError, match=r"^expected a shipped recipe's name or the path of a TOML file as a str or a Path, "):
        Recipe.read(name)


def test_overrides_are_texts():
    """A single text is one override; other values are refused."""
    assert Recipe.read("embedded", "lora.r=3") == Recipe.read("embedded", ["lora.r=3"])
    for overrides in (7, [7], [None], {"lora.r": 3}.values()):
        with pytest.raises(RecipeError, match=r"^overrides: expected texts, TABLE.KEY=VALUE, found "):
            Recipe.read("embedded", overrides)


def test_a_path_is_no_shipped_name(tmp_path, monkeypatch):
    """./embedded is a file of that name, not the shipped recipe."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"^./embedded: no such recipe"):
        Recipe.read("./embedded")
