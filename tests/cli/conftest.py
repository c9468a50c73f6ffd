"""Fixtures for tests of the command line."""

import json
import shutil

import pytest


@pytest.fixture(scope="session")
def judged(tmp_path_factory, small_adapter):
    """A folder with a sound adapter, one whose labels are swapped, a policy, and a cache."""
    folder = tmp_path_factory.mktemp("judged")
    for name in ("sound", "swapped"):
        shutil.copytree(small_adapter, folder / name)
    manifest = json.loads((folder / "swapped" / "lorasent.json").read_text())
    (folder / "swapped" / "lorasent.json").write_text(json.dumps({**manifest, "labels": manifest["labels"][::-1]}))
    (folder / "gate.toml").write_text("[integrity]\n")
    return folder
