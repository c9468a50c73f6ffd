"""Files: their hash, and writing them beside their place and renaming them into it, so that what stands there is whole."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys, the same text for the same content; ValueError for NaN and infinity, which are no JSON."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write(path: Path, lines: Iterable[str]) -> None:
    """Writes text as UTF-8, whole or not at all."""
    write_bytes(path, (line.encode() for line in lines))


def write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    """Writes bytes, whole or not at all."""
    # Containers that share a folder may share process numbers.
    staging = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with staging.open("wb") as file:
            file.writelines(parts)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
