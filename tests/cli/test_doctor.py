"""The command doctor."""

import platform
import re
import sys

import pytest


def test_doctor_reports_a_hub_that_cannot_be_reached(lorasent):
    """It exits with 0 all the same, and checks the embedded base."""
    done = lorasent("doctor")
    assert done.returncode == 0
    assert "embedded base 53aa51172d14… (as pinned)" in done.stdout
    assert re.search(r"^hub +(no: |offline)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("broken", ["metadata", "torch", "scoring", "everything"])
def test_a_broken_package_costs_only_its_own_rows(lorasent, monkeypatch, broken):
    """doctor reports it there, and the other rows as usual."""

    def fail(*_, **__):
        raise ValueError("failed\nat length")

    if broken in ("metadata", "everything"):
        monkeypatch.setattr("importlib.metadata.version", fail)
    if broken in ("torch", "everything"):
        monkeypatch.setitem(sys.modules, "torch", None)
    if broken in ("scoring", "everything"):
        monkeypatch.setattr("lorasent.scoring.scorer.uses_bf16", fail)  # first: what it imports keeps the name `find`
        monkeypatch.setattr("lorasent.adapter.base.find", fail)
    done = lorasent("doctor")
    assert done.returncode == 0, done.stderr
    said = done.stdout.replace("embedded base", "embedded_base").replace(f"\n{'':14}", " ")  # what is long has further lines
    rows = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert list(rows) == [
        "lorasent",
        "torch",
        "transformers",
        "peft",
        "datasets",
        "python",
        "processor",
        "processes",
        "onednn",
        "bf16",
        "device",
        "gpu",
        "embedded_base",
        "bases",
        "hub",
    ]
    assert rows["python"] == platform.python_version()
    assert (rows["datasets"] == "no: failed") is (broken in ("metadata", "everything"))
    assert rows["device"].startswith("auto = cpu, precision auto = ") is (broken == "metadata")
    assert rows["device"].startswith("no: ") is (broken != "metadata")
    assert rows["gpu"].startswith("no: import of torch halted") is (broken in ("torch", "everything"))
    assert (rows["embedded_base"] == "no: failed") is (broken in ("scoring", "everything"))
