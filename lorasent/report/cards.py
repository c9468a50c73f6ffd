"""Cards: what an adapter or recorded evidence is, as lines for a terminal. Nothing is loaded, and torch is not imported."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorasent.adapter import manifest
from lorasent.adapter.manifest import Manifest
from lorasent.adapter.snapshot import CONFIG, Snapshot, of
from lorasent.errors import AdapterError
from lorasent.scoring.evidence import RecordedSubject
from lorasent.text import LONG, MESSAGE, WIDTH, shown, some, wrapped

ORIGINS = {
    "trained": "trained by lorasent",
    "sealed": "trained by another script, sealed from the trainer's memory",
    "adopted": "trained by another script, adopted from its files",
}
"""What a manifest's origin means."""

EPOCHS = {"training_loss": "train loss", "validation_loss": "val loss", **{name: name for name in ("accuracy", "f1", "mcc")}}
"""Columns of the epoch table: keys of the manifest, and their heads."""

Rows = Iterator[tuple[str, str]]


def lines(title: str, rows: Rows, width: int = WIDTH) -> Iterator[str]:
    """A card: its title, and for each name what stands there, further lines set in. Everything is made safe to show."""
    yield shown(title, LONG)
    for name, value in rows:
        first, *rest = wrapped(shown(value, MESSAGE), width - 14, "")
        yield f"  {name:<11} {first}"
        yield from (f"{'':14}{line}" for line in rest)


def adapter(path: Path) -> Iterator[str]:
    """The card of an adapter's directory. Raises AdapterError."""
    snapshot = of(path)
    if snapshot.is_bare:
        yield from lines(str(path), _bare(snapshot))
        return
    read = manifest.read(snapshot)
    yield from lines(str(path), _adapter(snapshot, read))
    yield from _epochs(read)


def _adapter(snapshot: Snapshot, read: Manifest) -> Rows:
    content = read.content
    yield "what", "a whole model" if read.is_model else f"an adapter, {ORIGINS[read.origin]}"
    yield from _base(read)
    yield "labels", some(read.labels, 6)
    encoding = (read.tables or {}).get("encoding", {}) if read.saved_encoding is None else read.saved_encoding.model_dump()
    yield "encoding", f"at most {encoding.get('max_length')} tokens, cut on the {encoding.get('truncation_side', 'left')}"
    if lora := (read.tables and read.tables.get("lora")) or read.peft:
        yield "LoRA", _lora(lora)
    parameters = content.get("parameters")
    if isinstance(parameters, Mapping) and all(isinstance(parameters.get(key), int) for key in ("trainable", "total")):
        trained, total = parameters["trainable"], max(parameters["total"], 1)
        yield "parameters", f"{trained:,} trained of {total:,} ({trained / total:.2%})"
    for split, about in read.data.items():
        yield split, f"{about.reviews:,} reviews of {about.source} (sha256 {about.sha256[:12]})"
    yield from _files(snapshot, read)


def _base(read: Manifest) -> Rows:
    revision = f", revision {read.base.revision}" if read.base.revision else ""
    yield "base", f"{read.base.name}{revision} (sha256 {read.base.sha256[:12]})"


def _files(snapshot: Snapshot, read: Manifest) -> Rows:
    size = sum((snapshot.folder / name).stat().st_size for name in snapshot)
    try:
        manifest.verify(snapshot)
        state = "as the manifest lists them"
    except AdapterError as error:
        state = f"NOT as the manifest lists them: {error}"
    yield "files", f"{len(list(snapshot))} files, {size:,} bytes, {state}"
    libraries = read.content.get("libraries")
    if isinstance(libraries, Mapping):
        yield "made with", _libraries(libraries)
    yield "identity", manifest.identity(snapshot)


def _bare(snapshot: Snapshot) -> Rows:
    """An adapter, or a model, without a manifest: what its configuration says of itself."""
    yield "what", "a directory without lorasent.json: another script trained it, and nothing proves how; see lorasent adopt"
    if CONFIG in snapshot:
        config = snapshot.json(CONFIG)
        yield "base", f"{config.get('base_model_name_or_path')} (by its own word)"
        yield "LoRA", _lora(config)
    size = sum((snapshot.folder / name).stat().st_size for name in snapshot)
    yield "files", f"{some(sorted(snapshot), 8)}; {size:,} bytes"


def _lora(lora: Mapping[str, Any]) -> str:
    alpha, dropout = lora.get("alpha", lora.get("lora_alpha")), lora.get("dropout", lora.get("lora_dropout"))
    targets = lora.get("target_modules")
    named = some(sorted(map(str, targets)), 6) if isinstance(targets, list) else shown(targets)
    return f"r {shown(lora.get('r'))}, alpha {shown(alpha)}, dropout {shown(dropout)}, on {named}"


def _libraries(libraries: Mapping[str, Any]) -> str:
    return ", ".join(f"{shown(name)} {shown(version)}" for name, version in [*libraries.items()][:12])


def _epochs(read: Manifest) -> Iterator[str]:
    """The epoch table, the best epoch marked; none where the manifest has none."""
    table, best = read.content.get("epochs"), read.content.get("best")
    rows = [row for row in table if isinstance(row, Mapping)] if isinstance(table, list) else []
    if not rows:
        return
    yield "  " + "epoch".ljust(8) + "".join(head.rjust(12) for head in EPOCHS.values())
    for row in rows[:100]:
        numbers = (row.get(key) for key in EPOCHS)
        cells = "".join((f"{number:.4f}" if isinstance(number, int | float) else "-").rjust(12) for number in numbers)
        chosen = " *" if isinstance(best, Mapping) and row.get("epoch") == best.get("epoch") else ""
        yield f"  {shown(row.get('epoch'), 6) + chosen:<8}{cells}"
    yield "  * the epoch that was kept"


def evidence(path: Path) -> Iterator[str]:
    """The card of recorded evidence. Raises EvidenceError."""
    recorded = RecordedSubject(path)
    yield from lines(str(path), _evidence(recorded))


def _evidence(recorded: RecordedSubject) -> Rows:
    counts = [len(array) for name, array in recorded.tensors.items() if name.endswith(".lengths")]
    yield "what", f"recorded evidence: lists of texts: {len(counts)}, answers: {sum(counts):,}"
    yield from _base(recorded.manifest)
    yield "labels", some(recorded.labels, 6)
    yield "answered on", recorded.made_on
    yield "libraries", _libraries(recorded.libraries)
    yield "identity", recorded.identity
