"""Files: hashes, canonical JSON, and writing that leaves all or nothing."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from lorasent import files


def test_the_hash_is_that_of_the_bytes(tmp_path):
    """In hexadecimal, for a file of any size."""
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_is_canonical():
    """The same text whatever the order of keys, readable, and never NaN, which is no JSON."""
    assert files.canonical({"b": "é", "a": [1]}) == files.canonical({"a": [1], "b": "é"}) == '{\n "a": [\n  1\n ],\n "b": "é"\n}\n'
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        files.canonical({"a": float("nan")})


def test_writing_leaves_all_or_nothing(tmp_path):
    """What fails half-way leaves what stood there, and nothing beside it."""

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
    """Its target is written, and nothing is left beside either."""
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
    """A file that was private stays private."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    files.write(path, ["new"])
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def test_what_is_no_regular_file_is_written_in_place(tmp_path):
    """A FIFO is still one, and its reader gets what was written."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as beside:
        read = beside.submit(path.read_text)
        files.write(path, ["new ", "lines"])
        assert read.result() == "new lines"
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_in_place(tmp_path):
    """As root a rename would destroy it."""
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
    """What would hang, never end, or fill the memory is refused before a byte is read."""
    make(tmp_path / "file")
    with pytest.raises(OSError, match=reason):
        files.open_regular(tmp_path / "file", 4)
