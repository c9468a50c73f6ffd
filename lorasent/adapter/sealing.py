"""Manifests for adapters that another script trained: sealed in the trainer's memory, or adopted from a directory.

The probe logits of a sealed adapter are what the trainer's own memory answered, so that whatever goes wrong on the way to the disk
is found later, as for lorasent's own adapters. Those of an adopted one prove that it answers as on the day of adoption.
"""

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel, PeftType, get_peft_model_state_dict
from torch import nn
from transformers import TrainerCallback

from lorasent import files
from lorasent.adapter import weights
from lorasent.adapter.bare import Bare, Named
from lorasent.adapter.base import INDEX
from lorasent.adapter.classifier import answer, count_parameters, quiet
from lorasent.adapter.directory import PROBES, load_bare
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.manifest import CONFIG, MANIFEST, read_json
from lorasent.adapter.snapshot import MODEL_CONFIG, SUPPORTED, Snapshot, of
from lorasent.adapter.writing import describe, finish, staged, write_config
from lorasent.data.reviews import read
from lorasent.errors import AdapterError, LorasentError
from lorasent.text import shown, some


def seal(
    model: Any,
    tokenizer: Any,
    path: str | Path,
    *,
    labels: Sequence[str] | None = None,
    max_length: int | None = None,
    truncation_side: str | None = None,
    train: Any = None,
    validation: Any = None,
) -> Path:
    """Writes the directory of an adapter in the trainer's memory, with PEFT's files and its manifest; returns its path.

    `model` is a PeftModel with LoRA for sequence classification, `tokenizer` the one that encoded the training texts. Labels are
    taken from the model's configuration, length and side of the truncation from the tokenizer, unless they are named. `train`
    and `validation` are the reviews that it learnt from, as `lorasent.read` takes them: a gate on them says so. Raises
    LorasentError.
    """
    path, model = files.path_of(path, "the adapter's directory", AdapterError), getattr(model, "module", model)
    name, config = _require_sealable(model), model.get_base_model().config
    names = tuple(labels or (str(config.id2label[place]) for place in range(config.num_labels)))
    named = Named(None, getattr(config, "_commit_hash", None), names, max_length, truncation_side)
    named_splits = {split: data for split, data in (("train", train), ("validation", validation)) if data is not None}
    data = {split: read(reviews, names).record for split, reviews in named_splits.items()}
    with staged(path) as staging, tempfile.TemporaryDirectory(dir=files.private()) as folder:
        with quiet():
            model.save_pretrained(folder, safe_serialization=True, selected_adapters=[name])
        saved = Path(folder) if name == "default" else Path(folder) / name
        tokenizer.save_pretrained(saved)
        try:
            loaded, plain = load_bare(Snapshot(saved, path), named)
        except LorasentError as error:
            kept = path.with_name(f"{path.name}.unsealed")
            shutil.copytree(saved, kept, dirs_exist_ok=True)
            raise type(error)(f"{error}; what PEFT saved is in {kept}") from None
        encoder = Encoder.of(copy.deepcopy(tokenizer), plain.encoder.max_length, path, plain.encoder.pad_id)
        encoder.tokenizer.truncation_side = plain.encoder.tokenizer.truncation_side
        about = {"origin": "sealed", "data": data, "peft": _config(model, name)}
        _write(staging, Snapshot(saved, path), loaded.model, plain, encoder, _answers(model, encoder), about, _dtype(model))
    return path


class SealCallback(TrainerCallback):  # type: ignore[misc]
    """Seals the adapter at the end of `Trainer.train`, after the best checkpoint was loaded. Options as of `seal`.

    `path` is the adapter's new directory. The tokenizer is the Trainer's processing_class unless it is given.
    """

    def __init__(self, path: str | Path, tokenizer: Any = None, **options: Any) -> None:
        self.path, self.tokenizer, self.options = path, tokenizer, options
        if os.path.lexists(path):  # said now, not after the training
            raise AdapterError(f"{path}: exists already; choose another directory or remove it")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002 - as transformers calls it
        """Seals, in the main process only."""
        if state.is_world_process_zero:
            tokenizer = self.tokenizer if self.tokenizer is not None else kwargs.get("processing_class")
            if tokenizer is None:
                raise AdapterError("SealCallback: needs the tokenizer: give it, or processing_class to the Trainer")
            seal(kwargs["model"], tokenizer, self.path, **self.options)


def adopt(
    adapter: str | Path,
    out: str | Path,
    *,
    base: str | None = None,
    labels: Sequence[str] | None = None,
    max_length: int | None = None,
    truncation_side: str | None = None,
) -> Path:
    """Writes a copy of an adapter's directory with a manifest, whose origin is "adopted", to `out`, and returns its path.

    What is not named is taken from the files of the adapter and its base. Raises LorasentError, where one is left open.
    """
    snapshot, out = of(files.path_of(adapter, "an adapter's directory", AdapterError)), Path(out)
    if MANIFEST in {*snapshot.hashes, *snapshot.refused}:
        raise AdapterError(f"{snapshot.path}: has a manifest ({MANIFEST}) already; judge it as it is")
    with staged(out) as staging:
        _adopt(staging, snapshot, Named(base, None, tuple(labels) if labels else None, max_length, truncation_side), {})
    return out


def adopted(snapshot: Snapshot) -> Snapshot:
    """A private copy of an adapter with a manifest that exists for one verdict; messages call it by the adapter's path."""
    folder = Path(tempfile.mkdtemp(dir=files.private())) / "adapter"
    _adopt(folder, snapshot, Named(), {"in_memory": True})
    copied = Snapshot(folder, snapshot.path)
    shutil.rmtree(folder.parent, ignore_errors=True)
    return copied


def _adopt(folder: Path, snapshot: Snapshot, named: Named, about: Mapping[str, Any]) -> None:
    loaded, plain = load_bare(snapshot, named)
    about = {"origin": "adopted", "not_read": sorted(shown(name, 300) for name in snapshot.refused), **about}
    _write(folder, snapshot, loaded.model, plain, plain.encoder, answer(loaded.model, loaded.encoder, PROBES), about)


def _require_sealable(model: Any) -> str:
    """The name of the adapter that is active. Raises AdapterError unless the manifest can say all that was trained."""
    if not isinstance(model, PeftModel):
        raise AdapterError(f"seal: needs a PeftModel, the model that get_peft_model gave, found {type(model).__name__}")
    if len(model.active_adapters) != 1:
        raise AdapterError(f"seal: needs one active adapter, found {some(model.active_adapters)}: use set_adapter")
    [name] = model.active_adapters
    kind, config = model.peft_config[name].peft_type, model.get_base_model().config
    if kind != PeftType.LORA:
        raise AdapterError(f"seal: peft_type is {shown(kind.value)}; {SUPPORTED}")
    if not type(model.get_base_model()).__name__.endswith("ForSequenceClassification") or config.num_labels < 2:
        kind = f"{type(model.get_base_model()).__name__} of {config.num_labels} outputs"
        raise AdapterError(f"seal: found {kind}; {SUPPORTED}")
    saved = {tensor.data_ptr() for tensor in get_peft_model_state_dict(model, adapter_name=name).values()}
    lost = [key for key, value in model.named_parameters() if value.requires_grad and value.data_ptr() not in saved]
    if lost:
        raise AdapterError(f"seal: PEFT does not save what was trained: {some(lost)}; name its modules in modules_to_save")
    return str(name)


def _config(model: PeftModel, name: str) -> dict[str, Any]:
    """PEFT's configuration in memory, as JSON."""
    config: dict[str, Any] = json.loads(json.dumps(model.peft_config[name].to_dict(), default=sorted))
    return config


def _dtype(model: PeftModel) -> str:
    """The type of the base's weights in memory. Raises AdapterError for a quantized base."""
    kinds = {str(value.dtype).removeprefix("torch.") for value in model.get_base_model().get_input_embeddings().parameters()}
    kinds |= {str(value.dtype).removeprefix("torch.") for key, value in model.named_parameters() if ".base_layer." in key}
    if len(kinds) != 1 or not kinds <= {"float32", "float16", "bfloat16"}:
        raise AdapterError(
            f"seal: the base's weights are {some(sorted(kinds))}; needs a base of one floating-point type, not quantized"
        )
    return kinds.pop()


def _answers(model: PeftModel, encoder: Encoder) -> NDArray[np.float32]:
    """The logits of PROBES by the model in memory, in float32."""
    if any(value.is_floating_point() and value.dtype != torch.float32 for value in model.parameters()):
        model = copy.deepcopy(model).float()
    return answer(model, encoder, PROBES)


def _write(
    folder: Path,
    snapshot: Snapshot,
    model: nn.Module,
    plain: Bare,
    encoder: Encoder,
    logits: NDArray[np.float32],
    about: Mapping[str, Any],
    dtype: str = "float32",
) -> None:
    """Writes the directory: the saved weights and configuration, the tokenizer, and the manifest."""
    folder.mkdir(exist_ok=True)
    headers = [weights.header(snapshot.folder / file) for file in snapshot.weights]
    trained = sum(prod(shape) for header in headers for shape, _ in header.values())
    for file in (*snapshot.weights, *((MODEL_CONFIG, INDEX) if snapshot.is_model else ())):
        if file in snapshot.hashes:
            shutil.copyfile(snapshot.folder / file, folder / file)
    if not snapshot.is_model:
        write_config(folder, plain.base, snapshot.json(CONFIG))
    manifest = {
        **describe(plain.base, encoder, plain.settings.labels, logits, dtype),
        "peft": {} if snapshot.is_model else read_json(folder / CONFIG),
        "encoding": {
            "max_length": encoder.max_length,
            "truncation_side": encoder.tokenizer.truncation_side,
            "pad_token_id": encoder.pad_id,
        },
        "parameters": count_parameters(model)._replace(trainable=trained)._asdict(),
        **({"embeddings": plain.rows} if plain.rows else {}),
        **about,
    }
    finish(folder, encoder, manifest)
