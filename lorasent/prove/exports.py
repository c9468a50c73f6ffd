"""Faults of exporters and of settings, each planted in the files of a healthy adapter."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from lorasent.adapter.manifest import CONFIG, WEIGHTS, read_json
from lorasent.errors import ProofError
from lorasent.prove.bench import Bench, Tensors, base_tensors, rebuilt

LEVELS = 7
"""Of either sign: four bits."""

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def _lora(tensors: Mapping[str, torch.Tensor], part: str = ".lora_") -> list[str]:
    return sorted(name for name in tensors if part in name)


def _heads(tensors: Mapping[str, torch.Tensor], labels: int) -> list[str]:
    """The output layer: what has a row for each label, LoRA aside."""
    return sorted(name for name, tensor in tensors.items() if ".lora_" not in name and len(tensor) == labels)


def _layer(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """LoRA's B of one layer in the middle."""
    names = _lora(tensors, ".lora_B")
    return [names[len(names) // 2]]


def head_missing(bench: Bench) -> None:
    """The head was not saved."""
    bench.weights(lambda found: [found.pop(name) for name in list(found) if ".lora_" not in name])


def head_random(bench: Bench) -> None:
    """The head was saved as it was initialised, not as it was trained."""

    def change(found: Tensors) -> None:
        for name in _heads(found, len(bench.recipe.base.labels)):
            found[name] = torch.from_numpy(bench.random.normal(0, 0.02, found[name].shape).astype(np.float32))

    bench.weights(change)


def head_swapped(bench: Bench) -> None:
    """The head's rows are in another order."""

    def change(found: Tensors) -> None:
        for name in _heads(found, len(bench.recipe.base.labels)):
            found[name] = found[name].flip(0)

    bench.weights(change)


def labels_swapped(bench: Bench) -> None:
    """The configuration names the labels in another order."""
    bench.set_recipe(base__labels=list(reversed(bench.recipe.base.labels)))


def adapter_zeroed(bench: Bench) -> None:
    """Every B of LoRA is zero, as before training."""
    bench.weights(lambda found: [found[name].zero_() for name in _lora(found, ".lora_B")])


def layer_zeroed(bench: Bench) -> None:
    """One layer's LoRA is zero."""
    bench.weights(lambda found: [found[name].zero_() for name in _layer(found)])


def layers_permuted(bench: Bench) -> None:
    """LoRA's pairs of one shape are handed to each other's layers, round about."""

    def change(found: Tensors) -> None:
        pairs: dict[Any, list[str]] = {}
        for b in _lora(found, ".lora_B"):
            a = b.replace(".lora_B", ".lora_A")
            pairs.setdefault((found[a].shape, found[b].shape), []).append(b)
        moved = dict(found)
        for names in pairs.values():
            for to, source in zip(names, [*names[1:], names[0]], strict=True):
                for part in (".lora_B", ".lora_A"):
                    found[to.replace(".lora_B", part)] = moved[source.replace(".lora_B", part)].clone()

    bench.weights(change)


def pairs_mixed(bench: Bench) -> None:
    """A and B are of two adapters."""
    others = load_file(bench.other / WEIGHTS)
    bench.weights(lambda found: found.update({name: others[name] for name in _lora(found, ".lora_A")}))


def alpha_changed(bench: Bench) -> None:
    """PEFT's configuration has twice the alpha."""
    bench.json(CONFIG, lora_alpha=2 * bench.recipe.lora.alpha)


def rank_stabilised(bench: Bench) -> None:
    """use_rslora is on where the recipe has it off, or off: LoRA is scaled by alpha / sqrt(r), or by alpha / r."""
    bench.json(CONFIG, use_rslora=not bench.recipe.lora.use_rslora)


def target_left_out(bench: Bench) -> None:
    """One of the layers that the recipe names was not adapted."""
    kept = read_json(bench.path / CONFIG)["target_modules"]
    tensors = load_file(bench.path / WEIGHTS)
    lost = kept[-1]
    if len(kept) == 1:  # the one name stands for every layer: take the last layer's
        lost = _lora(tensors, ".lora_A")[-1].removeprefix("base_model.model.").partition(".lora_")[0]
        layers = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in _lora(tensors)}
        kept = [*sorted(layers), lost]
    bench.weights(lambda found: [found.pop(name) for name in _lora(found) if f".{lost}.lora_" in f".{name}"])
    bench.json(CONFIG, target_modules=[name for name in kept if name != lost])


def weights_doubled(bench: Bench) -> None:
    """LoRA was added twice."""
    bench.weights(lambda found: [found[name].mul_(2) for name in _lora(found, ".lora_B")])


def not_a_number(bench: Bench) -> None:
    """One weight is NaN."""
    bench.weights(lambda found: found[_layer(found)[0]].view(-1)[:1].fill_(float("nan")))


def four_bits(bench: Bench) -> None:
    """Every matrix was rounded to four bits."""

    def change(found: Tensors) -> None:
        for name, tensor in found.items():
            if tensor.ndim == 2 and tensor.any():
                step = tensor.abs().max() / LEVELS
                found[name] = (tensor / step).round() * step

    bench.weights(change)


def overconfident(bench: Bench) -> None:
    """Every logit is four times what it was."""

    def change(found: Tensors) -> None:
        for name in _heads(found, len(bench.recipe.base.labels)):
            found[name] = found[name] * 4

    bench.weights(change)


def another_base(bench: Bench) -> None:
    """It was trained on a base whose weights are a little different."""

    def change(_: str, tensor: torch.Tensor) -> torch.Tensor:
        noise = bench.random.normal(0, 0.05 * float(tensor.float().std()) if tensor.numel() > 1 else 0.0, tensor.shape)
        return tensor + torch.from_numpy(noise).to(tensor.dtype) if tensor.is_floating_point() else tensor

    bench.set_base(rebuilt(bench, "another-base", lambda found: {name: change(name, one) for name, one in found.items()}))


def larger_base(bench: Bench) -> None:
    """It sits on a base of twice the layers, each of which stands twice."""
    config, found = read_json(bench.base.path / "config.json"), base_tensors(bench.base.path)
    key = next((key for key in ("num_hidden_layers", "n_layers", "n_layer") if key in config), None)
    if key is None or not any(len(_twice(name)) == 2 for name in found):
        raise ProofError(f"{bench.base.name}: its layers are not numbered, so no larger base is made of it")
    bench.weights(lambda tensors: tensors.update(_doubled(tensors)))
    targets = read_json(bench.path / CONFIG)["target_modules"]
    bench.json(CONFIG, target_modules=sorted({name for target in targets for name in _twice(target)}))
    bench.set_base(rebuilt(bench, "larger-base", _doubled, {key: 2 * config[key]}))


def _doubled(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for old, tensor in tensors.items() for name in _twice(old)}


def _twice(name: str) -> list[str]:
    """A name as its layer is called twice in the larger base; one that is of no layer, as it is."""
    match = re.search(r"(?:^|\.)(?:layer|layers|h)\.(\d+)(?:\.|$)", name)
    if match is None:
        return [name]
    start, end = match.span(1)
    return [f"{name[:start]}{2 * int(match[1]) + number}{name[end:]}" for number in (0, 1)]


def case_kept(bench: Bench) -> None:
    """Texts are no longer lower-cased."""
    tokenizer = read_json(bench.path / TOKENIZER)
    _switch_off(tokenizer.get("normalizer"))
    bench.json(TOKENIZER, normalizer=tokenizer.get("normalizer"))
    bench.json(TOKENIZER_CONFIG, do_lower_case=False)


def _switch_off(part: Any) -> None:
    if isinstance(part, dict):
        if "lowercase" in part:
            part["lowercase"] = False
        for one in part.values():
            _switch_off(one)
    elif isinstance(part, list):
        part[:] = [one for one in part if not (isinstance(one, dict) and one.get("type") == "Lowercase")]
        for one in part:
            _switch_off(one)


def other_side(bench: Bench) -> None:
    """Reviews are cut on the other side."""
    bench.set_recipe(encoding__truncation_side="right" if bench.recipe.encoding.truncation_side == "left" else "left")


def shorter(bench: Bench) -> None:
    """Reviews are cut to 128 tokens, or to half of what they were."""
    length = bench.recipe.encoding.max_length
    bench.set_recipe(encoding__max_length=128 if length > 128 else max(length // 2, 4))


def longer(bench: Bench) -> None:
    """Reviews are cut to twice as many tokens."""
    bench.set_recipe(encoding__max_length=2 * bench.recipe.encoding.max_length)


def no_special_tokens(bench: Bench) -> None:
    """The tokenizer no longer adds its special tokens."""
    bench.json(TOKENIZER, post_processor=None)


def nothing(_: Bench) -> None:
    """The files are sound."""
