"""Commands that train, or show what training sees: train, augment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorasent.cli import ending, options
from lorasent.cli.messages import command_line, console
from lorasent.errors import LorasentError, RecipeError

if TYPE_CHECKING:
    from lorasent.recipe.recipe import Augmentation, Recipe


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
) -> None:
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
    try:
        from lorasent.training.progress import Printer, bar
        from lorasent.training.train import train as run

        with bar(console) as progress:
            run(read_recipe, out, resume=resume, listener=Printer(console, progress, recipe))
    except KeyboardInterrupt:
        begun = out.with_name(out.name + ".partial").exists()
        advice = f" Continue after the last complete epoch with: {command_line(resume=resume)}" if begun else ""
        console.print(f"Interrupted.{advice}")
        raise


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
        return _test_labels(read_recipe, settings, judge, data, margin)
    from lorasent.training.run import read_splits

    reviews = read_splits(read_recipe)[0]
    texts = ways.epoch(reviews.texts, settings, read_recipe.training.seed, 0)
    rows = zip(texts, reviews.labels.tolist(), reviews.texts, strict=True)
    ending.write_json_lines({"text": text, "label": labels[label], "original": original} for text, label, original in rows)
    return 0


def _test_labels(recipe: "Recipe", settings: "Augmentation", judge: Path, source: str | None, margin: float | None) -> int:
    """Whether labels hold under the recipe's augmentations, by an adapter's answers; the exit code."""
    from lorasent.augmentation import preservation
    from lorasent.data.reviews import read

    scorer, data = options.load_scorer(judge, "auto"), recipe.data
    columns = data.text_column, data.label_column
    reviews = read(source or data.validation, scorer.labels, *columns, skip_empty=bool(data.skip_empty))
    results = preservation.check(scorer, reviews, settings, recipe.training.seed)
    margin = preservation.ACCURACY_MARGIN if margin is None else margin
    console.print(f"Tested on {len(reviews)} reviews of {reviews.source}.")
    answers = {result.holds(margin) for result in results}
    return ending.finish(1 if False in answers else 3 if None in answers else 0, preservation.table(results, margin) + "\n")
