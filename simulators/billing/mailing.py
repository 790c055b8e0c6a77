"""Sends the e-mails that the outbox owes, by SMTP: each once, from its template, while wanted.

A letter is claimed by a lease in its row, sent with no transaction open, and written down as sent.
What the server refuses for good is dropped; anything else is tried again, later and later. Should
we die between the server's yes and our commit, the letter goes out a second time under the same
Message-ID, by which mail programs know it for the same one: a lost welcome would be worse.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select, update

from simulators.billing.storage.tables import Customer, OutboxEmail

if TYPE_CHECKING:
    from simulators.billing.core import Core
    from simulators.billing.settings import Settings

log = structlog.get_logger("billing.mail")

_FOLDER = Path(__file__).with_name("letters")
_LEASE_S = 300
_PAUSE_S = 60
_PAUSE_MAX_S = 6 * 3600
_TRIES_MAX = 12
_PERMANENT = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """A claimed e-mail: to whom, and by which template."""

    id: str
    customer_id: str
    to: str
    name: str | None
    template: str
    tries: int


class Mailer:
    """A thread in each serving process that works the outbox off."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mail", daemon=True)

    def start(self) -> None:
        """Start the thread, if there is a server to send by."""
        if self._core.settings.smtp_host:
            self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Let the letter at hand be finished."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def step(self) -> bool:
        """Send the letter that has been due for longest; tell whether there was one."""
        letter = claim(self._core)
        if letter is None:
            return False
        try:
            _send(self._core, letter)
        except (OSError, smtplib.SMTPException) as error:
            _failed(self._core, letter, error)
        else:
            _settle(self._core, letter, "sent")
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                has_more = self.step()
            except Exception:  # the thread must outlive whatever one letter does
                log.exception("mail_step_failed")
                has_more = False
            if not has_more:
                self._stopping.wait(self._core.settings.mail_poll_s)


def claim(core: Core) -> Letter | None:
    """Take a letter that is due; one to a closed account is dropped instead."""
    now = core.clock.now()
    due = OutboxEmail.state == "due", OutboxEmail.due_at <= now, OutboxEmail.claimed_until <= now
    oldest = select(OutboxEmail).where(*due).order_by(OutboxEmail.due_at, OutboxEmail.id).limit(1)
    with core.database.read() as session:
        if session.scalar(oldest) is None:
            return None
    with core.database.write() as session:
        row = session.scalar(oldest.with_for_update(skip_locked=True))
        customer = session.get(Customer, row.customer_id) if row else None
        if row is None or customer is None:
            return None
        if customer.closed_at is not None:
            row.state, row.settled_at = "dropped", now
            return None
        row.tries += 1
        row.claimed_until = now + _LEASE_S
        return Letter(row.id, customer.id, customer.email, customer.name, row.template, row.tries)


def written(letter: Letter, sender: str, at: int) -> EmailMessage:
    """Write a letter from its template, whose first line is the subject."""
    text = Template(_template(letter.template)).substitute(
        greeting=f"Hello {letter.name}," if letter.name else "Hello,",
        customer_id=letter.customer_id,
    )
    subject, _, body = text.partition("\n")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = subject.removeprefix("Subject: ")
    message["Date"] = formatdate(at)
    message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body.lstrip("\n"))
    return message


def _template(name: str) -> str:
    """Read a template; a follow-up on a day that has none of its own gets the common one."""
    file = _FOLDER / f"{name}.txt"
    if not file.exists():
        file = _FOLDER / "follow_up.txt"
    return file.read_text(encoding="utf-8")


def _send(core: Core, letter: Letter) -> None:
    settings = core.settings
    message = written(letter, settings.mail_from, core.clock.now())
    with _connected(settings) as smtp:
        if settings.smtp_security == "starttls":
            smtp.starttls(context=ssl.create_default_context())
        if settings.smtp_user and settings.smtp_password:
            smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        smtp.send_message(message)


def _connected(settings: Settings) -> smtplib.SMTP:
    host, port, timeout_s = settings.smtp_host or "", settings.smtp_port, settings.smtp_timeout_s
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=context)
    return smtplib.SMTP(host, port, timeout=timeout_s)


def _failed(core: Core, letter: Letter, error: Exception) -> None:
    is_final = _is_final(error) or letter.tries >= _TRIES_MAX
    log.warning(
        "mail_failed",
        mail_id=letter.id,
        customer_id=letter.customer_id,
        error=type(error).__name__,
        is_final=is_final,
    )
    if is_final:
        _settle(core, letter, "dropped")
        return
    pause_s = min(_PAUSE_S * 2 ** (letter.tries - 1), _PAUSE_MAX_S)
    with core.database.write() as session:
        mine = update(OutboxEmail).where(OutboxEmail.id == letter.id)
        session.execute(mine.values(claimed_until=core.clock.now() + pause_s))


def _is_final(error: Exception) -> bool:
    """Tell whether the server will never take this letter: a 5xx about it, not about us."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= _PERMANENT for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPDataError):
        return error.smtp_code >= _PERMANENT
    return isinstance(error, smtplib.SMTPNotSupportedError)


def _settle(core: Core, letter: Letter, state: str) -> None:
    with core.database.write() as session:
        mine = OutboxEmail.id == letter.id, OutboxEmail.state == "due"
        values = {"state": state, "settled_at": core.clock.now()}
        session.execute(update(OutboxEmail).where(*mine).values(**values))
    log.info("mail_settled", mail_id=letter.id, customer_id=letter.customer_id, state=state)
