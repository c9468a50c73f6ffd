"""Text that somebody else wrote: decoded, and shown without anything that controls a terminal or a workflow log."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 100
"""Default length of a value in a message, in characters."""

MESSAGE = 2000
"""Largest length of a message, in characters."""

_COMMAND = re.compile(r"(?<!\w):(?=:)|#(?=#\[)")
"""The beginning of a GitHub workflow command: two colons that follow no word ("quality::accuracy" is none), or ##[."""


def shown(value: Any, limit: int = SHOWN) -> str:
    """A value in one line of at most `limit` characters, without anything that controls a terminal or a workflow log.

    Characters that do not print (line ends, escapes, bidirectional marks, lone surrogates) are escaped as Python escapes them. A
    long text loses its middle. Objects, lists and bytes are shown by their size: they may hold a secret.
    """
    if isinstance(value, int) and abs(value) >= 10**limit:
        value = f"an integer of {value.bit_length()} bits"
    elif isinstance(value, Mapping):
        value = f"an object of {len(value)} keys"
    elif not isinstance(value, str | Path | BaseException | int | float | None):
        kind = type(value).__name__
        value = f"{kind} of length {len(value)}" if hasattr(value, "__len__") else kind
    text = str(value)
    if len(text) > limit:  # before escaping too, which would be slow for megabytes
        text = _shortened(text, limit)
    text = _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return _shortened(text, limit) if len(text) > limit else text


def some(names: Sequence[object], most: int = 3, limit: int = SHOWN) -> str:
    """The first `most` of several names, each as `shown`, and how many more there are; "nothing" where there are none."""
    first = ", ".join(shown(name, limit) for name in names[:most]) or "nothing"
    return f"{first} and {len(names) - most} more" if len(names) > most else first


def decode(content: bytes) -> str:
    """UTF-8, with or without a byte-order mark. Raises UnicodeDecodeError."""
    return content.decode("utf-8-sig")


def lines(text: str) -> list[str]:
    """The lines of a text, which end with LF or CR LF. Other separators of Unicode may be part of a review."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _shortened(text: str, limit: int) -> str:
    head = limit * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"
