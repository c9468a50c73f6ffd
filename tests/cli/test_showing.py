"""The command show: a card for each kind of file, and one line for any other."""

import json

import pytest

from lorasent.benchmark import history
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.prove.rates import ErrorRates, FaultResult
from lorasent.scoring.evidence import LiveSubject, record
from lorasent.text import columns
from tests.cli.processes import one_line
from tests.support.benchmarks import run

HOSTILE = "\x1b[2J\u202eSSAP\n::error::[red]"
FAULT = FaultResult(f"{HOSTILE} {'long ' * 9}", HOSTILE, "", 5, {"BLOCK": 5}, 5, {}, HOSTILE)
RATES = ErrorRates({}, {"a": "a" * 64}, {}, None, None, (FAULT,), {"integrity": (0, 5, 0.45)}, {"torch": "2"}, {"threads": 2})


def verdict(text="it fell by half"):
    """A verdict of two findings, as JSON."""
    findings = (
        Finding("quality::accuracy", Outcome.BLOCK, "worse", text, "do not ship it", {"p": 0.001}),
        Finding("integrity::files", Outcome.PASS, "", "4 files"),
    )
    return Verdict(Outcome.BLOCK, findings, "new", ("old",), {}).to_json()


def test_an_adapter_has_a_card(lorasent, judged):
    """Exit code 0, and nothing on standard error."""
    done = lorasent("show", judged / "sound")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{judged}/sound\n  what        an adapter, trained by lorasent\n")


def test_a_verdict_is_shown_as_gate_shows_it(lorasent, tmp_path):
    """Exit code 0, for it judges nothing; the next command shows more, and does."""
    (tmp_path / "a verdict.json").write_text(json.dumps(verdict()))
    done = lorasent("show", "a verdict.json")
    assert done.returncode == 0
    assert done.stdout.startswith("BLOCK: new against old\n  BLOCK  quality::accuracy (worse): it fell by half\n")
    assert done.stdout.endswith("Every finding with its figures: lorasent show 'a verdict.json' --verbose\n")
    assert "p 0.001" in lorasent("show", "a verdict.json", "--verbose").stdout


def test_evidence_has_a_card_whatever_its_name(lorasent, judged, tmp_path, own_cache):
    """It is known by its content."""
    record(LiveSubject(judged / "sound"), [["a film"]], tmp_path / "recorded.json")
    assert "recorded evidence: lists of texts: 1, answers: 1" in lorasent("show", "recorded.json").stdout


def test_a_history_has_a_card(lorasent, tmp_path):
    """The last run first."""
    for day in (1, 2):
        history.append(tmp_path / "history.jsonl", run(day))
    done = lorasent("show", "history.jsonl")
    assert [line.split()[0] for line in done.stdout.splitlines() if "2026-" in line] == ["2026-01-03", "2026-01-02"]


def test_a_proof_has_a_card(lorasent, tmp_path):
    """As prove prints it."""
    (tmp_path / "proof.json").write_text(json.dumps(RATES.to_json()))
    done = lorasent("show", "proof.json")
    assert done.returncode == 0, done.stderr
    assert "0 of 5" in done.stdout


FILES = {
    "a verdict": json.dumps(verdict(HOSTILE)),
    "a history": history.line(run(1, adapter=HOSTILE, data=HOSTILE, machine={HOSTILE: HOSTILE})),
    "a proof": json.dumps(RATES.to_json()),
}


@pytest.mark.parametrize("name", FILES)
def test_nothing_hostile_is_shown_raw(lorasent, tmp_path, name):
    """No escape and no line of its own; 80 columns at most."""
    (tmp_path / "file").write_text(FILES[name])
    done = lorasent("show", "file")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.isprintable() and columns(line) <= 80 for line in lines), lines
    assert not any(line.startswith("::error") for line in lines)
    assert "SSAP" in done.stdout


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"a": 1}',
        b"[" * 100_000,
        b'{"findings": 3}',
        b'{"findings": [{"check": "a"}], "outcome": "PASS"}',
        b'{"findings": [], "outcome": "GREAT", "baselines": [], "candidate": "a", "evidence": {}}',
        json.dumps({**verdict(), "schema_version": 99}).encode(),
        json.dumps({**verdict(), "candidate": 3, "findings": [None]}).encode(),
        b'{"kind": "lorasent benchmark"}',
        history.line(run(1)).encode() + b"damaged",
        json.dumps({**RATES.to_json(), "pairs": 3}).encode(),
        b"\x08" + 7 * b"\0" + b"{}      ",
    ],
    ids=[
        *("empty", "no UTF-8", "a list", "null", "another object", "nested", "no findings", "half a finding", "no outcome"),
        *("another version", "no finding", "half a run", "a damaged history", "a damaged proof", "damaged evidence"),
    ],
)
def test_a_file_without_a_card_is_one_line(lorasent, tmp_path, content):
    """Exit code 2; the line names the file."""
    (tmp_path / "file").write_bytes(content)
    one_line(lorasent("show", "file"), "file")


def test_what_is_not_there_is_one_line(lorasent):
    """It says what has a card."""
    one_line(lorasent("show", "missing"), "missing: no such file or directory; expected an adapter's directory, a verdict")
