"""The candidate's directory is what it says, and differs from the baseline only as declared and allowed: each check asks a part.

All checks but the last read files and import no torch. Whatever the candidate's directory holds, a check ends in a Finding.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from lorasent.adapter.configuration import differences, summary
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.errors import AdapterError, LorasentError, NotFetchedError, first_line, is_foreign
from lorasent.gate import policy
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.integrity import answers, soundness, tokenizers
from lorasent.gate.integrity.side import EXPORT, RETRIEVE, Bases, Fault, Side
from lorasent.scoring.evidence import LiveSubject, Subject
from lorasent.text import shown

SHIPPED = "ship the same as the baseline, or list {} in may_change of [integrity]"

ELSEWHERE = ("base.model", *policy.UNASKED)
"""Keys of a recipe that the recipe check leaves: others judge them, and another seed is what retraining is."""


PREFIXED = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
"""Parts of a tokenizer that follow encoding.add_prefix_space, which is compared by itself, as are these parts in tokenizer.json."""

MOST_CHARACTERS = 300
"""Of a recipe's value that is told whole."""


class Passed(NamedTuple):
    """Why a check passes; `declared` are the differences that the policy allows, old and new by key."""

    message: str
    declared: Mapping[str, tuple[Any, Any]] = {}


def check(candidate: LiveSubject, baseline: Subject, settings: policy.Integrity) -> list[Finding]:
    """One finding for each of CHECKS, in their order."""
    bases: Bases = {}
    new, old = Side(candidate, baseline=False, bases=bases), Side(baseline, baseline=True, bases=bases)
    return [_ask(name, new, old, settings) for name in CHECKS]


def blocked(path: str | Path, error: BaseException) -> Finding:
    """The finding about a candidate that cannot even be opened, and what opening it raised.

    It is INVALID where the fault is not the candidate's: its files were not fetched, or we could not copy them.
    """
    if isinstance(error, NotFetchedError):
        return not_fetched("integrity::files", error)
    ours = isinstance(error, LorasentError) and not isinstance(error, AdapterError)
    other = "file-unreadable" if isinstance(error, OSError) else "manifest-broken"
    cause = getattr(error, "cause", "") or ("not-opened" if ours else other)
    advice = f"give the directory of an adapter that lorasent train wrote, with its {MANIFEST}"
    message = f"{shown(path, 500)}: cannot be opened as an adapter: {shown(error, 1000)}"
    return Finding("integrity::files", Outcome.INVALID if ours else Outcome.BLOCK, cause, message, "" if ours else advice)


def not_fetched(check: str, error: NotFetchedError) -> Finding:
    """The one finding about a directory in which pointers lie in the place of files: nobody is accused."""
    return Finding(check, Outcome.INVALID, error.cause, str(error), error.advice)


def _ask(name: str, new: Side, old: Side, settings: policy.Integrity) -> Finding:
    check_name = f"integrity::{name}"
    try:
        passed = _QUESTIONS[name](new, old, settings)
    except Fault as fault:
        return Finding(check_name, fault.outcome, fault.cause, fault.message, fault.advice, fault.figures)
    except BaseException as error:
        if isinstance(error, MemoryError) or not is_foreign(error):
            raise
        side = old if _fails(name, old, settings) else new
        message = f"{side.name}: cannot be checked: {type(error).__name__}: {first_line(error)}"
        broken = side.fault("broken", message, RETRIEVE)
        return Finding(check_name, broken.outcome, broken.cause, broken.message, broken.advice)
    if not passed.declared:
        return Finding(check_name, Outcome.PASS, "sound", passed.message)
    message = f"{passed.message}; declared and allowed by may_change: {_differences(passed.declared)}"
    return Finding(check_name, Outcome.PASS, "declared", message, figures={"declared": dict(passed.declared)})


def _fails(name: str, old: Side, settings: policy.Integrity) -> bool:
    """Whether a check cannot be asked of a baseline's directory by itself: then it is not the candidate that is faulty."""
    if old.path is None:
        return False
    try:
        _QUESTIONS[name](old, old, settings)
    except BaseException as error:
        if isinstance(error, MemoryError) or not is_foreign(error):
            raise
        return True
    return False


def _files(new: Side, old: Side, _: policy.Integrity) -> Passed:
    message = soundness.whole(new)
    if old.path is not None:
        soundness.whole(old)
    return Passed(message)


def _tensors(new: Side, old: Side, _: policy.Integrity) -> Passed:
    message = soundness.fits(new)
    if old.path is not None:
        soundness.fits(old)
    return Passed(message)


def _values(new: Side, old: Side, _: policy.Integrity) -> Passed:
    soundness.alive(new)
    if old.path is not None:
        soundness.alive(old)
    if new.said.files.get(WEIGHTS) == old.said.files.get(WEIGHTS):
        return Passed("the same weights as the baseline's")
    return Passed("finite, in full precision, and no layer without effect")


def _base(new: Side, old: Side, settings: policy.Integrity) -> Passed:
    pinned, before = new.said.base, old.said.base
    declared: dict[str, tuple[Any, Any]] = {}
    if pinned.sha256 != before.sha256:
        declared["base.model"] = (f"{shown(before.name)} {before.sha256[:12]}", f"{shown(pinned.name)} {pinned.sha256[:12]}")
        _allow(declared, settings, "base", "another base than the baseline's", "base")
    for side in (old, new):  # what a baseline that is on the same base lacks is no fault of the candidate's
        if side.said.base.config and side.path is not None and (amiss := differences(side.base.config, side.said.base.config)):
            message = f"{side.name}: its base {side.said.base.name} was configured otherwise when the adapter was trained"
            advice = "set the base's config.json right, or train anew"
            raise side.fault("base-config", f"{message}: {summary(amiss)}", advice)
    told = (new.config.base_model_name_or_path, new.config.revision)
    if not told[0]:
        told_as, pinned_as = "empty" if told[0] == "" else "null", shown(pinned.name)
        message = f"{new.at(CONFIG)}: names no base: base_model_name_or_path is {told_as}, {MANIFEST} names {pinned_as}"
        raise new.fault("base", message, EXPORT)
    if told != (pinned.name, pinned.revision):
        name, revision, pinned_as, pinned_at = map(shown, (*told, pinned.name, pinned.revision))
        message = f"{new.at(CONFIG)}: names the base {name} (revision {revision}), {MANIFEST} {pinned_as} ({pinned_at})"
        raise new.fault("base", f"{message}: plain PEFT would load another base", EXPORT)
    found, theirs = new.base, old.base.config if old.path is not None else before.config
    message = f"{shown(found.name)} with sha256 {found.sha256[:12]}…"
    if pinned.sha256 != before.sha256:
        return Passed(message, declared)
    if theirs is None:
        return Passed(f"{message}; not compared: the record does not say how its base was configured")
    if other := differences(found.config, theirs):
        change = {f"base.{key}": values for key, values in other.items()}
        _allow(change, settings, "base-config", "the base has the baseline's weights and another configuration", "base")
        declared |= change
    return Passed(message, declared)


def _labels(new: Side, old: Side, _: policy.Integrity) -> Passed:
    for side in (new, old):
        own, recipe = tuple(side.said.labels), side.recipe.base.labels
        if own != recipe:
            message = f"{side.name}/{MANIFEST}: labels {_names(own)}, base.labels of its recipe {_names(recipe)}"
            raise side.fault("labels", message, EXPORT)
    own, others = tuple(new.said.labels), tuple(old.said.labels)
    if own != others:
        how = "in another order" if sorted(own) == sorted(others) else "which are others"
        message = f"{new.name}/{MANIFEST}: labels {_names(own)}, required are the baseline's, {_names(others)}: {how}"
        raise new.fault("labels", message, "train the candidate with the baseline's base.labels")
    return Passed(f"labels {_names(own)}")


def _encoding(new: Side, old: Side, settings: policy.Integrity) -> Passed:
    for side in (new, old):
        if side.path is not None:
            soundness.encodes(side)
            tokenizers.require_own(side)
    now, before = new.recipe.encoding, old.recipe.encoding
    if settings.truncation_side not in (None, now.truncation_side):
        message = f"encoding.truncation_side is {now.truncation_side}, the policy requires {settings.truncation_side}"
        raise new.fault("truncation-side", f"{new.name}: {message}", f'train with truncation_side = "{settings.truncation_side}"')
    declared: dict[str, tuple[Any, Any]] = {}
    for key, cause in (("truncation_side", "truncation-side"), ("max_length", "max-length"), ("add_prefix_space", "prefix-space")):
        if getattr(now, key) != getattr(before, key):
            change = {f"encoding.{key}": (getattr(before, key), getattr(now, key))}
            _allow(change, settings, cause, "texts are encoded otherwise than for the baseline")
            declared |= change
    other_base = new.said.base.sha256 != old.said.base.sha256 and _allows(settings, "base.model")
    parts = tokenizers.differences(new, old) if old.path is not None else {}
    alike = now == before and new.said.tokenizer_sha256 != old.said.tokenizer_sha256
    if not parts and alike:
        parts["tokenizer"] = "its fingerprint"
    if parts and not other_base:
        cause = next(iter(parts))
        change = {"encoding.tokenizer": (old.said.tokenizer_sha256[:12], new.said.tokenizer_sha256[:12])}
        _allow(change, settings, cause, f"the tokenizer differs from the baseline's in {', '.join(parts.values())}")
        declared |= change
    if parts and other_base:
        return Passed("the tokenizer of another base", declared)
    return Passed(f"at most {now.max_length} tokens, cut on the {now.truncation_side}", declared)


def _recipe(new: Side, old: Side, settings: policy.Integrity) -> Passed:
    soundness.configured(new)
    if old.path is not None:
        soundness.configured(old)
    now, before = (flat(side.recipe.to_json()) for side in (new, old))
    keys = [key for key in sorted(now.keys() | before.keys()) if key not in ELSEWHERE and not key.startswith("encoding.")]
    declared = {key: (_brief(before.get(key)), _brief(now.get(key))) for key in keys if now.get(key) != before.get(key)}
    for split in ("train", "validation"):
        mine, theirs = new.said.data.get(split), old.said.data.get(split)
        if mine and theirs and mine.sha256 == theirs.sha256:
            declared.pop(f"data.{split}", None)  # the same reviews from elsewhere
        elif mine != theirs:
            told = [f"{shown(one.source)} ({one.reviews} reviews, {one.sha256[:12]})" if one else None for one in (theirs, mine)]
            declared[f"data.{split}"] = (told[0], told[1])
    cause = "data" if all(key.startswith("data.") for key in declared) else "recipe"
    _allow(declared, settings, cause, "the recipe differs from the baseline's")
    return Passed("the baseline's recipe, but for the seed" if not declared else "configured as its recipe says", declared)


def _parameters(new: Side, old: Side, settings: policy.Integrity) -> Passed:
    count = soundness.counted(new)
    before = None if old.path is None else soundness.counted(old)
    required = settings.trainable_parameters
    advice = "train with the recipe that the policy was written for, or set trainable_parameters of [integrity]"
    if isinstance(required, str):
        of = new.layout
        if not of.known:
            return Passed(f"{count:,} trained, as many as the manifest says; of an architecture that lorasent cannot count")
        asked = new.recipe.lora
        lora = of.lora(of.implied(asked.target_modules), asked.r, dora=bool(asked.use_dora))
        implied = sum(map(prod, (lora | of.saved(new.config.modules_to_save or [])).values()))
        if count != implied:
            message = f"{new.at(WEIGHTS)}: {count:,} trained numbers, the recipe implies {implied:,}"
            raise new.fault("parameters", message, advice, found=count, required=implied)
    elif required >= 1:
        if count != required:
            message = f"{new.at(WEIGHTS)}: {count:,} trained numbers, the policy requires {required:,}"
            raise new.fault("parameters", message, advice, found=count, required=required)
    elif not new.layout.known:
        message = f"{new.name}: all parameters of this architecture are what its manifest says, which is no count"
        raise Fault("parameters-uncounted", message, "require a number of trained parameters", outcome=Outcome.INVALID)
    else:
        digits, total = -int(Decimal(repr(required)).as_tuple().exponent), soundness.totalled(new, count)
        if round(count / total, digits) != required:
            message = f"{count:,} of {total:,} parameters trained, {count / total:.{digits + 2}f}, the policy requires {required}"
            raise new.fault("parameters", f"{new.name}: {message}", advice, found=count / total, required=required)
    if before is not None:
        soundness.totalled(old, before)
    return Passed(f"{count:,} of {soundness.totalled(new, count):,} trained")


def _answers(new: Side, old: Side, settings: policy.Integrity) -> Passed:
    """Asked of a directory whose files are sound: the libraries that load it are made for no other."""
    same = new.subject.identity == old.subject.identity and new.subject.manifest == old.subject.manifest
    directories = [side for side in (new, old) if side.path is not None]
    sides = directories[-1:] if same else directories  # what two have in common is no fault of the candidate's
    for side in sides:
        soundness.whole(side)
        soundness.fits(side)
        soundness.plain(side)
        soundness.encodes(side)
        tokenizers.require_own(side)
    # The baseline first: where its own answers do not come out again, libraries or machine moved, and nobody is accused.
    facts = {side.baseline: answers.prove(side) for side in reversed(sides)}
    message = "the manifest's answers come out again: alone, in a batch, twice, and merged; and the base's are others"
    if same:
        return Passed(message)
    before = facts[True]["parts"] if old.path is not None else _recorded_parts(new, old)
    if before is None:
        return Passed(f"{message}; not compared: the tokenizer as data, which the record does not say for these libraries")
    return Passed(message, _built(facts[False]["parts"], before, new, old, settings))


def _recorded_parts(new: Side, old: Side) -> Mapping[str, str] | None:
    """What a record's manifest says of its tokenizer's parts, if the same libraries made it as make the candidate's now."""
    versions = [
        (libraries.get("tokenizers"), libraries.get("transformers")) for libraries in (old.said.libraries, new.subject.libraries)
    ]
    return old.said.tokenizer_parts if versions[0] == versions[1] else None


def _built(
    now: Mapping[str, str], before: Mapping[str, str], new: Side, old: Side, settings: policy.Integrity
) -> dict[str, tuple[Any, Any]]:
    """The parts in which two tokenizers differ as they were built, if the policy allows that; the Fault, if not."""
    parts = [name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
    if new.recipe.encoding.add_prefix_space != old.recipe.encoding.add_prefix_space:
        parts = [name for name in parts if name not in PREFIXED]
    if not parts or new.said.base.sha256 != old.said.base.sha256:  # another base, which is judged by itself, brings its own
        return {}
    change = {"encoding.tokenizer": ("the baseline's", f"another {', '.join(parts)}")}
    _allow(change, settings, "tokenizer", "the tokenizer that transformers makes of the files is not the baseline's")
    return change


def flat(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A recipe's tables as one, by "table.key"."""
    return {f"{table}.{key}": value for table, keys in tables.items() for key, value in keys.items()}


def _allows(settings: policy.Integrity, key: str) -> bool:
    return key in settings.may_change or key.partition(".")[0] in settings.may_change


def _allow(
    declared: Mapping[str, tuple[Any, Any]], settings: policy.Integrity, cause: str, what: str, entry: str | None = None
) -> None:
    """Raises the fault of differences from the baseline that the policy does not allow."""
    refused = {key: change for key, change in declared.items() if not _allows(settings, key)}
    if refused:
        entries = entry or ", ".join(f'"{key}"' for key in refused)
        message = f"{what}: {_differences(refused)}; may_change is {list(settings.may_change)}"
        raise Fault(cause, message, SHIPPED.format(entries), differences=refused)


def _differences(changes: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{key} {before} -> {now}" for key, (before, now) in changes.items())


def _brief(value: Any) -> Any:
    """A recipe's value, or, where it is long, what it is: a candidate may say anything."""
    return value if len(str(value)) <= MOST_CHARACTERS else shown(value)


def _names(labels: tuple[str, ...]) -> str:
    return soundness.some(labels, 10)


_QUESTIONS: Mapping[str, Callable[[Side, Side, policy.Integrity], Passed]] = {
    "files": _files,
    "tensors": _tensors,
    "values": _values,
    "base": _base,
    "labels": _labels,
    "encoding": _encoding,
    "recipe": _recipe,
    "parameters": _parameters,
    "answers": _answers,
}

CHECKS = tuple(_QUESTIONS)
"""The names of the checks, in the order in which they are asked."""
