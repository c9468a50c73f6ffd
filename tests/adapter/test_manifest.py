"""The manifest: read without torch, and an identity that changes with everything that an adapter's answers follow from."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from lorasent.adapter import manifest
from lorasent.adapter.directory import load
from lorasent.data.reviews import Reviews
from lorasent.errors import AdapterError, RecipeError
from lorasent.files import canonical
from tests.support import manifests
from tests.support.adapters import exactly
from tests.support.bases import edit_json
from tests.support.manifests import split

CHANGES = {
    "weights": lambda path: (path / "adapter_model.safetensors").write_bytes(b"other"),
    "configuration": lambda path: edit_json(path / "adapter_config.json", lora_alpha=1),
    "a file more": lambda path: (path / "more.json").write_text("{}"),
    "a file less": lambda path: (path / "tokenizer.json").unlink(),
    "the recipe": lambda path: edit_json(path / "lorasent.json", recipe={"encoding": {"max_length": 8}}),
    "the base": lambda path: edit_json(path / "lorasent.json", base={"name": "x", "sha256": "0", "revision": None}),
    "the labels": lambda path: edit_json(path / "lorasent.json", labels=["Positive", "Negative"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_identity_changes_with_what_answers_follow_from(copied, change):
    """Another file, recipe, base or labels: another identity."""
    before = manifest.identity(copied)
    CHANGES[change](copied)
    assert manifest.identity(copied) != before


def test_a_name_that_is_not_utf_8_is_refused(copied):
    """The manifest cannot list it, and the message shows it escaped."""
    (copied / os.fsdecode(b"\xff.json")).touch()
    with pytest.raises(AdapterError, match=r"\\udcff\.json: not among the files"):
        manifest.verify(copied)


def test_the_identity_is_of_the_content_alone(small_adapter, copied):
    """A copy elsewhere has it; an edited model card, and what else the manifest tells, change nothing; folders are no files."""
    before = manifest.identity(small_adapter)
    (copied / "README.md").write_text("mine")
    edit_json(copied / "lorasent.json", epochs=[])
    assert manifest.identity(copied) == before
    assert len(before) == 64
    (copied / "folder").mkdir()
    assert manifest.identity(copied) != before


def test_reading_it_needs_no_torch(small_adapter):
    """A verdict begins in a tenth of a second, not in three."""
    code = """
import pathlib, sys
from lorasent.adapter import manifest
manifest.verify(pathlib.Path(sys.argv[1]))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(small_adapter)], check=True)


@pytest.mark.parametrize(
    "content", ['{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000], ids=["NaN", "half a character", "endless nesting"]
)
def test_json_that_could_not_be_hashed_is_refused(tmp_path, content):
    """It is named, before anything is made of it."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(AdapterError, match=r"^.*x\.json: not valid JSON: "):
        manifest.read_json(tmp_path / "x.json")


def test_its_json_is_canonical(small_adapter):
    """Sorted, so that equal adapters are equal bytes."""
    text = (small_adapter / "lorasent.json").read_text("utf-8")
    assert text == canonical(json.loads(text))


BOUNDS = {
    "a label": ("labels", ["x" * 201, "y"], r"labels\.0 = 'x+…x+': should have at most 200 characters$"),
    "labels": (
        "labels",
        [str(number) for number in range(10_001)],
        r"labels = list of length 10001: should have at most 10000 items",
    ),
    "a base": ("base", {"name": "x" * 5000, "sha256": "", "revision": None}, r"base\.name = 'x+…x+': should have at most 4096"),
    "no base": (
        "base",
        {"name": "", "sha256": "", "revision": None},
        r"base\.name = '': should have at least 1 character",
    ),
    "probes": (
        "probes",
        {"texts": ["x"] * 51, "logits": [[0.0, 0.0]] * 51},
        r"probes\.texts = list of length 51: should have at most 50 items",
    ),
    "a probe": (
        "probes",
        {"texts": ["x" * 10_001], "logits": [[0.0, 0.0]]},
        r"probes\.texts\.0 = 'x+…x+': should have at most 10000",
    ),
    "data": ("data", {"train": 5}, r"data\.train = 5: should be a valid dictionary"),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_what_a_manifest_says_is_bounded(copied, what):
    """Its probes are answered at every load, its labels printed with every answer."""
    key, value, message = BOUNDS[what]
    edit_json(copied / "lorasent.json", **{key: value})
    with pytest.raises(AdapterError, match=message):
        manifest.read(copied)


def test_a_file_that_could_not_be_read_is_not_called_missing(copied):
    """It is there, and the reason is told."""
    path = copied / "tokenizer_config.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(AdapterError, match=r"tokenizer_config\.json: is a folder; an adapter has none$"):
        manifest.verify(copied)


def test_a_hash_of_converted_line_endings_says_so(copied):
    """The file is the one that was written, but for git; another one is not."""
    path = copied / "tokenizer_config.json"
    written = path.read_bytes()
    path.write_bytes(written.replace(b"\n", b"\r\n"))
    with pytest.raises(AdapterError, match=r"tokenizer_config\.json: its line endings are not those .*'\* -text'") as refused:
        manifest.verify(copied)
    assert refused.value.cause == "line-endings"
    path.write_bytes(written.replace(b"\n", b"\r\n") + b" ")
    with pytest.raises(AdapterError, match=r"not the file that was written"):
        manifest.verify(copied)


MALFORMED = {
    "files": ([], "files = list of length 0: should be a valid dictionary"),
    "base": ({"name": "x"}, "required key base.sha256 is missing"),
    "probes": ({"texts": ["a", "b"], "logits": [[0.1, 0.2]]}, "probes: every text needs a logit for each label"),
    "labels": (["only" * 40], "labels = list of length 1: should have at least 2 items after validation, not 1"),
}


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_manifest_is_named(copied, key):
    """A key of the wrong form proves nothing and is refused; 60 characters of it are shown."""
    value, message = MALFORMED[key]
    edit_json(copied / "lorasent.json", **{key: value})
    with pytest.raises(AdapterError, match=re.escape(message)) as refused:
        load(copied)
    assert str(refused.value).startswith(f"{copied / 'lorasent.json'}: {message}")


def test_a_manifest_that_does_not_list_the_weights_proves_nothing(copied):
    """PEFT's two files are held to the manifest although it leaves them out."""
    content = json.loads((copied / "lorasent.json").read_text("utf-8"))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        files = {file: digest for file, digest in content["files"].items() if file != name}
        edit_json(copied / "lorasent.json", files=files)
        message = f"{copied / name}: not the file that was written (sha256 differs from the manifest's)"
        with pytest.raises(AdapterError, match=exactly(message)):
            manifest.verify(copied)


def test_the_identity_is_of_what_answers(copied):
    """The model card and the times that training took are no part of it; files, recipe, base and labels are."""
    before = manifest.identity(copied)
    (copied / "README.md").write_text("mine")
    edit_json(copied / "lorasent.json", epochs=[], best={})
    assert manifest.identity(copied) == before
    content = json.loads((copied / "lorasent.json").read_text("utf-8"))
    others = set()
    for key, value in (("recipe", {}), ("base", {**content["base"], "revision": "a" * 40}), ("labels", ["Bad", "Good"])):
        edit_json(copied / "lorasent.json", **{key: value})
        others.add(manifest.identity(copied))
        edit_json(copied / "lorasent.json", **{key: content[key]})
    edit_json(copied / "adapter_config.json", lora_alpha=64)
    others.add(manifest.identity(copied))
    assert len(others - {before}) == 4


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("same", ["sha256", "source"])
def test_reviews_of_the_training_run_are_recognised(part, same):
    """By their hash, or by the name of their source; others are not."""
    reviews = Reviews("films.csv", ["a film"], np.array([0]))
    value = {"sha256": reviews.fingerprint, "source": reviews.source}[same]
    others = {"train": split("x.csv"), "validation": split("y.csv")}
    assert manifests.manifest(data=others | {part: split(**{same: value})}).trained_on(reviews) == part
    assert manifests.manifest(data=others).trained_on(reviews) is None
    assert manifests.manifest(data={}).trained_on(reviews) is None


def test_it_cannot_be_changed(small_adapter):
    """What was read is what is judged."""
    read = manifest.read(small_adapter)
    with pytest.raises(ValidationError, match=r"frozen"):
        read.labels = ["a", "b"]
    with pytest.raises(ValidationError, match=r"frozen"):
        read.base.name = "another"


def test_keys_that_nothing_reads_are_kept(copied):
    """They are written into recorded evidence with the others."""
    edit_json(copied / "lorasent.json", remark=["by hand"])
    read = manifest.read(copied)
    assert read.content == json.loads((copied / "lorasent.json").read_text("utf-8"))
    assert not hasattr(read, "remark")


def test_what_an_older_lorasent_left_out_is_optional(copied):
    """The base's configuration, the tokenizer's parts, the reviews and the libraries."""
    content = json.loads((copied / "lorasent.json").read_text("utf-8"))
    del content["base"]["config"], content["tokenizer_parts"], content["data"], content["libraries"]
    old = manifest.CompleteManifest.parse(content, "old")
    assert (old.base.config, old.tokenizer_parts, old.data, old.libraries) == (None, None, {}, {})


@pytest.mark.parametrize("key", ["recipe_sha256", "parameters"])
def test_an_adapter_can_be_loaded_without_what_only_the_gate_needs(copied, key):
    """The gate names the key; who only loads the adapter does not."""
    edit_json(copied / "lorasent.json", **{key: None})
    read = manifest.read(copied)
    with pytest.raises(AdapterError, match=rf"^gate: {key} = None: should be a valid "):
        manifest.CompleteManifest.parse(read.content, "gate")


def test_a_recipe_is_validated_when_it_is_asked_for(copied):
    """An error names the manifest; the tables are kept as they were written."""
    edit_json(copied / "lorasent.json", recipe={"encoding": {"max_length": 8}})
    read = manifest.read(copied)
    assert read.tables == {"encoding": {"max_length": 8}}
    with pytest.raises(RecipeError, match=r"lorasent\.json: "):
        _ = read.recipe


def test_a_missing_manifest_is_named_in_plain_words(copied):
    """Whose directory it is, and what that means."""
    (copied / "lorasent.json").unlink()
    message = f"{copied}: no lorasent.json: lorasent did not train this adapter, or its manifest was left behind"
    with pytest.raises(AdapterError, match=f"^{re.escape(message)}$") as refused:
        manifest.read(copied)
    assert refused.value.cause == "manifest-missing"
