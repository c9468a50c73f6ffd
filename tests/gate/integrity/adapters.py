"""Real adapters with faults planted in them, and what the integrity checks find."""

import json

import torch

from lorasent import Recipe
from lorasent.adapter import writing
from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.encoding import Encoder
from lorasent.files import sha256
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.checks import CHECKS, check
from lorasent.gate.sections import Integrity
from lorasent.scoring.evidence import LiveSubject, RecordedSubject
from tests.support.bases import LABELS, edit_json, edit_tensors

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "lorasent.json"


TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"


LAYER = "base_model.model.bert.encoder.layer.1.attention.self.query"


def findings(candidate, baseline, **settings):
    """The finding of every check by its name."""
    subject = RecordedSubject(baseline) if baseline.is_file() else LiveSubject(baseline)
    found = check(LiveSubject(candidate), subject, Integrity(**settings))
    assert [finding.check for finding in found] == [f"integrity::{name}" for name in CHECKS]
    return dict(zip(CHECKS, found, strict=True))


def faults(found):
    """Outcome and cause by check, of those that do not pass."""
    return {name: (one.outcome.value, one.cause) for name, one in found.items() if one.outcome is not Outcome.PASS}


def rehash(path):
    """Makes the manifest agree with the files that are there, as a faulty exporter's would; a folder has no hash."""
    there = [file.name for file in path.iterdir() if file.is_file() and file.name not in (MANIFEST, "README.md")]
    names = sorted(name for name in there if not name.startswith("."))
    edit_json(path / MANIFEST, files={name: sha256(path / name) for name in names})


def read(path):
    return json.loads(path.read_text("utf-8"))


def write(path, content):
    path.write_text(json.dumps(content), "utf-8")


def set_recipe(path, **changes):
    """Sets "table__key" of the manifest's recipe and its hash, and in the other files what follows from it."""
    tables = read(path / MANIFEST)["recipe"]
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables[table][name] = value
    recipe = Recipe.parse(tables, "test")
    edit_json(path / MANIFEST, recipe=recipe.to_json(), recipe_sha256=recipe.fingerprint, labels=list(recipe.base.labels))
    edit_json(path / CONFIG, r=recipe.lora.r, lora_alpha=recipe.lora.alpha, lora_dropout=recipe.lora.dropout)
    edit_json(path / TOKENS, truncation_side=recipe.encoding.truncation_side, model_max_length=recipe.encoding.max_length)


def write_filled(path, model, seed=0, effect=0.1, **changes):
    """Writes an adapter of every linear layer with a random head and random B, as trained ones have; `changes` as in set_recipe."""
    tables = {
        "base": {"model": str(model), "labels": LABELS},
        "data": {"train": "embedded:train", "validation": "embedded:validation"},
        "encoding": {"max_length": 64},
        "lora": {"r": 2, "alpha": 4, "target_modules": ["all-linear"]},
        "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3, "seed": seed},
    }
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables.setdefault(table, {})[name] = value
    recipe, base = Recipe.parse(tables, "test"), find(str(model))
    encoder = Encoder(base.path, recipe.encoding)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = build(base, recipe.base, recipe.lora, encoder)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=effect)
    writing.write(path, model, encoder, base, recipe, {})
    return path


def drop(tensors, part):
    for name in [name for name in tensors if part in name]:
        del tensors[name]


def quantize(tensors, bits=4):
    """Rounds every matrix to 2^bits - 1 levels of its largest value."""
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            step = tensor.abs().max() / (2 ** (bits - 1) - 1)
            tensors[name] = (tensor / step).round() * step


def one_step(tensors):
    """Adam's first step from zero: the learning rate, either way, a little less where gradients are small."""
    for name, tensor in tensors.items():
        if "lora_B" in name:
            sign = torch.where(torch.rand(tensor.shape) < 0.5, 1.0, -1.0)
            tensors[name] = 1e-3 * sign * (1 - 0.01 * torch.rand(tensor.shape))


def swap_head(tensors):
    for name in [name for name in tensors if "classifier" in name]:
        tensors[name] = tensors[name].flip(0).contiguous()


def tensors(change):
    """A fault of the weights; `change` edits them by name, in place."""
    return lambda path: edit_tensors(path / WEIGHTS, change)


def config(**changes):
    return lambda path: edit_json(path / CONFIG, **changes)


def manifest(**changes):
    return lambda path: edit_json(path / MANIFEST, **changes)


def recipe(**changes):
    return lambda path: set_recipe(path, **changes)


def tokenizer(*keys, value):
    """Sets a key, down the path of keys, of tokenizer.json."""

    def plant(path):
        content = part = read(path / TOKENIZER)
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        write(path / TOKENIZER, content)

    return plant


def nested(depth):
    """A list in a list in a list."""
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


def tokens(**changes):
    return lambda path: edit_json(path / TOKENS, **changes)


def both(*plants):
    def plant(path):
        for one in plants:
            one(path)

    return plant


def swap_words(path):
    """Two words of the vocabulary change places."""
    content = read(path / TOKENIZER)
    vocabulary = content["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    write(path / TOKENIZER, content)


def other_data(path):
    content = read(path / MANIFEST)
    content["data"]["train"] |= {"sha256": "f" * 64, "reviews": 30}
    write(path / MANIFEST, content)


def drop_config(key):
    def plant(path):
        content = read(path / CONFIG)
        del content[key]
        write(path / CONFIG, content)

    return plant


def all_of(part, value=0.0):
    """Sets every tensor whose name holds `part`."""
    return tensors(lambda found: [tensor.fill_(value) for name, tensor in found.items() if part in name])


def gone(path):
    """Names a base that nobody has."""
    content = read(path / MANIFEST)
    edit_json(path / MANIFEST, base=content["base"] | {"name": "/no/such/base"})
    edit_json(path / CONFIG, base_model_name_or_path="/no/such/base")
