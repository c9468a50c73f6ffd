"""Made-up sides of a comparison, every part given, and what an integrity check says of them. Without torch."""

from pathlib import Path
from types import SimpleNamespace

from lorasent.adapter.manifest import WEIGHTS
from lorasent.adapter.snapshot import Snapshot
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import checks
from lorasent.gate.integrity.checks import CHECKS
from lorasent.gate.integrity.comparison import EXPORT, Comparison, Fault, LoraSettings, Side, find_base
from lorasent.gate.integrity.layout import Layout
from lorasent.gate.sections import Integrity
from tests.support.bases import linear
from tests.support.manifests import manifest as complete
from tests.support.manifests import recipe

PREFIX = "base_model.model."

QUERY, KEY = "bert.0.query", "bert.0.key"

HEAD = linear("classifier", 2, 4)

TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"


def manifest(**keys):
    """The manifest of an adapter whose weights have the hash "w"."""
    return complete(**{"files": {WEIGHTS: "w"}, **keys})


def config(**changes):
    """PEFT's configuration."""
    content = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "films/base",
        "revision": "main",
        "r": 2,
        "lora_alpha": 4,
        "lora_dropout": 0.1,
        "target_modules": ["query"],
        "modules_to_save": ["classifier"],
        "peft_version": "1",
        "use_dora": False,
        "bias": "none",
        "init_lora_weights": True,
        "rank_pattern": {},
    }
    return LoraSettings.model_validate({**content, **changes})


def layout(**changes):
    """A base of two linear layers, which lacks the classifier."""
    parts = {
        "linear": {QUERY: (4, 4), KEY: (4, 4)},
        "around": HEAD,
        "new": frozenset(HEAD),
        "known": True,
        "transposed": False,
        "backbone": 964,
    }
    return Layout(**{**parts, **changes})


TENSORS = {
    f"{PREFIX}{QUERY}.lora_A.weight": ((2, 4), "F32"),
    f"{PREFIX}{QUERY}.lora_B.weight": ((4, 2), "F32"),
    f"{PREFIX}classifier.weight": ((2, 4), "F32"),
    f"{PREFIX}classifier.bias": ((2,), "F32"),
}

SOUND = {
    TOKENIZER: {
        "normalizer": {"lowercase": True},
        "model": {"vocab": {"a": 1}},
        "post_processor": {"type": "BertProcessing"},
        "added_tokens": [{"id": 0}],
        "truncation": None,
    },
    TOKENS: {"truncation_side": "left", "model_max_length": 64, "cls_token": "[CLS]", "never_split": ["x"]},
}


def side(path="new", *, baseline=False, files=SOUND, record=False, **parts):
    """One side of which every part is given; as a record it has no directory."""
    subject = SimpleNamespace(name=str(path), identity="identity", manifest=complete(), libraries={"tokenizers": "1"})
    one = Side(subject, baseline=baseline, find_base=find_base)
    one.path = None if record else Path(path)
    found = SimpleNamespace(name="films/base", sha256="b" * 64, config={"model_type": "bert", "hidden_act": "gelu"})
    known = {"manifest": manifest(), "config": config(), "recipe": recipe(), "layout": layout(), "tensors": TENSORS, "base": found}
    snapshot = Snapshot(path) if Path(path).is_dir() else SimpleNamespace(path=one.path)
    one.__dict__.update({**known, "snapshot": snapshot, "targets": {QUERY}, "json": lambda name: files[name], **parts})
    return one


def old(**parts):
    """The baseline."""
    return side("old", baseline=True, **parts)


def fault(question, *arguments):
    """What a question raises, as a tuple: cause, message, advice, outcome, figures."""
    try:
        question(*arguments)
    except Fault as error:
        found = error
    else:
        raise AssertionError("no fault was raised")
    assert str(found) == found.message
    return found.cause, found.message, found.advice, found.outcome, found.figures


def blocks(cause, message, advice=EXPORT, **figures):
    """The tuple of a fault of the candidate's."""
    return cause, message, advice, Outcome.BLOCK, figures


WHERE = f"new/{WEIGHTS}: "


def other_base(**changes):
    """A manifest of another base."""
    return manifest(base={"name": "films/other", "sha256": "d" * 64, "revision": "main", **changes})


def run(name, candidate, baseline, settings=None):
    """What a check says of two sides: the reason to pass, or the Fault that it raises."""
    result = checks.run(name, Comparison(candidate, baseline, settings or Integrity()))
    if isinstance(result, BaseException):
        raise result
    return result


def compare(name, candidate, baseline, settings=None):
    """The same without the inspection of each side by itself."""
    return CHECKS[name].compare(Comparison(candidate, baseline, settings or Integrity()))
