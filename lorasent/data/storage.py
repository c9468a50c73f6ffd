"""Files by path, glob or URL: of this machine, or of any file system that fsspec knows, such as s3://bucket/reviews/*.parquet."""

import contextlib
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from lorasent import files
from lorasent.errors import DataError, first_line, foreign

VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated")
"""What stores say of a file's content, best first."""


class File(NamedTuple):
    """A file that a pattern matches."""

    path: str
    """Path, or URL."""
    name: str
    """Path from the last folder of the pattern that is no pattern: it does not change where the whole tree is moved."""
    version: str
    """What changes with the content: size and what the store says of it; "" of a local file, see `version`."""


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, which fsspec opens."""
    return "://" in str(path)


def is_pattern(path: str) -> bool:
    """Whether a path is a URL, or a glob of local files. A file whose own name has such signs is a file."""
    return is_remote(path) or (glob.has_magic(path) and not os.path.lexists(path))


def matches(pattern: str) -> list[File]:
    """The files that a path, a glob or a URL names, sorted. Raises DataError if there are none."""
    if is_remote(pattern):
        found = list(_listed(pattern))
    else:
        # Path.glob takes no pattern that is absolute.
        paths = glob.glob(pattern, recursive=True) if is_pattern(pattern) else [pattern]  # noqa: PTH207
        root = _root(pattern) if is_pattern(pattern) else str(Path(pattern).parent)
        found = [File(path, path.removeprefix(root).lstrip("/"), "") for path in paths if Path(path).is_file()]
    if not found:
        wants = "a file, or a glob of files, such as folder/*.parquet"
        raise DataError(f"{pattern}: no such file: expected {wants}, on this machine or at a URL")
    return sorted(found)


def _root(pattern: str) -> str:
    """The last folder of a pattern that is no pattern itself, or the folder of a path."""
    folder = pattern.rpartition("/")[0]
    while glob.has_magic(folder):
        folder = folder.rpartition("/")[0]
    return folder


def version(file: File) -> str:
    """What changes with a file's content: what its store said, or else the sha256 of the content."""
    return file.version or sha256(file.path)


def sha256(path: str) -> str:
    """The sha256 of a file, by its path or URL."""
    if not is_remote(path):
        return files.sha256(Path(path))
    with opened(path) as file:
        return files.digest(file)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file, by its path or URL, opened to read bytes. Raises DataError where a URL cannot be read."""
    if not is_remote(path):
        with Path(path).open("rb") as local:
            yield local
        return
    system, place = system_of(str(path))
    with reaching(str(path)):
        file = system.open(place, "rb")
    with file:
        yield file


def write(path: str, content: bytes) -> None:
    """Writes a file whole or not at all, by its path or URL: a store of objects puts it by one request, or by one last one."""
    if not is_remote(path):
        files.write(Path(path), [content])
        return
    system, place = system_of(path)
    with reaching(path):
        system.pipe_file(place, content)


def make_folder(folder: str) -> None:
    """Makes a folder, by its path; a store of objects needs none. Raises DataError."""
    if is_remote(folder):
        system_of(folder)
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: expected a folder, or a new one: {error.strerror}") from None


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder, by its path or URL; none if it does not exist."""
    if not is_remote(folder):
        return sorted(path.name for path in Path(folder).glob("*") if path.is_file())
    return sorted(file.name for file in _listed(f"{folder.rstrip('/')}/*"))


def remove(path: str) -> None:
    """Removes a file, by its path or URL, if it is there."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
        return
    system, place = system_of(path)
    with reaching(path), contextlib.suppress(FileNotFoundError):
        system.rm_file(place)


def system_of(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises DataError where fsspec has none."""
    from fsspec.core import url_to_fs

    try:
        system, place = url_to_fs(url)
    except ImportError as error:
        scheme = url.partition("://")[0]
        extra = "pip install 'lorasent[s3]'" if scheme in ("s3", "s3a") else first_line(error)
        raise DataError(f"{url}: {scheme}:// needs a package that is not installed: {extra}") from None
    except ValueError as error:
        raise DataError(f"{url}: cannot be read: {first_line(error)}") from None
    return system, place


def reaching(url: str) -> contextlib.AbstractContextManager[None]:
    """Turns what a store's client raises inside into a DataError of one line, which names the URL."""
    return foreign(lambda reason: DataError(f"{url}: cannot be reached: {reason}"))


def _listed(pattern: str) -> Iterator[File]:
    """The files that a URL names."""
    system, place = system_of(pattern)
    root = _root(place)
    with reaching(pattern):
        system.invalidate_cache()
        found: Mapping[str, Mapping[str, Any]] = system.glob(place, detail=True)
        for path, about in found.items():
            if about.get("type") == "file":
                revision = next((f"{about[key]}" for key in VERSIONS if about.get(key)), "")
                name = path.removeprefix(root).lstrip("/")
                yield File(system.unstrip_protocol(path), name, f"{about.get('size')} {revision}" if revision else "")
