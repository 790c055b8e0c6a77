"""What a run ought to come across at least once: a green run that never did proves less.

These are no invariants and change no verdict. They say how far a run's histories went: whether an
answer was ever lost, a card declined, two requests at once. (The idea is that of *sometimes*
assertions in deterministic testing; Antithesis' documentation has it.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.operations import OPERATIONS
from harness.replay.noted import ADVANCE, FAULT
from harness.target.wire import NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.history import Record

_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Sometimes:
    """One situation: what it is, and how often the run came across it."""

    name: str
    meaning: str
    count: int

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def sometimes(history: Sequence[Record]) -> tuple[Sometimes, ...]:
    """Count every situation over a run's history."""
    return tuple(
        Sometimes(name, meaning, sum(1 for record in history if seen(record)))
        for name, meaning, seen in _SITUATIONS
    ) + _pairs(history)


def _operation(name: str, kind: str = "ok") -> Callable[[Record], bool]:
    return lambda record: record.operation == name and record.outcome.kind == kind


def _declined(record: Record) -> bool:
    code = record.outcome.code or ""
    return record.outcome.kind == "refused" and ("declin" in code or "card" in code)


def _charged(record: Record) -> bool:
    return record.operation == "record_usage" and bool(record.outcome.get("charged_minor"))


def _replied(record: Record, status: int) -> bool:
    return any(
        isinstance(exchange.reply, Reply) and exchange.reply.status == status
        for exchange in record.exchanges
    )


def _lost(record: Record) -> bool:
    unanswered = any(isinstance(exchange.reply, NoReply) for exchange in record.exchanges)
    return record.outcome.kind == "unknown" or unanswered


def _turned(record: Record) -> bool:
    known = OPERATIONS.get(record.operation)
    return bool(known and known.lists) and len(record.exchanges) > 1


_SITUATIONS: tuple[tuple[str, str, Callable[[Record], bool]], ...] = (
    ("charged_beyond_the_units", "A usage beyond the units was charged", _charged),
    ("card_declined", "A card was declined, or asked for its holder", _declined),
    ("answer_lost", "An answer was lost, so that what happened was not known at once", _lost),
    ("provider_failed", "The payment provider failed on purpose", lambda r: r.operation == FAULT),
    ("time_moved", "Time was moved on", lambda r: r.operation == ADVANCE),
    ("subscribed", "A customer subscribed", _operation("subscribe")),
    ("cancelled", "A subscription was cancelled", _operation("cancel_subscription")),
    ("refunded", "Money was given back", _operation("refund_payment")),
    ("closed", "An account was closed", _operation("close_customer")),
    ("webhook_taken", "A rightly signed webhook was taken", _operation("receive_webhook")),
    ("webhook_forged", "A forged one was refused", _operation("receive_webhook", "refused")),
    (
        "stranger_refused",
        "Somebody without a right to it was refused",
        lambda r: r.role in {"other_tenant", "anonymous"} and r.outcome.kind == "refused",
    ),
    ("limit_reached", "A limit was reached (HTTP 429)", lambda r: _replied(r, _TOO_MANY)),
    ("list_turned_page", "A list went over more than one page", _turned),
)


def _pairs(history: Sequence[Record]) -> tuple[Sometimes, ...]:
    """Count what only two operations show together."""
    again: dict[tuple[str | None, str], int] = {}
    at_once = 0
    ends: dict[str, float] = {}
    for record in sorted(history, key=lambda record: record.began_at):
        if record.operation == "record_usage":
            # A test may tell anything as an id, a list too.
            told = (record.customer, repr(record.inputs.get("usage_id")))
            again[told] = again.get(told, 0) + 1
        acts = record.operation in OPERATIONS and not OPERATIONS[record.operation].reads
        if acts and record.customer:
            at_once += record.began_at < ends.get(record.customer, 0)
            ends[record.customer] = record.ended_at or record.began_at
    return (
        Sometimes(
            "told_again", "A usage was told again", sum(count > 1 for count in again.values())
        ),
        Sometimes("at_once", "Two requests of one customer ran at the same time", at_once),
    )
