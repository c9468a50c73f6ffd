"""An adapter's directory by itself: whole, fit for its base, alive, and configured as its own recipe says. No torch.

Every function raises the Fault that it finds; what it returns says why there is none.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.adapter.snapshot import DATA_FILES
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.files import CONVERTED
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.side import EXPORT, RETRIEVE, Side
from lorasent.text import shown

REQUIRED = (WEIGHTS, CONFIG, "tokenizer.json", "tokenizer_config.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")

FEWEST = 64
"""Numbers that a matrix must have to be asked whether they lie on a grid."""

MOST = 1 << 22
"""Numbers that are asked so: of a larger matrix its first, since sorting takes several times their memory."""

COARSE = 0.6
"""Distinct values over values: 16 levels in blocks of 32 or more leave at most half, float32 from training at least 0.99."""

ONE_SIZE = 0.9
"""Smallest over largest number, a tenth of them aside: 0.99 after one step of Adam, under 0.1 after a training."""

HALF_BITS = np.uint32(0x1FFF)
"""Bits of a float32 that are zero in every float16 and bfloat16."""

VARIANTS = ("use_rslora", "use_dora")
"""PEFT's options that a recipe may switch on."""

INERT = {"peft_version", "megatron_core", "qalora_group_size", "auto_mapping"}
"""PEFT's options that say nothing by themselves."""


def whole(side: Side) -> str:
    """Raises the fault of files that are missing, changed, added, or could be code."""
    said, snapshot = side.said, side.snapshot
    present = list(snapshot)
    where = f"{snapshot.path}: "
    if pickles := [name for name in present if name.endswith(PICKLES)]:
        raise side.fault("pickle", f"{where}holds a pickle, which is never loaded: {some(pickles)}", "remove it: " + EXPORT)
    if refused := sorted(snapshot.refused):
        raise side.fault("file-forbidden", f"{where}{some(refused)}: {snapshot.refused[refused[0]]}", "remove it")
    if strange := sorted(name for name in said.files if not name.endswith(DATA_FILES) or Path(name).name != name):
        allowed = f"an adapter has {', '.join(DATA_FILES)}, and no folders"
        raise side.fault("file-forbidden", f"{where}{MANIFEST} lists {some(strange)}: {allowed}", EXPORT)
    if missing := sorted(name for name in {*REQUIRED, *said.files} if name not in snapshot.hashes):
        raise side.fault("file-missing", f"{where}lacks {some(missing)}, required by {MANIFEST} or to load it", RETRIEVE)
    if added := [name for name in present if name not in said.files]:
        raise side.fault("file-added", f"{where}{some(added)}: not among the files that {MANIFEST} lists", "remove it")
    if changed := [name for name in present if snapshot.hashes[name] != said.files[name]]:
        if all(snapshot.is_converted(name, said.files[name]) for name in changed):
            fault = side.fault("line-endings", f"{where}{some(changed)}: {CONVERTED}", CONVERTED.partition(": ")[2])
            fault.outcome = Outcome.INVALID  # git's doing
            raise fault
        message = f"{where}{some(changed)}: not what was written, the sha256 differs from {MANIFEST}'s"
        raise side.fault("file-changed", message, RETRIEVE)
    return f"{len(present)} files, as {MANIFEST} lists them"


def fits(side: Side) -> str:
    """Raises the fault of tensors that are not those which the configuration and the base imply."""
    settings, of, where = side.config, side.layout, f"{side.at(WEIGHTS)}: "
    saved = settings.modules_to_save or []
    if unsaved := of.unsaved(saved):
        message = f"{side.at(CONFIG)}: modules_to_save leaves out what the base lacks: {some(unsaved)} would be random"
        raise side.fault("head-missing", message, EXPORT)
    whole = of.saved(saved)
    if not any(shape[:1] == (len(side.said.labels),) for name, shape in whole.items() if name.endswith("weight")):
        message = f"{where}holds no classification head of {len(side.said.labels)} outputs, one for each label"
        raise side.fault("head-missing", message, EXPORT)
    lora = of.lora(side.targets, settings.r, dora=bool(settings.options.get("use_dora")))
    expected = {f"{PEFT_PREFIX}{name}": shape for name, shape in (lora | whole).items()}
    if missing := sorted(expected.keys() - side.tensors.keys()):
        heads = [name for name in missing if ".lora_" not in name]
        raise side.fault(
            "head-missing" if heads else "tensor-missing",
            f"{where}lacks {len(missing)} of {len(expected)} tensors: {some(heads or missing)}; they would be random or zero",
            EXPORT,
        )
    if extra := sorted(side.tensors.keys() - expected.keys()):
        raise side.fault("tensor-unexpected", f"{where}{some(extra)}: in no layer that {CONFIG} names on this base", EXPORT)
    for name, (shape, kind) in side.tensors.items():
        if shape != expected[name]:
            message = f"{where}{shown(name)} has shape {shown(str(shape))}, r = {settings.r} and the base imply {expected[name]}"
            raise side.fault("shape", message, EXPORT, name=name)
        if kind != "F32":
            raise side.fault("dtype", f"{where}{shown(name)} is {kind}, required is float32 (F32)", EXPORT, name=name)
    return f"{len(expected)} tensors of float32, as {CONFIG} and the base imply"


def alive(side: Side) -> None:
    """Raises the fault of numbers that are not finite, were rounded, or leave a layer without effect."""
    where, dead = f"{side.at(WEIGHTS)}: ", set[str]()
    for tensor, values in side.numbers():
        name = shown(tensor)
        if count := int((~np.isfinite(values)).sum()):
            message = f"{where}{name} holds {count} numbers of {values.size} that are not finite"
            raise side.fault("not-finite", message, "train again: the run diverged, or the file is damaged", name=name, count=count)
        if not values.any() and values.ndim == 2:
            dead.add(tensor)
        some_values = values.ravel()[:MOST]
        if ".lora_B" in tensor and values.size >= FEWEST and _one_step(some_values):
            message = f"{where}{name} holds numbers of one size, {float(np.abs(values).max()):.3g}, as a single step leaves them"
            raise side.fault("one-step", message, "train again: the run ended after its first step", name=name)
        if values.ndim == 2 and (grid := _grid(some_values)):
            raise side.fault("quantized", f"{where}{name} was rounded: {grid}", EXPORT + ", in float32", name=name)
    layers = {name.partition(".lora_")[0] for name in side.tensors if ".lora_" in name}
    without = sorted({name.partition(".lora_")[0] for name in dead if ".lora_" in name})
    names = ", ".join(shown(name.removeprefix(PEFT_PREFIX)) for name in without[:3])
    if heads := sorted(name for name in dead if ".lora_" not in name):
        raise side.fault("head-zero", f"{where}{shown(heads[0])} is all zero: every text gets the same answer", EXPORT)
    if without and len(without) == len(layers):
        raise side.fault("adapter-zero", f"{where}LoRA is zero in all {len(layers)} layers: the base is unchanged", EXPORT)
    if without:
        message = f"{where}LoRA is zero in {len(without)} of {len(layers)} layers: {names}"
        raise side.fault("layer-zero", message, EXPORT, layers=without)


def _one_step(values: NDArray[np.float32]) -> bool:
    """Whether nine in ten numbers are of one size: B begins at zero, and Adam's first step is the learning rate, either way."""
    low, high = np.quantile(np.abs(values), [0.1, 1.0])
    return bool(low > ONE_SIZE * high)


def _grid(values: NDArray[np.float32]) -> str | None:
    """How a matrix shows that it was rounded; zeros, which dead units leave, aside."""
    nonzero = values[values != 0]
    if nonzero.size < FEWEST:
        return None
    distinct = np.unique(nonzero).size
    if distinct < COARSE * nonzero.size:
        return f"{distinct} distinct values among {nonzero.size} numbers"
    if not (nonzero.view(np.uint32) & HALF_BITS).any():
        return f"all {nonzero.size} numbers are those of a 16-bit type"
    return None


def encodes(side: Side) -> None:
    """The tokenizer's files must say what the recipe says: plain PEFT and transformers read nothing else."""
    tokenizer, config, recipe = side.json("tokenizer.json"), side.json("tokenizer_config.json"), side.recipe.encoding
    where = f"{side.at('tokenizer_config.json')}: "
    for key, cause in (("truncation", "truncation-on"), ("padding", "padding-on")):
        if tokenizer.get(key) is not None:
            message = f"{side.at('tokenizer.json')}: was saved with {key} on: required is off, it is the caller's choice"
            raise side.fault(cause, message, EXPORT)
    if "auto_map" in config:
        raise side.fault("code", f"{where}auto_map asks for code to be run: {shown(config['auto_map'])}", "remove auto_map")
    if (told := config.get("truncation_side", "right")) != recipe.truncation_side:
        message = f"{where}truncation_side is {shown(told)}, the recipe says {recipe.truncation_side}"
        raise side.fault("truncation-side", message, EXPORT)
    if (limit := config.get("model_max_length")) != recipe.max_length:
        raise side.fault("max-length", f"{where}model_max_length is {shown(limit)}, the recipe says {recipe.max_length}", EXPORT)


def configured(side: Side) -> None:
    """PEFT's configuration against the recipe beside it: what the recipe does not ask for must be off."""
    lora, config = side.recipe.lora, side.config
    plain(side)
    wanted = {
        "rank": ("r", config.r, lora.r),
        "alpha": ("lora_alpha", config.lora_alpha, lora.alpha),
        "dropout": ("lora_dropout", config.lora_dropout, lora.dropout),
        "fan-in-fan-out": ("fan_in_fan_out", config.fan_in_fan_out, side.layout.transposed),
    }
    for cause, (key, found, required) in wanted.items():
        if found != required and (cause != "fan-in-fan-out" or side.layout.known):
            raise side.fault(cause, f"{side.at(CONFIG)}: {key} is {shown(found)}, its recipe and base require {required}", EXPORT)
    implied = side.layout.implied(lora.target_modules)
    if side.layout.known and side.targets != implied:
        names = sorted(side.targets ^ implied)
        told = f"{len(side.targets)} layers where the recipe's {some(lora.target_modules)} means {len(implied)}"
        raise side.fault("target-modules", f"{side.at(CONFIG)}: target_modules are {told}; {shown(names[0])} is amiss", EXPORT)
    leaves = {name.rpartition(".")[2] for name in implied}
    if strange := sorted(name for name in side.targets if name.rpartition(".")[2] not in leaves):
        raise side.fault("target-modules", f"{side.at(CONFIG)}: {shown(strange[0])} is none that the recipe names", EXPORT)


def plain(side: Side) -> None:
    """LoRA of a sequence classifier as lorasent trains it: no other method, and no variant but those that the recipe asks for."""
    config, where = side.config, f"{side.at(CONFIG)}: "
    if config.peft_type != "LORA":
        raise side.fault("peft-type", f"{where}peft_type is {shown(config.peft_type)}, required is LORA", EXPORT)
    if config.task_type != "SEQ_CLS":
        raise side.fault("task-type", f"{where}task_type is {shown(config.task_type)}, required is SEQ_CLS", EXPORT)
    asked = {key: True for key in VARIANTS if getattr(side.recipe.lora, key)}
    options = dict.fromkeys(asked) | config.options
    off = {"bias": "none", "init_lora_weights": True, **asked}
    causes = {"use_rslora": "rslora", "use_dora": "dora", "rank_pattern": "scaling-pattern", "alpha_pattern": "scaling-pattern"}
    causes |= {"bias": "bias", "lora_bias": "bias"}
    for key in sorted(options.keys() - INERT):
        if options[key] != off[key] if key in off else options[key]:
            implied = off.get(key, "none of it")
            message = f"{where}{shown(key)} is {shown(options[key])}, the recipe implies {implied}"
            raise side.fault(causes.get(key, "peft-option"), message, EXPORT, key=key)


def counted(side: Side) -> int:
    """How many numbers the weights hold. Raises the fault of a manifest that says otherwise."""
    count, said = sum(prod(shape) for shape, _ in side.tensors.values()), side.said.parameters.trainable
    if count != said:
        message = f"{side.at(WEIGHTS)}: holds {count:,} numbers, {MANIFEST} says that {said:,} were trained"
        raise side.fault("parameters", message, EXPORT, found=count, required=said)
    return count


def totalled(side: Side, count: int) -> int:
    """How many numbers the classifier has, of which so many are trained. Raises the fault of a manifest that says otherwise.

    Of an architecture that is not known nothing can be counted: what the manifest says.
    """
    said = side.said.parameters.total
    if not side.layout.known:
        return said
    added = side.json("tokenizer.json").get("added_tokens")
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    total = side.layout.total(count, max((number + 1 for number in ids if isinstance(number, int)), default=0))
    if said != total:
        message = f"{side.name}/{MANIFEST}: says that there are {said:,} parameters, base and weights hold {total:,}"
        raise side.fault("parameters", message, EXPORT, found=said, required=total)
    return said


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    told = ", ".join(map(shown, names[:most]))
    return f"{told} and {len(names) - most} more" if len(names) > most else told
