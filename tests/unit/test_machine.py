"""What this process tells the C library of its memory."""

import platform
import subprocess
import sys

import pytest

FREED = """
import numpy as np
from lorasent import machine
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
machine.keep_memory()
blocks = [np.ones(1 << 20) for _ in range(64)]
pin = [block for number, block in enumerate(blocks) if number % 8 == 7]
del blocks
kept = resident()
machine.release_memory()
print(kept, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_was_kept_is_given_back():
    """Of 64 blocks of 8 MiB, 56 freed between others: they stay until they are released, then nearly all are gone."""
    told = subprocess.run([sys.executable, "-c", FREED], check=True, capture_output=True, text=True).stdout.split()
    kept, left = (int(figure) / 2**20 for figure in told)
    assert kept > 400
    assert kept - left > 400
