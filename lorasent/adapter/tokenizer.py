"""Opens a directory's tokenizer, from a tokenizer's own files alone and within bounds.

Somebody else wrote the files. A few kilobytes in them may lengthen a text a million times, or take very long to read.
"""

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from lorasent.adapter.base import tokenizer_files
from lorasent.adapter.configuration import CONFIG, MOST_BYTES, TOKENIZER_CONFIG, names_files
from lorasent.adapter.untrusted import items, read_json
from lorasent.errors import BaseModelError, first_line
from lorasent.files import private
from lorasent.text import shown

MOST_GROWTH = 100
"""Largest factor by which a normalizer's replacements may lengthen a text. Real ones replace a character by one or two."""

MOST_STEPS = 200
"""Largest number of normalizers, pre-tokenizers and post-processors of a tokenizer. Each goes through every text."""

MOST_SPECIAL = 1000
"""Largest number of tokens that a post-processor may add to a text."""

MOST_ADDED = 50_000
"""Largest number of tokens beside the vocabulary. Each takes as long to read as a hundred in it."""

MOST_CHARACTERS = 256
"""Largest number of characters of a word that WordPiece splits (in cubic time), of the unknown token, and of a piece's affixes."""

MOST_IDS = 1 << 24
"""Largest token id. Code that writes a vocabulary counts up to the last id."""

TOKENIZER_FILE = "tokenizer.json"

CLASS_KEYS = ("model_type", "tokenizer_class")
"""The keys of config.json that name a tokenizer's class. No others are read here."""


def open_tokenizer(path: Path, name: object = None, **options: Any) -> Any:
    """The fast tokenizer of the files in a directory called `name`, as it was saved but for `options`. Raises BaseModelError."""
    name = shown(path if name is None else name)
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        try:
            _copy(path, Path(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
            _require_bounded(tokenizer)
        except Exception as error:  # somebody else's files make the libraries raise anything
            raise unusable(name, str(error).replace(folder, name).replace(str(path), name) or type(error).__name__) from None
    if not tokenizer.is_fast:
        raise BaseModelError(f"{name}: needs a fast tokenizer (tokenizer.json), found {type(tokenizer).__name__}")
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or not limit >= 1:
        raise BaseModelError(f"{name}/{TOKENIZER_CONFIG}: model_max_length must be a number of tokens, found {shown(limit)}")
    return tokenizer


def unusable(name: object, reason: object) -> BaseModelError:
    """The error for a tokenizer that cannot be loaded, with the first line of the reason."""
    return BaseModelError(f"{shown(name)}: holds no tokenizer that can be loaded: {first_line(reason)}")


def _require_bounded(tokenizer: Any) -> None:
    """Raises BaseModelError for a tokenizer that makes a text many times as long."""
    if not tokenizer.is_fast:
        return
    backend = tokenizer.backend_tokenizer
    steps = (backend.normalizer, backend.post_processor)
    normalizer, post_processor = (list(items(json.loads(step.__getstate__()))) if step is not None else [] for step in steps)
    growth = 1
    for key, value in normalizer:
        growth *= max(_longest(key, value), 1)
    _at_most(MOST_GROWTH, growth, "its normalizer replaces one character by up to N")
    pieces, ids = ([len(value) for key, value in post_processor if key == name] for name in ("single", "ids"))
    _at_most(MOST_SPECIAL, sum(pieces) * max([1, *ids]), "its post-processor adds up to N tokens to a text")
    for name in ("max_input_chars_per_word", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        value = getattr(backend.model, name, None)
        count = len(value) if isinstance(value, str) else value or 0
        _at_most(MOST_CHARACTERS, count, "of its model has or allows N characters", f"{name} ")


def _at_most(most: int, count: int, message: str, where: str = "") -> None:
    """Raises BaseModelError if there is more of something than a tokenizer may have; "N" in the message stands for the count."""
    if count > most:
        raise BaseModelError(f"{where}{message.replace('N', f'{count:,}', 1)}, expected {most:,} at most")


def _longest(key: str, value: Any) -> int:
    """The number of characters that a normalizer's entry may put in place of one, or before a text."""
    if key == "precompiled_charsmap" and value:  # the size of a table, the table, and the replacements
        content = base64.b64decode(value)
        return max(map(len, content[4 + int.from_bytes(content[:4], "little") :].decode(errors="replace").split("\0")))
    return len(value) if key in ("content", "prepend") and value else 1


def _copy(path: Path, folder: Path) -> None:
    """Copies a tokenizer's files. Raises LorasentError for a file that cannot be read, names other files, or exceeds a bound."""
    for name, written in tokenizer_files(path).items():
        (folder / name).write_bytes(written)
    if (folder / TOKENIZER_CONFIG).is_file():
        config, where = read_json(folder / TOKENIZER_CONFIG), path / TOKENIZER_CONFIG
        if names := names_files(config):
            raise BaseModelError(f"{where}: {', '.join(map(shown, names))} names other files; remove it")
        _require_few(config.get("added_tokens_decoder"), where)
    if (folder / TOKENIZER_FILE).is_file():
        content, where = read_json(folder / TOKENIZER_FILE), path / TOKENIZER_FILE
        _require_few(content.get("added_tokens"), where)
        steps = [content.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor")]
        _at_most(MOST_STEPS, sum(key == "type" for key, _ in items(steps)), "goes through a text in N steps", f"{where}: ")
        vocabulary = content.get("model", {}).get("vocab")
        if isinstance(vocabulary, dict) and not all(isinstance(id_, int) and id_ < MOST_IDS for id_ in vocabulary.values()):
            raise BaseModelError(f"{where}: its vocabulary has a token id above {MOST_IDS:,}")
    if os.path.lexists(path / CONFIG):
        config = read_json(path / CONFIG, limit=MOST_BYTES)
        (folder / CONFIG).write_text(json.dumps({key: config[key] for key in CLASS_KEYS if key in config}))


def _require_few(tokens: Any, where: Path) -> None:
    if isinstance(tokens, list | dict):
        _at_most(MOST_ADDED, len(tokens), "adds N tokens to the vocabulary", f"{where}: ")
