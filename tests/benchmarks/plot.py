"""What the peers' benchmark measured, drawn: bars of time over lorasent's, for scoring in bulk, one short review, and training."""

from pathlib import Path


def peers(measured, path: Path) -> None:
    """A panel for each kind of work, a bar for each peer with its interval, the fastest on top; SVG, or PNG by the file's name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = {
        f"scoring {measured['scoring']['reviews']} reviews": measured["scoring"]["peers"],
        "one short review, p50": measured["short"],
        "training, batch 4": measured["training"]["courses"],
    }
    heights = [len(rows) + 1.2 for rows in panels.values()]
    with mpl.rc_context({"svg.hashsalt": "lorasent", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(8.5, 0.26 * sum(heights) + 0.6), layout="constrained")
        for panel, (title, rows) in zip(figure.subplots(len(panels), height_ratios=heights), panels.items(), strict=True):
            names = sorted(rows, key=lambda name: -rows[name]["ratio"][0])
            middle, low, high = zip(*(rows[name]["ratio"] for name in names), strict=True)
            reach = [[m - a for m, a in zip(middle, low, strict=True)], [b - m for m, b in zip(middle, high, strict=True)]]
            colours = ["#31688e" if name.startswith("lorasent") else "0.72" for name in names]
            panel.barh(names, middle, color=colours, xerr=reach, error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": "0.25"})
            for place, (value, end) in enumerate(zip(middle, high, strict=True)):
                panel.annotate(f"{value:.2f}", (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
            panel.axvline(1, color="0.4", linestyle=":", linewidth=1)
            panel.set_title(title, fontsize=10, loc="left")
            panel.set_xlim(0, 1.08 * max(high))
            panel.spines["right"].set_visible(False)
            panel.tick_params(axis="y", length=0)
        figure.supxlabel("time over lorasent's, in turns on the same reviews; whiskers: 95 % interval", fontsize=9)
        kind = "png" if path.suffix == ".png" else "svg"
        figure.savefig(path, format=kind, metadata={"Date": None} if kind == "svg" else None, dpi=110)
