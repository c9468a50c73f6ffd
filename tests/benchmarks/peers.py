"""The peers in scoring: other ways from reviews to the same logits, each set up as its users would set it up, and well.

A peer answers a list of texts with logits (N, 2) in input order; tokenization is part of it. `bench.PEERS` names
them all, a line each.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import AutoPeftModelForSequenceClassification
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import lorasent
from lorasent.adapter.classifier import quiet
from tests.benchmarks.rate import DTYPE
from tests.benchmarks.subject import LABELS, Subject

Answer = Callable[[list[str]], NDArray[np.float32]]

BUDGETS = (512, 1024, 2048, 4096)
"""Tokens a batch, padding included, among which those peers choose whose batches are planned here."""


@dataclass
class Peer:
    """A peer, ready to answer. `preparation` is what loading, exporting and compiling took, in seconds."""

    name: str
    about: str
    answer: Answer
    preparation: float = field(default=0.0, compare=False)


class Sorted:
    """texts -> logits through `forward(input_ids, attention_mask)`, in batches sorted by length within a budget of tokens.

    `padded` counts the tokens of the last call, padding included.
    """

    def __init__(self, tokenizer: Any, forward: Callable[..., Any]) -> None:
        self.tokenizer = tokenizer
        self.forward = forward
        self.budget = max(BUDGETS)
        self.padded = 0

    def choose(self, texts: list[str]) -> None:
        """Takes the budget that is fastest on some reviews, by the faster of two turns."""
        seconds: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
        for _ in range(3):  # the first turn warms up
            for self.budget in BUDGETS:
                started = time.perf_counter()
                self(texts)
                seconds[self.budget].append(time.perf_counter() - started)
        self.budget = min(BUDGETS, key=lambda budget: min(seconds[budget][1:]))

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        encoded = self.tokenizer(texts, truncation=True, max_length=512)["input_ids"]
        logits = np.empty((len(texts), len(LABELS)), np.float32)
        self.padded = 0
        for rows in self.plan([len(ids) for ids in encoded]):
            ids = np.full((len(rows), len(encoded[rows[0]])), self.tokenizer.pad_token_id)
            mask = np.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, : len(encoded[row])] = encoded[row]
                mask[place, : len(encoded[row])] = 1
            self.padded += ids.size
            logits[rows] = self.forward(ids, mask)
        return logits

    def plan(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Row numbers, longest first, as many to a batch as the budget holds."""
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        while order:
            size = max(self.budget // lengths[order[0]], 1)
            yield order[:size]
            order = order[size:]


class TokenCount(TorchDispatchMode):
    """Counts the token ids that are looked up in an embedding of `vocabulary` rows, by whatever runs in torch inside.

    With `training`, those under inference mode are left out: what evaluates.
    """

    def __init__(self, vocabulary: int, *, training: bool = False) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.training = training
        self.tokens = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        place = {"aten::embedding": 1, "aten::index_select": 2}.get(func._schema.name)
        left_out = self.training and torch.is_inference_mode_enabled()
        if place and args[0].shape[0] == self.vocabulary and not left_out:
            self.tokens += args[place].numel()
        return func(*args, **(kwargs or {}))


def tokenizer_of(subject: Subject) -> Any:
    """The tokenizer as the adapter ships it; it cuts on the left, as its files say."""
    return AutoTokenizer.from_pretrained(subject.adapter)


def merged(subject: Subject, dtype: torch.dtype = torch.float32) -> Any:
    """The merged model, as transformers loads it: its attention is SDPA."""
    return AutoModelForSequenceClassification.from_pretrained(subject.merged, dtype=dtype).eval()


def loop(subject: Subject) -> Answer:
    """The notebook's own: text by text through the PEFT model, unmerged, in fp32."""
    tokenizer = tokenizer_of(subject)
    model = AutoPeftModelForSequenceClassification.from_pretrained(subject.adapter).eval()

    def answer(texts: list[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
            with torch.no_grad():
                logits = model(**inputs).logits
            torch.argmax(logits)
            rows.append(logits[0].numpy())
        return np.array(rows)

    return answer


def piped(batch_size: int) -> Callable[[Subject], Answer]:
    """transformers' pipeline over the merged model in fp32."""

    def prepare(subject: Subject) -> Answer:
        tokenizer = tokenizer_of(subject)
        pipe = pipeline("text-classification", model=merged(subject), tokenizer=tokenizer, device="cpu", top_k=None)

        def answer(texts: list[str]) -> NDArray[np.float32]:
            answers = pipe(texts, batch_size=batch_size, truncation=True, max_length=512, function_to_apply="none")
            return np.array([[one["score"] for one in sorted(row, key=lambda one: one["label"])] for row in answers], np.float32)

        return answer

    return prepare


def cross_encoder(subject: Subject) -> Answer:
    """sentence-transformers' CrossEncoder in fp32; it sorts by length, in characters.

    It is made for pairs: its `predict` takes a list of texts for one pair, and refuses lists of one text each. Here it is told
    that only a text by itself is a single input, which gives single texts its own batches.
    """
    from sentence_transformers import CrossEncoder

    class SingleTexts(CrossEncoder):
        def is_singular_input(self, inputs):
            return isinstance(inputs, str)

    model = SingleTexts(str(subject.merged), max_length=512, device="cpu", activation_fn=torch.nn.Identity())
    return lambda texts: model.predict(texts, batch_size=32, show_progress_bar=False)


def torch_forward(model: Any) -> Callable[..., NDArray[np.float32]]:
    """A forward pass of arrays through a torch model."""

    def forward(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
        return logits.float().numpy()

    return forward


def sorted_torch(subject: Subject) -> Answer:
    """The merged model in the best precision here, batches sorted by length."""
    return Sorted(tokenizer_of(subject), torch_forward(merged(subject, DTYPE)))


def scorer(**options: Any) -> Callable[[Subject], Answer]:
    """lorasent, as `lorasent.load` gives it."""
    return lambda subject: lorasent.load(subject.adapter, **options).logits


def prepared(name: str, about: str, prepare: Callable[[Subject], Answer], subject: Subject) -> Peer:
    """A peer, made ready."""
    started = time.perf_counter()
    with quiet(), contextlib.redirect_stdout(None):
        answer = prepare(subject)
    return Peer(name, about, answer, time.perf_counter() - started)
