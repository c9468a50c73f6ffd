"""The adapter in memory, asked the manifest's probes: alone, in a batch, twice, merged, and without LoRA.

What is measured is remembered with the subject: only the first verdict on an adapter imports torch.
"""

import hashlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lorasent.gate.integrity.side import EXPORT, Side
from lorasent.scoring.evidence import LiveSubject

if TYPE_CHECKING:
    from lorasent.adapter.directory import Adapter

FACTORS = (0.0, 0.5, 2.0, 0.25, 4.0)
"""LoRA left out, or scaled by what a mistaken alpha or rank makes of it; and by sqrt(r), as rsLoRA does."""

LEAST_EFFECT = 1e-6
"""A logit that LoRA moves by no more is not moved: rounding alone moves it so far."""

MOST_LABELS = 5
"""Up to so many labels, every order of them is tried."""


def prove(side: Side) -> dict[str, Any]:
    """Raises the fault of an adapter that does not answer as its manifest says, or not in the same way whatever the way.

    Returns what `measure` says of it.
    """
    assert isinstance(side.subject, LiveSubject)
    manifest = side.manifest
    digest = hashlib.sha256(json.dumps([manifest.content["probes"], manifest.tokenizer_sha256]).encode()).hexdigest()
    # The identity leaves out what the probes said.
    facts: dict[str, Any] = side.subject.remember(f"proof, tokenizer's parts {digest}", lambda: measure(side))
    tolerance, where = facts["tolerance"], f"{side.name}: "
    if facts["tokenizer"] != manifest.tokenizer_sha256:
        message = f"{where}the tokenizer encodes otherwise than when the adapter was trained"
        raise side.fault(
            "tokenizer", f"{message}: fingerprint {facts['tokenizer'][:12]}…, not {manifest.tokenizer_sha256[:12]}…", EXPORT
        )
    if facts["rebuilt"]:
        message = (
            f"{where}transformers builds a tokenizer that is not tokenizer.json's, it differs in {', '.join(facts['rebuilt'])}"
        )
        raise side.fault("tokenizer-files", message, "make the files beside tokenizer.json agree with it: " + EXPORT)
    if not facts["drift"] <= tolerance:
        cause, why = facts["suspect"]
        message = (
            f"{where}logits of probe {facts['probe']} moved by {facts['drift']:.3g} from the manifest's, allowed are {tolerance:g}"
        )
        raise side.fault(cause, f"{message}: {why}", EXPORT, drift=facts["drift"])
    if not facts["twice"] <= 0:
        message = f"{where}two answers to the same probes differ by {facts['twice']:.3g}"
        raise side.fault("not-deterministic", message, "switch dropout off, and every other chance", drift=facts["twice"])
    for key, how in (("batched", "in a batch"), ("merged", "with LoRA merged into the base")):
        if not facts[key] <= tolerance:
            message = f"{where}answers differ by {facts[key]:.3g} {how}, allowed are {tolerance:g}"
            raise side.fault(f"not-{key}", message, EXPORT, drift=facts[key])
    if not facts["lora"] > LEAST_EFFECT:
        message = (
            f"{where}without LoRA the answers move by {facts['lora']:.3g}, required is a move: nothing but the head is adapted"
        )
        raise side.fault("adapter-inert", message, "train again: LoRA learned nothing, or was not saved", drift=facts["lora"])
    return facts


def measure(side: Side) -> dict[str, Any]:
    """The largest moves of a logit, as numbers that JSON holds. Raises Fault if the adapter cannot be loaded."""
    from lorasent.adapter import directory
    from lorasent.adapter.classifier import answer, forward, inference

    base, recipe = side.base, side.recipe
    texts, expected = side.manifest.probes.texts, np.array(side.manifest.probes.logits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PEFT wonders about in a faulty directory, the checks have said
            # load() refuses what is to be measured here
            loaded = directory.assemble(side.snapshot, base, recipe.base, recipe.encoding)
            encoder, model = loaded.encoder, loaded.model
            found = answer(model, encoder, texts)
            drift = np.abs(found - expected).max(axis=1)
            with inference(model):
                batch = forward(model, encoder.pad(encoder.encode(texts)))
            facts: dict[str, Any] = {
                "tolerance": directory.PROBE_TOLERANCE,
                "tokenizer": encoder.fingerprint,
                "parts": encoder.parts,
                "rebuilt": encoder.changed_since(side.snapshot.folder / "tokenizer.json"),
                "drift": float(drift.max()),
                "probe": int(drift.argmax()),
                "twice": _largest(answer(model, encoder, texts) - found),
                "batched": _largest(batch - found),
                "lora": _largest(_scaled(loaded, texts, 0.0) - found),
            }
            if not facts["drift"] <= directory.PROBE_TOLERANCE:
                inert = facts["lora"] <= LEAST_EFFECT
                why = "LoRA changes nothing, the answers are those of the base and the head"
                facts["suspect"] = ("adapter-inert", why) if inert else _suspect(side, loaded, found, expected)
            facts["merged"] = _largest(answer(loaded.merge(), encoder, texts) - found)
    except Exception as error:  # noqa: BLE001 - whatever the directory makes the libraries raise is the directory's fault
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise side.fault("not-loaded", f"{side.name}: cannot be loaded: {reason}", EXPORT) from None
    return facts


def _largest(moves: Any) -> float:
    return float(np.abs(moves).max())


def _suspect(side: Side, loaded: "Adapter", found: Any, expected: Any) -> tuple[str, str]:
    """What would make the manifest's answers come out again: the fault's name, and a sentence."""
    from itertools import permutations

    from lorasent.adapter.classifier import answer
    from lorasent.adapter.directory import PROBE_TOLERANCE
    from lorasent.adapter.encoding import Encoder

    texts, labels, recipe = side.manifest.probes.texts, side.manifest.labels, side.recipe

    def explains(logits: Any) -> bool:
        return _largest(logits - expected) <= 10 * PROBE_TOLERANCE

    for order in permutations(range(len(labels))) if len(labels) <= MOST_LABELS else ():
        if explains(found[:, order]):
            return "head-swapped", f"they come out with the head's outputs in the order {list(order)}"
    other = "right" if recipe.encoding.truncation_side == "left" else "left"
    encoder = Encoder(side.snapshot.folder, recipe.encoding.model_copy(update={"truncation_side": other}), side.name)
    if explains(answer(loaded.model, encoder, texts)):
        return "truncation-side", f"they come out with texts cut on the {other}"
    for factor in (*FACTORS, side.config.r**0.5, side.config.r**-0.5):
        if explains(_scaled(loaded, texts, factor)):
            return "scaling", f"they come out with LoRA scaled by {factor:g}"
    return "answers", "weights, scaling or base are not those that were trained"


def _scaled(loaded: "Adapter", texts: list[str], factor: float) -> Any:
    """The answers with LoRA's share multiplied."""
    from peft.tuners.lora import LoraLayer

    from lorasent.adapter.classifier import answer

    layers = [module for module in loaded.model.modules() if isinstance(module, LoraLayer)]
    kept = [dict(layer.scaling) for layer in layers]
    try:
        for layer in layers:
            layer.scaling.update({name: scale * factor for name, scale in layer.scaling.items()})
        return answer(loaded.model, loaded.encoder, texts)
    finally:
        for layer, scaling in zip(layers, kept, strict=True):
            layer.scaling.update(scaling)
