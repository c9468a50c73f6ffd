"""What the tokenizers of two directories differ in, told from their files."""

from collections.abc import Mapping
from typing import Any

from lorasent.adapter.configuration import TOKENIZER_CONFIG, names_files, without_prefix_space
from lorasent.gate.integrity.side import EXPORT, Side
from lorasent.text import shown

SPECIAL = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "bos_token", "eos_token")
BEHAVIOUR = ("strip_accents", "keep_accents", "tokenize_chinese_chars", "do_basic_tokenize", "never_split", "split_by_punct")
"""Keys of tokenizer_config.json that decide what a tokenizer does."""


def differences(new: Side, old: Side) -> dict[str, str]:
    """What two tokenizers differ in, the likeliest cause of damage first: what it is called, and what it is."""
    (own, told), (theirs, said) = (
        (without_prefix_space(side.json("tokenizer.json")), side.json("tokenizer_config.json")) for side in (new, old)
    )
    found: dict[str, str] = {}
    cased, cased_before = _lower_cases(own, told), _lower_cases(theirs, said)
    if cased != cased_before:
        found["lower-casing"] = f"lower-casing ({cased_before} -> {cased})"
    tokens = [(key, said.get(key), told.get(key)) for key in SPECIAL if said.get(key) != told.get(key)]
    if own.get("post_processor") != theirs.get("post_processor") or tokens:
        which = "".join(f", {key} {before!r:.30} -> {now!r:.30}" for key, before, now in tokens)
        found["special-tokens"] = f"special tokens (post_processor{which})"
    if own.get("model") != theirs.get("model"):
        found["vocabulary"] = "vocabulary (model)"
    if own.get("added_tokens") != theirs.get("added_tokens"):
        found.setdefault("vocabulary", "added tokens")
    changed = [key for key in ("normalizer", "pre_tokenizer", "decoder") if own.get(key) != theirs.get(key)]
    changed += [key for key in BEHAVIOUR if told.get(key) != said.get(key)]
    if changed and "lower-casing" not in found:
        found["tokenizer"] = ", ".join(changed)
    return found


def require_own(side: Side) -> None:
    """Raises the fault of a tokenizer's configuration that says what else the tokenizer is made of."""
    if names := names_files(side.json(TOKENIZER_CONFIG)):
        where, told = side.at(TOKENIZER_CONFIG), ", ".join(map(shown, names[:3]))
        advice = f"remove it, or keep the files as tokenizer.json: {EXPORT}"
        raise side.fault("tokenizer-files", f"{where}: {told} would make the tokenizer of other files than these", advice)


def _lower_cases(tokenizer: Any, config: Mapping[str, Any]) -> bool:
    """Whether a tokenizer lower-cases: somewhere in its normalizer, and not switched off beside it."""

    def somewhere(part: Any) -> bool:
        if isinstance(part, dict):
            return part.get("lowercase") is True or part.get("type") == "Lowercase" or any(map(somewhere, part.values()))
        return isinstance(part, list) and any(map(somewhere, part))

    return somewhere(tokenizer.get("normalizer")) and config.get("do_lower_case", True) is not False
