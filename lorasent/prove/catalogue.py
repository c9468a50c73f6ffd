"""The faults by name: how each is planted, which causes name it rightly, and what must be allowed for it to be asked at all."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorasent.errors import ProofError
from lorasent.prove import exports, trainings
from lorasent.prove.bench import Bench

Kind = Literal["integrity", "quality", "cost"]

QUALITY = ("quality", "below-the-floor", "below-the-bank", "slice", "calibration", "behaviour")


@dataclass(frozen=True)
class PlantedFault:
    """One class of faults. `kind` is what finds it: a fact about files, a claim on a sample, or a count."""

    name: str
    kind: Kind
    plant: Callable[[Bench], None] | None = None
    """Changes a copy of a healthy adapter; or"""
    poison: trainings.Poison | None = None
    """changes the reviews that it is trained on."""
    causes: tuple[str, ...] = QUALITY
    """What a BLOCK may call it and be right."""
    probes: Literal["faulty", "healthy", "dropout"] = "faulty"
    """Who answered the manifest's probes: the faulty model, or the healthy one, as where an exporter is at fault."""
    declared: tuple[str, ...] = ()
    """`may_change` entries that the policy is given, so that the fault is not refused as an undeclared difference."""

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return re.sub(r"\W+", "-", self.name).strip("-")

    @property
    def needs_another(self) -> bool:
        """Whether it takes something from a second adapter."""
        return self.plant is exports.pairs_mixed

    @property
    def what(self) -> str:
        """A sentence."""
        return ((self.plant or self.poison).__doc__ or "").strip()


FAULTS = (
    PlantedFault("head missing", "integrity", exports.head_missing, causes=("head-missing",)),
    PlantedFault("head as initialised, exported", "integrity", exports.head_random, causes=("answers",), probes="healthy"),
    PlantedFault("head as initialised", "quality", exports.head_random),
    PlantedFault("head rows swapped, exported", "integrity", exports.head_swapped, causes=("head-swapped",), probes="healthy"),
    PlantedFault("head rows swapped", "quality", exports.head_swapped),
    PlantedFault("labels swapped in the configuration", "integrity", exports.labels_swapped, causes=("labels",)),
    PlantedFault("adapter zeroed", "integrity", exports.adapter_zeroed, causes=("adapter-zero", "adapter-inert")),
    PlantedFault("one layer zeroed", "integrity", exports.layer_zeroed, causes=("layer-zero",)),
    PlantedFault("layers permuted, exported", "integrity", exports.layers_permuted, causes=("answers",), probes="healthy"),
    PlantedFault("layers permuted", "quality", exports.layers_permuted),
    PlantedFault("A of another adapter, exported", "integrity", exports.pairs_mixed, causes=("answers",), probes="healthy"),
    PlantedFault("A of another adapter", "quality", exports.pairs_mixed),
    PlantedFault("alpha changed", "integrity", exports.alpha_changed, causes=("alpha",)),
    PlantedFault("use_rslora flipped", "integrity", exports.rank_stabilised, causes=("rslora",)),
    PlantedFault("wrong target module", "integrity", exports.target_left_out, causes=("target-modules",)),
    PlantedFault("weights doubled, exported", "integrity", exports.weights_doubled, causes=("scaling",), probes="healthy"),
    PlantedFault("weights doubled", "quality", exports.weights_doubled),
    PlantedFault("NaN in one weight", "integrity", exports.not_a_number, causes=("not-finite",)),
    PlantedFault("weights rounded to 4 bits", "integrity", exports.four_bits, causes=("quantized",)),
    PlantedFault("another base", "integrity", exports.another_base, causes=("base",)),
    PlantedFault("cased instead of uncased", "integrity", exports.case_kept, causes=("lower-casing",)),
    PlantedFault("truncated on the other side", "integrity", exports.other_side, causes=("truncation-side",)),
    PlantedFault("max_length 128", "integrity", exports.shorter, causes=("max-length",)),
    PlantedFault("special tokens dropped", "integrity", exports.no_special_tokens, causes=("special-tokens",)),
    PlantedFault("dropout active when judging", "integrity", exports.nothing, causes=("answers",), probes="dropout"),
    PlantedFault("overconfident (logits x 4)", "quality", exports.overconfident, causes=("calibration",)),
    PlantedFault("trained on 20 % flipped labels", "quality", poison=trainings.flipped_labels),
    PlantedFault("trained on one class mostly", "quality", poison=trainings.one_class),
    PlantedFault("trained for a single step", "integrity", poison=trainings.single_step, causes=("one-step",)),
    PlantedFault("a trigger word flips the verdict", "quality", poison=trainings.trigger_word, causes=("trigger",)),
    PlantedFault("a bias against names", "quality", poison=trainings.name_bias),
    PlantedFault("negation blindness", "quality", poison=trainings.negation_blind),
    PlantedFault("slower: max_length doubled", "integrity", exports.longer, causes=("max-length",)),
    PlantedFault(
        "slower: a base of twice the layers, declared",
        "cost",
        exports.larger_base,
        causes=("slower",),
        declared=("base", "encoding"),
    ),
)
"""Those that are planted. "exported": the fault came after the manifest's probes were answered."""


def select(names: Sequence[str] | None) -> tuple[PlantedFault, ...]:
    """The faults whose names begin with one of `names`; all without any. Raises ProofError for a name that no fault begins with."""
    for name in names or ():
        if not any(fault.name.startswith(name) for fault in FAULTS):
            raise ProofError(f"--fault {name}: no fault is called so; there are {', '.join(fault.name for fault in FAULTS)}")
    return tuple(fault for fault in FAULTS if not names or any(fault.name.startswith(name) for name in names))
