"""texts -> token ids: truncation, the pad token, padding of a batch. Returns NumPy arrays and knows nothing of the model."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import TokenizersBackend

from lorasent.adapter.configuration import without_prefix_space
from lorasent.adapter.tokenizer import open_tokenizer, unusable
from lorasent.errors import BaseModelError
from lorasent.recipe.recipe import Encoding
from lorasent.text import shown

Ids = NDArray[np.int64]

FINGERPRINT_TEXTS = (
    "it was a good movie",
    "Naïve CAFÉ owners' don't-miss film, 10/10!! :-)",
    "  double  spaces\tand\nlines  ",
    "映画 фильм 🎬 <br /> http://example.com/a?b=c",
    " ".join(f"word{number}" for number in range(700)) + " not the end",
)
"""Texts that tell tokenizers apart: case, accents, spaces, scripts, and one that is cut."""


class Encoder:
    """A tokenizer that cuts at `max_length` on one side and keeps its special tokens.

    It is made of the tokenizer's files in `path`, which messages call `name`. `tokenizer` is the transformers tokenizer; `[PAD]` is
    added to it if it has no pad token. Raises BaseModelError.
    """

    def __init__(self, path: Path, encoding: Encoding, name: object = None) -> None:
        name = shown(path if name is None else name)
        sides = {"truncation_side": encoding.truncation_side, "padding_side": "right"}
        tokenizer = open_tokenizer(path, name, **sides, add_prefix_space=encoding.add_prefix_space)
        limit = tokenizer.model_max_length
        if encoding.max_length > limit:
            raise BaseModelError(f"encoding.max_length = {encoding.max_length}: the tokenizer in {name} allows at most {limit}")
        self._take(tokenizer, encoding.max_length, name)

    @classmethod
    def of(cls, tokenizer: Any, max_length: int, name: object, pad_id: int | None = None) -> "Encoder":
        """An encoder with a tokenizer as it is; padded with `pad_id`, or with the tokenizer's pad token."""
        encoder = cls.__new__(cls)
        encoder._take(tokenizer, max_length, name, pad_id)  # noqa: SLF001 - its own class
        return encoder

    def _take(self, tokenizer: Any, max_length: int, name: object, pad_id: int | None = None) -> None:
        if tokenizer.pad_token_id is None and pad_id is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        tokenizer.model_max_length = max_length
        self.tokenizer, self.max_length = tokenizer, max_length
        self.pad_id: int = tokenizer.pad_token_id if pad_id is None else pad_id
        try:  # here, where the error can name the tokenizer
            longest = max(map(len, self.encode(FINGERPRINT_TEXTS)))
        except Exception as error:
            raise unusable(name, error) from None
        if longest > max_length:
            raise unusable(name, f"it makes {longest:,} tokens of a text that is cut at {max_length:,}")

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, special tokens included, at most `max_length` long, unpadded.

        A text of no tokens, for a tokenizer that adds no special ones, becomes one pad token: every text has an answer.
        """
        if not texts:
            return []
        encoded = self._read(list(texts), truncation=True)
        return [np.array(ids or [self.pad_id]) for ids in encoded["input_ids"]]

    def locate(self, text: str) -> tuple[Ids, Ids]:
        """The token ids of a text as `encode` gives them, (T,), and the characters of each, [start, end), (T, 2).

        A special token has none: its start is its end.
        """
        encoded = self._read(text, truncation=True, return_offsets_mapping=True)
        spans = np.array(encoded["offset_mapping"] or [(0, 0)])
        return np.array(encoded["input_ids"] or [self.pad_id]), spans

    def lengths(self, texts: Sequence[str]) -> Ids:
        """The number of tokens of each text before truncation, (N,)."""
        encoded = self._read(list(texts), verbose=False)
        return np.array([len(ids) for ids in encoded["input_ids"]])

    def pad(self, batch: Sequence[Ids]) -> dict[str, Ids]:
        """`input_ids` and `attention_mask`, each (B, length of the longest), padded on the right."""
        lengths = np.array([len(ids) for ids in batch])
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        padded = np.full(mask.shape, self.pad_id)
        padded[mask.astype(bool)] = np.concatenate(batch)
        return {"input_ids": padded, "attention_mask": mask}

    def _read(self, texts: str | list[str], **options: Any) -> Any:
        """The tokenizer's own encoding of texts. Raises BaseModelError if one of its patterns is too costly: Rust panics then."""
        try:
            return self.tokenizer(texts, **options)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise BaseModelError(f"the tokenizer cannot read a text: {error}") from None

    def save(self, path: Path) -> None:
        """Writes the tokenizer's files, with truncation and padding off: the code that loads them sets both."""
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()
        self.tokenizer.save_pretrained(path)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the tokenizer's behaviour on a few hard texts, whatever its files."""
        behaviour = {
            "ids": [ids.tolist() for ids in self.encode(FINGERPRINT_TEXTS)],
            "special": self.tokenizer.all_special_ids,
            "size": len(self.tokenizer),
            "pad": self.pad_id,
        }
        return _sha256(behaviour)

    @property
    def parts(self) -> dict[str, str]:
        """The sha256 of each part of the tokenizer as it was built. They show differences that the fingerprint's few texts miss.

        Truncation and padding are left out: this object sets them.
        """
        kind, tokenizer = type(self.tokenizer), self.tokenizer
        ways = [name for name in ("__call__", "_encode_plus") if getattr(kind, name) is not getattr(TokenizersBackend, name)]
        parts = _parts(tokenizer.backend_tokenizer)
        parts["special tokens"] = [tokenizer.special_tokens_map, tokenizer.all_special_ids, self.pad_id]
        parts["inputs"] = [list(tokenizer.model_input_names), tokenizer.split_special_tokens, kind.__name__ if ways else None]
        return {name: _sha256(part) for name, part in parts.items()}

    def changed_since(self, file: Path) -> list[str]:
        """The parts of the tokenizer that differ from its tokenizer.json, because a class or another file changed them."""
        written = without_prefix_space(_parts(Tokenizer.from_file(str(file))))
        built = without_prefix_space(_parts(self.tokenizer.backend_tokenizer))
        return [name for name in built if built[name] != written[name]]


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parts(tokenizer: Tokenizer) -> dict[str, Any]:
    # Rust and Python write and read a score's last digits differently.
    content: dict[str, Any] = json.loads(tokenizer.to_str(), parse_float=lambda number: format(float(number), ".9g"))
    return {key: value for key, value in content.items() if key not in ("version", "truncation", "padding")}
