"""Bases: found in three ways, pinned by hash, refused when unsafe."""

import hashlib

import pytest

from lorasent.base import EMBEDDED_NAME, EMBEDDED_SHA256, find
from lorasent.errors import BaseModelError
from lorasent.hub import offline


def test_the_embedded_base_is_the_pinned_one():
    """`embedded` and its hub name both find the package's files, and they have the pinned hash."""
    assert find("embedded").sha256 == EMBEDDED_SHA256 == find(EMBEDDED_NAME).sha256
    assert find("embedded").name == EMBEDDED_NAME


def test_a_directory_is_hashed_by_its_weights(tmp_path):
    """One file: its hash. Several: the hash of their names and hashes. Another file's name or bytes change it."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert find(str(tmp_path)).sha256 == hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"more")
    sharded = find(str(tmp_path)).sha256
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"mores")
    assert find(str(tmp_path)).sha256 != sharded


def test_another_hash_than_required_is_refused(tmp_path):
    """The error names both hashes and the place."""
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


def test_a_download_that_was_cut_short_is_taken_up_again(tmp_path, monkeypatch):
    """A cache that holds a configuration and no weights is not taken for the base: the hub is asked for the rest."""

    def download(_name, *, local_files_only=False, **_):
        (tmp_path / "config.json").write_text("{}")
        if not local_files_only:
            (tmp_path / "model.safetensors").write_bytes(b"weights")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find("some/base", "a" * 40).sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_base_that_is_nowhere_says_where_was_looked(tmp_path, monkeypatch):
    """A missing directory is one message; a name that neither cache nor hub has is another."""
    with pytest.raises(BaseModelError, match=r"/missing: no such directory"):
        find(str(tmp_path / "missing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BaseModelError, match=r"no-one/nothing: no such directory, not in the cache, and not to be had from the hub"
    ):
        find("no-one/nothing")


def test_offline_the_hub_is_not_asked(monkeypatch, tmp_path):
    """A base that is not in the cache is not to be had while a verdict is made; afterwards the hub may be asked again."""
    asked = []

    def download(name, local_files_only=False, **_):
        asked.append(local_files_only)
        raise FileNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with offline(), pytest.raises(BaseModelError, match=r"not to be had from the hub: a verdict asks no network; load it once"):
        find("some/base")
    assert asked == [True]
    with pytest.raises(BaseModelError, match=r"not here"):
        find("some/base")
    assert asked == [True, True, False]
