"""An adapter without a manifest, with labels, tokenizer, truncation, pad token and embeddings as they were saved.

It is refused, with the reason, if its files leave open what its trainer computed.
"""

import contextlib
import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import PeftModel
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel

from lorasent.adapter.architectures import Shapes
from lorasent.adapter.base import BaseCheckpoint, find, whole
from lorasent.adapter.classifier import answer, forward, has_places, inference, positions, require_usable
from lorasent.adapter.configuration import CONFIG as BASE_CONFIG
from lorasent.adapter.configuration import TOKENIZER_CONFIG, differences
from lorasent.adapter.encoding import TOKENIZER_FILE, Encoder, open_tokenizer
from lorasent.adapter.manifest import CONFIG, WEIGHTS
from lorasent.adapter.snapshot import SUPPORTED, Snapshot
from lorasent.adapter.untrusted import read_json
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.errors import AdapterError, foreign
from lorasent.recipe import settings
from lorasent.recipe.recipe import VARIANTS, Base
from lorasent.text import shown

COMPUTED = {
    "task_type", "peft_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "r",
    "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "bias", *VARIANTS,
    "modules_to_save", "init_lora_weights", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "lora_bias",
    "trainable_token_indices", "megatron_core", "qalora_group_size", "eva_config", "corda_config", "lora_ga_config", "loftq_config",
}  # fmt: skip
"""Keys of adapter_config.json that PEFT computes here as it did for the trainer, or that are checked. Others are refused if set."""

INITIALISATIONS = (True, False, "gaussian", "orthogonal", "eva", "mica")
"""Values of init_lora_weights that leave the base's weights as they are."""

VOCABULARIES = (
    TOKENIZER_CONFIG, TOKENIZER_FILE, "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model"
)  # fmt: skip
"""Files of a tokenizer that cannot be interpreted without tokenizer_config.json."""

UNLIMITED = 10**20
"""Smallest model_max_length that means "no limit" (transformers' LARGE_INTEGER)."""

ROUNDING, TOLERANCE = 1e-5, 1e-4
"""Tolerated difference of logits in `check`: absolute, or as a share of the logits' range if that is more."""

SHORT = "Great"
"""A text of few tokens, followed by padding in a batch: ConvBERT's first token sees the positions after it."""


class Named(NamedTuple):
    """What the caller names of an adapter without a manifest, instead of what its files say."""

    base: str | None = None
    revision: str | None = None
    labels: tuple[str, ...] | None = None
    max_length: int | None = None
    truncation_side: str | None = None


@dataclass(frozen=True)
class Bare:
    """What an adapter without a manifest is loaded with."""

    base: BaseCheckpoint
    settings: Base
    encoder: Encoder
    rows: int | None
    """Number of embeddings that the adapter brings; None if it takes the base's."""
    taken: str
    """Where labels, tokenizer and truncation were taken from, for the warning."""


def read(snapshot: Snapshot, shapes: Shapes, named: Named = Named()) -> Bare:  # noqa: B008 - frozen
    """What an adapter without a manifest is loaded with, given its tensors' shapes. Raises AdapterError or BaseModelError."""
    if snapshot.is_model:
        return _read(snapshot, whole(str(snapshot.path), snapshot.folder), {}, shapes, named)
    adapter, where = snapshot.json(CONFIG), snapshot.path / CONFIG
    check_peft(adapter, where)
    name = named.base or adapter.get("base_model_name_or_path")
    if not name or not isinstance(name, str):
        message = f"names no base (base_model_name_or_path is {shown(name)}); write the name or directory of one there, or --base"
        raise AdapterError(f"{where}: {message}")
    base = find(name, named.revision or (None if named.base else adapter.get("revision")), moved=True)
    return _read(snapshot, base, adapter, shapes, named)


def _read(snapshot: Snapshot, base: BaseCheckpoint, adapter: Mapping[str, Any], shapes: Shapes, named: Named) -> Bare:
    require_usable(base)
    config, where = AutoConfig.from_pretrained(base.path, trust_remote_code=False), snapshot.path / CONFIG
    beside = snapshot.json(BASE_CONFIG) if BASE_CONFIG in snapshot.hashes and not snapshot.is_model else {}
    _check_configurations(base, beside, snapshot.path / BASE_CONFIG)
    two = outline(config, 2)
    trained = adapter.get("auto_mapping")
    if isinstance(trained, dict) and (kind := trained.get("base_model_class")) not in (None, type(two).__name__):
        raise AdapterError(f"{where}: was trained as {shown(kind)}, the base is loaded as {type(two).__name__}")
    count = _count_labels(two, outline(config, 3), shapes) or int(config.num_labels)
    if count < 2:
        raise AdapterError(f"{snapshot.path / WEIGHTS}: its head has one output (a regression); {SUPPORTED}")
    classifier, origin = _named_labels(named.labels, base, count) if named.labels else _labels(base, count, beside)
    room = positions(config) if has_places(two) else None
    pad_id = {**base.config, **beside}.get("pad_token_id", config.pad_token_id)
    encoder, owner = _encoder(snapshot, base, config, room, pad_id, named)
    rows = _check_vocabulary(two, encoder, shapes, snapshot.path)
    cut = f"cut on the {encoder.tokenizer.truncation_side} to {encoder.max_length} tokens"
    dtype = str(base.config.get("dtype") or base.config.get("torch_dtype") or "float32").removeprefix("torch.")
    taken = (
        f"labels {', '.join(classifier.labels)} ({origin}), the tokenizer of {owner}, "
        f"texts {cut if encoder.max_length < UNLIMITED else 'whole'}, one label a text"
        f"{'' if dtype == 'float32' else f', weights in float32 where the base has {shown(dtype)}'}"
    )
    return Bare(base=base, settings=classifier, encoder=encoder, rows=rows, taken=taken)


def check(model: PeftModel | PreTrainedModel, encoder: Encoder, texts: Sequence[str], where: Path) -> None:
    """Raises AdapterError if logits move with padding, or without a tokenizer's further outputs (XLNet's segments)."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    texts, kind = (*texts, SHORT), type(inner).__name__
    arguments = inspect.signature(inner.forward).parameters
    encoded = encoder.encode(texts)
    rows = sorted(range(len(texts)), key=lambda row: len(encoded[row]))[:: len(texts) - 1]  # the shortest and the longest
    plain, message = [], f"{where}: {kind} cannot be called with token ids and a mask alone"
    with foreign(lambda reason: AdapterError(f"{message}: {reason}")), inference(model):
        for text in texts:
            inputs = encoder.tokenizer(text, truncation=True, return_tensors="pt")
            plain.append(model(**{key: value for key, value in inputs.items() if key in arguments}).logits.float().numpy())
        padded = forward(model, encoder.pad([encoded[row] for row in rows]))
        alone = answer(model, encoder, texts)
    expected = np.concatenate(plain)
    tolerance = max(ROUNDING, TOLERANCE * float(np.ptp(expected, axis=0).max()))
    for difference, how in (
        (alone - expected, "without the tokenizer's further inputs"),
        (padded - expected[rows], "in a padded batch"),
    ):
        moved = float(np.abs(difference).max())
        if not moved <= tolerance:
            raise AdapterError(f"{where}: {kind} gives other answers {how}: logits move by {moved:.3g}, tolerance {tolerance:.3g}")


def check_peft(adapter: Mapping[str, Any], where: Path) -> None:
    """Raises AdapterError for a configuration of PEFT that does not say all that the trainer computed."""
    for key, value in adapter.items():
        if key not in COMPUTED and value not in (None, False, {}, [], ""):
            raise AdapterError(f"{where}: {shown(key)} is set; lorasent cannot be sure to compute it as the trainer did")
    start = adapter.get("init_lora_weights", True)
    if not isinstance(start, bool | str) or start not in INITIALISATIONS:
        raise AdapterError(
            f"{where}: init_lora_weights = {shown(start)} changes the base's weights in the trainer's memory, which are not saved: "
            "save with path_initial_model_for_weight_conversion, which makes it plain LoRA"
        )
    task = adapter.get("task_type")
    if task not in (None, "SEQ_CLS"):
        raise AdapterError(f"{where}: task_type is {shown(task)}, not SEQ_CLS; {SUPPORTED}")


def _check_configurations(base: BaseCheckpoint, beside: Mapping[str, Any], where: Path) -> None:
    of_base = Path(base.name) / BASE_CONFIG
    for config, path in ((base.config, of_base), (beside, where)):
        if config.get("problem_type") not in (None, "single_label_classification"):
            raise AdapterError(f"{path}: problem_type is {shown(config['problem_type'])}; {SUPPORTED}")
    if beside.get("quantization_config"):
        raise AdapterError(f"{where}: has a quantization_config; needs a base whose weights are not quantized")
    shared = {key: beside[key] for key in (base.config.keys() & beside.keys()) - {"pad_token_id", "vocab_size"}}
    for key, (old, new) in differences({**base.config, **shared}, base.config).items():
        raise AdapterError(f"{where}: {shown(key)} is {shown(new)}, the base's {of_base} says {shown(old)}")


def outline(config: PreTrainedConfig, labels: int) -> PreTrainedModel:
    """A base's classifier with this number of labels, without memory for its weights."""
    config = copy.deepcopy(config)
    config.num_labels = labels
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)


def _count_labels(two: PreTrainedModel, three: PreTrainedModel, shapes: Shapes) -> int | None:
    """The number of labels, by the saved tensors whose shape depends on it (the head's). None if there are none."""
    more = {name: parameter.shape for name, parameter in three.named_parameters()}
    grown = [PEFT_PREFIX + name for name, parameter in two.named_parameters() if parameter.shape != more[name]]
    return next((shapes[name][0] for name in grown if shapes.get(name)), None)


def _labels(base: BaseCheckpoint, count: int, beside: Mapping[str, Any]) -> tuple[Base, str]:
    """The names that the first configuration gives to exactly this number of labels, and where they come from."""
    keys = [str(position) for position in range(count)]
    default = tuple(f"LABEL_{key}" for key in keys)
    for config, origin in ((beside, "config.json beside it"), (base.config, "the base's configuration")):
        names = config.get("id2label")
        if isinstance(names, dict) and names.keys() == {*keys} and (labels := tuple(names[key] for key in keys)) != default:
            with contextlib.suppress(ValidationError):
                return Base(model=base.name, labels=labels), origin
    return Base(model=base.name, labels=default), "no configuration names them"


def _named_labels(labels: tuple[str, ...], base: BaseCheckpoint, count: int) -> tuple[Base, str]:
    """The labels that the caller names. Raises AdapterError unless the head has as many outputs."""
    if len(labels) != count:
        raise AdapterError(f"--labels: names {len(labels)} labels, the head has {count} outputs")
    return settings.parse(Base, {"model": base.name, "labels": labels}, "--labels", AdapterError), "named by the caller"


def _encoder(
    snapshot: Snapshot, base: BaseCheckpoint, config: PreTrainedConfig, room: int | None, model_pad: Any, named: Named
) -> tuple[Encoder, str]:
    """The tokenizer as it was saved, and the name of its owner.

    It truncates to the length in tokenizer.json, else to `model_max_length`, else to `room`, the number of the base's positions.
    """
    where, saved = snapshot.path, TOKENIZER_CONFIG in snapshot.hashes
    folder, name = (snapshot.folder, where) if saved else (base.path, base.name)
    for file in VOCABULARIES:
        snapshot.require_read(file)
        if file in snapshot.hashes and not saved:
            raise AdapterError(f"{where / file}: a tokenizer without {TOKENIZER_CONFIG}; save it whole, with its save_pretrained")
    tokenizer = open_tokenizer(folder, name)
    limit = min(tokenizer.model_max_length, room or tokenizer.model_max_length)
    last = (tokenizer.backend_tokenizer.truncation or {}).get("max_length") if saved else None
    if named.truncation_side:
        tokenizer.truncation_side = named.truncation_side
    if named.max_length:
        if named.max_length > (room or named.max_length):
            raise AdapterError(f"{where}: --max-length {named.max_length}: {base.name} holds {room} positions")
        limit, last = named.max_length, None
    if last is not None and last != tokenizer.model_max_length:
        if last > (room or last):
            raise AdapterError(f"{where / TOKENIZER_FILE}: cuts to {last} tokens, {base.name} holds {room} positions")
        of_base = read_json(path) if (path := base.path / TOKENIZER_FILE).is_file() else {}
        if last == (of_base.get("truncation") or {}).get("max_length"):
            raise AdapterError(
                f"{where / TOKENIZER_FILE}: cuts to {last} tokens, as the base's does, {TOKENIZER_CONFIG} to {limit}: "
                f"name the length that the adapter was trained with: model_max_length in {TOKENIZER_CONFIG}, or --max-length"
            )
        limit = last
    pads = model_pad, tokenizer.pad_token_id
    known = isinstance(model_pad, int) and 0 <= model_pad < config.get_text_config().vocab_size
    encoder = Encoder.of(tokenizer, int(min(limit, 10 * UNLIMITED)), name, model_pad if known else None)
    if pads[0] != pads[1] and encoder.encode(["a film"])[0][-1] in pads:
        raise AdapterError(
            f"{where}: texts end with a pad token ({shown(pads[1])} or {shown(pads[0])}); which token is read is not known"
        )
    return encoder, "the adapter" if saved else f"the base {base.name}"


def _check_vocabulary(model: PreTrainedModel, encoder: Encoder, shapes: Shapes, where: Path) -> int | None:
    """The number of the adapter's embeddings, None if it has none. Raises AdapterError if a token but the pad token lacks one."""
    embeddings = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is embeddings)
    saved = (shapes.get(f"{PEFT_PREFIX}{name}{part}.weight") for part in ("", ".base_layer"))
    rows = next((shape[0] for shape in saved if shape), None)
    held = rows or embeddings.num_embeddings
    added = encoder.tokenizer.convert_ids_to_tokens(list(range(held, len(encoder.tokenizer))))
    if rows is None:
        added = [token for token in added if token != encoder.tokenizer.pad_token]
    if added:
        raise AdapterError(
            f"{where}: neither adapter nor base holds an embedding of the token {shown(added[0])}; save the embeddings, too"
        )
    return rows
