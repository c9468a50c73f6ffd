"""Encoding by example: the side that is cut, the pad token, the prefix space, the fingerprint, and what is refused."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from transformers import AutoTokenizer, ByT5Tokenizer

from lorasent.adapter.base import find
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.errors import BaseModelError
from lorasent.recipe.recipe import Encoding
from tests.support.bases import CONFIGS, edit_json, tokenizer_of


def test_the_recipe_decides_the_truncation_side(bases, tmp_path):
    """A tokenizer file that cuts on the right at 8 tokens and pads, as the embedded one does, is overruled."""
    for file in bases("bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "tokenizer_config.json", truncation_side="right", padding_side="left")
    bare = tokenizer_of(tmp_path)
    bare.enable_truncation(8, direction="right")
    bare.enable_padding(length=8)
    bare.save(str(tmp_path / "tokenizer.json"))
    long = " ".join(read("embedded:validation", ("Negative", "Positive")).texts)[:2000]
    given, ours = (Encoder(path, Encoding(max_length=32)).encode([long, "a film"]) for path in (bases("bert"), tmp_path))
    assert [ids.tolist() for ids in ours] == [ids.tolist() for ids in given]
    assert len(ours[0]) == 32
    assert len(ours[1]) < 8


@pytest.mark.slow
def test_text_in_front_of_an_over_long_review_changes_nothing():
    """The last 512 tokens of the embedded base's long reviews are encoded, and no others."""
    encoder = Encoder(find("embedded").path, Encoding())
    reviews = read("embedded:test", ("Negative", "Positive"))
    long = [text for text, count in zip(reviews.texts, encoder.lengths(reviews.texts), strict=True) if count > 512]
    assert len(long) > 20
    for plain, fronted in zip(encoder.encode(long), encoder.encode([f"Worst film ever. {text}" for text in long]), strict=True):
        np.testing.assert_array_equal(plain, fronted)


def test_a_missing_pad_token_is_added(bases):
    """GPT-2 has none; the added one has a new id, the last."""
    encoder = Encoder(bases("gpt2"), Encoding(max_length=16))
    assert encoder.tokenizer.pad_token == "[PAD]"
    assert encoder.pad_id == len(encoder.tokenizer) - 1


def test_a_prefix_space_can_be_added(bases):
    """With it, a byte-level tokenizer encodes the first word as one inside a sentence."""
    ids = {
        space: Encoder(bases("roberta"), Encoding(max_length=16, add_prefix_space=space)).encode(["film"])[0]
        for space in (True, False)
    }
    inside = Encoder(bases("roberta"), Encoding(max_length=16)).encode(["a film"])[0]
    assert ids[True][1:-1].tolist() == inside[2:-1].tolist()
    assert ids[True].tolist() != ids[False].tolist()


def test_the_fingerprint_is_of_behaviour(bases, tmp_path):
    """It is the same after saving and loading, and differs with length, side and vocabulary."""
    encoder = Encoder(bases("bert"), Encoding(max_length=16))
    encoder.save(tmp_path)
    assert tokenizer_of(tmp_path).truncation is None
    assert tokenizer_of(tmp_path).padding is None
    assert Encoder(tmp_path, Encoding(max_length=16)).fingerprint == encoder.fingerprint
    others = [
        Encoder(bases("bert"), Encoding(max_length=17)),
        Encoder(bases("bert"), Encoding(max_length=16, truncation_side="right")),
        Encoder(bases("roberta"), Encoding(max_length=16)),
    ]
    assert encoder.fingerprint not in {other.fingerprint for other in others}


def test_no_texts_are_no_ids(bases):
    """No texts give no arrays. Ids, masks and lengths are 64-bit integers, also of an empty text."""
    encoder = Encoder(bases("gpt2"), Encoding(max_length=16))
    assert encoder.encode([]) == []
    encoded = encoder.encode(["", "a film"])
    arrays = [*encoded, *encoder.pad(encoded).values(), encoder.lengths(["", "a film"])]
    assert {array.dtype for array in arrays} == {np.dtype(np.int64)}


def test_counting_tokens_warns_of_nothing(bases, capfd):
    """transformers would warn of texts beyond its limit; here they are expected."""
    encoder = Encoder(bases("bert"), Encoding(max_length=16))
    capfd.readouterr()  # what making the base said
    assert encoder.lengths(["a film " * 100]).item() > 64
    assert capfd.readouterr().err == ""


def test_a_saved_tokenizer_keeps_its_settings(bases, tmp_path):
    """Plain transformers cuts on the same side at the same length, and pads with the same token on the right."""
    base = shutil.copytree(bases("gpt2"), tmp_path / "base")
    edit_json(base / "tokenizer_config.json", truncation_side="right", padding_side="left")
    encoder = Encoder(base, Encoding(max_length=16))
    encoder.save(tmp_path / "saved")
    plain = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert (plain.truncation_side, plain.padding_side, plain.model_max_length) == ("left", "right", 16)
    assert plain.pad_token_id == encoder.pad_id
    text = " ".join(read("embedded:validation", ("Negative", "Positive")).texts)[:2000]
    assert plain(text, truncation=True)["input_ids"] == encoder.encode([text])[0].tolist()


def test_code_that_a_tokenizer_brings_is_not_run(bases, tmp_path):
    """A tokenizer that names its own class is loaded as the class that transformers knows."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    (base / "code.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Own: pass\n")
    edit_json(base / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "code.Own"]})
    assert Encoder(base, Encoding(max_length=16)).fingerprint == Encoder(bases("bert"), Encoding(max_length=16)).fingerprint
    assert not (tmp_path / "ran").exists()


def test_what_cannot_encode_is_refused(bases, tmp_path):
    """A max_length beyond the tokenizer's, a tokenizer in Python, and a directory without one."""
    message = f"encoding.max_length = 65: the tokenizer in {bases('bert')} allows at most 64"
    with pytest.raises(BaseModelError, match=f"^{re.escape(message)}$"):
        Encoder(bases("bert"), Encoding(max_length=65))
    with pytest.raises(ValueError, match=r"tokenizer") as cause:
        AutoTokenizer.from_pretrained(tmp_path)
    message = f"{tmp_path}: holds no tokenizer that can be loaded: {str(cause.value).splitlines()[0]}"
    with pytest.raises(BaseModelError, match=f"^{re.escape(message)}$"):
        Encoder(tmp_path, Encoding())
    ByT5Tokenizer().save_pretrained(tmp_path)
    message = f"{tmp_path}: holds no tokenizer that can be loaded: needs a fast tokenizer (tokenizer.json), found ByT5Tokenizer"
    with pytest.raises(BaseModelError, match=f"^{re.escape(message)}$"):
        Encoder(tmp_path, Encoding())


@pytest.mark.parametrize("name", ["bert", "roberta", "deberta-v2", "gpt2"])
def test_tokens_are_located_in_their_text(bases, name):
    """The ids are those of `encode`. Each token has its characters, and a special token has none."""
    encoder = Encoder(bases(name), Encoding(max_length=8))
    text = "a film that was good from beginning to end"
    for shown in (text, f"{text}, and {text}"):
        ids, spans = encoder.locate(shown)
        assert ids.tolist() == encoder.encode([shown])[0].tolist()
        assert (spans.shape, spans.dtype) == ((len(ids), 2), np.int64)
        real = spans[spans[:, 1] > spans[:, 0]]
        assert len(real) >= 6
        assert real[-1, 1] == len(shown)
        assert (np.diff(real[:, 0]) > 0).all()


def test_a_text_without_tokens_is_a_pad_token_of_no_characters(bases):
    """For a tokenizer that adds no special tokens."""
    encoder = Encoder(bases("gpt2"), Encoding(max_length=8))
    ids, spans = encoder.locate("")
    assert (ids.tolist(), spans.tolist()) == ([encoder.pad_id], [[0, 0]])


def test_a_normalizer_that_multiplies_a_text_is_refused(bases, tmp_path):
    """Twelve tenfold replacements of a letter make a trillion; real ones replace one by one or two."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    content = json.loads((base / "tokenizer.json").read_text())
    tenfold = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    content["normalizer"] = {"type": "Sequence", "normalizers": [tenfold] * 12}
    (base / "tokenizer.json").write_text(json.dumps(content))
    edit_json(base / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    with pytest.raises(BaseModelError, match=r"1,000,000,000,000 characters in the place of one, expected 100 at most"):
        Encoder(base, Encoding(max_length=16))


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 100 + [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1] * 100, "tokens": ["[CLS]"] * 100}},
}
LONG = {"content": "x", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
CHARSMAP = base64.b64encode((4).to_bytes(4, "little") + bytes(4) + b"b" * 101 + b"\0").decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        ("post_processor", TEMPLATE, r"10,100 tokens added to each text, expected 1,000 at most"),
        ("normalizer", {"type": "Prepend", "prepend": "b" * 101}, r"101 characters in the place of one, expected 100 at most"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}, r"101 characters in the place of one"),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 200}, r"\d+ steps through each text, expected 200"),
        ("max_input_chars_per_word", 10**9, r"1,000,000,000 characters in a word, an affix or the unknown token"),
        ("continuing_subword_prefix", "x" * 257, r"257 characters in a word, an affix or the unknown token, expected"),
        ("added_tokens", [LONG | {"id": number} for number in range(50_001)], r"50,001 tokens beside the vocabulary, expected"),
    ],
)  # fmt: skip
def test_a_tokenizer_of_unbounded_cost_is_refused(bases, tmp_path, part, value, expected):
    """A few kilobytes in its file may cost gigabytes for each text: 5,000 times 20,000 tokens took 14 GB."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    content = json.loads((base / "tokenizer.json").read_text())
    (content["model"] if part in content["model"] else content)[part] = value
    (base / "tokenizer.json").write_text(json.dumps(content))
    edit_json(base / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    with pytest.raises(BaseModelError, match=expected):
        Encoder(base, Encoding(max_length=16))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("space", [True, False], ids=["space", "none"])
def test_a_saved_tokenizer_is_loaded_unchanged(bases, tmp_path, name, space):
    """Every part is the same, from tokenizer.json alone and from all its files, for every kind of tokenizer."""
    encoder = Encoder(bases(name), Encoding(max_length=16, add_prefix_space=space))
    encoder.save(tmp_path)
    again = Encoder(tmp_path, Encoding(max_length=16, add_prefix_space=space))
    assert again.parts == encoder.parts
    assert again.changed_since(tmp_path / "tokenizer.json") == []


def replaced(**parts):
    """Parts of a tokenizer.json put in another's place."""
    return lambda content: content.update(parts)


def numbered(content):
    content["model"] = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 4_000_000_000}, "unk_token": "[UNK]"}


SPECIAL = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 100
HOSTILE = {
    "ids": (numbered, "4,000,000,001 token ids, expected 16,777,216 at most"),
    "specials": (
        replaced(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, *SPECIAL],
                "pair": [],
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
            }
        ),
        "tokens of a text that is cut at 16",
    ),
    "no-unknown": (
        replaced(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}),
        "Missing [UNK] token",
    ),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_tokenizer_that_cannot_be_used_is_one_line(bases, tmp_path, change, message):
    """It encodes a few texts when it is loaded, so that a fault shows there and not later."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    content = json.loads((base / "tokenizer.json").read_text())
    change(content)
    (base / "tokenizer.json").write_text(json.dumps(content))
    edit_json(base / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    with pytest.raises(BaseModelError, match=rf"^{base}: holds no tokenizer that can be loaded: .*{re.escape(message)}"):
        Encoder(base, Encoding(max_length=16))


def test_a_tokenizer_that_asks_for_more_than_texts_is_refused(bases, tmp_path):
    """LayoutLM's needs bounding boxes."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    edit_json(base / "tokenizer_config.json", tokenizer_class="LayoutLMv3Tokenizer")
    with pytest.raises(
        BaseModelError, match=r"holds no tokenizer that can be loaded: You must provide corresponding bounding boxes"
    ):
        Encoder(base, Encoding(max_length=16))


def test_a_pattern_that_is_too_costly_is_one_line(bases, tmp_path, capfd):
    """Rust panics while it encodes, with a BaseException."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    content = json.loads((base / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": "z"}
    (base / "tokenizer.json").write_text(json.dumps(content))
    edit_json(base / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    encoder = Encoder(base, Encoding(max_length=16))
    with pytest.raises(BaseModelError, match=r"^the tokenizer cannot read a text: Onig: Regex search error"):
        encoder.encode(["x" * 3000])


def test_a_tokenizer_as_it_is_is_padded_as_asked(bases):
    """With a given token, or its own; an error has the given name."""
    tokenizer = AutoTokenizer.from_pretrained(bases("bert"))
    assert Encoder.of(tokenizer, 32, "mine", 7).pad_id == 7
    assert Encoder.of(tokenizer, 32, "mine").pad_id == tokenizer.pad_token_id
    with pytest.raises(BaseModelError, match=r"^mine: .* of a text that is cut at 1$"):
        Encoder.of(tokenizer, 1, "mine", 7)
