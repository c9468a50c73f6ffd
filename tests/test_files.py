"""Files: hashes, canonical JSON, and writing that leaves all or nothing."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorasent import files


def test_the_hash_is_that_of_the_bytes(tmp_path):
    """In hexadecimal, for a file of any size."""
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_is_canonical():
    """Equal content gives equal, readable text. NaN, which JSON does not have, is refused."""
    assert files.canonical({"b": "é", "a": [1]}) == files.canonical({"a": [1], "b": "é"}) == '{\n "a": [\n  1\n ],\n "b": "é"\n}\n'
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        files.canonical({"a": float("nan")})


def test_writing_leaves_all_or_nothing(tmp_path):
    """A failure half-way leaves the old content and no file beside it."""

    def lines():
        yield "new\n"
        raise ZeroDivisionError("half-way")

    path = tmp_path / "file.txt"
    files.write(path, ["old ü\n"])
    with pytest.raises(ZeroDivisionError, match=r"half-way"):
        files.write(path, lines())
    assert path.read_text("utf-8") == "old ü\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    """Its target is written, and no file is left beside either."""
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    files.write(link, ["new"])
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode(tmp_path, mode):
    """A private file stays private."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    files.write(path, ["new"])
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def test_a_fifo_is_written_in_place(tmp_path):
    """It stays a FIFO, and its reader gets the content."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as beside:
        read = beside.submit(path.read_text)
        files.write(path, ["new ", "lines"])
        assert read.result() == "new lines"
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_in_place(tmp_path):
    """A rename as root would destroy it."""
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    files.write(link, ["new"])
    assert stat.S_ISCHR(link.stat().st_mode)
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a FIFO, expected a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, expected a regular file"),
        (lambda path: path.mkdir(), "is a folder, expected a regular file"),
        (lambda path: path.write_bytes(b"12345"), r"is larger \(5 bytes\) than the 4 bytes that are read of it"),
    ],
    ids=["fifo", "device", "folder", "large"],
)
def test_only_regular_files_of_a_bounded_size_are_opened(tmp_path, make, reason):
    """What would hang, never end or fill the memory is refused before a byte is read."""
    make(tmp_path / "file")
    with pytest.raises(OSError, match=reason):
        files.open_regular(tmp_path / "file", 4)


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_file_is_written_at_its_position(tmp_path, path):
    """Its content so far is kept: for /dev/stdout after >>, and for process substitution."""
    with (tmp_path / "log").open("ab") as log:
        log.write(b"before ")
        log.flush()
        files.write(Path(path.format(log.fileno())), ["new"])
        log.write(b" after")
    assert (tmp_path / "log").read_text() == "before new after"
    read, write = os.pipe()
    files.write(Path(path.format(write)), ["new"])
    assert os.read(read, 100) == b"new"


def test_a_name_that_is_not_utf8_is_written_as_an_escape(tmp_path):
    """JSON reads it back."""
    files.write(tmp_path / "file", [files.canonical({"name": "caf\udce9"})])
    assert json.loads((tmp_path / "file").read_text("utf-8")) == {"name": "caf\udce9"}


@pytest.fixture
def stranger():
    """Nobody's rights, which root has not given up."""
    if os.geteuid():
        yield
    else:
        os.seteuid(65534)
        yield
        os.seteuid(0)


def test_the_reason_why_a_path_cannot_be_written(tmp_path, request):
    """For a file or folder without permission, and for a closed descriptor; None for what can be written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("folder/new", "file", "null", "new"):
        assert files.unwritable(tmp_path / name) is None
    assert files.unwritable(Path("/dev/fd/987")) == "no such file is open"
    (tmp_path / "file").chmod(0o444)
    (tmp_path / "folder").chmod(0o555)
    for place in [tmp_path, *tmp_path.parents][:-2]:
        place.chmod(place.stat().st_mode | 0o011)
    request.getfixturevalue("stranger")
    assert files.unwritable(tmp_path / "file").startswith("no permission to write ")
    assert files.unwritable(tmp_path / "folder" / "new") == f"no permission to write {tmp_path / 'folder'}"


def test_a_large_file_with_holes_is_not_opened(tmp_path, monkeypatch):
    """One without holes is read from its beginning."""
    path = tmp_path / "file"
    path.write_bytes(b"begin")
    monkeypatch.setattr(files, "DENSE", 4)
    with files.open_regular(path, 1 << 50) as file:
        assert file.read() == b"begin"
    os.truncate(path, 1 << 42)
    with pytest.raises(OSError, match=r"has holes in its 4,398,046,511,104 bytes"):
        files.open_regular(path, 1 << 50)


PRIVATE = """
import os, sys
from lorasent.files import private
room = private()
(room / "file").write_text("")
assert room == private() and room.stat().st_mode & 0o777 == 0o700
"""
FORKED = (
    PRIVATE
    + """
child = os.fork()
if not child:
    sys.exit(private() == room)
assert os.waitpid(child, 0)[1] == 0 and list(room.iterdir())
"""
)


@pytest.mark.parametrize(
    ("script", "code"), [(PRIVATE, 0), (PRIVATE + "raise SystemExit(9)", 9), (FORKED, 0)], ids=["end", "error", "fork"]
)
def test_a_process_leaves_no_private_directory(tmp_path, script, code):
    """The directory is removed when its process ends. A forked child makes and removes its own."""
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False, timeout=60)
    assert done.returncode == code
    assert list(tmp_path.iterdir()) == []
