"""integrity::files: the directory holds the files that its manifest lists, unchanged, and nothing that could be code."""

from pathlib import Path

from lorasent.adapter.manifest import CONFIG, MANIFEST
from lorasent.adapter.snapshot import DATA_FILES, MODEL_CONFIG
from lorasent.files import CONVERTED
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.comparison import EXPORT, RETRIEVE, Comparison, Passed, Side
from lorasent.text import some

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
"""Files without which no adapter can be loaded, beside its weights and their configuration."""

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of the names of pickles."""


def inspect(side: Side) -> None:
    """Raises the fault of files that are missing, changed, added, or could be code."""
    listed, snapshot = side.manifest.files, side.snapshot
    present = list(snapshot)
    if pickles := [name for name in present if name.endswith(PICKLES)]:
        raise side.fault("pickle", f"holds a pickle, which is never loaded: {some(pickles)}", "remove it: " + EXPORT)
    if refused := sorted(snapshot.refused):
        raise side.fault("file-forbidden", f"{some(refused)}: {snapshot.refused[refused[0]]}", "remove it")
    if strange := sorted(name for name in listed if not name.endswith(DATA_FILES) or Path(name).name != name):
        allowed = f"an adapter has {', '.join(DATA_FILES)}, and no folders"
        raise side.fault("file-forbidden", f"{MANIFEST} lists {some(strange)}: {allowed}")
    required = {*TOKENIZER, *snapshot.weights, MODEL_CONFIG if side.manifest.is_model else CONFIG}
    if missing := sorted({*required, *listed} - snapshot.hashes.keys()):
        raise side.fault("file-missing", f"{some(missing)} missing: {MANIFEST} lists it, or loading needs it", RETRIEVE)
    if added := [name for name in present if name not in listed]:
        raise side.fault("file-added", f"{some(added)}: not among the files that {MANIFEST} lists", "remove it")
    if changed := [name for name in present if snapshot.hashes[name] != listed[name]]:
        if all(snapshot.is_converted(name, listed[name]) for name in changed):
            fault = side.fault("line-endings", f"{some(changed)}: {CONVERTED}", CONVERTED.partition(": ")[2])
            fault.outcome = Outcome.INVALID  # git converted their line endings
            raise fault
        message = f"{some(changed)}: changed since the adapter was written: the sha256 is not the one in {MANIFEST}"
        raise side.fault("file-changed", message, RETRIEVE)


def compare(comparison: Comparison) -> Passed:
    """Passes: each side's files are held to its own manifest alone."""
    return Passed(f"{len(list(comparison.candidate.snapshot))} files, as {MANIFEST} lists them")
