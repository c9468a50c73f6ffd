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
    """The project's test, with what it finds today."""
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
    """The project with its golden, made, read and committed."""
    run(project, "--update-golden").assert_outcomes(failed=1)
    commit(project)
    return project


def test_missing_created_passing_changed_updated_passing(project):
    """The whole life: an update leaves the run red, and the next run passes."""
    result = run(project)
    result.assert_outcomes(failed=2)  # the test, and the folder that has no manifest
    result.stdout.fnmatch_lines(
        ["golden/predictions/films.json: missing; * make it with --lorasent-update-golden, read it and commit it"]
    )

    result = run(project, "--update-golden")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/films.json: written, 1 rows. Read the difference, commit it, and run again *"])
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
    result.stdout.fnmatch_lines([*side_by_side, "If the change is meant, record it with --lorasent-update-golden"])

    commit(project)
    result = run(project, "--update-golden")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([*side_by_side, "Written: what was found is recorded now. *"])
    assert json.loads((project.path / "golden/predictions/films.json").read_text())["rows"][0]["logits"] == [0.5, 0.75]
    run(project).assert_outcomes(passed=2)


def test_an_update_of_what_has_not_changed_writes_nothing(recorded):
    """Within the tolerance the recorded bytes stay, and the run is green."""
    write(recorded, 0.251)
    commit(recorded)
    before = (recorded.path / "golden/predictions/films.json").read_bytes()
    result = run(recorded, "--update-golden")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert (recorded.path / "golden/predictions/films.json").read_bytes() == before


def test_an_update_of_the_manifest_alone_is_red(recorded):
    """Another file of the folder changed, was committed, and is listed anew: that too is looked at."""
    (recorded.path / "golden/notes.txt").write_text("new")
    commit(recorded)
    run(recorded).assert_outcomes(passed=1, failed=1)
    result = run(recorded, "--update-golden")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    commit(recorded)
    assert run(recorded).ret == 0


def test_an_orphan_fails_the_whole_run_only(recorded):
    """A golden that no test claims fails when all tests were collected, skipped and deselected ones included."""
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
    result.stdout.fnmatch_lines(["golden/predictions/orphan.json: an orphan, no test holds anything to it; remove it"])
    result.stdout.no_fnmatch_line("*skipped.json: an orphan*")
    run(recorded, "-k", "folder").assert_outcomes(failed=1, deselected=2)
    run(recorded, "tests/test_films.py").assert_outcomes(passed=2, skipped=1)
    run(recorded, "--ignore=elsewhere").assert_outcomes(passed=2, skipped=1)


def test_a_golden_edited_by_hand_fails(recorded):
    """The manifest knows its bytes, though its numbers still hold."""
    path = recorded.path / "golden/predictions/films.json"
    path.write_text(path.read_text().replace("0.25", "0.255"))
    result = run(recorded)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/films.json: not the file that MANIFEST.json lists (another sha256)"])


def refused(project, reason, *arguments):
    """An update that is refused before a test has run, and writes nothing."""
    write(project, 0.75)
    result = run(project, "--update-golden", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --lorasent-update-golden: refused {reason}"])
    assert "0.25\n" in (project.path / "golden/predictions/films.json").read_text()


def test_an_update_is_refused_under_ci(recorded, monkeypatch):
    """Nobody looks there."""
    monkeypatch.setenv("CI", "true")
    refused(recorded, "under CI: an update is looked at by a person")


def test_an_update_is_refused_under_xdist(recorded):
    """Several processes would write one folder."""
    refused(recorded, "under xdist: run without -n", "-n", "2")


def test_an_update_is_refused_on_a_dirty_tree(recorded):
    """What changed the results must be committed before them."""
    refused(recorded, "on a tree with changes: commit them first, an update stands alone")


def test_an_update_is_refused_outside_git(recorded, monkeypatch):
    """There is no difference to read."""
    monkeypatch.setenv("GIT_DIR", str(recorded.path / "nowhere"))
    refused(
        recorded,
        "where git shows no difference (fatal: not a git repository: *): an update must stand alone in a difference *",
    )


def test_an_update_is_refused_in_a_checkout_that_git_does_not_trust(recorded, monkeypatch):
    """Git's own sentence says what to do."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    refused(recorded, "where git shows no difference (fatal: detected dubious ownership in repository at *safe.directory *): *")


def test_an_update_is_refused_without_git(recorded, monkeypatch):
    """One line, no traceback."""
    monkeypatch.setenv("PATH", str(recorded.path))
    refused(recorded, "without git (No such file or directory): an update must stand alone in a difference that can be read")


@pytest.mark.slow
def test_goldens_hold_and_orphans_fail_under_xdist(recorded):
    """Every worker knows the whole collection."""
    recorded.runpytest_subprocess("-p", "no:randomly", "-n", "2").assert_outcomes(passed=2)
    path = recorded.path / "golden/predictions/films.json"
    path.with_name("orphan.json").write_bytes(path.read_bytes())
    commit(recorded)
    run(recorded, "--update-golden")
    result = recorded.runpytest_subprocess("-p", "no:randomly", "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["golden/predictions/orphan.json: an orphan, *"])


def test_the_fixture_needs_its_marker(project):
    """A test that names no golden is told how to."""
    project.path.joinpath("tests", "test_films.py").write_text("def test_films(golden):\n    pass\n")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the fixture golden needs a marker that names it: @pytest.mark.golden(*"])


@pytest.mark.parametrize("asked", [(), ("--strict-markers",)], ids=["plain", "strict markers"])
def test_a_manifest_of_goldens_asks_for_them(recorded, asked):
    """Without the setting, too; it says of what kind it is."""
    recorded.makeini("[pytest]\ntestpaths = tests\n")
    run(recorded, *asked).assert_outcomes(passed=2)
    path = recorded.path / "golden/MANIFEST.json"
    path.write_text(json.dumps({"files": json.loads(path.read_text())["files"]}))
    run(recorded).assert_outcomes(errors=1)  # no fixture golden


def test_the_long_names_need_no_setting(project):
    """What asks for goldens by our name is ours; an update makes the manifest, which asks from then on."""
    project.makeini("[pytest]\ntestpaths = tests\n")
    test = project.path / "tests" / "test_films.py"
    test.write_text(test.read_text().replace("golden", "lorasent_golden"))
    commit(project)
    run(project, "--strict-markers").assert_outcomes(failed=1)
    run(project, "--lorasent-update-golden").assert_outcomes(failed=1)
    run(project).assert_outcomes(passed=2)


def test_the_short_fixture_is_another_plugins_where_it_has_one(recorded):
    """A plugin's fixture of that name stays; ours has its long one."""
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
    """The update says so, and the run is red."""
    path = recorded.path / "golden/MANIFEST.json"
    path.write_text('{"files": {"a": "1"}, "kind": "films"}')
    commit(recorded)
    run(recorded).assert_outcomes(passed=1, failed=1)
    result = run(recorded, "--update-golden")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*MANIFEST.json: missing, or not a manifest of goldens; *"])
    assert "films" in path.read_text()


def test_a_project_without_goldens_is_left_alone(project):
    """No folder, no marker: nothing is added to the run."""
    project.path.joinpath("tests", "test_films.py").write_text("def test_films():\n    pass\n")
    run(project).assert_outcomes(passed=1)
