"""The trend as one HTML page that needs nothing else: a panel for each thing measured, its lines drawn as SVG.

A panel shows the runs of one kind of machine, oldest first. Times begin at zero: a change looks as large as it is. A ratio that is
held to a limit lies about 1.
"""

import html
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from lorasent import files
from tests.benchmarks.history import Run, alike

WIDTH, HEIGHT = 300, 96
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 8

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lorasent: benchmarks</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 68em; margin: 2em auto; padding: 0 1em; color: #222 }}
h1 {{ margin-bottom: 0 }} h2 {{ margin: 2em 0 .6em; font-size: 1.15em }} p, small {{ color: #666 }}
.panels {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 1em }}
figure {{ margin: 0; padding: .8em; border: 1px solid #ddd; border-radius: 6px }}
figcaption b {{ display: block; font-weight: 600 }}
svg {{ width: 100%; height: auto; display: block; overflow: visible }} svg text {{ font-size: 10px; fill: #888 }}
.p50 {{ fill: none; stroke: #1f5fa8; stroke-width: 1.8 }} .p99 {{ fill: none; stroke: #b9cfe8; stroke-width: 1.4 }}
circle {{ fill: #1f5fa8 }} circle.dirty {{ fill: #fff; stroke: #1f5fa8; stroke-width: 1.5 }}
.axis {{ stroke: #e4e4e4 }} .interval {{ stroke: #b9cfe8; stroke-width: 6 }}
.limit {{ stroke: #b3261e; stroke-dasharray: 3 3 }} .slower {{ color: #b3261e }}
table {{ border-collapse: collapse }} td, th {{ text-align: right; padding: .2em 1.2em .2em 0 }}
td:first-child {{ text-align: left }}
tr {{ border-top: 1px solid #eee }}
</style>
<h1>Benchmarks</h1>
<p>{commit}, {when}. Dark: the median; light: the 99th percentile, or a ratio's interval. Hollow: a tree with changes. Times are
drawn beside those of the same kind of machine only, and judge nothing. Ratios were measured in turns, in one run; dashed: the
limit, above which a whole interval counts as slower.</p>
{sections}
</html>
"""


def write(path: Path, earlier: Sequence[Run], run: Run) -> None:
    """Writes the page of `earlier` runs, oldest first, and of this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, [page([*earlier, run])])


def page(runs: Sequence[Run]) -> str:
    """The page: the last run's kind of machine first, then the others, then the exact counts."""
    last = runs[-1]
    kinds: list[list[Run]] = []
    for run in reversed(runs):
        if not any(run in kind for kind in kinds):
            kinds.append(alike(runs, run))
    sections = [_section(kind) for kind in kinds]
    if last.counts:
        sections.append(_counts(runs))
    commit = f"Commit <code>{html.escape(last.commit[:7])}</code>{' with changes' if last.dirty else ''}"
    return PAGE.format(commit=commit, when=f"{last.when:%Y-%m-%d %H:%M} UTC", sections="\n".join(sections))


def _section(runs: Sequence[Run]) -> str:
    kind = html.escape(", ".join(f"{name} {value}" for name, value in runs[-1].machine.items()))
    names = [(part, name) for part in ("times", "ratios") for name in dict.fromkeys(n for run in runs for n in getattr(run, part))]
    panels = "\n".join(_panel(part, name, [run for run in runs if name in getattr(run, part)]) for part, name in names)
    count = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    return f'<h2>{count} on: {kind}</h2>\n<div class="panels">\n{panels}\n</div>'


def _panel(part: str, name: str, runs: Sequence[Run]) -> str:
    found = [getattr(run, part)[name] for run in runs]
    keys = ("p50", "p50", "p99") if part == "times" else ("low", "value", "high")
    unit, factor = _unit(max(one["p50"] for one in found)) if part == "times" else ("times", 1.0)
    low, middle, high = ([factor * one[key] for one in found] for key in keys)
    now, limit = middle[-1], found[-1].get("limit")
    told = [f"p99 {_figure(high[-1])}" if part == "times" else f"{_figure(low[-1])} to {_figure(high[-1])}"]
    if floor := found[-1].get("floor"):
        told.append(f"{now / factor / floor:.1f} times its floor")
    told.append(f"{now / middle[-2] - 1:+.1%} from the last run" if len(found) > 1 else "no earlier figure")
    figure = f"<span{' class=slower' * (limit is not None and low[-1] > limit)}>{_figure(now)} {unit}</span>"
    drawing = "\n".join(_drawing(part, runs, (low, middle, high), limit))
    caption = f"<b>{html.escape(name)}</b>{figure} <small>{', '.join(told)}</small>"
    return f"<figure><figcaption>{caption}</figcaption>\n{drawing}\n</figure>"


def _drawing(
    part: str, runs: Sequence[Run], values: tuple[list[float], list[float], list[float]], limit: float | None
) -> Iterator[str]:
    """The lines and points; `values` are the lower, the middle and the upper figure of each run."""
    low, middle, high = values
    bottom, top = 0.0, _ceiling(min(max(high), 2 * max(middle)))  # a rare slow call would press the medians flat: it is cut
    if limit is not None:
        reach = _ceiling(max(limit - 1, *(abs(value - 1) for value in (*low, *high))))
        bottom, top = max(1 - reach, 0.0), 1 + reach
    across = (WIDTH - LEFT - RIGHT) / (len(runs) - 1) if len(runs) > 1 else 0.0
    xs = [WIDTH - RIGHT - across * back for back in reversed(range(len(runs)))]

    def y(value: float) -> float:
        share = (value - bottom) / (top - bottom)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(share, 0.0), 1.0), 1)

    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    for value in (bottom, (bottom + top) / 2, top):
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>'
        yield f'<text x="{LEFT - 6}" y="{y(value) + 3}" text-anchor="end">{_figure(value)}</text>'
    if limit is not None:
        yield f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(limit)}" y2="{y(limit)}"/>'
    if part == "times":
        yield f'<path class="p99" d="{_path(xs, map(y, high))}"/>'
    else:
        for x, least, most in zip(xs, map(y, low), map(y, high), strict=True):
            yield f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{least}" y2="{most}"/>'
    yield f'<path class="p50" d="{_path(xs, map(y, middle))}"/>'
    for x, value, run in zip(xs, middle, runs, strict=True):
        told = f"{_figure(value)} at {html.escape(run.commit[:7])}, {run.when:%Y-%m-%d}"
        yield f'<circle{" class=dirty" * run.dirty} cx="{x:.1f}" cy="{y(value)}" r="3"><title>{told}</title></circle>'
    yield "</svg>"


def _path(xs: Sequence[float], ys: Iterator[float]) -> str:
    return "M" + "L".join(f"{x:.1f},{y}" for x, y in zip(xs, ys, strict=True))


def _unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds >= 1 else ("ms", 1000.0)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ceiling(value: float) -> float:
    """The least of 1, 2, 4, 6, 8 times a power of ten that is not below: halves of it are short to write."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value or step == 20)


def _counts(runs: Sequence[Run]) -> str:
    before = runs[-2].counts if len(runs) > 1 else {}
    rows = []
    for name, count in runs[-1].counts.items():
        moved = count - before.get(name, count)
        change = "new" if name not in before else "as before" if not moved else f"{moved:+,}"
        rows.append(f"<tr><td>{html.escape(name)}<td>{count:,}<td>{change}</tr>")
    head = "<tr><td><b>exact counts</b><th>now<th>from the last run</tr>"
    return "<h2>Counted, not timed</h2>\n<table>\n" + "\n".join([head, *rows]) + "\n</table>"
