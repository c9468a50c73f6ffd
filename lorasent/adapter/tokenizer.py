"""Opens a directory's tokenizer, from a tokenizer's own files alone and within bounds.

Somebody else wrote the files. A few kilobytes in them may lengthen a text a million times, or take very long to read.
"""

import base64
import json
import os
import tempfile
from math import prod
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from lorasent.adapter.base import tokenizer_files
from lorasent.adapter.configuration import CONFIG, TOKENIZER_CONFIG, names_files
from lorasent.adapter.untrusted import items, read_json
from lorasent.errors import BaseModelError, first_line
from lorasent.files import private
from lorasent.text import shown

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


def open_tokenizer(path: Path, name: object = None, **options: Any) -> Any:
    """The fast tokenizer of the files in a directory called `name`, as it was saved but for `options`. Raises BaseModelError."""
    name = shown(path if name is None else name)
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        try:
            _copy(path, Path(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
            _require_usable(tokenizer)
        except Exception as error:  # somebody else's files make the libraries raise anything
            raise unusable(name, str(error).replace(folder, name).replace(str(path), name) or type(error).__name__) from None
    return tokenizer


def unusable(name: object, reason: object) -> BaseModelError:
    """The error for a tokenizer that cannot be loaded, with the first line of the reason."""
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
    """Raises BaseModelError if there is more of something than a tokenizer may have."""
    if count > MOST[what]:
        raise BaseModelError(f"{count:,} {what}, expected {MOST[what]:,} at most")


def _longest(key: str, value: Any) -> int:
    """The number of characters that a normalizer's entry may put in place of one, or before a text."""
    if key == "precompiled_charsmap" and value:  # the size of a table, the table, and the replacements
        content = base64.b64decode(value)
        return max(map(len, content[4 + int.from_bytes(content[:4], "little") :].decode(errors="replace").split("\0")))
    return len(value) if key in ("content", "prepend") and value else 1
