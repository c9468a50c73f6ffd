"""The catalogue of faults: how each is planted, which causes are right for it, and which differences the policy must allow."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorasent.errors import ProveError
from lorasent.prove import file_faults, training_faults
from lorasent.prove.faulty_copy import FaultyCopy, ProbedModel

QUALITY = ("quality", "below-the-floor", "below-the-bank", "slice", "calibration", "behaviour")
"""Causes of a BLOCK that are right for a loss of quality."""


@dataclass(frozen=True)
class PlantedFault:
    """A fault. `kind` says what finds it: a fact about files, a test on a sample, or a measured cost."""

    name: str
    kind: Literal["integrity", "quality", "cost"]
    plant: Callable[[FaultyCopy], None] | None = None
    """Changes a copy of a healthy adapter; either this or `corrupt` is given."""
    corrupt: training_faults.Corruption | None = None
    """Changes the reviews that the adapter is trained on."""
    causes: tuple[str, ...] = QUALITY
    """Causes of a BLOCK that are right for the fault."""
    probes: ProbedModel = "faulty"
    """The model that computes the manifest's probe logits; the healthy one, if the exporter is at fault."""
    declared: tuple[str, ...] = ()
    """Entries added to the policy's `may_change`, so that the fault is not blocked as an undeclared difference."""

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return re.sub(r"\W+", "-", self.name).strip("-")

    @property
    def what(self) -> str:
        """Its description, a sentence."""
        return ((self.plant or self.corrupt).__doc__ or "").strip()


FAULTS = (
    PlantedFault("head missing", "integrity", file_faults.head_missing, causes=("head-missing",)),
    PlantedFault("head as initialised, exported", "integrity", file_faults.head_random, causes=("answers",), probes="healthy"),
    PlantedFault("head as initialised", "quality", file_faults.head_random),
    PlantedFault("head rows swapped, exported", "integrity", file_faults.head_swapped, causes=("head-swapped",), probes="healthy"),
    PlantedFault("head rows swapped", "quality", file_faults.head_swapped),
    PlantedFault("labels swapped in the configuration", "integrity", file_faults.labels_swapped, causes=("labels",)),
    PlantedFault("adapter zeroed", "integrity", file_faults.adapter_zeroed, causes=("adapter-zero", "adapter-inert")),
    PlantedFault("one layer zeroed", "integrity", file_faults.layer_zeroed, causes=("layer-zero",)),
    PlantedFault("layers permuted, exported", "integrity", file_faults.layers_permuted, causes=("answers",), probes="healthy"),
    PlantedFault("layers permuted", "quality", file_faults.layers_permuted),
    PlantedFault("A of another adapter, exported", "integrity", file_faults.pairs_mixed, causes=("answers",), probes="healthy"),
    PlantedFault("A of another adapter", "quality", file_faults.pairs_mixed),
    PlantedFault("alpha changed", "integrity", file_faults.alpha_changed, causes=("alpha",)),
    PlantedFault("use_rslora flipped", "integrity", file_faults.rank_stabilised, causes=("rslora",)),
    PlantedFault("wrong target module", "integrity", file_faults.target_left_out, causes=("target-modules",)),
    PlantedFault("weights doubled, exported", "integrity", file_faults.weights_doubled, causes=("scaling",), probes="healthy"),
    PlantedFault("weights doubled", "quality", file_faults.weights_doubled),
    PlantedFault("NaN in one weight", "integrity", file_faults.not_a_number, causes=("not-finite",)),
    PlantedFault("weights rounded to 4 bits", "integrity", file_faults.four_bits, causes=("quantized",)),
    PlantedFault("another base", "integrity", file_faults.another_base, causes=("base",)),
    PlantedFault("cased instead of uncased", "integrity", file_faults.case_kept, causes=("lower-casing",)),
    PlantedFault("truncated on the other side", "integrity", file_faults.other_side, causes=("truncation-side",)),
    PlantedFault("max_length 128", "integrity", file_faults.shorter, causes=("max-length",)),
    PlantedFault("special tokens dropped", "integrity", file_faults.no_special_tokens, causes=("special-tokens",)),
    PlantedFault("dropout active when judging", "integrity", file_faults.nothing, causes=("answers",), probes="dropout"),
    PlantedFault("overconfident (logits x 4)", "quality", file_faults.overconfident, causes=("calibration",)),
    PlantedFault("trained on 20 % flipped labels", "quality", corrupt=training_faults.flipped_labels),
    PlantedFault("trained on one class mostly", "quality", corrupt=training_faults.one_class),
    PlantedFault("trained for a single step", "integrity", corrupt=training_faults.single_step, causes=("one-step",)),
    PlantedFault("a trigger word flips the verdict", "quality", corrupt=training_faults.trigger_word, causes=("trigger",)),
    PlantedFault("a bias against names", "quality", corrupt=training_faults.name_bias),
    PlantedFault("negation blindness", "quality", corrupt=training_faults.negation_blind),
    PlantedFault("slower: max_length doubled", "integrity", file_faults.longer, causes=("max-length",)),
    PlantedFault(
        "slower: a base of twice the layers, declared",
        "cost",
        file_faults.larger_base,
        causes=("slower",),
        declared=("base", "encoding"),
    ),
)
"""All faults. "exported" in a name: the fault happened after the manifest's probe logits were computed."""


def select(names: Sequence[str] | None) -> tuple[PlantedFault, ...]:
    """The faults whose names begin with one of `names`, or all faults. Raises ProveError if there is none."""
    for name in names or ():
        if not any(fault.name.startswith(name) for fault in FAULTS):
            raise ProveError(f"--fault {name}: no such fault; the faults are {', '.join(fault.name for fault in FAULTS)}")
    return tuple(fault for fault in FAULTS if not names or any(fault.name.startswith(name) for name in names))
