"""What a search found: a table, JSON, three plots, and the best recipe as a file that `lorasent train` takes."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from optuna.trial import FrozenTrial, TrialState

from lorasent import files, machine
from lorasent.adapter import manifest
from lorasent.errors import AdapterError
from lorasent.recipe.recipe import Recipe
from lorasent.sweep.claims import HEARD
from lorasent.sweep.confirmation import Confirmation
from lorasent.sweep.space import recipe_at
from lorasent.sweep.study import BEST, MADE_FOR, best

RECIPE, FOUND = "best.toml", "sweep.json"


def row(trial: FrozenTrial) -> str:
    """A finished trial on one line."""
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    told = " ".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in trial.params.items())
    if trial.state is TrialState.COMPLETE:
        attrs = trial.user_attrs
        result = f"loss {trial.value:.4f}  accuracy {attrs['accuracy']:.4f}  epoch {attrs['epoch']} of {attrs['epochs']}"
    else:
        last = f", loss {trial.intermediate_values[trial.last_step]:.4f}" if trial.last_step is not None else ""
        result = f"{trial.user_attrs.get('ended', 'pruned')} after epoch {trial.last_step or 0}{last}"
    return f"{trial.number:>5}  {result:<44}{seconds:>6.0f} s  {told}"


def table(study: optuna.Study) -> Iterator[str]:
    """The finished trials, the best first."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    complete = sorted((one for one in finished if one.state is TrialState.COMPLETE), key=lambda one: (one.value, one.number))
    yield f"trial  {'validation':<44}{'time':>8}  what was tried"
    yield from map(row, complete)
    yield from (row(one) for one in finished if one.state is TrialState.PRUNED)


def conclusion(found: Confirmation | None, *, same: bool) -> Iterator[str]:
    """Whether the best recipe is better than the one that was started from, in words."""
    if same:
        yield "No trial did better than the recipe itself."
    if found is None:
        return
    points = f"{100 * found.gain:+.2f} points ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    word = found.word.upper() + (f" (by {100 * found.margin:g} points or more)" if found.word == "no worse" else "")
    was, now = (sum(arm) / len(arm) for arm in (found.started, found.found))
    where = f"the {found.n} reviews of {found.data}, {len(found.seeds)} fresh seeds each"
    yield f"{word}: accuracy {was:.4f} -> {now:.4f} on {where}: {points}"
    if found.known:
        yield f"{found.known} of these reviews trained the recipes or chose among them: the figures are too kind."
    yield f"The gate, on its first retrain against the recipe's: {found.outcome}: {found.message}"


def write(study: optuna.Study, recipe: Recipe, out: Path, confirmation: Confirmation | None) -> list[Path]:
    """Writes the best recipe, everything as JSON, and the plots; their paths."""
    found = best(study)
    chosen = recipe_at(recipe, found.params)
    about = (
        f"# Trial {found.number} of a sweep: validation loss {found.value:.4f}, accuracy {found.user_attrs['accuracy']:.4f}.\n\n"
    )
    files.write(out / RECIPE, [about, tomli_w.dumps(chosen.to_json())])
    said = {
        "recipe": recipe.to_json(),
        "over": study.user_attrs.get(MADE_FOR, {}).get("over"),
        "libraries": machine.libraries(),
        "best": {"trial": found.number, "recipe": chosen.to_json()},
        "trials": [_told(trial) for trial in study.get_trials(deepcopy=False)],
        "confirmation": confirmation.to_json() if confirmation else None,
    }
    files.write(out / FOUND, [files.canonical(said)])
    return [out / RECIPE, out / FOUND, *_adapter(chosen, out / BEST), *_draw(study, out)]


def _adapter(chosen: Recipe, path: Path) -> Iterator[Path]:
    """The best trial's adapter, if it was trained here; one of another trial, left by a kill, is removed."""
    if not path.exists():
        return
    try:
        found = manifest.read(path).tables
    except AdapterError:
        found = None  # half removed
    if found == chosen.to_json():
        yield path
    else:
        shutil.rmtree(path)


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name,
        "point": trial.params,
        "validation_loss": trial.value if trial.state is TrialState.COMPLETE else None,
        "by_epoch": list(trial.intermediate_values.values()),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        **{key: value for key, value in trial.user_attrs.items() if key != HEARD},
    }


def _draw(study: optuna.Study, out: Path) -> Iterator[Path]:
    """History, importances (PED-ANOVA) and parallel coordinates, where there are trials enough to tell anything."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as plots

    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    drawings: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(study, target_name="validation loss")
    }
    if len(complete) > 3 and len({trial.value for trial in complete}) > 1:
        drawings["importances"] = lambda: plots.plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
        drawings["parallel"] = lambda: plots.plot_parallel_coordinate(study, target_name="validation loss")
    for name, draw in drawings.items():
        with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lorasent"}):
            warnings.simplefilter("ignore")  # Optuna calls its plots experimental, and matplotlib its layout
            draw()
            plt.gcf().set_size_inches(11, 5)
            plt.savefig(out / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
            plt.close("all")
        yield out / f"{name}.svg"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
