"""The answers to the manifest's probes, measured and judged. They are cached: only an adapter's first verdict imports torch."""

import hashlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lorasent.adapter.manifest import MANIFEST
from lorasent.errors import first_line
from lorasent.gate.integrity.comparison import EXPORT, Side
from lorasent.scoring.evidence import LiveSubject

if TYPE_CHECKING:
    from lorasent.adapter.directory import Adapter

FACTORS = (0.0, 0.5, 2.0, 0.25, 4.0)
"""Factors of LoRA's scaling that are tried: 0 without LoRA, the others for a wrong alpha or rank; rsLoRA's sqrt(r) is added."""

LEAST_EFFECT = 1e-6
"""Largest change of a logit that counts as none: rounding alone causes as much."""

MOST_LABELS = 200
"""Largest number of labels whose order is searched for: the comparison takes memory for each pair of labels."""


def prove(side: Side) -> dict[str, Any]:
    """The measurements. Raises the fault of answers that moved, depend on batch, chance or merging, or do not depend on LoRA."""
    assert isinstance(side.subject, LiveSubject)
    manifest = side.manifest
    # The subject's identity leaves out the manifest's probes.
    digest = hashlib.sha256(json.dumps([manifest.content["probes"], manifest.tokenizer_sha256]).encode()).hexdigest()
    facts: dict[str, Any] = side.subject.remember(f"proof, with the number of parameters {digest}", lambda: measure(side))
    tolerance = f"(tolerance {facts['tolerance']:g})"
    if not side.is_trained and facts["total"] != manifest.parameters.total:  # a recipe's is counted without the model
        message = f"says that there are {manifest.parameters.total:,} parameters, the model has {facts['total']:,}"
        raise side.fault("parameters", message, file=MANIFEST, found=manifest.parameters.total, required=facts["total"])
    if facts["tokenizer"] != manifest.tokenizer_sha256:
        hashes = f"fingerprint {facts['tokenizer'][:12]}…, not {manifest.tokenizer_sha256[:12]}…"
        raise side.fault("tokenizer", f"the tokenizer does not encode as it did when the adapter was trained: {hashes}")
    if facts["rebuilt"]:
        message = f"the tokenizer that transformers builds differs from tokenizer.json in {', '.join(facts['rebuilt'])}"
        raise side.fault("tokenizer-files", message, "make the files beside tokenizer.json agree with it: " + EXPORT)
    if not facts["drift"] <= facts["tolerance"]:
        cause, reason = facts["suspect"]
        message = f"logits of probe {facts['probe']} moved by {facts['drift']:.3g} from the manifest's {tolerance}: {reason}"
        raise side.fault(cause, message, drift=facts["drift"])
    if not facts["twice"] <= 0:
        message = f"two answers to the same probes differ by {facts['twice']:.3g}"
        raise side.fault("not-deterministic", message, "switch off dropout and whatever else is random", drift=facts["twice"])
    for key, way in (("batched", "in a batch"), ("merged", "with LoRA merged into the base")):
        if not facts[key] <= facts["tolerance"]:
            raise side.fault(f"not-{key}", f"answers differ by {facts[key]:.3g} {way} {tolerance}", drift=facts[key])
    if facts["lora"] is not None and not facts["lora"] > LEAST_EFFECT:
        message = f"without LoRA the answers move by {facts['lora']:.3g} only: nothing but the head is adapted"
        raise side.fault("adapter-inert", message, "train again: LoRA learned nothing, or was not saved", drift=facts["lora"])
    return facts


def measure(side: Side) -> dict[str, Any]:
    """The largest changes of a logit, and their explanation, as JSON. Raises Fault if the adapter cannot be loaded."""
    from lorasent.adapter import directory
    from lorasent.adapter.classifier import answer, count_parameters, forward, inference

    base = side.base
    texts, expected = side.manifest.probes.texts, np.array(side.manifest.probes.logits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns about a faulty directory; other checks report it
            # directory.load would refuse a faulty adapter
            loaded = directory.assemble(side.snapshot, base, side.manifest)
            encoder, model = loaded.encoder, loaded.model
            logits = answer(model, encoder, texts)
            drift = np.abs(logits - expected).max(axis=1)
            with inference(model):
                batch = forward(model, encoder.pad(encoder.encode(texts)))
            facts: dict[str, Any] = {
                "tolerance": directory.PROBE_TOLERANCE,
                "total": count_parameters(model).total,
                "tokenizer": encoder.fingerprint,
                "parts": encoder.parts,
                "rebuilt": encoder.changed_since(side.snapshot.folder / "tokenizer.json"),
                "drift": float(drift.max()),
                "probe": int(drift.argmax()),
                "twice": _largest(answer(model, encoder, texts) - logits),
                "batched": _largest(batch - logits),
                "lora": None if side.manifest.is_model else _largest(_scaled(loaded, texts, 0.0) - logits),
            }
            if not facts["drift"] <= directory.PROBE_TOLERANCE:
                facts["suspect"] = _suspect(side, loaded, logits, expected, facts["lora"])
            whole = loaded.model if side.manifest.is_model else loaded.model.merge_and_unload()
            facts["merged"] = _largest(answer(whole, encoder, texts) - logits)
    except Exception as error:  # noqa: BLE001 - any error of the libraries is the directory's fault
        raise side.fault("not-loaded", f"cannot be loaded: {first_line(error)}") from None
    return facts


def _largest(moves: Any) -> float:
    return float(np.abs(moves).max())


def _suspect(side: Side, loaded: "Adapter", logits: Any, expected: Any, effect: float | None) -> tuple[str, str]:
    """The cause of changed answers, and a sentence: the change that would restore the manifest's."""
    from lorasent.adapter.classifier import answer
    from lorasent.adapter.directory import PROBE_TOLERANCE
    from lorasent.adapter.encoding import Encoder

    texts, labels, encoding = side.manifest.probes.texts, side.manifest.labels, side.encoding

    def explains(changed: Any) -> bool:
        return _largest(changed - expected) <= 10 * PROBE_TOLERANCE

    if effect is not None and effect <= LEAST_EFFECT:
        return "adapter-inert", "LoRA changes nothing, the answers are those of the base and the head"
    if len(labels) <= MOST_LABELS:
        order = np.abs(logits[:, :, None] - expected[:, None, :]).max(axis=0).argmin(axis=0)  # of each label, the nearest output
        if len(set(order.tolist())) == len(labels) and explains(logits[:, order]):
            return "head-swapped", f"they are the manifest's with the head's outputs in the order {order.tolist()}"
    other = "right" if encoding.truncation_side == "left" else "left"
    encoder = Encoder(side.snapshot.folder, encoding.model_copy(update={"truncation_side": other}), side.name)
    if explains(answer(loaded.model, encoder, texts)):
        return "truncation-side", f"they are the manifest's with texts cut on the {other}"
    for factor in () if effect is None else (*FACTORS, side.config.r**0.5, side.config.r**-0.5):
        if explains(_scaled(loaded, texts, factor)):
            return "scaling", f"they are the manifest's with LoRA scaled by {factor:g}"
    return "answers", "weights, scaling or base are not those of training"


def _scaled(loaded: "Adapter", texts: list[str], factor: float) -> Any:
    """The answers with LoRA's scaling multiplied by a factor."""
    from peft.helpers import rescale_adapter_scale

    from lorasent.adapter.classifier import answer

    with rescale_adapter_scale(loaded.model, factor):
        return answer(loaded.model, loaded.encoder, texts)
