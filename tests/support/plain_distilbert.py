"""DistilBERT with LoRA on its query projections, a second time: plain NumPy in float64, one text at a time, nothing shared with
transformers, PEFT or lorasent but the numbers on disk.

    h = W x + b + (alpha / r) B (A x)        Sanh et al. 2019 (six post-norm encoder layers), Hu et al. 2021 (LoRA)
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer


class PlainDistilBert:
    """The model of a base's directory and an adapter's."""

    def __init__(self, base: Path, adapter: Path) -> None:
        self.config = json.loads((base / "config.json").read_text())
        self.lora = json.loads((adapter / "adapter_config.json").read_text())
        self.weights = {name: tensor.astype(np.float64) for name, tensor in load_file(base / "model.safetensors").items()}
        trained = load_file(adapter / "adapter_model.safetensors")
        self.trained = {name.removeprefix("base_model.model."): tensor.astype(np.float64) for name, tensor in trained.items()}
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def ids(self, text: str, max_length: int) -> list[int]:
        """[CLS], the last tokens that fit, [SEP]."""
        first, *body, last = self.tokenizer.encode(text).ids
        return [first, *body[max(0, len(body) - (max_length - 2)) :], last]

    def logits(self, text: str, max_length: int) -> np.ndarray:
        """The logits (L,) of one text."""
        ids = self.ids(text, max_length)
        hidden = self.weights["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        hidden = self.norm("embeddings.LayerNorm", hidden)
        for layer in range(self.config["n_layers"]):
            name = f"transformer.layer.{layer}"
            hidden = self.norm(f"{name}.sa_layer_norm", hidden + self.attention(f"{name}.attention", hidden))
            wide = self.linear(f"{name}.ffn.lin1", hidden)
            wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
            hidden = self.norm(f"{name}.output_layer_norm", hidden + self.linear(f"{name}.ffn.lin2", wide))
        pooled = np.maximum(self.head("pre_classifier", hidden[0]), 0)
        return self.head("classifier", pooled)

    def attention(self, name: str, hidden: np.ndarray) -> np.ndarray:
        """Every token looks at every token: softmax(q k / sqrt(d)) v, by head."""
        heads, size = self.config["n_heads"], self.config["dim"] // self.config["n_heads"]
        query, key, value = (self.linear(f"{name}.{part}_lin", hidden) for part in "qkv")
        parts = []
        for head in range(heads):
            columns = slice(head * size, (head + 1) * size)
            scores = query[:, columns] @ key[:, columns].T / np.sqrt(size)
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            parts.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, columns])
        return self.linear(f"{name}.out_lin", np.concatenate(parts, axis=1))

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """W x + b, and beside it LoRA's (alpha / r) B A x where the layer has it."""
        out = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        lora_a = self.trained.get(f"distilbert.{name}.lora_A.weight")
        if lora_a is None:
            return out
        lora_b = self.trained[f"distilbert.{name}.lora_B.weight"]
        return out + self.lora["lora_alpha"] / self.lora["r"] * (x @ lora_a.T @ lora_b.T)

    def head(self, name: str, x: np.ndarray) -> np.ndarray:
        """A linear layer of the head, which the adapter brings."""
        return x @ self.trained[f"{name}.weight"].T + self.trained[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        """Layer normalisation over the last axis, epsilon 1e-12."""
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
