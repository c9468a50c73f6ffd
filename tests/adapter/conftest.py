"""What the tests of adapters share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(small_adapter: Path, tmp_path: Path) -> Path:
    """A copy of the small adapter, to be changed."""
    return shutil.copytree(small_adapter, tmp_path / "copy")
