"""Cards of adapters and of recorded evidence: what their files say, safe to show, and no model is loaded."""

import json
import shutil

import pytest

from lorasent.errors import AdapterError, EvidenceError
from lorasent.report import cards
from lorasent.scoring.evidence import LiveSubject, record
from lorasent.text import columns
from tests.support.bases import edit_json

HOSTILE = "\x1b[2J\u202eSSAP\n::error::[red]" + 30 * " long"


def card(path):
    """The rows of an adapter's card by their names."""
    rows, name = {}, ""
    for line in [*cards.adapter(path)][1:]:
        name = line[2:13].strip() or name
        rows[name] = f"{rows.get(name, '')} {line[14:]}".strip()
    return rows


def test_a_trained_adapter_tells_what_it_was_made_from(small_adapter):
    """Recipe, data and the count of trained parameters, as its manifest has them."""
    content, rows = json.loads((small_adapter / "lorasent.json").read_text()), card(small_adapter)
    assert rows["what"] == "an adapter, trained by lorasent"
    assert rows["labels"] == ", ".join(content["labels"])
    assert rows["LoRA"].startswith(f"r {content['recipe']['lora']['r']}, alpha {content['recipe']['lora']['alpha']}")
    assert rows["parameters"].startswith(f"{content['parameters']['trainable']:,} trained of {content['parameters']['total']:,}")
    assert rows["train"].startswith(f"{content['data']['train']['reviews']} reviews of ")
    assert rows["files"].endswith("as the manifest lists them")
    assert rows["identity"] == LiveSubject(small_adapter).identity


def test_the_epoch_that_was_kept_is_marked(small_adapter):
    """A row for each epoch, with the figures of the manifest."""
    content = json.loads((small_adapter / "lorasent.json").read_text())
    rows = [line for line in cards.adapter(small_adapter) if line[2:3].isdigit()]
    assert len(rows) == len(content["epochs"])
    assert [row.split()[0] for row in rows if row[4:5] == "*"] == [str(content["best"]["epoch"])]
    assert all(f"{epoch['validation_loss']:.4f}" in row for epoch, row in zip(content["epochs"], rows, strict=True))


def test_a_file_that_changed_is_said(small_adapter, tmp_path):
    """The card is shown all the same."""
    changed = shutil.copytree(small_adapter, tmp_path / "changed")
    edit_json(changed / "adapter_config.json", lora_alpha=64)
    assert "NOT as the manifest lists them: " in card(changed)["files"]


def test_an_adapter_without_a_manifest_says_so(small_adapter, tmp_path):
    """What its own configuration says is told as its own word."""
    bare = shutil.copytree(small_adapter, tmp_path / "bare")
    (bare / "lorasent.json").unlink()
    rows = card(bare)
    assert rows["what"].startswith("a directory without lorasent.json: ")
    assert rows["base"].endswith("(by its own word)")
    assert "adapter_model.safetensors" in rows["files"]


def test_a_directory_that_is_no_adapter_is_refused(tmp_path):
    """In one line."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(AdapterError, match=r"empty: "):
        list(cards.adapter(tmp_path / "empty"))


def test_nothing_of_a_manifest_is_shown_raw(small_adapter, tmp_path):
    """No escape, no further line, 80 columns at most but for the path."""
    hostile = shutil.copytree(small_adapter, tmp_path / "hostile")
    manifest = json.loads((hostile / "lorasent.json").read_text())
    names = {"labels": [HOSTILE, "x"], "libraries": {HOSTILE: HOSTILE}, "epochs": [{"epoch": HOSTILE, "accuracy": HOSTILE}]}
    data = {"train": {**manifest["data"]["train"], "source": HOSTILE}}
    edit_json(hostile / "lorasent.json", **names, data={**manifest["data"], **data})
    shown = [*cards.adapter(hostile)]
    assert all(line.isprintable() for line in shown)
    assert [line for line in shown[1:] if columns(line) > 80 and "/" not in line] == []
    assert sum("SSAP" in line for line in shown) >= 3


def test_evidence_tells_what_was_asked_and_where(small_adapter, tmp_path, own_cache):
    """The lists of texts, the labels, the device and the number format."""
    live = LiveSubject(small_adapter)
    record(live, [["one film"], ["a film", "another"]], tmp_path / "evidence")
    shown = "\n".join(cards.evidence(tmp_path / "evidence"))
    assert "recorded evidence: lists of texts: 2, answers: 3" in shown
    assert "cpu, fp32" in shown
    assert live.identity in shown


def test_evidence_that_is_none_is_refused(tmp_path):
    """In one line."""
    (tmp_path / "evidence").write_bytes(b"\x08" + 7 * b"\0" + b"{}      ")
    with pytest.raises(EvidenceError, match=r"evidence: "):
        list(cards.evidence(tmp_path / "evidence"))
