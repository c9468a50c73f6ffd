"""Files: their hash, reading what a stranger may have put there, and writing that leaves all or nothing."""

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys, the same text for the same content; ValueError for NaN and infinity, which are no JSON."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def open_regular(path: Path, limit: int) -> IO[bytes]:
    """Opens a regular file of at most `limit` bytes; anything else is an OSError: a FIFO would hang, a device never ends."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    found, reason = os.fstat(descriptor), ""
    if not stat.S_ISREG(found.st_mode):
        reason = f"is {KINDS.get(stat.S_IFMT(found.st_mode), 'a device')}, expected a regular file"
    elif found.st_size > limit:
        reason = f"is larger ({found.st_size:,} bytes) than the {limit:,} bytes that are read of it"
    if reason:
        os.close(descriptor)
        raise OSError(None, reason, str(path))
    return os.fdopen(descriptor, "rb")


def write(path: Path, lines: Iterable[str]) -> None:
    """Writes text as UTF-8, as `write_bytes` does."""
    write_bytes(path, (line.encode() for line in lines))


def write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    """Writes bytes, whole or not at all: beside their place, and renamed into it.

    A link stays one, its target is written. A file that is there keeps its mode and its owner. What is no regular file (a device,
    a FIFO) is written in place.
    """
    path = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        there = path.stat()
        if not stat.S_ISREG(there.st_mode):
            with path.open("wb") as file:
                file.writelines(parts)
            return
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


def _as_before(staging: Path, there: os.stat_result) -> None:
    """Owner and mode of the file that is replaced; the owner only where that is allowed."""
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(staging, there.st_uid, there.st_gid)
    staging.chmod(stat.S_IMODE(there.st_mode))
