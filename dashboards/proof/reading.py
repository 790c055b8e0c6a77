"""Reads what happened off the ledger, the bank, the provider, the clients and the log, as facts.

Nothing is read from metrics. A duration is known to lie between what the bank took and what the
client waited, so there are two sets of facts: with the least and with the most that each can be.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dashboards.facts import Fact, Facts
from dashboards.sources import SOURCES
from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import RowMapping

    from dashboards.proof.clockwork import Snapshot
    from dashboards.proof.world import Seen
    from harness.history import Exchange, Record

_BEFORE_MARK_S = 60
_CONNECT_S = 10
_ROUNDED_S = 0.000_06
_AT_ONCE_S = 0.25
_DOUBTFUL = "doubtful"
_SCRAPED = "/metrics"
_SERVER_ERROR = 500
_CREATED, _REFUSED, _UNAVAILABLE = 201, 400, 503
_FINDINGS = "SELECT subject, first_seen_at FROM reconciler_findings WHERE kind = 'double_charge'"
_DECLINES = frozenset({"card_declined", "authentication_required"})
_SOURCES = {"marketplace": "gh_marketplace"}
# Of which operations panels ask by name, and their routes.
_ROUTES = {
    "/api/v1/billing/track_fix": "record_usage",
    "/api/v1/customers/{customer_id}/usage": "get_balance",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Facts with the least and the most that each duration can have been; else the same."""

    least: Facts
    most: Facts


def read_facts(seen: Seen) -> Bounds:
    """Read everything. Raises `StackError` where the ledger cannot be read."""
    told = [*_ledger(seen.database_url), *_told_by_others(seen)]
    sure = [fact for fact in told if not fact.fields.get(_DOUBTFUL)]
    return Bounds(Facts(_with(sure, "least_s")), Facts(_with(told, "most_s")))


def _with(told: Iterable[Fact], which: str) -> tuple[Fact, ...]:
    found = [
        Fact(f.event, f.at_s, {**f.fields, "duration_s": f.fields[which]})
        if which in f.fields
        else f
        for f in told
    ]
    return tuple(sorted(found, key=lambda fact: fact.at_s))


def _told_by_others(seen: Seen) -> Iterator[Fact]:
    moments = _Moments(seen.snapshots)
    yield from _requests(seen, moments)
    yield from _charges(seen, moments)
    yield from _sign_ups(seen, moments)
    yield from _conversions(seen, moments)
    yield from _webhooks(seen, moments)
    yield from _charged_again(seen)


class _Moments:
    """Gives virtual time for wall time: just before the mark of the phase in which it lies."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots

    def of(self, wall_s: float) -> float | None:
        """Give the moment, or None after the last snapshot, which nobody saw any more."""
        for snapshot in self._snapshots:
            if wall_s <= snapshot.wall_s:
                return float(snapshot.mark_s - _BEFORE_MARK_S)
        return None

    def near(self, wall_s: float, early_s: float) -> tuple[float, ...]:
        """Give both moments that wall time can belong to, where it is that of a snapshot.

        `early_s` is how long before the snapshot it is in doubt.
        """
        for before, after in pairwise(self._snapshots):
            if -early_s <= wall_s - before.wall_s < before.took_s + _AT_ONCE_S:
                return tuple(float(s.mark_s - _BEFORE_MARK_S) for s in (before, after))
        return ()

    def fact(self, event: str, wall_s: float, **fields: Any) -> Iterator[Fact]:
        """Give a fact, if it is in time for a snapshot."""
        if (at_s := self.of(wall_s)) is not None:
            yield Fact(event, at_s, fields)


def _ledger(database_url: str) -> Iterator[Fact]:
    """Read the ledger by SQL. Raises `StackError`."""
    for source in (each for each in SOURCES if each.record == "ledger"):
        for row in _query(database_url, source.query):
            yield _of_row(source.event, row)


def _query(database_url: str, query: str) -> list[RowMapping]:
    """Read the service's database, and only read. Raises `StackError`."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(database_url)
    read_only = {"sqlite": "PRAGMA query_only = ON"}
    try:
        with engine.connect() as connection:
            connection.execute(
                text(read_only.get(engine.dialect.name, "SET TRANSACTION READ ONLY"))
            )
            return list(connection.execute(text(query)).mappings())
    except SQLAlchemyError as error:
        raise StackError(f"the ledger cannot be read: {type(error).__name__}") from None
    finally:
        engine.dispose()


def _of_row(event: str, row: RowMapping) -> Fact:
    fields = {str(name): value for name, value in row.items() if name != "at_s"}
    if "customer" in fields:
        # Nobody is watched: what a customer is called is only to tell one charge from another.
        fields |= {"owner": fields["customer"], "customer": "other"}
    return Fact(event, float(row["at_s"]), fields)


def _exchanges(records: Iterable[Record]) -> Iterator[tuple[Record, Exchange, int]]:
    """Give every request that was answered, with its status."""
    for record in records:
        for exchange in record.exchanges:
            status = getattr(exchange.reply, "status", None)
            if isinstance(status, int):
                yield record, exchange, status


def _ended_s(exchange: Exchange) -> float:
    return exchange.at + exchange.elapsed_ms / 1000


def _requests(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    """Give every request as the service's log has it: clients, deliveries, scrapes and probes.

    How long each took the log alone can say: a client may have its answer before the end is told.
    """
    for line in (each for each in seen.log if each["event"] == "request"):
        yield from _of_line(line, moments)


def _of_line(line: Mapping[str, Any], moments: _Moments) -> Iterator[Fact]:
    """Give a request of the log; one beside a snapshot may have been seen by it, or not."""
    took_s = line["duration_ms"] / 1000
    told: dict[str, Any] = {
        "operation": _ROUTES.get(line["route"], "other"),
        "status_class": f"{(line['status'] or _SERVER_ERROR) // 100}xx",
        "least_s": max(0.0, took_s - _ROUNDED_S),
        "most_s": took_s + _ROUNDED_S,
    }
    # A scrape counts itself when it has ended; of the rest, what is in the log has been counted.
    early_s = _AT_ONCE_S if line["route"] == _SCRAPED else 0.0
    near = moments.near(line["wall_s"], early_s)
    if near:
        for at_s in near:
            yield Fact("request_served", at_s, {**told, _DOUBTFUL: True})
        return
    yield from moments.fact("request_served", line["wall_s"], **told)


def _charges(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    """Give the bank's noes, and how long clients waited where the bank was asked."""
    for answer in seen.answers:
        if answer.reason is not None:
            yield from moments.fact(
                *("payment_processed", answer.at),
                status="failed",
                payment_method="card",
                failure_code=_declared(answer.reason),
                customer="other",
            )
    events = {"record_usage": "payment_timed", "subscribe": "subscription_timed"}
    asked = {"record_usage": "/v1/payment_intents", "subscribe": "/v1/subscriptions"}
    for record, exchange, _ in _exchanges(seen.records):
        if (event := events.get(record.operation)) is None:
            continue
        bank = [
            a.took_s
            for a in seen.answers
            if a.method == "POST"
            and a.path == asked[record.operation]
            and exchange.at <= a.at <= _ended_s(exchange)
        ]
        if bank:
            span = {"least_s": max(bank), "most_s": exchange.elapsed_ms / 1000}
            yield from moments.fact(event, _ended_s(exchange), **span)


def _declared(reason: str) -> str:
    from harness.metrics import CATALOGUE

    known = CATALOGUE["billing_payment_failures_total"].labels["failure_code"]
    return reason if reason in known else "other"


def _sign_ups(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    for record, exchange, status in _exchanges(seen.records):
        if record.operation != "create_customer":
            continue
        result = {_CREATED: "succeeded", _UNAVAILABLE: "unavailable"}.get(status, "refused")
        source = str(record.inputs.get("source"))
        yield from moments.fact(
            *("customer_onboarded", _ended_s(exchange)),
            source=_SOURCES.get(source, source),
            result=result,
            least_s=0.0,
            most_s=exchange.elapsed_ms / 1000,
        )


def _conversions(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    """Give who went to pay as they go, and who to pro: by what clients asked for and was done."""
    sources: dict[str | None, str] = {}
    converted: set[str | None] = set()
    for record in seen.records:
        if record.outcome.kind != "ok" or not record.exchanges:
            continue
        if record.operation == "create_customer":
            source = str(record.inputs.get("source"))
            sources[record.customer] = _SOURCES.get(source, source)
        is_paid = record.operation == "record_usage" and bool(record.outcome.get("charged_minor"))
        is_pro = record.operation == "subscribe"
        is_payg = (is_paid or record.operation == "set_plan") and record.customer not in converted
        if is_pro or is_payg:
            converted.add(record.customer)
            yield from moments.fact(
                *("customer_converted", _ended_s(record.exchanges[-1])),
                stage="pro" if is_pro else "payg",
                source=sources.get(record.customer, "unknown"),
            )


def _webhooks(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    """Give the forged, those that came again, and each try to give an event its effect."""
    yield from _at_the_door(seen, moments)
    # One thread gives effects, so none can have begun before the one before it had ended.
    free_s = min((snapshot.wall_s for snapshot in seen.snapshots), default=0.0)
    results = {"done": "processed", "pending": "failed"}
    for line in (each for each in seen.log if each["event"] == "event_settled"):
        most_s = line["wall_s"] - free_s
        free_s = line["wall_s"]
        yield from moments.fact(
            *("webhook_handled", line["wall_s"]),
            type=line["type"],
            result=results.get(line["state"], line["state"]),
            least_s=0.0,
            most_s=most_s,
        )


def _at_the_door(seen: Seen, moments: _Moments) -> Iterator[Fact]:
    """Give what was forged and what came twice; the ledger has what nobody knows."""
    times: Counter[bytes] = Counter()
    for record, exchange, status in _exchanges(seen.records):
        if record.operation != "receive_webhook":
            continue
        body = exchange.call.body or b""
        if status >= _REFUSED:
            told = {"result": "invalid_signature"}
            yield from moments.fact("webhook_handled", _ended_s(exchange), **told)
            continue
        times[body] += 1
        if times[body] > 1:
            yield from moments.fact("webhook_handled", _ended_s(exchange), result="duplicate")


def _charged_again(seen: Seen) -> Iterator[Fact]:
    """Give the charges that the provider made beyond the first for one fix of one customer.

    They count from when the reconciler wrote each down; one that it never saw, from its own time.
    """
    rows = _query(seen.database_url, _FINDINGS)
    found = {row["subject"]: row["first_seen_at"] for row in rows}
    counts: Counter[tuple[Any, Any]] = Counter()
    for movement in seen.movements:
        fix = movement.metadata.get("fix_id")
        if movement.type == "charge" and movement.state == "succeeded" and fix:
            counts[movement.customer, fix] += 1
            if counts[movement.customer, fix] > 1:
                at_s = found.get(movement.provider_id, movement.at)
                yield Fact("charged_again", float(at_s), {"cause": fix})
