"""A private copy of an adapter's directory: each data file is hashed as it is copied, and everything else reads the copy.

Somebody else wrote the directory: only regular files of bounded size inside it are read, and no link that may lead to a secret.
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

from lorasent import hub
from lorasent.adapter.untrusted import most_bytes, pointer, read_json
from lorasent.errors import AdapterError, LorasentError, NotFetchedError
from lorasent.files import is_converted, open_regular, private
from lorasent.text import shown

MANIFEST = "lorasent.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MODEL_CONFIG = "config.json"

TEXT_FILES = (".json", ".txt", ".jinja")
DATA_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""Suffixes of an adapter's files."""

BESIDE = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "__MACOSX", "Thumbs.db", "desktop.ini")
"""Files that people, hubs and desktops put beside an adapter. They are ignored, and so are names that begin with a dot."""

TRACKED = ".dvc"
"""Suffix of the file that DVC puts beside each file that it tracks."""

SUPPORTED = "supported are LoRA adapters and whole models that give each text one of two or more labels"
"""What is judged, for messages about what is not."""

NAME = re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+")
"""An adapter on the hub, at a revision."""

TOKENIZER = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
"""The files of a fast tokenizer. Without the first, a directory has none."""

MOST_FILES = 200
"""Largest number of files that are read of a directory."""

STORES = {"/.git/annex/": "git annex get, then git annex unlock", "/.dvc/cache/": "dvc pull, then dvc unprotect"}
"""Folders to which git-annex and DVC link, and the commands that put the file itself in the place of the link."""

MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Errors while copying that are not the directory's fault."""


class Snapshot:
    """A private copy of an adapter's directory, which is removed with this object. Raises AdapterError if there is no directory.

    `path` is the directory, or its other `name`, as messages call it; `folder` is the copy, `hashes` the sha256 of the files in it;
    `refused` are the reasons by the names of files that were not read; `pointers` are the files in whose place Git LFS or git-annex
    left a note. A directory without a tokenizer takes the files of the one in the folder `tokenizer`.
    """

    def __init__(self, path: str | Path, name: Path | None = None, tokenizer: Path | None = None) -> None:
        self.path = Path(path)
        if not os.path.isdir(self.path):  # noqa: PTH112 - Path's raises where a name is too long
            raise AdapterError(f"{self.path}: no such adapter directory", "directory-missing")
        self.hashes: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.pointers: dict[str, tuple[str, str, str]] = {}
        try:
            present = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise AdapterError(f"{self.path}: cannot be read: {error.strerror}") from None
        names = [name for name in present if not name.startswith(".") and not name.endswith(TRACKED) and name not in BESIDE]
        try:
            self.folder = Path(tempfile.mkdtemp(dir=private()))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
            for count, file in enumerate(names):
                self._take(self.path / file, count)
            if tokenizer is not None and TOKENIZER[0] not in names:
                for beside in filter(Path.is_file, map(tokenizer.joinpath, TOKENIZER)):
                    self._take(beside)
        except OSError as error:
            where = f"{tempfile.gettempdir()}: no room for a private copy of the adapter"
            raise LorasentError(f"{where}: {error.strerror}; set TMPDIR to a folder with room") from None
        self.path = name or self.path

    def __iter__(self) -> Iterator[str]:
        """The names of all files but the manifest, read or refused."""
        return iter(sorted({*self.hashes, *self.refused} - {MANIFEST}))

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file. Raises AdapterError."""
        self.require_read(name)
        return read_json(self.folder / name, self.path / name)

    @property
    def weights(self) -> list[str]:
        """The files of weights: an adapter's, or a whole model's."""
        if {CONFIG, WEIGHTS} & {*self.hashes, *self.refused}:
            return [WEIGHTS]
        return sorted(name for name in self.hashes if name.startswith("model") and name.endswith(".safetensors")) or [WEIGHTS]

    @property
    def is_model(self) -> bool:
        """Whether this is a whole model instead of an adapter."""
        return self.weights != [WEIGHTS] and MODEL_CONFIG in self.hashes

    @property
    def is_bare(self) -> bool:
        """Whether this is an adapter or a whole model without a manifest."""
        complete = self.is_model or self.hashes.keys() >= {CONFIG, WEIGHTS}
        return complete and MANIFEST not in {*self.hashes, *self.refused}

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
        for name, (tool, cause, command) in self.pointers.items():
            raise NotFetchedError(f"{self.path / name}: is a pointer of {tool}, not the file itself", cause, command)
        for name in names:
            self.require_read(name, "file-unreadable")
            if name not in self.hashes and (self.path / f"{name}{TRACKED}").is_file():
                raise NotFetchedError(f"{self.path / name}: is kept by DVC, and not here", "dvc-pointer", "dvc pull")
        if not self.hashes.keys() >= set(names):
            reason = f"not an adapter: needs {' and '.join(names)}"
            if MANIFEST in names:
                reason = f"no {MANIFEST}: lorasent did not train this adapter, or its manifest was left behind"
            if inside := [shown(folder, 200) for folder in _adapters_inside(self.path)]:
                reason = f"holds no adapter; name one of the folders in it that do: {', '.join(inside)}"
            raise AdapterError(f"{self.path}: {reason}", "manifest-missing" if MANIFEST in names else "file-missing")

    def is_converted(self, name: str, digest: str | None) -> bool:
        """Whether a file has this sha256, line endings aside."""
        return name.endswith(TEXT_FILES) and is_converted(self.folder / name, digest)

    def _take(self, path: Path, count: int = 0) -> None:
        """Copies a file, or notes in `refused` why not. Raises OSError where that is not the directory's fault."""
        try:
            self._copy(path, count)
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                raise
            self.refused[path.name] = str(error.strerror)

    def _copy(self, path: Path, count: int) -> None:
        name, root = path.name, Path(os.path.realpath(path.parent))
        if name.encode(errors="ignore").decode() != name:
            raise OSError(None, "its name is not UTF-8")
        if path.is_dir() and not path.is_symlink():
            raise OSError(None, "is a folder; an adapter has none")
        if not name.endswith(DATA_FILES):
            raise OSError(None, f"is no data file of an adapter; allowed are {', '.join(DATA_FILES)}")
        if count >= MOST_FILES:
            raise OSError(None, f"is one of more than {MOST_FILES} files")
        target = Path(os.path.realpath(path))
        blobs = root.parent.parent / "blobs"  # links in the hub's cache point there
        if target.parent != root and not (target.parent == blobs and root.parent.name == "snapshots"):
            put = next((how for store, how in STORES.items() if store in target.as_posix()), "put the file itself there")
            raise OSError(None, f"is a link out of the directory; {put}")
        digest, left = hashlib.sha256(), most_bytes(name)
        with open_regular(target, left) as source:
            block = source.read(1 << 20)
            if note := pointer(block):
                self.pointers[name] = note
            with (self.folder / name).open("wb") as copy:
                while block and left >= 0:  # the file may grow while it is read
                    digest.update(block)
                    copy.seek(len(block), os.SEEK_CUR) if not block.strip(b"\0") else copy.write(block)  # holes stay
                    left -= len(block)
                    block = source.read(1 << 20)
                copy.truncate()
        self.hashes[name] = digest.hexdigest()


def of(path: "str | Path | Snapshot") -> Snapshot:
    """The snapshot itself, or one of the directory at a path, or of the only adapter in it, as PEFT saves one that has a name.

    USER/NAME@REVISION is an adapter on the hub, fetched unless it is in the cache; its path names the commit.
    """
    if isinstance(path, Snapshot):
        return path
    if NAME.fullmatch(str(path)) and not os.path.lexists(path):
        repository, _, revision = str(path).partition("@")
        cached = hub.fetch(repository, revision, WEIGHTS, AdapterError)
        return Snapshot(cached, Path(f"{repository}@{cached.name}"))
    inside = _adapters_inside(Path(path))
    return Snapshot(inside[0], tokenizer=Path(path)) if len(inside) == 1 else Snapshot(path)


def _adapters_inside(path: Path) -> list[Path]:
    """At most three folders in a directory that hold an adapter, the last checkpoint first; none if it holds one itself."""
    if not os.path.isdir(path) or any(os.path.lexists(path / name) for name in (CONFIG, MANIFEST)):  # noqa: PTH112 - as above
        return []
    files = (file for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}") for file in itertools.islice(path.glob(pattern), 100))
    names = sorted({file.parent.relative_to(path).as_posix() for file in files})
    return [path / name for name in sorted(names, key=lambda name: [-int(part) for part in re.findall(r"\d{1,18}", name)])[:3]]
