"""integrity::files: cause, message and advice of every fault of an adapter's files."""

import pytest

from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS
from lorasent.adapter.snapshot import Snapshot
from lorasent.files import CONVERTED, sha256
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity import files
from lorasent.gate.integrity.comparison import EXPORT, RETRIEVE
from tests.gate.integrity.sides import TOKENIZER, TOKENS, blocks, fault, manifest, old, run, side


@pytest.fixture
def folder(tmp_path):
    """A directory whose manifest lists what is there; nothing in it is read but for its hash."""
    for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENS):
        (tmp_path / name).write_text(name)
    return tmp_path


def listing(folder, **more):
    """The side of a directory, its manifest as it is now, and more."""
    files = {file.name: sha256(file) for file in folder.iterdir() if file.name not in (MANIFEST, "README.md")}
    return side(folder, manifest=manifest(files={**files, **more}))


def test_files_that_are_as_listed_are_sound(folder):
    """The manifest and the model card are not counted."""
    (folder / "README.md").write_text("")
    (folder / MANIFEST).write_text("")
    passed = run("files", listing(folder), old(record=True))
    assert passed.message == "4 files, as lorasent.json lists them"


def test_a_pickle_is_named_first(folder):
    """Before anything else that is not as it must be; three are named."""
    for name in ("a.bin", "b.pt", "c.pkl", "d.ckpt", "x.py"):
        (folder / name).write_text("")
    message = f"{folder}: holds a pickle, which is never loaded: a.bin, b.pt, c.pkl and 1 more"
    assert fault(files.inspect, listing(folder)) == blocks("pickle", message, "remove it: " + EXPORT)


def test_files_that_are_no_data_are_named(folder):
    """What is there, and what is only listed; a path is none of the directory's files."""
    kinds = ".json, .safetensors, .txt, .model, .jinja"
    one, allowed = listing(folder, **{"../up.json": "", "code.py": ""}), f"an adapter has {kinds}, and no folders"
    message = f"{folder}: lorasent.json lists ../up.json, code.py: {allowed}"
    assert fault(files.inspect, one) == blocks("file-forbidden", message)
    (folder / "model.py").write_text("")
    one, allowed = side(folder, manifest=manifest(files={})), f"is no data file of an adapter; allowed are {kinds}"
    assert fault(files.inspect, one) == blocks("file-forbidden", f"{folder}: model.py: {allowed}", "remove it")


def test_files_that_are_missing_are_named(folder):
    """What is listed, and what no adapter does without."""
    one = listing(folder, **{"more.json": ""})
    required = f"{MANIFEST} lists it, or loading needs it"
    assert fault(files.inspect, one) == blocks("file-missing", f"{folder}: more.json missing: {required}", RETRIEVE)
    for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENS):
        (folder / name).unlink()
        found = fault(files.inspect, listing(folder))
        assert found == blocks("file-missing", f"{folder}: {name} missing: {required}", RETRIEVE)
        (folder / name).write_text(name)


def test_files_that_are_not_listed_are_named(folder):
    """Also where nothing else is wrong."""
    one = listing(folder)
    (folder / "b.json").write_text("")
    (folder / "a.json").write_text("")
    one.__dict__["snapshot"] = Snapshot(folder)
    message = f"{folder}: a.json, b.json: not among the files that {MANIFEST} lists"
    assert fault(files.inspect, one) == blocks("file-added", message, "remove it")


def test_files_that_were_changed_are_named(folder):
    """By their hash."""
    one = listing(folder)
    (folder / CONFIG).write_text("{}")
    one.__dict__["snapshot"] = Snapshot(folder)
    message = f"{folder}: {CONFIG}: changed since the adapter was written: the sha256 is not the one in {MANIFEST}"
    assert fault(files.inspect, one) == blocks("file-changed", message, RETRIEVE)


def test_line_endings_that_git_converted_accuse_nobody(folder):
    """INVALID, with what gives the files back; a file that was changed besides is a change."""
    for name in (CONFIG, TOKENS):
        (folder / name).write_bytes(b"{\n}\n")
    one = listing(folder)
    for name in (CONFIG, TOKENS):
        (folder / name).write_bytes(b"{\r\n}\r\n")
    one.__dict__["snapshot"] = Snapshot(folder)
    message = f"{folder}: {CONFIG}, {TOKENS}: {CONVERTED}"
    advice = "put '* -text' into .gitattributes beside it, and check it out again"
    assert fault(files.inspect, one) == ("line-endings", message, advice, Outcome.INVALID, {})
    (folder / TOKENS).write_bytes(b"{ }\r\n")
    one.__dict__["snapshot"] = Snapshot(folder)
    assert fault(files.inspect, one)[0] == "file-changed"
