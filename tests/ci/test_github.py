"""GitHub is told once and in place; a token that may not, and hostile text, do no harm."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from ci.commands import app
from ci.github import GitHub, NotAllowed, Place, place_of, workflow_commands
from ci.merge import MergeOptions, merge
from ci.summary import CHARS_MAX, MARKER, summary
from harness.errors import SettingsError
from tests.ci.making import ALL, made, make_part, make_parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "token-of-a-test"


class Fake:
    """As much of GitHub as is spoken to: comments of one pull request, and check runs.

    The behaviour is that of GitHub's REST API reference: issue comments come by pages, and a check
    run takes 50 annotations at a time.
    """

    def __init__(self, *, allowed: bool = True) -> None:
        self.comments: list[dict[str, Any]] = [
            {"id": number, "body": "somebody's"} for number in range(1, 120)
        ]
        self.checks: list[list[dict[str, Any]]] = []
        self.asked: list[str] = []
        self.allowed = allowed

    def answer(self, method: str, path: str, body: Any, token: str | None) -> tuple[int, Any]:
        """Answer one request."""
        self.asked.append(f"{method} {path}")
        if token != f"Bearer {TOKEN}":
            return 401, {}
        if method != "GET" and not self.allowed:
            return 403, {"message": "Resource not accessible by integration"}
        if "/pulls?" in path:
            found = {"number": 3, "head": {"sha": "c0ffee"}}
            return 200, [found] if "head=fork%3Atopic" in path else []
        if "check-runs" in path:
            notes = body["output"]["annotations"]
            if len(notes) > 50:
                return 422, {}
            self.checks.append(notes)
            return 201, {"id": 5, "html_url": "https://example.com/check"}
        return self._comments(method, path, body)

    def _comments(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            page = int(re.findall(r"[?&]page=(\d+)", path)[0])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        if method == "POST":
            self.comments.append({"id": len(self.comments) + 1, **body})
        else:
            self.comments[int(path.rpartition("/")[2]) - 1] |= body
        return 200, {"html_url": "https://example.com/comment"}


@contextlib.contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Serve a fake on this machine; give its address."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            token = self.headers.get("Authorization")
            status, told = fake.answer(self.command, self.path, body, token)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - http.server looks for these names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def github(fake: Fake, **more: Any) -> Iterator[GitHub]:
    """Give a client of a fake."""
    with serving(fake) as url:
        place: dict[str, Any] = {
            "commit": "c0ffee",
            "pull_request": 3,
            "api": url,
            "token": TOKEN,
        } | more
        with contextlib.closing(GitHub(Place("acme/billing", **place))) as client:
            yield client


def test_a_pull_request_has_one_comment_updated_in_place() -> None:
    """The first run writes a comment after all others' there are; the next writes it anew."""
    fake = Fake()
    with github(fake) as client:
        client.comment(f"{MARKER}\nfirst")
        client.comment(f"{MARKER}\nsecond")
    own = [comment for comment in fake.comments if comment["body"].startswith(MARKER)]
    assert [comment["body"] for comment in own] == [f"{MARKER}\nsecond"]
    assert len(fake.comments) == 120


def test_a_forks_pull_request_is_found_by_its_branch(tmp_path: Path) -> None:
    """Told of afterwards, a fork's run names no pull request: the open one of its commit counts."""
    event = tmp_path / "event.json"
    run = {"head_sha": "c0ffee", "head_branch": "topic",
           "head_repository": {"owner": {"login": "fork"}}}  # fmt: skip
    event.write_text(json.dumps({"workflow_run": run}))
    variables = {"GITHUB_REPOSITORY": "acme/billing", "GITHUB_EVENT_PATH": str(event)}
    place = place_of(variables)
    assert (place.commit, place.head) == ("c0ffee", "fork:topic")
    fake = Fake()
    with github(fake, pull_request=None, head=place.head) as client:
        client.comment(f"{MARKER}\nfrom afar")
    assert fake.comments[-1]["body"] == f"{MARKER}\nfrom afar"
    with (
        github(fake, pull_request=None, head=place.head, commit="older") as client,
        pytest.raises(NotAllowed, match="no pull request"),
    ):
        client.comment(f"{MARKER}\nlate")


def report(tmp_path: Path, count: int, reason: str = "2900 too much") -> dict[str, Any]:
    """Give a merged report with so many failed tests."""
    ids = [f"suites/e2e/test_a.py::test_{number}" for number in range(count)]
    tests = [made(test, result="failed", reason=reason) for test in ids]
    make_part(tmp_path / "parts", 1, 1, tests, selection=ids)
    merge([tmp_path / "parts"], tmp_path / "out", MergeOptions(coverage_min=0))
    told: dict[str, Any] = json.loads((tmp_path / "out" / "report.json").read_text())
    return told


def test_a_check_run_takes_its_annotations_fifty_at_a_time(tmp_path: Path) -> None:
    """120 failures are three requests of one check run, none left out and none twice."""
    fake = Fake()
    with github(fake) as client:
        client.check(report(tmp_path, 120), "text")
    assert [len(notes) for notes in fake.checks] == [50, 50, 20]
    assert len({note["title"] for notes in fake.checks for note in notes}) == 120
    assert [line.split(" ")[0] for line in fake.asked] == ["POST", "PATCH", "PATCH"]


@pytest.mark.parametrize(
    ("fake", "more", "words"),
    [
        (Fake(allowed=False), {}, "one of a fork may not"),
        (Fake(), {"token": "wrong"}, "the token is not valid"),
        (Fake(), {"pull_request": None}, "no pull request"),
        (Fake(), {"api": "http://127.0.0.1:9"}, "was not reached"),
    ],
    ids=["fork", "wrong token", "no pull request", "nobody there"],
)
def test_a_comment_that_may_not_be_is_told(fake: Fake, more: dict[str, Any], words: str) -> None:
    """Every way of being refused is a sentence."""
    with github(fake, **more) as client, pytest.raises(NotAllowed, match=words):
        client.comment(f"{MARKER}\ntext")


def test_without_the_right_annotations_go_into_the_log(tmp_path: Path) -> None:
    """A token of a fork: `ci annotate` ends with 0, and prints workflow commands instead."""
    report(tmp_path, 2)
    with serving(Fake(allowed=False)) as url:
        variables = {
            "GITHUB_REPOSITORY": "acme/billing",
            "GITHUB_SHA": "c0ffee",
            "GITHUB_API_URL": url,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_EVENT_PATH": "",
        }
        ended = CliRunner().invoke(app, ["annotate", str(tmp_path / "out")], env=variables)
    assert ended.exit_code == 0
    assert ended.stdout.count("::error file=suites/e2e/test_a.py,line=1,") == 2
    assert TOKEN not in ended.output


def test_text_of_the_target_cannot_command_the_workflow(tmp_path: Path) -> None:
    """A reason that looks like a command, or a table, or a link, stays a reason."""
    hostile = "boom\n::set-output name=x::y\r| a | [l](http://x) <script> @team ![i](u)"
    told = report(tmp_path, 1, hostile)
    (line,) = workflow_commands(told)
    assert "\n" not in line
    assert line.count("::") == 2 + hostile.count("::")
    assert line.startswith("::error ")
    told["findings"] = [{"message": hostile}]
    text = summary(told)
    assert "<script>" not in text
    assert "@team" not in text
    assert "[l](http" not in text


def test_a_summary_says_what_matters_and_fits(tmp_path: Path) -> None:
    """Verdict, findings, gates and shares are there, and never more than a comment may hold."""
    make_parts(tmp_path / "parts")
    merge([tmp_path / "parts"], tmp_path / "out", MergeOptions())
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    text = summary(told)
    assert text.startswith(
        f"{MARKER}\n## ❔ Billing: valid, coverage unknown, coverage-webhooks unknown"
    )
    assert "| coverage | ❔ |" in text
    assert f"{len(ALL)} of {len(ALL)} tests in 2 partitions" in text
    told["notes"] = ["x" * 10_000] * 20
    assert len(summary(told)) <= CHARS_MAX + 100


def test_a_summary_is_appended_where_github_asks(tmp_path: Path) -> None:
    """GITHUB_STEP_SUMMARY is appended to, twice if asked twice; without it the text is printed."""
    make_parts(tmp_path / "parts")
    merge([tmp_path / "parts"], tmp_path / "out", MergeOptions())
    file = tmp_path / "summary.md"
    for _ in range(2):
        arguments = ["summary", str(tmp_path / "out")]
        CliRunner().invoke(app, arguments, env={"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text().count("## ❔ Billing") == 2
    printed = CliRunner().invoke(app, ["summary", str(tmp_path / "out")])
    assert "## ❔ Billing" in printed.stdout


def test_a_pull_requests_own_commit_is_annotated(tmp_path: Path) -> None:
    """GITHUB_SHA of a pull request is a merge that nobody sees: the event's head counts."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 8, "head": {"sha": "own"}}}))
    variables = {
        "GITHUB_REPOSITORY": "acme/billing",
        "GITHUB_SHA": "merge",
        "GITHUB_EVENT_PATH": str(event),
    }
    place = place_of(variables)
    assert (place.commit, place.pull_request) == ("own", 8)
    event.write_text("torn")
    assert place_of(variables).commit == "merge"
    with pytest.raises(SettingsError, match="names no repository"):
        place_of({"GITHUB_REPOSITORY": "https://x"})
