"""An adapter without a manifest: where its labels, its head and its tokenizer are taken from."""

import json
import re
import shutil

import numpy as np
import pytest

from lorasent.adapter.classifier import answer
from lorasent.adapter.directory import UnverifiedAdapterWarning, load
from lorasent.adapter.encoding import Encoder
from lorasent.adapter.snapshot import SUPPORTED
from lorasent.errors import AdapterError, LorasentError
from lorasent.recipe.recipe import Encoding
from tests.support.adapters import exactly, write_untrained
from tests.support.bases import edit_json, edit_tensors, quick

TEXTS = ["it was a good movie", "not worth the time"]


def drop_head(tensors):
    """What an exporter that forgot the head would write."""
    for name in [name for name in tensors if "classifier" in name]:
        del tensors[name]


def test_without_a_manifest_it_warns_and_answers_the_same(copied, small_adapter):
    """An adapter of plain PEFT is loaded with a warning that says what cannot be verified."""
    (copied / "lorasent.json").unlink()
    (copied / "training_args.bin").write_bytes(b"a pickle that trainers leave beside their weights; nobody reads it")
    message = (
        f"{copied}: no lorasent.json: files, base weights, tokenizer, truncation side, labels and answers cannot be verified; "
        "lorasent uses labels LABEL_0, LABEL_1 (no configuration names them), the tokenizer of the adapter, "
        "texts cut on the left to 64 tokens, one label a text"
    )
    with pytest.warns(UnverifiedAdapterWarning, match=exactly(message)):
        plain = load(copied)
    assert plain.labels == ("LABEL_0", "LABEL_1")
    known = load(small_adapter)
    np.testing.assert_allclose(answer(plain.model, plain.encoder, TEXTS), answer(known.model, known.encoder, TEXTS), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", quick("distilbert", "roberta", "modernbert", "gpt2"))
def test_labels_are_counted_on_the_head_without_a_manifest(bases, tmp_path, architecture):
    """There are as many as the last layer of the head has rows, whatever its name."""
    path = write_untrained(tmp_path / "adapter", bases(architecture), labels=("Bad", "Fair", "Good"))
    (path / "lorasent.json").unlink()
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        assert load(path).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def shorten_head(tensors):
    """A regression head, of one output."""
    for name in [name for name in tensors if "classifier" in name]:
        tensors[name] = tensors[name][:1].clone()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drop_head", "lacks base_model.model.classifier.bias, base_model.model.classifier.weight, holds unexpected nothing"),
        ("shorten_head", f"its head has one output (a regression); {SUPPORTED}"),
    ],
    ids=["no head", "one output"],
)
def test_without_a_manifest_a_head_is_needed(copied, fault, message):
    """Weights without a head, or with a head of one output, are refused."""
    (copied / "lorasent.json").unlink()
    edit_tensors(copied / "adapter_model.safetensors", globals()[fault])
    with pytest.raises(AdapterError, match=exactly(f"{copied / 'adapter_model.safetensors'}: {message}")):
        load(copied)


def lengthen(path):
    """Gives a copy of the small BERT 600 positions."""
    edit_json(path / "config.json", max_position_embeddings=600)
    name = "embeddings.position_embeddings.weight"
    edit_tensors(path / "model.safetensors", lambda tensors: tensors.update({name: tensors[name][:60].repeat(10, 1)}))


def cut_at(length, side="Right"):
    """What a tokenizer's last call leaves in tokenizer.json."""
    return {"direction": side, "max_length": length, "strategy": "LongestFirst", "stride": 0}


@pytest.fixture
def bare(bases, tmp_path):
    """An adapter without a manifest, and its base, whose tokenizers can be edited."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    path = write_untrained(tmp_path / "adapter", base)
    (path / "lorasent.json").unlink()
    return base, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "last", "positions", "expected"),
    [
        (32, None, 64, (32, "left")),
        (1000, None, 64, (64, "left")),
        (None, None, 64, (64, "left")),
        (1000, None, 600, (600, "left")),
        (64, cut_at(16), 64, (16, "left")),
        (None, cut_at(16), 64, (16, "left")),
        (32, cut_at(64), 64, (64, "left")),
        ("unsaid", cut_at(16), 64, (16, "right")),
    ],
    ids=[
        "the tokenizer allows less",
        "the base holds less",
        "the tokenizer does not say",
        "the base holds more",
        "the trainer's call",
        "the trainer's call alone",
        "the trainer's call was longer",
        "the side of the trainer's call",
    ],
)
@pytest.mark.filterwarnings("ignore::lorasent.adapter.directory.UnverifiedAdapterWarning")
def test_without_a_manifest_texts_are_cut_as_saved(bare, limit, last, positions, expected):
    """At the length of the trainer's last call if tokenizer.json keeps it, else at what tokenizer and base allow."""
    base, path = bare
    if positions == 600:
        lengthen(base)
    edit_json(path / "tokenizer_config.json", model_max_length=64 if limit == "unsaid" else limit)
    if limit == "unsaid":
        config = json.loads((path / "tokenizer_config.json").read_text())
        (path / "tokenizer_config.json").write_text(json.dumps({key: config[key] for key in config if key != "truncation_side"}))
    edit_json(path / "tokenizer.json", truncation=last)
    encoder = load(path).encoder
    assert (encoder.max_length, encoder.tokenizer.truncation_side) == expected
    assert max(map(len, encoder.encode(["a film " * 1000]))) == encoder.max_length


def test_without_a_tokenizer_the_bases_is_taken(bare):
    """It is used as it is, and the warning says so."""
    base, path = bare
    for file in path.glob("*token*"):
        file.unlink()
    edit_json(base / "tokenizer_config.json", model_max_length=40, truncation_side="right")
    edit_json(base / "tokenizer.json", truncation=cut_at(16))  # transformers does not heed it, and no trainer left it
    told = f"the tokenizer of the base {base}, texts cut on the right to 40 tokens"
    with pytest.warns(UnverifiedAdapterWarning, match=re.escape(told)):
        encoder = load(path).encoder
    assert encoder.fingerprint == Encoder(base, Encoding(max_length=40, truncation_side="right")).fingerprint


def cut_alike(base, path):
    """tokenizer.json cuts as the base's does: nobody may have called it."""
    for folder in (base, path):
        edit_json(folder / "tokenizer.json", truncation=cut_at(16))


def cut_beyond(base, path):
    """A call for more than the base holds."""
    edit_json(path / "tokenizer.json", truncation=cut_at(65))


def lose_the_configuration(base, path):
    """tokenizer.json alone."""
    (path / "tokenizer_config.json").unlink()


def leave_a_pointer(base, path):
    """A checkout without Git LFS."""
    (path / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def link_out(base, path):
    """A tokenizer that is not in the directory."""
    (path / "tokenizer.json").unlink()
    (path / "tokenizer.json").symlink_to(base / "tokenizer.json")


def write_a_length_in_words(base, path):
    """A length that is no number."""
    edit_json(path / "tokenizer_config.json", model_max_length="long")


def add_a_token(base, path):
    """A token beside the pad token that nobody has an embedding of."""
    content = json.loads((path / "tokenizer.json").read_text())
    new = {**content["added_tokens"][0], "id": max(content["model"]["vocab"].values()) + 1, "content": "[NEW]"}
    edit_json(path / "tokenizer.json", added_tokens=[*content["added_tokens"], new])


def end_with_padding(base, path):
    """Texts end with the tokenizer's pad token, which is not the model's."""
    edit_json(path / "tokenizer_config.json", pad_token="[SEP]")  # noqa: S106


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (cut_alike, r"tokenizer.json: cuts to 16 tokens, as the base's does, tokenizer_config.json to 64: name the length"),
        (cut_beyond, r"tokenizer.json: cuts to 65 tokens, .* holds 64 positions"),
        (lose_the_configuration, r"tokenizer.json: a tokenizer without tokenizer_config.json; save it whole"),
        (leave_a_pointer, r"tokenizer.json: is a pointer of Git LFS, not the file itself: git lfs pull"),
        (link_out, r"tokenizer.json: is a link out of the directory"),
        (write_a_length_in_words, r"tokenizer_config.json: model_max_length must be a number of tokens, found long"),
        (add_a_token, r"neither adapter nor base holds an embedding of the token \[NEW\]"),
        (end_with_padding, r"texts end with a pad token \(3 or 0\); which token is read is not known"),
    ],
)
def test_without_a_manifest_an_ambiguous_tokenizer_is_refused(bare, fault, message):
    """If the files do not say how the trainer encoded, the message names the file."""
    fault(*bare)
    with pytest.raises(LorasentError, match=message):
        load(bare[1])
