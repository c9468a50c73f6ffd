"""Commands that train, or show what training sees: train, augment, sweep."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorasent import hub, tracking
from lorasent.cli import ending, options, pushing
from lorasent.cli.messages import bar, command_line, console, report_written
from lorasent.errors import LorasentError, RecipeError

if TYPE_CHECKING:
    from lorasent.recipe.recipe import Recipe
    from lorasent.sweep.confirmation import Confirmation
    from lorasent.sweep.search import Search


def train(
    recipe: options.Recipe = "embedded",
    out: Annotated[Path | None, options.folder(help="Directory of the new adapter. [default: adapters/RECIPE]")] = None,
    base: Annotated[str | None, options.name(help="Base model: hub name, directory, or embedded.")] = None,
    train_source: options.Train = None,
    validation: Annotated[str | None, options.source(help="Source of the reviews that choose the best epoch.")] = None,
    seed: Annotated[int | None, options.number(help="Seed of the run. [default: the recipe's]")] = None,
    set_: options.Set = None,
    skip_empty: options.SkipEmpty = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    device: options.Device = "auto",
    report_to: options.ReportTo = None,
    push_to_hub: Annotated[str | None, typer.Option("--push-to-hub", metavar="REPO", help="Push the adapter: USER/NAME.")] = None,
    public: pushing.Public = False,
) -> int:
    """Train an adapter from a recipe."""
    from lorasent.recipe.recipe import Recipe

    named = {"base.model": base, "data.train": train_source, "data.validation": validation, "training.seed": seed}
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if base is not None:
        values["base.revision"] = None  # the recipe's revision belongs to the recipe's base
    if skip_empty:
        values["data.skip_empty"] = True
    read_recipe = Recipe.read(recipe, set_ or [], values)
    out = out or Path("adapters") / Path(recipe).stem
    tracking.require(report_to or ())
    if push_to_hub is not None:
        hub.require_pushable(push_to_hub)  # hours of training may lie before the push
    try:
        from lorasent.training.progress import Printer
        from lorasent.training.train import train as run

        with bar() as progress:
            printer = Printer(console, progress, recipe)
            run(read_recipe, out, resume=resume, listener=printer, device=device, report_to=report_to or ())
    except KeyboardInterrupt:
        begun = out.with_name(f"{out.name}.partial").exists()
        advice = f" Continue after the last complete epoch with: {command_line('--resume')}" if begun else ""
        console.print(f"Interrupted.{advice}")
        raise
    return 0 if push_to_hub is None else pushing.deliver(out, push_to_hub, public=public)


def augment(
    recipe: options.Recipe = "embedded",
    train_source: options.Train = None,
    set_: options.Set = None,
    judge: Annotated[Path | None, options.folder(help="Adapter that tests whether labels still hold.")] = None,
    data: Annotated[str | None, options.source(help="Labelled reviews for that test. [default: the recipe's validation]")] = None,
    margin: Annotated[float | None, options.number(min=0, max=1, help="Largest loss of accuracy, a share. [default: 0.02]")] = None,
) -> int:
    """Show augmented reviews, or test their labels.

    Prints the training reviews as the first epoch sees them, a JSON object a line; with --judge, tests whether their labels hold.

    Exit codes with --judge: 0 the labels hold under every augmentation, 1 they break, 3 there are too few reviews to decide.
    """
    from lorasent.augmentation import ways
    from lorasent.recipe.recipe import Recipe

    if judge is None and (data is not None or margin is not None):
        raise LorasentError(f"augment: --{'margin' if data is None else 'data'} is for the test with an adapter; add --judge")
    read_recipe = Recipe.read(recipe, set_ or [], {} if train_source is None else {"data.train": train_source})
    settings, labels = read_recipe.augmentation, read_recipe.base.labels
    if settings is None:
        raise RecipeError(
            f"recipe {recipe}: has no table [augmentation]; add one, or set an augmentation: --set augmentation.typos=0.02"
        )
    if judge is not None:
        from lorasent.augmentation import preservation
        from lorasent.data.reviews import read

        scorer, recipe_data = options.load_scorer(judge, "auto"), read_recipe.data
        columns = recipe_data.text_column, recipe_data.label_column
        tested = read(data or recipe_data.validation, scorer.labels, *columns, skip_empty=bool(recipe_data.skip_empty))
        ways.require_language(settings, tested)
        results = preservation.check(scorer, tested, settings, read_recipe.training.seed)
        margin = preservation.ACCURACY_MARGIN if margin is None else margin
        console.print(f"Tested on {len(tested)} reviews of {tested.source}.")
        answers = {result.holds(margin) for result in results}
        return ending.finish(1 if False in answers else 3 if None in answers else 0, preservation.table(results, margin) + "\n")
    from lorasent.training.run import read_splits

    reviews = read_splits(read_recipe)[0]
    texts = ways.epoch(reviews.texts, settings, read_recipe.training.seed, 0)
    rows = zip(texts, reviews.labels.tolist(), reviews.texts, strict=True)
    ending.write_json_lines({"text": text, "label": labels[label], "original": original} for text, label, original in rows)
    return 0


def sweep(
    recipe: options.Recipe = "embedded",
    trials: Annotated[int, options.number(min=1, help="Number of finished trials, of all hosts and all runs.")] = 30,
    out: Annotated[Path | None, options.folder(help="Folder of the search. [default: sweeps/RECIPE or sweeps/STUDY]")] = None,
    workers: Annotated[int, options.number(min=1, help="Processes that train in parallel and share the cores.")] = 1,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Database that hosts share. [default: SQLite in --out]")
    ] = None,
    name: Annotated[str | None, options.name("--study", help="Name of the study. [default: lorasent]")] = None,
    over: Annotated[
        list[str] | None,
        options.name(
            help="Search these names only: lora.r, lora.scale (alpha / r), lora.dropout, lora.target_modules, training.batch_size, "
            "training.schedule, training.learning_rate, training.warmup, training.epochs. Repeatable. [default: all]"
        ),
    ] = None,
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
    if missing := [package for package in ("optuna", "tomli_w") if find_spec(package) is None]:
        raise LorasentError(f"sweep: needs {missing[0]}; install it with: python -m pip install 'lorasent[sweep]'")
    from lorasent.sweep import confirmation
    from lorasent.sweep.database import without_password
    from lorasent.sweep.search import NAMES, STUDY, Search, default_storage

    data = confirmation.source(start, data, confirm)
    storage, name, over = storage or default_storage(out), name or STUDY, over or list(NAMES)
    search = Search(recipe=start, out=out, storage=storage, trials=trials, seed=seed, over=tuple(over), name=name)
    arguments: dict[str, Any] = {"seeds": confirm, "workers": workers, "precision": precision, "report": console.print}
    compare = functools.partial(confirmation.confirm, data=data, folder=out / "confirmation", **arguments) if data else None
    try:
        with search.failing_clearly():
            _search(search, compare, workers=workers, resume=resume)
    except KeyboardInterrupt:
        command = command_line("--resume", secret=search.storage, replacement=without_password(search.storage))
        console.print(f"Interrupted. Running trials are lost; continue with: {command}")
        raise


def _search(search: "Search", compare: "Callable[[Recipe, Recipe], Confirmation] | None", *, workers: int, resume: bool) -> None:
    """Searches, compares the best recipe with the starting one, writes and prints the results."""
    from lorasent.sweep import results, study
    from lorasent.sweep.search import recipe_at

    with bar() as progress:
        task = progress.add_task("trials", total=search.trials)

        def on_trial(trial: Any, finished: int) -> None:
            console.print(results.row(trial))
            progress.update(task, completed=finished)

        searched = study.run(search, workers, resume=resume, on_trial=on_trial, note=console.print)
    study.train_best(search, searched, console.print)
    start, confirmed = search.recipe, None
    written = results.write(searched, start, search.out, None)
    ending.write(f"{line}\n" for line in results.table(searched))
    best = recipe_at(start, study.best(searched).params)
    if compare is not None and best != start:
        console.print("Training both recipes again with fresh seeds, to compare them:")
        confirmed = compare(start, best)
        written = results.write(searched, start, search.out, confirmed)
    ending.write(f"{line}\n" for line in results.conclusion(confirmed, unchanged=best == start))
    for path in (*written, search.out / study.BEST):
        report_written(path)
    if confirmed is None or confirmed.word != "worse":
        console.print(f"Next:\n  lorasent train {search.out / results.RECIPE}")
