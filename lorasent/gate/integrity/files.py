"""integrity::files: the directory holds the files that its manifest lists, unchanged, and nothing that could be code."""

from pathlib import Path

from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.adapter.snapshot import DATA_FILES
from lorasent.files import CONVERTED
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.comparison import Comparison, Passed
from lorasent.gate.integrity.side import EXPORT, RETRIEVE, Side, some

REQUIRED = (WEIGHTS, CONFIG, "tokenizer.json", "tokenizer_config.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def inspect(side: Side) -> None:
    """Raises the fault of files that are missing, changed, added, or could be code."""
    listed, snapshot = side.manifest.files, side.snapshot
    present = list(snapshot)
    where = f"{snapshot.path}: "
    if pickles := [name for name in present if name.endswith(PICKLES)]:
        raise side.fault("pickle", f"{where}holds a pickle, which is never loaded: {some(pickles)}", "remove it: " + EXPORT)
    if refused := sorted(snapshot.refused):
        raise side.fault("file-forbidden", f"{where}{some(refused)}: {snapshot.refused[refused[0]]}", "remove it")
    if strange := sorted(name for name in listed if not name.endswith(DATA_FILES) or Path(name).name != name):
        allowed = f"an adapter has {', '.join(DATA_FILES)}, and no folders"
        raise side.fault("file-forbidden", f"{where}{MANIFEST} lists {some(strange)}: {allowed}", EXPORT)
    if missing := sorted(name for name in {*REQUIRED, *listed} if name not in snapshot.hashes):
        raise side.fault("file-missing", f"{where}lacks {some(missing)}, required by {MANIFEST} or to load it", RETRIEVE)
    if added := [name for name in present if name not in listed]:
        raise side.fault("file-added", f"{where}{some(added)}: not among the files that {MANIFEST} lists", "remove it")
    if changed := [name for name in present if snapshot.hashes[name] != listed[name]]:
        if all(snapshot.is_converted(name, listed[name]) for name in changed):
            fault = side.fault("line-endings", f"{where}{some(changed)}: {CONVERTED}", CONVERTED.partition(": ")[2])
            fault.outcome = Outcome.INVALID  # git's doing
            raise fault
        message = f"{where}{some(changed)}: not what was written, the sha256 differs from {MANIFEST}'s"
        raise side.fault("file-changed", message, RETRIEVE)


def compare(comparison: Comparison) -> Passed:
    """Passes: each side's files are held to its own manifest alone."""
    return Passed(f"{len(list(comparison.candidate.snapshot))} files, as {MANIFEST} lists them")
