"""Files that somebody else wrote: opened and read as JSON within bounds. Pointers of Git LFS and git-annex are told apart."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from lorasent.errors import AdapterError, LorasentError
from lorasent.files import open_regular
from lorasent.text import decode, shown

MOST_BYTES = {
    ".safetensors": 2 << 30, "tokenizer.json": 40 << 20, "vocab.json": 40 << 20, "model.safetensors.index.json": 40 << 20,
    "config.json": 1 << 20,
}  # fmt: skip
MOST_BYTES_ELSE = 8 << 20
"""Largest size of a file, in bytes, by its name or suffix. JSON takes up to twenty times its size in memory."""

MOST_VALUES = 2_000_000
"""Largest number of values in a JSON file. A vocabulary has a million; each takes up to thirty times its bytes in memory."""

DEEPEST = 100
"""Largest depth of objects and lists in JSON. Code that compares or writes JSON recurses as deep."""


POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "lfs-pointer", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "annex-pointer", "git annex get"),
}
"""Tool, cause, and the command that fetches a large file, by the first bytes of the note that the tool leaves in its place."""


def pointer(start: bytes) -> tuple[str, str, str] | None:
    """The entry of `POINTERS` with whose note a file begins; None if the file is no pointer."""
    return next((note for begin, note in POINTERS.items() if start.startswith(begin)), None)


def most_bytes(name: str) -> int:
    """The largest size of a file of this name, in bytes."""
    return MOST_BYTES.get(name) or MOST_BYTES.get(Path(name).suffix) or MOST_BYTES_ELSE


@contextlib.contextmanager
def opened(
    path: Path, failure: type[LorasentError], *, name: Path | None = None, limit: int = 0, advice: str = ""
) -> Iterator[BufferedReader]:
    """Opens a regular file of at most `limit` bytes, or as many as its name allows. Raises `failure`, also in place of an OSError.

    Messages call the file `name`, and end with `advice`.
    """
    try:
        with open_regular(path, limit or most_bytes(path.name)) as file:
            if note := pointer(file.peek(max(map(len, POINTERS)))):
                raise failure(f"{name or path}: is a pointer of {note[0]}, not the file itself: {note[2]}")
            yield file
    except OSError as error:
        raise failure(f"{name or path}: cannot be read: {error.strerror}{advice}") from None


def read_json(
    path: Path, name: Path | None = None, *, failure: type[LorasentError] = AdapterError, advice: str = ""
) -> dict[str, Any]:
    """The JSON object in a file, as `opened`. Raises `failure` if there is none."""
    with opened(path, failure, name=name, advice=advice) as file:
        written = file.read()
    try:
        content = _parse(written)
    except (ValueError, RecursionError) as error:
        raise failure(f"{name or path}: not valid JSON: {shown(error, 200)}") from None
    if not isinstance(content, dict):
        raise failure(f"{name or path}: expected a JSON object, found {shown(content)}")
    return content


def _parse(written: bytes) -> Any:
    """The JSON in a file. Raises ValueError or RecursionError if it is invalid or exceeds a bound."""
    if written.count(b",") > MOST_VALUES:  # before it is parsed
        raise ValueError(f"more than {MOST_VALUES:,} values")
    content = json.loads(decode(written), object_pairs_hook=_object)
    json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # NaN and lone surrogates cannot be hashed
    level, depth = [content], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        level = [child for part in level for child in _parts(part)]
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} objects and lists")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that occurs twice: parsers do not agree on which value counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} occurs twice in an object")
    return content


def _parts(content: Any) -> Iterable[Any]:
    """The values directly inside an object or a list."""
    return content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()


def items(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key of JSON with its value, at any depth."""
    if isinstance(content, dict):
        yield from content.items()
    for part in _parts(content):
        yield from items(part)


def without(content: Any, left_out: Callable[[str], bool], whole: str = "") -> Any:
    """JSON without the keys that are `left_out`, at any depth; the value of the key `whole` is kept as it is."""
    if isinstance(content, dict):
        kept = {key: value for key, value in content.items() if not left_out(key)}
        return {key: value if key == whole else without(value, left_out, whole) for key, value in kept.items()}
    return [without(part, left_out, whole) for part in content] if isinstance(content, list) else content
