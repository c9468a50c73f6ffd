"""Fixtures: a repository on a server, with a base branch and pull requests, and the action's steps on it."""

import json
import os
import shutil
import subprocess

import pytest
import yaml

from tests.ci.interface import serving
from tests.ci.runner import ROOT, Runner, make_python, steps

WHO = {f"GIT_{role}_{what}": "tester@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Repository:
    """A repository that the server holds, and a clone in which commits are made."""

    def __init__(self, folder):
        self.server = folder / "server"
        self.path = self.server / "owner" / "repo"
        self.git("init", "--quiet", "--initial-branch=main", self.path, at=folder)
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub answers
        self.git("config", "receive.denyCurrentBranch", "ignore")

    def git(self, *arguments, at=None):
        """Runs git, and returns what it printed."""
        environment = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        command = ["git", *map(str, arguments)]
        done = subprocess.run(command, cwd=at or self.path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, branch="main"):
        """Commits all files to a branch, and returns the commit."""
        if branch != "main":
            self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", "files")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, small_adapter):
    """A repository whose base branch has an adapter in adapters/current, and a policy of files and answers."""
    made = Repository(tmp_path)
    shutil.copytree(small_adapter, made.path / "adapters" / "current")
    (made.path / "gate.toml").write_text("[integrity]\n")
    made.commit()
    return made


@pytest.fixture
def interface():
    """GitHub's interface on loopback."""
    with serving() as made:
        yield made


@pytest.fixture
def gated(tmp_path, repository, interface):
    """A function that runs the action on a commit as a pull request, and returns the runner and whether the job is green."""

    def run(head, *, base="main", event=None, only=None, python=True, path=None, **inputs):
        action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
        given = {name: about.get("default", "") for name, about in action["inputs"].items()} | {"candidate": "adapters/current"}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()} | {"token": "secret-token"}
        (tmp_path / "event.json").write_text(json.dumps(event or {"number": 7, "pull_request": {"number": 7}}))
        known = {f"inputs.{name}": value for name, value in given.items()} | {
            "github.event.pull_request.number": 7,
            "github.event.pull_request.base.ref": base,
            "github.event.pull_request.head.sha": head,
        }
        environment = {
            "GITHUB_SERVER_URL": f"file://{repository.server}",
            "GITHUB_REPOSITORY": "owner/repo",
            "GITHUB_API_URL": interface.url,
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_RUN_ID": "1",
            "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"],
        }
        runner = Runner(tmp_path / "job", known, environment)
        runner.skipped["Install lorasent as this action has it"] = make_python if python else None
        named = [step for step in steps(ROOT / "action.yml") if only is None or step["name"] in only]
        return runner, runner.run(named)

    return run
