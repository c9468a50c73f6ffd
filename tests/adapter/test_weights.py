"""Safetensors files: what a header says is held to bounds, whoever wrote it."""

import json
import os
import struct
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lorasent.adapter import weights


def write(path, head, data=b"", length=None):
    """A file with this header, given as JSON or as bytes."""
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)
    return path


def tensor(shape, size=0, kind="F32"):
    """What a header says of one tensor."""
    return {"a\n": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}


BROKEN = {
    "a shape that overflows": (tensor([2**62, 0]), 0, r"^a\\n has shape \[4611686018427387904, 0\], more than a tensor may have$"),
    "a shape that overflows behind a zero": (tensor([0, 2**63]), 0, r"^a\\n has shape \[0, 9223372036854775808\]"),
    "70 dimensions": (tensor([1] * 70, 4), 4, r"^a\\n has shape \[1, 1, .*…"),
    "a size below zero": (tensor([-1]), 0, r"invalid value: integer `-1`"),
    "numbers that are not there": (tensor([9], 36), 4, r"incomplete metadata, file not fully covered"),
    "a type that nobody knows": (tensor([1], 4, "F31"), 4, r"unknown variant `F31`"),
    "no JSON": (b"{", 0, r"invalid JSON in header"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_malformed_header_is_refused_in_one_line(tmp_path, fault):
    """Whatever NumPy, torch and safetensors would raise."""
    head, size, message = BROKEN[fault]
    with pytest.raises(ValueError, match=message):
        weights.header(write(tmp_path / "x", head, b"\0" * size))


@pytest.mark.parametrize("length", [weights.MOST_HEADER + 1, 2**63 - 1, 2**64 - 1])
def test_a_long_header_is_not_read(tmp_path, length):
    """Its length is checked before the library allocates memory for it."""
    with pytest.raises(ValueError, match=rf"^its header claims {length:,} bytes, at most 16,777,216 are read$"):
        weights.header(write(tmp_path / "x", b"{}", length=length))


def test_scalars_and_empty_tensors_are_tensors(tmp_path):
    """Checkpoints hold both."""
    save_file({"a": np.zeros((), np.float32), "b": np.zeros((0, 3), np.int64)}, tmp_path / "x")
    assert weights.header(tmp_path / "x") == {"a": ((), "F32"), "b": ((0, 3), "I64")}


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(-1, 2**64), max_size=80),
    st.integers(0, 64),
    st.sampled_from(["F32", "F4", "BOOL", "C64", "x"]),
    st.binary(),
)
def test_any_header_is_read_or_refused_in_one_way(tmp_path, shape, size, kind, data):
    """It raises ValueError, or gives shapes that NumPy can hold."""
    try:
        found = weights.header(write(tmp_path / "x", tensor(shape, size, kind), data))
    except ValueError:
        return
    for sizes, _ in found.values():
        assert len(sizes) <= weights.MOST_DIMENSIONS
        assert prod(max(one, 1) for one in sizes) <= weights.MOST_NUMBERS


def test_an_adapter_is_at_most_twice_its_base(tmp_path):
    """A small adapter may be larger than a small base. Holes count as their size."""
    (base := tmp_path / "base").mkdir()
    save_file({"a": np.zeros(9, np.float32)}, tmp_path / "x")
    assert weights.bounded(tmp_path / "x", base) == {"a": ((9,), "F32")}
    os.truncate(tmp_path / "x", weights.ALWAYS + 1)
    with pytest.raises(ValueError, match=r"^holds 67,108,865 bytes, an adapter of this base has at most 67,108,864$"):
        weights.bounded(tmp_path / "x", base)
    (base / "model.safetensors").touch()
    os.truncate(base / "model.safetensors", weights.ALWAYS)
    with pytest.raises(ValueError, match=r"incomplete metadata"):  # it is read
        weights.bounded(tmp_path / "x", base)


def test_a_checkpoint_is_read_from_all_its_files(tmp_path):
    """Shapes and types are as safetensors names them; other files are not read."""
    save_file({"a": np.zeros((2, 3), np.float16)}, tmp_path / "model-1.safetensors")
    save_file({"b": np.zeros(1, np.float32)}, tmp_path / "model-2.safetensors")
    save_file({"c": np.zeros(1, np.float32)}, tmp_path / "other.safetensors")
    assert weights.checkpoint(tmp_path) == {"a": ((2, 3), "F16"), "b": ((1,), "F32")}
