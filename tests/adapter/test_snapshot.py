"""The snapshot: what is hashed is what is loaded, and nothing that a stranger put into a directory hangs, fills or leaks."""

import errno
import hashlib
import os
import shutil

import pytest

from lorasent import files
from lorasent.adapter import snapshot
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError, LorasentError


@pytest.fixture
def directory(tmp_path):
    """A directory with two data files."""
    path = tmp_path / "adapter"
    path.mkdir()
    (path / "adapter_config.json").write_text('{"a": 1}')
    (path / "vocab.txt").write_text("word\n")
    return path


def test_the_copy_is_what_was_hashed(directory):
    """Later changes to the directory do not reach the copy, and its hashes are those of its bytes."""
    found = Snapshot(directory)
    (directory / "adapter_config.json").write_text("{}")
    shutil.rmtree(directory)
    assert found.json("adapter_config.json") == {"a": 1}
    assert found.hashes == {name: files.sha256(found.folder / name) for name in ("adapter_config.json", "vocab.txt")}
    assert list(found) == ["adapter_config.json", "vocab.txt"]


def test_the_copy_is_removed_with_the_object(directory):
    """Nothing is left in the folder for temporary files."""
    found = Snapshot(directory)
    folder = found.folder
    assert folder.is_dir()
    del found
    assert not folder.exists()


REFUSED = {
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a link out of the directory"),
    "a link to a secret": (lambda path: path.symlink_to("/etc/passwd"), "is a link out of the directory"),
    "a dangling link": (lambda path: path.symlink_to("nothing"), "No such file or directory"),
    "a circle of links": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a FIFO": (os.mkfifo, "is a FIFO, expected a regular file"),
    "a folder": (lambda path: path.mkdir(), "is a folder; an adapter has none"),
    "a large file": (
        lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**33),
        r"is larger \(8,589,934,592 bytes\)",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_only_regular_files_inside_the_directory_are_read(directory, kind):
    """Anything else is named with the reason, and the rest is read."""
    make, reason = REFUSED[kind]
    make(directory / "evil.json")
    found = Snapshot(directory)
    assert "evil.json" not in found.hashes
    with pytest.raises(AdapterError, match=rf"evil\.json: (cannot be read: )?{reason}"):
        found.json("evil.json")
    assert "vocab.txt" in found.hashes


def test_other_kinds_of_files_are_named_and_not_read(directory):
    """Code, pickles, names that are not UTF-8, and files beyond the largest number."""
    for name in (b"code.py", b"weights.bin", b"\xff.json"):
        (directory / os.fsdecode(name)).write_bytes(b"x")
    for number in range(snapshot.MOST_FILES + 5):
        (directory / f"z{number:04}.json").write_text("{}")
    found = Snapshot(directory)
    assert set(found.refused) > {"code.py", "weights.bin", "\udcff.json", "z0204.json"}
    assert len(found.hashes) <= snapshot.MOST_FILES


@pytest.mark.parametrize("name", [".gitattributes", ".DS_Store", ".cache", "README.md", "LICENSE", "__MACOSX", "desktop.ini"])
def test_what_hubs_and_desktops_put_beside_an_adapter_is_passed_over(directory, name):
    """Whether it is a file or a folder."""
    before = list(Snapshot(directory))
    (directory / name).mkdir()
    (directory / name / "weights.bin").write_bytes(b"x")
    assert list(Snapshot(directory)) == before


def test_a_snapshot_in_the_hubs_cache_is_read(directory):
    """It consists of links to blobs in another folder."""
    hub = directory.parent / "models--me--adapter"
    (hub / "snapshots" / "abc").mkdir(parents=True)
    (hub / "blobs").mkdir()
    for file in directory.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, hub / "blobs" / digest)
        (hub / "snapshots" / "abc" / file.name).symlink_to(f"../../blobs/{digest}")
    assert Snapshot(hub / "snapshots" / "abc").hashes == Snapshot(directory).hashes


def test_a_pointer_of_git_lfs_is_recognized(directory):
    """It is in the place of a large file."""
    (directory / "adapter_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", newline="\n"
    )
    assert list(Snapshot(directory).pointers) == ["adapter_model.safetensors"]


def test_a_missing_directory_is_refused(tmp_path):
    """So is a file in its place."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(AdapterError, match=r": no such adapter directory$"):
            Snapshot(path)


@pytest.mark.slow
def test_holes_in_a_file_are_copied_as_holes(directory):
    """Zeros in a candidate take no space in the copy, and the hash is that of the zeros."""
    (directory / "adapter_model.safetensors").touch()
    os.truncate(directory / "adapter_model.safetensors", 64 << 20)
    with (directory / "adapter_model.safetensors").open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"x")
    found = Snapshot(directory)
    copy = found.folder / "adapter_model.safetensors"
    assert copy.stat().st_size == 64 << 20
    assert copy.stat().st_blocks * 512 < 4 << 20
    assert found.hashes["adapter_model.safetensors"] == files.sha256(copy) == files.sha256(directory / "adapter_model.safetensors")


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    """Such as one of 5,000 characters."""
    with pytest.raises(AdapterError, match=r"a…a+: no such adapter directory$|no such adapter directory$") as refused:
        Snapshot(tmp_path / ("a" * 5000))
    assert refused.value.cause == "directory-missing"


def test_a_full_disk_is_not_the_directorys_fault(directory, monkeypatch):
    """It is a LorasentError that blames no adapter and says what to do."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hashlib.sha256", full)  # the first thing that a copy asks for
        with pytest.raises(LorasentError, match=r"no room for a private copy .*: No space left on device; set TMPDIR") as refused:
            Snapshot(directory)
    assert not isinstance(refused.value, AdapterError)
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(LorasentError, match=r"no room for a private copy"):
        Snapshot(directory)


def test_what_dvc_puts_beside_a_file_is_passed_over(directory):
    """Files that end with .dvc."""
    (directory / "vocab.txt.dvc").write_text("outs:")
    assert list(Snapshot(directory)) == ["adapter_config.json", "vocab.txt"]
