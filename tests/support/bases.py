"""Small bases of real architectures. Nothing is downloaded, and every run has the same weights."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import (
    AlbertConfig,
    AlbertTokenizer,
    AutoModel,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    GPT2Tokenizer,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    RobertaTokenizer,
)

from lorasent.data.reviews import read

LABELS = ("Negative", "Positive")

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

DEBERTA_V3: dict[str, Any] = {
    "type_vocab_size": 0,
    "relative_attention": True,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
}
"""Settings that turn DeBERTa-v2's classes into DeBERTa-v3: relative positions in normalised buckets, no absolute ones."""

CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SIZE, max_position_embeddings=64),
    "distilbert": DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64),
    "roberta": RobertaConfig(**SIZE, max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2),
    "electra": ElectraConfig(**SIZE, embedding_size=16, max_position_embeddings=64),
    "albert": AlbertConfig(**SIZE, embedding_size=16, max_position_embeddings=64),
    "deberta-v2": DebertaV2Config(**SIZE, **DEBERTA_V3, max_position_embeddings=64, position_buckets=16),
    "modernbert": ModernBertConfig(
        **SIZE,
        max_position_embeddings=64,
        local_attention=8,  # global in the first layer, four tokens to either side in the second
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
    ),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64),
}


def quick(*names: str) -> list[Any]:
    """Returns every architecture as parameters of a test; those not named are slow."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]


SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
"""Special tokens in the order of their ids."""


def make_base(path: Path, architecture: str) -> Path:
    """Writes a base of an architecture with fixed random weights and a tokenizer of its kind trained on the embedded corpus."""
    texts = read("embedded:validation", LABELS).texts
    if architecture in ("roberta", "gpt2"):
        tokenizer = _byte_level(path, texts, architecture)
    elif architecture in ("albert", "deberta-v2"):
        tokenizer = _unigram(texts, architecture)
    else:
        tokenizer = _word_piece(path, texts)
    config = CONFIGS[architecture].__class__.from_dict({**CONFIGS[architecture].to_dict(), "vocab_size": len(tokenizer)})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def write_small_recipe(folder: Path, base: Path) -> Path:
    """Writes the recipe of the suite's small trainings: 24 embedded reviews, three epochs, with dropout."""
    path = folder / "small.toml"
    path.write_text(f"""
[base]
model = "{base}"
labels = ["Negative", "Positive"]
[data]
train = "embedded:train"
validation = "embedded:validation"
sample = 24
[encoding]
max_length = 64
[lora]
r = 2
alpha = 4
dropout = 0.1
target_modules = ["all-linear"]
[training]
epochs = 3
batch_size = 4
learning_rate = 1e-2
""")
    return path


def _word_piece(path: Path, texts: list[str]) -> BertTokenizer:
    """Returns a WordPiece tokenizer. Its trainer finds the same pieces each time but numbers them at random, so they are sorted."""
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(texts, vocab_size=600, show_progress=False)
    special = list(SPECIAL.values())
    vocabulary = [*special, *sorted(pieces.get_vocab().keys() - set(special))]
    (path / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    return BertTokenizer({piece: position for position, piece in enumerate(vocabulary)}, model_max_length=64, **SPECIAL)


def _byte_level(path: Path, texts: list[str], architecture: str) -> RobertaTokenizer | GPT2Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if architecture == "roberta" else ["<|endoftext|>"]
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(texts, vocab_size=600, special_tokens=special, show_progress=False)
    pairs.save_model(str(path))
    kind = RobertaTokenizer if architecture == "roberta" else GPT2Tokenizer
    return kind(str(path / "vocab.json"), str(path / "merges.txt"), model_max_length=64)


def _unigram(texts: list[str], architecture: str) -> AlbertTokenizer | DebertaV2Tokenizer:
    """Returns a tokenizer that SentencePiece trained, because the Unigram trainer of `tokenizers` is not deterministic."""
    names = {"pad_piece": "[PAD]", "unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=trained,
        vocab_size=600,
        user_defined_symbols=["[MASK]"],
        **names,
        **{name.replace("piece", "id"): position for position, name in enumerate(names)},
        num_threads=1,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    vocabulary = [(pieces.id_to_piece(position), pieces.get_score(position)) for position in range(len(pieces))]
    kind = AlbertTokenizer if architecture == "albert" else DebertaV2Tokenizer
    return kind(vocabulary, model_max_length=64, **SPECIAL)


def make_hub_cache(home: Path, name: str, source: Path, revision: str) -> Path:
    """Writes a base as the hub's client caches it under HF_HOME; returns the snapshot's directory."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            (snapshot / file.name).symlink_to(file.resolve())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    return snapshot


def edit_tensors(path: Path, change) -> None:
    """Rewrites a safetensors file after `change` has edited its tensors (a dict) in place."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_json(path: Path, **changes) -> None:
    """Rewrites a JSON file with some keys changed."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=1, sort_keys=True) + "\n")


def tokenizer_of(path: Path) -> Tokenizer:
    """Returns the tokenizer of a directory, as `tokenizers` loads it."""
    return Tokenizer.from_file(str(path / "tokenizer.json"))


def linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a linear layer's tensors by name."""
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
