"""The tensors that an adapter of a base must hold, with their shapes, as the base checkpoint's header implies them. No torch.

    h = W0 x + s B A x        W0: (out, in), A: (r, in), B: (out, r); DoRA's magnitudes: (out,)

A classifier is the checkpoint's backbone under a prefix ("bert.") and layers around it, which are trained and saved whole where the
checkpoint lacks them. This checks the trainer independently: the trainer builds the model and inspects its modules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from lorasent.adapter.architectures import ARCHITECTURES, BUFFERS, WIDTH_KEYS, Architecture, Shapes, is_embedding, resolve_targets
from lorasent.adapter.untrusted import read_json
from lorasent.adapter.weights import PEFT_PREFIX, checkpoint
from lorasent.errors import AdapterError
from lorasent.text import shown

ALWAYS_SAVED = ("classifier", "score")
"""Modules that PEFT saves of every sequence classifier."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of parameters in a safetensors header."""


@dataclass(frozen=True)
class Layout:
    """A classifier, as its base implies it."""

    linear: Mapping[str, tuple[int, int]]
    """The base's linear layers by name, (in, out) each."""
    around: Shapes
    """The tensors around the backbone."""
    new: frozenset[str]
    """The tensors around the backbone that the checkpoint lacks."""
    known: bool
    """Whether the architecture has a row. Without one, the tensors around the backbone are those that the adapter itself holds."""
    transposed: bool
    backbone: int = 0
    """Number of the backbone's parameters, buffers not counted."""
    embedding: tuple[int, int] = (0, 0)
    """Shape of the word embeddings, (V, width)."""

    def unsaved(self, modules_to_save: Iterable[str]) -> list[str]:
        """The new tensors that PEFT would leave at random if it saved these modules."""
        return sorted(name for name in self.new if not is_inside(name, [*modules_to_save, *ALWAYS_SAVED]))

    def saved(self, modules_to_save: Iterable[str]) -> Shapes:
        """The tensors that are saved whole, by name in the classifier."""
        wanted = [*modules_to_save, *ALWAYS_SAVED]
        return {name: shape for name, shape in self.around.items() if name in self.new or is_inside(name, wanted)}

    def total(self, adapter: int, vocabulary: int) -> int:
        """The number of parameters, of which the adapter has `adapter`. PEFT keeps a frozen copy of what it saves whole."""
        # Each word of the vocabulary beyond the embeddings, as GPT-2's pad token, adds a row to them.
        rows, width = self.embedding
        return self.backbone + sum(map(prod, self.around.values())) + adapter + max(vocabulary - rows, 0) * width

    def lora(self, modules: Iterable[str], rank: int, variants: Mapping[str, object]) -> Shapes:
        """The tensors that LoRA, or the variants that are on, adds to linear layers, by name in the classifier."""
        tensors: Shapes = {}
        for name in modules:
            into, out = self.linear[name]
            tensors |= {f"{name}.lora_A.weight": (rank, into), f"{name}.lora_B.weight": (out, rank)}
            if variants.get("use_dora"):
                tensors[f"{name}.lora_magnitude_vector"] = (out,)
        return tensors

    def implied(self, targets: Iterable[str]) -> set[str]:
        """The linear layers that a recipe's target_modules select."""
        return {layer for layers in resolve_targets(self.linear, targets).values() for layer in layers}


def layout(base: Path, labels: int, adapter: Mapping[str, tuple[int, ...]]) -> Layout:
    """The layout of a base's classifier. Raises AdapterError, OSError or ValueError if the base cannot be read.

    `adapter` holds the tensors of one of its adapters: all that is known of an architecture without a row.
    """
    config, header = read_json(base / "config.json"), checkpoint(base)
    width = next((config[key] for key in WIDTH_KEYS if config.get(key)), 0)
    if not isinstance(width, int) or width < 0:
        raise AdapterError(f"{base / 'config.json'}: its width is {shown(width)}, expected a number")
    row = ARCHITECTURES.get(str(config.get("model_type")), Architecture())
    if known := bool(row.head):
        prefix, around = row.prefix, row.around(labels, width, config)
    else:
        lora = [name.removeprefix(PEFT_PREFIX) for name in adapter if ".lora_" in name]
        prefix = lora[0].partition(".")[0] if lora else ""
        around = {name.removeprefix(PEFT_PREFIX): shape for name, shape in adapter.items() if ".lora_" not in name}
    whole = any(name.startswith(f"{prefix}.") for name in header)  # saved with a head, or as a backbone alone
    names = {name: name if whole or name in around else f"{prefix}.{name}" for name in header}
    tensors = {names[name]: shape for name, (shape, _) in header.items()}
    buffers = {names[name] for name, (shape, kind) in header.items() if _is_buffer(name, shape, kind)}
    new = frozenset(name for name, shape in around.items() if tensors.get(name) != shape)
    heads = {name for name in around if is_inside(name, ALWAYS_SAVED)}
    # A pooler that is not among the tensors around a known backbone is in the checkpoint, but not in the classifier.
    pooler = f"{prefix}.pooler." if known else "\0"
    backbone = {name for name in tensors if name not in around and name.startswith(f"{prefix}.") and not name.startswith(pooler)}
    frozen = backbone | (around.keys() - new - heads)
    linear = {}
    for name, shape in tensors.items():
        module, _, leaf = name.rpartition(".")
        if name in frozen and leaf == "weight" and len(shape) == 2 and not is_embedding(module):
            linear[module] = (shape[0], shape[1]) if row.transposed else (shape[1], shape[0])
    count = sum(prod(tensors[name]) for name in backbone - buffers)
    words = next((shape for shape in tensors.values() if len(shape) == 2 and shape[0] == config.get("vocab_size")), (0, 0))
    return Layout(linear, around, new, known, row.transposed, count, (words[0], words[1]))


def _is_buffer(name: str, shape: tuple[int, ...], kind: str) -> bool:
    return kind not in FLOATS or not 0 < len(shape) < 4 or name.endswith(BUFFERS)


def is_inside(tensor: str, modules: Iterable[str]) -> bool:
    """Whether a tensor belongs to one of the modules, as PEFT finds modules to save: by the end of their name."""
    parts, wanted = tensor.split("."), tuple(modules)
    return any(".".join(parts[:depth]).endswith(wanted) for depth in range(1, len(parts)))
