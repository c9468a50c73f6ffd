"""The pages of the reference that follow from the code are fresh, and every page is found."""

import re
from importlib import metadata

import pytest

from tests.docs import reference
from tests.docs.blocks import ROOT, pages


@pytest.fixture(scope="module")
def fresh():
    """The pages as the code has them today."""
    return reference.pages()


@pytest.mark.parametrize("name", ["recipe.md", "policy.md", "manifest.md", "command-line.md"])
def test_a_page_is_fresh(fresh, name):
    """`python -m tests.docs.reference` would change nothing. How commands are told depends on typer's version."""
    pinned = re.search(r"^typer==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if name == "command-line.md" and metadata.version("typer") != pinned[1]:
        pytest.skip(f"the page is that of typer {pinned[1]}")
    assert (reference.FOLDER / name).read_text("utf-8") == fresh[name]


def test_every_page_is_in_the_navigation():
    """And the navigation names no page that is not there."""
    named = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2])
    assert sorted(f"docs/{name}" for name in named) == sorted(path for path in pages() if path != "README.md")


def test_links_lead_somewhere():
    """Every relative link of a page or of the README leads to a file; anchors are checked by the strict build (`tox -e docs`)."""
    for path, page in pages().items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page):
            assert re.match(r"https?://", link) or (ROOT / path).parent.joinpath(link).exists(), (path, link)
