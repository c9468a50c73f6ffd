"""Files: hashed, read within bounds, and written whole or not at all."""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from lorasent.errors import LorasentError
from lorasent.text import shown

STREAMS = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}
OPEN_FILE = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
"""Paths of files that this process has open, with their descriptor."""

DENSE = 4 << 30
"""Size in bytes above which a file may have no holes."""

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}

ATTRIBUTES, AS_WRITTEN = ".gitattributes", "* -text\n"
"""Name and content of the file that keeps git from converting line endings, whatever core.autocrlf says: hashes would change."""

CONVERTED = (
    "its line endings are not those that were written (CR LF for LF): "
    f"put {AS_WRITTEN.strip()!r} into {ATTRIBUTES} beside it, and check it out again"
)
"""The message for a file of which `is_converted` is true."""


def path_of(value: object, what: str, failure: type[LorasentError]) -> Path:
    """The path in a str or a Path. Raises `failure`, which says that `what` was expected, for anything else."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes) or "\0" in str(value) or not str(value):
        raise failure(f"expected {what} as a str or a Path, found {shown(value)!r} ({type(value).__name__})")
    return Path(value)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return digest(file)


def digest(file: Any) -> str:
    """The sha256 of what an open file has to read, in hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def is_converted(path: Path, digest: str | None) -> bool:
    """Whether a file has this sha256 once every CR LF is LF: git converts line endings if core.autocrlf is on."""
    content = path.read_bytes()
    return b"\r\n" in content and hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == digest


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys: equal content gives equal text. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def private() -> Path:
    """The directory for temporary files of this process. No other user can read it, and it is removed when the process ends."""
    room = _room(os.getpid())  # its removal is registered before it is made: a signal may arrive at any point
    room.mkdir(mode=0o700, exist_ok=True)
    return room


@functools.cache
def _room(process: int) -> Path:
    """The private directory of a process: a forked child makes its own, and does not remove its parent's."""
    room = Path(tempfile.gettempdir(), f"lorasent-{secrets.token_hex(8)}")

    @atexit.register
    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(room, ignore_errors=True)

    return room


def open_regular(path: Path, limit: int) -> BufferedReader:
    """Opens a regular file of at most `limit` bytes. Raises OSError for anything else: a FIFO would hang, a device never ends.

    A large file with holes is refused too: terabytes of holes take no space on the disk, and hours to read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status, reason = os.fstat(descriptor), ""
    if not stat.S_ISREG(status.st_mode):
        reason = f"is {KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}, expected a regular file"
    elif status.st_size > limit:
        reason = f"is larger ({status.st_size:,} bytes) than the {limit:,} bytes that are read of it"
    elif status.st_size > DENSE and _has_holes(descriptor, status.st_size):
        reason = f"has holes in its {status.st_size:,} bytes: copy the file again from where it was made"
    if reason:
        os.close(descriptor)
        raise OSError(None, reason, str(path))
    return os.fdopen(descriptor, "rb")


def _has_holes(descriptor: int, size: int) -> bool:
    has_holes = hasattr(os, "SEEK_HOLE") and os.lseek(descriptor, 0, os.SEEK_HOLE) < size
    os.lseek(descriptor, 0, os.SEEK_SET)
    return has_holes


def read_bounded(path: Any, limit: int) -> bytes:
    """The content of a file, a resource or a pipe. Raises OSError if it is more than `limit` bytes: a device never ends."""
    with path.open("rb") as file:
        content: bytes = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(None, f"is larger than the {limit:,} bytes that are read of it", str(path))
    return content


def unwritable(path: Path) -> str | None:
    """The reason why `write` would fail there; None if none is known."""
    if _descriptor(path) is not None:
        return None if path.exists() else "no such file is open"
    target = Path(os.path.realpath(path))
    places = [path] if path.exists() and not path.is_file() else [target.parent, *([path] if path.exists() else [])]
    denied = [place for place in places if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids)]
    return f"no permission to write {denied[0]}" if denied else None


def write(path: Path, parts: Iterable[str | bytes]) -> None:
    """Writes bytes, and text as UTF-8, whole or not at all: to a file beside the path, which is then renamed.

    A link stays a link, and its target is written. An existing file keeps its mode and owner. A device or a FIFO is written in
    place, and so is an open file (/dev/stdout, /dev/fd/N), from its current position. A lone surrogate is written as its escape.
    """
    encoded = (part.encode(errors="backslashreplace") if isinstance(part, str) else part for part in parts)
    number = _descriptor(path)
    if number is not None or (path.exists() and not path.is_file()):
        with os.fdopen(os.dup(number), "wb") if number is not None else path.open("wb") as file:
            file.writelines(encoded)
        return
    path = Path(os.path.realpath(path))
    # Containers that share a folder may have equal process ids.
    staging = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with staging.open("wb") as file:
            file.writelines(encoded)
        with contextlib.suppress(FileNotFoundError):
            replaced = path.stat()
            if hasattr(os, "chown"):
                with contextlib.suppress(PermissionError):
                    os.chown(staging, replaced.st_uid, replaced.st_gid)
            staging.chmod(stat.S_IMODE(replaced.st_mode))
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _descriptor(path: Path) -> int | None:
    """The descriptor of the open file that a path names, None for other paths. Opening it by its name would truncate it."""
    match = OPEN_FILE.fullmatch(STREAMS.get(str(path), str(path)))
    return int(match[1]) if match else None
