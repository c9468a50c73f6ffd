"""The command gate: its report page."""

import os

import pytest

from lorasent.cli import ending
from tests.cli.processes import gate_arguments


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["table", "json"])
def test_a_file_name_that_is_not_utf_8_is_escaped(lorasent, judged, tmp_path, as_json):
    """On standard output, in the page and in JSON; the verdict stays the same."""
    done = lorasent(*map(os.fspath, gate_arguments(judged, "PASS", "caf\udce9")), *as_json, "--report", "page\n.html")
    assert (done.returncode, done.stderr) == (0, "Written: page\\n.html\n")
    assert r"caf\udce9-PASS" in done.stdout
    assert r"caf\udce9-PASS" in (tmp_path / "page\n.html").read_text("utf-8")


@pytest.mark.parametrize(("candidate", "code"), [("PASS", ending.NOT_WRITTEN), ("BLOCK", 1)])
def test_a_page_that_cannot_be_written_leaves_the_verdict(lorasent, judged, candidate, code):
    """It is printed, and the exit code is not that of a PASS."""
    done = lorasent(*gate_arguments(judged, candidate), "--report", "/dev/full")
    assert done.returncode == code
    assert done.stdout.startswith(f"{candidate}: ")
    assert done.stderr == "lorasent: --report /dev/full: cannot be written: No space left on device\n"
