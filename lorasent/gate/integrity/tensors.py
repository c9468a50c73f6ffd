"""integrity::tensors: the weights hold exactly the tensors that PEFT's configuration and the base imply."""

from lorasent.adapter.manifest import CONFIG, WEIGHTS
from lorasent.adapter.weights import PEFT_PREFIX
from lorasent.gate.integrity.comparison import Comparison, Passed
from lorasent.gate.integrity.side import EXPORT, Side, some
from lorasent.text import shown


def inspect(side: Side) -> None:
    """Raises the fault of tensors that are not those which the configuration and the base imply."""
    settings, of, where = side.config, side.layout, f"{side.at(WEIGHTS)}: "
    saved = settings.modules_to_save or []
    if unsaved := of.unsaved(saved):
        message = f"{side.at(CONFIG)}: modules_to_save leaves out what the base lacks: {some(unsaved)} would be random"
        raise side.fault("head-missing", message, EXPORT)
    whole, labels = of.saved(saved), len(side.manifest.labels)
    if not any(shape[:1] == (labels,) for name, shape in whole.items() if name.endswith("weight")):
        message = f"{where}holds no classification head of {labels} outputs, one for each label"
        raise side.fault("head-missing", message, EXPORT)
    lora = of.lora(side.targets, settings.r, settings.options)
    expected = {f"{PEFT_PREFIX}{name}": shape for name, shape in (lora | whole).items()}
    if missing := sorted(expected.keys() - side.tensors.keys()):
        heads = [name for name in missing if ".lora_" not in name]
        raise side.fault(
            "head-missing" if heads else "tensor-missing",
            f"{where}lacks {len(missing)} of {len(expected)} tensors: {some(heads or missing)}; they would be random or zero",
            EXPORT,
        )
    if extra := sorted(side.tensors.keys() - expected.keys()):
        raise side.fault("tensor-unexpected", f"{where}{some(extra)}: in no layer that {CONFIG} names on this base", EXPORT)
    for name, (shape, kind) in side.tensors.items():
        if shape != expected[name]:
            message = f"{where}{shown(name)} has shape {shown(str(shape))}, r = {settings.r} and the base imply {expected[name]}"
            raise side.fault("shape", message, EXPORT, name=name)
        if kind != "F32":
            raise side.fault("dtype", f"{where}{shown(name)} is {kind}, required is float32 (F32)", EXPORT, name=name)


def compare(comparison: Comparison) -> Passed:
    """Passes: another rank or other layers are a difference of the recipe."""
    return Passed(f"{len(comparison.candidate.tensors)} tensors of float32, as {CONFIG} and the base imply")
