"""The command adopt."""

import json
import shutil

import pytest

from tests.cli.processes import one_line
from tests.support.architectures import make
from tests.support.bases import edit_json
from tests.support.plain import train


@pytest.fixture(scope="module")
def saved(bases, tmp_path_factory):
    """What a plain PEFT script saved."""
    folder = tmp_path_factory.mktemp("script")
    train(make(bases, folder / "base", "bert"), folder / "saved", cut=32)
    return folder / "saved"


def test_what_was_taken_is_said(lorasent, saved, tmp_path):
    """Labels, base, length and side, and the files that were not read."""
    (saved / "optimizer.pt").write_bytes(b"pickle")
    done = lorasent("adopt", saved, "--labels", "Bad, Good", "--out", "new")
    assert done.returncode == 0, done.stderr
    assert "labels: Bad, Good; base: " in done.stderr
    assert "at most 32 tokens, cut on the right" in done.stderr
    assert "not read: optimizer.pt" in done.stderr
    assert json.loads((tmp_path / "new" / "lorasent.json").read_text())["origin"] == "adopted"


WRONG = {
    "a side": (["--truncation-side", "up"], "--truncation-side up: allowed are left, right"),
    "too few labels": (["--labels", "Good"], "--labels: names 1 labels, the head has 2 outputs"),
    "more tokens than the base holds": (["--max-length", "999"], "--max-length 999: "),
    "another base": (["--base", "nowhere/base"], "nowhere/base: no such directory"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_option_is_one_line(lorasent, saved, tmp_path, kind):
    """Exit code 2, and nothing is written."""
    options, message = WRONG[kind]
    done = lorasent("adopt", saved, *options, "--out", "new")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "new").exists()


def test_init_finds_a_base_that_was_moved(lorasent, saved, tmp_path):
    """Where --base says: what is missing next is told."""
    moved, adapter = tmp_path / "bases" / "moved", shutil.copytree(saved, tmp_path / "adapter")
    shutil.copytree(saved.parent / "base", moved)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone" / "moved"))
    asked = ["init", "--candidate", adapter]
    one_line(lorasent(*asked), "no such directory")
    one_line(lorasent(*asked, "--base", moved.parent), "init needs --data: the labels are LABEL_0, LABEL_1")
