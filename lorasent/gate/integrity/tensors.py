"""integrity::tensors: the weights hold exactly the tensors that PEFT's configuration and the base imply."""

from lorasent.adapter.architectures import Shapes
from lorasent.adapter.manifest import CONFIG, WEIGHTS
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.gate.integrity.comparison import TYPES, Comparison, Passed, Side
from lorasent.text import shown, some


def inspect(side: Side) -> None:
    """Raises the fault of tensors that are missing, unexpected, or of another shape or type."""
    tensors, expected = side.tensors, _by_base(side) if side.is_trained else side.implied
    if missing := sorted(expected.keys() - tensors.keys()):
        heads = [name for name in missing if ".lora_" not in name]
        message = f"lacks {len(missing)} of {len(expected)} tensors: {some(heads or missing)}; they would be random or zero"
        raise side.fault("head-missing" if heads else "tensor-missing", message, file=WEIGHTS)
    if extra := sorted(tensors.keys() - expected.keys()):
        raise side.fault("tensor-unexpected", f"holds {some(extra)}, which {CONFIG} and the base do not imply", file=WEIGHTS)
    for name, (shape, kind) in tensors.items():
        if shape != expected[name]:
            message = f"{shown(name)} has shape {shown(str(shape))}, r = {side.config.r} and the base imply {expected[name]}"
            raise side.fault("shape", message, file=WEIGHTS, name=name)
        if kind not in (TYPES if not side.is_trained else TYPES[:1]):
            raise side.fault("dtype", f"{shown(name)} is {kind}, expected float32 (F32)", file=WEIGHTS, name=name)


def _by_base(side: Side) -> Shapes:
    """The tensors that the base's checkpoint implies. Raises the fault of a head that is not saved."""
    config, labels = side.config, len(side.manifest.labels)
    modules_to_save = config.modules_to_save or []
    if unsaved := side.layout.unsaved(modules_to_save):
        message = f"modules_to_save leaves out {some(unsaved)}, which the base lacks: random at every load"
        raise side.fault("head-missing", message, file=CONFIG)
    saved = side.layout.saved(modules_to_save)
    if not any(shape[:1] == (labels,) for name, shape in saved.items() if name.endswith("weight")):
        message = f"holds no classification head of {labels} outputs, one for each label"
        raise side.fault("head-missing", message, file=WEIGHTS)
    lora = side.layout.lora(side.targets, config.r, config.model_extra or {})
    return {f"{PEFT_PREFIX}{name}": shape for name, shape in (lora | saved).items()}


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of another type than the baseline's. Another rank or other layers are a difference of the recipe."""
    candidate, baseline, _ = comparison
    types, before = candidate.types, baseline.types if baseline.path is not None else candidate.types
    declared = comparison.allow({"lora.dtype": (before, types)}, "dtype", "another type of weights") if types != before else {}
    return Passed(f"{len(candidate.tensors)} tensors of {types}, as {CONFIG} and the base imply", declared)
