"""integrity::base: the base is the baseline's, and configured as when the adapter was trained."""

from lorasent.adapter import configuration
from lorasent.adapter.manifest import CONFIG, MANIFEST
from lorasent.gate.integrity.comparison import Comparison, Passed, Side
from lorasent.text import shown


def sides(comparison: Comparison) -> list[Side]:
    """The baseline, then the candidate: if somebody edited the base that both share, the candidate is not at fault.

    No side if the policy does not allow the candidate's other base: `compare` blocks it, even if no base is available here.
    """
    if not comparison.same_base and not comparison.allows("base.model"):
        return []
    return comparison.directories()[::-1]


def inspect(side: Side) -> None:
    """Raises the fault of a base whose configuration is not that of its manifest."""
    if side.manifest.is_model:
        return
    pinned = side.manifest.base
    if pinned.config and (changed := configuration.differences(side.base.config, pinned.config)):
        message = f"its base {pinned.name} has another configuration than when the adapter was trained"
        advice = "restore the base's config.json, or train again"
        raise side.fault("base-config", f"{message}: {configuration.summary(changed)}", advice)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of another base, or another configuration of it, than the baseline's, unless the policy allows it."""
    candidate, baseline, _ = comparison
    pinned, before = candidate.manifest.base, baseline.manifest.base
    if not comparison.same_base:
        change = {"base.model": (f"{shown(before.name)} {before.sha256[:12]}", f"{shown(pinned.name)} {pinned.sha256[:12]}")}
        comparison.allow(change, "base", "another base than the baseline's", "base")
    config = None if candidate.manifest.is_model else candidate.config
    named = config and (config.base_model_name_or_path, config.revision)
    if named and named != (pinned.name, pinned.revision):
        name, revision, pinned_name, pinned_revision = map(shown, (*named, pinned.name, pinned.revision))
        message = f"base_model_name_or_path is {name or 'empty'} (revision {revision}), {MANIFEST} names {pinned_name}"
        raise candidate.fault("base", f"{message} (revision {pinned_revision}): plain PEFT would not load that base", file=CONFIG)
    message = f"{shown(candidate.base.name)} with sha256 {candidate.base.sha256[:12]}…"
    if not comparison.same_base:
        return Passed(message, change)
    configured = before.config if baseline.path is None else baseline.base.config
    if configured is None:
        return Passed(f"{message}; not compared: the record does not say how its base was configured")
    changed = {f"base.{key}": values for key, values in configuration.differences(candidate.base.config, configured).items()}
    what = "the base has the baseline's weights and another configuration"
    return Passed(message, comparison.allow(changed, "base-config", what, "base"))
