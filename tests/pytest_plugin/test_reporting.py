"""pytest --gate-report-to: the verdict goes to trackers once it is shown, and what fails there changes no result."""

import pytest

from tests.support.trackers import scalars, texts

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def run(pytester, small_adapter, monkeypatch):
    """Runs a policy of one table with the small adapter on both sides, and a tracker in a folder of its own."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    pytester.makeini("[pytest]\n")
    (pytester.path / "gate.toml").write_text("[integrity]\n")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(pytester.path / "logs"))
    both = ["--gate-candidate", str(small_adapter), "--gate-baseline", str(small_adapter)]
    return lambda *more: pytester.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", "gate.toml", *both, *more)


@pytest.mark.slow
def test_a_verdict_is_reported(run, pytester):
    """Outcome and exit code, by the tracker's own library; a selection is no verdict."""
    assert run("--gate-report-to", "tensorboard", "-k", "labels").ret == 0
    assert not (pytester.path / "logs").exists()
    assert run("--gate-report-to", "tensorboard").ret == 0
    (folder,) = (pytester.path / "logs").iterdir()
    assert "    lorasent.verdict = PASS" in texts(folder, "tags")
    assert scalars(folder, "gate/exit_code") == [(0, 0.0)]


def test_what_fails_is_a_line(run, pytester):
    """And the run is green as without it; an unknown tracker is refused before anything is judged."""
    (pytester.path / "logs").touch()
    result = run("--gate-report-to", "tensorboard")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASS: *", "warning: --report-to tensorboard: *; the rest of this run is not reported there"])
    refused = run("--gate-report-to", "neptune")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--gate-report-to neptune: no such tracker; choose of mlflow, wandb, tensorboard"])
