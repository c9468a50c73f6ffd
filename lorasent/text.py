"""Text from elsewhere: read as people save it, and shown so that it can do nothing where it is printed.

A candidate is a stranger's directory. Its names, labels and values are printed to terminals, to workflow logs, to JUnit files and
to pages: `shown` is the one function that they go through.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 100
"""Characters of a foreign value that a message shows by default."""

MESSAGE = 2000
"""Characters of a whole message."""

_COMMAND = re.compile(r"(?<!\w):(?=:)|#(?=#\[)")
"""What a workflow command of GitHub's begins with: two colons that follow no word ("quality::accuracy" is none), or ##[."""


def shown(value: Any, limit: int = SHOWN) -> str:
    """A foreign value in one line of at most `limit` characters, with nothing in it that a terminal or a workflow log obeys.

    Characters that do not print (line ends, escapes, bidirectional marks, lone surrogates) are escaped as Python escapes them;
    a long text loses its middle. An object, a list or bytes are told by their size: they may be somebody's secret.
    """
    if isinstance(value, str | Path | BaseException):
        text = str(value)
    elif isinstance(value, bool | int | float) or value is None:
        text = repr(value) if not isinstance(value, int) or abs(value) < 10**limit else f"an integer of {value.bit_length()} bits"
    else:
        kind = type(value).__name__[:SHOWN]
        if not hasattr(value, "__len__"):
            return kind
        return f"an object of {len(value)} keys" if isinstance(value, Mapping) else f"{kind} of length {len(value)}"
    if len(text) > limit:  # before escaping too: five megabytes are not gone through
        text = _shortened(text, limit)
    text = _COMMAND.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
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
    """The lines of a text, ended by a line feed, or CR LF, alone: other separators of Unicode's may stand in a review."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _shortened(text: str, limit: int) -> str:
    head = limit * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"
