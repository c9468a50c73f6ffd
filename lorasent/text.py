"""Text that somebody else wrote: decoded, and shown without what controls a terminal, a workflow log or Markdown; no secrets."""

import bisect
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 100
"""Default length of a value in a message, in characters."""

WIDTH = 80
"""Columns that output for people fits, paths and commands aside."""

LONG = 100_000
"""Largest length of a path or a command that is shown, in characters."""

MESSAGE = 2000
"""Largest length of a message, in characters."""

SHORTEST_SECRET = 6
"""Length from which a secret is looked for in a text, in characters: a shorter one would be found in words."""

_SECRET = re.compile(r"(?i)(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY)$")
"""The end of the names of environment variables whose values are secret."""

_LOGIN = re.compile(r"//[^/@\s]+@")
"""The login in a URL: https://user:password@host."""

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


def code_span(value: Any, limit: int = SHOWN) -> str:
    """A value, as `shown`, in a Markdown code span: nothing in it is markup, a link or a mention. In a table a pipe ends it."""
    line = shown(value, limit)
    if not line.strip():
        return "(empty)"
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{space}{line}{space}{fence}"


def without_secrets(text: str, *secrets: str) -> str:
    """A text in which `secrets`, values of secret environment variables, and the logins in URLs are replaced by ***."""
    secret = (value for name, value in os.environ.items() if _SECRET.search(name))
    for value in sorted({*secrets, *secret}, key=len, reverse=True):
        text = text.replace(value, "***") if len(value) >= SHORTEST_SECRET else text
    return _LOGIN.sub("//***@", text)


def columns(text: str) -> int:
    """The columns that a text takes on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def wrapped(text: str, width: int = WIDTH, hanging: str = "  ", most: int | None = None) -> list[str]:
    """The lines of a text, broken at blanks; those after the first begin with `hanging`. Blanks at the beginning are kept.

    A path that is too long for a line stays whole, so that it can be copied; another word is broken. Of more than `most` lines
    the last one that is kept ends in "...".
    """
    start = text[: len(text) - len(text.lstrip(" "))]
    rows, room = [start], max(width - max(len(start), len(hanging)), 1)
    for word in itertools.chain.from_iterable(_broken(word, room) for word in text.split()):
        begins = not rows[-1].strip()
        if not begins and columns(rows[-1]) + 1 + columns(word) > width:
            rows.append(hanging)
            begins = True
        rows[-1] += word if begins else f" {word}"
    if most is not None and len(rows) > most:
        rows[most - 1 :] = [cut(f"{rows[most - 1]} {rows[most].strip()}", width)]
    return rows


def _broken(word: str, room: int) -> Iterator[str]:
    """A word, or its pieces where it takes more columns than there are; a path stays whole."""
    while columns(word) > room and "/" not in word:
        piece = _beginning(word, room)
        yield piece
        word = word[len(piece) :]
    yield word


def _beginning(text: str, room: int) -> str:
    """As many of a text's characters as take so many columns; one at least."""
    taken = list(itertools.accumulate(map(columns, text[: 4 * max(room, 1)])))
    return text[: max(bisect.bisect_right(taken, room), 1)]


def cut(text: str, width: int) -> str:
    """A text in so many columns: whole, or its beginning and "...", which ends at a blank if one is near."""
    if columns(text) <= width:
        return text
    kept = _beginning(text, width - 4)
    head, _, tail = kept.rpartition(" ")
    return f"{head if head.strip() and len(tail) < width // 3 else kept} ..."


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def decode(content: bytes) -> str:
    """UTF-8, with or without a byte-order mark. Raises UnicodeDecodeError."""
    return content.decode("utf-8-sig")


def lines(text: str) -> list[str]:
    """The lines of a text, which end with LF or CR LF. Other separators of Unicode may be part of a review."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _shortened(text: str, limit: int) -> str:
    head = limit * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"
