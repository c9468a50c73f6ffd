"""How pytest shows a verdict, whatever it is: verdicts are made here, real ones stand in tests/gate/test_verdict.py."""

import time
from xml.etree import ElementTree as ET

import pytest

from lorasent.errors import PolicyError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import Verdict, names

AGAINST = ("--gate-candidate=new", "--gate-baseline=old")
POLICY = '[quality]\nslices = ["tags"]\n[data]\ntest = "embedded:test"\n'
STRAY = Finding("baseline", Outcome.INVALID, "baseline", "the bank holds one adapter twice", "give another")
UNDECIDED = Finding("quality::accuracy", Outcome.INCONCLUSIVE, "undecided", "too few reviews")
BLOCK = Finding("quality::accuracy", Outcome.BLOCK, "worse", "it fell by half")


@pytest.fixture
def project(pytester):
    """A project with a policy and a test of its own."""
    pytester.makeini("[pytest]\n")
    (pytester.path / "gate.toml").write_text(POLICY)
    (pytester.path / "test_other.py").write_text("def test_other():\n    pass\n")
    return pytester


@pytest.fixture
def judge(monkeypatch):
    """Makes every verdict from here on: all checks pass but for the findings given. Returns the list of what was judged."""
    judged = []

    def prepare(*findings, **replaced):
        def made(candidate, baselines, policy):
            judged.append((candidate, baselines))
            bad = {finding.check for finding in findings}
            passed = [Finding(name, Outcome.PASS, "", "it holds") for name in names(policy) if name not in bad]
            order = ("BLOCK", "INVALID", "INCONCLUSIVE", "PASS")
            ranked = sorted([*findings, *passed], key=lambda finding: order.index(finding.outcome))
            options = {"outcome": ranked[0].outcome, "candidate": candidate, "baselines": tuple(baselines), **replaced}
            return Verdict(findings=tuple(ranked), evidence={}, **options), None

        monkeypatch.setattr("lorasent.gate.verdict.judged", made)
        return judged

    return prepare


def run(project, *arguments):
    """Runs pytest there in this process."""
    return project.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", *map(str, arguments))


def checks(policy=POLICY, path=None):
    """How many checks the policy asks."""
    path.write_text(policy)
    return len(names(Policy.read(path)))


@pytest.fixture
def count(tmp_path):
    """How many checks the project's policy asks."""
    return checks(path=tmp_path / "policy")


def test_a_finding_of_no_check_fails_each_and_the_run(project, judge, count):
    """INVALID that belongs to no test is no "9 passed": it concerns them all."""
    judge(STRAY)
    result = run(project, "gate.toml", *AGAINST)
    result.assert_outcomes(failed=count)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INVALID: new against old", "*INVALID *baseline (baseline): the bank holds one adapter twice"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "hidden",
    [
        "item.add_marker(pytest.mark.skip)",
        "item.add_marker(pytest.mark.xfail)",
        "item.runtest = lambda: None",
    ],
    ids=["skipped", "expected to fail", "replaced"],
)
@pytest.mark.parametrize("finding", [STRAY, BLOCK, UNDECIDED], ids=["INVALID", "BLOCK", "INCONCLUSIVE"])
def test_no_run_is_green_without_a_pass(project, judge, finding, hidden):
    """Whatever a project's conftest does with the tests, the verdict decides."""
    judge(finding)
    project.makeconftest(f"import pytest\n\ndef pytest_collection_modifyitems(items):\n    for item in items:\n        {hidden}\n")
    result = run(project, "gate.toml", *AGAINST)
    assert result.ret == 1
    assert result.parseoutcomes().get("failed") is None
    result.stdout.fnmatch_lines([f"{finding.outcome}: new against old"])


def test_a_selection_fails_by_what_belongs_to_no_check(project, judge):
    """Of other checks' findings it says nothing but PARTIAL."""
    judge(BLOCK)
    result = run(project, "gate.toml", *AGAINST, "-k", "integrity")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PARTIAL: checks were deselected; a selection is no verdict"])
    judge(STRAY)
    result = run(project, "gate.toml", *AGAINST, "-k", "integrity")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["PARTIAL: *", "INVALID *the bank holds one adapter twice"])


def test_a_policy_none_of_whose_checks_is_run_says_so(project, judge):
    """Nothing is judged, and the run does not look as if it were."""
    judged = judge()
    for selection in (("-k", "other"), ("--collect-only",)):
        result = run(project, ".", *AGAINST, *selection)
        result.stdout.fnmatch_lines(["PARTIAL: none of its checks was run; there is no verdict"])
    assert judged == []


def test_a_run_that_collects_no_policy_is_not_green(project, judge):
    """A candidate that nothing judges has passed nothing."""
    judge()
    result = run(project, "test_other.py", *AGAINST)
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["no policy was collected, nothing was judged: name its file, as in pytest gate.toml"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a\nb " * 2000), r"judging ended in ValueError: a\nb *"),
        (PolicyError("no such thing"), "no such thing"),
    ],
    ids=["any", "ours"],
)
def test_an_error_while_judging_is_one_line(project, monkeypatch, count, error, message):
    """It is remembered: each test says it in one line, nothing is judged again; the traceback is shown once, if asked for."""
    calls = []

    def fail(*_):
        calls.append(1)
        raise error

    monkeypatch.setattr("lorasent.gate.verdict.judged", fail)
    result = run(project, "gate.toml", *AGAINST)
    result.assert_outcomes(failed=count)
    assert (result.ret, len(calls)) == (1, 1)
    assert len(result.outlines) < 5 * count
    result.stdout.no_fnmatch_line("Traceback *")
    result.stdout.fnmatch_lines([message, f"no verdict: {message}"])
    traced = run(project, "gate.toml", *AGAINST, "--full-trace").outlines
    assert len([line for line in traced if line.startswith("Traceback ")]) == 1


SLOW = """
from lorasent.gate import verdict

def judged(candidate, baselines, policy):
    with open("judged.txt", "a") as file:
        file.write("begun ")
    BODY
    findings = [verdict.Finding(name, verdict.Outcome.PASS, "", "it holds") for name in verdict.names(policy)]
    return verdict.Verdict(verdict.Outcome.PASS, tuple(findings), str(candidate), tuple(baselines), {}), None

verdict.judged = judged
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_judging_is_in_no_tests_time(project, count, method):
    """A timeout of a test neither ends nor repeats it."""
    project.makeconftest(SLOW.replace("BODY", "import time; time.sleep(4)"))
    begun = time.monotonic()
    result = project.runpytest_subprocess("-p", "no:randomly", "gate.toml", *AGAINST, "--timeout=2", f"--timeout-method={method}")
    assert time.monotonic() - begun > 4
    result.assert_outcomes(passed=count)
    assert (project.path / "judged.txt").read_text().split() == ["begun"]


@pytest.mark.slow
def test_a_worker_that_judging_kills_is_not_followed_by_others(project, count):
    """The others say so: memory that one worker exhausted would be exhausted by each."""
    project.makeconftest(SLOW.replace("BODY", "import os; os._exit(9)"))
    result = project.runpytest_subprocess("-p", "no:randomly", "gate.toml", *AGAINST, "-n", "2")
    result.assert_outcomes(failed=count)
    assert (project.path / "judged.txt").read_text().split() == ["begun"]
    result.stdout.fnmatch_lines(["no verdict: the process that judged was killed"])


@pytest.mark.slow
def test_under_xdist_no_run_is_green_without_a_pass(project):
    """The controller reads what a worker found."""
    finding = 'verdict.Finding("x", verdict.Outcome.INVALID, "x", "y")'
    bad = f'return verdict.Verdict(verdict.Outcome.INVALID, ({finding},), "a", ("b",), {{}}), None'
    hidden = "\ndef pytest_collection_modifyitems(items):\n    for item in items:\n        item.add_marker('skip')\n"
    project.makeconftest(SLOW.replace("BODY", bad) + hidden)
    result = project.runpytest_subprocess("-p", "no:randomly", "gate.toml", *AGAINST, "-n", "2")
    assert result.parseoutcomes().keys() == {"skipped"}
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INVALID: a against b"])


@pytest.mark.slow
@pytest.mark.parametrize("filters", ["", "filterwarnings = error\n"], ids=["plain", "warnings are errors"])
@pytest.mark.parametrize(
    "finding", [UNDECIDED, Finding("data", Outcome.INCONCLUSIVE, "undecided", "too few")], ids=["own", "stray"]
)
def test_an_undecided_check_warns_where_the_policy_says_so(project, judge, count, filters, finding):
    """A warning, in a project whose warnings are errors too: the policy asks for it. A BLOCK beside it fails as ever."""
    (project.path / "gate.toml").write_text(f'{POLICY}[verdict]\non_inconclusive = "warn"\n')
    project.makeini(f"[pytest]\n{filters}")
    judge(finding)
    result = run(project, "gate.toml", *AGAINST)
    result.assert_outcomes(passed=count, warnings=1 if finding is UNDECIDED else count)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*PytestWarning: INCONCLUSIVE *{finding.check} (undecided): {finding.message}"])
    judge(finding, Finding("quality::slice::tags::a", Outcome.BLOCK, "worse", "it fell"))
    assert run(project, "gate.toml", *AGAINST).ret == 1


def test_what_was_not_asked_is_a_skip(project, judge, monkeypatch):
    """With the finding's message; a check of which nothing is told is a skip too. A part that was asked makes it a pass."""
    few = Finding("quality::slice::tags", Outcome.PASS, "not-checked", "3 values of tags have under 20 reviews")
    judge(few)
    result = run(project, "gate.toml", *AGAINST, "-v", "-rs")
    result.stdout.fnmatch_lines(["gate.toml::quality::slice::tags SKIPPED*", "SKIPPED * 3 values of tags have under 20 reviews"])
    judge(few, Finding("quality::slice::tags::a", Outcome.PASS, "", "it holds"))
    run(project, "gate.toml", *AGAINST, "-v").stdout.fnmatch_lines(["gate.toml::quality::slice::tags PASSED*"])
    with monkeypatch.context() as patch:
        patch.setattr("lorasent.gate.verdict.names", lambda _: ["integrity::files", "quality::accuracy"])
        verdict = Verdict(Outcome.PASS, (Finding("integrity::files", Outcome.PASS, "", "sound"),), "new", ("old",), {})
        patch.setattr("lorasent.gate.verdict.judged", lambda *_: (verdict, None))
        result = run(project, "gate.toml", *AGAINST, "-v")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["gate.toml::quality::accuracy SKIPPED*"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["policy.toml", "release.TOML", "gate.toml", "strict gate.toml"])
def test_a_policy_of_any_name_is_collected_by_its_path(project, judge, count, name):
    """As the command line takes it; one that lies beside it is not."""
    judge()
    (project.path / "sub").mkdir()
    (project.path / "sub" / name).write_text(POLICY)
    result = run(project, f"sub/{name}", *AGAINST)
    result.assert_outcomes(passed=count)
    assert result.ret == 0
    result = run(project, f"sub/{name}")
    assert result.ret == 2
    result.stdout.fnmatch_lines([f"{name}: a policy needs --gate-candidate=DIR, or --gate-candidate-predictions"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[project]\nname = "films"\n', "*other.toml: unknown key project; allowed here: *"),
        ("[", "*other.toml: not valid TOML: *"),
        ("x = " + "[" * 5000, "*other.toml*"),
        ("[quality]\nmargin = " + "9" * 5000, "*other.toml*"),
    ],
    ids=["another file", "no TOML", "nested", "a long number"],
)
def test_another_toml_file_is_no_policy(project, judge, content, message):
    """Named with a candidate it is one clear error; without one lorasent has nothing to say of it."""
    judge()
    (project.path / "other.toml").write_text(content)
    result = run(project, "other.toml", *AGAINST)
    assert result.ret == 2
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.fnmatch_lines([message])
    result = run(project, "other.toml")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: not found: *other.toml*"])


BAD = "x\n::error::y \x1b[31m \u202e\r##[error]z"


def test_nothing_foreign_is_printed_raw(project, judge, tmp_path):
    """Not in the terminal, names of tests and sections included, nor in JUnit's file: one line, escaped."""
    (project.path / "gate.toml").write_text(POLICY.replace('"tags"', r'"a\n\u001b[31m\u202e"'))
    judge(
        Finding(f"quality::slice::{BAD}", Outcome.BLOCK, BAD, BAD, BAD, {BAD: BAD}),
        STRAY,
        candidate=f"new{BAD}",
        baselines=(f"old{BAD}",),
    )
    result = run(project, "gate.toml", *AGAINST, "-v", "-rA", "--junit-xml=junit.xml")
    written = (project.path / "junit.xml").read_text()
    for text in (result.stdout.str(), result.stderr.str(), written):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not [line for line in text.splitlines() if line.startswith(("::error", "##[", "y "))]
    assert ET.fromstring(written).findall(".//property")  # noqa: S314 - our own file


@pytest.fixture
def neighbour(tmp_path):
    """An adapter in another project, with settings, a conftest and a test of its own."""
    folder = tmp_path / "elsewhere"
    (folder / "adapter").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -k nothing\n")
    (folder / "conftest.py").write_text("raise SystemExit('conftest of another project')\n")
    (folder / "test_there.py").write_text("def test_there():\n    raise AssertionError\n")
    return folder / "adapter"


SPELLINGS = {
    "equals": ["--gate-candidate={0}", "--gate-baseline={0}"],
    "blank": ["--gate-candidate", "{0}", "--gate-baseline", "{0}"],
    "short, equals": ["--candidate={0}", "--baseline={0}"],
    "short, blank": ["--candidate", "{0}", "--baseline", "{0}"],
    "mixed": ["--candidate={0}", "--gate-baseline", "{0}"],
    "blank, root directory": ["--rootdir", ".", "--gate-candidate", "{0}", "--gate-baseline", "{0}"],
    "blank, settings": ["-c", "settings.ini", "--rootdir=.", "--gate-candidate", "{0}", "--gate-baseline", "{0}"],
}


@pytest.mark.slow
@pytest.mark.parametrize("last", [True, False], ids=["policy first", "policy last"])
@pytest.mark.parametrize("rooted", [True, False], ids=["own settings", "no settings"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_adapter_in_another_project_brings_nothing_of_it(project, judge, neighbour, count, spelling, rooted, last):
    """Neither its settings nor its conftest nor its tests: what pytest took for another project is refused, the rest is judged."""
    judged = judge()
    if not rooted:
        (project.path / "tox.ini").unlink()
    (project.path / "settings.ini").write_text("[pytest]\n")
    options = [word.format(neighbour) for word in SPELLINGS[spelling]]
    result = run(project, *(["gate.toml", *options] if last else [*options, "gate.toml"]))
    result.stdout.no_fnmatch_line("*conftest of another project*")
    if result.ret == pytest.ExitCode.USAGE_ERROR:
        assert "equals" not in spelling
        assert "settings" not in spelling
        assert not rooted or not last
        assert judged == []
        (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert f"{neighbour.parent}/pytest.ini for this project's settings: write --" in line
        assert f"={neighbour}" in line
    else:
        assert (result.ret, judged) == (0, [(str(neighbour), [str(neighbour)])])
        result.assert_outcomes(passed=count)


def test_adapters_elsewhere_are_no_other_project(project, judge, count, tmp_path):
    """Without settings anywhere there is nothing to refuse, in any spelling."""
    judge()
    (project.path / "tox.ini").unlink()
    (tmp_path / "new").mkdir()
    run(project, "gate.toml", "--candidate", tmp_path / "new", "--baseline", tmp_path).assert_outcomes(passed=count)


def test_a_candidate_with_settings_of_its_own_is_refused(project, judge):
    """They lie in the candidate's directory, which is a stranger's; pytest would obey them in a project that has none."""
    judged = judge()
    (project.path / "tox.ini").unlink()
    (project.path / "new").mkdir()
    (project.path / "new" / "pytest.ini").write_text("[pytest]\naddopts = -k nothing\n")
    result = run(project, "gate.toml", "--gate-candidate", "new", "--gate-baseline", "new")
    assert (result.ret, judged) == (pytest.ExitCode.USAGE_ERROR, [])
    result.stderr.fnmatch_lines(
        ["ERROR: pytest took the value of --gate-candidate for a test path, *: write --gate-candidate=new *"]
    )
    assert run(project, "gate.toml", *AGAINST).ret == 0


FOREIGN = """
def pytest_addoption(parser):
    parser.addoption("--candidate", action="store_true")
    parser.addoption("--baseline", default="main")
    parser.addoption("--gate-data")
"""


def test_options_that_a_project_has_are_its_own(project, judge, count):
    """The long names judge all the same."""
    judged = judge()
    project.makeconftest(FOREIGN)
    result = run(project, "gate.toml", "--candidate", "--baseline", "x", "--gate-data=y", *AGAINST)
    result.assert_outcomes(passed=count)
    assert judged == [("new", ["old"])]
    result = run(project, "gate.toml", "--candidate", "--baseline", "x")
    result.stdout.fnmatch_lines(["gate.toml: a policy needs --gate-candidate=DIR, or --gate-candidate-predictions"])


def test_a_candidate_without_a_baseline_is_a_first_adapter(project, judge, count):
    """It is judged, and the summary says that nothing was compared."""
    judged = judge()
    result = run(project, "gate.toml", "--gate-candidate=new")
    result.assert_outcomes(passed=count)
    assert judged == [("new", [])]
    result.stdout.fnmatch_lines(["PASS: new, a first adapter: nothing was compared", "Again: lorasent gate new --policy gate.toml"])


def test_the_help_lists_what_is_ours(project):
    """And leaves out what is the project's."""
    result = run(project, "--help")
    result.stdout.fnmatch_lines(["  --lorasent-update-golden", "  --gate-candidate=DIR *", "  --gate-data=SRC *"])
    project.makeconftest(FOREIGN)
    result = run(project, "--help")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*--gate-data=SRC*")


def test_junit_has_outcome_cause_and_figures_of_each_check(project, judge):
    """As properties of the check's test; a waived finding has its reason and its last day, and fails nothing."""
    worse = Finding("quality::accuracy", Outcome.BLOCK, "worse", "it fell <b>", "no", {"n": 7})
    judge(worse)
    (project.path / "waivers.toml").write_text(
        '[[waiver]]\ncheck = "quality::accuracy"\nreason = "ticket <12>"\nuntil = 2999-01-01\n'
    )
    for arguments, outcome, code in (((), "BLOCK", 1), (("--gate-waivers=waivers.toml",), "waived", 0)):
        result = run(project, "gate.toml", *AGAINST, "--junit-xml=junit.xml", *arguments)
        assert result.ret == code
        properties = ET.parse(project.path / "junit.xml").findall(".//property")  # noqa: S314 - our own file
        found = {each.get("name"): each.get("value") for each in properties if each.get("name").startswith("quality::accuracy.")}
        assert (found["quality::accuracy.outcome"], found["quality::accuracy.cause"]) == (outcome, "worse")
        assert found["quality::accuracy.figures"] == '{"n": 7}'
        assert found["quality::accuracy.message"].startswith("it fell <b>")
        assert found.get("quality::accuracy.waived.reason") == ("ticket <12>" if outcome == "waived" else None)
    result.stdout.fnmatch_lines(["Again: lorasent gate new * --waivers waivers.toml"])
