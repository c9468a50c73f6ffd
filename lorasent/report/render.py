"""Templates -> one HTML file: every value is escaped, nothing is fetched, and only the page's own script may run."""

import base64
import hashlib
from typing import Any

from lorasent.text import shown


def render(template: str, **values: Any) -> str:
    """The page of a template with these values. Its policy forbids every request, and every script but the page's, by its hash."""
    from importlib import metadata

    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lorasent.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    sources = {name: _source(environment, name) for name in ("style.css", "script.js")}
    digest = base64.b64encode(hashlib.sha256(sources["script.js"].encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(
        policy=policy,
        style=Markup(sources["style.css"]),  # noqa: S704 - our own
        script=Markup(sources["script.js"]),  # noqa: S704 - our own
        version=metadata.version("lorasent"),
        **{"written": "", "percent": percent, "points": points, "confusions": confusions} | values,
    )


def _source(environment: Any, name: str) -> str:
    source, _, _ = environment.loader.get_source(environment, name)
    return str(source)


def percent(share: float) -> str:
    """A share in percent, to a tenth."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def points(share: float) -> str:
    """A difference in points, to a tenth, with its sign."""
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}").replace("+0.0", "0.0")


def confusions(side: Any, labels: Any, most: int = 20) -> list[tuple[str, str, int]]:
    """The pairs of labels that are confused most: label, answer, reviews."""
    cells = [(count, row, column) for row, counts in enumerate(side.confusion) for column, count in enumerate(counts)]
    worst = sorted((cell for cell in cells if cell[0] and cell[1] != cell[2]), reverse=True)[:most]
    return [(shown(labels[row]), shown(labels[column]), count) for count, row, column in worst]
