"""Files that somebody else wrote: JSON is read within bounds, or refused in one line."""

import pytest

from lorasent.adapter import untrusted
from lorasent.errors import AdapterError, BaseModelError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "a": 2}', r"the key a occurs twice in an object"),
        ('{"b": [{"a": 1, "c": 0, "a": 1}]}', r"the key a occurs twice"),
        ('{"a": [' + "0," * 2_000_001 + "0]}", r"not valid JSON: more than 2,000,000 values"),
        ('{"a": ' * 101 + "1" + "}" * 101, r"nested deeper than 100 objects and lists"),
        ('{"a": ' + "9" * 5000 + "}", r"not valid JSON: Exceeds the limit"),
        ("5", r"expected a JSON object, found 5"),
        ("\ufeff[]", r"expected a JSON object, found list of length 0"),
    ],
    ids=["a key twice", "a key twice inside", "values without end", "deep", "a number without end", "a number", "a list"],
)
def test_ambiguous_or_unbounded_json_is_refused(tmp_path, content, message):
    """Libraries differ in which of two equal keys they take, and in their limits."""
    (tmp_path / "x.json").write_text(content, "utf-8")
    with pytest.raises(AdapterError, match=message):
        untrusted.read_json(tmp_path / "x.json")


def test_the_caller_chooses_the_error_and_the_advice_for_a_missing_file(tmp_path):
    """A base's file is a fault of the base."""
    with pytest.raises(BaseModelError, match=r"x\.json: cannot be read: No such file or directory; save it again$"):
        untrusted.read_json(tmp_path / "x.json", failure=BaseModelError, advice="; save it again")
    with pytest.raises(AdapterError, match=r"^y: cannot be read: No such file or directory$"):
        untrusted.read_json(tmp_path / "x.json", tmp_path.__class__("y"))


@pytest.mark.parametrize(
    ("name", "size"),
    [("model-00001.safetensors", 2 << 30), ("vocab.json", 40 << 20), ("vocab.txt", 8 << 20), ("other.json", 8 << 20)],
)
def test_a_files_name_decides_how_much_of_it_is_read(name, size):
    """Weights are large, vocabularies smaller, everything else small."""
    assert untrusted.most_bytes(name) == size


@pytest.mark.parametrize("begin", untrusted.POINTERS)
def test_a_pointer_is_known_by_its_beginning(begin):
    """Other content before it makes it an ordinary file."""
    assert untrusted.pointer(begin + b"v1\n") == untrusted.POINTERS[begin]
    assert untrusted.pointer(b"\0" + begin) is None


NESTED = {"a": [{"b": 1}, {"a": {"c": 2}}], "model": {"b": 3}}


def test_every_key_of_json_is_found_at_any_depth():
    """With its value, outer keys first."""
    assert [key for key, _ in untrusted.items(NESTED)] == ["a", "model", "b", "a", "c", "b"]


def test_keys_are_left_out_at_any_depth():
    """Except inside the value of the key that is kept whole."""
    assert untrusted.without(NESTED, "b".__eq__) == {"a": [{}, {"a": {"c": 2}}], "model": {}}
    assert untrusted.without(NESTED, "b".__eq__, whole="model") == {"a": [{}, {"a": {"c": 2}}], "model": {"b": 3}}
