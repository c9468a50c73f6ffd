"""Adapters that a plain PEFT script trained, as people write it."""

import warnings

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from lorasent.adapter.classifier import _new_modules, quiet

TEXTS = [
    "it was a good movie",
    "Not worth the time, a dull film; " + "it goes on and on. " * 40 + "Still, I loved it.",
    "the worst film I have seen",
    " Great",
]


def linear_layers(model, new):
    """Names of the linear layers outside the head."""
    names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    return [name for name in names if not any(name.startswith(head) for head in (*new, "classifier", "score", "pre_classifier"))]


def train(
    base,
    out,
    cut=None,
    grow=False,
    whole=False,
    save=None,
    labels=2,
    head=None,
    padding=True,
    keep=True,
    opened=None,
    seed=1,
    at_end=lambda *_: None,
    dtype=None,
    **lora,
):
    """A script as people write it: three steps on CPU, adapter and tokenizer saved. What its memory answers, and what was random.

    It cuts to `cut` tokens, opens its tokenizer with the options `opened`, saves it with `keep`; with `grow` it adds a pad token;
    with `whole` it saves all that is new; `save` is of the embeddings. `at_end` is called with model and tokenizer.
    """
    with warnings.catch_warnings(), quiet(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # PEFT's and transformers' own
        torch.manual_seed(seed)
        tokenizer = AutoTokenizer.from_pretrained(base, **(opened or {}))
        options = {"truncation": True, "return_tensors": "pt"} | ({"max_length": cut} if cut else {})
        kind = AutoModelForSequenceClassification
        model, report = kind.from_pretrained(
            base, output_loading_info=True, ignore_mismatched_sizes=True, num_labels=labels, dtype=dtype
        )
        if grow:
            tokenizer.add_special_tokens({"pad_token": "[ANOTHER]"})
            model.resize_token_embeddings(len(tokenizer))
            model.config.pad_token_id = tokenizer.pad_token_id
        if tokenizer.pad_token is None:
            tokenizer.pad_token, model.config.pad_token_id = tokenizer.eos_token, tokenizer.eos_token_id
        missing = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        new = _new_modules(model, missing) if whole else []
        settings = {"task_type": "SEQ_CLS", "r": 2, "target_modules": linear_layers(model, new)}
        if whole or head:
            settings["modules_to_save"] = head or new
        adapted = get_peft_model(model, LoraConfig(**{**settings, **lora}))
        optimizer = torch.optim.AdamW([one for one in adapted.parameters() if one.requires_grad], lr=1e-2)
        adapted.train()
        for _ in range(3):
            logits = adapted(**tokenizer(TEXTS[:3], padding=padding, **options)).logits
            torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 0])).backward()
            optimizer.step()
            optimizer.zero_grad()
        adapted.eval()
        with torch.no_grad():
            expected = np.concatenate([adapted(**tokenizer(text, **options)).logits.float().numpy() for text in TEXTS])
        at_end(adapted, tokenizer)
        adapted.save_pretrained(out, **({"save_embedding_layers": save} if save is not None else {}))
        if keep:
            tokenizer.save_pretrained(out)
    saved = {name.removeprefix("base_model.model.") for name in load_file(out / "adapter_model.safetensors")}
    return expected, sorted(missing - saved)
