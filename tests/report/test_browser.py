"""The page in a headless Chromium, as people use it. `LORASENT_AXE` names axe-core's axe.min.js, for its audit."""

import functools
import os
import shutil
from pathlib import Path

import pytest

from tests.report.conftest import made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: install Debian's package of that name, or put one on PATH"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page of a verdict on 2,000 reviews."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "gate.html").write_text(made(folder, 0.8, 2000).html, "utf-8")
    return folder / "gate.html"


@pytest.fixture(scope="module")
def chromium():
    """A headless browser."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, file):
    """A function that opens the page; at the end of the test nothing was requested and no error was logged."""
    heard = []

    def open_page(path=file, **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", lambda request: heard.append(request.url) if request.url != Path(path).as_uri() else None)
        page.goto(Path(path).as_uri())
        return page

    yield open_page
    assert [each for each in heard if not each.startswith("data:")] == []


def test_the_page_opens(opened, file, record_property):
    """It is below 5 MB; how long it takes depends on the machine, and is reported."""
    page = opened()
    milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    record_property("milliseconds", milliseconds)
    print(f"{file.stat().st_size:,} bytes, opened in {milliseconds:,.0f} ms")
    assert file.stat().st_size < 5_000_000
    assert page.locator("h1").inner_text().startswith("Do not ship this candidate")


def visible(page):
    """The reviews that are shown."""
    return page.locator(".flip:visible")


def test_flips_are_filtered_and_searched(opened):
    """By direction, slice, confidence and text, together; the status says how many fit."""
    page = opened()
    assert visible(page).count() == 25
    page.get_by_role("button", name="Show more").click()
    assert visible(page).count() == 50
    page.get_by_label("Direction").select_option("fixed")
    assert set(visible(page).evaluate_all("all => all.map(each => each.dataset.kind)")) == {"fixed"}
    page.get_by_label("Direction").select_option("")
    page.locator("#slice").select_option(label="genre = horror")
    page.locator("#confidence").fill("70")
    assert visible(page).count() > 0
    assert min(visible(page).evaluate_all("all => all.map(each => Number(each.dataset.confidence))")) >= 70
    text = visible(page).first.locator(".text").text_content().split(":")[0]
    page.get_by_label("Search").fill(text.upper())
    assert visible(page).count() >= 1
    assert all(text in each for each in visible(page).locator(".text").all_text_contents())
    page.get_by_label("Search").fill("no review says this")
    assert visible(page).count() == 0
    assert page.locator("#count").inner_text() == "0 shown of 0 that fit"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_and_the_button(opened, scheme):
    """The button goes from the system's to light, to dark, and back, by keyboard, too."""
    page = opened(color_scheme=scheme)
    paper = functools.partial(page.evaluate, "getComputedStyle(document.body).backgroundColor")
    system, button = paper(), page.locator("#theme")
    seen = {}
    button.focus()
    for name in ("light", "dark", "system"):
        page.keyboard.press("Enter")
        assert button.inner_text() == f"Theme: {name}"
        seen[name] = paper()
    assert seen["system"] == system == seen[scheme]
    assert seen["light"] != seen["dark"]


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(opened, width):
    """A phone's and a desk's; each has its own forest plot, in letters of at least 10 pixels."""
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    forest = page.locator("#differences svg:visible").first
    assert ("narrow" if width == 360 else "wide") in forest.get_attribute("class")
    heights = forest.locator("text").evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert min(heights) >= 10


def test_it_prints(opened, tmp_path):
    """On white, without buttons and filters."""
    page = opened(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#filters, #theme, nav").evaluate_all("all => all.filter(each => each.checkVisibility()).length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(31, 35, 40)"
    assert page.pdf(path=str(tmp_path / "gate.pdf"), format="A4").startswith(b"%PDF")


def test_hostile_texts_do_nothing(opened, hostile, tmp_path):
    """No dialog, no request, no error; the texts are seen as they were written."""
    (tmp_path / "gate.html").write_text(hostile.html, "utf-8")
    page = opened(tmp_path / "gate.html")
    assert "<script>alert(1)</script>" in visible(page).first.locator(".text").text_content()
    assert page.evaluate("document.images.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding(opened, scheme):
    """Accessibility, audited by axe-core."""
    if not (axe := os.environ.get("LORASENT_AXE")):
        pytest.skip("set LORASENT_AXE to axe.min.js of axe-core: npm pack axe-core")
    page = opened(color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.evaluate(Path(axe).read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations.map(({id, impact, nodes}) => [id, impact, nodes[0].html])")
    assert [each for each in found if each[1] in ("serious", "critical")] == []
