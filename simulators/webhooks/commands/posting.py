"""Sends one event and tells what came back: accepted, refused, or unknown.

A 2xx is accepted; any 3xx or 4xx is refused, as at Stripe; a 5xx or no answer is unknown, for the
receiver may have taken the event in before it failed.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness import signing
from harness.errors import SettingsError
from simulators.webhooks.commands.options import HOW
from simulators.webhooks.events import Obj, encode_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from harness.target.wire import NoReply, Reply
    from simulators.webhooks.commands.destination import Destination

Outcome = Literal["accepted", "refused", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("accepted", "refused", "unknown")

FORGERIES: dict[str, Callable[[bytes, str, int], str] | None] = {
    "wrong-secret": signing.wrong_secret,
    "only-v0": signing.only_v0,
    "non-ascii": signing.non_ascii,
    "shifted-timestamp": signing.shifted_timestamp,
    "no-signature": None,
}
"""Signatures that no receiver may accept, by name; None: no header at all."""

USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
OFFSET_S_MAX = 10 * 366 * 86_400
_SNIPPET_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How an event is signed: honestly, or as an attacker or a replayer would.

    `tamper` changes the body after it was signed, `forge` names one of `FORGERIES`, and
    `offset_s` shifts the signed timestamp (negative: into the past).
    """

    tamper: Annotated[
        bool,
        typer.Option("--tamper", help="Change the body after signing it.", rich_help_panel=HOW),
    ] = False
    forge: Annotated[
        str | None,
        typer.Option(
            help=f"Send a signature that must be refused: {', '.join(FORGERIES)}.",
            metavar="KIND",
            rich_help_panel=HOW,
        ),
    ] = None
    offset_s: Annotated[
        int,
        typer.Option(
            "--timestamp-offset",
            help="Sign as of so many seconds from now; negative is the past.",
            metavar="SECONDS",
            rich_help_panel=HOW,
        ),
    ] = 0

    def __post_init__(self) -> None:
        if self.forge is not None and self.forge not in FORGERIES:
            raise SettingsError(
                f"--forge {self.forge!r} is no forgery", hint=f"One of {', '.join(FORGERIES)}."
            )
        if abs(self.offset_s) > OFFSET_S_MAX:
            raise SettingsError(
                f"--timestamp-offset {self.offset_s} is out of range",
                hint=f"Up to {OFFSET_S_MAX} seconds either way.",
            )

    @property
    def is_valid(self) -> bool:
        """Whether a receiver with Stripe's tolerance should accept it; the future is accepted."""
        is_fresh = self.offset_s >= -signing.TOLERANCE_S
        return is_fresh and not self.tamper and self.forge is None


@dataclass(frozen=True, slots=True)
class Signed:
    """What goes over the wire: raw body and headers."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def sign(event: Obj | bytes, secret: str, how: Signing, now: float | None = None) -> Signed:
    """Sign an event, or a body as it was recorded, with wall time unless `now` is given."""
    body = event if isinstance(event, bytes) else encode_event(event)
    timestamp = int(time.time() if now is None else now) + how.offset_s
    if how.forge is None:
        header: str | None = signing.header(body, secret, timestamp)
    else:
        forge = FORGERIES[how.forge]
        header = forge(body, secret, timestamp) if forge else None
    pairs = [("Content-Type", "application/json; charset=utf-8"), ("User-Agent", USER_AGENT)]
    if header is not None:
        pairs.append(("Stripe-Signature", header))
    return Signed(tuple(pairs), _tampered(body) if how.tamper else body)


def _tampered(body: bytes) -> bytes:
    """Give the event another id, as somebody does who replays it round duplicate detection."""
    try:
        event = json.loads(body)
        return encode_event({**event, "id": f"{event['id']}x"})
    except (ValueError, TypeError, KeyError):
        return body + b" "


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver. `status` is None where no answer came; `answer` says what did."""

    id: str
    type: str
    outcome: Outcome
    status: int | None
    answer: str = field(repr=False)
    elapsed_ms: float

    def data(self) -> dict[str, object]:
        """Give the delivery as plain data."""
        return asdict(self)


class Poster:
    """Sends to one destination; thread-safe. It follows no redirect and reads no proxy."""

    def __init__(self, destination: Destination) -> None:
        from harness.redact import Redactor
        from harness.transport import Transport

        self._destination = destination
        self._transport = Transport(destination.origin, destination.timeout_s)
        self._redactor = Redactor(frozenset({destination.secret}))

    def __enter__(self) -> Self:
        """Give the poster itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self._transport.close()

    def post(self, event: Obj, how: Signing, body: bytes | None = None) -> Delivery:
        """Sign with the time of now and send once; `body` is sent in place of the event's own."""
        from harness.target.wire import Call

        place = self._destination
        signed = sign(event if body is None else body, place.secret, how)
        headers = tuple((name, _latin(value)) for name, value in signed.headers)
        started = time.monotonic()
        reply = self._transport.send(Call("POST", place.path, place.query, headers, signed.body))
        elapsed_ms = (time.monotonic() - started) * 1000
        outcome, status, answer = judge(reply)
        return Delivery(
            id=str(event.get("id", "")),
            type=str(event.get("type", "")),
            outcome=outcome,
            status=status,
            answer=self._redactor.text(answer),
            elapsed_ms=round(elapsed_ms, 1),
        )


def _latin(value: str) -> str:
    """Write a header as UTF-8 bytes, in the Latin-1 text that the transport takes."""
    return value.encode().decode("latin-1")


def judge(reply: Reply | NoReply) -> tuple[Outcome, int | None, str]:
    """Tell outcome, status and answer of a reply."""
    from harness.target.wire import NoReply

    if isinstance(reply, NoReply):
        never = "" if reply.sent else ", never sent"
        return "unknown", None, f"{reply.reason}{never}: {reply.detail}"
    text = reply.body[:_SNIPPET_BYTES].decode(errors="replace")
    if 200 <= reply.status < 300:  # noqa: PLR2004 - "any 2xx"
        return "accepted", reply.status, text
    return ("refused" if reply.status < 500 else "unknown"), reply.status, text  # noqa: PLR2004 - a 5xx may have had its effect


def exit_status(deliveries: Iterable[Delivery], how: Signing) -> int:
    """Return 1 where an answer is wrong, else 2 where one is unknown, else 0.

    A wrong answer refuses what is signed rightly, or accepts what is not.
    """
    outcomes = [delivery.outcome for delivery in deliveries]
    if ("refused" if how.is_valid else "accepted") in outcomes:
        return 1
    return 2 if "unknown" in outcomes or not outcomes else 0
