"""The figures of a page, as inline SVG. Each is drawn for a phone's width; the forest also for a desk's."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lorasent.report import svg
from lorasent.report.details import SCORE_BINS, Details, Side
from lorasent.report.differences import Difference
from lorasent.text import shown

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

COLOURS = {"PASS": svg.GOOD, "BLOCK": svg.BAD, "INCONCLUSIVE": svg.WARN}
ROLES = {"baseline": svg.BASELINE, "candidate": svg.CANDIDATE, "adapter": svg.CANDIDATE}

MOST_ROWS = 48
"""Largest number of rows of a forest plot: the worst by their margins."""

NARROW, WIDE = 3.4, 9.0
"""Widths in inches. A figure's text has 8.5 of 72 units an inch."""

GAP = 6 * "\N{NO-BREAK SPACE}"

LONGEST_NAME = 34
"""Longest name in a figure, in characters."""


def forest(details: Details) -> list["Markup"]:
    """The paired differences with interval, margin and bank: two widths, of which the page shows one; nothing without any."""
    rows = [row for row in details.differences if row.group != "Scores"]
    return _forest(rows, details, "forest", "change in points") if rows else []


def scores(details: Details) -> list["Markup"]:
    """The same of proper scores, in hundredths."""
    rows = [row for row in details.differences if row.group == "Scores"]
    return _forest(rows, Details(), "scores", "change in hundredths of the score") if rows else []


def left_out(details: Details) -> int:
    """The number of differences that the forest plot leaves out."""
    return max(0, sum(row.group != "Scores" for row in details.differences) - MOST_ROWS)


def _forest(rows: Sequence[Difference], details: Details, name: str, unit: str) -> list["Markup"]:
    worst = sorted(rows, key=lambda row: (row.group != "Metric", row.low + row.margin))[:MOST_ROWS]
    rows = [row for row in rows if row in worst]
    words = "; ".join(
        f"{shown(row.name, LONGEST_NAME)} {100 * row.change:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f}), {row.outcome}"
        for row in rows
    )
    title = f"Paired differences, candidate less baseline: {unit}"
    figures = []
    for style, width in (("wide", WIDE), ("narrow", NARROW)):
        step = 0.27 if style == "wide" else 0.4
        with svg.drawing() as new:
            figure = new(width, 0.75 + step * (len(rows) + bool(details.bank)))
            axes = figure.subplots()
            _draw_rows(axes, rows, details, is_wide=style == "wide")
            axes.set_xlabel(f"← worse{GAP}{unit}{GAP}better →")
            figures.append(svg.inline(figure, f"{name}-{style}", title, words, style))
    return figures


def _draw_rows(axes: "Axes", rows: Sequence[Difference], details: Details, *, is_wide: bool) -> None:
    """One line a row, from the top down; the bank's line under the metric's."""
    names: list[str] = []
    for row in rows:
        y, colour = -len(names), COLOURS.get(row.outcome, svg.MUTED)
        axes.plot([100 * row.low, 100 * row.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
        size = 7.0 if row.group == "Metric" else 4.5
        axes.plot([100 * row.change], [y], marker="s", markersize=size, color=colour, markeredgewidth=0, zorder=4)
        if not math.isnan(row.margin):
            axes.plot([-100 * row.margin] * 2, [y - 0.32, y + 0.32], color=svg.BAD, linewidth=1.1, zorder=2)
        names.append(shown(row.name, LONGEST_NAME))
        if row.group == "Metric" and details.bank:
            y = -len(names)
            axes.plot([100 * score for score in details.bank], [y] * len(details.bank), "o", color=svg.BASELINE, markersize=4)
            if details.lowest is not None:
                axes.plot([100 * details.lowest], [y], marker="|", markersize=9, color=svg.BASELINE)
                axes.plot([100 * details.lowest, 0], [y, y], color=svg.BASELINE, linewidth=0.8)
            names.append("retrains of the baseline")
    axes.axvline(0, color=svg.MUTED, linewidth=0.8, zorder=1)
    axes.set_ylim(-len(names) + 0.4, 0.6 if is_wide else 0.9)
    axes.grid(axis="x", color=svg.RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    if is_wide:
        axes.set_yticks([-number for number in range(len(names))], names)
        axes.tick_params(axis="y", length=0, labelcolor=svg.INK)
        return
    axes.locator_params(axis="x", nbins=4)
    axes.set_yticks([])
    for number, name in enumerate(names):  # above its line
        axes.text(0, 0.45 - number, name, transform=axes.get_yaxis_transform(), fontsize=8, va="center")


def reliability(sides: Sequence[Side]) -> "Markup":
    """Accuracy by confidence, of each side; a point's area grows with its number of reviews."""
    words = "; ".join(
        f"{side.role}: " + ", ".join(f"{each.n} reviews at {each.confidence:.2f}: {each.accuracy:.2f}" for each in side.reliability)
        for side in sides
    )
    with svg.drawing() as new:
        figure = new(NARROW, 3.1)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=svg.MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        for side, marker in zip(sides, "os" if len(sides) > 1 else "s", strict=True):
            x, y = [each.confidence for each in side.reliability], [each.accuracy for each in side.reliability]
            sizes = [6 + 60 * math.sqrt(each.n / side.figures.n) for each in side.reliability]
            colour = ROLES[side.role]
            axes.plot(x, y, color=colour, linewidth=1.2)
            axes.scatter(x, y, sizes, color=colour, marker=marker, label=side.role, linewidths=0, alpha=0.85)
        low = min(0.5, 1 / max(len(sides[0].confusion), 1))
        axes.set(xlim=(low - 0.02, 1.02), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy")
        axes.legend(loc="lower right", fontsize=8)
        return svg.inline(figure, "reliability", "Reliability: accuracy by confidence", words)


def distribution(side: Side, label: str) -> "Markup":
    """The distribution of one side's scores by group; `label` names the score."""
    groups = list(side.scores.items())
    words = "; ".join(f"{shown(name)}: {', '.join(map(str, counts))} reviews, by twentieths of 0 to 1" for name, counts in groups)
    with svg.drawing() as new:
        figure = new(NARROW, 2.0)
        axes = figure.subplots()
        edges = [number / SCORE_BINS for number in range(SCORE_BINS + 1)]
        for (name, counts), colour, dash in zip(groups, (svg.BAD, svg.GOOD), ("solid", (0, (4, 1.2))), strict=True):
            axes.stairs(counts, edges, color=colour, linewidth=1.4, linestyle=dash, label=shown(name, LONGEST_NAME))
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.13, linewidth=0)
        axes.set(xlim=(0, 1), xlabel=shown(label, 60), ylabel="reviews")
        axes.legend(fontsize=8, loc="upper center")
        name = f"scores-{side.role}"
        return svg.inline(figure, name, f"Distribution of scores, {side.role}", words)


def curves(tables: Mapping[str, Sequence[Mapping[str, float]]]) -> list["Markup"]:
    """Losses and accuracy by epoch, of each side that has an epoch table."""
    panels = {"loss": ("training_loss", "validation_loss"), "accuracy": ("accuracy",)}
    return [
        _curve(name, keys, tables)
        for name, keys in panels.items()
        if any(key in row for table in tables.values() for row in table for key in keys)
    ]


def _curve(name: str, keys: Sequence[str], tables: Mapping[str, Sequence[Mapping[str, float]]]) -> "Markup":
    from matplotlib.ticker import MaxNLocator

    words: list[str] = []
    with svg.drawing() as new:
        figure = new(NARROW, 2.3)
        axes = figure.subplots()
        for role, table in tables.items():
            for key in keys:
                points = [(row["epoch"], row[key]) for row in table if key in row]
                if not points:
                    continue
                dash = (0, (2, 1.5)) if key == "training_loss" else "solid"
                label = f"{role}, {key.removesuffix('_loss').replace('_', ' ')}" if len(keys) > 1 else role
                axes.plot(*zip(*points, strict=True), color=ROLES[role], linestyle=dash, marker="o", markersize=2.5, label=label)
                words.append(f"{label}: " + ", ".join(f"{value:.4g}" for _, value in points))
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=7.5)
        axes.grid(axis="y", color=svg.RULE, linewidth=0.5)
        return svg.inline(figure, f"curve-{name}", f"{name.capitalize()} by epoch", "; ".join(words))
