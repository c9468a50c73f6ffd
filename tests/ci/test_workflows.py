"""The example workflow and the pipeline of GitLab, executed."""

import json
import os
import shlex

import jsonschema
import pytest
import yaml

from tests.ci.runner import ROOT, Runner, make_python, steps
from tests.ci.test_action import FIRST, arguments, swap_labels, vendored

WORKFLOW = ROOT / ".github" / "workflows" / "gate.yml"
PIPELINE = ROOT / "docs" / "how-to" / "gitlab-ci.yml"


def commands(folder):
    """A folder with `lorasent` and `python`, as an installation puts them on the path."""
    (folder / "bin").mkdir()
    python = folder / "job" / "temp" / "lorasent-python" / "bin" / "python"
    for name, arguments_ in (("python", ""), ("lorasent", "-I -m lorasent.cli")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} {arguments_} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


@pytest.mark.slow
def test_the_bank_that_main_trains_is_the_baseline_of_a_pull_request(repository, gated, tmp_path, small_recipe):
    """Retrains are trained, kept on a branch of their own, and laid out beside the incumbent."""
    (repository.path / "recipe.toml").write_bytes(small_recipe.read_bytes())
    repository.commit()
    runner = Runner(tmp_path / "job", {"github.event_name": "push"})
    runner.environment |= {"PATH": commands(tmp_path), "GITHUB_SHA": repository.git("rev-parse", "HEAD")}
    make_python(runner)
    repository.git("clone", "--quiet", f"file://{repository.path}", runner.workspace)
    job = [step for step in steps(WORKFLOW, "bank") if step["name"] != "Install"]
    for step in job:
        if step["name"] == "Train retrains":
            assert step["env"].pop("SEEDS") == "1 2 3"
            step["env"]["SEEDS"] = "1"
    assert runner.run(job), runner.log
    assert repository.git("ls-tree", "--name-only", "lorasent-bank") == "seed-1"
    runner, green = gated(repository.commit("pull"), only=[FIRST], **steps(WORKFLOW, "gate")[-1]["with"])
    assert green, runner.log
    assert arguments(runner) == [
        "../adapters/current",
        "--baseline",
        "./adapters/current",
        "--baseline",
        "../.banks/lorasent-bank/seed-1",
    ]
    bank = runner.temp / "lorasent-gate/pull/.banks/lorasent-bank/seed-1"
    assert json.loads((bank / "lorasent.json").read_text())["recipe"]["training"]["seed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["PASS", "BLOCK"])
def test_the_pipeline_of_gitlab_judges_a_merge_request(repository, tmp_path, verdict):
    """By the target branch; the merge request's own policy and code are not even there."""
    if verdict == "BLOCK":
        swap_labels(repository.path / "adapters" / "current")
    (repository.path / "gate.toml").write_text("[integrity]\nmanifest = 'nonsense'\n")
    (repository.path / "adapters" / "conftest.py").write_text("import os\nos._exit(0)\n")
    repository.git("update-ref", "refs/merge-requests/3/head", repository.commit("pull"))
    runner = Runner(tmp_path / "job", {})
    make_python(runner)
    pipeline = yaml.safe_load(PIPELINE.read_text("utf-8"))
    runner.environment |= {
        "PATH": commands(tmp_path),
        "CANDIDATE": pipeline["variables"]["CANDIDATE"],
        "LORASENT_CACHE": str(tmp_path / "answers"),
        "CI_REPOSITORY_URL": f"file://{repository.path}",
        "CI_MERGE_REQUEST_IID": "3",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }
    green = runner.run([{"name": "script", "run": "\n".join(pipeline["gate"]["script"])}])
    written = json.loads((runner.workspace / "room/out/verdict.json").read_text())
    assert (written["outcome"], green) == (verdict, verdict == "PASS"), runner.log
    assert not (runner.workspace / "room/pull/gate.toml").exists()
    assert not (runner.workspace / "room/pull/adapters/conftest.py").exists()


def test_the_pipeline_of_gitlab_is_valid():
    """By the JSON Schema that check-jsonschema carries."""
    jsonschema.validate(yaml.safe_load(PIPELINE.read_text("utf-8")), vendored("gitlab-ci.json"))
