"""The golden life cycle, run as a user runs it: pytest on a small project of its own."""

import json
import subprocess

import pytest

TEST = """
import pytest

@pytest.mark.golden("predictions/films")
def test_films(golden):
    golden.check(
        [{"text": "a film", "label": "Positive", "logits": [0.5, LOGIT]}],
        about="one film", producer={"code": "here"}, tolerance={"logits": 0.01}, why="measured",
    )
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A committed project with one golden test, whose golden does not exist yet."""
    monkeypatch.delenv("CI", raising=False)
    for key in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{key}_NAME", "someone")
        monkeypatch.setenv(f"{key}_EMAIL", "someone@example.com")
    pytester.makeini("[pytest]\ntestpaths = tests\nlorasent_golden_folder = golden\n")
    pytester.mkdir("tests")
    pytester.path.joinpath(".gitignore").write_text("__pycache__/\n.pytest_cache/\n*.egg-info/\n")
    write(pytester, 0.25)
    git(pytester, "init", "--quiet")
    commit(pytester)
    return pytester


def write(project, logit, more=""):
    """Writes the project's test, with its result of today."""
    project.path.joinpath("tests", "test_films.py").write_text(TEST.replace("LOGIT", str(logit)) + more)


def git(project, *arguments):
    subprocess.run(["git", *arguments], cwd=project.path, check=True, capture_output=True)


def commit(project):
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "a step")


def run(project, *arguments):
    """Runs pytest there in this process, in the order of the files."""
    return project.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


@pytest.fixture
def recorded(project):
    """The project with its golden, written and committed."""
    run(project, "--update-golden").assert_outcomes(failed=1)
    commit(project)
    return project


def test_the_life_of_a_golden(project):
    """Missing, written, passing, different, updated, passing: an update leaves the run red, and the next run passes."""
    result = run(project)
    result.assert_outcomes(failed=2)  # the test, and the folder that has no manifest
    advice = "If this is intended, record the result with --lorasent-update-golden, review it and commit it"
    result.stdout.fnmatch_lines(["golden/predictions/films.json: missing", advice])

    result = run(project, "--update-golden")
    result.assert_outcomes(failed=1)
    written = "Written: the golden is now the new result, 1 rows. Review the difference, commit it, *"
    result.stdout.fnmatch_lines(["golden/predictions/films.json: missing", written])
    result.stdout.fnmatch_lines(["golden/MANIFEST.json: written. *"])
    run(project).assert_outcomes(passed=2)

    commit(project)
    write(project, 0.75)
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    side_by_side = [
        "golden/predictions/films.json: 1 of 1 rows differ, in 1 places",
        "farthest: row 0, logits: moved by 0.5, allowed 0.01",
        "row 0 (a film), logits: * moved by 0.5, allowed 0.01",
        "  recorded  [[]0.5, 0.25[]]",
        "  found     [[]0.5, 0.75[]]",
    ]
    result.stdout.fnmatch_lines([*side_by_side, advice])

    commit(project)
    result = run(project, "--update-golden")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([*side_by_side, written])
    assert json.loads((project.path / "golden/predictions/films.json").read_text())["rows"][0]["logits"] == [0.5, 0.75]
    run(project).assert_outcomes(passed=2)


def test_an_update_within_the_tolerance_writes_nothing(recorded):
    """The recorded bytes stay, and the run is green."""
    write(recorded, 0.251)
    commit(recorded)
    before = (recorded.path / "golden/predictions/films.json").read_bytes()
    result = run(recorded, "--update-golden")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert (recorded.path / "golden/predictions/films.json").read_bytes() == before


def test_an_update_of_the_manifest_alone_is_red(recorded):
    """Another file of the folder was changed and committed; that it is listed anew must be reviewed, too."""
    (recorded.path / "golden/notes.txt").write_text("new")
    commit(recorded)
    run(recorded).assert_outcomes(passed=1, failed=1)
    result = run(recorded, "--update-golden")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    commit(recorded)
    assert run(recorded).ret == 0


@pytest.mark.slow
def test_an_orphan_fails_only_a_run_of_the_whole_suite(recorded):
    """All tests must be collected, skipped and deselected ones included, to know that none uses a golden."""
    more = (
        "\n@pytest.mark.skip(reason='not today')\n@pytest.mark.golden('predictions/skipped')\ndef test_skipped(golden):\n    pass\n"
    )
    golden = recorded.path / "golden/predictions/films.json"
    for name in ("orphan", "skipped"):
        golden.with_name(f"{name}.json").write_bytes(golden.read_bytes())
    write(recorded, 0.25, more)
    commit(recorded)
    run(recorded, "--update-golden")
    commit(recorded)
    result = run(recorded)
    result.assert_outcomes(passed=1, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/orphan.json: an orphan: no test uses it; remove it"])
    result.stdout.no_fnmatch_line("*skipped.json: an orphan*")
    run(recorded, "-k", "folder").assert_outcomes(failed=1, deselected=2)
    run(recorded, "tests/test_films.py").assert_outcomes(passed=2, skipped=1)
    run(recorded, "--ignore=elsewhere").assert_outcomes(passed=2, skipped=1)


def test_a_golden_edited_by_hand_fails(recorded):
    """Its numbers are within the tolerance, but the manifest has the hash of its bytes."""
    path = recorded.path / "golden/predictions/films.json"
    path.write_text(path.read_text().replace("0.25", "0.255"))
    result = run(recorded)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/films.json: not the file that MANIFEST.json lists (another sha256)"])


def refused(project, reason, *arguments):
    """Asserts that an update is refused before any test runs, and writes nothing."""
    write(project, 0.75)
    result = run(project, "--update-golden", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --lorasent-update-golden: refused {reason}"])
    assert "0.25\n" in (project.path / "golden/predictions/films.json").read_text()


def test_an_update_is_refused_under_ci(recorded, monkeypatch):
    """Nobody reviews it there."""
    monkeypatch.setenv("CI", "true")
    refused(recorded, "under CI: a person must review an update")


def test_an_update_is_refused_under_xdist(recorded):
    """Several processes would write to one folder."""
    refused(recorded, "under xdist: run without -n", "-n", "2")


def test_an_update_is_refused_on_a_dirty_tree(recorded):
    """The change of the code must be committed before the change of the results."""
    refused(recorded, "on a tree with changes: commit them first, so that the update is the only change")


def test_an_update_is_refused_outside_git(recorded, monkeypatch):
    """There is no difference to review."""
    monkeypatch.setenv("GIT_DIR", str(recorded.path / "nowhere"))
    refused(
        recorded,
        "where git shows no difference (fatal: not a git repository: *): an update must be the only change, *",
    )


def test_an_update_is_refused_in_a_checkout_that_git_does_not_trust(recorded, monkeypatch):
    """Git's own message says what to do."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    refused(recorded, "where git shows no difference (fatal: detected dubious ownership in repository at *safe.directory *): *")


def test_an_update_is_refused_without_git(recorded, monkeypatch):
    """One line, no traceback."""
    monkeypatch.setenv("PATH", str(recorded.path))
    refused(recorded, "where git shows no difference (No such file or directory): an update must be the only change, *")


@pytest.mark.slow
def test_goldens_hold_and_orphans_fail_under_xdist(recorded):
    """Every worker collects the whole suite."""
    recorded.runpytest_subprocess("-p", "no:randomly", "-n", "2").assert_outcomes(passed=2)
    path = recorded.path / "golden/predictions/films.json"
    path.with_name("orphan.json").write_bytes(path.read_bytes())
    commit(recorded)
    run(recorded, "--update-golden")
    result = recorded.runpytest_subprocess("-p", "no:randomly", "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/orphan.json: an orphan: *"])


def test_the_fixture_needs_its_marker(project):
    """The error shows how to name a golden."""
    project.path.joinpath("tests", "test_films.py").write_text("def test_films(golden):\n    pass\n")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the fixture golden needs a marker that names it: @pytest.mark.golden(*"])


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--strict-markers",)], ids=["plain", "strict markers"])
def test_a_manifest_of_goldens_turns_them_on(recorded, options):
    """No setting is needed; the manifest says of what kind it is."""
    recorded.makeini("[pytest]\ntestpaths = tests\n")
    run(recorded, *options).assert_outcomes(passed=2)
    path = recorded.path / "golden/MANIFEST.json"
    path.write_text(json.dumps({"files": json.loads(path.read_text())["files"]}))
    run(recorded).assert_outcomes(errors=1)  # no fixture golden


@pytest.mark.slow
def test_the_long_names_need_no_setting(project):
    """They work without a setting; an update writes the manifest, which turns the short names on."""
    project.makeini("[pytest]\ntestpaths = tests\n")
    test = project.path / "tests" / "test_films.py"
    test.write_text(test.read_text().replace("golden", "lorasent_golden"))
    commit(project)
    run(project, "--strict-markers").assert_outcomes(failed=1)
    run(project, "--lorasent-update-golden").assert_outcomes(failed=1)
    run(project).assert_outcomes(passed=2)


def test_another_plugins_fixture_keeps_the_short_name(recorded):
    """Ours then has only its long name."""
    (recorded.path / "theirs.py").write_text("import pytest\n\n@pytest.fixture\ndef golden():\n    return 'theirs'\n")
    more = "\ndef test_theirs(golden):\n    assert golden == 'theirs'\n"
    write(recorded, 0.25, more)
    test = recorded.path / "tests" / "test_films.py"
    test.write_text(
        test.read_text()
        .replace("test_films(golden)", "test_films(lorasent_golden)")
        .replace("golden.check", "lorasent_golden.check")
    )
    recorded.syspathinsert()
    run(recorded, "-p", "theirs").assert_outcomes(passed=3)


def test_a_manifest_of_another_kind_is_not_overwritten(recorded):
    """The update reports it, and the run is red."""
    path = recorded.path / "golden/MANIFEST.json"
    path.write_text('{"files": {"a": "1"}, "kind": "films"}')
    commit(recorded)
    run(recorded).assert_outcomes(passed=1, failed=1)
    result = run(recorded, "--update-golden")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*MANIFEST.json: missing, or not a manifest of goldens; *"])
    assert "films" in path.read_text()


def test_a_project_without_goldens_is_left_alone(project):
    """Without a folder or a marker, nothing is added to the run."""
    project.path.joinpath("tests", "test_films.py").write_text("def test_films():\n    pass\n")
    run(project).assert_outcomes(passed=1)
