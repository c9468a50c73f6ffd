"""Text from elsewhere: shown so that it does nothing, read as people save it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import text
from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome


@given(st.text() | st.text("\n\r\x1b\u202e\u2028:#[e\\", max_size=40), st.integers(10, 60))
def test_a_shown_value_is_one_short_line_that_nothing_obeys(foreign, limit):
    """It has no line end, escape, bidirectional mark or workflow command, and is never longer than the limit."""
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
def test_values_are_shown(value, expected):
    """Text stays readable. Of other values only the size is shown: they may hold a secret."""
    assert text.shown(value) == expected


def test_a_long_text_keeps_both_ends():
    """Five megabytes become a hundred characters."""
    found = text.shown("begin " + "x" * 5_000_000 + " end")
    assert len(found) == 100
    assert found.startswith("begin xxx")
    assert found.endswith("xxx end")


def test_messages_of_errors_and_findings_are_shown_safely():
    """Commands and escapes in them are escaped."""
    assert str(LorasentError("label 'a\n::error::b'")) == r"label 'a\n\x3a:error::b'"
    finding = Finding("check", Outcome.BLOCK, "cause", "found \x1b[2J", figures={"name": ["a\nb" * 1000], "n": 3})
    assert finding.message == r"found \x1b[2J"
    assert len(json.dumps(finding.figures)) < 700
    assert finding.figures["n"] == 3


def test_lines_end_with_lf_or_cr_lf_alone():
    """Other separators of Unicode may be part of a review."""
    assert text.lines("a\u2028b\r\nc\x85d\n\n e\n") == ["a\u2028b", "c\x85d", "", " e"]
    assert text.lines("") == []
    assert text.lines("a") == ["a"]


def test_a_byte_order_mark_is_not_part_of_a_text():
    """Editors on Windows write one before UTF-8."""
    assert text.decode("\ufeffa\ufeff".encode()) == "a\ufeff"


def test_secrets_are_left_out_of_messages(monkeypatch):
    """The values of secret variables, a secret that is given, and the login of a URL; a short value is found in words."""
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    monkeypatch.setenv("SOME_PASSWORD", "short")
    said = "hf_abcdef and given-secret at https://me:pass@host/x, in short"
    assert text.without_secrets(said, "given-secret") == "*** and *** at https://***@host/x, in short"


@given(st.text() | st.text("`|<>@ \n", max_size=30))
def test_a_code_span_holds_whatever_is_in_it(foreign):
    """Its fence is longer than any run of backticks inside, and it is one line."""
    span = text.code_span(foreign)
    assert "\n" not in span
    if span != "(empty)":
        fence = span[: len(span) - len(span.lstrip("`"))]
        inside = span[len(fence) : -len(fence)]
        assert span.endswith(fence)
        assert max(map(len, re.findall("`+", inside)), default=0) < len(fence)


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.2, "4 s"), (89, "89 s"), (91, "2 min"), (3599, "1 h 0 min"), (11100, "3 h 5 min")], ids=str
)
def test_time_is_told_as_people_say_it(seconds, words):
    """Seconds, minutes, hours."""
    assert text.duration(seconds) == words


@given(st.text(), st.integers(10, 100))
def test_wrapped_lines_lose_no_word(foreign, width):
    """Every character but blanks is there, in order; only a path is wider than a line."""
    lines = text.wrapped(text.shown(foreign, 1000), width)
    assert "".join("".join(lines).split()) == "".join(text.shown(foreign, 1000).split())
    assert all(text.columns(line) <= width or "/" in line for line in lines)


def test_what_is_cut_ends_in_dots():
    """At a blank where one is near; wide characters take two columns."""
    assert text.cut("one two three", 13) == "one two three"
    assert text.cut("one two three four", 15) == "one two ..."
    assert text.cut("日本語日本語", 8) == "日本 ..."
    assert text.wrapped("one two three four", 9, "", 2) == ["one two", "three ..."]
