"""The faults of a candidate's files as SARIF 2.1.0, which code scanning shows beside the files."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from lorasent import files
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "lorasent.json"
FILES = {
    "tensors": WEIGHTS,
    "values": WEIGHTS,
    "parameters": WEIGHTS,
    "answers": WEIGHTS,
    "base": CONFIG,
    "encoding": "tokenizer.json",
}
"""The file of the adapter that a check of integrity is about; those of the other checks are about the manifest."""


def sarif(verdict: Verdict) -> str:
    """A SARIF log with a result for each fault of the files. Without a fault it has none, which closes earlier alerts."""
    found = list(faults(verdict))
    causes = list(dict.fromkeys(finding.cause for finding in found))
    rules = [{"id": cause, "shortDescription": {"text": cause.replace("-", " ")}} for cause in causes]
    driver = {"name": "lorasent", "version": metadata.version("lorasent"), "rules": rules}
    results = [_result(verdict, finding, causes.index(finding.cause)) for finding in found]
    return files.canonical({"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]})


def faults(verdict: Verdict) -> Iterator[Finding]:
    """The findings about the candidate's files that did not pass."""
    for finding in verdict.findings:
        if finding.check.partition("::")[0] == "integrity" and finding.outcome is not Outcome.PASS:
            yield finding


def location(verdict: Verdict, finding: Finding) -> str:
    """The path of the file that a finding of integrity is about, as it stands in the repository: leading ".." are dropped."""
    name = finding.check.partition("::")[2].partition("::")[0]
    path = Path(verdict.candidate, FILES.get(name, MANIFEST))
    return path.as_posix() if path.is_absolute() else "/".join(part for part in path.parts if part != "..")


def _result(verdict: Verdict, finding: Finding, rule: int) -> dict[str, Any]:
    path = Path(location(verdict, finding))
    uri = path.as_uri() if path.is_absolute() else Path("/", path).as_uri().removeprefix("file:///")
    message = finding.message + (f". What to do: {finding.advice}" if finding.advice else "")
    return {
        "ruleId": finding.cause,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": message},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}}],
        "properties": {"check": finding.check, "outcome": str(finding.outcome)},
    }
