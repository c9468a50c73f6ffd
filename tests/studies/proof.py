"""Measures how often this repository's own gate is wrong. `python -m tests.studies.proof`, or `tox -e proof`.

24 retrains of the reference adapter, which differ from it by the seed alone, are trained, and every fault is planted in five
adapters. gate.toml judges all of them on the embedded reviews. Where LORASENT_DATA is set, ten adapters of the recipe imdb-minilm
are trained on its reviews, and are judged against each other on 2,000 others with a margin of two points. The results go to
golden/measured/proof.json and into docs/explanation/error-rates.md. A study that was interrupted continues.
"""

import argparse
import os
import re
from pathlib import Path

import numpy as np

from lorasent import files, golden
from lorasent.data.reviews import read
from lorasent.gate.policy import Policy
from lorasent.prove.catalogue import FAULTS
from lorasent.prove.experiment import measure
from lorasent.prove.rates import markdown
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.evidence import LiveSubject
from lorasent.training.train import train

REFERENCE = Path("golden/reference-adapter")
RETRAINED, PER_FAULT = 24, 5

RETRAINED_REAL = 9

REAL = """
[data]
test = "{folder}/imdb_test_5000.parquet"
sample = 2000
precision = "auto"
[quality]
margin = 0.02
min = 0.80
slices = ["length", "truncated"]
[calibration]
max_brier_increase = 0.02
"""
"""The policy on real reviews."""


def retraining(members, texts, labels):
    """Returns the effect of the seed alone: mean accuracy, its standard deviation, and the mean discordance of two seeds."""
    rights = np.array([member.answer(texts).logits.argmax(axis=1) == labels for member in members])
    accuracy = rights.mean(axis=1)
    discordance = [np.mean(one != other) for row, one in enumerate(rights) for other in rights[:row]]
    return {
        "n": len(texts),
        "seeds": len(members),
        "accuracy": float(accuracy.mean()),
        "spread": float(accuracy.std(ddof=1)),
        "discordance": float(np.mean(discordance)),
    }


def judged(first, policy, faults, work, twins):
    """Returns the error rates under a policy, and the effect of the seed on its reviews."""
    proof = measure(
        [first], policy, work, retrain=twins, per_fault=PER_FAULT, faults=faults, report=lambda line: print(line, flush=True)
    )
    reviews = read(policy.data.test, ("Negative", "Positive"))
    if policy.data.sample:
        reviews = reviews.sample(policy.data.sample, policy.data.seed, ("Negative", "Positive"))
    members = [LiveSubject(Path(path), policy.data.precision) for path in proof.members]
    return proof, {**proof.to_json(), "retraining": retraining(members, reviews.texts, reviews.labels)}


def trained_on_real(folder, path):
    """Returns the first adapter of the recipe imdb-minilm, trained on the folder's reviews."""
    if not path.exists():
        splits = {f"data.{name}": f"{folder}/imdb_1000_{name}.parquet" for name in ("train", "validation")}
        train(Recipe.read("imdb-minilm", values=splits), path, resume=path.with_name(f"{path.name}.partial").exists())
    return path


def told(name, proof, said):
    """Returns a section of the page."""
    moved = said["retraining"]
    return (
        f"**{name}.** Accuracy of {moved['seeds']} seeds on {moved['n']:,} reviews: {moved['accuracy']:.4f}, standard deviation "
        f"{100 * moved['spread']:.2f} points; two seeds answer {100 * moved['discordance']:.1f} % of the reviews differently.\n\n"
        f"{markdown(proof)}"
    )


def main():
    """Starts or continues the study."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, default=Path("proof"), help="folder for trained and faulty adapters")
    work = arguments.parse_args().work
    proof, said = judged(REFERENCE, Policy.read("gate.toml"), FAULTS, work, RETRAINED)
    parts, sections = {"embedded": said}, [told("By gate.toml on the embedded reviews", proof, said)]
    kept(parts, sections)
    if folder := os.environ.get("LORASENT_DATA"):
        path = work / "real.toml"
        path.write_text(REAL.format(folder=folder), "utf-8")
        first = trained_on_real(folder, work / "real" / "seed-0")
        proof, said = judged(first, Policy.read(path), (), work / "real", RETRAINED_REAL)
        said["policy"]["data"]["test"] = "imdb_test_5000.parquet"
        parts["real"] = said
        sections.append(told("By a margin of two points on real reviews (the recipe imdb-minilm, IMDB)", proof, said))
        kept(parts, sections)


def kept(parts, sections):
    """Writes the results so far."""
    files.write(Path("golden/measured/proof.json"), [files.canonical(parts)])
    golden.write_manifest(Path("golden"))
    place = Path("docs/explanation/error-rates.md")
    table = "<!-- proof -->\n" + "\n".join(sections) + "<!-- end of proof -->"
    page = re.sub(r"<!-- proof -->.*<!-- end of proof -->", lambda _: table, place.read_text("utf-8"), flags=re.DOTALL)
    files.write(place, [page])


if __name__ == "__main__":
    main()
