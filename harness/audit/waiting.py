"""Reads over HTTP, and nothing else: what is limited or lost is asked again until the deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.audit.facts import Unreadable
from harness.errors import SettingsError
from harness.target.wire import Call, NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.transport import Transport

_TOO_MANY, _BROKEN_FROM = 429, 500
_LOST_TRIES = 4
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.5, 30.0


@dataclass
class Reading:
    """Sends GET requests to one address, with what identifies the reader.

    A limit (429) is waited out, as long as `Retry-After` says, until `ends_at` by `monotonic`; an
    answer that is lost or a 5xx is asked for again a few times. Reading twice harms nobody.
    """

    transport: Transport
    ends_at: float
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    tell: Callable[[str], None] = field(default=lambda _: None)

    def send(self, call: Call) -> Reply | NoReply:
        """Send a call; gives the last answer, also where that is none or a refusal."""
        if call.method != "GET":
            raise SettingsError(
                f"an audit sends nothing but GET, and the profile says {call.method} {call.path}",
                hint="Read the books by [audit] database_url_env instead.",
            )
        lost, pause_s = 0, _PAUSE_FIRST_S
        while True:
            if self.monotonic() >= self.ends_at:
                raise Unreadable(f"the deadline has passed before {call.path} was read")
            reply = self.transport.send(call)
            is_lost = isinstance(reply, NoReply) or reply.status >= _BROKEN_FROM
            lost += is_lost
            is_limited = isinstance(reply, Reply) and reply.status == _TOO_MANY
            if not (is_limited or is_lost) or lost >= _LOST_TRIES:
                return reply
            told_s = _retry_after_s(reply)
            if self.monotonic() + (told_s or pause_s) >= self.ends_at:
                why = "it limits how often it is read" if is_limited else "it does not answer"
                raise Unreadable(f"{call.path}: {why}, and the deadline comes before it may again")
            if is_limited:
                self.tell(f"waiting {told_s or pause_s:g} s: {call.path} is limited")
            self.wait(told_s or pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)


def _retry_after_s(reply: Reply | NoReply) -> float | None:
    """Read `Retry-After` in seconds; as a date it is left to our own pause."""
    told = reply.header("Retry-After") if isinstance(reply, Reply) else None
    return float(told) if told and told.isdigit() and int(told) > 0 else None
