"""texts -> token ids: the tokenizer, its pad token, truncation, and padding of a batch.

NumPy arrays come out; nothing here knows the model.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from lorasent.errors import BaseModelError
from lorasent.recipe import Encoding
from lorasent.text import shown

Ids = NDArray[np.int64]

FINGERPRINT_TEXTS = (
    "it was a good movie",
    "Naïve CAFÉ owners' don't-miss film, 10/10!! :-)",
    "  double  spaces\tand\nlines  ",
    "映画 фильм 🎬 <br /> http://example.com/a?b=c",
    " ".join(f"word{number}" for number in range(700)) + " not the end",
)


class Encoder:
    """A tokenizer that cuts at `max_length` on one side and keeps its special tokens.

    `tokenizer` is the transformers tokenizer, with a pad token: where it had none, `[PAD]` was added.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        tokenizer = open_tokenizer(
            path,
            truncation_side=encoding.truncation_side,
            padding_side="right",
            add_prefix_space=encoding.add_prefix_space,
        )
        limit = tokenizer.model_max_length
        if encoding.max_length > limit:
            raise BaseModelError(f"encoding.max_length = {encoding.max_length}: the tokenizer in {path} allows at most {limit}")
        self._take(tokenizer, encoding.max_length)

    @classmethod
    def of(cls, tokenizer: Any, max_length: int, pad_id: int | None = None) -> "Encoder":
        """An encoder with a tokenizer as it is; padded with `pad_id`, or with the tokenizer's pad token."""
        encoder = cls.__new__(cls)
        encoder._take(tokenizer, max_length, pad_id)  # noqa: SLF001  # it is one
        return encoder

    def _take(self, tokenizer: Any, max_length: int, pad_id: int | None = None) -> None:
        if tokenizer.pad_token_id is None and pad_id is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        tokenizer.model_max_length = max_length
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.pad_id: int = tokenizer.pad_token_id if pad_id is None else pad_id

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, special tokens included, at most `max_length` long, unpadded.

        A text of no tokens, for a tokenizer without special ones, is one pad token: every text has an answer.
        """
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), truncation=True)
        return [np.array(ids or [self.pad_id]) for ids in encoded["input_ids"]]

    def locate(self, text: str) -> tuple[Ids, Ids]:
        """The token ids of a text as `encode` gives them, (T,), and the characters of each, [start, end), (T, 2).

        A special token has none: its start is its end.
        """
        encoded = self.tokenizer(text, truncation=True, return_offsets_mapping=True)
        spans = np.array(encoded["offset_mapping"] or [(0, 0)])
        return np.array(encoded["input_ids"] or [self.pad_id]), spans

    def lengths(self, texts: Sequence[str]) -> Ids:
        """How many tokens each text has before anything is cut."""
        encoded = self.tokenizer(list(texts), verbose=False)
        return np.array([len(ids) for ids in encoded["input_ids"]])

    def pad(self, batch: Sequence[Ids]) -> dict[str, Ids]:
        """`input_ids` and `attention_mask`, each (B, length of the longest), padded on the right."""
        lengths = np.array([len(ids) for ids in batch])
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        padded = np.full(mask.shape, self.pad_id)
        padded[mask.astype(bool)] = np.concatenate(batch)
        return {"input_ids": padded, "attention_mask": mask}

    def save(self, path: Path) -> None:
        """Writes the tokenizer's files, truncation and padding off: they are the caller's choice, not the file's."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        self.tokenizer.save_pretrained(path)

    @property
    def fingerprint(self) -> str:
        """The sha256 of what the tokenizer does to a few hard texts: of its behaviour, not of its files."""
        behaviour = {
            "ids": [ids.tolist() for ids in self.encode(FINGERPRINT_TEXTS)],
            "special": self.tokenizer.all_special_ids,
            "size": len(self.tokenizer),
            "pad": self.pad_id,
        }
        return hashlib.sha256(json.dumps(behaviour, sort_keys=True).encode()).hexdigest()


def open_tokenizer(path: Path, **options: Any) -> Any:
    """The fast tokenizer in a directory, as it was saved but for `options`. Raises BaseModelError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **options)
    except Exception as error:  # the tokenizers library raises no narrower one
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"{path}: holds no tokenizer that can be loaded: {reason}") from None
    if not tokenizer.is_fast:
        raise BaseModelError(f"{path}: needs a fast tokenizer (tokenizer.json), found {type(tokenizer).__name__}")
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or not limit >= 1:
        raise BaseModelError(f"{path / 'tokenizer_config.json'}: model_max_length must be a number of tokens, found {shown(limit)}")
    return tokenizer
