"""Small bases of every architecture that adapters without a manifest are tested on, with fixed random weights."""

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from lorasent.adapter.classifier import quiet
from tests.support.bases import CONFIGS

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
ROBERTA = {**SIZE, "max_position_embeddings": 66, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
LLAMA = {**SIZE, "num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
T5 = {
    "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4, "pad_token_id": 0,
    "eos_token_id": 3, "decoder_start_token_id": 0,
}  # fmt: skip
BART = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 64, "pad_index": 0, "pad_token_id": 0}

ARCHITECTURES = {
    "bert": ("bert", SIZE),
    "roberta": ("roberta", ROBERTA),
    "gpt2": ("gpt2", GPT),
    "distilbert": ("bert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}),
    "electra": ("bert", {**SIZE, "embedding_size": 16}),
    "albert": ("albert", {**SIZE, "embedding_size": 16}),
    "deberta": ("roberta", {**SIZE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pad_token_id": 1}),
    "deberta-v2": ("deberta-v2", CONFIGS["deberta-v2"].to_dict()),
    "modernbert": ("modernbert", CONFIGS["modernbert"].to_dict()),
    "mpnet": ("bert", {**SIZE, "max_position_embeddings": 66}),
    "xlm-roberta": ("roberta", ROBERTA),
    "camembert": ("roberta", ROBERTA),
    "data2vec-text": ("roberta", ROBERTA),
    "roberta-prelayernorm": ("roberta", ROBERTA),
    "longformer": ("roberta", {**ROBERTA, "attention_window": [8, 8]}),
    "luke": ("roberta", {**ROBERTA, "entity_vocab_size": 10, "entity_emb_size": 16}),
    "xlnet": ("bert", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}),
    "xlm": ("bert", XLM),
    "flaubert": ("bert", XLM),
    "ernie": ("bert", SIZE),
    "megatron-bert": ("bert", SIZE),
    "nomic_bert": ("bert", SIZE),
    "rembert": ("bert", {**SIZE, "input_embedding_size": 16, "pad_token_id": 0}),
    "roformer": ("bert", SIZE),
    "big_bird": ("bert", {**SIZE, "attention_type": "original_full", "pad_token_id": 0}),
    "squeezebert": ("bert", {**SIZE, "embedding_size": 32}),
    "mobilebert": ("bert", {**SIZE, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16}),
    "convbert": ("bert", {**SIZE, "embedding_size": 32, "pad_token_id": 0}),
    "fnet": ("bert", {**SIZE, "tpu_short_seq_length": 64, "pad_token_id": 0}),
    "yoso": ("bert", {**SIZE, "pad_token_id": 0}),
    "layoutlm": ("bert", SIZE),
    "esm": ("bert", {**SIZE, "position_embedding_type": "rotary", "pad_token_id": 0}),
    "t5": ("bert", T5),
    "bart": ("roberta", BART),
    "mbart": ("roberta", BART),
    "llama": ("gpt2", LLAMA),
    "mistral": ("gpt2", LLAMA),
    "qwen2": ("gpt2", LLAMA),
    "qwen3": ("gpt2", {**LLAMA, "head_dim": 8}),
    "gemma": ("gpt2", {**LLAMA, "head_dim": 8, "pad_token_id": 0}),
    "gemma2": ("gpt2", {**LLAMA, "head_dim": 8}),
    "gemma3_text": ("gpt2", {**LLAMA, "head_dim": 8}),
    "phi": ("gpt2", LLAMA),
    "phi3": ("gpt2", LLAMA),
    "falcon": ("gpt2", LLAMA),
    "gpt_neox": ("gpt2", LLAMA),
    "opt": ("gpt2", {**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32, "bos_token_id": 0, "eos_token_id": 0}),
    "bloom": ("gpt2", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}),
}
"""Name -> the small base whose tokenizer it takes, and its configuration. The first three are the quick part."""


def make(bases, path, architecture, kind=AutoModel, **changes):
    """Writes a base with fixed random weights: the model without a head, or as another kind of model."""
    tokenizer, config = ARCHITECTURES[architecture]
    tokenizer = AutoTokenizer.from_pretrained(bases(tokenizer))
    config = AutoConfig.for_model(**{"model_type": architecture, **config, "vocab_size": len(tokenizer), **changes})
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        kind.from_config(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
