"""Real policies under pytest: each check is a test, and the verdict stands at the end."""

import shutil
from xml.etree import ElementTree as ET

import pytest

from lorasent.gate.policy import Policy
from lorasent.gate.verdict import names
from tests.support.bases import edit_json
from tests.support.policies import POLICY

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def policy(tmp_path):
    """A policy of every family but goldens."""
    (tmp_path / "gate.toml").write_text(POLICY)
    return tmp_path / "gate.toml"


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
    names_of = {element.get("name") for element in properties}
    assert {"verdict", "quality::accuracy.outcome", "quality::accuracy.cause", "cost::flops.figures"} <= names_of


@pytest.mark.slow
def test_a_check_is_selected_by_its_node_id(project, small_adapter):
    """gate.toml::calibration::brier, as pytest itself prints it, and a family by its own."""
    arguments = ("--candidate", small_adapter, "--baseline", small_adapter, "-v")
    selected = run(project, "gate.toml::calibration::brier", *arguments)
    selected.assert_outcomes(passed=1)
    selected.stdout.fnmatch_lines(["gate.toml::calibration::brier PASSED*", "PARTIAL: *"])
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
    result.stdout.fnmatch_lines(["BLOCK *integrity::files*adapter_config.json*", "*not checked: integrity::files is BLOCK*"])


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
    result.stdout.fnmatch_lines(["*gate.toml: a policy needs --gate-candidate=DIR, or --gate-candidate-predictions"])
    run(project).assert_outcomes(passed=1)


WATCHED = """
import time
from lorasent.gate import verdict

judged = verdict.judged

def watched(*arguments):
    with open("judged.txt", "a") as file:
        file.write("begun ")
    result = judged(*arguments)
    time.sleep(0.5)
    with open("judged.txt", "a") as file:
        file.write("done ")
    return result

verdict.judged = watched
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
