"""E-mails: the right ones, on their days, once each, to a real SMTP server on a socket."""

from __future__ import annotations

import re
import socketserver
import threading
import time
from dataclasses import replace
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from simulators.billing import mailing
from simulators.billing.mailing import Letter, Mailer, claim, written
from simulators.billing.operations import accounts
from simulators.billing.storage.tables import Customer, OutboxEmail
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.billing.conftest import Bench
    from tests.billing.running import Simulator

DAY_S = 86_400
DEADLINE_S = 15.0


class Sink(socketserver.ThreadingTCPServer):
    """An SMTP server (RFC 5321) that keeps what it takes, and refuses what it is told to."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.answers: dict[str, str] = {}

    def subjects(self) -> list[str]:
        """Give the subjects so far."""
        return [str(message["Subject"]) for message in self.messages]


class _Session(socketserver.StreamRequestHandler):
    server: Sink

    def handle(self) -> None:
        self._say("220 sink")
        for raw in self.rfile:
            verb = raw[:4].upper().decode()
            if verb in self.server.answers:
                self._say(self.server.answers[verb])
            elif verb == "DATA":
                self._take()
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                if verb == "RCPT":
                    self.server.recipients.append(re.sub(r".*<(.*)>.*\s*", r"\1", raw.decode()))
                self._say("250 ok")

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line.removeprefix(b"."))
        made: Any = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server.messages.append(made)
        self._say("250 taken")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Run an SMTP server."""
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def posting(bench: Bench, sink: Sink) -> Bench:
    """Give a core that sends by the sink."""
    changes = {
        "smtp_host": "127.0.0.1",
        "smtp_port": sink.server_address[1],
        "smtp_security": "none",
    }
    settings = bench.core.settings.model_copy(update=changes)
    return replace(bench, core=replace(bench.core, settings=settings))


def send_all(bench: Bench) -> None:
    """Send whatever is due now."""
    while Mailer(bench.core).step():
        pass


def states(bench: Bench, customer_id: str) -> list[tuple[str, str]]:
    """Give each of a customer's letters with its state, in the order they are due."""
    mine = select(OutboxEmail).where(OutboxEmail.customer_id == customer_id)
    with bench.core.database.read() as session:
        rows = session.scalars(mine.order_by(OutboxEmail.due_at)).all()
    return [(row.template, row.state) for row in rows]


def test_welcome_comes_at_once_and_the_rest_on_their_days(posting: Bench, sink: Sink) -> None:
    """Five letters in two weeks, each on its day and once, and then no more."""
    posting.customer(card=False, credits_left=5)
    seen, today = [], 0
    for day in (0, 0, 1, 2, 3, 5, 7, 13, 14, 15, 60):
        posting.pass_time((day - today) * DAY_S)
        today = day
        send_all(posting)
        seen.append(len(sink.messages))
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert sink.subjects() == [
        "Welcome",
        "Your first fix",
        "More credits for free",
        "What a fix costs",
        "Is anything missing?",
    ]


def test_a_letter_names_its_customer_and_nothing_secret(posting: Bench, sink: Sink) -> None:
    """The letter goes to the customer's address alone, and holds no key and no card."""
    customer_id = posting.customer()
    send_all(posting)
    (message,) = sink.messages
    with posting.core.database.read() as session:
        customer = session.get(Customer, customer_id)
    assert customer is not None
    assert sink.recipients == [customer.email] == [str(message["To"])]
    assert customer_id in message.get_content()
    assert message["Auto-Submitted"] == "auto-generated"
    assert "bk_" not in message.as_string()
    assert "4242" not in message.as_string()


def test_closing_the_account_ends_the_letters(posting: Bench, sink: Sink) -> None:
    """After a customer has left nothing is sent any more, whatever was due."""
    customer_id = posting.customer(card=False)
    send_all(posting)
    accounts.close(posting.core, customer_id)
    posting.pass_time(30 * DAY_S)
    send_all(posting)
    assert sink.subjects() == ["Welcome"]
    assert {state for _, state in states(posting, customer_id)} == {"sent", "dropped"}


def test_a_letter_to_who_has_just_left_is_dropped(posting: Bench, sink: Sink) -> None:
    """One that is still due when its account is found closed is not sent."""
    customer_id = posting.customer(card=False)
    with posting.core.database.write() as session:
        customer = session.get(Customer, customer_id)
        assert customer is not None
        customer.closed_at = 1
    send_all(posting)
    assert sink.messages == []
    assert states(posting, customer_id)[0] == ("welcome", "dropped")


def test_a_server_that_is_away_is_tried_again(posting: Bench, sink: Sink) -> None:
    """A temporary no leaves the letter due; later, not at once, it is sent, and only once."""
    sink.answers["MAIL"] = "451 later"
    customer_id = posting.customer(card=False)
    send_all(posting)
    assert states(posting, customer_id)[0] == ("welcome", "due")
    sink.answers.clear()
    send_all(posting)
    assert sink.messages == []
    posting.pass_time(61)
    send_all(posting)
    send_all(posting)
    assert sink.subjects() == ["Welcome"]


def test_an_address_that_is_refused_is_not_tried_again(posting: Bench, sink: Sink) -> None:
    """A permanent no drops that letter, and the next customer's goes out."""
    sink.answers["RCPT"] = "550 no such user"
    refused = posting.customer(card=False)
    send_all(posting)
    assert states(posting, refused)[0] == ("welcome", "dropped")
    sink.answers.clear()
    posting.customer(card=False)
    send_all(posting)
    assert sink.subjects() == ["Welcome"]


def test_two_workers_never_take_the_same_letter(posting: Bench) -> None:
    """A claimed letter is nobody else's until its lease is over; then it goes out as the same."""
    posting.customer(card=False)
    first = claim(posting.core)
    assert first is not None
    assert claim(posting.core) is None
    posting.pass_time(301)
    again = claim(posting.core)
    assert again is not None
    assert again.id == first.id
    ids = {written(each, "b@example.com", 0)["Message-ID"] for each in (first, again)}
    assert len(ids) == 1


def test_a_name_cannot_become_a_header_or_a_placeholder() -> None:
    """What a customer calls themselves is text in the letter, whatever it looks like."""
    name = "$customer_id Bcc: x@y.z ${oops}"
    letter = Letter("mail_1", "cust_1", "a@example.com", name, "welcome", 1)
    message = written(letter, "Billing <billing@example.com>", 0)
    assert message["Bcc"] is None
    assert f"Hello {name}," in message.get_content()
    assert message["Message-ID"] == "<mail_1@example.com>"


@pytest.mark.parametrize("file", sorted(mailing._FOLDER.glob("*.txt")), ids=lambda f: f.stem)
def test_every_template_is_a_whole_letter(file: Path) -> None:
    """Each template has a subject, a greeting, and no placeholder that nobody fills."""
    letter = Letter("mail_1", "cust_1", "a@example.com", None, file.stem, 1)
    message = written(letter, "billing@example.com", 0)
    assert message["Subject"]
    assert message.get_content().startswith("Hello,")


def test_a_day_without_a_template_of_its_own_has_the_common_one() -> None:
    """Days are a setting; any of them has a letter."""
    letter = Letter("mail_1", "cust_1", "a@example.com", None, "follow_up_30", 1)
    assert written(letter, "b@example.com", 0)["Subject"] == "How is it going?"


@pytest.mark.nightly
def test_a_running_service_sends_by_itself(
    tmp_path: Path, simulator: Simulator, sink: Sink
) -> None:
    """Signing up over HTTP brings the welcome into a real server; two processes send it once."""
    port = str(sink.server_address[1])
    smtp = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"}
    with (
        running_service(tmp_path, simulator, processes=2, mail_poll_s="0.05", **smtp) as service,
        new_tenant(service) as tenant,
    ):
        deadline = time.monotonic() + DEADLINE_S
        while not sink.messages and time.monotonic() < deadline:
            time.sleep(0.02)
        with service.controls as controls:
            now = controls.get("/test/clock").json()["now"]
            controls.post("/test/clock", json={"to": now + DAY_S}).raise_for_status()
        while len(sink.messages) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert sink.subjects() == ["Welcome", "Your first fix"]
    assert sink.recipients == [tenant.email] * 2
    logs = "".join(child.log.read_text() for child in service.children)
    assert '"mail_settled"' in logs
    assert tenant.email not in logs
