"""integrity::encoding: the tokenizer's files say what the recipe says, and texts are encoded as for the baseline."""

from collections.abc import Mapping
from typing import Any

from lorasent.adapter.configuration import TOKENIZER_CONFIG, names_files, without_prefix_space
from lorasent.adapter.untrusted import items
from lorasent.gate.integrity.comparison import EXPORT, Comparison, Passed, Side
from lorasent.text import shown, some

TOKENIZER = "tokenizer.json"

CAUSES = {"truncation_side": "truncation-side", "max_length": "max-length", "add_prefix_space": "prefix-space"}
"""The cause of a difference in a key of the recipe's encoding."""

SPECIAL = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "bos_token", "eos_token")
BEHAVIOUR = ("strip_accents", "keep_accents", "tokenize_chinese_chars", "do_basic_tokenize", "never_split", "split_by_punct")
"""Keys of tokenizer_config.json that decide what a tokenizer does."""


def inspect(side: Side) -> None:
    """Raises the fault of tokenizer files that contradict the recipe: plain PEFT and transformers read only the files."""
    tokenizer, encoding = side.json(TOKENIZER), side.encoding
    config = {"truncation_side": "right", **side.json(TOKENIZER_CONFIG)}  # transformers' default
    for key, cause in (("truncation", "truncation-on"), ("padding", "padding-on")):
        if tokenizer.get(key) is not None:
            raise side.fault(cause, f"was saved with {key} on, must be off: the caller decides", file=TOKENIZER)
    if "auto_map" in config:
        message = f"auto_map asks for code to be run: {shown(config['auto_map'])}"
        raise side.fault("code", message, "remove auto_map", file=TOKENIZER_CONFIG)
    wanted = {
        "truncation_side": ("truncation-side", encoding.truncation_side),
        "model_max_length": ("max-length", encoding.max_length),
    }
    for key, (cause, required) in wanted.items():
        if config.get(key) != required:
            message = f"{key} is {shown(config.get(key))}, the {'recipe' if side.is_trained else 'manifest'} says {required}"
            raise side.fault(cause, message, file=TOKENIZER_CONFIG)
    if keys := names_files(config):
        message, advice = "would load the tokenizer from other files", f"remove it, or keep the files as tokenizer.json: {EXPORT}"
        raise side.fault("tokenizer-files", f"{some(keys)} {message}", advice, file=TOKENIZER_CONFIG)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of another encoding or tokenizer than the baseline's, unless the policy allows it."""
    candidate, baseline, settings = comparison
    encoding, before = candidate.encoding, baseline.encoding
    if settings.truncation_side not in (None, encoding.truncation_side):
        message = f"encoding.truncation_side is {encoding.truncation_side}, the policy requires {settings.truncation_side}"
        advice = f'train with truncation_side = "{settings.truncation_side}"'
        raise candidate.fault("truncation-side", message, advice)
    declared: dict[str, tuple[Any, Any]] = {}
    for key, cause in CAUSES.items():
        value, value_before = getattr(encoding, key), getattr(before, key)
        if value != value_before and None not in (value, value_before):  # a saved tokenizer keeps its own prefix space
            change = {f"encoding.{key}": (value_before, value)}
            declared |= comparison.allow(change, cause, "texts are not encoded as for the baseline")
    parts = differences(candidate, baseline) if baseline.path is not None else {}
    fingerprint, fingerprint_before = (side.manifest.tokenizer_sha256 for side in (candidate, baseline))
    if not parts and encoding == before and fingerprint != fingerprint_before:
        parts["tokenizer"] = "its fingerprint"
    if parts and not comparison.same_base and comparison.allows("base.model"):
        return Passed("the tokenizer of another base", declared)
    if parts:
        change = {"encoding.tokenizer": (fingerprint_before[:12], fingerprint[:12])}
        what = f"the tokenizer differs from the baseline's in {', '.join(parts.values())}"
        declared |= comparison.allow(change, next(iter(parts)), what)
    return Passed(f"at most {encoding.max_length} tokens, cut on the {encoding.truncation_side}", declared)


def differences(candidate: Side, baseline: Side) -> dict[str, str]:
    """The parts in which two tokenizers differ, the likeliest cause of damage first: descriptions by cause."""
    tokenizer, before = (without_prefix_space(side.json(TOKENIZER)) for side in (candidate, baseline))
    config, config_before = (side.json(TOKENIZER_CONFIG) for side in (candidate, baseline))
    parts: dict[str, str] = {}
    lower, lower_before = _lower_cases(tokenizer, config), _lower_cases(before, config_before)
    if lower != lower_before:
        parts["lower-casing"] = f"lower-casing ({lower_before} -> {lower})"
    tokens = [(key, config_before.get(key), config.get(key)) for key in SPECIAL if config_before.get(key) != config.get(key)]
    if tokenizer.get("post_processor") != before.get("post_processor") or tokens:
        which = "".join(f", {key} {shown(repr(old), 30)} -> {shown(repr(new), 30)}" for key, old, new in tokens)
        parts["special-tokens"] = f"special tokens (post_processor{which})"
    if tokenizer.get("model") != before.get("model"):
        parts["vocabulary"] = "vocabulary (model)"
    elif tokenizer.get("added_tokens") != before.get("added_tokens"):
        parts["vocabulary"] = "added tokens"
    changed = [key for key in ("normalizer", "pre_tokenizer", "decoder") if tokenizer.get(key) != before.get(key)]
    changed += [key for key in BEHAVIOUR if config.get(key) != config_before.get(key)]
    if changed and "lower-casing" not in parts:
        parts["tokenizer"] = ", ".join(changed)
    return parts


def _lower_cases(tokenizer: Any, config: Mapping[str, Any]) -> bool:
    """Whether a tokenizer lower-cases: somewhere in its normalizer, and not switched off beside it."""
    keys = items(tokenizer.get("normalizer"))
    lower_casing = any(value is True if key == "lowercase" else (key, value) == ("type", "Lowercase") for key, value in keys)
    return lower_casing and config.get("do_lower_case", True) is not False
