"""texts -> token ids: the tokenizer, its pad token, truncation, and padding of a batch.

NumPy arrays come out; nothing here knows the model.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer, TokenizersBackend

from lorasent.adapter.base import tokenizer_files
from lorasent.adapter.configuration import CONFIG, MOST_BYTES, TOKENIZER_CONFIG, items, names_files, without_prefix_space
from lorasent.adapter.snapshot import read_json
from lorasent.errors import BaseModelError
from lorasent.files import private
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


MOST_GROWTH = 100
"""How many times as long a normalizer's replacements may make a text; real ones replace a character by one or two."""

MOST_STEPS = 200
"""Normalizers, pre-tokenizers and post-processors of one tokenizer; each goes through every text."""

MOST_SPECIAL = 1000
"""Tokens that a post-processor may put beside a text's own."""

MOST_ADDED = 50_000
"""Tokens beside a vocabulary; each takes as long to read as a hundred in it. Real ones have some thousand."""

MOST_LETTERS = 256
"""Of a word that WordPiece cuts, which takes the cube of them, and of what stands for a word or a part of one."""

MOST_IDS = 1 << 24
"""Tokens that a vocabulary may number; whoever writes it out counts up to the last."""

TOKENIZER_FILE = "tokenizer.json"

CLASS_KEYS = ("model_type", "tokenizer_class")
"""What a configuration says of a tokenizer: its class. Nothing else of it is read here."""


class Encoder:
    """A tokenizer that cuts at `max_length` on one side and keeps its special tokens.

    It is made of the files in `path`, which messages call `name`: of a tokenizer's own files and no others. `tokenizer` is the
    transformers tokenizer, with a pad token: where it had none, `[PAD]` was added. Raises BaseModelError.
    """

    def __init__(self, path: Path, encoding: Encoding, name: object = None) -> None:
        name = shown(path if name is None else name)
        tokenizer = open_tokenizer(
            path,
            name,
            truncation_side=encoding.truncation_side,
            padding_side="right",
            add_prefix_space=encoding.add_prefix_space,
        )
        limit = tokenizer.model_max_length
        if encoding.max_length > limit:
            raise BaseModelError(f"encoding.max_length = {encoding.max_length}: the tokenizer in {name} allows at most {limit}")
        self._take(tokenizer, encoding.max_length, name)

    @classmethod
    def of(cls, tokenizer: Any, max_length: int, name: object, pad_id: int | None = None) -> "Encoder":
        """An encoder with a tokenizer as it is; padded with `pad_id`, or with the tokenizer's pad token."""
        encoder = cls.__new__(cls)
        encoder._take(tokenizer, max_length, name, pad_id)  # noqa: SLF001  # it is one
        return encoder

    def _take(self, tokenizer: Any, max_length: int, name: object, pad_id: int | None = None) -> None:
        if tokenizer.pad_token_id is None and pad_id is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        tokenizer.model_max_length = max_length
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.pad_id: int = tokenizer.pad_token_id if pad_id is None else pad_id
        try:  # before a text is read for good
            longest = max(map(len, self.encode(FINGERPRINT_TEXTS)))
        except Exception as error:
            raise _unusable(name, error) from None
        if longest > max_length:
            raise _unusable(name, f"it makes {longest:,} tokens of a text that is cut at {max_length:,}")

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, special tokens included, at most `max_length` long, unpadded.

        A text of no tokens, for a tokenizer without special ones, is one pad token: every text has an answer.
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
        """How many tokens each text has before anything is cut."""
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
        """What the tokenizer makes of texts. Raises BaseModelError where a pattern of its is too costly: Rust panics then."""
        try:
            return self.tokenizer(texts, **options)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise BaseModelError(f"the tokenizer cannot read a text: {error}") from None

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

    @property
    def parts(self) -> dict[str, str]:
        """The sha256 of each part of the tokenizer as it was built: data, where the fingerprint is of a few texts only.

        Truncation and padding are left out: they are this object's.
        """
        kind, tokenizer = type(self.tokenizer), self.tokenizer
        ways = [name for name in ("__call__", "_encode_plus") if getattr(kind, name) is not getattr(TokenizersBackend, name)]
        parts = _parts(tokenizer.backend_tokenizer)
        parts["special tokens"] = [tokenizer.special_tokens_map, tokenizer.all_special_ids, self.pad_id]
        parts["inputs"] = [list(tokenizer.model_input_names), tokenizer.split_special_tokens, kind.__name__ if ways else None]
        return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}

    def changed_since(self, file: Path) -> list[str]:
        """The parts of the tokenizer that are not as its tokenizer.json says, where classes or other files changed them."""
        written = without_prefix_space(_parts(Tokenizer.from_file(str(file))))
        built = without_prefix_space(_parts(self.tokenizer.backend_tokenizer))
        return [name for name in built if built[name] != written[name]]


def open_tokenizer(path: Path, name: object = None, **options: Any) -> Any:
    """The fast tokenizer of the files in a directory called `name`, as it was saved but for `options`. Raises BaseModelError.

    It is made of a tokenizer's own files and no others.
    """
    name = shown(path if name is None else name)
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        try:
            _copy(path, Path(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
            _require_bounded(tokenizer)
        except Exception as error:  # a stranger's files make the libraries raise anything
            raise _unusable(name, str(error).replace(folder, name).replace(str(path), name) or type(error).__name__) from None
    if not tokenizer.is_fast:
        raise BaseModelError(f"{name}: needs a fast tokenizer (tokenizer.json), found {type(tokenizer).__name__}")
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or not limit >= 1:
        raise BaseModelError(f"{name}/{TOKENIZER_CONFIG}: model_max_length must be a number of tokens, found {shown(limit)}")
    return tokenizer


def _unusable(name: object, error: object) -> BaseModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BaseModelError(f"{shown(name)}: holds no tokenizer that can be loaded: {reason}")


def _parts(tokenizer: Tokenizer) -> dict[str, Any]:
    # Rust and Python write and read a score's last digits differently.
    content: dict[str, Any] = json.loads(tokenizer.to_str(), parse_float=lambda number: format(float(number), ".9g"))
    return {key: value for key, value in content.items() if key not in ("version", "truncation", "padding")}


def _require_bounded(tokenizer: Any) -> None:
    """Raises BaseModelError for a tokenizer that makes a text many times as long: it would fill the memory, or take ages."""
    if not tokenizer.is_fast:
        return
    backend = tokenizer.backend_tokenizer
    steps = (backend.normalizer, backend.post_processor)
    normalizer, post_processor = (list(items(json.loads(step.__getstate__()))) if step is not None else [] for step in steps)
    growth = 1
    for key, value in normalizer:
        growth *= max(_longest(key, value), 1)
    if growth > MOST_GROWTH:
        raise BaseModelError(f"its normalizer replaces one character by up to {growth:,}, expected {MOST_GROWTH} at most")
    pieces, ids = ([len(value) for key, value in post_processor if key == name] for name in ("single", "ids"))
    if (most := sum(pieces) * max([1, *ids])) > MOST_SPECIAL:
        raise BaseModelError(f"its post-processor adds up to {most:,} tokens to a text, expected {MOST_SPECIAL:,} at most")
    for name in ("max_input_chars_per_word", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        value = getattr(backend.model, name, None)
        if (letters := len(value) if isinstance(value, str) else value or 0) > MOST_LETTERS:
            raise BaseModelError(f"{name} of its model has or allows {letters:,} characters, expected {MOST_LETTERS} at most")


def _longest(key: str, value: Any) -> int:
    """How many characters what a normalizer says under a key may make of one, or put before a text."""
    if key == "precompiled_charsmap" and value:  # the size of a table, the table, and what it leads to
        content = base64.b64decode(value)
        return max(map(len, content[4 + int.from_bytes(content[:4], "little") :].decode(errors="replace").split("\0")))
    return len(value) if key in ("content", "prepend") and value else 1


def _copy(path: Path, folder: Path) -> None:
    """Copies a tokenizer's files. Raises LorasentError for one that cannot be read, or names others."""
    for name, content in tokenizer_files(path).items():
        (folder / name).write_bytes(content)
    if (folder / TOKENIZER_CONFIG).is_file():
        config = read_json(folder / TOKENIZER_CONFIG)
        if names := names_files(config):
            raise BaseModelError(f"{path / TOKENIZER_CONFIG}: {', '.join(map(shown, names))} names other files; remove it")
        _require_few(config.get("added_tokens_decoder"), path / TOKENIZER_CONFIG)
    if (folder / TOKENIZER_FILE).is_file():
        told = read_json(folder / TOKENIZER_FILE)
        _require_few(told.get("added_tokens"), path / TOKENIZER_FILE)
        steps = [told.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor")]
        if (count := sum(key == "type" for key, _ in items(steps))) > MOST_STEPS:
            raise BaseModelError(f"{path / TOKENIZER_FILE}: goes through a text in {count:,} steps, expected {MOST_STEPS} at most")
        vocabulary = told.get("model", {}).get("vocab")
        if isinstance(vocabulary, dict) and not all(isinstance(one, int) and one < MOST_IDS for one in vocabulary.values()):
            raise BaseModelError(f"{path / TOKENIZER_FILE}: its vocabulary numbers tokens beyond {MOST_IDS:,}")
    if os.path.lexists(path / CONFIG):
        config = read_json(path / CONFIG, limit=MOST_BYTES)
        (folder / CONFIG).write_text(json.dumps({key: config[key] for key in CLASS_KEYS if key in config}))


def _require_few(tokens: Any, where: Path) -> None:
    if isinstance(tokens, list | dict) and len(tokens) > MOST_ADDED:
        raise BaseModelError(f"{where}: adds {len(tokens):,} tokens to the vocabulary, expected {MOST_ADDED:,} at most")
