"""A verdict where GitHub shows it: annotations of a job, and one comment on the pull request that every run updates."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lorasent.errors import LorasentError
from lorasent.gate.finding import Finding, Outcome
from lorasent.gate.verdict import Verdict
from lorasent.report import parts, sarif
from lorasent.text import shown

LEVELS = {Outcome.BLOCK: "error", Outcome.INVALID: "error", Outcome.INCONCLUSIVE: "warning", Outcome.PASS: "notice"}

MOST_ANNOTATIONS = 8
"""Largest number of findings that are annotated; GitHub shows ten of a level in a step."""

LONGEST_COMMENT = 65_000
"""Length to which a comment is cut, in characters; GitHub takes 65,536."""

LARGEST_ANSWER = 32 << 20
"""Largest answer of the interface that is read, in bytes."""

PAGE = 100
"""Number of comments that are asked for at a time."""

MOST_PAGES = 30
"""Number of pages of comments that are searched."""

READ_ONLY = (401, 403, 404)
"""Statuses with which the interface refuses a token that may not write."""


def annotations(verdict: Verdict) -> str:
    """Workflow commands: the verdict, then each finding that did not pass. Everything in them is escaped."""
    first = verdict.findings[0]
    lines = [_command(verdict.outcome, f"lorasent: {verdict.outcome}", first.message if first.decides != "PASS" else "may ship")]
    found = [finding for finding in verdict.findings if finding.outcome is not Outcome.PASS]
    for finding in found[:MOST_ANNOTATIONS]:
        outcome = Outcome.PASS if finding.waived else finding.outcome
        file = sarif.location(verdict, finding) if finding in [*sarif.faults(verdict)] else ""
        title = f"{parts.outcome(finding)}: {finding.check} ({finding.cause})"
        lines.append(_command(outcome, title, _message(finding), file))
    if more := len(found) - MOST_ANNOTATIONS:
        lines += [_command(verdict.outcome, "lorasent", f"and {more} more, see the report")] if more > 0 else []
    return "".join(f"{line}\n" for line in lines)


def _message(finding: Finding) -> str:
    return finding.message + (f"\nwhat to do: {finding.advice}" if finding.advice else "")


def _command(outcome: Outcome, title: str, message: str, file: str = "") -> str:
    """A workflow command. Its properties end at a comma or a colon, its message at a line's end."""
    place = f"file={_property(file)}," if file else ""
    return f"::{LEVELS[outcome]} {place}title={_property(title)}::{_data(message)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


class Pull(NamedTuple):
    """A pull request, and the interface through which its comments are written."""

    api: str
    repository: str
    number: int
    token: str

    @classmethod
    def of_job(cls, environment: Mapping[str, str]) -> "Pull | None":
        """The pull request of the job that this process runs in, by the runner's variables; None in a job of none.

        Raises LorasentError if a variable is missing or malformed.
        """
        event = _event(environment.get("GITHUB_EVENT_PATH", ""))
        number = event.get("number", (event.get("pull_request") or {}).get("number"))
        if not isinstance(number, int) or "pull_request" not in event:
            return None
        api, repository = environment.get("GITHUB_API_URL", ""), environment.get("GITHUB_REPOSITORY", "")
        token = environment.get("GITHUB_TOKEN", "")
        if not re.fullmatch(r"https?://[\w.:/-]+", api) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not token:
            raise LorasentError("a comment needs GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN, as a job on GitHub has them")
        return cls(api.rstrip("/"), repository, number, token)

    def comment(self, text: str, name: str) -> str:
        """Writes the comment of this name, or updates the one that an earlier run wrote. Returns what was done, in words.

        A token that may not write, as that of a pull request from a fork, is no error: the words say so. Raises LorasentError.
        """
        marker = f"<!-- lorasent: {re.sub(r'[^a-zA-Z0-9_. /]', '-', name)[:100]} -->"
        body = f"{marker}\n{text}"
        if len(body) > LONGEST_COMMENT:
            body = f"{body[:LONGEST_COMMENT]}\n\n…cut: the whole text stands in the job's summary."
        try:
            earlier = next((each for each in self._comments() if each["body"].startswith(marker) and _is_bots(each)), None)
            if earlier:
                self._ask("PATCH", f"issues/comments/{int(earlier['id'])}", {"body": body})
            else:
                self._ask("POST", f"issues/{self.number}/comments", {"body": body})
        except urllib.error.HTTPError as error:
            if error.code in READ_ONLY:
                return f"no comment: the token may not write on this pull request ({error.code}); a fork's may only read"
            raise LorasentError(f"the comment was not written: the interface answered {error.code} {shown(error.reason)}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LorasentError(f"the comment was not written: {error}") from None
        return "the comment was updated" if earlier else "the comment was written"

    def _comments(self) -> Iterator[Any]:
        for page in range(1, MOST_PAGES + 1):
            comments = self._ask("GET", f"issues/{self.number}/comments?per_page={PAGE}&page={page}")
            yield from comments
            if len(comments) < PAGE:
                return

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        """The interface's answer. The token goes nowhere else: no redirection is followed."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json", "User-Agent": "lorasent"}
        data = None if content is None else json.dumps(content).encode()
        url = f"{self.api}/repos/{self.repository}/{path}"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - `of_job` allows http and https alone
        with urllib.request.build_opener(_NoRedirection).open(request, timeout=30) as answer:
            return json.loads(answer.read(LARGEST_ANSWER))


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Makes every redirection an HTTPError."""

    def redirect_request(self, *_: Any) -> None:
        """Follows nothing."""


def _is_bots(comment: Any) -> bool:
    """Whether an app wrote a comment: what a person wrote under our mark is left alone, as they could change it afterwards."""
    return bool(comment["user"]["type"] == "Bot")


def _event(path: str) -> dict[str, Any]:
    """The event that started the job; {} where there is none."""
    try:
        event = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError) as error:
        raise LorasentError(f"GITHUB_EVENT_PATH: cannot be read: {error}") from None
    return event if isinstance(event, dict) else {}


def run_link(environment: Mapping[str, str] = os.environ) -> str:
    """A line that links this job's run, where the report is kept; "" outside a job."""
    server, repository, run = (environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    url = f"{server}/{repository}/actions/runs/{run}"
    return f"\n[The run, with the report]({url})\n" if re.fullmatch(r"https?://[\w.:/-]+/actions/runs/\d+", url) else ""
