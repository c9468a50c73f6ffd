"""texts -> token ids: a tokenizer opened within bounds, truncation, the pad token, padding of a batch. Knows nothing of the model.

Somebody else wrote a tokenizer's files. A few kilobytes in them may lengthen a text a million times, or take very long to read.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer, TokenizersBackend

from lorasent.adapter.base import tokenizer_files
from lorasent.adapter.configuration import CONFIG, TOKENIZER_CONFIG, names_files, without_prefix_space
from lorasent.adapter.manifest import SavedEncoding
from lorasent.adapter.untrusted import items, read_json
from lorasent.errors import BaseModelError, first_line
from lorasent.files import private
from lorasent.recipe.recipe import Encoding
from lorasent.text import shown

Ids = NDArray[np.int64]

TOKENIZER_FILE = "tokenizer.json"

MOST = {
    "characters in the place of one": 100,  # real normalizers replace a character by one or two
    "tokens added to each text": 1000,
    "steps through each text": 200,  # normalizers, pre-tokenizers and post-processors
    "tokens beside the vocabulary": 50_000,  # each takes as long to read as a hundred in it
    "token ids": 1 << 24,  # code that writes a vocabulary counts up to the last
    "characters in a word, an affix or the unknown token": 256,  # WordPiece splits a word in cubic time
}
"""Largest number of each that a tokenizer may have."""

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

    def __init__(self, path: Path, encoding: Encoding | SavedEncoding, name: object = None) -> None:
        name, pad_id = name or path, encoding.pad_token_id if isinstance(encoding, SavedEncoding) else None
        options: dict[str, Any] = {"truncation_side": encoding.truncation_side, "padding_side": "right"}
        if encoding.add_prefix_space is not None:
            options["add_prefix_space"] = encoding.add_prefix_space
        tokenizer, length = open_tokenizer(path, name, **options), encoding.max_length
        if length > (limit := tokenizer.model_max_length):
            raise BaseModelError(f"encoding.max_length = {length}: the tokenizer in {shown(name)} allows at most {limit}")
        self._take(tokenizer, length, name, pad_id)

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
            raise _unusable(name, error) from None
        if longest > max_length:
            raise _unusable(name, f"it makes {longest:,} tokens of a text that is cut at {max_length:,}")

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, special tokens included, at most `max_length`, unpadded; a pad token for a text that has none."""
        if not texts:
            return []
        encoded = self._read(list(texts), truncation=True)
        return [np.array(ids or [self.pad_id]) for ids in encoded["input_ids"]]

    def locate(self, text: str) -> tuple[Ids, Ids]:
        """Token ids of a text as `encode` gives them, (T,), and their spans, [start, end), (T, 2): empty for a special token."""
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
        ids = [ids.tolist() for ids in self.encode(FINGERPRINT_TEXTS)]
        special, size = self.tokenizer.all_special_ids, len(self.tokenizer)
        return _sha256({"ids": ids, "special": special, "size": size, "pad": self.pad_id})

    @property
    def parts(self) -> dict[str, str]:
        """The sha256 of each part of the tokenizer, truncation and padding aside: more than the fingerprint's few texts show."""
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


def open_tokenizer(path: Path, name: object, **options: Any) -> Any:
    """The fast tokenizer of the files in a directory called `name`, as it was saved but for `options`. Raises BaseModelError."""
    name = shown(name)
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        try:
            _copy(path, Path(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
            _require_usable(tokenizer)
        except Exception as error:  # somebody else's files make the libraries raise anything
            raise _unusable(name, str(error).replace(folder, name).replace(str(path), name) or type(error).__name__) from None
    return tokenizer


def _unusable(name: object, reason: object) -> BaseModelError:
    return BaseModelError(f"{shown(name)}: holds no tokenizer that can be loaded: {first_line(reason)}")


def _copy(path: Path, folder: Path) -> None:
    """Copies a tokenizer's files. Raises LorasentError for one that cannot be read, names other files, or takes long to read."""
    for name, written in tokenizer_files(path).items():
        (folder / name).write_bytes(written)
    present = [folder / name for name in (TOKENIZER_CONFIG, TOKENIZER_FILE) if (folder / name).is_file()]
    contents = {file.name: read_json(file) for file in present}
    config, content = contents.get(TOKENIZER_CONFIG, {}), contents.get(TOKENIZER_FILE, {})
    if names := names_files(config):
        raise BaseModelError(f"{TOKENIZER_CONFIG}: {', '.join(map(shown, names))} names other files; remove it")
    for tokens in (config.get("added_tokens_decoder"), content.get("added_tokens")):
        _require_few("tokens beside the vocabulary", len(tokens or ()))
    steps = items([content.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor")])
    _require_few("steps through each text", sum(key == "type" for key, _ in steps))
    vocabulary = content.get("model", {}).get("vocab")
    if isinstance(vocabulary, dict):
        _require_few("token ids", max(vocabulary.values(), default=-1) + 1)
    if os.path.lexists(path / CONFIG):  # only what names a tokenizer's class
        config = read_json(path / CONFIG)
        (folder / CONFIG).write_text(json.dumps({key: config[key] for key in ("model_type", "tokenizer_class") if key in config}))


def _require_usable(tokenizer: Any) -> None:
    """Raises BaseModelError for a slow tokenizer, and for one that makes a text many times as long."""
    if not tokenizer.is_fast:
        raise BaseModelError(f"needs a fast tokenizer ({TOKENIZER_FILE}), found {type(tokenizer).__name__}")
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or not limit >= 1:
        raise BaseModelError(f"{TOKENIZER_CONFIG}: model_max_length must be a number of tokens, found {shown(limit)}")
    backend = tokenizer.backend_tokenizer
    steps = (backend.normalizer, backend.post_processor)
    normalizer, post_processor = (list(items(json.loads(step.__getstate__()))) if step is not None else [] for step in steps)
    _require_few("characters in the place of one", prod(max(_longest(key, value), 1) for key, value in normalizer))
    pieces, ids = ([len(value) for key, value in post_processor if key == name] for name in ("single", "ids"))
    _require_few("tokens added to each text", sum(pieces) * max([1, *ids]))
    for name in ("max_input_chars_per_word", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        value = getattr(backend.model, name, None) or 0
        _require_few("characters in a word, an affix or the unknown token", len(value) if isinstance(value, str) else value)


def _require_few(what: str, count: int) -> None:
    if count > MOST[what]:
        raise BaseModelError(f"{count:,} {what}, expected {MOST[what]:,} at most")


def _longest(key: str, value: Any) -> int:
    """The number of characters that a normalizer's entry may put in place of one, or before a text."""
    if key == "precompiled_charsmap" and value:  # the size of a table, the table, and the replacements
        content = base64.b64decode(value)
        return max(map(len, content[4 + int.from_bytes(content[:4], "little") :].decode(errors="replace").split("\0")))
    return len(value) if key in ("content", "prepend") and value else 1


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parts(tokenizer: Tokenizer) -> dict[str, Any]:
    # Rust and Python write and read a score's last digits differently.
    content: dict[str, Any] = json.loads(tokenizer.to_str(), parse_float=lambda number: format(float(number), ".9g"))
    return {key: value for key, value in content.items() if key not in ("version", "truncation", "padding")}
