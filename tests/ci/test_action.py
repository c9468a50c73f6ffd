"""action.yml, executed step by step on a repository with a base branch and pull requests."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.ci.runner import ROOT, expression, steps

FIRST, JUDGE, LAST = "Lay out the base branch, and the candidate as data", "Judge", "Verdict"


def arguments(runner):
    """The arguments of the gate that the first step left."""
    return (runner.temp / "lorasent-gate" / "arguments").read_text().rstrip("\0").split("\0")


def edit(path, **changes):
    """Changes keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def swap_labels(adapter):
    """A fault that the files show."""
    edit(adapter / "lorasent.json", labels=json.loads((adapter / "lorasent.json").read_text())["labels"][::-1])


def prepared(repository, verdict):
    """The commit of a pull request that gets this verdict."""
    adapter = repository.path / "adapters" / "current"
    if verdict == "INCONCLUSIVE":
        policy = '[data]\ntest = "embedded:test"\nsample = 20\n[quality]\nmargin = 0.02\n'
        (repository.path / "gate.toml").write_text(policy)
        repository.commit()
    if verdict == "INVALID":
        swap_labels(adapter)
        repository.commit()
        swap_labels(adapter)
    if verdict == "BLOCK":
        swap_labels(adapter)
    return repository.commit("pull")


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["PASS", "BLOCK", "INCONCLUSIVE", "INVALID"])
def test_a_pull_request_gets_its_verdict(repository, gated, interface, verdict):
    """As output, summary, annotations, comment, JSON, SARIF and report; the job is green for PASS alone."""
    runner, green = gated(prepared(repository, verdict), upload_sarif="true")
    assert green is (verdict == "PASS"), runner.log
    assert runner.known["steps.gate.outputs.verdict"] == verdict
    outputs = {name: Path(runner.known[f"steps.gate.outputs.{name}"]) for name in ("json", "report", "summary", "sarif")}
    assert json.loads(outputs["json"].read_text("utf-8"))["outcome"] == verdict
    assert all(path.stat().st_size for path in outputs.values())
    assert re.match(rf"### \S+ {verdict}: ", runner.summary)
    assert re.search(rf"^::(error|warning|notice) title=lorasent%3A {verdict}::", runner.log, re.MULTILINE)
    (comment,) = interface.comments
    assert comment["body"].startswith("<!-- lorasent: adapters/current -->\n### ")
    assert runner.summary in comment["body"]
    results = json.loads(outputs["sarif"].read_text("utf-8"))["runs"][0]["results"]
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in results]
    assert all(place.startswith("adapters/current/") for place in places)
    assert bool(places) is (verdict in ("BLOCK", "INVALID"))
    assert "secret-token" not in runner.log


@pytest.mark.slow
def test_a_pull_request_cannot_loosen_its_own_gate(repository, gated):
    """Its policy allows everything, its waivers waive everything, and its baseline is another: none of them is read."""
    (repository.path / "waivers.toml").write_text(waiver("quality::accuracy", "known", "2000-01-01"))
    repository.commit()
    adapter = repository.path / "adapters" / "current"
    swap_labels(adapter)
    (repository.path / "gate.toml").write_text('[data]\ntest = "embedded:test"\n[quality]\nmargin = 1.0\n')
    (repository.path / "waivers.toml").write_text(waiver("quality::accuracy", "please", "2999-01-01"))
    runner, green = gated(repository.commit("pull"), waivers="waivers.toml")
    assert not green
    assert runner.known["steps.gate.outputs.verdict"] == "BLOCK"
    assert (runner.temp / "lorasent-gate/pull/.base/gate.toml").read_text() == "[integrity]\n"
    assert "its last day was 2000-01-01" in runner.summary


def waiver(check, reason, until):
    """A file with one waiver."""
    return f'[[waiver]]\ncheck = "{check}"\nreason = "{reason}"\nuntil = {until}\n'


HOSTILE_CODE = "import os, pathlib\npathlib.Path(os.environ['MARK']).touch()\nos._exit(0)\n"


@pytest.mark.slow
def test_nothing_of_a_pull_request_is_run(repository, gated, tmp_path, monkeypatch):
    """A conftest.py, sitecustomize.py, modules, hooks and settings that would end the process with 0 leave no trace."""
    adapter = repository.path / "adapters" / "current"
    for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "json.py", "lorasent.py", "torch.py", "tokenizer.py"):
        for folder in (repository.path, adapter):
            (folder / name).write_text(HOSTILE_CODE)
    (repository.path / "pytest.ini").write_text("[pytest]\naddopts = -p conftest\n")
    (adapter / ".gitattributes").write_text("* filter=evil\n")
    (repository.path / ".lfsconfig").write_text("[lfs]\n\turl = http://127.0.0.1:9/\n")
    swap_labels(adapter)
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    runner, green = gated(repository.commit("pull"))
    assert not green
    assert not (tmp_path / "mark").exists()
    assert runner.known["steps.gate.outputs.verdict"] == "BLOCK"
    assert not (runner.temp / "lorasent-gate/pull/conftest.py").exists()


def test_links_of_a_pull_request_become_files(repository, gated, tmp_path):
    """A link that leads out of the repository is a file with its target's name; a folder that is a link is no candidate."""
    (tmp_path / "secret").write_text("secret")
    adapter = repository.path / "adapters" / "current"
    (adapter / "README.md").unlink()
    (adapter / "README.md").symlink_to(tmp_path / "secret")
    runner, green = gated(repository.commit("pull"), only=[FIRST])
    assert green, runner.log
    laid = runner.temp / "lorasent-gate/pull/adapters/current/README.md"
    assert not laid.is_symlink()
    assert laid.read_text() == str(tmp_path / "secret")
    shutil.rmtree(adapter)
    adapter.symlink_to(tmp_path)
    runner, green = gated(repository.commit("pull"), only=[FIRST])
    assert not green
    assert "expected USER/NAME@REVISION in its first line" in runner.log


def test_files_of_git_lfs_are_fetched_whatever_the_attributes_say(repository, gated, tmp_path):
    """Pointers of the candidate become their files, by git-lfs, which a stand-in plays; a small file that is none is left alone."""
    lfs = tmp_path / "lfs" / "git-lfs"
    lfs.parent.mkdir()
    lfs.write_text('#!/bin/sh\n[ "$1" = smudge ] && printf "content of " && tail -n 1\n')
    lfs.chmod(0o755)
    adapter = repository.path / "adapters" / "current"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    (adapter / "adapter_model.safetensors").write_text(pointer)
    (adapter / "README.md").write_text("version 1")
    runner, green = gated(repository.commit("pull"), only=[FIRST], path=lfs.parent)
    assert green, runner.log
    laid = runner.temp / "lorasent-gate/pull/adapters/current"
    assert (laid / "adapter_model.safetensors").read_text() == "content of size 12\n"
    assert (laid / "README.md").read_text() == "version 1"


NAMES = {
    "a command": "$(touch${IFS}x)",
    "a quotation": "a'b\"c;touch",
    "an option": "--upload-pack=touch",
    "a workflow command": "a::error::b",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a workflow command"])
def test_the_name_of_a_branch_is_data(repository, gated, tmp_path, name):
    """Whatever git allows in it: the base branch is found, and nothing is run."""
    repository.git("push", "--quiet", ".", f"HEAD:refs/heads/{NAMES[name]}")
    runner, green = gated(repository.commit("pull"), base=NAMES[name], only=[FIRST])
    assert green, runner.log
    assert arguments(runner) == ["../adapters/current", "--baseline", "./adapters/current"]
    assert not [*tmp_path.rglob("x")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["main\n::error::planted", "main\r::error::planted", "\x1b[31m", *NAMES.values()], ids=ascii)
def test_a_name_that_is_nowhere_is_one_harmless_line(repository, gated, tmp_path, name):
    """The step fails, and what it says is one annotation."""
    for given in ({"base": name}, {"candidate": name}):
        runner, green = gated(repository.git("rev-parse", "HEAD"), only=[FIRST], **given)
        assert not green
        planted = [line for line in re.split(r"[\r\n]", runner.log) if line.startswith("::") and "planted" in line]
        assert all(line.startswith("::error title=lorasent::") for line in planted)
        assert "\x1b" not in runner.log
    assert not [*tmp_path.rglob("x")]


def test_a_stale_verdict_is_none(repository, gated):
    """What an earlier run left is removed before anything is fetched, and the comment says that there is none."""
    out = None
    for head in (repository.git("rev-parse", "HEAD"), "0" * 40):
        runner, _ = gated(head, only=[FIRST, LAST])
        out = runner.temp / "lorasent-gate" / "out"
        if head != "0" * 40:
            (out / "verdict.json").write_text('{"outcome": "PASS"}')
    assert [path.name for path in out.iterdir()] == ["summary.md"]
    assert "No verdict" in (out / "summary.md").read_text("utf-8")


GATES = {
    "no file": ("", 0, "NONE"),
    "a file, and another exit code": ('{"outcome": "PASS"}', 1, "NONE"),
    "a torn file": ('{"outcome": "PA', 0, "NONE"),
    "a pass": ('{"outcome": "PASS"}', 0, "PASS"),
    "a block": ('{"outcome": "BLOCK"}', 1, "BLOCK"),
    "a block that exits 0": ('{"outcome": "BLOCK"}', 0, "NONE"),
    "an internal error": ("", 70, "NONE"),
}


@pytest.mark.slow
@pytest.mark.parametrize("gate", GATES)
def test_the_verdict_is_what_the_gate_wrote(repository, gated, gate):
    """A file that is absent or torn, or that contradicts the exit code, is no verdict, and the job is red."""
    written, code, verdict = GATES[gate]
    script = (
        f'#!/bin/bash\nout="$RUNNER_TEMP/lorasent-gate/out"\nif [ "$2" = -m ]; then printf %s {written!r} > "$out/verdict.json"\n'
    )
    script += f'[ -s "$out/verdict.json" ] || rm "$out/verdict.json"\necho "### seen" > "$out/summary.md"; exit {code}; fi\n'
    script += 'grep -oE \'"(PASS|BLOCK)"\' "${@: -1}" | tr -d \'"\'\n'

    runner, green = gated(repository.git("rev-parse", "HEAD"), only=[FIRST])
    assert green, runner.log
    (runner.temp / "lorasent-python/bin").mkdir(parents=True)
    python = runner.temp / "lorasent-python/bin/python"
    python.write_text(script)
    python.chmod(0o755)
    green = runner.run([step for step in steps(ROOT / "action.yml") if step["name"] in (JUDGE, LAST)])
    assert (runner.known["steps.gate.outputs.verdict"], green) == (verdict, verdict == "PASS"), runner.log
    assert ("No verdict" in runner.summary) is (verdict == "NONE")


def test_baselines_stand_on_the_base_branch_or_on_a_branch_of_their_own(repository, gated):
    """A bank's branch, a path, a name on the hub and one in a file; what is not there is said and left out."""
    repository.git("checkout", "--quiet", "--orphan", "bank")
    (repository.path / "seed-1").mkdir()
    (repository.path / "seed-1" / "adapter_config.json").write_text("{}")
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    (repository.path / "old.txt").write_text("user/old@v1\n")
    repository.commit()
    baseline = "adapters/current/\n\n  bank:seed-1\nuser/name@main\nold.txt\nmissing\nbank:seed-9\nnowhere:x\n"
    runner, green = gated(repository.commit("pull"), only=[FIRST], baseline=baseline.replace("  ", ""))
    assert green, runner.log
    expected = ["./adapters/current", "../.banks/bank/seed-1", "user/name@main", "user/old@v1"]
    assert arguments(runner) == ["../adapters/current", *(word for path in expected for word in ("--baseline", path))]
    assert (runner.temp / "lorasent-gate/pull/.banks/bank/seed-1/adapter_config.json").read_text() == "{}"
    assert re.findall(r"lorasent::(\S+): there is none", runner.log) == ["missing", "bank:seed-9", "nowhere:x"]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"candidate": "user/new@v2", "baseline": "user/old@v1"}, ["user/new@v2", "--baseline", "user/old@v1"]),
        (
            {"candidate": "", "artifact": "adapter", "baseline": "adapters/current"},
            ["../artifact", "--baseline", "./adapters/current"],
        ),
        ({"candidate": "adapters/new.txt"}, ["user/new@v3"]),
        ({"candidate": "./adapters/current/"}, ["../adapters/current", "--baseline", "./adapters/current"]),
    ],
    ids=["hub", "artifact", "a name in a file", "a path with strokes"],
)
def test_candidates_lie_in_git_on_the_hub_or_in_an_artifact(repository, gated, inputs, expected):
    """Each becomes the gate's candidate; a first adapter has no baseline, which is said."""
    (repository.path / "adapters" / "new.txt").write_text("user/new@v3\r\n")
    runner, green = gated(repository.commit("pull"), only=[FIRST], **inputs)
    assert green, runner.log
    assert arguments(runner) == expected
    assert ("a first adapter" in runner.log) is ("--baseline" not in expected)


@pytest.mark.parametrize("path", ["", ".", "../x", "a/../b", "/etc", ".base/x"])
def test_a_candidate_is_a_folder_inside_the_repository(repository, gated, path):
    """Any other path is refused before anything of it is laid out."""
    runner, green = gated(repository.git("rev-parse", "HEAD"), only=[FIRST], candidate=path)
    assert not green
    assert "expected a folder inside the repository" in runner.log


def scripts():
    """The `run` texts of all steps, by file and name."""
    found = {}
    for path in [ROOT / "action.yml", *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]:
        content = yaml.safe_load(path.read_text("utf-8"))
        jobs = [content["runs"]] if "runs" in content else content["jobs"].values()
        found |= {f"{path.name}: {step.get('name')}": step["run"] for job in jobs for step in job["steps"] if "run" in step}
    return found


def test_no_script_has_an_expression():
    """A name that GitHub filled in would be a command: scripts read variables."""
    assert len(scripts()) > 5
    assert [name for name, script in scripts().items() if "${{" in script] == []


def test_files_that_the_action_names_exist():
    """Its scripts, and what it installs from its own checkout."""
    text = (ROOT / "action.yml").read_text("utf-8")
    assert all((ROOT / name).is_file() for name in re.findall(r"\$ACTION_PATH/([\w./-]+)", text))
    assert "embedded = [" in (ROOT / "pyproject.toml").read_text("utf-8")


def vendored(name):
    """A JSON Schema that check-jsonschema carries."""
    from importlib import resources

    return json.loads(resources.files("check_jsonschema").joinpath("builtin_schemas", "vendor", name).read_text("utf-8"))


@pytest.mark.parametrize("path", ["action.yml", ".github/workflows/gate.yml", ".github/workflows/ci.yml"])
def test_actions_and_workflows_are_valid(path):
    """By the JSON Schemas that check-jsonschema carries."""
    schema = vendored("github-actions.json" if path == "action.yml" else "github-workflows.json")
    content = yaml.safe_load((ROOT / path).read_text("utf-8"))
    if True in content:
        content["on"] = content.pop(True)  # YAML 1.1 reads `on` as true
    jsonschema.validate(content, schema)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a || b", "2"), ("a == '' && b == '2'", True), ("b != '2' || a", ""), ("always() && b", "2"), ("c", "")],
)
def test_expressions_are_evaluated_as_the_runner_does(text, value):
    """By the stand-in for the runner."""
    assert expression(text, {"a": "", "b": "2"}) == value
