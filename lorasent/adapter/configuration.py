"""A base's config.json and tokenizer_config.json: keys that are refused, and the differences of two configurations.

Somebody else wrote them. A configuration is refused if it names other weights or code, or sizes that no checkpoint has: these would
fill the memory before a weight is read.
"""

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from lorasent.adapter.untrusted import items, read_json, without
from lorasent.errors import BaseModelError
from lorasent.text import shown, some

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

MOST_BYTES = 1 << 20
"""Largest size of a base's config.json, in bytes."""

OBEYED = ("fast_tokenizer_files", "init_inputs")
"""Keys of a tokenizer's configuration that decide which files it is made of."""

ELSEWHERE = ("transformers_weights", "auto_map", "quantization_config", "compression_config")
"""Keys of a configuration that name other weights than those in the directory, another form of them, or code."""

PREFIX_SPACE = ("add_prefix_space", "prepend_scheme")
"""Keys of a tokenizer's JSON that encoding.add_prefix_space decides."""

HOW_COMPUTED = (
    "attn_implementation", "experts_implementation", "chunk_size_feed_forward",
    "return_dict", "torchscript", "output_attentions", "output_hidden_states",
)  # fmt: skip
"""Keys that decide how something is computed or returned, not what. So do keys that begin with "_". Some name code on the hub."""

COUNTED = ("layer", "label")
"""Parts of the names of keys whose value is a number of objects that transformers makes when it reads the configuration."""

MOST_COUNTED = 4096
"""Largest value of a key that `COUNTED` matches."""

SPARE = 1 << 26
"""Largest number of parameters by which a classifier may exceed its checkpoint: 256 MiB of float32."""

MODULES = (64, 4096)
"""Largest number of modules of a classifier: the first for each tensor of the checkpoint, plus the second."""

WITHOUT_EFFECT = (
    "architectures", "transformers_version", "dtype", "torch_dtype", "name_or_path", "use_cache",
    "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params", "gradient_checkpointing",
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "is_local",
)  # fmt: skip
"""Keys that change no logit: who wrote a configuration, and what the recipe and the adapter decide."""


def read(path: Path, name: str) -> dict[str, Any]:
    """The configuration in a directory called `name`, without the keys that only say where it came from.

    Raises BaseModelError if it cannot be read, and as `require_plain`.
    """
    advice = "; a base needs its configuration, save it again with transformers' save_pretrained"
    where = Path(name) / CONFIG
    content = read_json(path / CONFIG, where, limit=MOST_BYTES, failure=BaseModelError, advice=advice)
    config: dict[str, Any] = _public(content)
    require_plain(config, str(where))
    return config


def require_plain(config: Mapping[str, Any], where: str) -> None:
    """Raises BaseModelError for a configuration that names other weights or code, or has a count above `MOST_COUNTED`."""
    for key, value in items(config):
        if key in ELSEWHERE and value:
            raise BaseModelError(f"{where}: {key} names other weights, another form of them, or code: save the base without it")
        counts = any(part in key for part in COUNTED) and isinstance(value, int | float)
        if counts and value > MOST_COUNTED:
            raise BaseModelError(f"{where}: {shown(key)} is {shown(value)}, expected {MOST_COUNTED:,} at most")


def names_files(config: Mapping[str, Any]) -> list[str]:
    """The keys of a tokenizer's configuration that name other files than those beside it."""
    inputs = ("init_inputs", "tokenizer_object", "vocab", "merges")
    return [key for key, value in config.items() if value and (key.endswith(("_file", "_files")) or key in inputs)]


def read_tokenizer(path: Path, name: str) -> dict[str, Any]:
    """The tokenizer's configuration in a base's directory called `name`, without code and paths of where it was saved.

    Raises BaseModelError if it cannot be read, or names other files.
    """
    where = Path(name) / TOKENIZER_CONFIG
    config = read_json(path / TOKENIZER_CONFIG, where, failure=BaseModelError)
    if obeyed := [key for key in OBEYED if config.get(key)]:
        raise BaseModelError(
            f"{where}: {obeyed[0]} builds the tokenizer from other files than tokenizer.json: save it without that key"
        )
    left_out = {"auto_map", *names_files(config)}
    return {key: value for key, value in config.items() if key not in left_out}


def without_prefix_space(content: Any) -> Any:
    """A tokenizer's JSON without the keys that encoding.add_prefix_space decides. Its vocabulary is kept."""
    return without(content, lambda key: key in PREFIX_SPACE, whole="model")


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys that change logits and differ between two configurations of one checkpoint, with (old, new) values.

    A missing key has its architecture's default. Imports transformers only if the configurations differ as they are written.
    """
    now, before = _effective(new), _effective(old)
    if now != before:
        with contextlib.suppress(Exception):  # a configuration that transformers cannot read is compared as it is written
            now, before = _effective(_complete(new)), _effective(_complete(old))
    keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
    return {key: (before.get(key), now.get(key)) for key in keys}


def summary(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """The first differences as text."""
    changes = [f"{shown(key, 60)} {shown(old, 60)} -> {shown(new, 60)}" for key, (old, new) in differences.items()]
    return some(changes, limit=200)


def require_fit(folder: Path, tensors: Iterable[tuple[int, ...]]) -> None:
    """Builds the classifier that a configuration describes, without memory for its weights, and counts its numbers.

    `tensors` are the shapes in the checkpoint. Raises BaseModelError if the classifier is far larger than the checkpoint, and what
    transformers raises for a configuration that describes none.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shapes = list(tensors)
    held = sum(map(prod, shapes))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _at_most(MODULES[0] * len(shapes) + MODULES[1]):
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    count = sum(tensor.numel() for tensor in itertools.chain(model.parameters(), model.buffers()))
    if count > held + SPARE:
        raise BaseModelError(f"{CONFIG} describes {count:,} numbers, the checkpoint holds {held:,}")


@contextlib.contextmanager
def _at_most(modules: int) -> Iterator[None]:
    """Raises BaseModelError if more modules are made inside: each takes memory, even without its weights."""
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


def is_dropout(key: str) -> bool:
    """Whether a key of a configuration is a probability of dropout."""
    return "dropout" in key or key.endswith("pdrop")


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with every default of its architecture."""
    from transformers import CONFIG_MAPPING

    require_plain(config, CONFIG)  # one of them may come from a manifest
    kind = CONFIG_MAPPING[config["model_type"]]
    complete: dict[str, Any] = json.loads(kind.from_dict(dict(config)).to_json_string(use_diff=False))
    return complete


def _effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a configuration that decide logits. Dropout does not: it is off when an adapter answers."""
    aside = {key for key in config if key in WITHOUT_EFFECT or is_dropout(key) or "layerdrop" in key}
    return {key: value for key, value in _public(config).items() if key not in aside}


def _public(content: Any) -> Any:
    """JSON without the keys that say where a configuration came from and how it was computed, at any depth."""
    return without(content, lambda key: key.startswith("_") or key in HOW_COMPUTED)
