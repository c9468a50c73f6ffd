"""The manifest of an adapter, lorasent.json: what the adapter was made from, and the sha256 of every file beside it.

Reading it and holding the files to it needs no model and does not import torch.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel as Schema
from pydantic import Field, ValidationError, model_validator

from lorasent import files
from lorasent.errors import AdapterError

MANIFEST = "lorasent.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


class _Pinned(Schema):
    name: str
    sha256: str
    revision: str | None


class _Probes(Schema):
    texts: Annotated[list[str], Field(min_length=1)]
    logits: list[list[float]]


class _Manifest(Schema):
    """What a manifest must hold for its adapter to be loaded; it holds more."""

    schema_version: Literal[1]
    recipe: dict[str, Any]
    base: _Pinned
    labels: Annotated[list[str], Field(min_length=2)]
    tokenizer_sha256: str
    probes: _Probes
    files: dict[str, str]

    @model_validator(mode="after")
    def _answers_every_probe(self) -> "_Manifest":
        if [len(row) for row in self.probes.logits] != [len(self.labels)] * len(self.probes.texts):
            raise ValueError("probes: every text needs a logit for each label")
        return self


def read(path: Path) -> dict[str, Any]:
    """The manifest of an adapter's directory. Raises AdapterError, which names the key that is not as it must be."""
    manifest = read_json(path / MANIFEST)
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise AdapterError(f"{path / MANIFEST}: {key}: {problem['msg']}, found {problem['input']!r:.60}") from None
    return manifest


def verify(path: Path) -> dict[str, Any]:
    """Holds the files of an adapter to its manifest, without loading the model; the manifest.

    Raises AdapterError, which names the file that is missing, added, or not what was written.
    """
    manifest = read(path)
    listed = manifest["files"]
    for name in sorted({WEIGHTS, CONFIG} | listed.keys()):
        if not (path / name).is_file():
            raise AdapterError(f"{path / name}: missing, the manifest lists it")
        if files.sha256(path / name) != listed.get(name):
            raise AdapterError(f"{path / name}: not the file that was written (sha256 differs from the manifest's)")
    if added := [name for name in hashed(path) if name not in listed]:
        raise AdapterError(f"{path / added[0]}: not among the files that the manifest lists; remove it")
    return manifest


def identity(path: Path) -> str:
    """The sha256 of everything that an adapter's answers follow from: its files as they are, and what its manifest says."""
    digests = {name: files.sha256(path / name) if (path / name).is_file() else None for name in hashed(path)}
    said = read(path)
    told = {key: said[key] for key in ("recipe", "base", "labels")}
    return hashlib.sha256(files.canonical({"files": digests, **told}).encode()).hexdigest()


def hashed(path: Path) -> list[str]:
    """The files that a manifest answers for: all but itself and the model card, which people edit."""
    names = sorted(file.name for file in path.iterdir() if file.name not in (MANIFEST, "README.md"))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise AdapterError(f"{path}: holds a file whose name is no UTF-8, {name!r}; remove it") from None
    return names


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises AdapterError if there is none."""
    try:
        content = json.loads(path.read_bytes())
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # NaN and half characters could not be hashed
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{path}: not JSON that can be read: {error}") from None
    if not isinstance(content, dict):
        raise AdapterError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
