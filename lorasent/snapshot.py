"""An adapter's directory as it was at one moment: each data file is read once, into a private copy, and hashed as it is read.

What is hashed is what is loaded: everything after this reads the copy, which holds nothing else. The directory is a stranger's:
a FIFO would hang, a device never ends, and a link may lead to a secret, so regular files of a bounded size inside the directory are
read, and nothing besides.
"""

import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorasent.errors import AdapterError
from lorasent.files import open_regular
from lorasent.text import shown

MANIFEST = "lorasent.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
"""The model card, which people edit."""

DATA_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""How the files of an adapter end."""

BESIDE = (CARD, "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "__MACOSX", "Thumbs.db", "desktop.ini")
"""What people, hubs and desktops put beside an adapter, as they do files whose name begins with a dot: nobody loads it."""

MOST_BYTES = {WEIGHTS: 4 << 30, "tokenizer.json": 40 << 20, "vocab.json": 40 << 20}
MOST = 8 << 20
"""Bytes of any other file. JSON takes up to twenty times its size in memory."""

MOST_FILES = 200

POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS left in the place of a large one."""


class Snapshot:
    """A private copy of an adapter's directory, which is removed with this object. Raises AdapterError if there is no directory.

    `path` is the directory and what messages name; `folder` is the copy, from which everything is read; `hashes` are the sha256 of
    the files in it; `refused` says why something in the directory was not read; `pointers` are Git LFS's, in place of files.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise AdapterError(f"{self.path}: no such adapter directory")
        self.folder = Path(tempfile.mkdtemp(prefix="lorasent-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.hashes: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.pointers: list[str] = []
        try:
            found = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise AdapterError(f"{self.path}: no directory that can be read: {error.strerror}") from None
        names = [name for name in found if not name.startswith(".") and name not in BESIDE]
        for count, name in enumerate(names):
            try:
                self._take(name, count)
            except (OSError, ValueError) as error:  # ValueError: a name with NUL
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
            raise OSError(None, "is a link out of the directory; put the file itself there")
        digest = hashlib.sha256()
        limit = MOST_BYTES.get(name, MOST if not name.endswith(".safetensors") else MOST_BYTES[WEIGHTS])
        with open_regular(target, limit) as source, (self.folder / name).open("wb") as copy:
            first = source.read(1 << 20)
            if first.startswith(POINTER):
                self.pointers.append(name)
            block, left = first, limit
            while block and left >= 0:  # the file may grow while it is read
                digest.update(block)
                copy.write(block)
                left -= len(block)
                block = source.read(1 << 20)
        self.hashes[name] = digest.hexdigest()


def of(path: "str | Path | Snapshot") -> Snapshot:
    """The snapshot itself, or one of the directory at a path."""
    return path if isinstance(path, Snapshot) else Snapshot(path)


def read_json(path: Path, name: Path | None = None, limit: int = MOST_BYTES["tokenizer.json"]) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes, which messages call `name`. Raises AdapterError if there is none."""
    name = name or path
    try:
        with open_regular(path, limit) as file:
            content = json.loads(file.read())
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # NaN and half characters could not be hashed
    except FileNotFoundError:
        raise AdapterError(f"{name}: no such file") from None
    except OSError as error:
        raise AdapterError(f"{name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name}: not JSON that can be read: {error}") from None
    if not isinstance(content, dict):
        raise AdapterError(f"{name}: expected a JSON object, found {shown(content)}")
    return content


def _homes(path: Path) -> list[Path]:
    """The folders that a directory's files lie in: itself, and the blobs of the hub's cache, whose snapshots are links to them."""
    root = Path(os.path.realpath(path))
    return [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
