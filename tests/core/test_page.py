from __future__ import annotations

import re
import shlex
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ReportError
from harness.redact import Redactor
from harness.report.page import page
from harness.report.write import prepare_folder, write_report, write_whole
from tests.core.running import HOSTILE, full_run, run_of

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "link", "img", "input", "hr"}


class _Reader(HTMLParser):
    """Reads a page: its tags, text and references, and whether every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.references: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        found = dict(attrs)
        self.references += [str(found[name]) for name in ("src", "href", "action") if name in found]
        assert not [name for name in found if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(run: Any) -> str:
    return page(run.to_json())


def test_what_a_target_writes_is_text() -> None:
    """HTML in names, bodies, headers, paths and reasons is shown, not obeyed."""
    reader = _Reader(_page(full_run()))
    assert "script" not in reader.tags
    assert reader.text.count("<script>alert(1)</script>") > 10


@settings(max_examples=20)
@given(st.text(min_size=1, max_size=40))
def test_no_text_breaks_the_page(text: str) -> None:
    """Whatever text there is, the page has the same tags, all closed in order."""
    assert _Reader(_page(full_run(text))).tags == _Reader(_page(full_run("plain"))).tags


@pytest.mark.parametrize("run", [full_run(), run_of(), run_of(tests=(), mapped=(), files={})])
def test_the_page_opens_without_a_network(run: Any) -> None:
    """Nothing is fetched: no script, no font, no image, no style from elsewhere."""
    html = _page(run)
    reader = _Reader(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    here = {name for name in reader.references if name.startswith("#")}
    assert set(reader.references) - here <= {"history.jsonl"}
    assert all(f'id="{name[1:]}"' in html for name in here)
    assert not re.search(r"url\(|@import", html)


@pytest.mark.parametrize(
    ("run", "verdict"), [(full_run("x"), "invalid"), (run_of(), "valid"), (run_of(tests=()), "unk")]
)
def test_the_verdict_comes_first(run: Any, verdict: str) -> None:
    """The page begins with the verdict, in its title and its first heading."""
    html = _page(run)
    title, heading = re.findall(r"<(?:title|h1)>\s*(\w+)", html)[:2]
    assert title == heading
    assert title.startswith(verdict)


def test_the_page_says_what_is_wrong_and_what_was_not_looked_at() -> None:
    """Amount, customer, operation, check, skipped and unknown with their reasons are all there."""
    text = _Reader(_page(full_run("the-reason"))).text
    for told in ("29.00 USD", "record_usage", "a_check", "main-1", "BH-1", "no reply: timeout"):
        assert told in text
    assert text.count("the-reason") > 10


@given(st.text(min_size=1), st.text(), st.text("$`\"'\\;&| \n"))
def test_a_request_can_be_repeated_by_hand_and_runs_nothing_else(
    path: str, value: str, body: str
) -> None:
    """The command is one `curl` of that request, whatever the target wrote into it."""
    from harness.report.page import _curl

    query, headers = [["q", value]], [["X-A", value]]
    call = {"method": "POST", "path": f"/{path}", "query": query, "headers": headers, "body": body}
    parts = shlex.split(_curl(call))
    *words, url = parts
    data = ["--data-raw", body] if body else []
    assert words == ["curl", "-X", "POST", "-H", f"X-A: {value}", *data]
    assert url.startswith(f"$BASE_URL/{path}?")
    assert parse_qsl(url.rpartition("?")[2], keep_blank_values=True) == [("q", value)]
    assert '"$BASE_URL"' in _curl(call)


def test_the_report_is_written_whole_and_without_secrets(tmp_path: Path) -> None:
    """Page, JSON and JUnit are there, nothing is left over, and no known secret is in any."""
    prepare_folder(tmp_path)
    write_report(
        full_run("key-of-a-customer"), tmp_path, Redactor(frozenset({"key-of-a-customer"}))
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    ways = ["replay-1.json", "replay-1.py", "replay-1.sh", "replay-2.py", "replay-2.sh"]
    assert names == ["junit.xml", *ways, "report.html", "report.json"]
    assert not [path for path in tmp_path.iterdir() if "key-of-a" in path.read_text()]
    assert all(HOSTILE not in path.read_text() for path in tmp_path.iterdir())


def test_a_requirement_is_told_by_its_title(tmp_path: Path) -> None:
    """A reader who knows no id reads what it stands for, and what the last gauntlet came to."""
    prepare_folder(tmp_path)
    write_report(run_of(), tmp_path, Redactor())
    text = _Reader((tmp_path / "report.html").read_text("utf-8")).text
    assert "Usage is never charged twice" in text
    assert "mistakes found when they were last made on purpose" in text


def test_an_earlier_report_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    """A folder that is used again keeps only what no run wrote."""
    for name in ("report.html", "junit.xml", "history-gw0.jsonl", "notes.txt"):
        (tmp_path / name).write_text("old")
    prepare_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_is_told_before_the_run(tmp_path: Path) -> None:
    """A file in the way is an error with a hint, and is left as it was."""
    (tmp_path / "taken").write_text("mine")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(ReportError, match="taken") as caught:
            prepare_folder(folder)
        assert "--report" in (caught.value.hint or "")
    with pytest.raises(ReportError):
        write_whole(tmp_path / "gone" / "report.json", "{}")
    assert (tmp_path / "taken").read_text() == "mine"
