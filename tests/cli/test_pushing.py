"""The command push, and train --push-to-hub: by the real client, to a hub on this machine; what fails costs no adapter."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

from lorasent.adapter.manifest import identity
from tests.cli.processes import one_line
from tests.support.model_hub import DROPPED, TOKEN

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's, of its HTTP library


@pytest.fixture
def adapter(small_adapter, tmp_path):
    """A copy of the small adapter, and what is in it."""
    path = tmp_path / "mine"
    shutil.copytree(small_adapter, path)
    return path


def content(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_an_adapter_is_pushed_whole_and_private(lorasent, model_hub, adapter):
    """One commit holds the manifest's files and the card, the commit is printed, and the hub's own .gitattributes stays."""
    done = lorasent("push", adapter, "me/sentiment")
    assert done.returncode == 0, done.stderr
    pinned = f"me/sentiment@{model_hub.commits[-1]}"
    assert done.stderr == f"Pushed: {pinned}. Judge against it: lorasent gate CANDIDATE --baseline {pinned}\n"
    assert len(model_hub.commits) == 1
    assert model_hub.private == {"me/sentiment": True}
    pushed = model_hub.files["me/sentiment"]
    assert pushed.pop(".gitattributes").startswith(b"*.safetensors filter=lfs")
    assert pushed == {name: file for name, file in content(adapter).items() if name != ".gitattributes"}
    assert list(model_hub.large.values()) == [pushed["adapter_model.safetensors"]]


def test_what_was_pushed_can_be_judged(lorasent, model_hub, adapter, tmp_path):
    """The pinned name is fetched again, and has the identity of the adapter on the disk."""
    assert lorasent("push", adapter, "sentiment", "--public").returncode == 0
    assert model_hub.private == {"me/sentiment": False}
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    done = lorasent("gate", adapter, "--baseline", f"me/sentiment@{model_hub.commits[-1]}", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    verdict = json.loads(done.stdout)
    assert set(verdict["evidence"].values()) == {identity(adapter)}


def test_the_card_gets_the_last_verdict(lorasent, model_hub, adapter, tmp_path):
    """On the hub and on the disk, in the place of an earlier one; what people wrote stays, and the adapter is the same."""
    (tmp_path / "gate.toml").write_text("[integrity]\n")
    (tmp_path / "verdict.json").write_text(lorasent("gate", adapter, "--baseline", adapter, "--json").stdout)
    before = identity(adapter)
    (adapter / "README.md").write_text((adapter / "README.md").read_text() + "\nMine.\n")
    for _ in range(2):
        done = lorasent("push", adapter, "me/sentiment", "--verdict", "verdict.json")
        assert done.returncode == 0, done.stderr
    card = (adapter / "README.md").read_text()
    assert model_hub.files["me/sentiment"]["README.md"] == card.encode()
    assert card.count("## Last verdict") == 1
    assert "**PASS** by `lorasent gate`: it may replace its baseline." in card
    assert f"- sha256 of the candidate: `{before}`" in card
    assert "\nMine.\n" in card
    assert identity(adapter) == before


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"outcome": "PASS"}', "verdict.json: expected the JSON object that `lorasent gate --json` printed"),
        ("[]", "verdict.json: "),
        (
            '{"outcome": "PASS", "findings": [], "candidate": "a", "baselines": [], "evidence": {"candidate": "abc"}}',
            "verdict.json: is a verdict on abc, not on",
        ),
    ],
    ids=["not a verdict", "not an object", "another adapter's"],
)
def test_a_verdict_is_this_adapters(lorasent, model_hub, adapter, tmp_path, written, message):
    """Anything else is one line, and nothing is pushed."""
    (tmp_path / "verdict.json").write_text(written)
    one_line(lorasent("push", adapter, "me/sentiment", "--verdict", "verdict.json"), message)
    assert model_hub.asked == []


FAILURES = {
    "a token that is refused": ({"/api/repos/create": 401, "/api/models": 401}, "set HF_TOKEN to a token that may write there"),
    "a repository of somebody else": ({"/api/repos/create": 403, "/api/models": 403}, "set HF_TOKEN to a token that may write"),
    "a hub that is down": ({"": 503}, "503"),
    "weights that are not taken": ({"/large/": 500}, "adapter_model.safetensors"),
    "a commit that fails": ({"/commit/": 500}, "500"),
    "a connection that breaks": ({"/commit/": DROPPED}, "me/sentiment: not pushed: "),
    "a connection that breaks amid the weights": ({"/large/": DROPPED}, "adapter_model.safetensors"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FAILURES)
def test_a_push_that_fails_costs_nothing(lorasent, model_hub, adapter, case):
    """One line says why and what to do, without the token; exit code 74; the directory is as it was."""
    model_hub.failing, message = FAILURES[case]
    before = content(adapter)
    done = lorasent("push", adapter, "me/sentiment")
    assert done.returncode == 74
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("lorasent: me/sentiment: not pushed: ")
    assert message in done.stderr
    assert done.stderr.endswith(f"the adapter is whole in {adapter}, push it with: lorasent push {adapter} me/sentiment\n")
    assert TOKEN not in done.stderr
    assert content(adapter) == before
    assert model_hub.commits == []


def test_without_a_token_the_hub_is_not_asked(lorasent, model_hub, adapter, monkeypatch, tmp_path):
    """Exit code 2, and one line; before training as well."""
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    message = "me/sentiment: cannot be pushed without a token: log in with `hf auth login`, or set HF_TOKEN"
    one_line(lorasent("push", adapter, "me/sentiment"), message)
    one_line(lorasent("train", "--out", "new", "--push-to-hub", "me/sentiment"), message)
    one_line(lorasent("train", "--out", "new", "--push-to-hub", "a/b/c"), "a/b/c: no name of a repository: ")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    one_line(lorasent("push", adapter, "me/sentiment"), "me/sentiment: cannot be pushed: HF_HUB_OFFLINE is set")
    assert model_hub.asked == []
    assert not (tmp_path / "new").exists()


def test_only_what_the_manifest_lists_is_pushed(lorasent, model_hub, adapter, tmp_path):
    """A changed file is an error, a link in the card's place too: it may lead to a secret."""
    (tmp_path / "secret").write_text("secret")
    (adapter / "README.md").unlink()
    (adapter / "README.md").symlink_to(tmp_path / "secret")
    one_line(lorasent("push", adapter, "me/sentiment"), "README.md: is a link; put the file itself there")
    (adapter / "tokenizer.json").write_text("{}")
    one_line(lorasent("push", adapter, "me/sentiment"), "tokenizer.json: not the file that was written")
    assert model_hub.asked == []


def test_a_repository_with_other_files_is_refused(lorasent, model_hub, adapter):
    """They would be files of the adapter for whoever loads it."""
    model_hub.files["me/sentiment"] = {"model.safetensors": b"", "notes.md": b""}
    done = lorasent("push", adapter, "me/sentiment")
    assert done.returncode == 74
    assert "me/sentiment: holds model.safetensors, no file of this adapter; remove it there" in done.stderr
    assert model_hub.commits == []


@pytest.mark.slow
def test_training_pushes_what_it_wrote(lorasent, model_hub, small_recipe, tmp_path):
    """The card has what the hub reads: base, library, figures as they were measured. A push that fails leaves the adapter."""
    short = ["train", small_recipe, "--set", "training.epochs=1", "--push-to-hub", "me/sentiment"]
    done = lorasent(*short, "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Pushed: me/sentiment@{model_hub.commits[-1]}. ")
    card, best = ModelCard(model_hub.files["me/sentiment"]["README.md"].decode()), None
    best = json.loads((tmp_path / "mine" / "lorasent.json").read_text())["best"]
    assert card.data.library_name == "peft"
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert measured["accuracy"] == round(best["accuracy"], 4)
    index = eval_results_to_model_index(card.data.model_name, card.data.eval_results)
    assert index[0]["results"][0]["dataset"] == {"name": "embedded", "type": "lorasent", "split": "validation"}
    model_hub.failing = {"": 503}
    failed = lorasent(*short, "--out", "other")
    assert failed.returncode == 74
    assert failed.stderr.splitlines()[-1].endswith("the adapter is whole in other, push it with: lorasent push other me/sentiment")
    assert content(tmp_path / "other") == content(tmp_path / "mine")
