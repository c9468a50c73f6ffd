"""Files: their hash, reading what a stranger may have put there, and writing that leaves all or nothing."""

import atexit
import contextlib
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
"""Paths that name what this process has open, by its number."""

DENSE = 4 << 30
"""Bytes beyond which a file must be all there."""

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}

ATTRIBUTES, AS_WRITTEN = ".gitattributes", "* -text\n"
"""The file beside what is known by its hash, and what it tells git: to convert no line endings, whatever core.autocrlf says."""

CONVERTED = (
    "its line endings are not those that were written (CR LF for LF): "
    f"put {AS_WRITTEN.strip()!r} into {ATTRIBUTES} beside it, and check it out again"
)
"""What is wrong with a file of which `is_converted` is true."""


def path_of(value: object, what: str, failure: type[LorasentError]) -> Path:
    """The path that a caller gave as a str or a Path. Raises `failure`, which says `what` was expected, for anything else."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes) or "\0" in str(value) or not str(value):
        raise failure(f"expected {what} as a str or a Path, found {shown(value)!r} ({type(value).__name__})")
    return Path(value)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_converted(path: Path, digest: str | None) -> bool:
    """Whether a file has this sha256 with LF in the place of every CR LF: git converts them where core.autocrlf is on."""
    content = path.read_bytes()
    return b"\r\n" in content and hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == digest


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys, the same text for the same content; ValueError for NaN and infinity, which are no JSON."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def private() -> Path:
    """The directory in which this process makes its temporary ones: no other user can read it, and the process's end removes it.

    Its removal is arranged before it is made: a signal may come at any point. Raises OSError.
    """
    process = os.getpid()
    room = _rooms.get(process)
    if room is None or not room.is_dir():
        room = _rooms[process] = Path(tempfile.gettempdir(), f"lorasent-{secrets.token_hex(8)}")
        atexit.register(_remove, room, process)
        room.mkdir(mode=0o700)
    return room


def _remove(room: Path, process: int) -> None:
    """Not where a process ends that was forked from the one that made it."""
    if os.getpid() == process:
        shutil.rmtree(room, ignore_errors=True)


_rooms: dict[int, Path] = {}
"""The private directory of each process: one that was forked makes its own."""


def open_regular(path: Path, limit: int) -> BufferedReader:
    """Opens a regular file of at most `limit` bytes; anything else is an OSError: a FIFO would hang, a device never ends.

    A large file with holes is refused, too: terabytes of nothing take no room on the disk, and hours to be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    found, reason = os.fstat(descriptor), ""
    if not stat.S_ISREG(found.st_mode):
        reason = f"is {KINDS.get(stat.S_IFMT(found.st_mode), 'a device')}, expected a regular file"
    elif found.st_size > limit:
        reason = f"is larger ({found.st_size:,} bytes) than the {limit:,} bytes that are read of it"
    elif found.st_size > DENSE and _has_holes(descriptor, found.st_size):
        reason = f"has holes in its {found.st_size:,} bytes: copy the file again from where it was made"
    if reason:
        os.close(descriptor)
        raise OSError(None, reason, str(path))
    return os.fdopen(descriptor, "rb")


def _has_holes(descriptor: int, size: int) -> bool:
    found = os.lseek(descriptor, 0, os.SEEK_HOLE) < size if hasattr(os, "SEEK_HOLE") else False
    os.lseek(descriptor, 0, os.SEEK_SET)
    return found


def read_bounded(path: Any, limit: int) -> bytes:
    """What a file holds, a resource or a pipe; an OSError where that is more than `limit` bytes: a device never ends."""
    with path.open("rb") as file:
        content: bytes = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(None, f"is larger than the {limit:,} bytes that are read of it", str(path))
    return content


def unwritable(path: Path) -> str | None:
    """Why `write` would fail there, in words; None where nothing speaks against it."""
    if _descriptor(path) is not None:
        return None if path.exists() else "no such file is open"
    target = Path(os.path.realpath(path))
    places = [path] if path.exists() and not path.is_file() else [target.parent, *([path] if path.exists() else [])]
    denied = [place for place in places if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids)]
    return f"no permission to write {denied[0]}" if denied else None


def write(path: Path, lines: Iterable[str]) -> None:
    """Writes text as UTF-8, as `write_bytes` does. A lone surrogate, as in a name that is not UTF-8, is written as its escape."""
    write_bytes(path, (line.encode(errors="backslashreplace") for line in lines))


def write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    """Writes bytes, whole or not at all: beside their place, and renamed into it.

    A link stays one, its target is written. A file that is there keeps its mode and its owner. What is no regular file (a device,
    a FIFO) is written in place, and so is an open file (/dev/stdout, /dev/fd/N), from where it is.
    """
    number = _descriptor(path)
    if number is not None or (path.exists() and not path.is_file()):
        with os.fdopen(os.dup(number), "wb") if number is not None else path.open("wb") as file:
            file.writelines(parts)
        return
    path = Path(os.path.realpath(path))
    # Containers that share a folder may share process numbers.
    staging = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with staging.open("wb") as file:
            file.writelines(parts)
        with contextlib.suppress(FileNotFoundError):
            _as_before(staging, path.stat())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path names, which opening it by that name would truncate; None of other paths."""
    found = OPEN_FILE.fullmatch(STREAMS.get(str(path), str(path)))
    return int(found[1]) if found else None


def _as_before(staging: Path, there: os.stat_result) -> None:
    """Owner and mode of the file that is replaced; the owner only where that is allowed."""
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(staging, there.st_uid, there.st_gid)
    staging.chmod(stat.S_IMODE(there.st_mode))
