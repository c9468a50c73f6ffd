"""integrity::recipe: PEFT's configuration is what the recipe says, and the recipe is the baseline's but for the seed.

An adapter that another script trained has no recipe: its manifest's copy of PEFT's configuration stands for it.
"""

from collections.abc import Mapping
from typing import Any

from lorasent.adapter.manifest import CONFIG, MANIFEST, Split
from lorasent.gate import sections
from lorasent.gate.integrity.comparison import Comparison, Passed, Side
from lorasent.recipe.recipe import VARIANTS
from lorasent.text import shown, some

ELSEWHERE = ("base.model", *sections.FREE_KEYS)
"""Keys of a recipe that other checks compare, and the seed, in which retrains differ."""

MOST_CHARACTERS = 300
"""Length up to which a recipe's value is shown whole."""

INERT = {"peft_version", "megatron_core", "qalora_group_size", "auto_mapping"}
"""PEFT's options that have no effect by themselves."""

NAMES = {"base_model_name_or_path", "revision", "inference_mode"}
"""PEFT's keys that other checks compare, or that a saved adapter has of itself."""

DEFAULTS = (("bias", "none"), ("init_lora_weights", True), ("lora_dropout", 0))
"""Values of PEFT's options that are as good as absent."""

CAUSES = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "target-modules",
    "fan_in_fan_out": "fan-in-fan-out",
    **{option: option.removeprefix("use_") for option in VARIANTS},
    "rank_pattern": "scaling-pattern",
    "alpha_pattern": "scaling-pattern",
    "bias": "bias",
    "lora_bias": "bias",
}
"""The cause of a fault in an option of PEFT; "peft-option" of any other."""


def inspect(side: Side) -> None:
    """Raises the fault of a PEFT configuration that is not what the recipe, or the manifest, beside it says."""
    require_known(side)
    if side.is_trained:
        _require_recipe(side)


def _require_recipe(side: Side) -> None:
    lora, config = side.recipe.lora, side.config
    wanted = {
        "rank": ("r", config.r, lora.r),
        "alpha": ("lora_alpha", config.lora_alpha, lora.alpha),
        "dropout": ("lora_dropout", config.lora_dropout, lora.dropout),
        "fan-in-fan-out": ("fan_in_fan_out", config.fan_in_fan_out, side.layout.transposed),
    }
    for cause, (key, value, required) in wanted.items():
        if value != required and (cause != "fan-in-fan-out" or side.layout.known):
            raise side.fault(cause, f"{key} is {shown(value)}, recipe and base require {required}", file=CONFIG)
    selected, implied = side.targets, side.layout.implied(lora.target_modules)
    different = selected ^ implied
    if not side.layout.known:  # then the names of layers are all that the recipe implies
        leaves = {name.rpartition(".")[2] for name in implied}
        different = {name for name in selected if name.rpartition(".")[2] not in leaves}
    if different:
        wanted_layers = f"the recipe's {some(lora.target_modules)} selects {len(implied)}"
        message = f"target_modules select {len(selected)} layers, {wanted_layers}; they differ in {shown(min(different))}"
        raise side.fault("target-modules", message, file=CONFIG)


def require_known(side: Side) -> None:
    """Raises the fault of another method than LoRA, another task, or an option that recipe or manifest does not have."""
    if side.manifest.is_model:
        return
    config = side.config
    if config.peft_type != "LORA":
        raise side.fault("peft-type", f"peft_type is {shown(config.peft_type)}, must be LORA", file=CONFIG)
    if not side.is_trained:
        _require_sealed(side)
    elif config.task_type != "SEQ_CLS":
        raise side.fault("task-type", f"task_type is {shown(config.task_type)}, must be SEQ_CLS", file=CONFIG)
    else:
        _require_plain(side)


def _require_sealed(side: Side) -> None:
    """Raises the fault of PEFT's configuration if it is not the one in the manifest."""
    config, sealed = (lora(content) for content in (side.snapshot.json(CONFIG), side.manifest.peft or {}))
    for key in sorted(config.keys() | sealed.keys()):
        if config.get(key) != sealed.get(key):
            message = f"{shown(key)} is {shown(config.get(key))}, {MANIFEST} says {shown(sealed.get(key))}"
            raise side.fault(CAUSES.get(key, "peft-option"), message, file=CONFIG, key=key)


def _require_plain(side: Side) -> None:
    """Raises the fault of a variant that the recipe does not ask for."""
    config = side.config
    variants = {option: True for option, on in side.recipe.lora.variants.items() if on}
    options = dict.fromkeys(variants) | (config.model_extra or {})
    required = {"bias": "none", "init_lora_weights": True, **variants}
    for key in sorted(options.keys() - INERT):
        if options[key] != required[key] if key in required else options[key]:
            expected = f"the recipe implies {required[key]}" if key in required else "the recipe does not ask for it"
            message = f"{shown(key)} is {shown(options[key])}, {expected}"
            raise side.fault(CAUSES.get(key, "peft-option"), message, file=CONFIG, key=key)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of keys or reviews in which the recipe differs from the baseline's, unless the policy allows them."""
    candidate, baseline, _ = comparison
    if not (candidate.is_trained and baseline.is_trained):
        changed = _lora_differences(candidate, baseline)
        comparison.allow(changed, "recipe", "LoRA is not configured as for the baseline")
        whose = "its manifest says" if changed or comparison.is_first else "for the baseline"
        return Passed(f"LoRA is configured as {whose}", changed)
    now, before = (flat(side.recipe.to_json()) for side in (candidate, baseline))
    keys = [key for key in sorted(now.keys() | before.keys()) if key not in ELSEWHERE and not key.startswith("encoding.")]
    changed = {key: (_brief(before.get(key)), _brief(now.get(key))) for key in keys if now.get(key) != before.get(key)}
    for split in ("train", "validation"):
        reviews, reviews_before = (side.manifest.data.get(split) for side in (candidate, baseline))
        if reviews and reviews_before and reviews.sha256 == reviews_before.sha256:
            changed.pop(f"data.{split}", None)  # the same reviews from another source
        elif reviews != reviews_before:
            changed[f"data.{split}"] = (_source(reviews_before), _source(reviews))
    cause = "data" if all(key.startswith("data.") for key in changed) else "recipe"
    comparison.allow(changed, cause, "the recipe differs from the baseline's")
    alike = "configured as its recipe says" if changed or comparison.is_first else "the baseline's recipe, but for the seed"
    return Passed(alike, changed)


def _lora_differences(candidate: Side, baseline: Side) -> dict[str, tuple[Any, Any]]:
    """The keys of LoRA that differ. The layers are compared by the tensors, if both sides have them.

    A recipe does not say which modules are saved, nor how LoRA starts, and names layers in its own words.
    """
    now, before = (_settings(side) for side in (candidate, baseline))
    keys, is_mixed = now.keys() | before.keys(), candidate.is_trained or baseline.is_trained
    if is_mixed:
        keys = keys - {"modules_to_save", "init_lora_weights"}
    if is_mixed if baseline.path is None else _layers(candidate) == _layers(baseline):
        keys = keys - {"target_modules", "layers_to_transform", "layers_pattern", "exclude_modules"}
    return {
        f"lora.{key}": (_brief(before.get(key)), _brief(now.get(key))) for key in sorted(keys) if now.get(key) != before.get(key)
    }


def _settings(side: Side) -> dict[str, Any]:
    """LoRA's settings by the names that a recipe has for them, or else by PEFT's."""
    if side.is_trained:
        table = side.recipe.lora
        names = {"r": table.r, "alpha": table.alpha, "dropout": table.dropout, "target_modules": list(table.target_modules)}
        return {**names, **table.variants}
    settings = lora(side.manifest.peft or {})
    renamed = {"lora_alpha": "alpha", "lora_dropout": "dropout"}
    options = dict.fromkeys(VARIANTS, False) | {"dropout": 0.0} | {renamed.get(key, key): value for key, value in settings.items()}
    return {key: value for key, value in options.items() if key not in ("peft_type", "task_type", "fan_in_fan_out")}


def _layers(side: Side) -> frozenset[str]:
    return frozenset(name.partition(".lora_")[0] for name in side.tensors if ".lora_" in name)


def lora(config: Mapping[str, Any]) -> dict[str, Any]:
    """PEFT's options that are set and have an effect; lists sorted, and each entry once: PEFT adds the head's names again."""
    kept = {key: value for key, value in config.items() if key not in {*INERT, *NAMES}}
    plain = {key: sorted({*map(str, value)}) if isinstance(value, list) else value for key, value in kept.items()}
    return {key: value for key, value in plain.items() if value not in (None, False, [], {}, "") and (key, value) not in DEFAULTS}


def flat(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A recipe's tables as one, by "table.key"."""
    return {f"{table}.{key}": value for table, keys in tables.items() for key, value in keys.items()}


def _source(reviews: Split | None) -> str | None:
    return f"{shown(reviews.source)} ({reviews.reviews} reviews, {reviews.sha256[:12]})" if reviews else None


def _brief(value: Any) -> Any:
    """A recipe's value, or its description where it is long: a candidate may say anything."""
    return value if len(str(value)) <= MOST_CHARACTERS else shown(value)
