"""Bases: found in three ways, pinned by hash, refused when unsafe."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from lorasent.adapter.base import ADAPTER, EMBEDDED_NAME, EMBEDDED_SHA256, find
from lorasent.errors import BaseModelError
from lorasent.hub import offline
from tests.support.bases import edit_json, make_hub_cache


def test_the_embedded_base_is_the_pinned_one():
    """`embedded` and its hub name both find the package's files, and they have the pinned hash."""
    assert find("embedded").sha256 == EMBEDDED_SHA256 == find(EMBEDDED_NAME).sha256
    assert find("embedded").name == EMBEDDED_NAME


def test_a_directory_is_hashed_by_its_weights(tmp_path):
    """One file has its own hash, several the hash of their names and hashes. Another name or byte changes it."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert find(str(tmp_path)).sha256 == hashlib.sha256(b"weights").hexdigest()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(zip("ab", names, strict=True))}))
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"more")
    sharded = find(str(tmp_path)).sha256
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"mores")
    assert find(str(tmp_path)).sha256 != sharded


def test_another_hash_than_required_is_refused(tmp_path):
    """The message names both hashes and the directory."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(BaseModelError, match=r"have sha256 9a129038d9a0…, required is 000000000000…"):
        find(str(tmp_path), expected_sha256="0" * 64)


def test_a_pickle_is_never_loaded(tmp_path):
    """A base with only a pickle is refused, and so is one with nothing."""
    with pytest.raises(BaseModelError, match=r"needs its weights as model.safetensors, found none; save it anew"):
        find(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BaseModelError, match=r"found only pytorch_model.bin, which is a pickle and is never loaded"):
        find(str(tmp_path))


def test_an_incomplete_download_is_completed(tmp_path, monkeypatch):
    """A cache with a configuration and no weights is no base: the hub is asked for the rest."""

    def download(_name, *, local_files_only=False, **_):
        (tmp_path / "config.json").write_text("{}")
        if not local_files_only:
            (tmp_path / "model.safetensors").write_bytes(b"weights")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find("some/base", "a" * 40).sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_missing_base_names_where_it_was_searched_for(tmp_path, monkeypatch):
    """A directory and a hub name that do not exist have a message each."""
    with pytest.raises(BaseModelError, match=r"/missing: no such directory"):
        find(str(tmp_path / "missing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BaseModelError, match=r"no-one/nothing: no such directory, not in the cache, and not available from the hub"
    ):
        find("no-one/nothing")


def test_offline_the_hub_is_not_asked(monkeypatch, tmp_path):
    """A base that is not in the cache cannot be found while a verdict is made; afterwards the hub is asked again."""
    asked = []

    def download(name, local_files_only=False, **_):
        asked.append(local_files_only)
        raise FileNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with (
        offline(),
        pytest.raises(BaseModelError, match=r"a verdict does not use the network; fetch it before: hf download some/base$"),
    ):
        find("some/base")
    assert asked == [True]
    with pytest.raises(BaseModelError, match=r"not here"):
        find("some/base")
    assert asked == [True, True, False]


@pytest.fixture
def base(bases, tmp_path):
    """A copy of the small base."""
    return shutil.copytree(bases("bert"), tmp_path / "base")


def test_a_base_is_loaded_from_a_folder_that_holds_what_was_checked(base, tmp_path):
    """It holds a link to the weights, copies of configuration and tokenizer without old paths, and nothing else."""
    for name in ("generation_config.json", "modeling.py", "pytorch_model.bin", "model.safetensors.index.json", "notes.txt"):
        (base / name).write_text("{}")
    edit_json(base / "config.json", _name_or_path="somewhere", attn_implementation="stranger/kernels")
    edit_json(base / "tokenizer_config.json", special_tokens_map_file="/elsewhere/map.json", tokenizer_file="/elsewhere.json")
    found = find(str(base))
    held = {file.name: file.read_bytes() for file in found.path.iterdir()}
    assert held.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert (found.path / "model.safetensors").samefile(base / "model.safetensors")
    assert held["tokenizer.json"] == (base / "tokenizer.json").read_bytes()
    assert json.loads(held["config.json"]) == found.config
    assert not {"_name_or_path", "attn_implementation"} & found.config.keys()
    assert not [key for key in json.loads(held["tokenizer_config.json"]) if key.endswith("_file")]
    assert find(str(base)).path == found.path
    edit_json(base / "config.json", hidden_act="relu")
    assert find(str(base)).path != found.path
    assert find(str(base)).content != found.content
    assert find(str(base)).sha256 == found.sha256


@pytest.mark.parametrize("key", ["transformers_weights", "auto_map", "quantization_config"])
def test_a_configuration_that_names_other_weights_or_code_is_refused(base, key):
    """At any depth; an empty value is allowed."""
    edit_json(base / "config.json", **{key: None})
    assert find(str(base))
    for changes in ({key: {"AutoModel": "code.Model"}}, {"text_config": {key: "other.safetensors"}}):
        edit_json(base / "config.json", **{"text_config": {}, **changes})
        with pytest.raises(BaseModelError, match=rf"{base}/config.json: {key} names other weights, another form of them, or code"):
            find(str(base))


def test_a_tokenizer_of_other_files_is_refused(base):
    """A configuration that names versions of tokenizer.json or arguments is refused."""
    for key in ("fast_tokenizer_files", "init_inputs"):
        tokens = (base / "tokenizer_config.json").read_text()
        edit_json(base / "tokenizer_config.json", **{key: ["other.json"]})
        with pytest.raises(BaseModelError, match=rf"tokenizer_config.json: {key} builds the tokenizer from other files"):
            find(str(base))
        (base / "tokenizer_config.json").write_text(tokens)


def test_an_adapter_beside_a_base_is_refused(base):
    """transformers would load it unasked; a dangling link counts too."""
    (base / ADAPTER).symlink_to("nowhere")
    with pytest.raises(BaseModelError, match=r"holds an adapter \(adapter_config.json\), which transformers would load into it"):
        find(str(base))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_refused(base, name):
    """The message names the command that fetches the file."""
    (base / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(BaseModelError, match=rf"{base}/{name}: is a pointer of Git LFS, not the file itself: git lfs pull"):
        find(str(base))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_only_regular_files_are_read(base, name, kind):
    """A FIFO would hang, a device never ends."""
    (base / name).unlink()
    if kind == "fifo":
        os.mkfifo(base / name)
    elif kind == "device":
        (base / name).symlink_to("/dev/zero")
    else:
        (base / name).mkdir()
    with pytest.raises(BaseModelError, match=rf"{name}.*(is a FIFO|is a device|[Ii]s a folder|Is a directory)"):
        find(str(base))


def test_a_configuration_has_a_bounded_size(base):
    """A config.json of more than 1 MiB is refused."""
    (base / "config.json").write_text(json.dumps({"model_type": "bert", "x": "x" * (1 << 20)}))
    with pytest.raises(BaseModelError, match=r"config.json: cannot be read: is larger"):
        find(str(base))


def test_weights_in_several_files_are_those_that_the_index_names(base):
    """An index is refused if it is malformed or names a file that was not hashed; files that it does not name are not loaded."""
    index, names = base / "model.safetensors.index.json", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (base / "model.safetensors").rename(base / names[0])
    for name in (names[1], "model.fp16.safetensors"):
        shutil.copyfile(base / names[0], base / name)
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": names[0], "b": names[1]}}))
    found = find(str(base))
    assert sorted(file.name for file in found.path.glob("model*")) == [*names, index.name]
    for content in ('{"weight_map": {"a": "../other.safetensors"}}', '{"weight_map": ["a"]}', "{}", "[]"):
        index.write_text(content)
        with pytest.raises(
            BaseModelError, match=r"model.safetensors.index.json: (weight_map must name the files|expected a JSON object)"
        ):
            find(str(base))


def test_a_base_in_the_hubs_cache_may_consist_of_links(base, tmp_path, monkeypatch):
    """The files that they lead to are read, and the hash is that of the same files in a directory."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    make_hub_cache(tmp_path, "films/base", base, "a" * 40)
    found = find("films/base", "a" * 40)
    assert (found.sha256, found.revision, found.content) == (find(str(base)).sha256, "a" * 40, find(str(base)).content)


def test_a_file_that_is_written_again_is_hashed_again(base):
    """Also if its size is the same."""
    before = find(str(base)).sha256
    os.utime(base / "model.safetensors", (1, 1))
    content = bytearray((base / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (base / "model.safetensors").write_bytes(content)
    assert find(str(base)).sha256 != before


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a\0b", "\udcff", "../../x", "", "a b c"], ids=["long", "nul", "raw", "up", "empty", "blank"]
)
def test_an_impossible_name_is_refused_in_one_line(monkeypatch, tmp_path, name):
    """Also if the base is searched for by its hash."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("LORASENT_BASE", str(tmp_path))
    with offline(), pytest.raises(BaseModelError, match=r"^[^\n]*$"):
        find(name, None, "0" * 64, tmp_path)


def test_a_folder_that_was_not_finished_is_not_found_again(bases, monkeypatch, tmp_path):
    """After a disk that was full, the next call makes the base's private folder whole."""
    base = str(bases("bert"))
    whole = sorted(path.name for path in find(base).path.iterdir())
    monkeypatch.setattr("lorasent.files.private", lambda: tmp_path)
    write = Path.write_bytes

    def fail(path, data):
        monkeypatch.setattr(Path, "write_bytes", write)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        find(base)
    assert sorted(path.name for path in find(base).path.iterdir()) == whole
