"""The command that searches for a better recipe: sweep."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorasent.cli import ending, options
from lorasent.cli.messages import command_line, console, report_written
from lorasent.errors import LorasentError

if TYPE_CHECKING:
    from lorasent.recipe.recipe import Recipe
    from lorasent.sweep.confirmation import Confirmation
    from lorasent.sweep.search import Search

OverOption = Annotated[
    list[str] | None,
    options.name(
        help="Search these names only: lora.r, lora.scale (alpha / r), lora.dropout, lora.target_modules, training.batch_size, "
        "training.schedule, training.learning_rate, training.warmup, training.epochs. Repeatable. [default: all]",
    ),
]


def sweep(
    recipe: options.Recipe = "embedded",
    trials: Annotated[int, options.number(min=1, help="Number of finished trials, including those before --resume.")] = 30,
    out: Annotated[Path | None, options.folder(help="Folder of the search. [default: sweeps/RECIPE or sweeps/STUDY]")] = None,
    workers: Annotated[int, options.number(min=1, help="Processes that train in parallel and share the cores.")] = 1,
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Shared database. [default: SQLite in --out]")] = None,
    name: Annotated[str | None, options.name("--study", help="Name of the study. [default: lorasent]")] = None,
    over: OverOption = None,
    set_: options.Set = None,
    confirm: Annotated[int, options.number(min=0, help="Fresh seeds to compare both recipes with; 0 for none.")] = 3,
    data: Annotated[str | None, options.source(help="Unused reviews to compare both recipes on. [default: embedded:test]")] = None,
    precision: options.Precision = "auto",
    seed: Annotated[int, options.number(min=0, help="Seed of the search, not of the recipe.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a search, or join it.")] = False,
) -> None:
    """Search for a better recipe, and test whether it is better."""
    from lorasent.recipe.recipe import Recipe

    start = Recipe.read(recipe, set_ or [])
    out = out or Path("sweeps") / (name or Path(recipe).stem)
    options.require_folder("--out", out)
    options.check_precision(precision)
    if missing := [package for package in ("optuna", "matplotlib", "tomli_w") if find_spec(package) is None]:
        raise LorasentError(f"sweep: needs {missing[0]}; install it with: python -m pip install 'lorasent[sweep]'")
    from lorasent.sweep import confirmation, space
    from lorasent.sweep.search import STUDY, Search, default_storage, without_password

    data = confirmation.source(start, data, confirm)
    search = Search(
        recipe=start,
        out=out,
        storage=storage or default_storage(out),
        trials=trials,
        seed=seed,
        over=tuple(over or space.NAMES),
        name=name or STUDY,
    )
    arguments: dict[str, Any] = {"seeds": confirm, "workers": workers, "precision": precision, "report": console.print}
    compare = functools.partial(confirmation.confirm, data=data, folder=out / "confirmation", **arguments) if data else None
    try:
        _search(search, start, compare, workers=workers, resume=resume)
    except KeyboardInterrupt:
        command = command_line(resume=resume, secret=search.storage, replacement=without_password(search.storage))
        console.print(f"Interrupted. Running trials are lost; continue with: {command}")
        raise


def _search(
    search: "Search", start: "Recipe", compare: "Callable[[Recipe, Recipe], Confirmation] | None", *, workers: int, resume: bool
) -> None:
    """Searches, compares the best recipe with the starting one, writes and prints the results."""
    from lorasent.sweep import results, space, study
    from lorasent.training.progress import bar

    with bar(console) as progress:
        task = progress.add_task("trials", total=search.trials)

        def on_trial(trial: Any, finished: int) -> None:
            console.print(results.row(trial))
            progress.update(task, completed=finished)

        searched = study.run(search, workers, resume=resume, on_trial=on_trial, note=console.print)
    confirmed, written = None, results.write(searched, start, search.out, None)
    ending.write(f"{line}\n" for line in results.table(searched))
    best = space.recipe_at(start, study.best(searched).params)
    if compare is not None and best != start:
        console.print("Training both recipes again with fresh seeds, to compare them:")
        confirmed = compare(start, best)
        written = results.write(searched, start, search.out, confirmed)
    ending.write(f"{line}\n" for line in results.conclusion(confirmed, unchanged=best == start))
    for path in written:
        report_written(path)
    if confirmed is None or confirmed.word != "worse":
        console.print(f"Next:\n  lorasent train {search.out / results.RECIPE}")
