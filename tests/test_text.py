"""Text from elsewhere: shown so that it does nothing, read as people save it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import text
from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome


@given(st.text() | st.text("\n\r\x1b\u202e\u2028:#[e\\", max_size=40), st.integers(10, 60))
def test_what_is_shown_is_one_short_line_that_nothing_obeys(foreign, limit):
    """No line end, escape or bidirectional mark, no workflow command, never longer than asked, and the same when shown again."""
    found = text.shown(foreign, limit)
    assert found.isprintable()
    assert len(found) <= limit
    assert not found.lstrip().startswith("::")
    assert "##[" not in found
    assert found.encode().decode() == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Positive", "Positive"),
        ("naïve 映画 🎬", "naïve 映画 🎬"),
        ("a\n::error::b", r"a\n\x3a:error::b"),
        ("\x1b[31m", r"\x1b[31m"),
        ("quality::accuracy", "quality::accuracy"),
        ("##[error]x", r"\x23#[error]x"),
        ("\udcff", r"\udcff"),
        ({"auths": {"secret": 1}}, "an object of 1 keys"),
        (["secret"], "list of length 1"),
        (b"secret", "bytes of length 6"),
        (object(), "object"),
        (None, "None"),
        (10**5000, "an integer of 16610 bits"),
        (0.5, "0.5"),
    ],
    ids=[
        *("word", "accents and emoji", "line end and command", "escape", "check", "old command", "lone surrogate"),
        *("object", "list", "bytes", "no size", "nothing", "long integer", "number"),
    ],
)
def test_foreign_values(value, expected):
    """Text stays readable; what is none is told by its size, for it may be a secret."""
    assert text.shown(value) == expected


def test_a_long_text_keeps_both_ends():
    """Five megabytes are a hundred characters, beginning and end."""
    found = text.shown("begin " + "x" * 5_000_000 + " end")
    assert len(found) == 100
    assert found.startswith("begin xxx")
    assert found.endswith("xxx end")


def test_errors_and_findings_show_strangers_words_so():
    """In whatever message they stand."""
    assert str(LorasentError("label 'a\n::error::b'")) == r"label 'a\n\x3a:error::b'"
    finding = Finding("check", Outcome.BLOCK, "cause", "found \x1b[2J", figures={"name": ["a\nb" * 1000], "n": 3})
    assert finding.message == r"found \x1b[2J"
    assert len(json.dumps(finding.figures)) < 700
    assert finding.figures["n"] == 3


def test_lines_end_at_a_line_feed_alone():
    """A review may hold other separators of Unicode's; a CR before the line feed is the file's."""
    assert text.lines("a\u2028b\r\nc\x85d\n\n e\n") == ["a\u2028b", "c\x85d", "", " e"]
    assert text.lines("") == []
    assert text.lines("a") == ["a"]


def test_a_byte_order_mark_is_no_text():
    """Editors on Windows begin UTF-8 with one."""
    assert text.decode("\ufeffa\ufeff".encode()) == "a\ufeff"
