"""An adapter's directory as it was at one moment: each data file is read once, into a private copy, and hashed as it is read.

What is hashed is what is loaded: everything after this reads the copy, which holds nothing else. The directory is a stranger's:
a FIFO would hang, a device never ends, and a link may lead to a secret, so regular files of a bounded size inside the directory are
read, and nothing besides.
"""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorasent.errors import AdapterError, LorasentError, NotFetchedError
from lorasent.files import is_converted, open_regular, private
from lorasent.text import decode, shown

MANIFEST = "lorasent.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
"""The model card, which people edit."""

TEXT_FILES = (".json", ".txt", ".jinja")
DATA_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""How the files of an adapter end."""

BESIDE = (CARD, "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "__MACOSX", "Thumbs.db", "desktop.ini")
"""What people, hubs and desktops put beside an adapter, as they do files whose name begins with a dot: nobody loads it."""

TRACKED = ".dvc"
"""How the files end that DVC puts beside those that it keeps."""

MOST_BYTES = {WEIGHTS: 2 << 30, "tokenizer.json": 40 << 20, "vocab.json": 40 << 20}
MOST = 8 << 20
"""Bytes of any other file. JSON takes up to twenty times its size in memory."""

MOST_FILES = 200

POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "lfs-pointer", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "annex-pointer", "git annex get"),
}
"""How a file begins that lies in the place of a large one: whose it is, the cause of the fault, and what fetches the file."""

STORES = {"/.git/annex/": "git annex get, then git annex unlock", "/.dvc/cache/": "dvc pull, then dvc unprotect"}
"""Where the links lead that git-annex and DVC put in the place of files, and what puts the files there."""

MOST_VALUES = 2_000_000
"""In one JSON file. A value takes up to thirty times the bytes in memory that it takes in the file; a vocabulary has a million."""

DEEPEST = 100
"""Objects and lists inside one another in JSON. What compares or writes them goes as deep."""


OURS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Errors of a copy that are not the directory's fault."""


class Snapshot:
    """A private copy of an adapter's directory, which is removed with this object. Raises AdapterError if there is no directory.

    `path` is the directory and what messages name; `folder` is the copy, from which everything is read; `hashes` are the sha256 of
    the files in it; `refused` says why something in the directory was not read; `pointers` are the files in whose place Git LFS
    or git-annex left a note, each with its beginning (see POINTERS).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not os.path.isdir(self.path):  # noqa: PTH112 - Path's raises where a name is too long
            raise AdapterError(f"{self.path}: no such adapter directory", "directory-missing")
        try:
            self.folder = Path(tempfile.mkdtemp(dir=private()))
        except OSError as error:
            raise _no_room(tempfile.gettempdir(), error) from None
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.hashes: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.pointers: dict[str, bytes] = {}
        try:
            found = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise AdapterError(f"{self.path}: no directory that can be read: {error.strerror}") from None
        names = [name for name in found if not name.startswith(".") and not name.endswith(TRACKED) and name not in BESIDE]
        for count, name in enumerate(names):
            try:
                self._take(name, count)
            except (OSError, ValueError) as error:  # ValueError: a name with NUL
                if isinstance(error, OSError) and error.errno in OURS:
                    raise _no_room(self.folder, error) from None
                self.refused[name] = getattr(error, "strerror", None) or shown(error)

    def __iter__(self) -> Iterator[str]:
        """The names of the files that a manifest answers for, read or refused: all but the manifest."""
        return iter(sorted({*self.hashes, *self.refused} - {MANIFEST}))

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file. Raises AdapterError."""
        if name in self.refused:
            raise AdapterError(f"{self.path / name}: {self.refused[name]}")
        return read_json(self.folder / name, self.path / name)

    @property
    def listed(self) -> dict[str, str]:
        """What a manifest of these files lists: their hashes by name."""
        return {name: digest for name, digest in self.hashes.items() if name != MANIFEST}

    def require(self, *names: str) -> None:
        """Raises AdapterError unless these files are there, and NotFetchedError where anything is a pointer."""
        for name, begin in self.pointers.items():
            whose, cause, command = POINTERS[begin]
            raise NotFetchedError(f"{self.path / name}: is a pointer of {whose}, not the file itself", cause, command)
        for name in names:
            if name in self.refused:
                raise AdapterError(f"{self.path / name}: {self.refused[name]}", "file-unreadable")
            if name not in self.hashes and (self.path / f"{name}{TRACKED}").is_file():
                raise NotFetchedError(f"{self.path / name}: is kept by DVC, and not here", "dvc-pointer", "dvc pull")
        if not self.hashes.keys() >= set(names):
            reason = f"not an adapter: needs {' and '.join(names)}"
            if MANIFEST in names:
                reason = f"no {MANIFEST}: lorasent did not train this adapter, or its manifest was left behind"
            if inside := [shown(self.path / folder, 200) for folder in self._adapters_inside()]:
                reason = f"no adapter, but there is one in {', '.join(inside)}: give that"
            raise AdapterError(f"{self.path}: {reason}", "manifest-missing" if MANIFEST in names else "file-missing")

    def _adapters_inside(self) -> list[str]:
        """Folders of the directory that hold an adapter, the last checkpoint first; none where an adapter lies beside them."""
        if CONFIG in self.hashes or CONFIG in self.refused:
            return []
        folders = [path for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}") for path in itertools.islice(self.path.glob(pattern), 100)]
        names = {path.parent.relative_to(self.path).as_posix() for path in folders}
        return sorted(names, key=lambda name: [-int(number) for number in re.findall(r"\d{1,18}", name)])[:3]

    def is_converted(self, name: str, digest: str | None) -> bool:
        """Whether a file has this sha256 but for its line endings."""
        return name.endswith(TEXT_FILES) and is_converted(self.folder / name, digest)

    def _take(self, name: str, count: int) -> None:
        path = self.path / name
        try:
            name.encode()
        except UnicodeEncodeError:
            raise OSError(None, "its name is no UTF-8") from None
        if path.is_dir() and not path.is_symlink():
            raise OSError(None, "is a folder, an adapter has none")
        if not name.endswith(DATA_FILES):
            raise OSError(None, f"is no data file of an adapter; allowed are {', '.join(DATA_FILES)}")
        if count >= MOST_FILES:
            raise OSError(None, f"is one of more than {MOST_FILES} files")
        target = Path(os.path.realpath(path))
        if target.parent not in _homes(self.path):
            put = next((how for store, how in STORES.items() if store in target.as_posix()), "put the file itself there")
            raise OSError(None, f"is a link out of the directory; {put}")
        digest = hashlib.sha256()
        limit = MOST_BYTES.get(name, MOST if not name.endswith(".safetensors") else MOST_BYTES[WEIGHTS])
        with open_regular(target, limit) as source:
            block, left = source.read(1 << 20), limit
            if begin := next(filter(block.startswith, POINTERS), None):
                self.pointers[name] = begin
            with (self.folder / name).open("wb") as copy:
                while block and left >= 0:  # the file may grow while it is read
                    digest.update(block)
                    copy.seek(len(block), os.SEEK_CUR) if not block.strip(b"\0") else copy.write(block)  # a hole stays one
                    left -= len(block)
                    block = source.read(1 << 20)
                copy.truncate()
        self.hashes[name] = digest.hexdigest()


def of(path: "str | Path | Snapshot") -> Snapshot:
    """The snapshot itself, or one of the directory at a path."""
    return path if isinstance(path, Snapshot) else Snapshot(path)


def read_json(path: Path, name: Path | None = None, limit: int = MOST_BYTES["tokenizer.json"]) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes, which messages call `name`. Raises AdapterError if there is none."""
    name = name or path
    try:
        with open_regular(path, limit) as file:
            content = json.loads(decode(_few(file.read())), object_pairs_hook=_object)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # NaN and half characters could not be hashed
        _require_shallow(content)
    except FileNotFoundError:
        raise AdapterError(f"{name}: no such file") from None
    except OSError as error:
        raise AdapterError(f"{name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name}: not JSON that can be read: {shown(error, 200)}") from None
    if not isinstance(content, dict):
        raise AdapterError(f"{name}: expected a JSON object, found {shown(content)}")
    return content


def _few(written: bytes) -> bytes:
    """JSON as it is, unless it holds more values than MOST_VALUES, then ValueError: nothing is made of it before."""
    if written.count(b",") > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    return written


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose readers do not agree on which of two equal keys counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in an object")
    return content


def _require_shallow(content: Any) -> None:
    """Raises ValueError for JSON that is nested deeper than DEEPEST."""
    level, depth = [content], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        level = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} objects and lists")


def _no_room(folder: str | Path, error: OSError) -> LorasentError:
    return LorasentError(f"{folder}: no room for a private copy of the adapter: {error.strerror}; set TMPDIR to a folder with room")


def _homes(path: Path) -> list[Path]:
    """The folders that a directory's files lie in: itself, and the blobs of the hub's cache, whose snapshots are links to them."""
    root = Path(os.path.realpath(path))
    return [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
