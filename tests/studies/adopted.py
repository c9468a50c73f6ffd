"""Judges the faults of `lorasent prove` with and without a manifest. `python -m tests.studies.adopted [--fault NAME] [--way WAY]`.

Each fault, and none, is planted in an adapter of the embedded recipe. gate.toml judges it against the reference adapter in three
ways: both with their manifests ("trained"); both without, as `lorasent adopt --labels` makes them ("adopted"); and both without,
adopted for the verdict, beside a config.json that names the labels ("in memory"). Outcomes and causes go to
golden/measured/adopted.json. A study that was interrupted continues.
"""

import argparse
import json
import shutil
from pathlib import Path

from lorasent import adopt, files, golden, machine
from lorasent.adapter.base import find
from lorasent.adapter.manifest import MANIFEST, read_json
from lorasent.errors import AdapterError
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.prove.catalogue import PlantedFault, select
from lorasent.prove.experiment import plant
from tests.support.references import FOLDER, LABELS, REFERENCE

FOUND = FOLDER / "measured" / "adopted.json"

WAYS = ("trained", "adopted", "in memory")

UNSEEN = {
    "labels swapped in the configuration": "only the manifest names the labels, and whoever adopts names them anew",
    "dropout active when judging": "the files are sound; only the manifest has what the faulty model answered",
    "special tokens dropped": "transformers' BertTokenizer adds them whatever tokenizer.json says, so no answer moves",
}
"""Faults that move no answer of an adapter without a manifest, with the reason: nothing can show them."""


def unchanged(reviews, _random, _recipe):
    """The reviews are sound."""
    return reviews


INNOCENT = PlantedFault("none", "quality", corrupt=unchanged)


def planted(fault, work):
    """Returns an adapter with this fault; one that was planted before is taken as it is. Files are those of the innocent one."""
    path = work / fault.slug / "0"
    if fault is INNOCENT:
        plant(fault, REFERENCE, REFERENCE, path, 0)
    else:
        plant(fault, *((REFERENCE, planted(INNOCENT, work)) if fault.corrupt else (planted(INNOCENT, work), REFERENCE)), path, 0)
    return path


def as_found(adapter, way, folder):
    """Returns the adapter, or a copy without its manifest, as this way has it. Raises AdapterError if it cannot be adopted."""
    if way == "trained":
        return adapter
    bare, out = folder / way / "bare", folder / way / "adopted"
    shutil.copytree(adapter, bare, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    if way == "adopted":
        return out if out.exists() else adopt(bare, out, labels=LABELS)
    base = read_json(adapter / MANIFEST)["base"]
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {label: place for place, label in enumerate(LABELS)}}
    config = find(base["name"], base["revision"], base["sha256"]).config
    (bare / "config.json").write_text(json.dumps({**config, **names}), "utf-8")
    return bare


def judged(fault, way, policy, work):
    """Returns the outcome, and the outcome and cause of each check that does not pass."""
    may_change = (*policy.integrity.may_change, *fault.declared)
    policy = policy.model_copy(update={"integrity": policy.integrity.model_copy(update={"may_change": may_change})})
    baseline = as_found(REFERENCE, way, work / "reference")
    adapter = planted(fault, work)
    try:
        verdict = judge(as_found(adapter, way, work / "copies" / fault.slug), [baseline], policy)
    except AdapterError as error:  # as `lorasent adopt` refuses it, in one line
        return {"outcome": "REFUSED", "causes": {"adopt": str(error).rpartition(f"{way}/bare")[2].lstrip("/: ")}}
    causes = {each.check: f"{each.outcome}: {each.cause}" for each in verdict.findings if each.outcome is not Outcome.PASS}
    return {"outcome": str(verdict.outcome), "causes": causes}


def main():
    """Starts or continues the study; results are kept after each verdict."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, default=Path("proof/adopted"), help="folder for faulty and adopted adapters")
    arguments.add_argument("--fault", action="append", help="faults whose names begin so; all by default")
    arguments.add_argument("--way", action="append", choices=WAYS, help="all by default")
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    policy, found = Policy.read("gate.toml"), read_json(FOUND)["faults"] if FOUND.exists() else {}
    for fault in (INNOCENT, *select(given.fault)):
        ways = found.setdefault(fault.name, {})
        for way in (way for way in given.way or WAYS if way not in ways):
            ways[way] = judged(fault, way, policy, given.work)
            print(f"{fault.name}, {way}: {ways[way]}", flush=True)
            content = {"faults": found, "libraries": dict(machine.libraries()), "machine": dict(machine.features())}
            files.write(FOUND, [files.canonical(content)])
            golden.write_manifest(FOLDER)


if __name__ == "__main__":
    main()
