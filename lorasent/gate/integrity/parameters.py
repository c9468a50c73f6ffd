"""integrity::parameters: the weights hold the number of parameters that the manifest names and the policy requires."""

from decimal import Decimal
from math import prod

from lorasent.adapter.manifest import MANIFEST, WEIGHTS
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.comparison import Comparison, Passed
from lorasent.gate.integrity.side import Fault, Side

ADVICE = "train with the recipe that the policy was written for, or set trainable_parameters of [integrity]"


def inspect(side: Side) -> None:
    """Raises the fault of weights that hold another count of numbers than the manifest says."""
    count, trained = _count(side), side.manifest.parameters.trainable
    if count != trained:
        message = f"holds {count:,} numbers, {MANIFEST} says that {trained:,} were trained"
        raise side.fault("parameters", message, file=WEIGHTS, found=count, required=trained)


def compare(comparison: Comparison) -> Passed:
    """Raises the fault of a count that is not what the policy requires, or of a total that is not the classifier's."""
    side, baseline, settings = comparison
    count, required = _count(side), settings.trainable_parameters
    if required == "recipe" and not side.layout.known:
        return Passed(f"{count:,} parameters trained, as the manifest says; lorasent cannot count this architecture's")
    if isinstance(required, str):
        _require_count(side, count, _implied(side), "recipe implies")
    elif required >= 1:
        _require_count(side, count, required, "policy requires")
    else:
        _require_fraction(side, count, required)
    if baseline.path is not None:
        _total(baseline, _count(baseline))
    return Passed(f"{count:,} of {_total(side, count):,} parameters trained")


def _count(side: Side) -> int:
    return sum(prod(shape) for shape, _ in side.tensors.values())


def _implied(side: Side) -> int:
    """The number of parameters that the recipe trains."""
    lora, of = side.recipe.lora, side.layout
    matrices = of.lora(of.implied(lora.target_modules), lora.r, lora.variants)
    return sum(map(prod, (matrices | of.saved(side.config.modules_to_save or [])).values()))


def _require_count(side: Side, count: int, required: float, by: str) -> None:
    if count != required:
        message = f"{count:,} trained parameters, the {by} {required:,}"
        raise side.fault("parameters", message, ADVICE, file=WEIGHTS, found=count, required=required)


def _require_fraction(side: Side, count: int, required: float) -> None:
    """Raises the fault of another fraction of trained parameters, to as many decimals as the policy gives."""
    if not side.layout.known:
        message = f"{side.name}: lorasent cannot count all parameters of this architecture"
        raise Fault("parameters-uncounted", message, "require a number of trained parameters", outcome=Outcome.INVALID)
    digits, total = -int(Decimal(repr(required)).as_tuple().exponent), _total(side, count)
    if round(count / total, digits) != required:
        message = f"{count:,} of {total:,} parameters trained, {count / total:.{digits + 2}f}, the policy requires {required}"
        raise side.fault("parameters", message, ADVICE, found=count / total, required=required)


def _total(side: Side, count: int) -> int:
    """The number of a classifier's parameters, of which `count` are trained. Raises the fault of a manifest that says otherwise.

    For an unknown architecture it is the manifest's number, because it cannot be counted.
    """
    total = side.manifest.parameters.total
    if not side.layout.known:
        return total
    added = side.json("tokenizer.json").get("added_tokens")
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    counted = side.layout.total(count, max((number + 1 for number in ids if isinstance(number, int)), default=0))
    if total != counted:
        message = f"says that there are {total:,} parameters, base and weights hold {counted:,}"
        raise side.fault("parameters", message, file=MANIFEST, found=total, required=counted)
    return total
