"""The results of a search: a table, JSON, three plots, and the best recipe as a file that `lorasent train` takes.

Each row is printed as soon as its trial is finished; rich.table would need all rows.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from optuna.trial import FrozenTrial, TrialState

from lorasent import files, machine
from lorasent.recipe.recipe import Recipe
from lorasent.sweep.confirmation import Confirmation
from lorasent.sweep.search import recipe_at
from lorasent.sweep.study import FINISHED, PURPOSE_KEY, best, ranked
from lorasent.sweep.workers import HEARTBEAT_KEY

RECIPE, RESULTS = "best.toml", "sweep.json"
"""Files of the best recipe and of all results, in the search's folder."""


def row(trial: FrozenTrial) -> str:
    """A finished trial on one line."""
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    values = ((name, f"{value:.3g}" if isinstance(value, float) else str(value)) for name, value in trial.params.items())
    if trial.state is TrialState.COMPLETE:
        attrs = trial.user_attrs
        result = f"loss {trial.value:.4f}  accuracy {attrs['accuracy']:.4f}  epoch {attrs['epoch']} of {attrs['epochs']}"
    else:
        last = f", loss {trial.intermediate_values[trial.last_step]:.4f}" if trial.last_step is not None else ""
        result = f"{trial.user_attrs.get('ended', 'pruned')} after epoch {trial.last_step or 0}{last}"
    point = " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in values)
    return f"{trial.number:>5}  {result:<44}{seconds:>6.0f} s  {point}"


def table(study: optuna.Study) -> Iterator[str]:
    """The finished trials, the best first and the pruned ones last."""
    yield f"trial  {'validation':<44}{'time':>8}  recipe"
    yield from map(row, ranked(study))
    yield from map(row, study.get_trials(deepcopy=False, states=[TrialState.PRUNED]))


def conclusion(confirmation: Confirmation | None, *, unchanged: bool) -> Iterator[str]:
    """Whether the best recipe is better than the starting one, in words; `unchanged`: they are the same."""
    if unchanged:
        yield "No trial did better than the starting recipe."
    if confirmation is None:
        return
    gain, low, high = (100 * share for share in (confirmation.gain, confirmation.low, confirmation.high))
    points = f"{gain:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
    margin = f" (non-inferiority margin {100 * confirmation.margin:g} points)" if confirmation.word == "no worse" else ""
    start, found = (sum(accuracies) / len(accuracies) for accuracies in (confirmation.started, confirmation.found))
    where = f"{confirmation.n} reviews of {confirmation.data}, {len(confirmation.seeds)} fresh seeds each"
    yield f"{confirmation.word.upper()}{margin}: accuracy {start:.4f} -> {found:.4f} on {where}: {points}"
    if confirmation.known:
        yield f"{confirmation.known} of these reviews trained the recipes or chose among them: the figures are too optimistic."
    yield f"The gate on the first retrain of each recipe: {confirmation.outcome}: {confirmation.message}"


def write(study: optuna.Study, recipe: Recipe, out: Path, confirmation: Confirmation | None) -> list[Path]:
    """Writes the best recipe, all results as JSON, and the plots. Returns their paths."""
    winner = best(study)
    chosen = recipe_at(recipe, winner.params)
    loss, accuracy = winner.value, winner.user_attrs["accuracy"]
    comment = f"# Trial {winner.number} of a sweep: validation loss {loss:.4f}, accuracy {accuracy:.4f}.\n\n"
    files.write(out / RECIPE, [comment, tomli_w.dumps(chosen.to_json())])
    results = {
        "recipe": recipe.to_json(),
        "over": study.user_attrs.get(PURPOSE_KEY, {}).get("over"),
        "libraries": machine.libraries(),
        "best": {"trial": winner.number, "recipe": chosen.to_json()},
        "trials": [_to_json(trial) for trial in study.get_trials(deepcopy=False)],
        "confirmation": confirmation.to_json() if confirmation else None,
    }
    files.write(out / RESULTS, [files.canonical(results)])
    return [out / RECIPE, out / RESULTS, *_draw(study, out)]


def _to_json(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name,
        "point": trial.params,
        "validation_loss": trial.value if trial.state is TrialState.COMPLETE else None,
        "by_epoch": list(trial.intermediate_values.values()),
        "seconds": trial.duration.total_seconds() if trial.duration and trial.state in FINISHED else None,
        **{key: value for key, value in trial.user_attrs.items() if key != HEARTBEAT_KEY},
    }


def _draw(study: optuna.Study, out: Path) -> Iterator[Path]:
    """Plots of the history and, if there are enough trials, of the importances (PED-ANOVA) and of parallel coordinates."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as plots

    complete = ranked(study)
    drawings: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(study, target_name="validation loss")
    }
    if len(complete) > 3 and len({trial.value for trial in complete}) > 1:
        drawings["importances"] = lambda: plots.plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
        drawings["parallel"] = lambda: plots.plot_parallel_coordinate(study, target_name="validation loss")
    for name, draw in drawings.items():
        with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lorasent"}):
            warnings.simplefilter("ignore")  # Optuna calls its plots experimental, matplotlib its layout
            draw()
            plt.gcf().set_size_inches(11, 5)
            plt.savefig(out / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
            plt.close("all")
        yield out / f"{name}.svg"
