"""Ways that adapters travel: whatever hubs, git, archives and desktops do to a directory, it passes against itself."""

import hashlib
import shutil
import subprocess
import zipfile

import pytest

from lorasent import golden
from lorasent.adapter.manifest import verify
from lorasent.errors import AdapterError, NotFetchedError
from lorasent.files import ATTRIBUTES
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "lorasent.json"

POINTERS = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 11536\n", "lfs-pointer", "git lfs pull"),
    "git-annex": (b"/annex/objects/SHA256E-s11536--00.safetensors\n", "annex-pointer", "git annex get"),
}


@pytest.fixture(scope="module", autouse=True)
def _cached(tmp_path_factory):
    """A cache of this module's own: the adapter is proved once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORASENT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy of files and answers alone."""
    path = tmp_path_factory.mktemp("policy") / "gate.toml"
    path.write_text("[integrity]\n")
    return Policy.read(path)


@pytest.fixture
def copied(small_adapter, tmp_path):
    """A copy of the small adapter."""
    return shutil.copytree(small_adapter, tmp_path / "adapter")


def git(folder, *arguments):
    """Runs git in a folder, whatever this machine's own configuration says."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "safe.directory=*"]
    alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, env=alone)


def clone(source, target):
    """A checkout whose line endings git converts, as on Windows."""
    git(source, "init", ".")
    git(source, "add", ".")
    git(source, "commit", "-m", "adapter")
    git(source.parent, "clone", "-c", "core.autocrlf=true", source.name, target.name)
    return target


def through_the_hub(path):
    """What the hub keeps in its cache: links to blobs; beside them what it and people put there."""
    snapshot = path.parent / "models--me--adapter" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (blobs := snapshot.parent.parent / "blobs").mkdir()
    (path / ATTRIBUTES).write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    for file in path.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blobs / digest)
        (snapshot / file.name).symlink_to(f"../../blobs/{digest}")
    return snapshot


def into_a_folder(path):
    """What the hub's client leaves in a folder that it downloads to."""
    (path / ATTRIBUTES).write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    (path / ".cache" / "huggingface" / "download").mkdir(parents=True)
    (path / ".cache" / "huggingface" / "download" / f"{WEIGHTS}.metadata").write_text("a" * 40)
    return path


def through_a_zip(path):
    """An archive, made on a desktop."""
    (path / ".DS_Store").write_bytes(b"\0")
    with zipfile.ZipFile(path.parent / "adapter.zip", "w") as archive:
        for file in path.iterdir():
            archive.write(file, file.name)
            archive.writestr(f"__MACOSX/._{file.name}", "x")
    with zipfile.ZipFile(path.parent / "adapter.zip") as archive:
        archive.extractall(path.parent / "again")
    return path.parent / "again"


def tracked_by_dvc(path):
    """DVC's notes beside the files that it keeps."""
    (path / f"{WEIGHTS}.dvc").write_text("outs:\n- path: adapter_model.safetensors\n")
    (path / ".gitignore").write_text(WEIGHTS)
    return path


TRIPS = {
    "the hub's cache": through_the_hub,
    "the hub's download": into_a_folder,
    "a checkout with CR LF": lambda path: clone(path, path.parent / "checkout"),
    "a zip and back": through_a_zip,
    "DVC": tracked_by_dvc,
}


@pytest.mark.slow
@pytest.mark.parametrize("trip", TRIPS)
def test_an_adapter_that_travelled_passes_against_itself(small_adapter, copied, policy, trip):
    """As candidate and as baseline."""
    arrived = TRIPS[trip](copied)
    for candidate, baseline in ((arrived, small_adapter), (small_adapter, arrived)):
        verdict = judge(candidate, [baseline], policy)
        assert verdict.outcome is Outcome.PASS, verdict.findings


def test_a_checkout_without_attributes_is_told_its_line_endings(small_adapter, copied, policy):
    """Nobody is accused of what git did: it is INVALID, and the message says what to do."""
    (copied / ATTRIBUTES).unlink()
    checkout = clone(copied, copied.parent / "checkout")
    assert b"\r\n" in (checkout / CONFIG).read_bytes()
    found = {one.check: one for one in judge(checkout, [small_adapter], policy).findings}["integrity::files"]
    assert (found.outcome, found.cause) == (Outcome.INVALID, "line-endings")
    assert "line endings" in found.message
    assert "* -text" in found.advice
    assert judge(small_adapter, [checkout], policy).findings[0].cause == "baseline-line-endings"
    with pytest.raises(AdapterError, match=r"adapter_config\.json: its line endings are not those that were written"):
        verify(checkout)


@pytest.mark.parametrize("whose", POINTERS)
def test_a_pointer_in_the_place_of_weights_is_one_finding(small_adapter, copied, policy, whose):
    """INVALID, of the candidate or the baseline, with the command that fetches the file; loading says the same."""
    from lorasent import load

    content, cause, command = POINTERS[whose]
    (copied / WEIGHTS).write_bytes(content)
    for pair in ((copied, small_adapter), (small_adapter, copied)):
        verdict = judge(pair[0], [pair[1]], policy)
        (found,) = verdict.findings
        assert (verdict.outcome, found.cause, found.advice) == (Outcome.INVALID, cause, command)
        assert f"{copied / WEIGHTS}: is a pointer of {whose}" in found.message
    with pytest.raises(NotFetchedError, match=rf"{WEIGHTS}: is a pointer of {whose}, not the file itself: {command}$"):
        load(copied)


def test_weights_that_dvc_keeps_elsewhere_are_asked_of_it(copied):
    """Its note says that it has them."""
    from lorasent import load

    tracked_by_dvc(copied)
    (copied / WEIGHTS).unlink()
    with pytest.raises(NotFetchedError, match=rf"{WEIGHTS}: is kept by DVC, and not here: dvc pull$"):
        load(copied)


@pytest.mark.parametrize("store", [".git/annex/objects", ".dvc/cache/files"])
def test_a_link_into_a_store_says_how_to_put_the_file_there(copied, store):
    """git-annex and DVC put links in the place of files."""
    from lorasent import load

    command = {".git": "git annex get, then git annex unlock", ".dvc": "dvc pull, then dvc unprotect"}[store[:4]]
    kept = copied.parent / store / "blob"
    kept.parent.mkdir(parents=True)
    (copied / WEIGHTS).rename(kept)
    (copied / WEIGHTS).symlink_to(kept)
    with pytest.raises(AdapterError, match=rf"{WEIGHTS}: is a link out of the directory; {command}$"):
        load(copied)


NESTED = {
    "checkpoints": (["checkpoint-9", "checkpoint-12"], "checkpoint-12, {out}/checkpoint-9"),
    "names": (["films", "books"], "books, {out}/films"),
}


@pytest.mark.parametrize("kind", NESTED)
def test_an_adapter_inside_what_was_given_is_named(small_adapter, tmp_path, policy, kind):
    """The last checkpoint first."""
    from lorasent import load

    out, (folders, named) = tmp_path / "out", NESTED[kind]
    for folder in folders:
        shutil.copytree(small_adapter, out / folder)
    message = f"{out}: holds no adapter; name one of the folders in it that do: {out}/{named.format(out=out)}"
    with pytest.raises(AdapterError, match=rf"^{message}$"):
        load(out)
    (found,) = judge(out, [small_adapter], policy).findings
    assert (found.outcome, found.cause) == (Outcome.BLOCK, "manifest-missing")
    assert message in found.message


@pytest.mark.parametrize("folder", ["default", "checkpoint-12/default"])
def test_the_only_adapter_inside_what_was_given_is_judged(small_adapter, tmp_path, policy, folder):
    """As PEFT saves one that has a name."""
    shutil.copytree(small_adapter, tmp_path / "out" / folder)
    assert judge(tmp_path / "out", [small_adapter], policy).outcome is Outcome.PASS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", None], ids=["empty", "null"])
def test_a_configuration_that_names_no_base_is_told(small_adapter, copied, policy, name):
    """Plain PEFT could not load it; the manifest's base is named."""
    from tests.support.hostile import config

    config(base_model_name_or_path=name)(copied)
    (found,) = [one for one in judge(copied, [small_adapter], policy).findings if one.outcome is not Outcome.PASS]
    assert (found.check, found.outcome, found.cause) == ("integrity::base", Outcome.BLOCK, "base")
    assert f"base_model_name_or_path is {'empty' if name == '' else name} (revision" in found.message


def test_goldens_survive_a_checkout_with_cr_lf(tmp_path):
    """By the attributes that are written with their manifest; without them the message says what happened."""
    folder = tmp_path / "project" / "golden"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("1\n2\n", "utf-8", newline="\n")
    golden.write_manifest(folder)
    assert (folder / ATTRIBUTES).read_text("utf-8") == "* -text\n"
    assert golden.faults(clone(folder.parent, tmp_path / "kept") / "golden") == []
    (folder / ATTRIBUTES).unlink()
    git(folder.parent, "commit", "-am", "without")
    git(tmp_path, "clone", "-c", "core.autocrlf=true", "project", "converted")
    (fault,) = golden.faults(tmp_path / "converted" / "golden")
    assert fault.startswith("golden/a.json: its line endings are not those that were written (CR LF for LF)")


def test_what_is_known_by_its_hash_in_this_project_keeps_its_line_endings():
    """Goldens and the reference adapter bring their own attributes, too: they are copied elsewhere."""
    root = golden.Path(__file__).parents[2]
    for folder in (root, root / "golden", root / "golden" / "reference-adapter"):
        assert (folder / ATTRIBUTES).read_text("utf-8") == "* -text\n"
