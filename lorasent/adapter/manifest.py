"""The manifest of an adapter, lorasent.json: what the adapter was made from, and the sha256 of every file beside it.

Reading it and holding the files to it needs no model and does not import torch.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel as Schema
from pydantic import Field, ValidationError, field_validator, model_validator

from lorasent import files
from lorasent.adapter.snapshot import CONFIG, MANIFEST, WEIGHTS, Snapshot, of, read_json
from lorasent.errors import AdapterError
from lorasent.text import shown

__all__ = ["CONFIG", "MANIFEST", "WEIGHTS", "identity", "read", "read_json", "verify"]


Name = Annotated[str, Field(max_length=200)]
"""A label."""


class _Pinned(Schema):
    name: Annotated[str, Field(max_length=4096)]
    sha256: str
    revision: str | None
    config: dict[str, Any] | None = None
    """The base's configuration; manifests that an older lorasent wrote have none."""

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name:
            raise ValueError("names no base")
        return name


class _Probes(Schema):
    """What is answered whenever the adapter is loaded: bounded, so that loading is."""

    texts: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=50)]
    logits: list[list[float]]


class _Split(Schema):
    source: str
    sha256: str
    reviews: int


class _Manifest(Schema):
    """What a manifest must hold for its adapter to be loaded; it holds more."""

    schema_version: Literal[1]
    recipe: dict[str, Any]
    base: _Pinned
    labels: Annotated[list[Name], Field(min_length=2, max_length=10_000)]
    tokenizer_sha256: str
    probes: _Probes
    files: dict[str, str]
    data: dict[str, _Split] = {}

    @model_validator(mode="after")
    def _answers_every_probe(self) -> "_Manifest":
        if [len(row) for row in self.probes.logits] != [len(self.labels)] * len(self.probes.texts):
            raise ValueError("probes: every text needs a logit for each label")
        return self


def read(path: Path | Snapshot) -> dict[str, Any]:
    """The manifest of an adapter's directory. Raises AdapterError, which names the key that is not as it must be."""
    snapshot = of(path)
    snapshot.require(MANIFEST)
    manifest = snapshot.json(MANIFEST)
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(shown, problem["loc"]))
        raise AdapterError(f"{snapshot.path / MANIFEST}: {key}: {shown(problem['msg'])}, found {shown(problem['input'])}") from None
    return manifest


def verify(path: Path | Snapshot) -> dict[str, Any]:
    """Holds the files of an adapter to its manifest, without loading the model; the manifest.

    Raises AdapterError, which names the file that is missing, added, or not what was written.
    """
    snapshot = of(path)
    manifest = read(snapshot)
    listed = manifest["files"]
    for name in sorted({WEIGHTS, CONFIG} | listed.keys()):
        where = snapshot.path / shown(name)
        if name in snapshot.refused:
            raise AdapterError(f"{where}: {snapshot.refused[name]}")
        if name not in snapshot.hashes:
            raise AdapterError(f"{where}: missing, the manifest lists it")
        if snapshot.hashes[name] != listed.get(name):
            if snapshot.is_converted(name, listed.get(name)):
                raise AdapterError(f"{where}: {files.CONVERTED}", "line-endings")
            raise AdapterError(f"{where}: not the file that was written (sha256 differs from the manifest's)")
    if added := [name for name in snapshot if name not in listed]:
        raise AdapterError(f"{snapshot.path / shown(added[0])}: not among the files that the manifest lists; remove it")
    return manifest


def identity(path: Path | Snapshot) -> str:
    """The sha256 of everything that an adapter's answers follow from: its files as they are, and what its manifest says."""
    snapshot = of(path)
    said = read(snapshot)
    told = {key: said[key] for key in ("recipe", "base", "labels")}
    digests = {shown(name): snapshot.hashes.get(name) for name in snapshot}
    return hashlib.sha256(files.canonical({"files": digests, **told}).encode()).hexdigest()
