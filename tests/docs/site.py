"""A hook of MkDocs: what pages have for the suite and for readers of the repository works on the site, too.

On a page "../../golden/measured/ablation.svg" leads to the file in the repository. The site gets a copy of the file under
"repository/", and the link leads there. A block that begins with "```sh online" is a block of sh.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
WORDS = re.compile(r"^(```\w+) .+$", re.MULTILINE)
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """The page's Markdown for the site. A link to nothing stays, and fails the strict build."""
    place = PurePosixPath("docs", page.file.src_uri).parent

    def moved(found: re.Match[str]) -> str:
        parts: list[str] = []
        for part in (place / found[2]).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        path = "/".join(parts)
        if parts[0] == "docs" or not (ROOT / path).is_file() or path.endswith(".md"):
            return found[0]
        copy = f"repository/{path}"
        if files.get_file_from_path(copy) is None:
            files.append(File.generated(config, copy, abs_src_path=str(ROOT / path)))
        return f"{found[1]}{'../' * (len(place.parts) - 1)}{copy}"

    return LINK.sub(moved, WORDS.sub(r"\1", markdown))
