"""The pictures of the README: a verdict in a terminal, and the report in a browser.

    python -m tests.docs.pictures [CANDIDATE]

draws both. The terminal shows the verdict in golden/measured/incident.json. The report is that of CANDIDATE, by default a new
adapter of seed 1, against golden/reference-adapter by gate.toml; Chromium takes the picture. A test says whether both are fresh.
"""

import argparse
import hashlib
import io
import json
import re
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lorasent import files
from lorasent.gate.verdict import Verdict
from lorasent.report import terminal
from lorasent.text import WIDTH

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
INCIDENT = ROOT / "golden" / "measured" / "incident.json"
COMMAND = "lorasent gate adapters/new --baseline adapters/current"
STYLE = "style"
"""The text in the report's PNG that holds `style()`."""


def incident() -> Verdict:
    """The verdict on the adapter without a head."""
    return Verdict.from_json(json.loads(INCIDENT.read_text("utf-8"))["verdict"])


def screen() -> str:
    """A terminal with the verdict, as SVG that names no other server."""
    console = Console(record=True, width=WIDTH + 2, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), COMMAND), highlight=False, soft_wrap=True)
    for line in terminal.lines(incident(), COMMAND):
        console.print(line, highlight=False)
    svg = console.export_svg(title="lorasent", unique_id="lorasent")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", svg.replace("Fira Code, monospace", "monospace"), flags=re.MULTILINE)


def style() -> str:
    """A hash of what the report looks like."""
    templates = ROOT / "lorasent" / "report" / "templates"
    return hashlib.sha256(b"".join((templates / name).read_bytes() for name in ("base.html", "gate.html", "style.css"))).hexdigest()


def page(candidate: Path) -> str:
    """The report of a candidate against the reference adapter."""
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import judged
    from lorasent.report.details import collect
    from lorasent.report.page import page as rendered

    policy = Policy.read(ROOT / "gate.toml")
    verdict, context = judged(candidate, ROOT / "golden" / "reference-adapter", policy)
    named = Verdict(verdict.outcome, verdict.findings, "adapters/candidate", ("golden/reference-adapter",), verdict.evidence)
    command = "lorasent gate adapters/candidate --baseline golden/reference-adapter --report gate.html"
    return rendered(named, command, collect(verdict, context, policy), policy)


def photograph(html: str, out: Path) -> None:
    """Takes a picture of the top of a page with Chromium, and notes in it what the page looked like."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder, "gate.html")
        file.write_text(html, "utf-8")
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
        tab.set_default_timeout(600_000)
        tab.goto(file.as_uri())
        picture = Image.open(io.BytesIO(tab.screenshot()))
        picture.load()
        browser.close()
    info = PngInfo()
    info.add_text(STYLE, style())
    picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(out, pnginfo=info, optimize=True)


def main() -> None:
    """Draws both pictures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("candidate", type=Path, nargs="?")
    candidate = arguments.parse_args().candidate
    FOLDER.mkdir(exist_ok=True)
    files.write(FOLDER / "terminal.svg", [screen()])
    if candidate is None:
        import lorasent

        candidate = Path(tempfile.mkdtemp()) / "seed-1"
        lorasent.train(lorasent.Recipe.read("embedded", ["training.seed=1"]), candidate)
    html = page(candidate)
    Path(tempfile.gettempdir(), "lorasent-report.html").write_text(html, "utf-8")
    photograph(html, FOLDER / "report.png")


if __name__ == "__main__":
    main()
