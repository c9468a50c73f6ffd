"""The cache: an answer lies under the hash of its question, and nothing else is taken for it."""

import hashlib
from pathlib import Path

import numpy as np

from lorasent import files
from lorasent.scoring import cache


def test_the_cache_lies_in_the_folder_of_the_variable_or_in_the_home(tmp_path, monkeypatch):
    """An answer lies under the hash of its question, in a folder named by the first two digits."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    key = hashlib.sha256(files.canonical({"schema": "3", "a": 1}).encode()).hexdigest()
    rest = Path("evidence") / key[:2] / f"{key}.safetensors"
    assert cache.place({"a": 1}) == tmp_path / "cache" / rest
    monkeypatch.delenv("LORASENT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.place({"a": 1}) == tmp_path / "home" / ".cache" / "lorasent" / rest


def test_a_tilde_in_the_variable_is_the_home(tmp_path, monkeypatch):
    """It is expanded where no shell does so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LORASENT_CACHE", "~/mine")
    assert cache.place({"a": 1}).is_relative_to(tmp_path / "mine")


def test_an_answer_is_found_with_its_metadata(tmp_path, monkeypatch):
    """Arrays come back, and metadata as texts: other values as JSON. Another question has no answer."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path))
    question = {"fact": "size", "libraries": {"torch": "2", "numpy": "1"}}
    assert cache.find(question) is None
    cache.keep(question, {"values": np.arange(3)}, answer="7")
    arrays, metadata = cache.find(question)
    assert arrays["values"].tolist() == [0, 1, 2]
    assert metadata == {"fact": "size", "libraries": '{"numpy": "1", "torch": "2"}', "answer": "7"}
    assert cache.find({**question, "fact": "other"}) is None
