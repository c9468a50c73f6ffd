"""Errors: one line, and whatever libraries raise over a stranger's files is one of ours."""

import re

import pytest

from lorasent.errors import AdapterError, DataError, foreign


class PanicException(BaseException):
    """As a library's panic: no Exception."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("model"), "'model'"),
        (RecursionError(), "RecursionError"),
        (ValueError("first\nsecond"), "first"),
        (RuntimeError("x" * 5_000_000), "x" * 333 + "…" + "x" * 166),
        (PanicException("index out of bounds"), "index out of bounds"),
    ],
    ids=["a key", "no message", "two lines", "5 MB", "a panic in Rust"],
)
def test_a_librarys_exception_becomes_one_line(error, line):
    """Its cause is kept for --debug."""
    message = f"here: {line}"
    with (
        pytest.raises(AdapterError, match=f"^{re.escape(message)}$") as refused,
        foreign(lambda reason: AdapterError(f"here: {reason}")),
    ):
        raise error
    assert refused.value.__cause__ is error


@pytest.mark.parametrize("error", [DataError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_other_exceptions_pass_unchanged(error):
    """LorasentError, MemoryError, and those that end the process."""
    with pytest.raises(error, match=r"^x$"), foreign(AdapterError):
        raise error("x")
