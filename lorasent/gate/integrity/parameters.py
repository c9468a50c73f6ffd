"""integrity::parameters: the weights hold the number of parameters that the manifest names and the policy requires."""

from decimal import Decimal
from math import prod

from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.comparison import Comparison, Fault, Passed, Side

ADVICE = "train with the recipe that the policy was written for, or set trainable_parameters of [integrity]"


def inspect(side: Side) -> None:
    """Raises the fault of weights that hold another count of numbers than the manifest says."""
    count, trained = sum(prod(shape) for shape, _ in side.tensors.values()), side.manifest.parameters.trainable
    if count != trained:
        message = f"holds {count:,} numbers, {MANIFEST} says that {trained:,} were trained"
        raise side.fault("parameters", message, file=WEIGHTS, found=count, required=trained)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of a count that is not what the policy requires, or of a total that is not the classifier's."""
    side, required, by = comparison.candidate, comparison.settings.trainable_parameters, "policy requires"
    count, total = side.manifest.parameters.trainable, side.manifest.parameters.total
    if isinstance(required, str):
        if side.is_trained and not side.layout.known:
            return Passed(f"{count:,} parameters trained, as the manifest says; lorasent cannot count this architecture's")
        required, by = _implied(side), "recipe implies" if side.is_trained else f"{CONFIG} implies"
    if required >= 1 and count != required:
        message = f"{count:,} trained parameters, the {by} {required:,}"
        raise side.fault("parameters", message, ADVICE, file=WEIGHTS, found=count, required=required)
    for each in reversed(comparison.directories()):
        _require_total(each)
    if required < 1:
        _require_fraction(side, count / total, required)
    return Passed(f"{count:,} of {total:,} parameters trained")


def _implied(side: Side) -> int:
    """The number of parameters that the recipe, or PEFT's configuration, trains."""
    if not side.is_trained:
        return sum(map(prod, side.implied.values()))
    lora, layout = side.recipe.lora, side.layout
    matrices = layout.lora(layout.implied(lora.target_modules), lora.r, lora.variants)
    return sum(map(prod, (matrices | layout.saved(side.config.modules_to_save or [])).values()))


def _require_total(side: Side) -> None:
    """Raises the fault of a manifest whose total is not the classifier's, which only a known architecture tells."""
    if not side.is_trained or not side.layout.known:
        return
    added, parameters = side.json("tokenizer.json").get("added_tokens"), side.manifest.parameters
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    total = side.layout.total(parameters.trainable, max((number + 1 for number in ids if isinstance(number, int)), default=0))
    if total != parameters.total:
        message = f"says that there are {parameters.total:,} parameters, base and weights hold {total:,}"
        raise side.fault("parameters", message, file=MANIFEST, found=parameters.total, required=total)


def _require_fraction(side: Side, share: float, required: float) -> None:
    """Raises the fault of another share of trained parameters, to as many decimals as the policy gives."""
    if side.is_trained and not side.layout.known:
        message = f"{side.name}: lorasent cannot count all parameters of this architecture"
        raise Fault("parameters-uncounted", message, "require a number of trained parameters", outcome=Outcome.INVALID)
    digits = -int(Decimal(repr(required)).as_tuple().exponent)
    if round(share, digits) != required:
        trained = f"{side.manifest.parameters.trainable:,} of {side.manifest.parameters.total:,} parameters trained"
        message = f"{trained}, {share:.{digits + 2}f}, the policy requires {required}"
        raise side.fault("parameters", message, ADVICE, found=share, required=required)
