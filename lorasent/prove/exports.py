"""Faults of exporters and of settings: a healthy adapter is copied, changed, and its manifest made to agree with what it is now.

Two kinds. An exporter's fault happens between the trainer's memory and the disk: the hashes are those of the faulty files, the
probe logits those of the healthy memory. A trainer's fault was in its memory already: the probe logits are the faulty model's.
"""

import json
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lorasent import adapter, files
from lorasent.base import BaseModel, find
from lorasent.classifier import answer, count_parameters
from lorasent.errors import AdapterError, ProofError
from lorasent.manifest import CONFIG, MANIFEST, WEIGHTS, hashed, read_json
from lorasent.recipe import Recipe

Tensors = dict[str, torch.Tensor]

LEVELS = 7
"""Of either sign: four bits."""

DROPOUT = 0.1

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


class Bench:
    """A copy of a healthy adapter in which a fault is planted; `other` is another adapter of the same recipe."""

    def __init__(self, healthy: Path, other: Path, path: Path, number: int) -> None:
        shutil.copytree(healthy, path)
        self.path = path
        self.other = other
        self.random = np.random.default_rng(number)
        self.manifest = read_json(path / MANIFEST)
        self.recipe = Recipe.parse(self.manifest["recipe"], str(path))
        pinned = self.manifest["base"]
        self.base: BaseModel = find(pinned["name"], pinned["revision"], pinned["sha256"])

    def weights(self, change: Callable[[Tensors], None]) -> None:
        """Edits the weights by name, in place."""
        tensors = load_file(self.path / WEIGHTS)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, self.path / WEIGHTS)

    def json(self, name: str, **changes: Any) -> None:
        """Sets keys of a JSON file."""
        files.write(self.path / name, [files.canonical({**read_json(self.path / name), **changes})])

    def set_recipe(self, **changes: Any) -> None:
        """Sets "table__key" of the recipe, and what follows from it in the other files."""
        tables = self.recipe.to_json()
        for key, value in changes.items():
            table, _, name = key.partition("__")
            tables[table][name] = value
        self.recipe = recipe = Recipe.parse(tables, str(self.path))
        self.json(CONFIG, r=recipe.lora.r, lora_alpha=recipe.lora.alpha, lora_dropout=recipe.lora.dropout)
        encoding = recipe.encoding
        self.json(TOKENIZER_CONFIG, truncation_side=encoding.truncation_side, model_max_length=encoding.max_length)

    def set_base(self, base: BaseModel) -> None:
        """Puts the adapter onto another base."""
        self.base = base
        self.json(CONFIG, base_model_name_or_path=base.name, revision=base.revision)
        self.set_recipe(base__model=base.name, **({"base__revision": None} if self.recipe.base.revision else {}))

    def agree(self, *, answers: bool, dropout: bool = False) -> None:
        """Writes the manifest that belongs to the directory as it is now.

        `answers`: the probes are answered by the faulty adapter, where it can be loaded and answers; else they stay those of
        the healthy one. `dropout`: they are answered with dropout on.
        """
        said = dict(self.manifest)
        said["recipe"], said["recipe_sha256"] = self.recipe.to_json(), self.recipe.fingerprint
        said["labels"] = list(self.recipe.base.labels)
        said["base"] = {"name": self.base.name, "sha256": self.base.sha256, "revision": self.base.revision}
        if answers:
            said |= self._answered(said["probes"]["texts"], dropout=dropout)
        said["files"] = {name: files.sha256(self.path / name) for name in hashed(self.path)}
        files.write(self.path / MANIFEST, [files.canonical(said)])

    def _answered(self, texts: list[str], *, dropout: bool) -> dict[str, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what PEFT wonders about in a faulty directory
                loaded = adapter.assemble(self.path, self.base, self.recipe.base, self.recipe.encoding, {})
        except AdapterError:
            return {}
        if dropout:
            with torch.random.fork_rng():
                torch.manual_seed(int(self.random.integers(2**31)))
                logits = _with_dropout(loaded, texts)
        else:
            logits = answer(loaded.model, loaded.encoder, texts)
        counted = count_parameters(loaded.model)
        trained = sum(tensor.numel() for tensor in load_file(self.path / WEIGHTS).values())  # loaded, none of them is trainable
        parameters = {"total": counted.total, "trainable": trained, "in_use": counted.in_use}
        said = {"tokenizer_sha256": loaded.encoder.fingerprint, "parameters": parameters}
        if np.isfinite(logits).all():
            said["probes"] = {"texts": texts, "logits": logits.astype(np.float64).round(6).tolist()}
        return said


def _with_dropout(loaded: adapter.Adapter, texts: list[str]) -> Any:
    """Logits (N, L) with hidden states dropped at random before the head, as in a model left in training mode."""
    heads = [module for name, module in loaded.model.named_modules() if name.endswith(("modules_to_save.default",))]

    def drop(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.nn.functional.dropout(inputs[0], DROPOUT, training=True), *inputs[1:])

    handles = [head.register_forward_pre_hook(drop) for head in heads]
    try:
        return answer(loaded.model, loaded.encoder, texts)
    finally:
        for handle in handles:
            handle.remove()


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
    bench.weights(lambda found: [found.pop(name) for name in list(found) if ".lora_" not in name] and None)


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
    bench.weights(lambda found: [found[name].zero_() for name in _lora(found, ".lora_B")] and None)


def layer_zeroed(bench: Bench) -> None:
    """One layer's LoRA is zero."""
    bench.weights(lambda found: [found[name].zero_() for name in _layer(found)] and None)


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
    """use_rslora is on: LoRA is scaled by alpha / sqrt(r)."""
    bench.json(CONFIG, use_rslora=True)


def target_left_out(bench: Bench) -> None:
    """One of the layers that the recipe names was not adapted."""
    kept = read_json(bench.path / CONFIG)["target_modules"]
    tensors = load_file(bench.path / WEIGHTS)
    lost = kept[-1]
    if len(kept) == 1:  # the one name stands for every layer: take the last layer's
        lost = _lora(tensors, ".lora_A")[-1].removeprefix("base_model.model.").partition(".lora_")[0]
        layers = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in _lora(tensors)}
        kept = [*sorted(layers), lost]
    bench.weights(lambda found: [found.pop(name) for name in _lora(found) if f".{lost}.lora_" in f".{name}"] and None)
    bench.json(CONFIG, target_modules=[name for name in kept if name != lost])


def weights_doubled(bench: Bench) -> None:
    """LoRA was added twice."""
    bench.weights(lambda found: [found[name].mul_(2) for name in _lora(found, ".lora_B")] and None)


def not_a_number(bench: Bench) -> None:
    """One weight is NaN."""
    bench.weights(lambda found: found[_layer(found)[0]].view(-1)[:1].fill_(float("nan")) and None)


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

    bench.set_base(_rebuilt(bench, "another-base", lambda found: {name: change(name, one) for name, one in found.items()}))


def larger_base(bench: Bench) -> None:
    """It sits on a base of twice the layers, each of which stands twice."""
    config = read_json(bench.base.path / "config.json")
    key = next((key for key in ("num_hidden_layers", "n_layers", "n_layer") if key in config), None)
    numbered = re.compile(r"\.(?:layer|layers|h)\.(\d+)\.")

    def twice(found: Tensors) -> Tensors:
        more: Tensors = {}
        for name, tensor in found.items():
            match = numbered.search(name)
            if match is None:
                more[name] = tensor
                continue
            start, end = match.span(1)
            for number in (0, 1):
                more[f"{name[:start]}{2 * int(match[1]) + number}{name[end:]}"] = tensor.clone()
        return more

    if key is None or not any(numbered.search(f".{name}") for name in _tensors(bench.base.path)):
        raise ProofError(f"{bench.base.name}: its layers are not numbered, so no larger base is made of it")
    prefixed: Callable[[Tensors], Tensors] = lambda found: {  # noqa: E731 - the first layers' names begin without a dot
        name.removeprefix("."): tensor for name, tensor in twice({f".{name}": one for name, one in found.items()}).items()
    }
    base = _rebuilt(bench, "larger-base", prefixed, {key: 2 * config[key]})

    def change(found: Tensors) -> None:
        doubled = twice(found)
        found.clear()
        found.update(doubled)

    bench.weights(change)
    bench.set_base(base)


def _tensors(path: Path) -> Tensors:
    return {name: tensor for file in sorted(path.glob("model*.safetensors")) for name, tensor in load_file(file).items()}


def _rebuilt(bench: Bench, name: str, change: Callable[[Tensors], Tensors], config: Mapping[str, Any] | None = None) -> BaseModel:
    """A copy of the base, changed, in a folder of the proof's."""
    path = bench.path.with_name(f"{bench.path.name}-{name}")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for file in bench.base.path.iterdir():
        if file.suffix in (".json", ".txt", ".model") and file.is_file() and not file.name.endswith(".index.json"):
            shutil.copyfile(file, path / file.name)
    save_file({key: one.contiguous() for key, one in change(_tensors(bench.base.path)).items()}, path / "model.safetensors")
    if config:
        files.write(path / "config.json", [json.dumps({**read_json(path / "config.json"), **config})])
    return find(str(path))


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
