"""Files: hashes, canonical JSON, and writing that leaves all or nothing."""

import hashlib

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
