"""Measures which changes to the recipe help on real reviews. `python -m tests.studies.ablation`, or `tox -e ablation`.

Each change is made alone to the recipe ablation.toml, which is imdb-minilm as it once was. Three seeds of each are trained on the
pair of 1,000 training and 1,000 validation IMDB reviews in LORASENT_DATA; the validation reviews choose the epoch. The adapters are
then scored on 5,000 test reviews, which decide nothing. Means and differences come with 95 % intervals from the spread between
seeds, which is pooled over all changes because three seeds alone say little about it. The results go to
golden/measured/ablation.json, are plotted, and are written into docs/explanation/accuracy.md. A study that was interrupted
continues: what the file already holds is not run again.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from lorasent import Recipe, evaluate, files, golden, load, machine, read, train
from lorasent.adapter.manifest import MANIFEST, read_json

LABELS = ("Negative", "Positive")
SEEDS = (0, 1, 2)
REFERENCE = Path(__file__).with_suffix(".toml")
FOUND, DRAWN = Path("golden/measured/ablation.json"), Path("golden/measured/ablation.svg")
PAGE = Path("docs/explanation/accuracy.md")


class Change(NamedTuple):
    """A change to the recipe."""

    name: str
    values: dict[str, Any]
    """By key, "table.key"; None takes the key away."""
    reviews: int | None = None
    """How many reviews of the 25,000 to train on, instead of the pair's 1,000."""
    seeds: tuple[int, ...] = SEEDS


AUGMENTED = {
    f"augmentation.{way}": value
    for way, value in {"window": 100, "sentence_dropout": 0.2, "synonyms": 0.2, "typos": 0.02, "markup": 0.2}.items()
}
AVERAGED = {"training.epochs": 6, "training.ema_decay": 0.99}
EVERY = {"augmentation.share": 1.0}
CHANGES = (
    Change("none", {}),
    Change(
        "the notebook's settings",
        {
            "base.dropout": None,
            "lora.r": 4,
            "lora.alpha": 32,
            "lora.dropout": 0.1,
            "lora.target_modules": ["query"],
            "training.epochs": 10,
            "training.batch_size": 4,
            "training.learning_rate": 1e-3,
            "training.warmup": 0.0,
            "training.label_smoothing": 0.0,
        },
    ),
    Change("no label smoothing", {"training.label_smoothing": 0.0}),
    Change("query only", {"lora.target_modules": ["query"]}),
    Change("r = 4", {"lora.r": 4, "lora.alpha": 8}),
    Change("r = 16", {"lora.r": 16, "lora.alpha": 32}),
    Change("learning rate 3e-4", {"training.learning_rate": 3e-4}),
    Change("learning rate 1e-3", {"training.learning_rate": 1e-3}),
    Change("dropout 0.1, in base and LoRA", {"base.dropout": 0.1, "lora.dropout": 0.1}),
    Change("8 epochs, stopped early (patience 2)", {"training.epochs": 8, "training.early_stopping_patience": 2}),
    *(Change(f"augmented: {way.partition('.')[2]} {value}", {way: value}) for way, value in AUGMENTED.items()),
    Change("augmented in all five ways", AUGMENTED),
    Change("every review in all five ways, 6 epochs, moving average 0.99", {**AUGMENTED, **EVERY, **AVERAGED}),
    Change("2,000 reviews", {}, 2_000),
    Change("5,000 reviews", {}, 5_000),
    Change(
        "25,000 reviews, every one in all five ways, 2 epochs, moving average 0.99",
        {**AUGMENTED, **EVERY, **AVERAGED, "training.epochs": 2},
        25_000,
        (0,),
    ),
)
"""The changes; the first changes nothing, and the others are compared with it."""


def source(folder: Path, work: Path, reviews: int | None) -> Path:
    """Returns the file to train on: the pair's, or a sample of the 25,000 without the validation reviews."""
    if reviews is None:
        return folder / "imdb_1000_train.parquet"
    path, everything = work / f"train-{reviews}.jsonl", folder / "imdb_train.parquet"
    if not path.exists():
        known = set(read(str(folder / "imdb_1000_validation.parquet"), LABELS).texts)
        found = read(str(everything), LABELS)
        found = found.take([row for row, text in enumerate(found.texts) if text not in known])
        if reviews < len(found):
            found = found.sample(reviews, 0, LABELS)
        rows = zip(found.texts, found.labels.tolist(), strict=True)
        files.write(path, [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows])
    return path


def asked(folder: Path, work: Path, change: Change, seed: int) -> Recipe:
    """Returns the recipe of a run."""
    values = {
        **change.values,
        **({"data.sample": None} if change.reviews else {}),
        "data.train": str(source(folder, work, change.reviews)),
        "data.validation": str(folder / "imdb_1000_validation.parquet"),
        "training.seed": seed,
    }
    return Recipe.read(REFERENCE, values=values)


def key(recipe: Recipe) -> dict[str, Any]:
    """Returns what determines a run's figures, independent of where its data lies."""
    tables = recipe.to_json()
    tables["data"] |= {split: Path(tables["data"][split]).name for split in ("train", "validation")}
    return {"recipe": Recipe.parse(tables, "ablation").fingerprint, "libraries": machine.libraries()}


def known(work: Path, change: Change, seed: int, recipe: Recipe) -> dict[str, Any] | None:
    """Returns the figures that the same recipe and libraries gave before, here or as published, or None."""
    kept = named(work, change, seed).with_suffix(".json")
    published = json.loads(FOUND.read_text("utf-8"))["runs"] if FOUND.exists() else {}
    found = json.loads(kept.read_text("utf-8")) if kept.exists() else published.get(change.name, {}).get(str(seed), {})
    return found if found.get("asked") == key(recipe) else None


def measured(folder: Path, work: Path, change: Change, seed: int) -> dict[str, Any]:
    """Returns the figures of one run: measured before, or now, by training and scoring its adapter."""
    adapter, recipe = named(work, change, seed), asked(folder, work, change, seed)
    if (found := known(work, change, seed, recipe)) is not None:
        return found
    if adapter.exists() and read_json(adapter / MANIFEST)["recipe_sha256"] != recipe.fingerprint:
        shutil.rmtree(adapter)  # the change was edited since
    if not adapter.exists():
        train(recipe, adapter, resume=adapter.with_name(f"{adapter.name}.partial").exists())
    scorer = load(adapter, "auto")
    test = read(str(folder / "imdb_test_5000.parquet"), LABELS)
    figures = evaluate(scorer.logits(test.texts), test.labels, LABELS)
    manifest = read_json(adapter / MANIFEST)
    found = {
        "asked": key(recipe),
        "accuracy": figures.accuracy,
        "log_loss": figures.log_loss,
        "validation": manifest["best"]["accuracy"],
        "validation_loss": manifest["best"]["validation_loss"],
        "epoch": manifest["best"]["epoch"],
        "epochs": len(manifest["epochs"]),
        "trained_on": manifest["data"]["train"]["reviews"],
        "machine": {**machine.features(), "bf16": machine.bf16()},
    }
    files.write(adapter.with_suffix(".json"), [files.canonical(found)])
    return found


def named(work: Path, change: Change, seed: int) -> Path:
    """Returns the directory of a run's adapter; its figures lie beside it."""
    return work / f"{re.sub(r'[^0-9A-Za-z]+', '-', change.name)}-{seed}"


def pooled(groups: list[list[float]]) -> tuple[float, int]:
    """Returns the pooled standard deviation within groups, and its degrees of freedom (analysis of variance)."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((np.array(group) - np.mean(group)) ** 2).sum()) for group in groups)
    return math.sqrt(squares / freedom), freedom


def compared(groups: list[list[float]]) -> list[dict[str, float]]:
    """Returns for each group its mean, its difference from the first group's, and half the width of both 95 % intervals."""
    spread, freedom = pooled(groups)
    reach, centre = float(stats.t.ppf(0.975, freedom)) * spread, groups[0]
    return [
        {
            "mean": float(np.mean(group)),
            "reach": reach / math.sqrt(len(group)),
            "difference": float(np.mean(group) - np.mean(centre)),
            "difference_reach": reach * math.sqrt(1 / len(group) + 1 / len(centre)),
        }
        for group in groups
    ]


def summary(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns a row for each change: its accuracy and its validation loss, compared with the first change's."""
    figures = {key: compared([[row[key] for row in rows] for rows in found.values()]) for key in ("accuracy", "validation_loss")}
    return [
        {
            "change": name,
            "trained_on": rows[0]["trained_on"],
            "seeds": len(rows),
            **{key: figures[key][place] for key in figures},
            "validation": float(np.mean([row["validation"] for row in rows])),
            "epochs_kept": [row["epoch"] for row in rows],
        }
        for place, (name, rows) in enumerate(found.items())
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """Returns the page's table."""
    lines = [
        "| change | reviews | seeds | validation loss | lower by | accuracy, 5,000 test reviews | points more |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        loss, right = row["validation_loss"], row["accuracy"]
        told = [_between(-loss["difference"], loss["difference_reach"], 4)]
        told += [_between(100 * right["difference"], 100 * right["difference_reach"], 2)]
        less, more = ("", "") if row is rows[0] else told
        lines.append(
            f"| {row['change']} | {row['trained_on']:,} | {row['seeds']} | {loss['mean']:.4f} | {less} | "
            f"{right['mean']:.4f} ± {right['reach']:.4f} | {more} |"
        )
    return "\n".join(lines)


def _between(value: float, reach: float, digits: int) -> str:
    return f"{value:+.{digits}f} ({value - reach:+.{digits}f} to {value + reach:+.{digits}f})"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plots each change's difference and its interval, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = rows[:0:-1]
    with mpl.rc_context({"svg.hashsalt": "lorasent", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(8.5, 0.28 * len(shown) + 0.9), layout="constrained")
        panel = figure.subplots()
        gains, reaches = ([100 * row["accuracy"][key] for row in shown] for key in ("difference", "difference_reach"))
        panel.errorbar(gains, range(len(shown)), xerr=reaches, fmt="o", color="#31688e", ecolor="0.45", markersize=5, capsize=2)
        panel.axvline(0, color="0.4", linestyle=":", linewidth=1)
        panel.set_yticks(range(len(shown)), [row["change"] for row in shown])
        panel.set_ylim(-0.6, len(shown) - 0.4)
        panel.set_xlabel("points of accuracy gained, with 95 % interval")
        panel.spines["right"].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def publish(runs: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Writes the results by change and seed: JSON, plot, page. Only a change all of whose seeds ran has a row."""
    whole = {change.name: [runs.get(change.name, {}).get(str(seed)) for seed in change.seeds] for change in CHANGES}
    found = {name: [run for run in each if run] for name, each in whole.items() if all(each)}
    if CHANGES[0].name not in found:
        sys.exit(f"nothing can be compared before the recipe itself was measured: --only '^{CHANGES[0].name}$'")
    rows = summary(found)
    spread, freedom = pooled([[row["accuracy"] for row in one] for one in found.values()])
    said = {"rows": rows, "runs": runs, "spread": spread, "freedom": freedom}
    files.write(FOUND, [files.canonical(said)])
    draw(rows, DRAWN)
    golden.write_manifest(Path("golden"))
    table = f"<!-- ablation -->\n{markdown(rows)}\n<!-- end of ablation -->"
    page, told = re.subn(r"<!-- ablation -->.*<!-- end of ablation -->", lambda _: table, PAGE.read_text("utf-8"), flags=re.DOTALL)
    if not told:
        sys.exit(f"{FOUND} and {DRAWN} are written; {PAGE} has no place for the table: <!-- ablation --><!-- end of ablation -->")
    files.write(PAGE, [page])


def main() -> int:
    """Runs what was not yet run, in `--jobs` processes that share the threads, and publishes all results."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, default=Path("ablation"), help="folder for trained adapters")
    arguments.add_argument("--jobs", type=int, default=1, help="number of runs at once, at least 1")
    arguments.add_argument("--only", help="run only the changes whose names match this regular expression, and publish nothing")
    arguments.add_argument("--measured", action="store_true", help="run nothing; publish the changes that were measured")
    arguments.add_argument("--one", nargs=2, metavar=("CHANGE", "SEED"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if not os.environ.get("LORASENT_DATA"):
        sys.exit("set LORASENT_DATA to a folder that holds real reviews (CONTRIBUTING.md says which)")
    folder, work = Path(os.environ["LORASENT_DATA"]), given.work
    work.mkdir(parents=True, exist_ok=True)
    if given.one:
        change = next(one for one in CHANGES if one.name == given.one[0])
        measured(folder, work, change, int(given.one[1]))
        return 0
    changes = [one for one in CHANGES if re.search(given.only or "", one.name)]
    threads = str(max(1, (os.cpu_count() or 1) // max(1, given.jobs)))

    def run(change: Change, seed: int) -> None:
        command = [sys.executable, "-m", "tests.studies.ablation", "--work", str(work), "--one", change.name, str(seed)]
        subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": threads}, check=True)
        found = measured(folder, work, change, seed)
        print(f"{change.name}, seed {seed}: {found['accuracy']:.4f} (validation loss {found['validation_loss']:.4f})", flush=True)

    if not given.measured:
        for change in changes:  # written once, before the runs read it
            source(folder, work, change.reviews)
        with ThreadPoolExecutor(max(1, given.jobs)) as pool:
            list(pool.map(lambda one: run(*one), [(change, seed) for change in changes for seed in change.seeds]))
    if not given.only:
        runs: dict[str, dict[str, Any]] = {change.name: {} for change in changes}
        for change in changes:
            for seed in change.seeds:
                if (found := known(work, change, seed, asked(folder, work, change, seed))) is not None:
                    runs[change.name][str(seed)] = found
        publish(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
