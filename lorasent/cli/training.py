"""Commands that train: train, augment, sweep."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lorasent.cli import ending
from lorasent.cli.shared import (
    PrecisionOption,
    RecipeArgument,
    SkipEmptyOption,
    check_precision,
    console,
    load_scorer,
    require_folder,
)
from lorasent.errors import LorasentError, RecipeError

SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key: lora.r=8")]


def train(
    recipe: RecipeArgument = "embedded",
    out: Annotated[Path | None, typer.Option(help="The adapter's directory, new. [default: adapters/RECIPE]")] = None,
    base: Annotated[str | None, typer.Option(help="Base model: hub name, directory, or embedded.")] = None,
    train_source: Annotated[str | None, typer.Option("--train", help="Source of the training reviews.")] = None,
    validation: Annotated[str | None, typer.Option(help="Source of the reviews that choose the epoch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    set_: SetOption = None,
    skip_empty: SkipEmptyOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> int:
    """Train an adapter from a recipe."""
    from lorasent.recipe.recipe import Recipe

    named = {"base.model": base, "data.train": train_source, "data.validation": validation, "training.seed": seed}
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if base is not None:
        values["base.revision"] = None  # it pins the recipe's own base
    if skip_empty:
        values["data.skip_empty"] = True
    read = Recipe.read(recipe, set_ or [], values)
    out = out or Path("adapters") / Path(recipe).stem
    try:
        from lorasent.training.progress import Printer, bar
        from lorasent.training.train import train as run

        with bar(console) as progress:
            run(read, out, resume=resume, listener=Printer(console, progress, recipe))
    except KeyboardInterrupt:
        again = shlex.join(["lorasent", *sys.argv[1:], *([] if resume else ["--resume"])])
        begun = out.with_name(out.name + ".partial").exists()
        console.print(f"Interrupted. Go on after the last whole epoch with: {again}" if begun else "Interrupted.")
        return ending.INTERRUPTED
    return 0


def augment(
    recipe: RecipeArgument = "embedded",
    train_source: Annotated[str | None, typer.Option("--train", help="Source of the training reviews.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key: augmentation.typos=0.02")
    ] = None,
    judge: Annotated[Path | None, typer.Option(metavar="ADAPTER", help="Ask this adapter whether labels hold instead.")] = None,
    data: Annotated[str | None, typer.Option(help="Labelled reviews to ask it about. [default: the recipe's validation]")] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, max=1, help="The accuracy, as a share, that changed reviews may lose. [default: 0.02]")
    ] = None,
) -> int:
    """Show the training reviews as the first epoch sees them, a JSON object a line, or ask an adapter whether their labels hold.

    With --judge, exits 0 where the labels hold under every way, 1 where they break, 3 where the reviews are too few to tell.
    """
    from lorasent.augmentation import ways
    from lorasent.recipe.recipe import Recipe

    if judge is None and (data is not None or margin is not None):
        raise LorasentError(f"augment: --{'margin' if data is None else 'data'} is for the adapter that is asked; add --judge")
    read = Recipe.read(recipe, set_ or [], {} if train_source is None else {"data.train": train_source})
    settings, seed, labels = read.augmentation, read.training.seed, read.base.labels
    if settings is None:
        raise RecipeError(
            f"recipe {recipe}: has no table [augmentation]; write one, or turn a way on: --set augmentation.typos=0.02"
        )
    if judge is None:
        from lorasent.training.run import read_splits

        train = read_splits(read)[0]
        shown = zip(ways.epoch(train.texts, settings, seed, 0), train.labels.tolist(), train.texts, strict=True)
        ending.write_lines({"text": text, "label": labels[label], "original": original} for text, label, original in shown)
        return 0
    from lorasent.augmentation import preservation
    from lorasent.data.reviews import read as read_reviews

    scorer = load_scorer(judge, "auto")
    source, skip_empty = data or read.data.validation, bool(read.data.skip_empty)
    reviews = read_reviews(source, scorer.labels, read.data.text_column, read.data.label_column, skip_empty=skip_empty)
    found, allowed = preservation.check(scorer, reviews, settings, seed), preservation.ACCURACY_MARGIN if margin is None else margin
    console.print(f"Asked about {len(reviews)} reviews of {reviews.source}.")
    verdicts = {effect.holds(allowed) for effect in found}
    return ending.told(1 if False in verdicts else 3 if None in verdicts else 0, preservation.table(found, allowed) + "\n")


def sweep(
    recipe: Annotated[str, typer.Argument(help="The recipe to search around: a shipped one's name or a TOML file.")] = "embedded",
    trials: Annotated[int, typer.Option(min=1, help="Finished trials, those of an interrupted search among them.")] = 30,
    out: Annotated[Path | None, typer.Option(help="The search's folder. [default: sweeps/RECIPE or sweeps/STUDY]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train at once; the cores are shared among them.")] = 1,
    storage: Annotated[str | None, typer.Option(help="A database's URL, for several machines. [default: SQLite in --out]")] = None,
    name: Annotated[
        str | None, typer.Option("--study", help="The study's name, in a database that holds others. [default: lorasent]")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            help="Search over this alone; may be repeated: lora.r, lora.scale (alpha / r), lora.dropout, lora.target_modules, "
            "training.batch_size, training.schedule, training.learning_rate, training.warmup, training.epochs. [default: all]"
        ),
    ] = None,
    set_: SetOption = None,
    confirm: Annotated[int, typer.Option(min=0, help="Fresh seeds with which the best is trained again; 0 for none.")] = 3,
    data: Annotated[
        str | None,
        typer.Option(help="Reviews that confirm, and chose nothing. [default: embedded:test for the embedded corpus; else needed]"),
    ] = None,
    precision: PrecisionOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search; the recipe has its own.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search, alone or beside others.")] = False,
) -> int:
    """Search for a better recipe, and ask whether it is one."""
    from lorasent.recipe.recipe import Recipe

    read = Recipe.read(recipe, set_ or [])
    out = out or Path("sweeps") / (name or Path(recipe).stem)
    require_folder("--out", out)
    check_precision(precision)
    if missing := [name for name in ("optuna", "matplotlib", "tomli_w") if find_spec(name) is None]:
        raise LorasentError(f"sweep: needs {missing[0]}; install it with: python -m pip install 'lorasent[sweep]'")
    from lorasent.sweep import confirmation, outcome, space, study
    from lorasent.sweep.search import NAME, Search, kept_in, shown
    from lorasent.training.progress import bar

    confirming = confirmation.source(read, data, confirm)
    kept = storage or kept_in(out)
    search = Search(read.to_json(), out, kept, trials, seed, tuple(over or space.NAMES), name or NAME)
    try:
        with bar(console) as progress:
            task = progress.add_task("trials", total=trials)

            def say(trial: Any, done: int) -> None:
                console.print(outcome.row(trial))
                progress.update(task, completed=done)

            found = study.run(search, workers, resume=resume, say=say, note=console.print)
        confirmed, written = None, outcome.write(found, read, out, None)
        ending.write(f"{line}\n" for line in outcome.table(found))
        best = space.recipe_at(read, study.best(found).params)
        if confirming is not None and best != read:
            console.print("Is it better? Both recipes again, with fresh seeds:")
            confirmed = confirmation.confirm(
                read,
                best,
                confirming,
                out / "confirmation",
                seeds=confirm,
                workers=workers,
                precision=precision,
                say=console.print,
            )
    except KeyboardInterrupt:
        asked = (word.replace(kept, shown(kept)) for word in sys.argv[1:])  # a password stays untold
        again = shlex.join(["lorasent", *asked, *([] if resume else ["--resume"])])
        console.print(f"Interrupted. Running trials are lost; go on with: {again}")
        return ending.INTERRUPTED
    written = outcome.write(found, read, out, confirmed) if confirmed else written
    ending.write(f"{line}\n" for line in outcome.conclusion(confirmed, same=best == read))
    for path in written:
        console.print(f"Written: {path}")
    if confirmed is None or confirmed.word != "worse":
        console.print(f"Next:\n  lorasent train {out / outcome.RECIPE}")
    return 0
