"""A matplotlib figure -> inline SVG that follows the page: its colours, its theme, its fonts, and words for screen readers."""

import io
import re
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

INK, MUTED, RULE, BASELINE, CANDIDATE, GOOD, BAD, WARN = (f"#0101{number:02x}" for number in range(1, 9))
"""Colours of figures, which stand for the page's: the text's, the style sheet's variables of the same names."""

NAMES = ("muted", "rule", "baseline", "candidate", "good", "bad", "warn")
VARIABLES = {INK: "currentColor"} | {f"#0101{number:02x}": f"var(--{name})" for number, name in enumerate(NAMES, 2)}

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",     # text stays text: searched, copied, read aloud
    "svg.hashsalt": "lorasent", # equal figures give equal files
    "text.parse_math": False,   # a dollar in a stranger's name is a dollar
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
}  # fmt: skip

_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[Callable[[float, float], "Figure"]]:
    """Inside, a function makes figures by width and height in inches. What matplotlib warns of (a font's gaps) is not shown."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(cast("Any", SETTINGS)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield lambda width, height: Figure(figsize=(width, height), layout="constrained")


def inline(figure: "Figure", name: str, title: str, description: str, style: str = "") -> "Markup":
    """The figure as an `svg` element. `name` makes its ids unique in the page; title and description are read aloud."""
    from markupsafe import Markup

    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue().decode()
    root = ET.fromstring(text)  # noqa: S314 - matplotlib wrote it
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag.rpartition("}")[2] in ("metadata", "style")]:
            parent.remove(child)
    used = set(re.findall(r"#(\w+)", " ".join(re.findall(r'(?:url\(|href=")#\w+', text))))
    for each in root.iter():
        _rewrite(each, name, used)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-desc", "class": f"plot {style}".strip()})
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = words
        root.insert(place, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - serialized: every text in it is escaped


def _rewrite(element: ET.Element, name: str, used: Container[str]) -> None:
    """Takes from an element what an inline figure does not need, and gives its ids the figure's name."""
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if not (element.text or "").strip():
        element.text = None
    element.tail = None  # line breaks
    if (identity := element.attrib.pop("id", "")) in used:
        element.set("id", f"{name}-{identity}")
    if link := element.attrib.pop(_LINK, ""):
        element.set("href", f"#{name}-{link.removeprefix('#')}")
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for attribute in ("style", "clip-path", "d"):
        if value := element.get(attribute):
            value = re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", value)).strip()
            element.set(attribute, _themed(value.replace("url(#", f"url(#{name}-")))


def _themed(style: str) -> str:
    """A style whose colours are the page's variables, without fonts, which are the page's too."""
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, variable)
    style = re.sub(r"font-family: [^;]*;?\s*", "", style)
    return re.sub(r"font: (?:[\w.]+ )*?([\d.]+px) [^;]*", r"font-size: \1", style)
