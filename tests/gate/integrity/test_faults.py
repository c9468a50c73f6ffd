"""Each fault of an adapter's directory to the last word: cause, message, advice and figures; of made-up parts, without torch."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from lorasent.adapter.configuration import without_prefix_space
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError, LorasentError, NotFetchedError
from lorasent.files import sha256
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity import family, soundness, tokenizers
from lorasent.gate.integrity.family import Passed
from lorasent.gate.integrity.layout import Layout
from lorasent.gate.integrity.side import EXPORT, RETRIEVE, Fault, LoraSettings, Said, Side
from lorasent.gate.policy import Integrity
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject
from tests.support.bases import linear

PREFIX = "base_model.model."
QUERY, KEY = "bert.0.query", "bert.0.key"
HEAD = linear("classifier", 2, 4)
TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"

TABLES = {
    "base": {"model": "films/base", "labels": ["Negative", "Positive"]},
    "data": {"train": "train.csv", "validation": "validation.csv"},
    "encoding": {"max_length": 64},
    "lora": {"r": 2, "alpha": 4, "dropout": 0.1, "target_modules": ["query"]},
    "training": {"epochs": 3, "batch_size": 4, "learning_rate": 0.01},
}


def recipe(**changes):
    """The recipe with keys "table__key" changed."""
    tables = {table: dict(keys) for table, keys in TABLES.items()}
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables[table][name] = value
    return Recipe.parse(tables, "test")


def said(**changes):
    """The manifest as the gate reads it."""
    split = {"source": "train.csv", "sha256": "a" * 64, "reviews": 24}
    content = {
        "recipe": {},
        "recipe_sha256": "",
        "base": {"name": "films/base", "sha256": "b" * 64, "revision": "main"},
        "labels": ["Negative", "Positive"],
        "tokenizer_sha256": "c" * 64,
        "files": {WEIGHTS: "w"},
        "parameters": {"total": 1000, "trainable": 26},
        "data": {"train": split, "validation": {**split, "source": "validation.csv"}},
    }
    return Said.model_validate({**content, **changes})


def config(**changes):
    """PEFT's configuration."""
    content = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "films/base",
        "revision": "main",
        "r": 2,
        "lora_alpha": 4,
        "lora_dropout": 0.1,
        "target_modules": ["query"],
        "modules_to_save": ["classifier"],
        "peft_version": "1",
        "use_dora": False,
        "bias": "none",
        "init_lora_weights": True,
        "rank_pattern": {},
    }
    return LoraSettings.model_validate({**content, **changes})


def layout(**changes):
    """A base of two linear layers, which lacks the classifier."""
    parts = {
        "linear": {QUERY: (4, 4), KEY: (4, 4)},
        "around": HEAD,
        "new": frozenset(HEAD),
        "known": True,
        "transposed": False,
        "backbone": 964,
    }
    return Layout(**{**parts, **changes})


TENSORS = {
    f"{PREFIX}{QUERY}.lora_A.weight": ((2, 4), "F32"),
    f"{PREFIX}{QUERY}.lora_B.weight": ((4, 2), "F32"),
    f"{PREFIX}classifier.weight": ((2, 4), "F32"),
    f"{PREFIX}classifier.bias": ((2,), "F32"),
}

SOUND = {
    TOKENIZER: {
        "normalizer": {"lowercase": True},
        "model": {"vocab": {"a": 1}},
        "post_processor": {"type": "BertProcessing"},
        "added_tokens": [{"id": 0}],
        "truncation": None,
    },
    TOKENS: {"truncation_side": "left", "model_max_length": 64, "cls_token": "[CLS]", "never_split": ["x"]},
}


def side(path="new", *, baseline=False, files=SOUND, record=False, **parts):
    """One side of which every part is given; as a record it has no directory."""
    subject = SimpleNamespace(name=str(path), identity="identity", manifest={"probes": 1}, libraries={"tokenizers": "1"})
    one = Side(subject, baseline=baseline, bases={})
    one.path = None if record else family.Path(path)
    found = SimpleNamespace(name="films/base", sha256="b" * 64, config={"model_type": "bert", "hidden_act": "gelu"})
    known = {"said": said(), "config": config(), "recipe": recipe(), "layout": layout(), "tensors": TENSORS, "base": found}
    snapshot = Snapshot(path) if family.Path(path).is_dir() else SimpleNamespace(path=one.path)
    one.__dict__.update({**known, "snapshot": snapshot, "targets": {QUERY}, "json": lambda name: files[name], **parts})
    return one


def old(**parts):
    """The baseline."""
    return side("old", baseline=True, **parts)


def fault(ask, *arguments):
    """What a question raises, as a tuple: cause, message, advice, outcome, figures."""
    with pytest.raises(Fault) as raised:
        ask(*arguments)
    found = raised.value
    assert str(found) == found.message
    return found.cause, found.message, found.advice, found.outcome, found.figures


def blocks(cause, message, advice=EXPORT, **figures):
    """The tuple of a fault of the candidate's."""
    return cause, message, advice, Outcome.BLOCK, figures


# soundness: the files


@pytest.fixture
def folder(tmp_path):
    """A directory whose manifest lists what is there; nothing in it is read but for its hash."""
    for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENS):
        (tmp_path / name).write_text(name)
    return tmp_path


def listing(folder, **more):
    """The side of a directory, its manifest as it is now, and more."""
    files = {file.name: sha256(file) for file in folder.iterdir() if file.name not in (MANIFEST, "README.md")}
    return side(folder, said=said(files={**files, **more}))


def test_files_that_are_as_listed_are_sound(folder):
    """The manifest and the model card are not counted."""
    (folder / "README.md").write_text("")
    (folder / MANIFEST).write_text("")
    assert soundness.whole(listing(folder)) == "4 files, as lorasent.json lists them"


def test_a_pickle_is_named_first(folder):
    """Before anything else that is not as it must be; three are named."""
    for name in ("a.bin", "b.pt", "c.pkl", "d.ckpt", "x.py"):
        (folder / name).write_text("")
    message = f"{folder}: holds a pickle, which is never loaded: a.bin, b.pt, c.pkl and 1 more"
    assert fault(soundness.whole, listing(folder)) == blocks("pickle", message, "remove it: " + EXPORT)


def test_files_that_are_no_data_are_named(folder):
    """What is there, and what is only listed; a path is none of the directory's files."""
    kinds = ".json, .safetensors, .txt, .model, .jinja"
    one, allowed = listing(folder, **{"../up.json": "", "code.py": ""}), f"an adapter has {kinds}, and no folders"
    message = f"{folder}: lorasent.json lists ../up.json, code.py: {allowed}"
    assert fault(soundness.whole, one) == blocks("file-forbidden", message)
    (folder / "model.py").write_text("")
    one, allowed = side(folder, said=said(files={})), f"is no data file of an adapter; allowed are {kinds}"
    assert fault(soundness.whole, one) == blocks("file-forbidden", f"{folder}: model.py: {allowed}", "remove it")


def test_files_that_are_missing_are_named(folder):
    """What is listed, and what no adapter does without."""
    one = listing(folder, **{"more.json": ""})
    required = f"required by {MANIFEST} or to load it"
    assert fault(soundness.whole, one) == blocks("file-missing", f"{folder}: lacks more.json, {required}", RETRIEVE)
    for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENS):
        (folder / name).unlink()
        found = fault(soundness.whole, listing(folder))
        assert found == blocks("file-missing", f"{folder}: lacks {name}, {required}", RETRIEVE)
        (folder / name).write_text(name)


def test_files_that_are_not_listed_are_named(folder):
    """Also where nothing else is wrong."""
    one = listing(folder)
    (folder / "b.json").write_text("")
    (folder / "a.json").write_text("")
    one.__dict__["snapshot"] = Snapshot(folder)
    message = f"{folder}: a.json, b.json: not among the files that {MANIFEST} lists"
    assert fault(soundness.whole, one) == blocks("file-added", message, "remove it")


def test_files_that_were_changed_are_named(folder):
    """By their hash."""
    one = listing(folder)
    (folder / CONFIG).write_text("{}")
    one.__dict__["snapshot"] = Snapshot(folder)
    message = f"{folder}: {CONFIG}: not what was written, the sha256 differs from {MANIFEST}'s"
    assert fault(soundness.whole, one) == blocks("file-changed", message, RETRIEVE)


# soundness: the tensors


def without(*parts):
    """The tensors but those whose names hold a part."""
    return {name: shape for name, shape in TENSORS.items() if not any(part in name for part in parts)}


WHERE = f"new/{WEIGHTS}: "
WHOLE = {
    "not to be saved": (
        {"layout": layout(new=frozenset(["pooler.bias", "classifier.bias"])), "config": config(modules_to_save=None)},
        blocks("head-missing", f"new/{CONFIG}: modules_to_save leaves out what the base lacks: pooler.bias would be random"),
    ),
    "a head of three": (
        {"layout": layout(around=linear("classifier", 3, 4))},
        blocks("head-missing", f"{WHERE}holds no classification head of 2 outputs, one for each label"),
    ),
    "a bias alone": (
        {"layout": layout(around={"classifier.bias": (2,)}, new=frozenset())},
        blocks("head-missing", f"{WHERE}holds no classification head of 2 outputs, one for each label"),
    ),
    "LoRA lost": (
        {"tensors": without("lora_B")},
        blocks("tensor-missing", f"{WHERE}lacks 1 of 4 tensors: {PREFIX}{QUERY}.lora_B.weight; they would be random or zero"),
    ),
    "a head lost": (
        {"tensors": without("lora_A", "bias")},
        blocks("head-missing", f"{WHERE}lacks 2 of 4 tensors: {PREFIX}classifier.bias; they would be random or zero"),
    ),
    "more": (
        {"tensors": {**TENSORS, "more": ((1,), "F32")}},
        blocks("tensor-unexpected", f"{WHERE}more: in no layer that {CONFIG} names on this base"),
    ),
    "shape": (
        {"tensors": {**TENSORS, f"{PREFIX}classifier.weight": ((4, 2), "F16")}},
        blocks(
            "shape",
            f"{WHERE}{PREFIX}classifier.weight has shape (4, 2), r = 2 and the base imply (2, 4)",
            name=f"{PREFIX}classifier.weight",
        ),
    ),
    "kind": (
        {"tensors": {**TENSORS, f"{PREFIX}classifier.bias": ((2,), "F16")}},
        blocks("dtype", f"{WHERE}{PREFIX}classifier.bias is F16, required is float32 (F32)", name=f"{PREFIX}classifier.bias"),
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_tensors_that_do_not_fit_are_named(case):
    """By name, with what the configuration and the base imply."""
    parts, expected = WHOLE[case]
    assert fault(soundness.fits, side(**parts)) == expected


def test_tensors_that_fit_are_counted():
    """By configuration and base, whatever the rank."""
    assert soundness.fits(side()) == f"4 tensors of float32, as {CONFIG} and the base imply"
    tensors = {
        name: (tuple(3 if one == 2 and "lora" in name else one for one in shape), "F32") for name, (shape, _) in TENSORS.items()
    }
    assert soundness.fits(side(config=config(r=3), tensors=tensors)).startswith("4 tensors")


def test_a_pooler_that_is_saved_by_name_fits():
    """modules_to_save counts beside what PEFT always saves."""
    of = layout(around={**HEAD, "pooler.bias": (4,)}, new=frozenset(["pooler.bias"]))
    tensors = {**TENSORS, f"{PREFIX}pooler.bias": ((4,), "F32")}
    assert soundness.fits(side(config=config(modules_to_save=["pooler"]), layout=of, tensors=tensors)).startswith("5 tensors")


# soundness: the numbers


RANDOM = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)


def numbers(**changes):
    """A side of two LoRA layers and a head, filled; `changes` replace matrices: qa, qb, ka, kb, head, bias."""
    values = {"qa": RANDOM, "qb": RANDOM, "ka": RANDOM, "kb": RANDOM, "head": RANDOM, "bias": RANDOM[0], **changes}
    names = {
        "qa": f"{QUERY}.lora_A.weight",
        "qb": f"{QUERY}.lora_B.weight",
        "ka": f"{KEY}.lora_A.weight",
        "kb": f"{KEY}.lora_B.weight",
        "head": "classifier.weight",
        "bias": "classifier.bias",
    }
    tensors = {PREFIX + names[key]: (value.shape, "F32") for key, value in values.items()}
    return side(tensors=tensors, numbers=lambda: iter([(PREFIX + names[key], value) for key, value in values.items()]))


ZERO = np.zeros_like(RANDOM)


def test_numbers_that_live_are_sound():
    """A bias may be zero, or round, and so may a small matrix's be; dead units' zeros are set aside."""
    soundness.alive(numbers())
    soundness.alive(numbers(bias=np.zeros(100, dtype=np.float32)))
    soundness.alive(numbers(bias=np.ones(100, dtype=np.float32)))
    soundness.alive(numbers(head=np.ones((7, 9), dtype=np.float32)))
    half_dead = RANDOM.copy()
    half_dead[:3] = 0
    soundness.alive(numbers(head=half_dead))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_counted(value):
    """In a matrix and in a bias."""
    advice, matrix, bias = "train again: the run diverged, or the file is damaged", RANDOM.copy(), RANDOM[0].copy()
    matrix[0, :3] = bias[1] = value
    name = f"{PREFIX}{QUERY}.lora_B.weight"
    message = f"{WHERE}{name} holds 3 numbers of 128 that are not finite"
    assert fault(soundness.alive, numbers(qb=matrix)) == blocks("not-finite", message, advice, name=name, count=3)
    name = f"{PREFIX}classifier.bias"
    message = f"{WHERE}{name} holds 1 numbers of 16 that are not finite"
    assert fault(soundness.alive, numbers(bias=bias)) == blocks("not-finite", message, advice, name=name, count=1)


def test_numbers_that_were_rounded_are_found():
    """To few values, or to 16 bits."""
    name = f"{PREFIX}{KEY}.lora_A.weight"
    message = f"{WHERE}{name} was rounded: 9 distinct values among 128 numbers"
    few = (np.arange(128, dtype=np.float32) % 9 + 1.1).reshape(8, 16)
    assert fault(soundness.alive, numbers(ka=few)) == blocks("quantized", message, EXPORT + ", in float32", name=name)
    message = f"{WHERE}{name} was rounded: all 128 numbers are those of a 16-bit type"
    found = fault(soundness.alive, numbers(ka=RANDOM.astype(np.float16).astype(np.float32)))
    assert found == blocks("quantized", message, EXPORT + ", in float32", name=name)


def test_a_single_step_is_found():
    """By B, whose numbers are then of one size, from 64 of them on; A and the head begin at random."""
    name, step = f"{PREFIX}{QUERY}.lora_B.weight", (np.sign(RANDOM) * 1e-3).astype(np.float32)
    message = f"{WHERE}{name} holds numbers of one size, 0.001, as a single step leaves them"
    advice = "train again: the run ended after its first step"
    assert fault(soundness.alive, numbers(qb=step)) == blocks("one-step", message, advice, name=name)
    assert fault(soundness.alive, numbers(qb=step[:4])) == blocks("one-step", message, advice, name=name)
    assert fault(soundness.alive, numbers(qa=step))[0] == "quantized"
    soundness.alive(numbers(qb=step[:3]))


def test_a_single_step_is_told_from_numbers_that_lie_close():
    """A tenth may be smaller: the tenth smallest of a hundred is the largest, less a tenth at most."""
    many, few = np.ones(100, dtype=np.float32), np.ones(100, dtype=np.float32)
    many[:12], few[:9] = 0.5, 0.5
    assert not soundness._one_step(many)
    assert soundness._one_step(-few)


def test_a_grid_is_found_at_its_bounds():
    """In 64 numbers and more; where fewer than six tenths of them are distinct."""
    fine = np.random.default_rng(1).normal(size=100).astype(np.float32)
    assert soundness._grid(np.ones(63, dtype=np.float32)) is None
    assert soundness._grid(np.ones(64, dtype=np.float32)) == "1 distinct values among 64 numbers"
    assert soundness._grid(np.concatenate([np.zeros(9, dtype=np.float32), np.ones(63, dtype=np.float32)])) is None
    assert soundness._grid(np.concatenate([fine[:60], fine[:40]])) is None
    assert soundness._grid(np.concatenate([fine[:59], fine[:41]])) == "59 distinct values among 100 numbers"
    half = fine.astype(np.float16).astype(np.float32)
    assert soundness._grid(half) == "all 100 numbers are those of a 16-bit type"
    assert soundness._grid(np.concatenate([half, fine[:1]])) is None


def test_a_head_of_zeros_is_named():
    """Before layers that are zero; a LoRA matrix is no head."""
    message = f"{WHERE}{PREFIX}classifier.weight is all zero: every text gets the same answer"
    assert fault(soundness.alive, numbers(head=ZERO, qb=ZERO, kb=ZERO)) == blocks("head-zero", message)


def test_lora_of_zeros_is_named():
    """In all layers, by whichever matrix; in one, by its name."""
    message = f"{WHERE}LoRA is zero in all 2 layers: the base is unchanged"
    assert fault(soundness.alive, numbers(qb=ZERO, ka=ZERO)) == blocks("adapter-zero", message)
    message = f"{WHERE}LoRA is zero in 1 of 2 layers: {KEY}"
    assert fault(soundness.alive, numbers(ka=ZERO, kb=ZERO)) == blocks("layer-zero", message, layers=[PREFIX + KEY])


def test_the_first_layers_of_zeros_are_named():
    """Three of them, in the order of their names; the figures hold them all."""
    names = [f"{PREFIX}bert.{number}.query" for number in range(6)]
    values = {f"{name}.lora_B.weight": ZERO if number != 2 else RANDOM for number, name in enumerate(names)}
    one = side(tensors=dict.fromkeys(values, ((8, 16), "F32")), numbers=lambda: reversed(values.items()))
    message = f"{WHERE}LoRA is zero in 5 of 6 layers: bert.0.query, bert.1.query, bert.3.query"
    dead = [name for name in names if ".2." not in name]
    assert fault(soundness.alive, one) == blocks("layer-zero", message, layers=dead)


# soundness: the tokenizer's files and PEFT's configuration


def tokenizing(tokenizer=(), **tokens):
    """A side with keys of the tokenizer's two files changed; None takes a key of the second away."""
    told = {key: value for key, value in {**SOUND[TOKENS], **tokens}.items() if value is not None}
    return side(files={TOKENIZER: {**SOUND[TOKENIZER], **dict(tokenizer)}, TOKENS: told})


def test_a_tokenizers_files_are_held_to_the_recipe():
    """What each says, what is required, and where it stands."""
    where = f"new/{TOKENS}: "
    soundness.encodes(tokenizing())
    for key, cause in (("truncation", "truncation-on"), ("padding", "padding-on")):
        message = f"new/{TOKENIZER}: was saved with {key} on: required is off, it is the caller's choice"
        assert fault(soundness.encodes, tokenizing({key: {}})) == blocks(cause, message)
    message = f"{where}auto_map asks for code to be run: an object of 1 keys"
    assert fault(soundness.encodes, tokenizing(auto_map={"a": 1})) == blocks("code", message, "remove auto_map")
    message = f"{where}truncation_side is right, the recipe says left"
    for told in (None, "right"):
        assert fault(soundness.encodes, tokenizing(truncation_side=told)) == blocks("truncation-side", message)
    for told in (None, 512):
        message = f"{where}model_max_length is {told}, the recipe says 64"
        assert fault(soundness.encodes, tokenizing(model_max_length=told)) == blocks("max-length", message)


def test_the_side_that_a_tokenizers_file_leaves_out_is_the_right():
    """As transformers takes it."""
    files = {TOKENIZER: {}, TOKENS: {"model_max_length": 64}}
    soundness.encodes(side(files=files, recipe=recipe(encoding__truncation_side="right")))


PLAIN = {
    "peft-type": ({"peft_type": "IA3"}, "peft_type is IA3, required is LORA", {}),
    "task-type": ({"task_type": "CAUSAL_LM"}, "task_type is CAUSAL_LM, required is SEQ_CLS", {}),
    "rslora": ({"use_rslora": True}, "use_rslora is True, the recipe implies none of it", {"key": "use_rslora"}),
    "dora": ({"use_dora": True}, "use_dora is True, the recipe implies none of it", {"key": "use_dora"}),
    "scaling-pattern": (
        {"rank_pattern": {"a": 1}},
        "rank_pattern is an object of 1 keys, the recipe implies none of it",
        {"key": "rank_pattern"},
    ),
    "bias": ({"bias": "all"}, "bias is all, the recipe implies none", {"key": "bias"}),
    "peft-option": (
        {"init_lora_weights": "pissa"},
        "init_lora_weights is pissa, the recipe implies True",
        {"key": "init_lora_weights"},
    ),
    "alpha": ({"lora_alpha": 8}, "lora_alpha is 8, its recipe and base require 4", {}),
    "rank": ({"r": 4}, "r is 4, its recipe and base require 2", {}),
    "dropout": ({"lora_dropout": 0.2}, "lora_dropout is 0.2, its recipe and base require 0.1", {}),
    "fan-in-fan-out": ({"fan_in_fan_out": True}, "fan_in_fan_out is True, its recipe and base require False", {}),
}


@pytest.mark.parametrize("cause", PLAIN)
def test_a_configuration_is_held_to_the_recipe(cause):
    """The key, what stands there, and what the recipe requires."""
    changes, message, figures = PLAIN[cause]
    found = fault(soundness.configured, side(config=config(**changes)))
    assert found == blocks(cause, f"new/{CONFIG}: {message}", **figures)


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("alpha_pattern", {"a": 1}, "scaling-pattern"),
        ("lora_bias", True, "bias"),
        ("init_lora_weights", False, "peft-option"),
        ("unheard_of", 1, "peft-option"),
    ],
)
def test_other_options_of_peft_must_be_off(key, value, cause):
    """Also those that nobody has heard of yet."""
    assert fault(soundness.plain, side(config=config(**{key: value})))[0] == cause


@pytest.mark.parametrize(("key", "cause"), [("use_rslora", "rslora"), ("use_dora", "dora")])
def test_a_variant_that_the_recipe_asks_for_is_required(key, cause):
    """On it is right; off, or not spoken of, it is a fault by its name."""
    asked = recipe(**{f"lora__{key}": True})
    soundness.configured(side(recipe=asked, config=config(**{key: True})))
    message = f"new/{CONFIG}: {key} is {{}}, the recipe implies True"
    off = fault(soundness.configured, side(recipe=asked, config=config(**{key: False})))
    assert off == blocks(cause, message.format(False), key=key)
    if key == "use_rslora":  # the sound configuration here speaks of DoRA
        assert fault(soundness.configured, side(recipe=asked)) == blocks(cause, message.format(None), key=key)


def test_dora_needs_its_magnitudes():
    """One for each output of each layer, in the weights and in the count."""
    asked, dora = recipe(lora__use_dora=True), config(use_dora=True)
    name = f"{PREFIX}{QUERY}.lora_magnitude_vector"
    whole = {**TENSORS, name: ((4,), "F32")}
    soundness.fits(side(recipe=asked, config=dora, tensors=whole))
    assert fault(soundness.fits, side(recipe=asked, config=dora))[0] == "tensor-missing"
    assert fault(soundness.fits, side(recipe=asked, config=dora, tensors={**whole, name: ((3,), "F32")}))[0] == "shape"
    assert fault(soundness.fits, side(tensors=whole))[0] == "tensor-unexpected"


def test_options_that_say_nothing_by_themselves_are_passed_over():
    """And so are those that are off."""
    inert = {"peft_version": "9", "megatron_core": "x", "qalora_group_size": 16, "auto_mapping": {"a": 1}}
    soundness.configured(side(config=config(**inert, alpha_pattern={}, use_rslora=None, lora_bias=False)))


def test_layers_are_those_that_the_recipe_means():
    """One too few, and one too many; the first that is amiss is named."""
    both = recipe(lora__target_modules=["query", "key"])
    message = f"new/{CONFIG}: target_modules are 1 layers where the recipe's query, key means 2; {KEY} is amiss"
    assert fault(soundness.configured, side(recipe=both)) == blocks("target-modules", message)
    message = f"new/{CONFIG}: target_modules are 2 layers where the recipe's query means 1; {KEY} is amiss"
    assert fault(soundness.configured, side(targets={QUERY, KEY})) == blocks("target-modules", message)
    message = f"new/{CONFIG}: target_modules are 1 layers where the recipe's query means 1; {KEY} is amiss"
    assert fault(soundness.configured, side(targets={KEY})) == blocks("target-modules", message)


def test_layers_of_an_unknown_architecture_are_of_the_recipes_names():
    """Which of them is not known, and neither is how they are stored."""
    of = layout(known=False, linear={QUERY: (4, 4), "bert.1.query": (4, 4), KEY: (4, 4), "bert.1.key": (4, 4)})
    soundness.configured(side(layout=of, config=config(fan_in_fan_out=True)))
    message = f"new/{CONFIG}: {KEY} is none that the recipe names"
    assert fault(soundness.configured, side(layout=of, targets={QUERY, KEY, "bert.1.key"})) == blocks("target-modules", message)


def test_a_transposed_base_is_stored_so():
    """Its configuration must say it."""
    soundness.configured(side(layout=layout(transposed=True), config=config(fan_in_fan_out=True)))


def test_numbers_are_counted_as_the_manifest_says():
    """8 + 8 + 8 + 2 of them."""
    assert soundness.counted(side()) == 26
    message = f"{WHERE}holds 26 numbers, {MANIFEST} says that 1,260 were trained"
    found = fault(soundness.counted, side(said=said(parameters={"total": 2000, "trainable": 1260})))
    assert found == blocks("parameters", message, found=26, required=1260)


def test_long_lists_are_cut():
    """Up to three are named."""
    assert soundness.some(["a"]) == "a"
    assert soundness.some(["a", "b", "c"]) == "a, b, c"
    assert soundness.some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


# Integrity: what becomes of a question


def test_a_question_becomes_a_finding(monkeypatch):
    """Sound, declared, faulty, and what cannot be asked of it, though it can of the baseline."""
    answers = iter(
        [
            Passed("well"),
            Passed("well", {"lora.r": (2, 3)}),
            Fault("c", "m", "a", outcome=Outcome.INVALID, n=1),
            *(KeyError("x"), Passed("well")),
        ]
    )

    def question(*_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setitem(family._QUESTIONS, "files", question)
    found = [family._ask("files", side(), old(), Integrity()) for _ in range(4)]
    name = "integrity::files"
    assert found == [
        Finding(name, Outcome.PASS, "sound", "well"),
        Finding(
            name,
            Outcome.PASS,
            "declared",
            "well; declared and allowed by may_change: lora.r 2 -> 3",
            "",
            {"declared": {"lora.r": (2, 3)}},
        ),
        Finding(name, Outcome.INVALID, "c", "m", "a", {"n": 1}),
        Finding(name, Outcome.BLOCK, "broken", "new: cannot be checked: KeyError: 'x'", RETRIEVE),
    ]


def test_what_cannot_be_asked_of_the_baseline_by_itself_is_the_baselines_fault(monkeypatch):
    """Nobody is accused of it; a record has no directory to ask."""

    def question(*_):
        raise PanicException("index out of bounds")

    monkeypatch.setitem(family._QUESTIONS, "files", question)
    outcomes = {
        name: family._ask("files", side(), one, Integrity()) for name, one in {"old": old(), "new": old(record=True)}.items()
    }
    said = "cannot be checked: PanicException: index out of bounds"
    assert (outcomes["old"].outcome, outcomes["old"].cause) == (Outcome.INVALID, "baseline-broken")
    assert (outcomes["new"].outcome, outcomes["new"].cause) == (Outcome.BLOCK, "broken")
    assert {name: one.message for name, one in outcomes.items()} == {
        "old": f"the baseline is faulty: old: {said}",
        "new": f"new: {said}",
    }


class PanicException(BaseException):
    """As a library's panic: no Exception."""


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_a_directory_passes(monkeypatch, error):
    """A lack of memory and an interrupt are no finding."""

    def question(*_):
        raise error

    monkeypatch.setitem(family._QUESTIONS, "files", question)
    with pytest.raises(error, match=r"^$"):
        family._ask("files", side(), old(), Integrity())


def test_every_question_is_asked_of_the_candidate_and_the_baseline(monkeypatch):
    """In their order; what is found of one base serves both sides."""
    asked = []
    for name in family.CHECKS:
        monkeypatch.setitem(family._QUESTIONS, name, lambda *told: asked.append(told) or Passed("well"))
    one, other, settings = SimpleNamespace(name="new"), SimpleNamespace(name="old"), Integrity()
    found = family.check(one, other, settings)
    assert found == [Finding(f"integrity::{name}", Outcome.PASS, "sound", "well") for name in family.CHECKS]
    for new, before, policy in asked:
        assert (new.subject, new.baseline, before.subject, before.baseline, policy) == (one, False, other, True, settings)
        assert new._bases is before._bases
        assert new._bases == {}
        assert new is asked[0][0]


def test_a_candidate_that_cannot_be_opened_is_a_finding(tmp_path):
    """By what is missing: the directory, its manifest, the right to read, or sense."""
    advice = f"give the directory of an adapter that lorasent train wrote, with its {MANIFEST}"

    def expected(path, cause, error):
        return Finding("integrity::files", Outcome.BLOCK, cause, f"{path}: cannot be opened as an adapter: {error}", advice)

    assert family.blocked(tmp_path, AdapterError("x", "manifest-missing")) == expected(tmp_path, "manifest-missing", "x")
    assert family.blocked(str(tmp_path), OSError("x")) == expected(tmp_path, "file-unreadable", "x")
    assert family.blocked(tmp_path, AdapterError("x")) == expected(tmp_path, "manifest-broken", "x")
    assert family.blocked(tmp_path, KeyError("x")) == expected(tmp_path, "manifest-broken", "'x'")


def test_a_candidate_that_we_could_not_copy_is_not_accused(tmp_path):
    """Nor one whose files were not fetched: what fetches them is said once."""
    found = family.blocked(tmp_path, LorasentError("no room"))
    assert (found.outcome, found.cause, found.message) == (
        Outcome.INVALID,
        "not-opened",
        f"{tmp_path}: cannot be opened as an adapter: no room",
    )
    found = family.blocked(tmp_path, NotFetchedError("x: is a pointer", "lfs-pointer", "git lfs pull"))
    assert found == Finding("integrity::files", Outcome.INVALID, "lfs-pointer", "x: is a pointer: git lfs pull", "git lfs pull")


@pytest.fixture
def checked(monkeypatch):
    """Soundness and proof only keep what they were asked of; in their order."""
    asked = []
    for name in ("whole", "fits", "alive", "encodes", "configured", "counted", "plain"):

        def ask(one, name=name):
            asked.append((name, one.name))
            return 26 if name == "counted" else f"{name} {one.name}"

        monkeypatch.setattr(soundness, name, ask)
    monkeypatch.setattr(family.proof, "prove", lambda one: asked.append(("prove", one.name)) or {"parts": PARTS})
    return asked


PARTS = {"model": "a", "normalizer": "b", "special tokens": "c"}
"""What a tokenizer is made of, by hash."""


ASKED = {
    "files": "whole",
    "tensors": "fits",
    "values": "alive",
    "encoding": "encodes",
    "recipe": "configured",
    "parameters": "counted",
}


@pytest.mark.parametrize("name", ASKED)
def test_each_check_asks_both_directories(checked, name):
    """The candidate first; a record has no directory to be asked."""
    question, settings = family._QUESTIONS[name], Integrity()
    question(side(), old(), settings)
    assert checked == [(ASKED[name], "new"), (ASKED[name], "old")]
    checked.clear()
    question(side(), old(record=True), settings)
    assert checked == [(ASKED[name], "new")]


def test_what_the_candidates_files_and_tensors_are_is_said(checked):
    """Not the baseline's."""
    assert family._files(side(), old(), Integrity()) == Passed("whole new")
    assert family._tensors(side(), old(), Integrity()) == Passed("fits new")


def test_the_same_weights_are_told(checked):
    """By the hash that both manifests list."""
    assert family._values(side(), old(), Integrity()) == Passed("the same weights as the baseline's")
    other = old(said=said(files={WEIGHTS: "v", CONFIG: "w"}))
    assert family._values(side(), other, Integrity()) == Passed("finite, in full precision, and no layer without effect")


PROVED = ["whole", "fits", "plain", "encodes", "prove"]


def test_answers_are_proved_of_sound_directories(checked):
    """Of both, of the baseline where both are the same, and of no record; the baseline's answers first, files before answers."""
    message = "the manifest's answers come out again: alone, in a batch, twice, and merged; and the base's are others"
    same = side()
    assert family._answers(same, old(subject=same.subject), Integrity()) == Passed(message)
    assert checked == [(name, "old") for name in PROVED]
    for changes in ({"identity": "other"}, {"manifest": {"probes": 2}}):
        checked.clear()
        before = old()
        vars(before.subject).update(changes)
        family._answers(side(), before, Integrity())
        sound = [(name, one) for one in ("new", "old") for name in PROVED[:-1]]
        assert checked == [*sound, ("prove", "old"), ("prove", "new")]
    for identity in ("other", same.subject.identity):
        checked.clear()
        before = old(record=True)
        before.subject.identity = identity
        family._answers(same, before, Integrity())
        assert checked == [(name, "new") for name in PROVED]


def test_tokenizers_that_are_made_otherwise_block(checked, monkeypatch):
    """The parts are named; the policy may allow it, and another base brings its own; a record is compared where it can be."""
    made = {"new": {**PARTS, "normalizer": "x", "model": "y"}, "old": PARTS}
    monkeypatch.setattr(family.proof, "prove", lambda one: {"parts": made[one.name]})
    new = side()
    new.subject.identity = "other"
    change = {"encoding.tokenizer": ("the baseline's", "another model, normalizer")}
    message = (
        "the tokenizer that transformers makes of the files is not the baseline's: "
        "encoding.tokenizer the baseline's -> another model, normalizer; may_change is []"
    )
    expected = blocks("tokenizer", message, family.SHIPPED.format('"encoding.tokenizer"'), differences=change)
    pinned = said(tokenizer_parts=PARTS, libraries={"tokenizers": "1"})
    for before in (old(), old(record=True, said=pinned)):
        assert fault(family._answers, new, before, Integrity()) == expected
        assert family._answers(new, before, Integrity(may_change=("encoding",))).declared == change
    for unpinned in (said(), said(tokenizer_parts=PARTS, libraries={"tokenizers": "2"})):
        passed = family._answers(new, old(record=True, said=unpinned), Integrity())
        assert passed.message.endswith("; not compared: the tokenizer as data, which the record does not say for these libraries")
    moved = side(said=other_base())
    moved.subject.identity = "other"
    assert not family._answers(moved, old(), Integrity(may_change=("base",))).declared
    spaced = side(recipe=recipe(encoding__add_prefix_space=False))
    spaced.subject.identity = "other"
    made["new"] = {**PARTS, "normalizer": "x"}
    assert not family._answers(spaced, old(), Integrity()).declared


# What integrity asks of base and labels


def other_base(**changes):
    """A manifest of another base."""
    return said(base={"name": "films/other", "sha256": "d" * 64, "revision": "main", **changes})


def test_the_same_base_passes():
    """It is named with its hash."""
    assert family._base(side(), old(), Integrity()) == Passed("films/base with sha256 bbbbbbbbbbbb…")


def configured(**changes):
    """A base that is configured otherwise."""
    config = {"model_type": "bert", "hidden_act": "gelu", **changes}
    return SimpleNamespace(name="films/base", sha256="b" * 64, config=config)


def test_a_base_that_is_configured_otherwise_must_be_allowed():
    """Its weights are the same, its answers are not; what no answer follows from may differ, and a record may not say."""
    change = {"base.hidden_act": ("gelu", "relu")}
    message = "the base has the baseline's weights and another configuration: base.hidden_act gelu -> relu; may_change is []"
    expected = blocks("base-config", message, family.SHIPPED.format("base"), differences=change)
    new = side(base=configured(hidden_act="relu"))
    pinned = said(base={**said().base.model_dump(), "config": configured().config})
    for before in (old(), old(record=True, said=pinned)):
        assert fault(family._base, new, before, Integrity()) == expected
        assert family._base(new, before, Integrity(may_change=("base",))).declared == change
    harmless = side(base=configured(hidden_dropout_prob=0.5, transformers_version="4.0.0"))
    assert not family._base(harmless, old(), Integrity()).declared
    passed = family._base(new, old(record=True), Integrity())
    assert passed.message.endswith("; not compared: the record does not say how its base was configured")


def test_a_base_that_was_reconfigured_after_training_is_a_fault():
    """Of the side whose manifest says otherwise, the baseline first."""
    pinned = said(base={**said().base.model_dump(), "config": configured(hidden_act="relu").config})
    message = "its base films/base was configured otherwise when the adapter was trained: hidden_act relu -> gelu"
    advice = "set the base's config.json right, or train anew"
    found = fault(family._base, side(said=pinned), old(), Integrity())
    assert found == blocks("base-config", f"new: {message}", advice)
    found = fault(family._base, side(said=pinned), old(said=pinned), Integrity())
    expected = ("baseline-base-config", f"the baseline is faulty: old: {message}", advice, Outcome.INVALID, {})
    assert found == expected


def test_another_base_must_be_allowed():
    """By "base" or "base.model"; the advice says so, and both are named."""
    change = {"base.model": ("films/base bbbbbbbbbbbb", "films/other dddddddddddd")}
    new = {"said": other_base(), "config": config(base_model_name_or_path="films/other")}
    message = (
        "another base than the baseline's: base.model films/base bbbbbbbbbbbb -> films/other dddddddddddd; may_change is ['lora']"
    )
    found = fault(family._base, side(**new), old(), Integrity(may_change=("lora",)))
    assert found == blocks("base", message, family.SHIPPED.format("base"), differences=change)
    for entry in ("base", "base.model"):
        passed = family._base(side(**new), old(), Integrity(may_change=(entry,)))
        assert passed == Passed("films/base with sha256 bbbbbbbbbbbb…", change)


@pytest.mark.parametrize(("name", "revision"), [("films/other", "main"), ("films/base", None)])
def test_plain_peft_must_load_the_same_base(name, revision):
    """By name and revision."""
    one = side(config=config(base_model_name_or_path=name, revision=revision))
    names = f"new/{CONFIG}: names the base {name} (revision {revision}), {MANIFEST} films/base (main)"
    message = f"{names}: plain PEFT would load another base"
    assert fault(family._base, one, old(), Integrity()) == blocks("base", message)


def test_labels_that_agree_pass():
    """They are named."""
    assert family._labels(side(), old(), Integrity()) == Passed("labels Negative, Positive")


def test_labels_must_be_their_own_recipes():
    """On both sides; a baseline's fault is no accusation."""
    wrong = {"said": said(labels=["Bad", "Good"])}
    message = f"/{MANIFEST}: labels Bad, Good, base.labels of its recipe Negative, Positive"
    assert fault(family._labels, side(**wrong), old(), Integrity()) == blocks("labels", f"new{message}")
    expected = ("baseline-labels", f"the baseline is faulty: old{message}", EXPORT, Outcome.INVALID, {})
    assert fault(family._labels, side(), old(**wrong), Integrity()) == expected


@pytest.mark.parametrize(
    ("labels", "how"), [(["Positive", "Negative"], "in another order"), (["Bad", "Positive"], "which are others")]
)
def test_labels_must_be_the_baselines(labels, how):
    """In its order."""
    one = side(said=said(labels=labels), recipe=recipe(base__labels=labels))
    message = f"new/{MANIFEST}: labels {', '.join(labels)}, required are the baseline's, Negative, Positive: {how}"
    expected = blocks("labels", message, "train the candidate with the baseline's base.labels")
    assert fault(family._labels, one, old(), Integrity()) == expected


# What integrity asks of the encoding


def test_the_same_encoding_passes(checked):
    """It says how long, and on which side a text is cut."""
    expected = Passed("at most 64 tokens, cut on the left", {})
    unread = old(record=True)
    vars(unread)["json"] = lambda name: pytest.fail(f"{name} of a record was asked for")
    assert family._encoding(side(), old(), Integrity()) == expected
    assert family._encoding(side(), old(), Integrity(truncation_side="left")) == expected
    assert family._encoding(side(), unread, Integrity()) == expected


def test_the_policys_side_is_required(checked):
    """Whatever may change."""
    found = fault(family._encoding, side(), old(), Integrity(truncation_side="right", may_change=("encoding",)))
    message = "new: encoding.truncation_side is left, the policy requires right"
    assert found == blocks("truncation-side", message, 'train with truncation_side = "right"')


@pytest.mark.parametrize(
    ("key", "before", "now", "cause"),
    [
        ("truncation_side", "left", "right", "truncation-side"),
        ("max_length", 64, 32, "max-length"),
        ("add_prefix_space", True, False, "prefix-space"),
    ],
)
def test_another_encoding_must_be_allowed(checked, key, before, now, cause):
    """By its key or its table; the fingerprint may then be another one too."""
    one = side(recipe=recipe(**{f"encoding__{key}": now}), said=said(tokenizer_sha256="e" * 64))
    change = {f"encoding.{key}": (before, now)}
    message = f"texts are encoded otherwise than for the baseline: encoding.{key} {before} -> {now}; may_change is []"
    advice = family.SHIPPED.format(f'"encoding.{key}"')
    assert fault(family._encoding, one, old(), Integrity()) == blocks(cause, message, advice, differences=change)
    for entry in ("encoding", f"encoding.{key}"):
        passed = family._encoding(one, old(), Integrity(may_change=(entry,)))
        length, cut = one.recipe.encoding.max_length, one.recipe.encoding.truncation_side
        assert passed == Passed(f"at most {length} tokens, cut on the {cut}", change)


def test_several_differences_of_the_encoding_are_all_declared(checked):
    """Each by its key."""
    one = side(recipe=recipe(encoding__max_length=32, encoding__truncation_side="right"))
    passed = family._encoding(one, old(), Integrity(may_change=("encoding",)))
    changes = {"encoding.truncation_side": ("left", "right"), "encoding.max_length": (64, 32)}
    assert passed.declared == changes
    one = side(recipe=one.recipe, files={**SOUND, TOKENIZER: {}})
    passed = family._encoding(one, old(), Integrity(may_change=("encoding",)))
    assert passed.declared == {**changes, "encoding.tokenizer": ("cccccccccccc", "cccccccccccc")}


def test_another_fingerprint_alone_is_a_difference(checked):
    """Where nothing in the files explains it; also of a record."""
    change = {"encoding.tokenizer": ("cccccccccccc", "eeeeeeeeeeee")}
    message = (
        "the tokenizer differs from the baseline's in its fingerprint: encoding.tokenizer cccccccccccc -> eeeeeeeeeeee; "
        "may_change is []"
    )
    advice = family.SHIPPED.format('"encoding.tokenizer"')
    for before in (old(), old(record=True)):
        found = fault(family._encoding, side(said=said(tokenizer_sha256="e" * 64)), before, Integrity())
        assert found == blocks("tokenizer", message, advice, differences=change)
    allowed = Integrity(may_change=("encoding.tokenizer",))
    passed = family._encoding(side(said=said(tokenizer_sha256="e" * 64)), old(), allowed)
    assert passed == Passed("at most 64 tokens, cut on the left", change)


def test_a_tokenizer_of_other_parts_is_named_by_the_likeliest(checked):
    """The first part is the cause, all of them are told."""
    files = {**SOUND, TOKENIZER: {**SOUND[TOKENIZER], "normalizer": {}, "model": {}}}
    message = (
        "the tokenizer differs from the baseline's in lower-casing (True -> False), vocabulary (model): "
        "encoding.tokenizer cccccccccccc -> cccccccccccc; may_change is []"
    )
    change = {"encoding.tokenizer": ("cccccccccccc", "cccccccccccc")}
    found = fault(family._encoding, side(files=files), old(), Integrity())
    assert found == blocks("lower-casing", message, family.SHIPPED.format('"encoding.tokenizer"'), differences=change)


def test_another_base_brings_its_own_tokenizer(checked):
    """Only where it is allowed, and only where it is another."""
    files = {**SOUND, TOKENIZER: {}}
    allowed = Integrity(may_change=("base",))
    passed = family._encoding(side(files=files, said=other_base()), old(), allowed)
    assert passed == Passed("the tokenizer of another base", {})
    longer = side(files=files, said=other_base(), recipe=recipe(encoding__max_length=32))
    passed = family._encoding(longer, old(), Integrity(may_change=("base", "encoding")))
    assert passed == Passed("the tokenizer of another base", {"encoding.max_length": (64, 32)})
    assert fault(family._encoding, side(files=files, said=other_base()), old(), Integrity())[0] == "lower-casing"
    assert fault(family._encoding, side(files=files), old(), allowed)[0] == "lower-casing"
    passed = family._encoding(side(said=other_base()), old(), allowed)
    assert passed == Passed("at most 64 tokens, cut on the left", {})


DIFFERENCES = [
    ({}, {}, {}),
    ({"normalizer": {"lowercase": False}}, {}, {"lower-casing": "lower-casing (True -> False)"}),
    ({}, {"do_lower_case": False}, {"lower-casing": "lower-casing (True -> False)"}),
    ({"post_processor": {"a": 1}}, {}, {"special-tokens": "special tokens (post_processor)"}),
    ({}, {"cls_token": None}, {"special-tokens": "special tokens (post_processor, cls_token '[CLS]' -> None)"}),
    ({}, {"eos_token": "x"}, {"special-tokens": "special tokens (post_processor, eos_token None -> 'x')"}),
    (
        {},
        {"cls_token": "y", "sep_token": "x"},
        {"special-tokens": "special tokens (post_processor, cls_token '[CLS]' -> 'y', sep_token None -> 'x')"},
    ),
    ({"model": {}}, {}, {"vocabulary": "vocabulary (model)"}),
    ({"added_tokens": [1]}, {}, {"vocabulary": "added tokens"}),
    ({"added_tokens": [1], "model": {}}, {}, {"vocabulary": "vocabulary (model)"}),
    ({"normalizer": {"lowercase": True, "x": 1}, "decoder": 1}, {}, {"tokenizer": "normalizer, decoder"}),
    ({"pre_tokenizer": 1}, {"strip_accents": True}, {"tokenizer": "pre_tokenizer, strip_accents"}),
    ({"normalizer": {}, "decoder": 1}, {}, {"lower-casing": "lower-casing (True -> False)"}),
    ({"truncation": 1, "pre_tokenizer": None}, {"anything": 1}, {}),
    ({"pre_tokenizer": {"add_prefix_space": 1}}, {}, {"tokenizer": "pre_tokenizer"}),
]


@pytest.mark.parametrize(("tokenizer", "tokens", "expected"), DIFFERENCES)
def test_what_tokenizers_differ_in_is_named(tokenizer, tokens, expected):
    """By part, old before new, the likeliest cause of damage first."""
    new = side(files={TOKENIZER: {**SOUND[TOKENIZER], **tokenizer}, TOKENS: {**SOUND[TOKENS], **tokens}})
    found = tokenizers.differences(new, old())
    assert found == expected
    assert list(found) == list(expected)


def test_what_the_recipe_decides_of_a_tokenizer_is_compared_there():
    """The space before a text, wherever it stands; a word of the vocabulary that is called so is none."""

    def tokenizer(space, scheme, vocabulary=1):
        part = {"add_prefix_space": space, "steps": [{"prepend_scheme": scheme, "kept": 1}]}
        return {"pre_tokenizer": part, "model": {"add_prefix_space": vocabulary}}

    pair = [side(files={**SOUND, TOKENIZER: tokenizer(*told)}) for told in ((True, "always"), (False, "never"))]
    assert tokenizers.differences(*pair) == {}
    pair = [side(files={**SOUND, TOKENIZER: tokenizer(True, "always", number)}) for number in (1, 2)]
    assert tokenizers.differences(*pair) == {"vocabulary": "vocabulary (model)"}
    kept = {"pre_tokenizer": {"steps": [{"kept": 1}]}, "model": {"add_prefix_space": 1}}
    assert without_prefix_space(tokenizer(True, "always")) == kept


@pytest.mark.parametrize(
    ("normalizer", "tokens", "expected"),
    [
        (None, {}, False),
        ({"lowercase": True}, {}, True),
        ({"lowercase": True}, {"do_lower_case": True}, True),
        ({"lowercase": True}, {"do_lower_case": None}, True),
        ({"lowercase": True}, {"do_lower_case": False}, False),
        ({"lowercase": 1}, {}, False),
        ({"type": "Lowercase"}, {}, True),
        ({"type": "Uppercase"}, {"do_lower_case": True}, False),
        ({"normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}, {}, True),
        ({"normalizers": [{"type": "NFD"}]}, {}, False),
        ({"inner": {"lowercase": True}}, {}, True),
        ([{"lowercase": True}], {}, True),
    ],
)
def test_lower_casing_is_found_wherever_it_stands(normalizer, tokens, expected):
    """And where it is switched off beside it."""
    assert tokenizers._lower_cases({"normalizer": normalizer}, tokens) is expected


# What integrity asks of recipe and parameters


def test_the_same_recipe_passes(checked):
    """Another seed, name of the base or revision is no difference of it, and neither is the encoding."""
    expected = Passed("the baseline's recipe, but for the seed", {})
    assert family._recipe(side(), old(), Integrity()) == expected
    changes = {
        "training__seed": 7,
        "base__model": "x",
        "base__revision": "y",
        "base__labels": ["a", "b"],
        "encoding__max_length": 8,
    }
    assert family._recipe(side(recipe=recipe(**changes)), old(), Integrity()) == expected


def test_another_recipe_must_be_allowed(checked):
    """Each difference by its key, in order; a key that one of them lacks is None."""
    one = side(recipe=recipe(lora__r=3, base__dropout=0.5, training__epochs=4))
    change = {"base.dropout": (None, 0.5), "lora.r": (2, 3), "training.epochs": (3, 4)}
    refused = {key: change[key] for key in ("base.dropout", "training.epochs")}
    message = (
        "the recipe differs from the baseline's: base.dropout None -> 0.5, training.epochs 3 -> 4; "
        "may_change is ['lora', 'lora.dropout']"
    )
    advice = family.SHIPPED.format('"base.dropout", "training.epochs"')
    found = fault(family._recipe, one, old(), Integrity(may_change=("lora", "lora.dropout")))
    assert found == blocks("recipe", message, advice, differences=refused)
    passed = family._recipe(one, old(), Integrity(may_change=("lora.r", "base.dropout", "training")))
    assert passed == Passed("configured as its recipe says", change)
    reverse = family._recipe(side(), old(recipe=one.recipe), Integrity(may_change=("lora", "base", "training")))
    assert reverse.declared == {key: (now, before) for key, (before, now) in change.items()}


def split(**changes):
    """The train split of a manifest, and the validation split as it was."""
    train = {"source": "train.csv", "sha256": "a" * 64, "reviews": 24, **changes}
    return said(data={"train": train, "validation": {"source": "validation.csv", "sha256": "a" * 64, "reviews": 24}})


def test_other_reviews_are_a_difference_of_the_data(checked):
    """With how many there are, and their hash."""
    one = side(said=split(sha256="f" * 64, reviews=30))
    change = {"data.train": ("train.csv (24 reviews, aaaaaaaaaaaa)", "train.csv (30 reviews, ffffffffffff)")}
    message = (
        "the recipe differs from the baseline's: data.train train.csv (24 reviews, aaaaaaaaaaaa) -> "
        "train.csv (30 reviews, ffffffffffff); may_change is []"
    )
    found = fault(family._recipe, one, old(), Integrity())
    assert found == blocks("data", message, family.SHIPPED.format('"data.train"'), differences=change)
    assert family._recipe(one, old(), Integrity(may_change=("data",))).declared == change


def test_other_reviews_beside_another_recipe_are_the_recipes(checked):
    """The cause is the data's only where nothing else differs."""
    one = side(said=split(sha256="f" * 64), recipe=recipe(lora__r=3))
    assert fault(family._recipe, one, old(), Integrity())[0] == "recipe"


def test_the_same_reviews_from_elsewhere_are_no_difference(checked):
    """Their hash counts, for either split."""
    one = side(recipe=recipe(data__train="x", data__validation="y"), said=split(source="x"))
    assert family._recipe(one, old(), Integrity()).declared == {}


def test_reviews_that_one_manifest_does_not_tell_are_a_difference(checked):
    """Which is told as none; where neither tells, the recipe's names count."""
    none, change = {"said": said(data={})}, "validation.csv (24 reviews, aaaaaaaaaaaa)"
    allowed = Integrity(may_change=("data",))
    assert family._recipe(side(**none), old(), allowed).declared["data.validation"] == (change, None)
    assert family._recipe(side(), old(**none), allowed).declared["data.validation"] == (None, change)
    assert family._recipe(side(**none), old(**none), allowed).declared == {}
    other = side(**none, recipe=recipe(data__train="x"))
    assert family._recipe(other, old(**none), allowed).declared == {"data.train": ("train.csv", "x")}


ADVICE = "train with the recipe that the policy was written for, or set trainable_parameters of [integrity]"


def test_the_recipe_implies_how_many_numbers_are_trained():
    """LoRA beside its layers, and what is saved whole."""
    assert family._parameters(side(), old(), Integrity()) == Passed("26 of 1,000 trained")
    message = f"{WHERE}26 trained numbers, the recipe implies 34"
    found = fault(family._parameters, side(recipe=recipe(lora__r=3)), old(), Integrity())
    assert found == blocks("parameters", message, ADVICE, found=26, required=34)
    found = fault(family._parameters, side(recipe=recipe(lora__target_modules=["all-linear"])), old(), Integrity())
    assert found[-1] == {"found": 26, "required": 42}


def test_the_magnitudes_of_dora_are_counted():
    """One of each output of an adapted layer, if the recipe asks for them."""
    found = fault(family._parameters, side(recipe=recipe(lora__use_dora=True)), old(), Integrity())
    assert found[-1] == {"found": 26, "required": 30}


def test_modules_to_save_are_counted():
    """By the configuration; None is none."""
    of = layout(around={**HEAD, "pooler.bias": (4,)}, backbone=960)
    assert family._parameters(side(layout=of, config=config(modules_to_save=None)), old(), Integrity()).declared == {}
    found = fault(family._parameters, side(layout=of, config=config(modules_to_save=["pooler"])), old(), Integrity())
    assert found[-1] == {"found": 26, "required": 30}


def test_of_an_unknown_architecture_the_manifests_count_is_taken():
    """Nothing is implied."""
    one = side(layout=layout(known=False), recipe=recipe(lora__r=3))
    assert family._parameters(one, old(), Integrity()) == Passed(
        "26 trained, as many as the manifest says; of an architecture that lorasent cannot count"
    )


@pytest.mark.parametrize("required", [26, 26.0])
def test_a_required_count_is_met(required):
    """Whatever the recipe implies."""
    settings = Integrity(trainable_parameters=required)
    assert family._parameters(side(recipe=recipe(lora__r=3)), old(), settings) == Passed("26 of 1,000 trained")


@pytest.mark.parametrize("required", [1, 2700])
def test_a_required_count_is_missed(required):
    """1 is a count, no fraction."""
    message = f"{WHERE}26 trained numbers, the policy requires {required:,}"
    found = fault(family._parameters, side(), old(), Integrity(trainable_parameters=required))
    assert found == blocks("parameters", message, ADVICE, found=26, required=required)


@pytest.mark.parametrize("required", [0.03, 0.026])
def test_a_required_fraction_is_met(required):
    """To as many decimals as it has."""
    assert family._parameters(side(), old(), Integrity(trainable_parameters=required)) == Passed("26 of 1,000 trained")


@pytest.mark.parametrize(("required", "share"), [(0.02, "0.0260"), (0.027, "0.02600"), (0.5, "0.026")])
def test_a_required_fraction_is_missed(required, share):
    """The share is told with two decimals more."""
    message = f"new: 26 of 1,000 parameters trained, {share}, the policy requires {required}"
    found = fault(family._parameters, side(), old(), Integrity(trainable_parameters=required))
    assert found == blocks("parameters", message, ADVICE, found=0.026, required=required)


@pytest.mark.parametrize("required", ["recipe", 26, 0.026])
def test_all_parameters_are_counted_and_not_taken_from_the_manifest(required):
    """The base's, those around it, and the adapter's; a manifest that says otherwise is at fault, whosever it is."""
    settings, forged = Integrity(trainable_parameters=required), said(parameters={"total": 52, "trainable": 26})
    message = "says that there are 52 parameters, base and weights hold 1,000"
    found = fault(family._parameters, side(said=forged), old(), settings)
    assert found == blocks("parameters", f"new/{MANIFEST}: {message}", EXPORT, found=52, required=1000)
    found = fault(family._parameters, side(), old(said=forged), settings)
    assert found[:2] == ("baseline-parameters", f"the baseline is faulty: old/{MANIFEST}: {message}")


def test_a_fraction_of_what_cannot_be_counted_is_invalid():
    """Of an unknown architecture all parameters are what a candidate says."""
    with pytest.raises(Fault, match=r"^new: all parameters of this architecture are what its manifest says") as found:
        family._parameters(side(layout=layout(known=False)), old(), Integrity(trainable_parameters=0.5))
    assert (found.value.cause, found.value.outcome) == ("parameters-uncounted", Outcome.INVALID)


# Sides: what is read, and whose fault it is


def test_a_fault_of_the_candidates_accuses_it():
    """Its figures are kept."""
    found = side().fault("cause", "message", "advice", n=1)
    assert (found.cause, found.message, found.advice, found.outcome, found.figures) == blocks("cause", "message", "advice", n=1)
    assert str(found) == "message"


def test_a_fault_of_the_baselines_is_invalid():
    """It is called after the baseline."""
    found = old().fault("cause", "message", "advice", n=1)
    expected = ("baseline-cause", "the baseline is faulty: message", "advice", Outcome.INVALID, {"n": 1})
    assert (found.cause, found.message, found.advice, found.outcome, found.figures) == expected


def test_a_side_is_its_subject(tmp_path):
    """With a directory if the subject has one."""
    live = object.__new__(LiveSubject)
    live.path, live.name, live.snapshot = tmp_path, "new", Snapshot(tmp_path)
    one = Side(live, baseline=False, bases=(bases := {}))
    assert one._bases is bases
    assert (one.subject, one.baseline, one.path, one.name, one.snapshot) == (live, False, tmp_path, "new", live.snapshot)
    assert one.at("file") == tmp_path / "file"
    record = Side(SimpleNamespace(name="record", path=tmp_path), baseline=True, bases={})
    assert (record.baseline, record.path) == (True, None)
    with pytest.raises(TypeError, match=r"^record: a record has no directory$"):
        _ = record.snapshot


def bare(tmp_path):
    """A side of which nothing is given but its directory."""
    one = Side(SimpleNamespace(name="new", manifest={}), baseline=False, bases={})
    one.path, one.snapshot = tmp_path, Snapshot(tmp_path)
    return one


def test_json_that_is_none_is_a_fault(tmp_path):
    """Of the cause that the asker gives it."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text("[]")
    one = bare(tmp_path)
    assert one.json("a.json") == {"a": 1}
    message = f"{tmp_path / 'b.json'}: expected a JSON object, found list of length 0"
    assert fault(one.json, "b.json") == blocks("json-broken", message, RETRIEVE)
    assert fault(one.json, "b.json", "cause") == blocks("cause", message, RETRIEVE)


def test_a_key_that_is_not_as_it_must_be_is_a_fault(tmp_path):
    """By its path, with what is found there."""
    content = {"base": {"name": 1, "sha256": "b"}, "recipe": {}}
    message = "new/lorasent.json: base.name: Input should be a valid string, found 1"
    found = fault(bare(tmp_path)._parse, Said, {**said().model_dump(), **content}, "lorasent.json", "cause")
    assert found == blocks("cause", message)
    assert bare(tmp_path)._parse(Said, said().model_dump(), "lorasent.json", "cause") == said()


def test_numbers_are_read_by_name(tmp_path):
    """As they are stored; another type is a fault before anything is read."""
    values = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), dtype=np.float32)}
    save_file(values, tmp_path / WEIGHTS)
    assert {name: value.tolist() for name, value in bare(tmp_path).numbers()} == {"a": [0, 1, 2], "b": [[1, 1], [1, 1]]}
    save_file({**values, "c": np.ones(1, dtype=np.float16), "d": np.ones(1)}, tmp_path / WEIGHTS)
    message = f"{tmp_path / WEIGHTS}: 2 tensors are not float32 (F32), as c, which is F16"
    found = fault(list, bare(tmp_path).numbers())
    assert found == blocks("dtype", message)
