"""The table of architectures: what lorasent knows of each `model_type` of config.json, without torch or transformers.

An architecture without a row can be trained and judged, too. The trainer finds the head without these rows (see `classifier`), so
that each checks the other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by name."""


class HeadLayer(NamedTuple):
    """A layer around the backbone: a linear layer with (rows, width) weights, or a norm with (width,)."""

    name: str
    rows: Literal["labels", "width", "norm"] = "width"
    bias: bool | str = True
    """Whether it has a bias, or the key of config.json that says so."""


CLASSIFIER = HeadLayer("classifier", "labels")
ROBERTA_HEAD = (HeadLayer("classifier.dense"), HeadLayer("classifier.out_proj", "labels"))
DEBERTA_HEAD = (HeadLayer("pooler.dense"), CLASSIFIER)
DECODER_HEAD = (HeadLayer("score", "labels", bias=False),)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of one `model_type`."""

    prefix: str = ""
    """The backbone's name in a classifier: its tensors begin with it and a dot."""
    head: tuple[HeadLayer, ...] = ()
    """The layers around the backbone. None where only the first position is known."""
    query: str = ""
    """The layer that "query" in a recipe means: the query projection, alone or fused with key and value; "" where there is none."""
    reads: Literal["first", "last", "configured"] = "first"
    """The token that the head reads, or that config.json decides (ModernBERT: the first, or the mean of all)."""
    after_pad_token: bool = False
    """Whether the first position is the pad token's id + 1, instead of 0."""
    transposed: bool = False
    """Whether the weights of linear layers are stored as (in, out), as transformers' Conv1D does."""
    blocks: Literal["bert", "distilbert", ""] = ""
    """The form of its blocks that `unpadded.parts` can take apart; "" where it cannot."""

    def around(self, labels: int, width: int, config: Mapping[str, Any]) -> Shapes:
        """The tensors around the backbone, for a number of labels and a width of the backbone."""
        shapes: Shapes = {}
        for name, kind, bias in self.head:
            rows = (labels if kind == "labels" else width,)
            shapes[f"{name}.weight"] = rows if kind == "norm" else (*rows, width)
            if config.get(bias) if isinstance(bias, str) else bias:
                shapes[f"{name}.bias"] = rows
        return shapes


ROBERTA = Architecture(prefix="roberta", head=ROBERTA_HEAD, query="query", after_pad_token=True, blocks="bert")
LLAMA = Architecture(prefix="model", head=DECODER_HEAD, query="q_proj", reads="last")
POSITIONS_LIKE_ROBERTAS = (
    "roberta-prelayernorm", "xlm-roberta-xl", "data2vec-text", "lilt", "longformer", "luke", "markuplm", "xmod",
)  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(prefix="bert", head=(HeadLayer("bert.pooler.dense"), CLASSIFIER), query="query", blocks="bert"),
    "albert": Architecture(prefix="albert", head=(HeadLayer("albert.pooler"), CLASSIFIER), query="query"),
    "distilbert": Architecture(
        prefix="distilbert", head=(HeadLayer("pre_classifier"), CLASSIFIER), query="q_lin", blocks="distilbert"
    ),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": replace(ROBERTA, blocks=""),
    "electra": Architecture(prefix="electra", head=ROBERTA_HEAD, query="query", blocks="bert"),
    "mpnet": Architecture(prefix="mpnet", head=ROBERTA_HEAD, after_pad_token=True),
    "deberta": Architecture(prefix="deberta", head=DEBERTA_HEAD),
    "deberta-v2": Architecture(prefix="deberta", head=DEBERTA_HEAD, query="query_proj"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma"), LLAMA),
    "modernbert": Architecture(
        prefix="model",
        head=(HeadLayer("head.dense", bias="classifier_bias"), HeadLayer("head.norm", "norm", bias="norm_bias"), CLASSIFIER),
        query="Wqkv",
        reads="configured",
    ),
    "gpt2": Architecture(prefix="transformer", head=DECODER_HEAD, query="c_attn", reads="last", transposed=True),
    **dict.fromkeys(POSITIONS_LIKE_ROBERTAS, Architecture(after_pad_token=True)),
}
"""By the `model_type` of config.json."""

QUERY_NAMES = tuple(dict.fromkeys(row.query for row in ARCHITECTURES.values() if row.query))
"""What architectures call the query projection. An architecture without a row is searched for these names, in this order."""

WIDTH_KEYS = ("hidden_size", "dim", "n_embd")
"""Keys of config.json that hold the width of the backbone. The first key with a value other than 0 is used."""

BUFFERS = (".attn.bias", ".masked_bias", ".inv_freq")
"""Suffixes of the names of tensors in checkpoints that are buffers: GPT-2's masks, rotary frequencies."""

EMBEDDINGS = ("wte", "wpe", "embed_tokens", "relative_attention_bias")
"""Names of embedding modules, beside those that end with "embeddings"."""


def is_embedding(module: str) -> bool:
    """Whether a module of this name is a table of embeddings."""
    return module.endswith("embeddings") or module.rpartition(".")[2] in EMBEDDINGS


def resolve_targets(layers: Iterable[str], wanted: Iterable[str], *, aliases: bool = True) -> dict[str, list[str]]:
    """The layers that each wanted name selects; `layers` are the full names of linear layers.

    As in PEFT's target_modules, a name selects the layer of that name, and every layer whose name ends with a dot and that name.
    With `aliases`, as in a recipe, "all-linear" selects every layer and "query" the query projection, whatever its name.
    """
    layers = list(layers)
    leaves = {layer.rpartition(".")[2] for layer in layers}
    query = next((name for name in QUERY_NAMES if aliases and name in leaves), "query")
    selection: dict[str, list[str]] = {}
    for name in wanted:
        leaf = query if name == "query" else name
        is_all = aliases and name == "all-linear"
        selection[name] = [layer for layer in layers if is_all or f".{layer}".endswith(f".{leaf}")]
    return selection
