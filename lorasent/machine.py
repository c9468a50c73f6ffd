"""What ran: library versions and what the processor offers, kept with every recorded result."""

import platform
from importlib import metadata

LIBRARIES = ("lorasent", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def libraries() -> dict[str, str]:
    """Versions of the libraries that a result depends on, by name."""
    return {name: metadata.version(name) for name in LIBRARIES}


def features() -> dict[str, str | int]:
    """Architecture, the widest instructions that torch's own CPU kernels use, and how many threads they run on."""
    import torch

    return {
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
