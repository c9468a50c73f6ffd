"""lorasent: may this LoRA adapter replace that one?

A map of the house; imports go down only.

    cli/            the command line
    pytest_plugin   the pytest face of goldens
    pytest_gate     the pytest face of the gate: a policy is a file of tests
    pytest_options  options that are added when they are used, where nobody else has them
    progress        how a training run is told on a terminal
    report          a verdict for people: terminal and page
    evaluation      an evaluation for people and as JSON
    mistakes        what an adapter gets wrong: slices, the surest, suspected labels
    sweep/          search over recipes (Optuna)
    prove/          how often the gate is wrong: planted faults, innocent twins
    preservation    whether labels hold: an adapter answers reviews as they are and augmented
    gate/           policy, verdict, statistics, and a module for each family of checks
    evidence        adapter x texts -> logits, cached by content
    occlusion       which words carried a decision
    training        recipe -> adapter: claimed, resumable, written whole
    trainer         a run on Hugging Face's Trainer: batches, checkpoints, the best epoch
    run             what a run is and says: splits, epochs, a listener
    scoring         texts -> logits, fast: plans batches, picks precision
    engine          token ids -> logits without padding, bit for bit whatever lies beside
    tuning          the engine in training: gradients for what is trained alone
    averaging       a moving average of what is trained
    adapter         the adapter on disk: write, verify, load, merge
    bare            an adapter without a manifest: what its trainer computed, as far as its files say
    architecture    classifiers of BERT's family taken apart
    packed          products with weights that do not change
    classifier      base + head + LoRA in memory: build, count parameters
    augmentation    training reviews told otherwise, their labels as they are
    encoding        tokenizer, pad token, left truncation, padding
    slices          reviews by length, truncation and columns
    base            the frozen encoder: found, pinned by hash, loaded from a clean copy
    data            source -> labelled reviews
    sources         source -> columns: files, folders, hub data sets
    golden          a recorded result that must come out again
    metrics         logits x labels -> figures
    label_errors    labels that are probably wrong: confident learning
    recipe          recipes/*.toml: everything that determines a training run
    manifest        lorasent.json: what an adapter was made from, every file by hash
    configuration   a base's config.json: what of it is used, and what two of them differ in
    snapshot        an adapter's directory, read once: a private copy of its data files, hashed as it is read
    english         sentences, words, and what among them denies, praises, turns round
    settings        TOML tables, every key checked
    hub             whether the hub may be asked
    weights         safetensors files: their headers, held to bounds
    files           hashes; regular files read, files written beside their place and renamed
    machine         what ran: library versions, processor features
    errors          the exception tree
    text            text from elsewhere: read as people save it, shown so that it does nothing
    lexicon.toml    the words that it knows
    reviews/        the embedded, labelled corpus
    behaviours/     the embedded behavioural cases

The public names below are imported when first used: `import lorasent` is instant and does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorasent.data import Reviews, read
    from lorasent.errors import LorasentError
    from lorasent.gate.policy import Policy
    from lorasent.gate.verdict import Verdict, judge
    from lorasent.metrics import Figures, evaluate
    from lorasent.recipe import Recipe
    from lorasent.run import Trained
    from lorasent.scoring import Prediction, Scorer, load
    from lorasent.training import train

_HOME = {
    "Figures": "metrics",
    "LorasentError": "errors",
    "Policy": "gate.policy",
    "Prediction": "scoring",
    "Recipe": "recipe",
    "Reviews": "data",
    "Scorer": "scoring",
    "Trained": "run",
    "Verdict": "gate.verdict",
    "evaluate": "metrics",
    "judge": "gate.verdict",
    "load": "scoring",
    "read": "data",
    "train": "training",
}

__all__ = [
    "Figures",
    "LorasentError",
    "Policy",
    "Prediction",
    "Recipe",
    "Reviews",
    "Scorer",
    "Trained",
    "Verdict",
    "evaluate",
    "judge",
    "load",
    "read",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("lorasent")
    if name not in _HOME:
        raise AttributeError(f"module 'lorasent' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lorasent.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
