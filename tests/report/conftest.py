"""Pages of verdicts about adapters without models, made once."""

from types import SimpleNamespace

import pytest

from lorasent.report import page
from tests.report import stubs

COMMAND = "lorasent gate runs/candidate --baseline runs/baseline"

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}$x$\"' &lt;"
"""What a browser, a template or matplotlib would obey."""


def made(folder, skill, n=600, bank=3, *, findings=(), hostile=""):
    """A verdict, its details, its policy and its page: a candidate of some skill against a bank of skill 1.4."""
    labels = (f"{hostile}Bad", f"{hostile}Good") if hostile else stubs.LABELS
    stubs.write(folder, n, labels, hostile or "drama", hostile)
    keys = {"libraries": {hostile: hostile}, "epochs": [{"epoch": hostile}, hostile]} if hostile else {}
    adapters = [stubs.Stub(f"runs/{hostile}candidate", skill, labels, **keys)]
    adapters += [stubs.Stub(f"runs/{hostile}{name}", 1.4, labels) for name in ("baseline", "one", "two")[:bank]]
    verdict, details, policy = stubs.gated(folder, adapters, findings=findings, words=True)
    return SimpleNamespace(
        verdict=verdict, details=details, policy=policy, html=page.page(verdict, f"{COMMAND}{hostile}", details, policy)
    )


@pytest.fixture(scope="session")
def blocked(tmp_path_factory):
    """A candidate that answers worse."""
    return made(tmp_path_factory.mktemp("blocked"), 0.8)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """The same, where every name, label, path, case and review is HOSTILE."""
    return made(tmp_path_factory.mktemp("hostile"), 0.8, hostile=HOSTILE)
