"""The trend of a history as one HTML page that needs nothing else: a panel for each figure, drawn as SVG.

Runs are grouped by adapter and by kind of machine, for their times are compared there only. Every axis begins at zero: a change
looks as large as it is.
"""

import math
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from lorasent.benchmark.history import Run, about, figure, groups, milliseconds

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 100, 48, 12, 10, 8
"""Of a panel's drawing, in SVG's units: its size, and its margins."""

Number = Callable[[Run], float]

PANELS: dict[str, tuple[Callable[[float], str], Number, Number | None]] = {
    "one review": (milliseconds, lambda run: run.p50, lambda run: run.p99),
    "reviews a second": (figure, lambda run: run.reviews_per_second, None),
    "memory at most": (lambda size: f"{figure(size)} MiB", lambda run: run.peak_bytes / 2**20, None),
}
"""What is drawn: how a figure is written, the figure itself, and a second, fainter one above it."""


def page(runs: Sequence[Run]) -> str:
    """The page of runs, the oldest first: the group of the last run on top."""
    import jinja2

    oldest_first = [group[::-1] for group in groups(runs)]
    template = resources.files("lorasent.benchmark").joinpath("trend.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    sections = [
        {"runs": group, "about": about(group[-1]), "panels": [_panel(name, group) for name in PANELS]} for group in oldest_first
    ]
    return environment.from_string(template).render(
        sections=sections, last=runs[-1], size=(WIDTH, HEIGHT), edges=(LEFT, WIDTH - RIGHT)
    )


def _panel(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A panel's words, lines and points."""
    written, value, upper = PANELS[name]
    values = [value(run) for run in runs]
    above = [] if upper is None else [upper(run) for run in runs]
    top = _ceiling(max(*values, min(max(above, default=0.0), 3 * max(values))))  # a rare slow call would press the rest flat
    step = (WIDTH - LEFT - RIGHT) / max(len(runs) - 1, 1)
    xs = [round(WIDTH - RIGHT - step * back, 1) for back in reversed(range(len(runs)))]

    def y(number: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(number / top, 1.0), 1)

    change = f"{values[-1] / values[-2] - 1:+.1%} from the last run" if len(values) > 1 else "no earlier figure"
    return {
        "name": name,
        "now": written(values[-1]),
        "note": f"99 % {written(above[-1])}; {change}" if above else change,
        "axis": [(y(number), written(number)) for number in (0.0, top / 2, top)],
        "upper": _path(xs, [y(number) for number in above]),
        "line": _path(xs, [y(number) for number in values]),
        "points": [
            (x, y(each), f"{written(each)}, {run.when:%Y-%m-%d %H:%M}") for x, each, run in zip(xs, values, runs, strict=True)
        ],
    }


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return "M" + "L".join(f"{x},{y}" for x, y in zip(xs, ys, strict=True)) if ys else ""


def _ceiling(value: float) -> float:
    """The least of 1, 2, 4, 6, 8 times a power of ten that is not below the value."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value or step == 20)
