"""A private copy of an adapter's directory: each data file is read once, and hashed as it is copied.

What is hashed is what is loaded: everything else reads the copy. Somebody else wrote the directory: a FIFO would hang, a device
never ends, and a link may lead to a secret. So only regular files of bounded size inside the directory are read.
"""

import errno
import hashlib
import itertools
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorasent.adapter.untrusted import Pointer, most_bytes, pointer, read_json
from lorasent.errors import AdapterError, LorasentError, NotFetchedError
from lorasent.files import is_converted, open_regular, private
from lorasent.text import shown

MANIFEST = "lorasent.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
"""The model card, which people edit."""

TEXT_FILES = (".json", ".txt", ".jinja")
DATA_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""Suffixes of an adapter's files."""

BESIDE = (CARD, "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "__MACOSX", "Thumbs.db", "desktop.ini")
"""Files that people, hubs and desktops put beside an adapter. They are ignored, and so are names that begin with a dot."""

TRACKED = ".dvc"
"""Suffix of the file that DVC puts beside each file that it tracks."""

MOST_FILES = 200
"""Largest number of files that are read of a directory."""

STORES = {"/.git/annex/": "git annex get, then git annex unlock", "/.dvc/cache/": "dvc pull, then dvc unprotect"}
"""Folders to which git-annex and DVC link, and the commands that put the file itself in the place of the link."""

MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Errors while copying that are not the directory's fault."""


class Snapshot:
    """A private copy of an adapter's directory, which is removed with this object. Raises AdapterError if there is no directory.

    `path` is the directory, which messages name; `folder` is the copy; `hashes` are the sha256 of the files in it; `refused` says
    of each file that was not read why; `pointers` are the files in whose place Git LFS or git-annex left a note.
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
        self.pointers: dict[str, Pointer] = {}
        try:
            present = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise AdapterError(f"{self.path}: no directory that can be read: {error.strerror}") from None
        names = [name for name in present if not name.startswith(".") and not name.endswith(TRACKED) and name not in BESIDE]
        for count, name in enumerate(names):
            try:
                self._take(name, count)
            except (OSError, ValueError) as error:  # ValueError: a name with NUL
                if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
                    raise _no_room(self.folder, error) from None
                self.refused[name] = getattr(error, "strerror", None) or shown(error)

    def __iter__(self) -> Iterator[str]:
        """The names of all files but the manifest, read or refused."""
        return iter(sorted({*self.hashes, *self.refused} - {MANIFEST}))

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file. Raises AdapterError."""
        self.require_read(name)
        return read_json(self.folder / name, self.path / name)

    @property
    def listed(self) -> dict[str, str]:
        """The hashes that a manifest of these files lists, by name."""
        return {name: digest for name, digest in self.hashes.items() if name != MANIFEST}

    def require_read(self, name: str, cause: str = "") -> None:
        """Raises AdapterError if a file exists and was refused."""
        if name in self.refused:
            raise AdapterError(f"{self.path / name}: {self.refused[name]}", cause)

    def require(self, *names: str) -> None:
        """Raises AdapterError unless these files are there, and NotFetchedError where anything is a pointer."""
        for name, found in self.pointers.items():
            message = f"{self.path / name}: is a pointer of {found.tool}, not the file itself"
            raise NotFetchedError(message, found.cause, found.command)
        for name in names:
            self.require_read(name, "file-unreadable")
            if name not in self.hashes and (self.path / f"{name}{TRACKED}").is_file():
                raise NotFetchedError(f"{self.path / name}: is kept by DVC, and not here", "dvc-pointer", "dvc pull")
        if not self.hashes.keys() >= set(names):
            reason = f"not an adapter: needs {' and '.join(names)}"
            if MANIFEST in names:
                reason = f"no {MANIFEST}: lorasent did not train this adapter, or its manifest was left behind"
            if inside := [shown(self.path / folder, 200) for folder in self._adapters_inside()]:
                reason = f"holds no adapter; name one of the folders in it that do: {', '.join(inside)}"
            raise AdapterError(f"{self.path}: {reason}", "manifest-missing" if MANIFEST in names else "file-missing")

    def _adapters_inside(self) -> list[str]:
        """At most three folders in the directory that hold an adapter, the last checkpoint first; none if it holds one itself."""
        if CONFIG in self.hashes or CONFIG in self.refused:
            return []
        folders = [path for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}") for path in itertools.islice(self.path.glob(pattern), 100)]
        names = {path.parent.relative_to(self.path).as_posix() for path in folders}
        return sorted(names, key=lambda name: [-int(number) for number in re.findall(r"\d{1,18}", name)])[:3]

    def is_converted(self, name: str, digest: str | None) -> bool:
        """Whether a file has this sha256, line endings aside."""
        return name.endswith(TEXT_FILES) and is_converted(self.folder / name, digest)

    def _take(self, name: str, count: int) -> None:
        """Copies a file and hashes the copy. Raises OSError, which says why it is not read."""
        path = self.path / name
        try:
            name.encode()
        except UnicodeEncodeError:
            raise OSError(None, "its name is not UTF-8") from None
        if path.is_dir() and not path.is_symlink():
            raise OSError(None, "is a folder; an adapter has none")
        if not name.endswith(DATA_FILES):
            raise OSError(None, f"is no data file of an adapter; allowed are {', '.join(DATA_FILES)}")
        if count >= MOST_FILES:
            raise OSError(None, f"is one of more than {MOST_FILES} files")
        target = Path(os.path.realpath(path))
        if target.parent not in _homes(self.path):
            put = next((how for store, how in STORES.items() if store in target.as_posix()), "put the file itself there")
            raise OSError(None, f"is a link out of the directory; {put}")
        digest, left = hashlib.sha256(), most_bytes(name)
        with open_regular(target, left) as source:
            block = source.read(1 << 20)
            if found := pointer(block):
                self.pointers[name] = found
            with (self.folder / name).open("wb") as copy:
                while block and left >= 0:  # the file may grow while it is read
                    digest.update(block)
                    copy.seek(len(block), os.SEEK_CUR) if not block.strip(b"\0") else copy.write(block)  # holes stay
                    left -= len(block)
                    block = source.read(1 << 20)
                copy.truncate()
        self.hashes[name] = digest.hexdigest()


def of(path: "str | Path | Snapshot") -> Snapshot:
    """The snapshot itself, or one of the directory at a path."""
    return path if isinstance(path, Snapshot) else Snapshot(path)


def _no_room(folder: str | Path, error: OSError) -> LorasentError:
    return LorasentError(f"{folder}: no room for a private copy of the adapter: {error.strerror}; set TMPDIR to a folder with room")


def _homes(path: Path) -> list[Path]:
    """The folders in which a directory's files may lie: the directory, and the blobs to which links in the hub's cache point."""
    root = Path(os.path.realpath(path))
    return [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
