"""`pytest gate.toml --gate-report`: the page of the verdict that the run judged, written once, at its end."""

import pytest

from tests.support.policies import POLICY

pytestmark = [pytest.mark.usefixtures("own_cache"), pytest.mark.slow]


def test_a_run_writes_the_page_of_its_verdict(pytester, small_adapter):
    """With what answered, and the command that judges again; a further policy has its own; a selection has none."""
    pytester.makeini("[pytest]\n")
    for name in ("gate.toml", "gate-other.toml"):
        (pytester.path / name).write_text(POLICY)
    sides = ("--gate-candidate", str(small_adapter), "--gate-baseline", str(small_adapter), "--gate-report", "page.html")
    plain = ("-p", "no:randomly", "-p", "no:cacheprovider")
    pytester.runpytest(*plain, "gate.toml::calibration::brier", *sides)
    assert not (pytester.path / "page.html").exists()
    result = pytester.runpytest(*plain, "gate.toml", "gate-other.toml", *sides)
    result.stdout.fnmatch_lines(["Written: page.html", "Written: page-2.html"])
    for name, policy in (("page.html", "gate-other.toml"), ("page-2.html", "gate.toml")):
        page = (pytester.path / name).read_text()
        assert f"--policy {policy}" in page
        assert 'id="answers"' in page
