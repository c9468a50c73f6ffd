"""integrity::answers: the adapter in memory answers the manifest's probes as it did when it was trained.

Only directories without faults in their files are loaded, because libraries do not expect such faults.
"""

from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import encoding, files, probes, recipe, tensors
from lorasent.gate.integrity.comparison import Comparison, Fault, Passed, Side

PREFIXED = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
"""Parts of a tokenizer that depend on encoding.add_prefix_space. Other checks compare that key, and these parts as saved."""


def sides(comparison: Comparison) -> list[Side]:
    """The directories to load. If both sides are one adapter, only the baseline's: its faults are not the candidate's."""
    directories = comparison.directories()
    return directories[-1:] if _same(comparison) else directories


def inspect(side: Side) -> None:
    """Raises the fault of files, tensors, configuration or tokenizer with which the adapter must not be loaded."""
    files.inspect(side)
    tensors.inspect(side)
    recipe.require_known(side)
    encoding.inspect(side)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of changed answers, or of a tokenizer whose parts, once built, are not the baseline's."""
    candidate, baseline, _ = comparison
    # The baseline first: if its own answers moved, the libraries or the machine changed, and the candidate is not at fault.
    try:
        facts = {side.baseline: probes.prove(side) for side in reversed(sides(comparison))}
    except Fault as fault:
        if comparison.is_first and fault.cause == "answers" and candidate.manifest.libraries != candidate.subject.libraries:
            fault.outcome = Outcome.INVALID
            fault.message += "; or the libraries, which are others than in training: a baseline would tell"
        raise
    message = "the adapter answers its manifest's probes as recorded: alone, in a batch, twice, merged; LoRA changes the answers"
    if _same(comparison):
        return Passed(message)
    recorded, libraries = baseline.manifest, candidate.subject.libraries
    before = facts[True]["parts"] if True in facts else recorded.tokenizer_parts
    same_libraries = all(recorded.libraries.get(name) == libraries.get(name) for name in ("tokenizers", "transformers"))
    if before is None or (True not in facts and not same_libraries):
        return Passed(f"{message}; not compared: the tokenizer's parts, which the record does not hold for these libraries")
    now = facts[False]["parts"]
    parts = [name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
    if candidate.encoding.add_prefix_space != baseline.encoding.add_prefix_space:
        parts = [name for name in parts if name not in PREFIXED]
    if not parts or not comparison.same_base:  # another base has its own tokenizer; other checks compare it
        return Passed(message)
    change = {"encoding.tokenizer": ("the baseline's", f"another {', '.join(parts)}")}
    what = "the tokenizer that transformers makes of the files is not the baseline's"
    return Passed(message, comparison.allow(change, "tokenizer", what))


def _same(comparison: Comparison) -> bool:
    candidate, baseline = comparison.candidate.subject, comparison.baseline.subject
    return candidate.identity == baseline.identity and candidate.manifest.content == baseline.manifest.content
