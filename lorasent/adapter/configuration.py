"""A base's config.json and tokenizer_config.json: what is refused in them, and the differences of two configurations.

Somebody else wrote them: names of other weights or of code are refused, and sizes that would fill the memory before a weight is.
"""

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from lorasent.adapter.untrusted import items, read_json, without
from lorasent.errors import BaseModelError
from lorasent.text import shown, some

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

ELSEWHERE = ("transformers_weights", "auto_map", "quantization_config", "compression_config")
"""Keys of a configuration that name other weights than those in the directory, another form of them, or code."""

HOW_COMPUTED = (
    "attn_implementation", "experts_implementation", "chunk_size_feed_forward",
    "return_dict", "torchscript", "output_attentions", "output_hidden_states",
)  # fmt: skip
"""Keys that decide how something is computed or returned, not what. So do keys that begin with "_". Some name code on the hub."""

COUNTED, MOST_COUNTED = ("layer", "label"), 4096
"""Parts of the names of keys by whose value transformers makes objects when it reads a configuration, and the largest value."""

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


def read(path: Path) -> dict[str, Any]:
    """The configuration in a base's directory, without the keys that only say where it came from. Raises BaseModelError."""
    advice = "; a base needs its configuration, save it again with transformers' save_pretrained"
    config: dict[str, Any] = _public(read_json(path / CONFIG, failure=BaseModelError, advice=advice))
    require_plain(config, path / CONFIG)
    return config


def require_plain(config: Mapping[str, Any], where: Path | str) -> None:
    """Raises BaseModelError for a configuration that names other weights or code, or has a count above `MOST_COUNTED`."""
    for key, value in items(config):
        if key in ELSEWHERE and value:
            raise BaseModelError(f"{where}: {key} names other weights, another form of them, or code: save the base without it")
        if any(part in key for part in COUNTED) and isinstance(value, int | float) and value > MOST_COUNTED:
            raise BaseModelError(f"{where}: {shown(key)} is {shown(value)}, expected {MOST_COUNTED:,} at most")


def names_files(config: Mapping[str, Any]) -> list[str]:
    """The keys of a tokenizer's configuration that name other files than those beside it."""
    inputs = ("init_inputs", "tokenizer_object", "vocab", "merges")
    return [key for key, value in config.items() if value and (key.endswith(("_file", "_files")) or key in inputs)]


def read_tokenizer(path: Path) -> dict[str, Any]:
    """The tokenizer's configuration in a base's directory, without code and paths of where it was saved. Raises BaseModelError."""
    config = read_json(path / TOKENIZER_CONFIG, failure=BaseModelError)
    for key in filter(config.get, ("fast_tokenizer_files", "init_inputs")):
        message = f"{key} builds the tokenizer from other files than tokenizer.json: save it without that key"
        raise BaseModelError(f"{path / TOKENIZER_CONFIG}: {message}")
    left_out = {"auto_map", *names_files(config)}
    return {key: value for key, value in config.items() if key not in left_out}


def without_prefix_space(content: Any) -> Any:
    """A tokenizer's JSON without the keys that encoding.add_prefix_space decides. Its vocabulary is kept."""
    return without(content, {"add_prefix_space", "prepend_scheme"}.__contains__, whole="model")


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
    """Raises BaseModelError if a configuration describes a classifier far larger than the tensors of its checkpoint.

    It is built without memory for its weights. Raises what transformers raises for a configuration that describes none.
    """
    import torch
    from torch.nn.modules.module import register_module_module_registration_hook
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes, made = [prod(shape) for shape in tensors], itertools.count(1)
    held, modules = sum(sizes), MODULES[0] * len(sizes) + MODULES[1]

    def count_module(*_: Any) -> None:
        if next(made) > modules:
            raise BaseModelError(f"{CONFIG} describes more than {modules:,} modules, far more than the checkpoint has tensors")

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    hook = register_module_module_registration_hook(count_module)
    with hook, torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    count = sum(tensor.numel() for tensor in itertools.chain(model.parameters(), model.buffers()))
    if count > held + SPARE:
        raise BaseModelError(f"{CONFIG} describes {count:,} numbers, the checkpoint holds {held:,}")


def is_dropout(key: str) -> bool:
    """Whether a key of a configuration is a probability of dropout."""
    return "dropout" in key or key.endswith("pdrop")


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
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
