"""Plots the power of the gate, for `tests.studies.simulate`: a row of panels for each outcome, a line for each bank size."""

from pathlib import Path


def power(curves, path: Path) -> None:
    """Plots the curves of `verdicts.curves` to `path`: a column for each number of reviews, a row for each outcome."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes, banks = (sorted({one[key] for one in curves["curves"]}) for key in ("n", "k"))
    drops = [100 * drop for drop in curves["drops"]]
    with mpl.rc_context({"svg.hashsalt": "lorasent", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        panels = figure.subplots(3, len(sizes), sharex=True, sharey=True)
        colours = mpl.colormaps["viridis"].resampled(len(banks) + 1)
        for line, outcome in enumerate(("BLOCK", "INCONCLUSIVE", "PASS")):
            for column, n in enumerate(sizes):
                panel = panels[line][column]
                panel.spines["right"].set_visible(False)
                panel.axvline(100 * curves["margin"], color="0.6", linestyle=":", linewidth=1)
                panel.grid(color="0.92", linewidth=0.6)
                for place, k in enumerate(banks):
                    (mine,) = [one for one in curves["curves"] if (one["n"], one["k"]) == (n, k)]
                    panel.plot(drops, [100 * share for share in mine[outcome]], color=colours(place), linewidth=1.4, label=str(k))
                panel.set(xlim=(0, drops[-1]), ylim=(-2, 102), xticks=range(int(drops[-1]) + 1), yticks=range(0, 101, 25))
                if line == 0:
                    panel.set_title(f"{n} reviews", fontsize=10)
            panels[line][0].set_ylabel(f"{outcome}, %")
        figure.supxlabel("true drop: the incumbent's accuracy less the candidate's, points (dotted: the margin)", fontsize=10)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, title="baselines", loc="outside right center", frameon=False)
        kind = "png" if path.suffix == ".png" else "svg"
        figure.savefig(path, format=kind, metadata={"Date": None} if kind == "svg" else None, dpi=110)
