"""Inline figures: they follow the page's colours, their text is text, and nothing in it is markup."""

import re
from xml.etree import ElementTree as ET

from lorasent.report import svg


def figure(name="one", title="title", text="text"):
    """A figure with a line and a text."""
    with svg.drawing() as new:
        drawn = new(2, 1)
        axes = drawn.subplots()
        axes.plot([0, 1], [0, 1], color=svg.CANDIDATE)
        axes.text(0, 0, text)
        return str(svg.inline(drawn, name, title, "words"))


def test_colours_are_the_pages():
    """No colour of its own is left, no font, no size, and no style sheet that would reach beyond it."""
    drawn = figure()
    assert "var(--candidate)" in drawn
    assert "currentColor" in drawn
    assert not re.findall(r"#[0-9a-f]{6}|font-family|<style|DejaVu", drawn)
    assert not set(ET.fromstring(drawn).keys()) & {"width", "height"}  # noqa: S314 - our own


def test_text_stays_text_and_is_no_markup():
    """Neither of XML nor of mathematics; title and description are read aloud."""
    hostile = "<script>$\\alpha$ & 映画"
    root = ET.fromstring(figure(title=hostile, text=hostile))  # noqa: S314 - our own
    assert [root.find("title").text, root.find("desc").text] == [hostile, "words"]
    assert hostile in [each.text for each in root.iter("text")]
    assert root.get("aria-labelledby") == "one-title one-desc"


def test_ids_are_a_figures_own():
    """Two figures of one page share none."""
    ids = [set(re.findall(r' id="([^"]+)"', figure(name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_equal_figures_are_equal():
    """Nothing in them is of the time or of chance."""
    assert figure() == figure()
