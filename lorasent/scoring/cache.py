"""Answers on disk, each under the hash of its question: everything that determines the answer.

A file of answers is a safetensors file: arrays, and metadata in texts or JSON. Reading one does not import torch.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lorasent import files
from lorasent.errors import EvidenceError

SCHEMA = "3"
"""Version of the answers: part of every question. It changes when the same question would be answered with other bits."""

CACHE_VARIABLE = "LORASENT_CACHE"
"""Environment variable with the cache folder; empty: nothing is cached."""

Arrays = Mapping[str, NDArray[Any]]


def place(question: Mapping[str, Any]) -> Path | None:
    """The path of a question's answer in the cache, whether or not it exists; None without a cache folder."""
    named = os.environ.get(CACHE_VARIABLE, "~/.cache/lorasent")
    key = hashlib.sha256(files.canonical({"schema": SCHEMA, **question}).encode()).hexdigest()
    with contextlib.suppress(RuntimeError):  # a user without a home
        return Path(named).expanduser() / "evidence" / key[:2] / f"{key}.safetensors" if named else None
    return None


def find(question: Mapping[str, Any]) -> tuple[Arrays, dict[str, str]] | None:
    """Arrays and metadata of a question's answer; None where the cache has none, or a file that does not answer the question."""
    path = place(question)
    try:
        if path is None or not path.is_file():
            return None
        arrays, metadata = read(path)
    except (EvidenceError, OSError):
        return None
    return (arrays, metadata) if _texts(question).items() <= metadata.items() else None


def keep(question: Mapping[str, Any], arrays: Arrays, **metadata: Any) -> None:
    """Writes the answer to a question into the cache. If that fails, nothing happens: a verdict does not depend on the cache."""
    if (path := place(question)) is not None:
        with contextlib.suppress(OSError):
            if not path.is_file():
                path.unlink(missing_ok=True)  # a FIFO would be written in place, and wait for its reader
            write(path, arrays, {**question, **metadata})


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Arrays and metadata of a file of answers. Raises EvidenceError."""
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        # NumPy lacks some of the types that such a file may hold, and some shapes.
        raise EvidenceError(f"{path}: cannot be read as recorded evidence: {error}") from None


def write(path: Path, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Writes a file of answers, and its folders; metadata other than texts are written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, [save(dict(arrays), _texts(metadata))])


def _texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in metadata.items()}
