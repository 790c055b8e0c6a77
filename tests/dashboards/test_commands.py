"""`billing-harness dashboards`: what is committed is fresh, options reach it, errors are told."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from dashboards import checking, commands
from dashboards.build import Wanted, artefacts, places, stale
from dashboards.checks import live
from dashboards.checks.live import PAGE_BYTES_MAX, check_page, read_page
from dashboards.checks.programs import check_rules
from dashboards.objectives import read_objectives
from dashboards.rules import Pager
from harness.cli import build_app
from harness.errors import SettingsError, TargetError, TargetUnreachable
from harness.metrics import BillingTelemetry
from harness.target.wire import Call, NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Any:
    """Run the command line in this process."""
    return CliRunner().invoke(build_app(), ["dashboards", *arguments])


def test_what_is_committed_is_what_the_definitions_give() -> None:
    """Nobody changed a definition without `dashboards build`, or a generated file by hand."""
    files = artefacts(Wanted())
    where = places(files, ROOT / "dashboards" / "generated", ROOT / "docs")
    assert stale(files, where) == []


def test_build_writes_what_an_owner_asked_for(tmp_path: Path) -> None:
    """Data source, thresholds, owner and runbooks reach the files; `--check` sees any change."""
    out = ["build", "--out", str(tmp_path / "new")]
    asked = ["--datasource", "acme", "--threshold", "coverage_min=0.9", "--owner", "acme-pay",
             "--runbooks", "https://wiki.example.com/pay"]  # fmt: skip
    assert run(*out, *asked).exit_code == 0
    billing = json.loads((tmp_path / "new" / "billing_dashboard.json").read_text())
    assert billing["templating"]["list"][0]["current"]["value"] == "acme"
    rules = (tmp_path / "new" / "ci_rules.yml").read_text()
    assert "< 0.9" in rules
    assert 'owner: "acme-pay"' in rules
    assert "https://wiki.example.com/pay#cicoveragelow" in rules
    assert run(*out, *asked, "--check").exit_code == 0
    told = run(*out, "--check")
    assert told.exit_code == 1
    assert "ci_rules.yml: stale" in told.output


def test_without_grafanalib_the_next_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed the extra is told how to, and nothing is written."""
    monkeypatch.setitem(sys.modules, "grafanalib.core", None)
    told = run("build", "--out", "nowhere", "--datasource", "not-yet-drawn")
    assert told.exit_code == 2
    assert not Path("nowhere").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the place of the folder is an error with the next step, and not a traceback."""
    (tmp_path / "file").write_text("")
    told = run("build", "--out", str(tmp_path / "file" / "x"))
    assert told.exit_code == 2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("coverage=0.9", "there is no threshold 'coverage'"),
        ("coverage_min", "there is no threshold"),
        ("coverage_min=x", "cannot be 'x'"),
        ("coverage_min=80", "cannot be '80'"),
        ("suite_duration_s=-1", "cannot be '-1'"),
        ("suite_duration_s=inf", "cannot be 'inf'"),
        ("coverage_min=0.96", "above coverage_goal"),
        ("payment_success=0.9", "never be"),
        ("payment_success=1", "never be"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(word: str, says: str) -> None:
    """Each is told with what was expected; an alert that could never fire is refused too."""
    with pytest.raises(SettingsError, match=says.replace("(", r"\(")) as refused:
        read_objectives([word])
    assert refused.value.hint


@pytest.mark.nightly
@pytest.mark.program("promtool")
def test_other_thresholds_keep_every_proof() -> None:
    """With an owner's thresholds and names, rules, cases and panels still pass promtool."""
    objectives = read_objectives(
        ["payment_success=0.97", "webhook_age_s=900", "coverage_min=0.85", "suite_duration_s=600"]
    )
    files = artefacts(Wanted(objectives, pager=Pager("x", "https://x.example.com")))
    found, _ = check_rules(files)
    assert found == []


def page(**changes: str) -> str:
    """Give the metrics of a right service, with parts of the text replaced."""
    telemetry = BillingTelemetry(
        lambda: {"billing_webhook_backlog": [({}, 3.0)]}, watched=["cust_big"]
    )
    telemetry.record("request_served", operation="subscribe", status_class="2xx", duration_s=0.1)
    text = telemetry.exposition()[0].decode()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_right_service_lacks_nothing() -> None:
    """The telemetry that an adopter takes has every metric, kind, label and value."""
    assert check_page(page()) == []


CUSTOMERS = "# TYPE billing_watched_fixes_total counter\n"
PAGES: dict[str, tuple[Callable[[], str], str, str]] = {
    "renamed": (
        lambda: page(billing_revenue_cents="billing_revenue_minor"),
        "billing_revenue_cents_total", "it is missing; is billing_revenue_minor meant to be it?",
    ),
    "gone": (lambda: page(billing_webhook_backlog="other"), "billing_webhook_backlog", "missing"),
    "strange": (
        lambda: page() + "# TYPE billing_tips gauge\nbilling_tips 1\n", "billing_tips",
        "no dashboard shows it",
    ),
    "kind": (
        lambda: page().replace("backlog gauge", "backlog counter"), "billing_webhook_backlog",
        "it is a counter, not a gauge",
    ),
    "label": (
        lambda: page().replace("failure_code=", "reason="), "billing_payment_failures_total",
        "its labels are ['reason'], not ['failure_code']",
    ),
    "value": (
        lambda: page().replace('stage="payg"', 'stage="pay_as_you_go"'),
        "billing_conversions_total", "'pay_as_you_go', which is not declared",
    ),
    "customers": (
        lambda: page().replace(
            CUSTOMERS, CUSTOMERS + "".join(
                f'billing_watched_fixes_total{{customer="c{n}",outcome="credit"}} 1\n'
                for n in range(30)
            ),
        ),
        "billing_watched_fixes", "values; 21 is the most",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_what_a_service_lacks_or_names_otherwise_is_told(name: str) -> None:
    """Each difference from the catalogue is a finding under the metric's name."""
    make, metric, told = PAGES[name]
    found = check_page(make())
    assert [f.where for f in found if told in f.what and f.where.startswith(metric)], found


@pytest.mark.parametrize("odd", ["<html>", "billing_x{a=", 'billing_x{a="b"} one\n', "{}"])
def test_a_page_of_something_else_is_told(odd: str) -> None:
    """What is not Prometheus' text is an error in a sentence, and no traceback."""
    with pytest.raises(TargetError, match="not Prometheus' text"):
        check_page(odd)


ANSWERS: dict[str, tuple[Reply | NoReply, str]] = {
    "locked": (Reply(401, (), b""), "answer 401"),
    "elsewhere": (Reply(404, (), b""), "answer 404"),
    "huge": (Reply(200, (), b"#" * (PAGE_BYTES_MAX + 1)), "larger than 8 MiB"),
    "binary": (Reply(200, (), b"\xff\xfe"), "are no text"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_page_is_told(name: str) -> None:
    """A refusal, a huge page and what is no text are errors with a next step."""
    answer, says = ANSWERS[name]
    with pytest.raises(TargetError, match=says) as refused:
        read_page("http://x.example.com/metrics", lambda _: answer)
    assert refused.value.hint


def test_the_token_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """METRICS_TOKEN travels as a bearer token, and is in no message."""
    monkeypatch.setenv(live.TOKEN, "tok_secret")
    seen: list[Call] = []

    def send(call: Call) -> Reply:
        seen.append(call)
        return Reply(403, (), b"")

    with pytest.raises(TargetError) as refused:
        read_page("http://x.example.com/metrics", send)
    assert dict(seen[0].headers) == {"Authorization": "Bearer tok_secret"}
    assert "tok_secret" not in f"{refused.value} {refused.value.hint}"


def test_nobody_there_is_told() -> None:
    """An address at which nothing answers is unreachable, which is no finding."""
    with pytest.raises(TargetUnreachable):
        read_page("http://127.0.0.1:1/metrics")


@pytest.mark.parametrize("url", ["billing.example.com/metrics", "ftp://x/metrics", "http://[x", ""])
def test_a_word_that_is_no_address_is_told(url: str) -> None:
    """It is status 2 with the next step, also where a URL cannot even be taken apart."""
    told = run("check", "--metrics", url)
    assert told.exit_code == 2
    assert told.exception is None or isinstance(told.exception, SystemExit)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n\r\nbilling_x ", "no answer within 0.3 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nbilling_", "no answer within 0.3 s"),
    ],
    ids=["silent", "without an end", "no HTTP", "cut short"],
)
def test_a_page_that_does_not_come_is_left(sent: bytes, says: str) -> None:
    """Whoever hangs, trickles or speaks something else is left at the deadline, and told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            with server.accept()[0] as caller:
                caller.recv(4096)
                caller.sendall(sent)
                caller.recv(1)  # until the caller has left

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        with pytest.raises(TargetUnreachable, match=re.escape(says)):
            read_page(f"http://127.0.0.1:{server.getsockname()[1]}/metrics", timeout_s=0.3)
        thread.join(10)


@pytest.fixture
def service() -> Iterator[tuple[str, list[str]]]:
    """Serve a page on loopback; give its address and the methods that were asked for."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.command)
            body = page(billing_revenue_cents="billing_revenue_minor").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics", asked
        server.shutdown()
        thread.join(10)


def test_a_service_is_only_read_and_its_lack_is_status_1(service: tuple[str, list[str]]) -> None:
    """`check --metrics --json` reads once, tells machines what is wrong, and exits with 1."""
    url, asked = service
    told = run("check", "--metrics", url, "--json")
    assert told.exit_code == 1
    facts = json.loads(told.output)
    assert facts["verdict"] == "invalid"
    assert "billing_revenue_cents_total" in {each["where"] for each in facts["findings"]}
    assert asked == ["GET"]


def test_check_tells_people_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing found is status 0, with what could not be checked and why."""
    monkeypatch.setattr(checking, "check_rules", lambda _: ([], []))
    told = run("check")
    assert told.exit_code == 0, told.output
    assert "0 found" in told.output


def test_the_command_is_light_to_import() -> None:
    """What draws, asks or serves is loaded when a command runs, so that others start quickly."""
    folder = Path(commands.__file__).parent
    for file in folder.glob("*commands.py"):
        told = re.findall(r"^(?:from|import) (\S+)", file.read_text(), re.MULTILINE)
        light = {"__future__", "os", "pathlib", "typing", "typer"}
        ours = [name for name in told if name not in light]
        assert [name for name in ours if not name.endswith("_commands")] == [], file.name
