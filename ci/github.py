"""Tells GitHub of a merged run: one comment on a pull request, one check run with annotations.

Where a token may not (a pull request from a fork has one that only reads), that is told and fails
nothing; annotations then go into the log as workflow commands, which need no right.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ci.summary import MARKER
from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ANNOTATIONS_AT_ONCE = 50
ANNOTATIONS_MAX = 500
CHECK = "billing-harness"
TIMEOUT_S = 15.0
_PAGES_MAX = 20
_PER_PAGE = 100
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_EVENT_BYTES_MAX = 10 * 1024 * 1024
_CONCLUSIONS = {"valid": "success", "invalid": "failure", "unknown": "action_required"}
_LEVELS = {"failed": "failure", "unknown": "warning"}
_MESSAGE_MAX = 60_000


class NotAllowed(Exception):
    """GitHub did not do it; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where on GitHub this run is: repository, commit, pull request; and who speaks.

    `head` is `owner:branch` of a run that is told of afterwards: GitHub names no pull request of a
    fork's, so that one is looked for.
    """

    repository: str
    commit: str | None = None
    pull_request: int | None = None
    head: str | None = None
    api: str = "https://api.github.com"
    token: str | None = field(default=None, repr=False)


def place_of(environment: Mapping[str, str], pull_request: int | None = None) -> Place:
    """Read the place from a workflow's variables. Raises `SettingsError` where this is none."""
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(repository):
        raise SettingsError(
            "GITHUB_REPOSITORY names no repository: this is no workflow of GitHub's",
            hint="Use `ci summary --out FILE` elsewhere.",
        )
    event = _event(environment.get("GITHUB_EVENT_PATH"))
    request, run = event.get("pull_request") or {}, event.get("workflow_run") or {}
    # A pull request's own commit: the one that GITHUB_SHA names is a merge that nobody sees.
    own = (request.get("head") or {}).get("sha") or run.get("head_sha")
    owner = ((run.get("head_repository") or {}).get("owner") or {}).get("login")
    return Place(
        repository,
        own or environment.get("GITHUB_SHA"),
        pull_request or request.get("number"),
        f"{owner}:{run.get('head_branch')}" if owner else None,
        environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
        environment.get("GITHUB_TOKEN") or None,
    )


def _event(path: str | None) -> dict[str, Any]:
    try:
        text = Path(path).read_bytes()[:_EVENT_BYTES_MAX] if path else b"{}"
        data = json.loads(text)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


class GitHub:
    """A client of the few calls that are needed; every mistake of theirs is `NotAllowed`."""

    def __init__(self, place: Place) -> None:
        if place.token is None:
            raise NotAllowed("GITHUB_TOKEN is not set")
        self.place = place
        self._client = httpx.Client(
            base_url=f"{place.api}/repos/{place.repository}",
            headers={
                "Authorization": f"Bearer {place.token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            timeout=TIMEOUT_S,
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def comment(self, text: str) -> str:
        """Write the one comment on the pull request, or write it anew; give its address."""
        number = self.place.pull_request or self._found()
        if number is None:
            raise NotAllowed("this run is of no pull request")
        body = {"body": text}
        for comment in self._comments(number):
            if comment.get("body", "").startswith(MARKER):
                told = self._ask("PATCH", f"/issues/comments/{comment['id']}", body)
                return str(told.get("html_url"))
        return str(self._ask("POST", f"/issues/{number}/comments", body).get("html_url"))

    def check(self, merged: Mapping[str, Any], text: str) -> str:
        """Make a check run, its annotations fifty at a time; give its address."""
        if not self.place.commit:
            raise NotAllowed("this run is of no commit that GitHub knows")
        notes = notes_of(merged)
        first, rest = notes[:ANNOTATIONS_AT_ONCE], notes[ANNOTATIONS_AT_ONCE:]
        made = self._ask(
            "POST",
            "/check-runs",
            {
                "name": CHECK,
                "head_sha": self.place.commit,
                "status": "completed",
                "conclusion": conclusion(merged),
                "output": _output(merged, text, first),
            },
        )
        while rest:
            first, rest = rest[:ANNOTATIONS_AT_ONCE], rest[ANNOTATIONS_AT_ONCE:]
            output = {"output": _output(merged, text, first)}
            self._ask("PATCH", f"/check-runs/{made['id']}", output)
        return str(made.get("html_url"))

    def _found(self) -> int | None:
        """Look for the open pull request of this very commit."""
        if self.place.head is None:
            return None
        query = urllib.parse.urlencode({"head": self.place.head, "state": "open"})
        for request in self._ask("GET", f"/pulls?{query}"):
            if request["head"]["sha"] == self.place.commit:
                number: int = request["number"]
                return number
        return None

    def _comments(self, number: int) -> Iterator[dict[str, Any]]:
        for page in range(1, _PAGES_MAX + 1):
            query = f"?per_page={_PER_PAGE}&page={page}"
            comments = self._ask("GET", f"/issues/{number}/comments{query}")
            yield from comments
            if len(comments) < _PER_PAGE:
                return

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            reply = self._client.request(method, path, json=body)
            if reply.is_success:
                return reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NotAllowed(f"GitHub was not reached: {error}") from None
        why = {
            401: "the token is not valid",
            403: "the token may not, as one of a fork may not",
            404: "there is no such thing, or the token may not see it",
        }.get(reply.status_code, "it did not say why")
        raise NotAllowed(f"GitHub answered {reply.status_code} to {method} {path}: {why}")


def conclusion(merged: Mapping[str, Any]) -> str:
    """Say what a check run comes to: a gate that was missed, or is invalid, is a failure, too."""
    if merged["exit_status"] == 0:
        return "success"
    bad = any(gate["status"] in {"missed", "invalid"} for gate in merged["gates"])
    return "failure" if bad else _CONCLUSIONS[merged["verdict"]].replace("success", "neutral")


def notes_of(merged: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give an annotation for each test that failed or is unknown, at its file's first line."""
    bad = [test for test in merged["tests"] if test["result"] in _LEVELS]
    return [
        {
            "path": test["id"].partition("::")[0],
            "start_line": 1,
            "end_line": 1,
            "annotation_level": _LEVELS[test["result"]],
            "title": test["title"][:255],
            "message": (test["reason"] or "no reason")[:_MESSAGE_MAX],
        }
        for test in bad[:ANNOTATIONS_MAX]
    ]


def workflow_commands(merged: Mapping[str, Any]) -> Iterator[str]:
    """Give the same as lines of a job's log, which GitHub turns into annotations."""
    for note in notes_of(merged):
        level = {"failure": "error", "warning": "warning"}[note["annotation_level"]]
        where = f"file={_property(note['path'])},line=1,title={_property(note['title'])}"
        yield f"::{level} {where}::{_data(note['message'])}"


def _data(text: str) -> str:
    """Escape what would end a workflow command, or begin another."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _output(
    merged: Mapping[str, Any], text: str, notes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    title = f"{merged['outcome']}: {merged['headline']}"[:255]
    return {"title": title, "summary": text, "annotations": list(notes)}
