"""Nothing is slower than at the commit that --benchmark-against names."""

import pytest

from tests.benchmarks.against import LOOKS, THRESHOLD, Subject, checkout, slower
from tests.support.references import REFERENCE

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def revision(request):
    """The commit to compare with, or a skip."""
    named = request.config.getoption("--benchmark-against")
    if not named:
        pytest.skip("compares with a commit: name it by --benchmark-against REV")
    return named


@pytest.fixture(scope="module")
def then(revision, tmp_path_factory):
    """Its code."""
    return checkout(revision, tmp_path_factory.mktemp("then"))


SECONDS = (20, 40)
"""Looks at what takes seconds."""


@pytest.mark.parametrize(
    ("workload", "looks"),
    [
        ("one review", LOOKS),
        ("bulk", LOOKS[:4]),
        ("training step", LOOKS[:4]),
        ("figures", LOOKS),
        ("import lorasent", LOOKS[:4]),
        ("lorasent --help", LOOKS[:4]),
        ("cached verdict", SECONDS),
    ],
)
def test_it_is_not_slower(workload, looks, revision, then, record, monkeypatch, tmp_path):
    """Both codes in turns; slower is what two pairs of fresh processes agree on."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    found = slower(Subject(workload, REFERENCE), Subject(workload, REFERENCE, then), looks=looks)
    record.ratio(f"{workload}, today's over {revision}'s", found, limit=THRESHOLD)
    assert found.low <= THRESHOLD, (
        f"{workload}: {found.value:.3f} times the time that it took at {revision} ({found.low:.3f} to {found.high:.3f}, "
        f"confirmed by fresh processes); allowed are {THRESHOLD:g}"
    )
