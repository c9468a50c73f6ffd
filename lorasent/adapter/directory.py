"""Loads an adapter's directory and verifies it: files, base, tokenizer, and the logits of all together.

An adapter is a directory in PEFT's own layout plus `lorasent.json`, its manifest. Only safetensors and JSON are read.
"""

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoConfig, PreTrainedModel

from lorasent.adapter import bare, configuration, weights
from lorasent.adapter.architectures import Shapes
from lorasent.adapter.base import BaseCheckpoint, find, whole
from lorasent.adapter.classifier import answer, linear_layers, load_base, quiet, require_usable
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest, verify
from lorasent.adapter.snapshot import SUPPORTED, Snapshot, of
from lorasent.errors import AdapterError, foreign
from lorasent.recipe.recipe import Base
from lorasent.text import MESSAGE, shown, some

SAMPLE_REVIEWS = ("it was a good movie", "good god,thats the worst film", "better than first film", "not worth the time")
"""The four reviews of the reference notebook, answered before and after training."""

PROBES = (
    *SAMPLE_REVIEWS,
    "I can't say I was bored, but the naïve ending -- 2/10 -- was AWFUL!",
    "The first hour is dull. " * 120 + "And then it turns into the best film I have seen this year.",
)
"""Texts whose logits a manifest keeps. The last is truncated, and its logits differ if the wrong side is cut."""

PROBE_TOLERANCE = 1e-4
"""Tolerated difference of logits. Machines and thread counts move them by about 1e-5 in float32, a fault by 1e-2 and more."""

REPETITION = re.compile(r"[*+{]|(?<![*+}?(])\?")
"""A repetition in a regular expression."""

MOST_REPETITIONS = 5
"""Largest number of repetitions in a pattern of PEFT's configuration."""

ENDLESS = re.compile(r"\)[*+{]")
"""A repetition of a group. The group may hold a repetition too, and matching may then take exponential time."""


class UnverifiedAdapterWarning(UserWarning):
    """An adapter without a manifest was loaded."""


class Adapter(NamedTuple):
    """An adapter, or a whole model, in memory, with its encoder and its labels."""

    model: PeftModel | PreTrainedModel
    """The base with LoRA, or a whole model."""
    encoder: Encoder
    labels: tuple[str, ...]


def load(path: str | Path | Snapshot) -> Adapter:
    """Loads an adapter and verifies it: files and base by hash, the tokenizer by behaviour, all together by the probe logits.

    An adapter without a manifest, which plain PEFT wrote, is loaded with UnverifiedAdapterWarning. Raises AdapterError if the
    directory is not an adapter or differs from its manifest, BaseModelError if the base is not available.
    """
    snapshot = of(path)
    with quiet(), foreign(lambda reason: AdapterError(f"{snapshot.path}: cannot be loaded: {reason}")):
        return _load(snapshot)


def _load(snapshot: Snapshot) -> Adapter:
    where = snapshot.path
    if snapshot.is_model:
        return _load_model(snapshot)
    if WEIGHTS not in snapshot.hashes and (pickles := [name for name in snapshot if name.endswith(".bin")]):
        raise AdapterError(f"{where}: holds a pickle ({shown(pickles[0])}), which is never loaded; needs {WEIGHTS}")
    snapshot.require(CONFIG, WEIGHTS)
    kind = snapshot.json(CONFIG).get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{where / CONFIG}: peft_type is {shown(kind)}; {SUPPORTED}")
    if MANIFEST not in {*snapshot.hashes, *snapshot.refused}:
        return _load_bare(snapshot)
    manifest = verify(snapshot)
    if tuple(manifest.labels) != manifest.settings.labels:
        trained = some(manifest.settings.labels)
        raise AdapterError(f"{where / MANIFEST}: labels are {some(manifest.labels)}, its recipe trained {trained}")
    pinned = manifest.base
    base = find(pinned.name, pinned.revision, pinned.sha256, where.absolute().parent)
    if pinned.config and (changed := configuration.differences(base.config, pinned.config)):
        message = f"its base {shown(base.name)} has another configuration than when the adapter was trained"
        raise AdapterError(f"{where}: {message}: {configuration.summary(changed)}; restore the base's config.json")
    return _verified(assemble(snapshot, base, manifest), manifest, where)


def _load_model(snapshot: Snapshot) -> Adapter:
    """A whole model. Without a manifest, a warning says so."""
    if snapshot.is_bare:
        return _load_bare(snapshot)
    manifest = verify(snapshot)
    base = whole(str(snapshot.path), snapshot.folder, manifest.base.sha256)
    return _verified(assemble(snapshot, base, manifest), manifest, snapshot.path)


def _verified(adapter: Adapter, manifest: Manifest, where: Path) -> Adapter:
    """The adapter, if its tokenizer and its answers to the probes are those of its manifest. Raises AdapterError."""
    probes = manifest.probes
    if adapter.encoder.fingerprint != manifest.tokenizer_sha256:
        raise AdapterError(f"{where}: the tokenizer does not encode as it did when the adapter was trained")
    drift = np.abs(answer(adapter.model, adapter.encoder, probes.texts) - np.array(probes.logits)).max(axis=1)
    if not (drift <= PROBE_TOLERANCE).all():
        moved = f"logits of probe {int(np.argmax(drift))} moved by {drift.max():.3g}, tolerance {PROBE_TOLERANCE:g}"
        raise AdapterError(f"{where}: does not answer as it did when it was trained: {moved}")
    return adapter


def _load_bare(snapshot: Snapshot) -> Adapter:
    adapter, plain = load_bare(snapshot)
    message = (
        f"{snapshot.path}: no {MANIFEST}: files, base weights, tokenizer, truncation side, labels and answers cannot be verified; "
        f"lorasent uses {plain.taken}"
    )
    warnings.warn(shown(message, MESSAGE), UnverifiedAdapterWarning, stacklevel=4)
    return adapter


def load_bare(snapshot: Snapshot, named: bare.Named = bare.Named()) -> tuple[Adapter, bare.Bare]:  # noqa: B008 - frozen
    """An adapter without a manifest, and what it was loaded with, of which the caller may name some. Raises LorasentError."""
    path = snapshot.path
    with foreign(lambda reason: AdapterError(f"{path / WEIGHTS}: not a safetensors file that can be read: {reason}")):
        headers = (weights.header(snapshot.folder / file) for file in snapshot.weights)
        shapes = {name: shape for header in headers for name, (shape, _) in header.items()}
    plain = bare.read(snapshot, shapes, named)
    adapter = _assemble(snapshot, plain.base, plain.settings, plain.encoder, plain.rows)
    bare.check(adapter.model, adapter.encoder, PROBES, path)
    return adapter, plain


def assemble(snapshot: Snapshot, base: BaseCheckpoint, manifest: Manifest) -> Adapter:
    """An adapter's weights and tokenizer on its base, without the proof of `load`. Raises AdapterError if they do not fit."""
    saved = configuration.TOKENIZER_CONFIG in snapshot.hashes
    folder, name = (snapshot.folder, snapshot.path) if saved else (base.path, base.name)
    return _assemble(
        snapshot, base, manifest.settings, Encoder(folder, manifest.encoding, name), manifest.embeddings, manifest.base.dtype
    )


def _assemble(
    snapshot: Snapshot, base: BaseCheckpoint, settings: Base, encoder: Encoder, rows: int | None = None, dtype: str = "float32"
) -> Adapter:
    path = snapshot.path
    model, random = load_base(base, settings, encoder, rows, getattr(torch, dtype))
    if snapshot.is_model:
        if random:
            raise AdapterError(f"{path}: lacks {some(sorted(random))}: they would be random at every load", "head-missing")
        return Adapter(model.eval(), encoder, settings.labels)
    with quiet(), foreign(lambda reason: AdapterError(f"{path}: cannot be loaded onto {base.name}: {reason}")):
        weights.bounded(snapshot.folder / WEIGHTS, base.path)
        tensors: dict[str, torch.Tensor] = load_file(snapshot.folder / WEIGHTS)
        if not_finite := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            message = f"{some(not_finite)}: holds numbers that are not finite; train again, the run diverged"
            raise AdapterError(f"{path / WEIGHTS}: {message}", "not-finite")
        config = _config(snapshot, base)
        _require_bounded(config, model, path / CONFIG)
        adapted = get_peft_model(model, config)
        # PEFT saves the embeddings if their number was changed, or if they are trained.
        state = adapted.state_dict()
        known = [get_peft_model_state_dict(adapted, state, save_embedding_layers=saved).keys() for saved in (False, True)]
        if tensors.keys() not in known:
            missing, extra = sorted(known[0] - tensors.keys()), sorted(tensors.keys() - known[0])
            head = any(".lora_" not in name for name in missing)
            cause = "head-missing" if head else "tensor-missing" if missing else "tensor-unexpected"
            raise AdapterError(f"{path / WEIGHTS}: lacks {some(missing)}, holds unexpected {some(extra)}", cause)
        if lost := sorted(random - {name.removeprefix(weights.PEFT_PREFIX) for name in tensors}):
            message = f"neither it nor the base {base.name} holds {some(lost)}: they would be random at every load"
            raise AdapterError(f"{path / WEIGHTS}: {message}; train with modules_to_save naming their modules", "head-missing")
        set_peft_model_state_dict(adapted, tensors)
    adapted.eval()
    return Adapter(adapted, encoder, settings.labels)


def implied(snapshot: Snapshot, base: BaseCheckpoint, manifest: Manifest) -> list[Shapes]:
    """The tensors that PEFT's configuration implies, with their shapes: without the embeddings, and with them.

    Of a whole model, which must load, the tensors that it holds. An adapter's is built without memory for its weights. Raises
    LorasentError.
    """
    path = snapshot.path
    if snapshot.is_model:
        assemble(snapshot, base, manifest)
        shapes = {name: shape for name, (shape, _) in weights.checkpoint(snapshot.folder).items()}
        return [shapes, shapes]
    bare.check_peft(snapshot.json(CONFIG), path / CONFIG)
    require_usable(base)
    with quiet(), foreign(lambda reason: AdapterError(f"{path / CONFIG}: cannot be understood: {reason}")):
        model = bare.outline(AutoConfig.from_pretrained(base.path, trust_remote_code=False), len(manifest.labels))
        config = _config(snapshot, base)
        _require_bounded(config, model, path / CONFIG)
        with torch.device("meta"):
            if manifest.embeddings:
                model.resize_token_embeddings(manifest.embeddings, mean_resizing=False)
            adapted = get_peft_model(model, config)
        states = (get_peft_model_state_dict(adapted, save_embedding_layers=saved) for saved in (False, True))
        return [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]


def _config(snapshot: Snapshot, base: BaseCheckpoint) -> Any:
    """PEFT's configuration, with the place where the base is loaded from; the file has the base's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's warning quotes unknown keys, which somebody else wrote
        config = PeftConfig.from_pretrained(snapshot.folder)
    config.base_model_name_or_path = str(base.path)
    return config


def _require_bounded(config: Any, model: PreTrainedModel, where: Path) -> None:
    """Raises AdapterError for a configuration that could make PEFT take unbounded memory or time.

    PEFT searches for its patterns in the names of modules: nested repetitions, and many side by side, take exponential time.
    """
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    widest = max((max(layer.weight.shape) for layer in linear_layers(model).values()), default=1)
    if large := [rank for rank in (config.r, *ranks.values()) if rank > widest]:
        raise AdapterError(f"{where}: r is {shown(large[0])}, layers of this base are at most {widest} wide")
    if config.layer_replication:
        raise AdapterError(f"{where}: layer_replication asks for another base than the one that is named")
    modules = (config.target_modules, config.exclude_modules, config.layers_pattern)
    for pattern in (*ranks, *alphas, *(names for names in modules if isinstance(names, str))):
        if len(REPETITION.findall(pattern)) > MOST_REPETITIONS or ENDLESS.search(pattern):
            raise AdapterError(f"{where}: the pattern {shown(pattern)} may take exponential time; name modules instead")
