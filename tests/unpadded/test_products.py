"""Packed products are products, in one piece or in blocks."""

import pytest
import torch
from torch.nn import functional

from lorasent.unpadded import products

pytestmark = pytest.mark.processor


@pytest.mark.onednn("float32")
@pytest.mark.parametrize("rows", [1, 447, 448, 1000, 1343, 1344])
@pytest.mark.parametrize("added", [False, True], ids=["plain", "added"])
def test_a_packed_product_is_the_linear_layers(rows, added):
    """For any number of rows, also where they are multiplied in blocks, and with a tensor to add, to 1e-4 in float32."""
    random = torch.Generator().manual_seed(rows)
    states, weight, bias, other = (
        torch.randn(size, generator=random)
        for size in ((rows, 64), (products.WIDTH, 64), (products.WIDTH,), (rows, products.WIDTH))
    )
    product = products.pack(weight, bias, 1024)
    expected = functional.linear(states, weight, bias) + (other if added else 0)
    torch.testing.assert_close(product(states, other) if added else product(states), expected, rtol=0, atol=1e-4)


@pytest.mark.onednn("float32")
@pytest.mark.parametrize(("rows", "blocks"), [(447, 1), (448, 2), (1343, 6), (1344, 1)])
def test_the_row_counts_in_slow_rows_are_multiplied_in_blocks(monkeypatch, rows, blocks):
    """Other row counts are multiplied in one piece."""
    asked = []
    product = products.pack(torch.zeros(products.WIDTH, 16), None, 1024)
    monkeypatch.setattr(torch, "cat", lambda parts: asked.extend(parts) or parts[0])
    found = product(torch.zeros(rows, 16))
    assert [len(part) for part in asked or [found]] == [*[products.BLOCK] * (blocks - 1), rows - products.BLOCK * (blocks - 1)]


@pytest.mark.onednn("float32")
def test_a_packed_product_applies_its_activation():
    """The result is GELU of the linear layer's output, to 1e-4."""
    random = torch.Generator().manual_seed(0)
    states, weight, bias = (torch.randn(size, generator=random) for size in ((700, 64), (products.WIDTH, 64), (products.WIDTH,)))
    found = products.pack(weight, bias, 1024, ("gelu", "none"))(states)
    torch.testing.assert_close(found, functional.gelu(functional.linear(states, weight, bias)), rtol=0, atol=1e-4)


def test_a_gpu_has_no_packed_products():
    """Products are packed for the CPU only."""
    assert not products.available(torch.device("cuda"), torch.float32)
