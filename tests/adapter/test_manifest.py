"""The manifest: read without torch, and an identity that changes with everything that an adapter's answers follow from."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from lorasent.adapter import manifest
from lorasent.errors import AdapterError
from lorasent.files import canonical
from tests.support.bases import edit_json


@pytest.fixture
def copied(small_adapter, tmp_path):
    """A copy of the small adapter, to be changed."""
    return shutil.copytree(small_adapter, tmp_path / "copy")


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


def test_a_name_that_is_no_text_is_refused(copied):
    """It is no file that a manifest lists, and it is told escaped."""
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
from lorasent import manifest
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
    with pytest.raises(AdapterError, match=r"^.*x\.json: not JSON that can be read: "):
        manifest.read_json(tmp_path / "x.json")


def test_its_json_is_canonical(small_adapter):
    """Sorted, so that equal adapters are equal bytes."""
    text = (small_adapter / "lorasent.json").read_text("utf-8")
    assert text == canonical(json.loads(text))


BOUNDS = {
    "a label": ("labels", ["x" * 201, "y"], r"labels\.0: String should have at most 200 characters, found x+…x+$"),
    "labels": ("labels", [str(number) for number in range(10_001)], r"labels: List should have at most 10000 items"),
    "a base": ("base", {"name": "x" * 5000, "sha256": "", "revision": None}, r"base\.name: String should have at most 4096"),
    "no base": ("base", {"name": "", "sha256": "", "revision": None}, r"base\.name: Value error, names no base, found $"),
    "probes": ("probes", {"texts": ["x"] * 51, "logits": [[0.0, 0.0]] * 51}, r"probes\.texts: List should have at most 50 items"),
    "a probe": ("probes", {"texts": ["x" * 10_001], "logits": [[0.0, 0.0]]}, r"probes\.texts\.0: String should have at most 10000"),
    "data": ("data", {"train": 5}, r"data\.train: Input should be a valid dictionary"),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_what_a_manifest_says_is_bounded(copied, what):
    """Its probes are answered at every load, its labels printed with every answer."""
    key, value, message = BOUNDS[what]
    edit_json(copied / "lorasent.json", **{key: value})
    with pytest.raises(AdapterError, match=message):
        manifest.read(copied)


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
