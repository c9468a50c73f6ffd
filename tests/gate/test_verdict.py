"""The verdict as its user asks for it: `lorasent gate`, `pytest gate.toml`, recorded evidence, the cache."""

import json
import shutil
from xml.etree import ElementTree as ET

import pytest
from safetensors.numpy import load_file, save_file

from lorasent import golden
from lorasent.adapter import snapshot
from lorasent.adapter.manifest import MANIFEST, WEIGHTS
from lorasent.errors import LorasentError, PolicyError
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Integrity, Policy
from lorasent.gate.verdict import judge, names, questions
from lorasent.recipe.recipe import Recipe
from lorasent.scoring import evidence
from lorasent.scoring.evidence import LiveSubject
from lorasent.training.train import train
from tests.support.bases import edit_json
from tests.support.imports import COMMAND_LINE, HEAVY, imported

POLICY = """
[data]
test = "embedded:test"
sample = 200
[integrity]
truncation_side = "left"
[quality]
margin = 0.10
slices = ["length", "tags"]
[behaviour]
cases = "embedded"
[calibration]
[cost]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def policy(tmp_path):
    """A policy of every family but goldens."""
    path = tmp_path / "gate.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def retrained(tmp_path_factory, small_recipe):
    """The small recipe with another seed: an innocent retrain."""
    return train(Recipe.read(small_recipe, ["training.seed=7"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture(scope="module")
def another(tmp_path_factory, small_recipe):
    """One more innocent retrain."""
    return train(Recipe.read(small_recipe, ["training.seed=8"]), tmp_path_factory.mktemp("another") / "adapter").path


def test_an_adapter_passes_against_itself(lorasent, small_adapter, policy):
    """Exit 0, the verdict first, every family judged, and the command that asks again last."""
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == f"PASS: {small_adapter} against {small_adapter}"
    for part in ("quality::accuracy", "calibration::brier", "cost::flops", "behaviour", "integrity"):
        assert part in done.stdout
    assert lines[-1] == f"Again: lorasent gate {small_adapter} --baseline {small_adapter} --policy {policy}"


def test_a_broken_candidate_blocks_with_its_cause_first(lorasent, small_adapter, policy, tmp_path):
    """Exit 1; the first lines name the check, the cause and what to do; nothing is asked of a broken file."""
    broken = shutil.copytree(small_adapter, tmp_path / "broken")
    (broken / "adapter_model.safetensors").unlink()
    done = lorasent("gate", broken, "--baseline", small_adapter, "--policy", policy)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("BLOCK: ")
    assert "adapter_model.safetensors" in done.stdout.splitlines()[1]
    assert "what to do: " in done.stdout.splitlines()[2]
    assert "quality" not in done.stdout


@pytest.mark.slow
def test_the_verdict_is_one_json_object(lorasent, small_adapter, retrained, policy, tmp_path):
    """Outcome, findings with figures, and the hashes of the evidence; the page says the same."""
    done = lorasent("gate", retrained, "--baseline", small_adapter, "--policy", policy, "--json", "--report", "page.html")
    said = json.loads(done.stdout)
    assert said["outcome"] in ("PASS", "INCONCLUSIVE")
    assert done.returncode == {"PASS": 0, "INCONCLUSIVE": 3}[said["outcome"]]
    found = {finding["check"]: finding for finding in said["findings"]}
    assert found["quality::accuracy"]["figures"]["n"] == 200
    assert set(said["evidence"]) == {"candidate", str(small_adapter), "data"}
    page = (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert f'<h1 class="{said["outcome"]}">' in page
    assert all(f"<code>{check}</code>" in page for check in found)


def test_a_faulty_baseline_is_invalid(lorasent, small_adapter, policy, tmp_path):
    """Exit 4: the candidate is not accused."""
    done = lorasent("gate", small_adapter, "--baseline", tmp_path / "none", "--policy", policy)
    assert done.returncode == 4
    assert done.stdout.startswith("INVALID: ")


@pytest.mark.slow
def test_data_that_cannot_be_read_are_invalid(lorasent, small_adapter, policy, tmp_path):
    """Exit 4, though everything else passes."""
    (tmp_path / "one.jsonl").write_text('{"text": "x", "label": "unknown"}\n')
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy, "--data", "one.jsonl")
    assert done.returncode == 4
    assert "unknown label 'unknown'" in done.stdout


def predictions(**columns):
    """A golden of one review, its columns replaced; None leaves one out."""
    row = {"text": "a film", "label": "Positive", "logits": [0.1, 0.2], **columns}
    row = {name: cell for name, cell in row.items() if cell is not None}
    return golden.make([row], about="test", producer={}, tolerance={}, why="test").model_dump_json()


UNASKABLE = {
    "a slice's column is missing": (
        '[quality]\nslices = ["genre"]\n[data]\ntest = "embedded:test"',
        None,
        "quality.slices: embedded:test has no column genre; it has length, truncated, id, tags",
    ),
    "no cases": ('[behaviour]\ncases = "none.jsonl"', None, "none.jsonl: no behavioural cases that can be read: no such file"),
    "empty cases": ('[behaviour]\ncases = "."', None, ".: holds no behavioural cases; expected JSONL, one case a line"),
    "cases of junk": ('[behaviour]\ncases = "x.jsonl"', "junk", "x.jsonl, line 1: Invalid JSON: expected value at line 1 column 1"),
    "cases in Latin": (
        '[behaviour]\ncases = "x.jsonl"',
        b"caf\xe9",
        "x.jsonl: no behavioural cases that can be read: expected UTF-8",
    ),
    "no golden": ('[golden]\npredictions = "none.json"', None, "none.json: missing: no such golden"),
    "a golden of junk": ('[golden]\npredictions = "x.jsonl"', "{", "x.jsonl: not a golden: file: Invalid JSON"),
    "a folder for a golden": ('[golden]\npredictions = "."', None, ".: cannot be read as a golden: Is a directory"),
    **{
        f"a golden with {fault}": (
            '[golden]\npredictions = "x.jsonl"',
            predictions(**column),
            "x.jsonl: row 0: no prediction that can",
        )
        for fault, column in {
            "no text": {"text": None},
            "no label": {"label": None},
            "no logits": {"logits": None},
            "a bare logit": {"logits": 0.5},
            "other logits": {"logits": [0.1, 0.2, 0.3]},
            "another label": {"label": "Mixed"},
        }.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", UNASKABLE)
def test_what_cannot_be_asked_is_invalid(lorasent, small_adapter, tmp_path, fault):
    """Exit 4 and one line that says what is missing; what could be asked passes, and nobody is accused."""
    policy, content, message = UNASKABLE[fault]
    (tmp_path / "gate.toml").write_text(policy)
    if content is not None:
        (tmp_path / "x.jsonl").write_bytes(content.encode() if isinstance(content, str) else content)
    done = lorasent("gate", small_adapter, "--baseline", small_adapter)
    assert (done.returncode, done.stderr) == (4, "")
    first, line, advice, *others = done.stdout.splitlines()
    assert first.startswith("INVALID: ")
    assert line.strip().startswith("INVALID ")
    assert f"(not-judged): {message}" in line
    assert advice.strip() == "what to do: mend the data or the policy"
    assert [other.split()[0] for other in others if "triggers" not in other] == ["PASS", "Again:"]


@pytest.mark.slow
def test_evidence_that_lacks_answers_is_invalid(lorasent, small_adapter, tmp_path):
    """Recorded by another policy: each family says so, and cost that a recording has no model to measure; exit 4."""
    live = LiveSubject(small_adapter)
    answered = live.labels[int(live.answer(["a film"]).logits.argmax())]
    (tmp_path / "x.json").write_text(predictions(label=answered))
    (tmp_path / "one.jsonl").write_text('{"text": "a film", "label": 1}\n')
    case = {"id": "1", "capability": "one", "kind": "minimum", "texts": ["another"], "expect": "Positive"}
    (tmp_path / "case.jsonl").write_text(json.dumps(case))
    evidence.record(live, [["a film"]], tmp_path / "record")
    missing = "record: holds no answers to these {} texts: record it again, on the policy's data (lorasent record)"
    for policy, message in {
        '[quality]\n[data]\ntest = "embedded:test"\nsample = 20': missing.format(20),
        '[behaviour]\ncases = "case.jsonl"': missing.format(1),
        '[cost]\n[data]\ntest = "one.jsonl"': "cost: recorded evidence has no model to measure; "
        "give an adapter as baseline, or drop [cost]",
    }.items():
        (tmp_path / "gate.toml").write_text(policy)
        done = lorasent("gate", small_adapter, "--baseline", "record")
        assert done.returncode == 4
        assert [line for line in done.stdout.splitlines() if line.endswith(f"(not-judged): {message}")], done.stdout
    (tmp_path / "gate.toml").write_text('[golden]\npredictions = "x.json"')
    assert lorasent("gate", small_adapter, "--baseline", "record").returncode == 0


@pytest.mark.slow
def test_a_verdict_asks_no_hub_for_its_data(lorasent, small_adapter, policy, monkeypatch):
    """Exit 4, and what to do; whatever else is asked online is refused by the suite's own socket guard."""
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("the hub was asked"))
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy, "--data", "no-one/nothing:test")
    assert done.returncode == 4
    assert "fetch the data once with lorasent evaluate ADAPTER --data no-one/nothing:test" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "asks for no check: add [integrity], [golden]"),
        ("[quality]\nmargin = 0.1", "[quality] needs data: add [data]"),
        ("[quality]\nmargin = 2", "quality.margin = 2: should be"),
        ("[quality]\ncolour = 1\n[data]\ntest = 'x'", "unknown key quality.colour; allowed here: metric, margin"),
        (
            "[integrity]\nmay_change = ['data', 'lora.rr', 'loras', 'base.labels']",
            'should be "lora", "lora.r" and the like, not lora.rr, loras, base.labels. Tables and keys that may change: base: ',
        ),
        ("[", "not valid TOML"),
        (None, "no policy that can be read"),
    ],
    ids=["no check", "no data", "out of bounds", "unknown key", "unknown change", "not TOML", "no file"],
)
def test_a_policy_that_cannot_be_used_is_one_line(lorasent, small_adapter, tmp_path, content, message):
    """Exit 2, before anything is loaded."""
    if content is not None:
        (tmp_path / "gate.toml").write_text(content)
    done = lorasent("gate", small_adapter, "--baseline", small_adapter)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize(
    "entry",
    [
        "lora",
        "lora.r",
        "data",
        "data.train",
        "base",
        "base.model",
        "encoding.tokenizer",
        "training.epochs",
        "augmentation",
        "augmentation.typos",
    ],
)
def test_what_may_change_can_be_declared(entry):
    """Tables and keys of a recipe, and what the integrity checks compare beside them."""
    assert Integrity(may_change=[entry]).may_change == (entry,)


@pytest.mark.slow
def test_recorded_evidence_serves_as_a_baseline(lorasent, small_adapter, retrained, policy, tmp_path):
    """What a live baseline gives, its recorded answers give, to the last figure, on the checks that need no model of it."""
    policy.write_text(POLICY.replace("[cost]", ""))
    assert lorasent("record", small_adapter, "--policy", policy, "--out", "base.safetensors").returncode == 0
    live, recorded = (
        json.loads(lorasent("gate", retrained, "--baseline", path, "--policy", policy, "--json").stdout)
        for path in (small_adapter, tmp_path / "base.safetensors")
    )
    assert live["outcome"] == recorded["outcome"]
    sampled = [
        [(one["check"], one["outcome"], one["figures"]) for one in said["findings"] if not one["check"].startswith("integrity")]
        for said in (live, recorded)
    ]
    assert sampled[0] == sampled[1] != []
    done = lorasent("gate", retrained, "--baseline", "base.safetensors", "--policy", policy, "--data", "embedded:train")
    assert done.returncode == 4
    assert "holds no answers to these" in done.stdout
    again = lorasent("record", small_adapter, "--policy", policy, "--out", "base.safetensors")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.slow
def test_a_repeated_verdict_asks_no_model(small_adapter, retrained, policy, monkeypatch):
    """Everything comes out of the cache; without a cache folder nothing is kept."""
    first = judge(retrained, [small_adapter], Policy.read(policy))
    with monkeypatch.context() as patch:
        patch.setattr("lorasent.scoring.scorer.load", lambda *_: pytest.fail("a model was loaded"))
        patch.setattr("lorasent.adapter.directory.load", lambda *_: pytest.fail("a model was loaded"))
        assert judge(retrained, [small_adapter], Policy.read(policy)) == first


@pytest.mark.slow
def test_a_repeated_verdict_imports_no_torch(lorasent, small_adapter, retrained, policy, tmp_path):
    """With all evidence cached, a fresh process judges every family and writes the page without it."""
    asked = ["gate", retrained, "--baseline", small_adapter, "--policy", policy, "--report", tmp_path / "page.html"]
    said = lorasent(*asked).stdout
    (tmp_path / "page.html").unlink()
    assert imported(COMMAND_LINE, *asked) & (HEAVY | {"scipy.stats"}) == set()
    assert "behaviour::triggers" in (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert lorasent(*asked).stdout == said


FILE_FAULTS = {
    "no weights": lambda path: (path / "adapter_model.safetensors").unlink(),
    "weights of other bytes": lambda path: (path / "adapter_model.safetensors").write_bytes(b"junk"),
    "another alpha": lambda path: edit_json(path / "adapter_config.json", lora_alpha=64),
    "no manifest": lambda path: (path / "lorasent.json").unlink(),
    "a pickle": lambda path: (path / "adapter_model.bin").write_bytes(b"junk"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_faulty_files_are_blocked_before_torch_is_imported(small_adapter, policy, tmp_path, fault):
    """Nothing is cached, and nothing is needed: what the files themselves show is found without a model."""
    broken = shutil.copytree(small_adapter, tmp_path / "broken")
    FILE_FAULTS[fault](broken)
    asked = ["gate", broken, "--baseline", small_adapter, "--policy", policy, "--report", tmp_path / "page.html"]
    assert imported(COMMAND_LINE, *asked) & HEAVY == set()
    assert '<h1 class="BLOCK">' in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_bank_separates_retraining_noise(small_adapter, retrained, another, policy):
    """With several baselines the candidate is held to what one more retrain would give."""
    verdict = judge(retrained, [small_adapter, another], Policy.read(policy))
    checks = {finding.check: finding for finding in verdict.findings}
    assert checks["quality::retraining"].outcome is Outcome.PASS
    assert "retraining noise" not in checks["quality::accuracy"].message
    assert set(verdict.evidence) == {"candidate", str(small_adapter), str(another), "data"}


@pytest.mark.slow
@pytest.mark.parametrize("guise", ["itself", "another header", "other names", "a line feed"])
def test_the_same_weights_are_no_second_retrain(small_adapter, retrained, another, tmp_path, guise):
    """Nor is the candidate's own: by the numbers, whatever the files around them are; another retrain is one."""

    def disguised(adapter, folder):
        copy = shutil.copytree(adapter, folder)
        tensors, weights = load_file(copy / WEIGHTS), copy / WEIGHTS
        if guise == "another header":
            save_file(tensors, weights, {"format": "pt", "by": "me"})
        if guise == "other names":
            save_file({f"a.{name}": tensor for name, tensor in tensors.items()}, weights)
        if guise == "a line feed":
            (copy / "adapter_config.json").write_bytes((copy / "adapter_config.json").read_bytes() + b"\n")
        edit_json(copy / MANIFEST, files=snapshot.Snapshot(copy).listed)
        return copy

    twin, own = disguised(another, tmp_path / "twin"), disguised(retrained, tmp_path / "own")
    assert [one for one in judge(retrained, [small_adapter, another], Policy()).findings if one.check == "baseline"] == []
    twice, myself = (judge(retrained, [small_adapter, *others], Policy()).findings[0] for others in ([another, twin], [own]))
    assert twice.message.endswith(f"it is {another} over again")
    assert myself.message.endswith("it is the candidate")


def test_no_baseline_is_an_error(small_adapter, policy):
    """There is nothing to compare with."""
    with pytest.raises(PolicyError, match=r"the gate needs a baseline"):
        judge(small_adapter, [], Policy.read(policy))


@pytest.fixture
def project(pytester, policy):
    """A user's project with a policy at its root and a test that has nothing to do with it."""
    pytester.makeini("[pytest]\n")
    (pytester.path / "gate.toml").write_text(policy.read_text())
    (pytester.path / "test_other.py").write_text("def test_other():\n    pass\n")
    return pytester


def run(project, *arguments):
    """Runs pytest there in this process."""
    return project.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", *map(str, arguments))


def test_pytest_collects_the_policy(project, small_adapter, policy):
    """Each check is a test, JUnit carries the figures, and the verdict stands at the end."""
    result = run(project, "gate.toml", "--candidate", small_adapter, "--baseline", small_adapter, "--junit-xml=junit.xml", "-v")
    assert result.ret == 0
    for name in names(Policy.read(policy)):
        outcome = "SKIPPED*" if name == "quality::retraining" else "PASSED*"
        result.stdout.fnmatch_lines([f"gate.toml::{name} {outcome}"], consecutive=False)
    result.stdout.fnmatch_lines([f"PASS: {small_adapter} against *", "Again: lorasent gate *"])
    properties = ET.parse(project.path / "junit.xml").findall(".//property")  # noqa: S314 - our own file
    assert {"verdict", "quality::accuracy", "cost::flops"} <= {one.get("name") for one in properties}


@pytest.mark.slow
def test_a_check_is_selected_by_its_node_id(project, small_adapter):
    """gate.toml::calibration::brier, as pytest itself prints it, and a family by its own."""
    arguments = ("--candidate", small_adapter, "--baseline", small_adapter, "-v")
    one = run(project, "gate.toml::calibration::brier", *arguments)
    one.assert_outcomes(passed=1)
    one.stdout.fnmatch_lines(["gate.toml::calibration::brier PASSED*", "PARTIAL: *"])
    run(project, "gate.toml::quality::slice", *arguments).assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_selection_is_no_verdict(project, small_adapter):
    """-k shows its part of the whole policy's verdict, and says PARTIAL."""
    result = run(project, "gate.toml", "--candidate", small_adapter, "--baseline", small_adapter, "-k", "calibration")
    result.assert_outcomes(passed=1, deselected=16)
    result.stdout.fnmatch_lines(["PARTIAL: checks were deselected; a selection is no verdict"])


@pytest.mark.slow
def test_a_block_fails_its_check_and_skips_what_was_not_asked(project, small_adapter, tmp_path):
    """The failing test shows the finding alone, no traceback; the others say what ended the verdict."""
    broken = shutil.copytree(small_adapter, tmp_path / "broken")
    edit_json(broken / "adapter_config.json", lora_alpha=64)
    result = run(project, "gate.toml", "--candidate", broken, "--baseline", small_adapter, "-rs")
    assert result.ret == 1
    assert "Traceback" not in result.stdout.str()
    result.stdout.fnmatch_lines(["BLOCK *integrity::files*adapter_config.json*", "*not asked: integrity::files is BLOCK*"])


@pytest.mark.slow
def test_a_bank_that_is_none_fails_the_tests(project, small_adapter):
    """INVALID belongs to no check of a policy that asks for sound files alone, all of which pass."""
    (project.path / "gate-i.toml").write_text("[integrity]\n")
    against = ("--gate-candidate", small_adapter, "--gate-baseline", small_adapter, "--gate-baseline", small_adapter)
    result = run(project, "gate-i.toml", *against)
    assert result.ret == 1
    assert result.parseoutcomes().keys() == {"failed"}
    result.stdout.fnmatch_lines(["INVALID: *", "*INVALID *baseline*"])


@pytest.mark.slow
def test_data_that_cannot_be_judged_fail_the_tests(project, small_adapter):
    """INVALID is never green, though no test is called after what was missing."""
    result = run(
        project, "gate.toml", "--candidate", small_adapter, "--baseline", small_adapter, "--gate-data", "none.csv", "-k", "quality"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INVALID *none.csv: no such file or folder"])


def test_a_policy_needs_a_candidate_and_does_not_disturb_other_tests(project):
    """Named without one: one clear error. Not named: the project's own tests run as before."""
    result = run(project, "gate.toml")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*gate.toml: a policy needs --gate-candidate=DIR and --gate-baseline=DIR"])
    run(project).assert_outcomes(passed=1)


WATCHED = """
import time
from lorasent.gate import verdict

judge = verdict.judge

def watched(*arguments):
    with open("judged.txt", "a") as file:
        file.write("begun ")
    found = judge(*arguments)
    time.sleep(0.5)
    with open("judged.txt", "a") as file:
        file.write("done ")
    return found

verdict.judge = watched
"""


def verdicts(result):
    """What a run of pytest says from its verdict on, blank lines and its last one aside."""
    lines = [line for line in result.outlines if line]
    return lines[next(row for row, line in enumerate(lines) if line.strip("= ") == "gate.toml") : -1]


@pytest.mark.slow
def test_under_xdist_each_policy_is_judged_once_and_alone(project, small_adapter):
    """Two workers, each with checks of both policies, and judging that takes its time: one verdict after the other, no third."""
    (project.path / "gate2.toml").write_text((project.path / "gate.toml").read_text())
    (project.path / "conftest.py").write_text(WATCHED)
    against = ("--candidate", small_adapter, "--baseline", small_adapter)
    result = project.runpytest_subprocess("-p", "no:randomly", "gate.toml", "gate2.toml", *against, "-n", "2", "-v")
    result.assert_outcomes(passed=32, skipped=2)
    assert {line.split()[0] for line in result.outlines if " PASSED gate" in line} == {"[gw0]", "[gw1]"}
    assert (project.path / "judged.txt").read_text().split() == ["begun", "done"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("selection", [(), ("-k", "calibration or floor")], ids=["whole", "partial"])
def test_under_xdist_the_verdict_is_shown_as_without(project, small_adapter, selection):
    """The controller collects and judges nothing, and says at the end what one process says."""
    arguments = ("gate.toml", "--candidate", small_adapter, "--baseline", small_adapter, *selection)
    expected = verdicts(run(project, *arguments))
    assert any(line.startswith("PARTIAL: " if selection else "PASS: ") for line in expected)
    assert verdicts(project.runpytest_subprocess("-p", "no:randomly", "-n", "2", *arguments)) == expected


@pytest.mark.slow
def test_the_checks_of_a_policy_are_one_group(project, small_adapter):
    """`--dist loadgroup` deals them to one worker; without xdist there is no such marker, and the policy is judged all the same."""
    arguments = ("gate.toml", "--candidate", small_adapter, "--baseline", small_adapter)
    items, _ = project.inline_genitems("-p", "no:randomly", *arguments)
    assert {item.get_closest_marker("xdist_group").args for item in items} == {("gate.toml",)}
    result = run(project, "-p", "no:xdist", "--strict-markers", *arguments)
    result.assert_outcomes(passed=16, skipped=1)
    result.stdout.fnmatch_lines([f"PASS: {small_adapter} against *"])


@pytest.mark.slow
def test_other_tests_that_are_deselected_leave_the_verdict_whole(project, small_adapter):
    """Only a check of the policy that is not shown makes it PARTIAL."""
    arguments = (".", "--candidate", small_adapter, "--baseline", small_adapter, "--deselect", "test_other.py::test_other")
    result = run(project, *arguments)
    result.assert_outcomes(passed=16, skipped=1, deselected=1)
    result.stdout.fnmatch_lines([f"PASS: {small_adapter} against *"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"gate\.toml: no policy that can be read: is larger than the 1,048,576 bytes"),
        ("behaviour]\ncases = ", r"without-end\.jsonl: no behavioural cases that can be read: is larger than the"),
        ("golden]\npredictions = ", r"without-end\.jsonl: cannot be read as a golden: is larger than the"),
    ],
    ids=["the policy", "its cases", "its golden"],
)
def test_what_a_policy_names_is_not_read_without_end(tmp_path, monkeypatch, table, message):
    """A link to a device filled the memory: an internal error, where the policy is to be refused."""
    monkeypatch.setattr("lorasent.gate.behaviour.LARGEST", 2**20)
    monkeypatch.setattr("lorasent.golden.MAX_BYTES", 2**20)
    without_end = tmp_path / ("without-end.jsonl" if table else "gate.toml")
    without_end.symlink_to("/dev/zero")
    if table:
        (tmp_path / "gate.toml").write_text(f"[{table}'{without_end}'\n")
    with pytest.raises(LorasentError, match=message):
        questions(Policy.read(tmp_path / "gate.toml"), ["Negative", "Positive"])
