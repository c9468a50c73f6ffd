"""Small bases of real architectures, built here: nothing is downloaded, and every run has the same weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import (
    AutoModel,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    GPT2Tokenizer,
    PreTrainedConfig,
    RobertaConfig,
    RobertaTokenizer,
)

from lorasent.data import read

LABELS = ("Negative", "Positive")

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SIZE, max_position_embeddings=64),
    "distilbert": DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64),
    "roberta": RobertaConfig(**SIZE, max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2),
    "deberta-v2": DebertaV2Config(**SIZE, max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64),
}

SPECIAL = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}


def make_base(path: Path, architecture: str) -> Path:
    """Writes a base of an architecture with fixed random weights and a tokenizer of its kind trained on the embedded corpus."""
    texts = read("embedded:validation", LABELS).texts
    if architecture in ("roberta", "gpt2"):
        tokenizer = _byte_level(path, texts, architecture)
    else:
        words = BertWordPieceTokenizer(lowercase=True)
        words.train_from_iterator(texts, vocab_size=600, show_progress=False)
        words.save_model(str(path))
        tokenizer = BertTokenizer(str(path / "vocab.txt"), model_max_length=64, **SPECIAL)
    config = CONFIGS[architecture].__class__.from_dict({**CONFIGS[architecture].to_dict(), "vocab_size": len(tokenizer)})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _byte_level(path: Path, texts: list[str], architecture: str) -> RobertaTokenizer | GPT2Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if architecture == "roberta" else ["<|endoftext|>"]
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(texts, vocab_size=600, special_tokens=special, show_progress=False)
    pairs.save_model(str(path))
    kind = RobertaTokenizer if architecture == "roberta" else GPT2Tokenizer
    return kind(str(path / "vocab.json"), str(path / "merges.txt"), model_max_length=64)


def make_hub_cache(home: Path, name: str, source: Path, revision: str) -> Path:
    """Lays a base out as the hub's client caches it under HF_HOME; the snapshot's directory."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            (snapshot / file.name).symlink_to(file.resolve())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    return snapshot


def make_patterned(path: Path, config: PreTrainedConfig, tokenizer: Path) -> Path:
    """Writes a base of full shape whose weights a formula gives, with another base's tokenizer."""
    path.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    weights = {}
    for position, (name, tensor) in enumerate(sorted(model.state_dict().items())):
        if name.endswith("position_ids"):
            continue
        steps = torch.arange(tensor.numel(), dtype=torch.float32)
        values = 0.05 * torch.sin(steps * (1 + position) * 0.618)
        weights[name] = (1 + values if "norm" in name.lower() and name.endswith("weight") else values).reshape(tensor.shape)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(path)
    for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (path / file).write_bytes((tokenizer / file).read_bytes())
    return path


def edit_tensors(path: Path, change) -> None:
    """Rewrites a safetensors file after `change` has edited its tensors (a dict) in place."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_json(path: Path, **changes) -> None:
    """Rewrites a JSON file with some keys changed."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=1, sort_keys=True) + "\n")


def tokenizer_of(path: Path) -> Tokenizer:
    """The bare tokenizer in a directory."""
    return Tokenizer.from_file(str(path / "tokenizer.json"))
