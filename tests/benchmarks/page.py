"""The trend as one HTML page that needs nothing else: a panel for each thing measured, its lines drawn as SVG.

A panel shows the runs of one kind of machine, oldest first, on an axis that begins at zero: a change looks as large as it is.
"""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from lorasent import files
from tests.benchmarks.against import THRESHOLD
from tests.benchmarks.history import Run, alike

WIDTH, HEIGHT = 300, 96
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 8

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lorasent: benchmarks</title>
<style>
body {{ font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; max-width: 68em; margin: 2em auto; padding: 0 1em; color: #222 }}
h1 {{ margin-bottom: 0 }} h2 {{ margin: 2em 0 .6em; font-size: 1.15em }} p, small {{ color: #666 }}
.panels {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 1em }}
figure {{ margin: 0; padding: .8em; border: 1px solid #ddd; border-radius: 6px }} figcaption b {{ display: block; font-weight: 600 }}
svg {{ width: 100%; height: auto; display: block; overflow: visible }} svg text {{ font-size: 10px; fill: #888 }}
.p50 {{ fill: none; stroke: #1f5fa8; stroke-width: 1.8 }} .p99 {{ fill: none; stroke: #b9cfe8; stroke-width: 1.4 }}
circle {{ fill: #1f5fa8 }} circle.dirty {{ fill: #fff; stroke: #1f5fa8; stroke-width: 1.5 }}
.axis {{ stroke: #e4e4e4 }} .interval {{ stroke: #b9cfe8; stroke-width: 5 }}
.limit {{ stroke: #b3261e; stroke-dasharray: 3 3 }} .slower {{ color: #b3261e }}
table {{ border-collapse: collapse }} td, th {{ text-align: right; padding: .2em 1.2em .2em 0 }} td:first-child {{ text-align: left }}
tr {{ border-top: 1px solid #eee }}
</style>
<h1>Benchmarks</h1>
<p>{commit}, {when}. Dark: the median; light: the 99th percentile, or a ratio's interval. Hollow: a tree with changes. Times are drawn beside
those of the same kind of machine only; they do not judge. Ratios were measured in turns, in one run; dashed: {threshold:g}, above which a
whole interval counts as slower.</p>
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
    return PAGE.format(commit=commit, when=f"{last.when:%Y-%m-%d %H:%M} UTC", threshold=THRESHOLD, sections="\n".join(sections))


def _section(runs: Sequence[Run]) -> str:
    kind = html.escape(", ".join(f"{name} {value}" for name, value in runs[-1].machine.items()))
    names = [(part, name) for part in ("times", "ratios") for name in dict.fromkeys(n for run in runs for n in getattr(run, part))]
    panels = "\n".join(_panel(part, name, [run for run in runs if name in getattr(run, part)]) for part, name in names)
    count = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    return f'<h2>{count} on: {kind}</h2>\n<div class="panels">\n{panels}\n</div>'


def _panel(part: str, name: str, runs: Sequence[Run]) -> str:
    found = [getattr(run, part)[name] for run in runs]
    low, middle, high = ("p50", "p50", "p99") if part == "times" else ("low", "value", "high")
    unit, factor = ("", 1.0) if part == "ratios" else _unit(max(one[middle] for one in found))
    values = [[factor * one[key] for one in found] for key in (low, middle, high)]
    now = values[1][-1]
    change = f"{now / values[1][-2] - 1:+.1%} from the last run" if len(found) > 1 else "no earlier figure"
    second = f"p99 {values[2][-1]:.3g}" if part == "times" else f"{values[0][-1]:.3f} to {values[2][-1]:.3f}"
    if part == "times" and found[-1].get("floor"):
        second += f", {now / (factor * found[-1]['floor']):.1f} times its floor"
    against = part == "ratios" and "over" in name and values[0][-1] > THRESHOLD and name.partition(",")[2].startswith(" today")
    head = f"<b>{html.escape(name)}</b><span{' class=slower' * against}>{now:.3g} {unit}</span> <small>({second}; {change})</small>"
    drawing = "\n".join(_drawing(part, runs, values, unit))
    return f"<figure><figcaption>{head}</figcaption>\n{drawing}\n</figure>"


def _drawing(part: str, runs: Sequence[Run], values: Sequence[Sequence[float]], unit: str) -> Iterator[str]:
    """The lines and points; `values` are the lower, the middle and the upper figure of each run."""
    # A single slow call among hundreds would press the medians flat: the axis follows them, and what is beyond is cut.
    top = 1.15 * (max(min(max(values[2]), 2.5 * max(values[1])), THRESHOLD if part == "ratios" and max(values[1]) < 2 else 0.0) or 1.0)
    across = (WIDTH - LEFT - RIGHT) / max(len(runs) - 1, 1)
    xs = [LEFT + across * (position if len(runs) > 1 else 0.5) for position in range(len(runs))]
    if len(runs) == 1:
        xs = [(LEFT + WIDTH - RIGHT) / 2]

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / top, 1.0), 1)

    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    for value in (0.0, top / 2, top):
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>'
        yield f'<text x="{LEFT - 5}" y="{y(value) + 3}" text-anchor="end">{value:.3g}</text>'
    if part == "ratios" and top < 3:
        yield f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(THRESHOLD)}" y2="{y(THRESHOLD)}"/>'
    if part == "times":
        yield f'<path class="p99" d="{_path(xs, map(y, values[2]))}"/>'
    else:
        for x, low, high in zip(xs, map(y, values[0]), map(y, values[2]), strict=True):
            yield f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{low}" y2="{high}"/>'
    yield f'<path class="p50" d="{_path(xs, map(y, values[1]))}"/>'
    for x, value, run in zip(xs, values[1], runs, strict=True):
        told = f"{value:.3g} {unit} at {html.escape(run.commit[:7])}, {run.when:%Y-%m-%d}"
        yield f'<circle{" class=dirty" * run.dirty} cx="{x:.1f}" cy="{y(value)}" r="3"><title>{told}</title></circle>'
    yield "</svg>"


def _path(xs: Sequence[float], ys: Iterator[float]) -> str:
    return "M" + "L".join(f"{x:.1f},{y}" for x, y in zip(xs, ys, strict=True))


def _unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds >= 1 else ("ms", 1000.0)


def _counts(runs: Sequence[Run]) -> str:
    before = runs[-2].counts if len(runs) > 1 else {}
    rows = []
    for name, count in runs[-1].counts.items():
        moved = count - before.get(name, count)
        change = "new" if name not in before else "as before" if not moved else f"{moved:+,}"
        rows.append(f"<tr><td>{html.escape(name)}<td>{count:,}<td>{change}</tr>")
    head = "<tr><td><b>exact counts</b><th>now<th>from the last run</tr>"
    return "<h2>Counted, not timed</h2>\n<table>\n" + "\n".join([head, *rows]) + "\n</table>"
