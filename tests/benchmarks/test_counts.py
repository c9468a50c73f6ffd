"""Exact counts hold: an update of them is asked for by --update-golden, and looked at."""

import pytest
import torch

from lorasent import golden as goldens
from lorasent import machine
from lorasent.pytest_plugin.goldens import is_update
from lorasent.unpadded import products
from tests.benchmarks import counts
from tests.support.references import FOLDER, REFERENCE

pytestmark = pytest.mark.processor

KERNELS = "benchmarks/kernels"
LIBRARIES = ("torch", "transformers", "peft", "tokenizers")


def rows(found):
    """A row for each count."""
    return [{"what": name, "count": count} for name, count in found.items()]


@pytest.mark.golden("benchmarks/counts")
def test_a_review_costs_what_it_did(golden, record):
    """Operations with attention, rows of scoring and of training, the adapter's bytes: not one more, not one less."""
    found = counts.costs(REFERENCE)
    record.counts(found)
    golden.check(
        rows(found),
        about="what the reference adapter's answers and its training cost, counted",
        producer={"code": "tests/benchmarks/counts.py"},
        tolerance={},
        why="counts are exact",
    )


@pytest.mark.slow
@pytest.mark.onednn("bfloat16")
@pytest.mark.golden(KERNELS)
def test_torch_is_asked_for_no_more_than_before(golden, record, request, monkeypatch):
    """Calls and bytes allocated, of one scoring; they belong to the versions of the libraries that they were counted under."""
    path, today = FOLDER / f"{KERNELS}.json", machine.libraries()
    if path.is_file() and not is_update(request.config):
        then = goldens.read(path).libraries
        if other := [f"{name} {then[name]}, here is {today[name]}" for name in LIBRARIES if then[name] != today[name]]:
            pytest.skip(f"counted under {' and '.join(other)}")
    monkeypatch.setattr(products, "tile", lambda: 16)  # as on the machine that they were counted on
    found = counts.kernels(REFERENCE)
    record.counts(found)
    golden.check(
        rows(found),
        about="aten calls and allocated bytes of one scoring by the reference adapter",
        producer={"code": "tests/benchmarks/counts.py"},
        tolerance={},
        why="counts are exact",
    )


def test_calls_and_new_memory_are_counted():
    """A sum of two tensors is new memory, a view of it and a sum in place are none."""
    one = torch.ones(8)
    with counts.Calls() as calls:
        view = (one + one).view(2, 4)
        view.add_(1)
    assert (calls.calls, calls.allocated) == (3, 32)
