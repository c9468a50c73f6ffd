"""What GitHub shows: annotations, and one comment that every run updates."""

import json
import re

import pytest

from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report.github import MOST_ANNOTATIONS, Pull, annotations, run_link
from tests.ci.interface import serving

BAD = Finding(
    "quality::slice::a,b:c%0A\n::error::x", Outcome.BLOCK, "slice,worse", "50 % worse\r\n::error::planted", "do, not: ship"
)
FAULT = Finding("integrity::labels", Outcome.BLOCK, "labels-swapped", "swapped")
WAIVED = Finding("quality::floor", Outcome.BLOCK, "floor", "low", waived={"reason": "known", "until": "2026-01-01"})
FEW = Finding("quality::accuracy", Outcome.INCONCLUSIVE, "undecided", "too few")


def lines(*findings, candidate="../adapters/x,y"):
    """The annotations of findings."""
    return annotations(Verdict(findings[0].decides, findings, candidate, ("old",), {})).splitlines()


def test_annotations_are_escaped():
    """Each is one line: what would end a property or the line is escaped, and the verdict stands first."""
    first, bad, fault = lines(BAD, FAULT)
    assert first.startswith("::error title=lorasent%3A BLOCK::50 %25 worse")
    properties, _, message = bad.removeprefix("::error ").partition("::")
    assert properties.startswith("title=BLOCK%3A quality%3A%3Aslice%3A%3Aa%2Cb%3Ac%250A")
    assert re.fullmatch(r"[^,:\r\n]*", properties)
    assert message.endswith("%0Awhat to do: do, not: ship")
    assert fault.startswith("::error file=adapters/x%2Cy/lorasent.json,title=")


def test_annotations_have_the_level_of_the_outcome():
    """What is undecided warns, what is waived and a pass are told; there are never more than GitHub shows."""
    assert [line.split()[0] for line in lines(FEW, WAIVED)] == ["::warning", "::warning", "::notice"]
    assert lines(WAIVED)[0] == "::notice title=lorasent%3A PASS::may ship"
    many = lines(*[FAULT] * 30)
    assert len(many) == MOST_ANNOTATIONS + 2
    assert many[-1] == "::error title=lorasent::and 22 more, see the report"


@pytest.fixture
def interface():
    """GitHub's interface on loopback."""
    with serving() as made:
        yield made


def pull(interface):
    """Pull request 7."""
    return Pull(interface.url, "owner/repo", 7, "secret")


def test_one_comment_is_written_and_then_updated(interface):
    """Found by its mark among hundreds; another name has another comment."""
    for number in range(150):
        interface.add(f"comment {number}")
    assert pull(interface).comment("first", "gate") == "the comment was written"
    assert pull(interface).comment("second", "gate") == "the comment was updated"
    assert pull(interface).comment("other", "en/gate") == "the comment was written"
    assert [each["body"] for each in interface.comments[150:]] == [
        "<!-- lorasent: gate -->\nsecond", "<!-- lorasent: en/gate -->\nother"
    ]  # fmt: skip
    assert {token for _, _, token in interface.asked} == {"Bearer secret"}


def test_what_a_person_wrote_under_our_mark_is_left_alone(interface):
    """They could change it after the verdict."""
    interface.add("<!-- lorasent: gate -->\nPASS", kind="User")
    assert pull(interface).comment("BLOCK", "gate") == "the comment was written"
    assert [each["body"][24:] for each in interface.comments] == ["PASS", "BLOCK"]


def test_a_hostile_name_does_not_end_the_mark(interface):
    """And a long text is cut to what GitHub takes."""
    pull(interface).comment("x" * 100_000, "a --> <b>\n")
    body = interface.comments[0]["body"]
    assert body.startswith("<!-- lorasent: a --- -b-- -->\nx")
    assert len(body) < 65_536


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_read_only_token_is_no_error(interface, status):
    """As that of a pull request from a fork: it is said, and the job goes on."""
    interface.refuses["POST"] = status
    assert pull(interface).comment("x", "gate") == (
        f"no comment: the token may not write on this pull request ({status}); a fork's may only read"
    )


@pytest.mark.parametrize("status", [302, 422, 500])
def test_another_refusal_is_one_line(interface, status):
    """A redirection too, which would carry the token elsewhere."""
    interface.refuses["POST"] = status
    with pytest.raises(LorasentError, match=f"the comment was not written: the interface answered {status}"):
        pull(interface).comment("x", "gate")
    assert not [path for _, path, _ in interface.asked if path == "/elsewhere"]


def test_the_job_tells_its_pull_request(tmp_path):
    """A job of none has no comment; malformed variables are one line."""
    (tmp_path / "event.json").write_text(json.dumps({"number": 7, "pull_request": {"number": 7}}))
    variables = {
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_API_URL": "http://127.0.0.1:1/", "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "secret",
    }  # fmt: skip
    assert Pull.of_job(variables) == Pull("http://127.0.0.1:1", "o/r", 7, "secret")
    assert Pull.of_job({}) is None
    for change in ({"GITHUB_API_URL": "file:///etc"}, {"GITHUB_REPOSITORY": "../x/y"}, {"GITHUB_TOKEN": ""}):
        with pytest.raises(LorasentError, match="a comment needs GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN"):
            Pull.of_job({**variables, **change})


def test_the_comment_links_the_run():
    """Where the report is kept; outside a job nothing."""
    variables = {"GITHUB_SERVER_URL": "https://git.test", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "12"}
    assert run_link(variables) == "\n[The run, with the report](https://git.test/o/r/actions/runs/12)\n"
    assert run_link({}) == run_link({**variables, "GITHUB_RUN_ID": "1)x"}) == ""
