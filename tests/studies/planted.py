"""Plants faults in the core by hand and names the test that catches each. `python -m tests.studies.planted`.

Each fault is planted alone in a copy of the project. The quick tests of that part then run until one fails; without the fault they
pass. The fault and the test that caught it go to golden/measured/planted.json. The study exits 1 if no test caught a fault.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from lorasent import files, golden

ROOT = Path(__file__).parents[2]

FOUND = ROOT / "golden" / "measured" / "planted.json"


class Fault(NamedTuple):
    """One edit of the core: `old`, which `file` holds exactly once, becomes `new`. `tests` are the tests of that part."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


PARAMETERS = ("tests/adapter/test_classifier.py", "tests/adapter/test_directory.py", "tests/adapter/test_writing.py")
ENCODING = ("tests/adapter/test_encoding_properties.py", "tests/unpadded/test_invariance.py")
ENGINE = ("tests/unpadded/test_inference.py", "tests/unpadded/test_training.py")
METRICS = ("tests/test_metrics.py", "tests/test_metrics_properties.py")
GOLDENS = ("tests/golden",)
AUGMENTATION = ("tests/augmentation/test_ways.py",)

FAULTS = (
    Fault(
        "a new pooler is not trained",
        "adapter/classifier.py",
        "modules_to_save=list(new)",
        "modules_to_save=list(new)[-1:]",
        PARAMETERS,
    ),
    Fault("keys are adapted for queries", "adapter/architectures.py", 'query="query_proj"', 'query="key_proj"', PARAMETERS),
    Fault("a fused query projection is not found", "adapter/architectures.py", 'query="Wqkv"', 'query=""', PARAMETERS),
    Fault("the rank is doubled", "adapter/classifier.py", "r=lora.r,", "r=2 * lora.r,", PARAMETERS),
    Fault(
        "the base is not frozen",
        "adapter/classifier.py",
        "        return get_peft_model(model, config)",
        "        adapted = get_peft_model(model, config)\n    next(adapted.parameters()).requires_grad_(True)\n    return adapted",
        PARAMETERS,
    ),
    Fault(
        "the front is kept",
        "adapter/encoding.py",
        '"truncation_side": encoding.truncation_side',
        '"truncation_side": "right"',
        ENCODING,
    ),
    Fault(
        "one token too many",
        "adapter/encoding.py",
        "tokenizer.model_max_length = max_length",
        "tokenizer.model_max_length = max_length + 1",
        ENCODING,
    ),
    Fault(
        "padding is attended to",
        "adapter/encoding.py",
        '"attention_mask": mask}',
        '"attention_mask": np.ones_like(mask)}',
        ENCODING,
    ),
    Fault(
        "answers come in the order of lengths",
        "scoring/scorer.py",
        "logits[np.concatenate(batches)] =",
        "logits[sorted(np.concatenate(batches))] =",
        ENCODING,
    ),
    Fault(
        "so do the engine's", "scoring/scorer.py", "logits[rows] = self._engine", "logits[sorted(rows)] = self._engine", ENCODING
    ),
    Fault(
        "keys behind a review's end are seen",
        "unpadded/inference.py",
        "(None if read == length else mask, read)",
        "(None, read)",
        ENGINE,
    ),
    Fault(
        "few rows are computed in a shape of their own",
        "unpadded/inference.py",
        "if self.invariant and needed <= ROWS:",
        "if False:",
        ENGINE,
    ),
    Fault(
        "short reviews lie among longer ones",
        "scoring/plans.py",
        "engine.capacity(length, invariant=invariant)",
        "engine.CAPACITY",
        ENGINE,
    ),
    Fault(
        "the last layer asks of the token behind the first",
        "unpadded/inference.py",
        "first = states[",
        "first = states[1:][",
        ENGINE,
    ),
    Fault("LoRA's own gradient misses its scaling", "unpadded/training.py", " * module.scaling[name]", "", ENGINE),
    Fault("what is denied is reworded", "augmentation/ways.py", "if match.end() > scope:", "if False:", AUGMENTATION),
    Fault("negations are mistyped", "augmentation/ways.py", "if NEGATION.search(word) or", "if", AUGMENTATION),
    Fault("every epoch draws alike", "augmentation/ways.py", "spawn_key=(number, row)", "spawn_key=(row,)", AUGMENTATION),
    Fault("half rounds up", "metrics.py", "np.round(array.ravel())", "np.floor(array.ravel() + 0.5)", METRICS),
    Fault(
        "calibration bins hold their lower end",
        "metrics.py",
        "np.ceil(confidence * bins).astype(np.int64) - 1",
        "np.floor(confidence * bins).astype(np.int64)",
        METRICS,
    ),
    Fault(
        "precision and recall change places",
        "metrics.py",
        "return _ratio(hits, chosen), _ratio(hits, actual)",
        "return _ratio(hits, actual), _ratio(hits, chosen)",
        METRICS,
    ),
    Fault(
        "padding answers, too", "adapter/encoding.py", '"attention_mask": mask}', '"attention_mask": np.ones_like(mask)}', GOLDENS
    ),
    Fault("LoRA is scaled twice", "adapter/classifier.py", "lora_alpha=lora.alpha,", "lora_alpha=2 * lora.alpha,", GOLDENS),
    Fault(
        "text is not lower-cased",
        "adapter/encoding.py",
        "trust_remote_code=False, **options)",
        'trust_remote_code=False, **{"do_lower_case": False, **options})',
        GOLDENS,
    ),
    Fault("the learning rate does not warm up", "training/loop.py", "int(settings.warmup * run.steps)", "0", GOLDENS),
    Fault(
        "differences are told, not failed",
        "pytest_plugin/goldens.py",
        "elif differences := goldens.compare(recorded := goldens.read(self.path), result):",
        "elif False:",
        ("tests/pytest_plugin/test_goldens.py",),
    ),
)


def failed(copy: Path, tests: tuple[str, ...]) -> str | None:
    """Returns the name of the first quick test that fails in a copy of the project, or None. SystemExit: none could run."""
    options = ["-x", "-q", "-rf", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    names = [line.split(" - ")[0].removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode != bool(names):
        raise SystemExit(f"{' '.join(tests)}: pytest exits {done.returncode}\n{done.stdout[-2000:]}")
    return names[-1] if names else None  # tests of the plugin run failing tests themselves, which pytest lists first


def caught(fault: Fault, copy: Path) -> str | None:
    """Returns the name of the first test that fails with the fault planted in a copy of the project, or None."""
    path = copy / "lorasent" / fault.file
    sound = path.read_text("utf-8")
    path.write_text(sound.replace(fault.old, fault.new), "utf-8")
    test = failed(copy, fault.tests)
    path.write_text(sound, "utf-8")
    return test


def main() -> int:
    """Plants every fault, prints and records the test that caught it; returns the exit status."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "mutants", "adapters"))
        for tests in dict.fromkeys(fault.tests for fault in FAULTS):
            if (test := failed(copy, tests)) is not None:
                raise SystemExit(f"{test} fails without any fault: repair it first")
        for fault in FAULTS:
            found[fault.name] = {"file": f"lorasent/{fault.file}", "test": caught(fault, copy)}
            print(f"{fault.name} ({fault.file}): {found[fault.name]['test'] or 'NOT CAUGHT'}", flush=True)
    files.write(FOUND, [files.canonical(found)])
    golden.write_manifest(FOUND.parents[1])
    return any(one["test"] is None for one in found.values())


if __name__ == "__main__":
    sys.exit(main())
