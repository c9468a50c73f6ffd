"""base + head + LoRA in memory: build it, count its parameters, answer with it.

    h = W0 x + s B A x        x: (..., in), A: (r, in), B: (out, r), W0 frozen, s = alpha / r        (Hu et al. 2021)

Every tensor that the base's checkpoint lacks (the head; DeBERTa's pooler) is trained and saved, too: PEFT saves only `classifier`
and `score`.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from lorasent.adapter.architectures import ARCHITECTURES, resolve_targets
from lorasent.adapter.base import BaseCheckpoint
from lorasent.adapter.configuration import is_dropout, require_fit
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.weights import checkpoint
from lorasent.errors import BaseModelError, RecipeError
from lorasent.recipe.recipe import Base, Lora
from lorasent.text import shown, some


class ParameterCount(NamedTuple):
    """Numbers of parameters as the reference notebook counts them: everything in PEFT's model, with its frozen copy of the head."""

    total: int
    trainable: int
    in_use: int
    """Parameters that the forward pass uses: all but the frozen copies."""


def build(base: BaseCheckpoint, settings: Base, lora: Lora, encoder: Encoder) -> PeftModel:
    """A base with a new head and new LoRA matrices, on the CPU, in float32, drawn from torch's global random state."""
    model, missing = load_base(base, settings, encoder)
    _require_room(base, model, encoder)  # a base without a table of positions takes longer texts, and was not trained on them
    return adapt(model, lora, _new_modules(model, missing))


def adapt(model: PreTrainedModel, lora: Lora, new: Sequence[str]) -> PeftModel:
    """`model` with LoRA beside its layers. The modules named in `new` are trained whole. Raises RecipeError."""
    targets = _targets(model, lora.target_modules, new)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        **lora.variants,
        target_modules=targets,
        modules_to_save=list(new),
        fan_in_fan_out=any(not isinstance(model.get_submodule(name), nn.Linear) for name in targets),
    )
    with quiet():
        return get_peft_model(model, config)


def load_base(
    base: BaseCheckpoint, settings: Base, encoder: Encoder, rows: int | None = None, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, set[str]]:
    """The base as a sequence classifier in float32, and the names of its parameters that the checkpoint lacks: they are random.

    `rows` is the number of embeddings if it is not the base's; weights are rounded to `dtype`. Raises BaseModelError.
    """
    require_usable(base)
    with loading(base):
        overrides = {} if settings.dropout is None else _dropouts(base, settings.dropout)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            base.path,
            num_labels=len(settings.labels),
            id2label=dict(enumerate(settings.labels)),
            label2id={label: position for position, label in enumerate(settings.labels)},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
            **overrides,
        )
    model = model.float()
    if mismatched := [key for key, *_, shape in report["mismatched_keys"] if tuple(shape)[:1] != (len(settings.labels),)]:
        raise BaseModelError(f"{base.name}: its config.json gives {mismatched[0]} another shape than it has in the checkpoint")
    if has_places(model):
        _require_room(base, model, encoder)
    missing = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])} & dict(model.named_parameters()).keys()
    backbone = {name for name, _ in model.named_parameters() if name.startswith(f"{model.base_model_prefix}.")}
    if backbone and missing >= backbone:
        raise BaseModelError(f"{base.name}: its checkpoint has no tensor of its model_type, {model.config.model_type}")
    base_rows = model.get_input_embeddings().num_embeddings
    size = max(base_rows if rows is None else rows, len(encoder.tokenizer))
    if size != base_rows:
        with quiet(), torch.no_grad():
            model.resize_token_embeddings(size, mean_resizing=False)
            model.get_input_embeddings().weight[base_rows:].zero_()  # of added tokens, as the pad token: equal at every load
    model.config.pad_token_id = encoder.pad_id
    return model, missing


def _require_room(base: BaseCheckpoint, model: PreTrainedModel, encoder: Encoder) -> None:
    limit = positions(model.config)
    if limit is not None and encoder.max_length > limit:
        raise BaseModelError(f"encoding.max_length = {encoder.max_length}: {base.name} holds {limit} positions")


def require_usable(base: BaseCheckpoint) -> None:
    """Raises BaseModelError unless a base's configuration describes a classifier that fits its checkpoint."""
    with loading(base):
        require_fit(base.path, [shape for shape, _ in checkpoint(base.path).values()])


@contextlib.contextmanager
def loading(base: BaseCheckpoint) -> Iterator[None]:
    """Silences transformers inside, and turns whatever it and torch raise over a base's configuration into BaseModelError."""
    try:
        with quiet():
            yield
    except Exception as error:  # noqa: BLE001 - somebody else's configuration makes them raise anything
        reason = shown(" ".join(str(error).split()) or type(error).__name__, 300).replace(str(base.path), base.name)
        raise BaseModelError(f"{base.name}: cannot be loaded as a classifier: {reason}") from None


def positions(config: PreTrainedConfig) -> int | None:
    """The number of tokens that a base has positions for, by its configuration; None if that does not say."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 1:
        return None
    row = ARCHITECTURES.get(config.model_type)
    if row is not None and row.after_pad_token:
        if not isinstance(config.pad_token_id, int):
            raise BaseModelError("config.json: pad_token_id is missing; positions begin after the pad token's id")
        return limit - config.pad_token_id - 1
    return limit


def has_places(model: PreTrainedModel) -> bool:
    """Whether a model has a table of positions, which limits its input. With relative positions it reads texts of any length."""
    tables = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    tables += [name for name, _ in model.named_buffers() if not name.endswith("position_ids")]  # GPT-J's is a buffer
    return any("position" in name or name.endswith("wpe") for name in tables)


def count_parameters(model: nn.Module) -> ParameterCount:
    """The numbers of a model's parameters; a shared one counts once."""
    parameters = dict(model.named_parameters())
    return ParameterCount(
        total=sum(parameter.numel() for parameter in parameters.values()),
        trainable=sum(parameter.numel() for parameter in parameters.values() if parameter.requires_grad),
        in_use=sum(parameter.numel() for name, parameter in parameters.items() if ".original_module." not in name),
    )


def answer(model: nn.Module, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Logits (N, L) of each text by itself, in float32, without dropout: the reference for every faster way."""
    with inference(model):
        rows = [forward(model, encoder.pad([ids])) for ids in encoder.encode(texts)]
    return np.concatenate(rows)


def forward(model: nn.Module, batch: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """Logits (B, L) in float32 of one padded batch."""
    device = next(model.parameters()).device
    inputs = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
    logits: NDArray[np.float32] = model(**inputs).logits.float().cpu().numpy()
    return logits


@contextlib.contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Turns dropout and gradients off inside, and restores the model's mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers' reports on loading: they warn of a new head, which is intended."""
    level, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # PEFT uses a name that transformers deprecates.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bar:
            transformers_logging.enable_progress_bar()


def _dropouts(base: BaseCheckpoint, probability: float) -> dict[str, float]:
    """Every dropout in the base's configuration, set to one probability."""
    config: dict[str, Any] = AutoConfig.from_pretrained(base.path, trust_remote_code=False).to_dict()
    return {key: probability for key, value in config.items() if is_dropout(key) and isinstance(value, float | int)}


def _new_modules(model: nn.Module, missing: set[str]) -> list[str]:
    """The topmost modules without any parameter in the checkpoint. Raises BaseModelError if only a part of a layer is missing."""
    new: list[str] = []
    for name, module in model.named_modules():
        parameters = {f"{name}.{parameter}" for parameter, _ in module.named_parameters()}
        if name and parameters and parameters <= missing and not any(name.startswith(f"{parent}.") for parent in new):
            new.append(name)
    if stray := [key for key in missing if not any(key.startswith(f"{name}.") for name in new)]:
        raise BaseModelError(f"the base's checkpoint lacks {some(sorted(stray))}: part of a layer cannot be trained anew")
    return new


def linear_layers(model: nn.Module) -> dict[str, nn.Linear | Conv1D]:
    """The linear layers of a model by full name. GPT-2's Conv1D is one, with its weight transposed."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}


def _targets(model: nn.Module, wanted: Sequence[str], new: Sequence[str]) -> list[str]:
    """Full names of the layers that get LoRA. Modules that are trained whole get none. Raises RecipeError."""
    layers = [name for name in linear_layers(model) if not any(f"{name}.".startswith(f"{head}.") for head in new)]
    selection = resolve_targets(layers, wanted)
    for target, names in selection.items():
        if not names and target != "all-linear":
            leaves = sorted({name.rpartition(".")[2] for name in layers})
            raise RecipeError(f"lora.target_modules: no linear layer is called {target}; this base has {', '.join(leaves)}")
    return sorted({name for names in selection.values() for name in names})
