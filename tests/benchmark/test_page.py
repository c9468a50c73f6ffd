"""The trend page: a panel for each figure, and nothing in a name is markup."""

import re
from html.parser import HTMLParser

import pytest

from lorasent.benchmark.page import PANELS, page
from tests.support.benchmarks import HERE, THERE, run

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}{% raw %}\"'&lt;\x1b[2J\u202e"


class Seen(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.values, self.texts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.values += attributes

    def handle_data(self, data):
        self.texts.append(data)


def test_nothing_hostile_is_markup():
    """Tags and names of attributes are those of a page without it; its words are text; no control character is left."""
    names = {"adapter": HOSTILE, "data": HOSTILE, "made_on": HOSTILE, "baseline": HOSTILE, "identity": HOSTILE, "ratio": 1.2}
    hostile = page([run(1, machine={HOSTILE: HOSTILE}, libraries={HOSTILE: HOSTILE}, **names, **{HOSTILE: 3})])
    plain, seen = Seen(page([run(1, ratio=1.2, flops=3)])), Seen(hostile)
    assert seen.tags == plain.tags
    assert [name for name, _ in seen.values] == [name for name, _ in plain.values]
    assert "{{7*7}}" in "".join(seen.texts)
    assert all(char.isprintable() or char == "\n" for char in hostile)


def test_the_page_asks_for_nothing():
    """No script, no address of another server, no link, no picture from elsewhere."""
    html = page([run(1), run(2)])
    assert re.findall(r"https?:|//\w|<script|<link|<img|url\(|@import", html) == []


def test_each_kind_of_machine_has_its_section():
    """The group of the last run stands on top; its panels have a point for each of its runs and none of the others."""
    html = page([run(1, machine=THERE), run(2, machine=HERE), run(3, machine=HERE)])
    sections = html.split("<section>")[1:]
    assert ["threads 2" in section for section in sections] == [True, False]
    assert [section.count("<circle") for section in sections] == [2 * len(PANELS), len(PANELS)]
    assert "+0.0% from the last run" in sections[0]
    assert "no earlier figure" in sections[1]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_no_point_lies_outside_its_panel(scale):
    """For times of any size, and whatever one slow call took: the 99th percentile is cut at three times the median's panel."""
    times = [scale, 3 * scale, 0.5 * scale]
    html = page([run(day, p50=p50, p99=1000 * p50) for day, p50 in enumerate(times)])
    ys = [float(y) for y in re.findall(r'cy="([\d.]+)"', html)] + [float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", html)]
    assert len(ys) == 3 * len(PANELS) + 3 * len(PANELS) + 3
    assert min(ys) >= 0
    assert max(ys) <= 100


def test_only_a_ratio_is_marked_as_slower():
    """A time that doubled is not; a ratio whose whole interval lies above its limit is."""
    assert 'class="BLOCK"' not in page([run(1, p50=0.01), run(2, p50=0.05, ratio=1.09)])
    assert page([run(1, ratio=1.3)]).count('class="BLOCK"') == 1
