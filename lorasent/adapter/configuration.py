"""A base's config.json: what of it is used, whether it fits the checkpoint beside it, and what two of them differ in.

The tokenizer's tokenizer_config.json beside it: which of its keys name other files.

A configuration is a stranger's: it may name other weights or code, which is refused, and sizes that no checkpoint has, which would
fill the memory before a weight is read.
"""

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from lorasent.adapter.snapshot import read_json
from lorasent.errors import AdapterError, BaseModelError
from lorasent.text import shown

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
MOST_BYTES = 1 << 20
"""Of a configuration."""

OBEYED = ("fast_tokenizer_files", "init_inputs")
"""Keys of a tokenizer's configuration that decide what it is made of, whatever lies beside."""

ELSEWHERE = ("transformers_weights", "auto_map", "quantization_config", "compression_config")
"""Keys that name other weights than those in the directory, another form of them, or code."""

PREFIX_SPACE = ("add_prefix_space", "prepend_scheme")
"""Keys of a tokenizer's JSON that encoding.add_prefix_space decides."""

OWN_NOTES = (
    "attn_implementation", "experts_implementation", "chunk_size_feed_forward",
    "return_dict", "torchscript", "output_attentions", "output_hidden_states",
)  # fmt: skip
"""Keys beside those that begin with "_" that say how something is computed and returned, not what; some name code on the hub."""

COUNTED = ("layer", "label")
"""Parts of the names of keys that say how many of something are made while the configuration is read."""

MOST_COUNTED = 4096

SPARE = 1 << 26
"""Numbers that a classifier may have beyond its checkpoint's: 256 MiB of float32."""

MODULES = (64, 4096)
"""Modules that a classifier may have: so many for each tensor of the checkpoint, and so many besides."""

WITHOUT_EFFECT = (
    "architectures", "transformers_version", "dtype", "torch_dtype", "name_or_path", "use_cache",
    "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params", "gradient_checkpointing",
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "is_local",
)  # fmt: skip
"""Keys that say who wrote a configuration, or what the recipe and the adapter decide. No answer follows from them."""


def read(path: Path, name: str) -> dict[str, Any]:
    """The configuration in a directory called `name`, without what only says where it came from.

    Raises BaseModelError for one that cannot be read, names other weights or code, or counts what no base has so many of.
    """
    try:
        config: dict[str, Any] = _public(read_json(path / CONFIG, Path(name) / CONFIG, MOST_BYTES))
    except AdapterError as error:
        raise BaseModelError(f"{error}; a base needs its configuration, save it anew with transformers' save_pretrained") from None
    require_plain(config, f"{name}/{CONFIG}")
    return config


def require_plain(config: Mapping[str, Any], where: str) -> None:
    """Raises BaseModelError for a configuration that names other weights or code, or counts what no base has so many of."""
    for key, value in items(config):
        if key in ELSEWHERE and value:
            raise BaseModelError(f"{where}: {key} names other weights, another form of them, or code: save the base without it")
        counts = any(part in key for part in COUNTED) and isinstance(value, int | float)
        if counts and value > MOST_COUNTED:
            raise BaseModelError(f"{where}: {shown(key)} is {shown(value)}, expected {MOST_COUNTED:,} at most")


def names_files(config: Mapping[str, Any]) -> list[str]:
    """The keys of a tokenizer's configuration that say what the tokenizer is made of, instead of the files beside it."""
    inputs = ("init_inputs", "tokenizer_object", "vocab", "merges")
    return [key for key, value in config.items() if value and (key.endswith(("_file", "_files")) or key in inputs)]


def read_tokenizer(path: Path, name: str) -> dict[str, Any]:
    """The tokenizer's configuration in a base's directory called `name`, without paths of the machine where it was saved, and code.

    Raises BaseModelError for one that cannot be read, or says what else the tokenizer is made of.
    """
    where = Path(name) / TOKENIZER_CONFIG
    try:
        config = read_json(path / TOKENIZER_CONFIG, where)
    except AdapterError as error:
        raise BaseModelError(str(error)) from None
    if obeyed := [key for key in OBEYED if config.get(key)]:
        raise BaseModelError(f"{where}: {obeyed[0]} makes the tokenizer of something else than tokenizer.json: save it without it")
    left = {"auto_map", *names_files(config)}
    return {key: value for key, value in config.items() if key not in left}


def without_prefix_space(part: Any) -> Any:
    """A tokenizer's JSON, vocabulary aside, without what encoding.add_prefix_space decides, which is compared by itself."""
    if isinstance(part, dict):
        return {
            key: value if key == "model" else without_prefix_space(value) for key, value in part.items() if key not in PREFIX_SPACE
        }
    return [without_prefix_space(one) for one in part] if isinstance(part, list) else part


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys that two configurations of one checkpoint differ in, with old and new value: none, if answers are the same.

    A key that one of them leaves out has its architecture's default. Imports transformers only where they say different things.
    """
    now, before = _telling(new), _telling(old)
    if now != before:
        with contextlib.suppress(Exception):  # a configuration that transformers cannot read is compared as it is written
            now, before = _telling(_complete(new)), _telling(_complete(old))
    keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
    return {key: (before.get(key), now.get(key)) for key in keys}


def summary(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """The first differences as text."""
    some = [f"{shown(key, 60)} {shown(old, 60)} -> {shown(new, 60)}" for key, (old, new) in list(differences.items())[:3]]
    return ", ".join(some) + (f" and {len(differences) - 3} more" if len(differences) > 3 else "")


def require_fit(folder: Path, tensors: Iterable[tuple[int, ...]]) -> None:
    """Builds the classifier that a configuration describes without memory for its numbers, and counts them.

    `tensors` are the shapes in the checkpoint. Raises BaseModelError if the classifier is far larger than the checkpoint, and what
    transformers raises for a configuration that describes none.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shapes = list(tensors)
    most = sum(map(prod, shapes)) + SPARE
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _at_most(MODULES[0] * len(shapes) + MODULES[1]):
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    count = sum(tensor.numel() for tensor in itertools.chain(model.parameters(), model.buffers()))
    if count > most:
        raise BaseModelError(f"{CONFIG} describes {count:,} numbers, the checkpoint holds {sum(map(prod, shapes)):,}")


@contextlib.contextmanager
def _at_most(modules: int) -> Iterator[None]:
    """Stops who makes more modules than that; each takes memory even where its numbers take none."""
    from torch.nn.modules.module import register_module_module_registration_hook

    left = itertools.count(modules, -1)

    def count(*_: Any) -> None:
        if next(left) <= 0:
            raise BaseModelError(f"{CONFIG} describes more than {modules:,} modules, far more than the checkpoint has tensors")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with every default of its architecture."""
    from transformers import CONFIG_MAPPING

    require_plain(config, CONFIG)  # one of them may come from a manifest
    complete: dict[str, Any] = json.loads(
        CONFIG_MAPPING[config["model_type"]].from_dict(dict(config)).to_json_string(use_diff=False)
    )
    return complete


def _telling(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration answers follow from: dropout is off when an adapter answers."""
    aside = {key for key in config if key in WITHOUT_EFFECT or is_dropout(key) or "layerdrop" in key}
    return {key: value for key, value in _public(config).items() if key not in aside}


def is_dropout(key: str) -> bool:
    """Whether a key of a configuration is a probability of dropout."""
    return "dropout" in key or key.endswith("pdrop")


def _public(part: Any) -> Any:
    """JSON without keys that say where a configuration came from and how it was computed, at any depth."""
    if isinstance(part, dict):
        return {key: _public(value) for key, value in part.items() if not key.startswith("_") and key not in OWN_NOTES}
    return [_public(one) for one in part] if isinstance(part, list) else part


def items(part: Any) -> Iterator[tuple[str, Any]]:
    """Every key of JSON with its value, at any depth."""
    if isinstance(part, dict):
        yield from part.items()
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from items(value)
