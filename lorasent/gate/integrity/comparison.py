"""Candidate, baseline and policy together: which differences between the two sides the policy allows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lorasent.gate import sections
from lorasent.gate.integrity.side import Fault, Side

Differences = Mapping[str, tuple[Any, Any]]
"""Old and new value by key ("table.key")."""

ALLOW = "ship the same as the baseline, or list {} in may_change of [integrity]"
"""Advice about a difference that the policy does not allow."""


class Passed(NamedTuple):
    """Why a check passes; `declared` are the differences that the policy allows."""

    message: str
    declared: Mapping[str, tuple[Any, Any]] = {}


class Comparison(NamedTuple):
    """The two sides that a check compares, and the policy's settings."""

    candidate: Side
    baseline: Side
    settings: sections.Integrity

    def directories(self) -> list[Side]:
        """The sides that have a directory to inspect, the candidate first; a recorded baseline has none."""
        return [side for side in (self.candidate, self.baseline) if side.path is not None]

    @property
    def same_base(self) -> bool:
        """Whether both manifests pin a base of the same weights."""
        return self.candidate.manifest.base.sha256 == self.baseline.manifest.base.sha256

    def allows(self, key: str) -> bool:
        """Whether the policy's may_change lists a key or its table."""
        return key in self.settings.may_change or key.partition(".")[0] in self.settings.may_change

    def allow(self, differences: Differences, cause: str, what: str, entry: str | None = None) -> Differences:
        """The differences from the baseline, if the policy allows all. Raises the candidate's Fault about any other.

        `entry` is what the advice lists for may_change, instead of the keys.
        """
        refused = {key: change for key, change in differences.items() if not self.allows(key)}
        if refused:
            entries = entry or ", ".join(f'"{key}"' for key in refused)
            message = f"{what}: {summary(refused)}; may_change is {list(self.settings.may_change)}"
            raise Fault(cause, message, ALLOW.format(entries), differences=refused)
        return differences


def summary(differences: Differences) -> str:
    """Differences as text: key, old value, new value."""
    return ", ".join(f"{key} {old} -> {new}" for key, (old, new) in differences.items())
