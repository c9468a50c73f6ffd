"""The code blocks of the documentation: README.md and all pages under docs/.

A block of sh or python is run by tests/docs/test_examples.py as it stands, one after the other, page by page. A word behind the
language says why it is not, or by whom else: see `ELSEWHERE`.
"""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

ELSEWHERE = {
    "online": "needs a network",
    "gpu": "needs a GPU",
    "hosts": "needs several hosts",
    "long": "takes minutes or hours",
    "clone": "needs a fresh machine, or a fresh clone",
    "script": "run by tests/end_to_end/test_plain_peft.py, with real reviews",
    "first": "run by tests/docs/test_examples.py, by itself",
    "adopt": "run by tests/docs/test_examples.py, by itself",
    "benchmarks": "run by tests/harness/test_benchmark_option.py",
}
"""Words behind a block's language: why it is not run with its page."""

LANGUAGES = {"sh", "python", "text", "toml", "yaml", "json"}


class Block(NamedTuple):
    """A code block."""

    language: str
    word: str
    code: str
    is_output: bool
    """Whether it stands right below another block: then it is what that one prints."""


def pages() -> dict[str, str]:
    """Every page of the documentation by its path from the repository's root."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def blocks(page: str) -> list[Block]:
    """The code blocks of a page's text, in order."""
    found, end = [], None
    for each in re.finditer(r"^( *)```(\w*) ?([^\n]*)\n(.*?)^\1```$", page, re.MULTILINE | re.DOTALL):
        is_output = end is not None and not page[end : each.start()].strip()
        found.append(Block(each[2], each[3], textwrap.dedent(each[4]), is_output))
        end = each.end()
    return found


def of(path: str, language: str, word: str = "") -> list[str]:
    """The code of a page's blocks of one language, and of one word behind it."""
    return [block.code for block in blocks(pages()[path]) if (block.language, block.word) == (language, word)]


def commands(code: str) -> list[str]:
    """The commands of a block of sh; a backslash at the end of a line joins it with the next."""
    return [line for line in code.replace("\\\n", "").splitlines() if line.strip() and not line.startswith("#")]
