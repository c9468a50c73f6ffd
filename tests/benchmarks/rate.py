"""The rate at which this machine multiplies matrices, of bf16 where it has that in hardware: what no way of scoring can exceed."""

import time
from collections import defaultdict

import numpy as np
import torch

from lorasent.scoring.scorer import uses_bf16
from lorasent.unpadded import products

CPU = torch.device("cpu")

BEST = "bf16" if uses_bf16("auto", CPU) else "fp32"
"""The precision that precision auto means here, and in which those peers answer that have the choice."""

DTYPE = torch.bfloat16 if BEST == "bf16" else torch.float32

SHAPES = ((2048, 2048, 2048), (4096, 4096, 4096), (4096, 768, 3072), (4096, 3072, 768))
"""(rows, inputs, outputs): large cubes, and the feed-forward products of 4096 tokens in DistilBERT's shape."""


class MatrixRate:
    """Multiplies now and then, between the peers' turns, and remembers how fast: torch's `matmul`, and oneDNN's linear layer whose
    weights were laid out beforehand (where oneDNN is there).
    """

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.products = {}
        random = torch.Generator().manual_seed(0)
        for rows, inputs, outputs in SHAPES:
            left, right = (torch.randn(*shape, generator=random).to(DTYPE) for shape in ((rows, inputs), (inputs, outputs)))
            shape = f"{rows} x {inputs} x {outputs}"
            self.products[f"matmul {shape}"] = lambda left=left, right=right: left @ right
            if products.available(CPU, DTYPE):
                product = products.pack(right.T.contiguous(), None, rows)
                self.products[f"prepacked {shape}"] = lambda left=left, product=product: product(left)

    def measure(self, repeats: int = 3) -> None:
        """A sample of each product: the fastest of a few in a row."""
        with torch.inference_mode():
            for name, product in self.products.items():
                rows, inputs, outputs = map(int, name.split(" ", 1)[1].split(" x "))
                seconds = []
                for _ in range(repeats):
                    started = time.perf_counter()
                    product()
                    seconds.append(time.perf_counter() - started)
                self.samples[name].append(2 * rows * inputs * outputs / min(seconds))

    @property
    def medians(self) -> dict[str, float]:
        """Operations per second by product: the median of its samples."""
        return {name: float(np.median(samples)) for name, samples in self.samples.items()}

    def best(self, kind: str = "") -> float:
        """The rate of the fastest product of a kind: "matmul", "prepacked", or either."""
        return max((rate for name, rate in self.medians.items() if name.startswith(kind)), default=0.0)
