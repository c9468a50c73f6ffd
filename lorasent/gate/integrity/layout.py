"""Which tensors an adapter of a base must hold, with their shapes: told by the base checkpoint's header, without torch.

    h = W0 x + s B A x        W0: (out, in), A: (r, in), B: (out, r); DoRA's magnitudes: (out,)

A classifier is the checkpoint's backbone under a prefix ("bert.") and layers around it, which the checkpoint may lack: those
that it lacks are trained and saved whole.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lorasent.adapter.snapshot import read_json
from lorasent.adapter.weights import header
from lorasent.errors import AdapterError
from lorasent.text import shown

Shapes = dict[str, tuple[int, ...]]

PEFT_PREFIX = "base_model.model."

QUERY_NAMES = ("query", "q_lin", "query_proj", "q_proj", "Wqkv", "c_attn")
"""classifier.QUERY_NAMES, which cannot be imported without torch; a test holds the two equal."""

ALWAYS_SAVED = ("classifier", "score")
"""Modules that PEFT saves of every sequence classifier."""


def linear(name: str, out: int, into: int) -> Shapes:
    """The tensors of a linear layer."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _bert(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return linear("bert.pooler.dense", size, size) | linear("classifier", labels, size)


def _albert(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return linear("albert.pooler", size, size) | linear("classifier", labels, size)


def _distilbert(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return linear("pre_classifier", size, size) | linear("classifier", labels, size)


def _roberta(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return linear("classifier.dense", size, size) | linear("classifier.out_proj", labels, size)


def _deberta(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return linear("pooler.dense", size, size) | linear("classifier", labels, size)


def _modernbert(labels: int, size: int, config: Mapping[str, Any]) -> Shapes:
    tensors = {"head.dense.weight": (size, size), "head.norm.weight": (size,)} | linear("classifier", labels, size)
    biases = {"head.dense.bias": "classifier_bias", "head.norm.bias": "norm_bias"}
    return tensors | {name: (size,) for name, key in biases.items() if config.get(key)}


def _decoder(labels: int, size: int, _: Mapping[str, Any]) -> Shapes:
    return {"score.weight": (labels, size)}


ARCHITECTURES: Mapping[str, tuple[str, Callable[[int, int, Mapping[str, Any]], Shapes]]] = {
    "bert": ("bert", _bert),
    "albert": ("albert", _albert),
    "distilbert": ("distilbert", _distilbert),
    "roberta": ("roberta", _roberta),
    "xlm-roberta": ("roberta", _roberta),
    "camembert": ("roberta", _roberta),
    "electra": ("electra", _roberta),
    "mpnet": ("mpnet", _roberta),
    "deberta": ("deberta", _deberta),
    "deberta-v2": ("deberta", _deberta),
    "modernbert": ("model", _modernbert),
    "gpt2": ("transformer", _decoder),
    "llama": ("model", _decoder),
    "mistral": ("model", _decoder),
    "qwen2": ("model", _decoder),
    "qwen3": ("model", _decoder),
}
"""By the `model_type` of config.json: the backbone's prefix, and the tensors around it for so many labels and so wide a base."""

TRANSPOSED = ("gpt2",)
"""Their linear layers (Conv1D) are stored as (in, out)."""

FLOATS = ("F64", "F32", "F16", "BF16")

BUFFERS = (".attn.bias", ".masked_bias", ".inv_freq")
"""Ends of tensors that some checkpoints hold, and that are no parameters: GPT-2's masks, rotary frequencies."""

EMBEDDINGS = ("wte", "wpe", "embed_tokens", "relative_attention_bias")
"""Matrices that are no linear layers, beside those whose name ends with "embeddings"."""


@dataclass(frozen=True)
class Layout:
    """A classifier: `linear` layers of the base by name, (in, out) each, and the tensors `around` the backbone.

    `new` are those around it that the checkpoint lacks. Of an architecture that is not `known`, the tensors around the
    backbone are those that the adapter itself holds.
    """

    linear: Mapping[str, tuple[int, int]]
    around: Shapes
    new: frozenset[str]
    known: bool
    transposed: bool
    backbone: int = 0
    """Numbers of the base that the classifier takes, those around it aside: every one that may be trained, buffers aside."""
    embedding: tuple[int, int] = (0, 0)
    """Shape of the word embeddings, (V, width)."""

    def unsaved(self, modules_to_save: Iterable[str]) -> list[str]:
        """New tensors that PEFT would leave at random, were these the modules to save."""
        return sorted(name for name in self.new if not is_inside(name, [*modules_to_save, *ALWAYS_SAVED]))

    def saved(self, modules_to_save: Iterable[str]) -> Shapes:
        """The tensors that are saved whole, by name in the classifier."""
        wanted = [*modules_to_save, *ALWAYS_SAVED]
        return {name: shape for name, shape in self.around.items() if name in self.new or is_inside(name, wanted)}

    def total(self, adapter: int, vocabulary: int = 0) -> int:
        """All numbers of a classifier whose adapter holds so many: PEFT keeps a frozen copy of what is saved whole.

        Words beyond the embeddings have rows of their own, as the pad token of GPT-2.
        """
        rows, width = self.embedding
        return self.backbone + sum(map(prod, self.around.values())) + adapter + max(vocabulary - rows, 0) * width

    def lora(self, modules: Iterable[str], rank: int, *, dora: bool = False) -> Shapes:
        """The LoRA matrices beside some linear layers, and DoRA's magnitudes, by name in the classifier."""
        tensors: Shapes = {}
        for name in modules:
            into, out = self.linear[name]
            tensors |= {f"{name}.lora_A.weight": (rank, into), f"{name}.lora_B.weight": (out, rank)}
            if dora:
                tensors[f"{name}.lora_magnitude_vector"] = (out,)
        return tensors

    def named(self, target: str) -> list[str]:
        """The linear layers that PEFT means by a name: the whole of theirs, or its end."""
        return [name for name in self.linear if name == target or name.endswith(f".{target}")]

    def implied(self, targets: Iterable[str]) -> set[str]:
        """The linear layers that a recipe means, see recipe.Lora.target_modules."""
        leaves, chosen = {name.rpartition(".")[2] for name in self.linear}, set[str]()
        for target in targets:
            if target == "all-linear":
                chosen.update(self.linear)
            else:
                query = next((name for name in QUERY_NAMES if name in leaves), target)
                chosen.update(self.named(query if target == "query" else target))
        return chosen


def layout(base: Path, labels: int, adapter: Mapping[str, tuple[int, ...]]) -> Layout:
    """The layout of a base's classifier. Raises OSError or ValueError if the base cannot be read.

    `adapter` holds the tensors of one of its adapters, for what cannot be known of an architecture otherwise.
    """
    try:
        config = read_json(base / "config.json")
    except AdapterError as error:
        raise ValueError(str(error)) from None
    checkpoint: Shapes = {}
    buffers: set[str] = set()
    for file in sorted(base.glob("model*.safetensors")):
        for name, (shape, kind) in header(file).items():
            checkpoint[name] = shape
            if kind not in FLOATS or not 0 < len(shape) < 4 or name.endswith(BUFFERS):
                buffers.add(name)
    kind = str(config.get("model_type"))
    size = next((config[key] for key in ("hidden_size", "dim", "n_embd") if config.get(key)), 0)
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"{base / 'config.json'}: its width is {shown(size)}, expected a number")
    if known := kind in ARCHITECTURES:
        prefix, make = ARCHITECTURES[kind]
        around = make(labels, size, config)
    else:
        lora = [name.removeprefix(PEFT_PREFIX) for name in adapter if ".lora_" in name]
        prefix = lora[0].partition(".")[0] if lora else ""
        around = {name.removeprefix(PEFT_PREFIX): shape for name, shape in adapter.items() if ".lora_" not in name}
    whole = any(name.startswith(f"{prefix}.") for name in checkpoint)  # saved with a head, or as a backbone alone
    names = {name: name if whole or name in around else f"{prefix}.{name}" for name in checkpoint}
    brought = {names[name]: shape for name, shape in checkpoint.items()}
    new = frozenset(name for name, shape in around.items() if brought.get(name) != shape)
    heads = tuple(name for name in around if is_inside(name, ALWAYS_SAVED))
    layers, numbers = {}, 0
    for name, shape in brought.items():
        module, _, leaf = name.rpartition(".")
        # A pooler that is not among the tensors around a known backbone is in the checkpoint, but not in the classifier.
        pooler = known and name.startswith(f"{prefix}.pooler.")
        backbone = name not in around and name.startswith(f"{prefix}.") and not pooler
        numbers += prod(shape) if backbone and name not in {names[one] for one in buffers} else 0
        inside = name in around or backbone
        if leaf == "weight" and len(shape) == 2 and inside and not _embeds(module) and name not in new and name not in heads:
            layers[module] = (shape[0], shape[1]) if kind in TRANSPOSED else (shape[1], shape[0])
    words = next((shape for shape in brought.values() if len(shape) == 2 and shape[0] == config.get("vocab_size")), (0, 0))
    return Layout(layers, around, new, known, kind in TRANSPOSED, numbers, (words[0], words[1]))


def is_inside(tensor: str, modules: Iterable[str]) -> bool:
    """Whether a tensor belongs to one of the modules, as PEFT finds modules to save: by the end of their name."""
    parts, wanted = tensor.split("."), tuple(modules)
    return any(".".join(parts[:depth]).endswith(wanted) for depth in range(1, len(parts)))


def _embeds(module: str) -> bool:
    return module.endswith("embeddings") or module.rpartition(".")[2] in EMBEDDINGS
