"""Faults of exporters and of settings, planted in the files of a healthy adapter; the docstring is the fault's description."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from lorasent.adapter.manifest import CONFIG, WEIGHTS, read_json
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.errors import ProveError
from lorasent.prove.faulty_copy import FaultyCopy, Tensors

TOKENIZER = "tokenizer.json"


def _lora(tensors: Mapping[str, torch.Tensor], part: str = ".lora_") -> list[str]:
    return sorted(name for name in tensors if part in name)


def _change_head(copy: FaultyCopy, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Changes the tensors of the output layer: those with a row for each label, LoRA aside."""
    labels = len(copy.manifest["labels"])
    copy.change_weights(
        lambda tensors: tensors.update(
            {name: change(tensors[name]) for name in sorted(tensors) if ".lora_" not in name and len(tensors[name]) == labels}
        )
    )


def _layer(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """The B matrix of a layer in the middle."""
    names = _lora(tensors, ".lora_B")
    return [names[len(names) // 2]]


def head_missing(copy: FaultyCopy) -> None:
    """The head was not saved."""
    copy.change_weights(lambda tensors: [tensors.pop(name) for name in list(tensors) if ".lora_" not in name])


def head_random(copy: FaultyCopy) -> None:
    """The head was saved as it was initialised, not as it was trained."""
    _change_head(copy, lambda tensor: torch.from_numpy(copy.random.normal(0, 0.02, tensor.shape).astype(np.float32)))


def head_swapped(copy: FaultyCopy) -> None:
    """The head's rows are in another order."""
    _change_head(copy, lambda tensor: tensor.flip(0))


def labels_swapped(copy: FaultyCopy) -> None:
    """The configuration names the labels in another order."""
    copy.set_labels(copy.manifest["labels"][::-1])


def adapter_zeroed(copy: FaultyCopy) -> None:
    """Every B of LoRA is zero, as before training."""
    copy.change_weights(lambda tensors: [tensors[name].zero_() for name in _lora(tensors, ".lora_B")])


def layer_zeroed(copy: FaultyCopy) -> None:
    """One layer's LoRA is zero."""
    copy.change_weights(lambda tensors: [tensors[name].zero_() for name in _layer(tensors)])


def layers_permuted(copy: FaultyCopy) -> None:
    """Each layer has the LoRA matrices of the next layer of the same shape."""

    def change(tensors: Tensors) -> None:
        layers: dict[Any, list[str]] = {}
        for name in _lora(tensors, ".lora_B"):
            shapes = tensors[name.replace(".lora_B", ".lora_A")].shape, tensors[name].shape
            layers.setdefault(shapes, []).append(name)
        original = dict(tensors)
        for names in layers.values():
            for target, source in zip(names, [*names[1:], names[0]], strict=True):
                for part in (".lora_B", ".lora_A"):
                    tensors[target.replace(".lora_B", part)] = original[source.replace(".lora_B", part)].clone()

    copy.change_weights(change)


def pairs_mixed(copy: FaultyCopy) -> None:
    """A and B are of two adapters."""
    if copy.other == copy.healthy:
        raise ProveError("needs a second adapter (--retrain)")
    other_adapter = load_file(copy.other / WEIGHTS)
    copy.change_weights(lambda tensors: tensors.update({name: other_adapter[name] for name in _lora(tensors, ".lora_A")}))


def alpha_changed(copy: FaultyCopy) -> None:
    """PEFT's configuration has twice the alpha."""
    copy.set_json(CONFIG, lora_alpha=2 * read_json(copy.path / CONFIG)["lora_alpha"])


def rank_stabilised(copy: FaultyCopy) -> None:
    """use_rslora is not what the recipe says, so LoRA is scaled by alpha / sqrt(r) instead of alpha / r, or the other way round."""
    copy.set_json(CONFIG, use_rslora=not read_json(copy.path / CONFIG).get("use_rslora"))


def target_left_out(copy: FaultyCopy) -> None:
    """One of the layers that the recipe names was not adapted."""
    targets = read_json(copy.path / CONFIG)["target_modules"]
    if len(targets) == 1:  # the one name stands for every layer: name each
        names = _lora(load_file(copy.path / WEIGHTS))
        targets = sorted({name.removeprefix(PEFT_PREFIX).partition(".lora_")[0] for name in names})
    *kept, lost = targets
    copy.change_weights(lambda tensors: [tensors.pop(name) for name in _lora(tensors) if f".{lost}.lora_" in f".{name}"])
    copy.set_json(CONFIG, target_modules=kept)


def weights_doubled(copy: FaultyCopy) -> None:
    """LoRA was added twice."""
    copy.change_weights(lambda tensors: [tensors[name].mul_(2) for name in _lora(tensors, ".lora_B")])


def not_a_number(copy: FaultyCopy) -> None:
    """One weight is NaN."""
    copy.change_weights(lambda tensors: tensors[_layer(tensors)[0]].view(-1)[:1].fill_(float("nan")))


def four_bits(copy: FaultyCopy) -> None:
    """Every matrix was rounded to four bits."""

    def change(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim == 2 and tensor.any():
                step = tensor.abs().max() / 7  # levels of either sign
                tensors[name] = (tensor / step).round() * step

    copy.change_weights(change)


def overconfident(copy: FaultyCopy) -> None:
    """Every logit is four times what it was."""
    _change_head(copy, lambda tensor: tensor * 4)


def another_base(copy: FaultyCopy) -> None:
    """It was trained on a base whose weights are a little different."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        noise = copy.random.normal(0, 0.05 * float(tensor.float().std()) if tensor.numel() > 1 else 0.0, tensor.shape)
        return tensor + torch.from_numpy(noise).to(tensor.dtype) if tensor.is_floating_point() else tensor

    copy.change_base("another-base", lambda tensors: {name: change(tensor) for name, tensor in tensors.items()})


def larger_base(copy: FaultyCopy) -> None:
    """It was put onto a base of twice the layers, each of them repeated."""

    def double(tensors: Tensors) -> Tensors:
        doubled = {name: tensor.clone() for old, tensor in tensors.items() for name in _twice(old)}
        if not numbers or len(doubled) == len(tensors):
            raise ProveError(f"{copy.base.name}: its layers are not numbered, so no larger base can be made of it")
        return doubled

    config = read_json(copy.base.path / "config.json")
    numbers = {key: 2 * config[key] for key in ("num_hidden_layers", "n_layers", "n_layer") if key in config}
    copy.change_weights(lambda tensors: tensors.update(double(tensors)))
    targets = read_json(copy.path / CONFIG)["target_modules"]
    copy.set_json(CONFIG, target_modules=sorted({name for target in targets for name in _twice(target)}))
    copy.change_base("larger-base", double, **numbers)


def _twice(name: str) -> list[str]:
    """The two names of a layer's tensor in the larger base; any other name unchanged."""
    match = re.search(r"(?:^|\.)(?:layer|layers|h)\.(\d+)(?:\.|$)", name)
    if match is None:
        return [name]
    start, end = match.span(1)
    return [f"{name[:start]}{2 * int(match[1]) + number}{name[end:]}" for number in (0, 1)]


def case_kept(copy: FaultyCopy) -> None:
    """Texts are no longer lower-cased."""

    def keep_case(part: dict[str, Any]) -> dict[str, Any]:
        if "lowercase" in part:
            part["lowercase"] = False
        if "normalizers" in part:
            part["normalizers"] = [entry for entry in part["normalizers"] if entry["type"] != "Lowercase"]
        return part

    normalizer = json.dumps(read_json(copy.path / TOKENIZER).get("normalizer"))
    copy.set_json(TOKENIZER, normalizer=json.loads(normalizer, object_hook=keep_case))
    copy.set_json("tokenizer_config.json", do_lower_case=False)


def other_side(copy: FaultyCopy) -> None:
    """Reviews are cut on the other side."""
    copy.set_encoding(truncation_side="right" if copy.parsed.encoding.truncation_side == "left" else "left")


def shorter(copy: FaultyCopy) -> None:
    """Reviews are cut to 128 tokens, or to half of what they were."""
    length = copy.parsed.encoding.max_length
    copy.set_encoding(max_length=128 if length > 128 else max(length // 2, 4))


def longer(copy: FaultyCopy) -> None:
    """Reviews are cut to twice as many tokens."""
    copy.set_encoding(max_length=2 * copy.parsed.encoding.max_length)


def no_special_tokens(copy: FaultyCopy) -> None:
    """The tokenizer no longer adds its special tokens."""
    copy.set_json(TOKENIZER, post_processor=None)


def nothing(_: FaultyCopy) -> None:
    """The files are sound."""
