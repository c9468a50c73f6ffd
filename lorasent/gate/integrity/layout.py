"""Which tensors an adapter of a base must hold, with their shapes: told by the base checkpoint's header, without torch.

    h = W0 x + s B A x        W0: (out, in), A: (r, in), B: (out, r); DoRA's magnitudes: (out,)

A classifier is the checkpoint's backbone under a prefix ("bert.") and layers around it, which the checkpoint may lack: those
that it lacks are trained and saved whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

from lorasent.adapter.architectures import ARCHITECTURES, BUFFERS, WIDTH_KEYS, Architecture, Shapes, is_embedding, resolve_targets
from lorasent.adapter.untrusted import read_json
from lorasent.adapter.weights import PEFT_PREFIX, header
from lorasent.errors import AdapterError
from lorasent.text import shown

ALWAYS_SAVED = ("classifier", "score")
"""Modules that PEFT saves of every sequence classifier."""


FLOATS = ("F64", "F32", "F16", "BF16")


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

    def lora(self, modules: Iterable[str], rank: int, variants: Mapping[str, object] = MappingProxyType({})) -> Shapes:
        """The tensors that LoRA, or the variants that are on, adds to linear layers, by name in the classifier."""
        tensors: Shapes = {}
        for name in modules:
            into, out = self.linear[name]
            tensors |= {f"{name}.lora_A.weight": (rank, into), f"{name}.lora_B.weight": (out, rank)}
            if variants.get("use_dora"):
                tensors[f"{name}.lora_magnitude_vector"] = (out,)
        return tensors

    def implied(self, targets: Iterable[str]) -> set[str]:
        """The linear layers that a recipe means, see recipe.Lora.target_modules."""
        return {layer for layers in resolve_targets(self.linear, targets).values() for layer in layers}


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
    size = next((config[key] for key in WIDTH_KEYS if config.get(key)), 0)
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"{base / 'config.json'}: its width is {shown(size)}, expected a number")
    row = ARCHITECTURES.get(kind, Architecture())
    if known := bool(row.head):
        prefix, around = row.prefix, row.around(labels, size, config)
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
        if leaf == "weight" and len(shape) == 2 and inside and not is_embedding(module) and name not in new and name not in heads:
            layers[module] = (shape[0], shape[1]) if row.transposed else (shape[1], shape[0])
    words = next((shape for shape in brought.values() if len(shape) == 2 and shape[0] == config.get("vocab_size")), (0, 0))
    return Layout(layers, around, new, known, row.transposed, numbers, (words[0], words[1]))


def is_inside(tensor: str, modules: Iterable[str]) -> bool:
    """Whether a tensor belongs to one of the modules, as PEFT finds modules to save: by the end of their name."""
    parts, wanted = tensor.split("."), tuple(modules)
    return any(".".join(parts[:depth]).endswith(wanted) for depth in range(1, len(parts)))
