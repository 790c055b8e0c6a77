"""What the gauges from the database must say at a moment, from facts alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dashboards.facts import DAY_S
from dashboards.oracles import EXACT, NOBODY, Labels, Oracle, Values, labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dashboards.facts import Fact, Facts, Moment

_SIGNS = {"succeeded": 1, "refunded": -1, "disputed": -1}
_KINDS = {"succeeded": "charge", "refunded": "refund", "disputed": "dispute"}
Level: TypeAlias = "Callable[[Facts, float], Mapping[Labels, float]]"


def _until(facts: Facts, event: str, at_s: float) -> Iterable[Fact]:
    return (fact for fact in facts.of(event) if fact.at_s <= at_s)


def _money(facts: Facts, at_s: float) -> Iterable[tuple[Fact, float]]:
    """Give every movement of money with its sign; a failed payment moves none."""
    for fact in _until(facts, "payment_processed", at_s):
        if sign := _SIGNS.get(fact.fields["status"]):
            yield fact, sign * fact.fields["amount_minor"]


def _units(facts: Facts, event: str, at_s: float) -> float:
    return sum(float(fact.fields["units"]) for fact in _until(facts, event, at_s))


def active_subscriptions(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Count subscriptions placed, less those ended, by plan."""
    living: Counter[Labels] = Counter()
    for event, sign in (("subscription_created", 1), ("subscription_cancelled", -1)):
        for fact in _until(facts, event, at_s):
            living[labels(plan=fact.fields["plan"])] += sign
    return {key: float(count) for key, count in living.items()}


def credits_outstanding(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Add up credits granted, less those used, expired or taken back."""
    gone = _units(facts, "credits_consumed", at_s) + _units(facts, "credits_expired", at_s)
    return {NOBODY: _units(facts, "credits_added", at_s) - gone}


def ledger_cents(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Add up movements of money by kind and currency; what went back is negative."""
    sums: Counter[Labels] = Counter()
    for fact, cents in _money(facts, at_s):
        key = labels(kind=_KINDS[fact.fields["status"]], currency=fact.fields["currency"])
        sums[key] += int(cents)
    return {key: float(cents) for key, cents in sums.items()}


def revenue_24h_cents(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Add up what was charged, less what went back, in the 24 hours before a moment."""
    sums: Counter[Labels] = Counter()
    for fact, cents in _money(facts, at_s):
        if fact.at_s > at_s - DAY_S:
            sums[labels(plan=fact.fields["plan"], currency=fact.fields["currency"])] += int(cents)
    return {key: float(cents) for key, cents in sums.items()}


def reconciliation_difference_cents(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Give what charged fixes and paid invoices came to, less the charges in the books."""
    uses = _until(facts, "usage_tracked", at_s)
    owed = sum(f.fields["amount_minor"] for f in uses if f.fields["outcome"] == "charged")
    owed += sum(f.fields["amount_minor"] for f in _until(facts, "invoice_paid", at_s))
    booked = sum(cents for _, cents in _money(facts, at_s) if cents > 0)
    return {NOBODY: float(owed - booked)}


def duplicate_charges(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Count the charges beyond the first for one fix, in the books or only seen at the provider."""
    fixes = {(_owner(f), f.fields["cause"]) for f in facts.of("usage_tracked")}
    charges = (
        (_owner(fact), fact.fields["cause"]) for fact, cents in _money(facts, at_s) if cents > 0
    )
    counts = Counter(charge for charge in charges if charge in fixes)
    seen = len(list(_until(facts, "charged_again", at_s)))
    return {NOBODY: float(sum(count - 1 for count in counts.values()) + seen)}


def _owner(fact: Fact) -> str:
    """Give whose it is: of those whom nobody watches, `customer` only says that they are others."""
    return str(fact.fields.get("owner", fact.fields["customer"]))


def _owed(facts: Facts, at_s: float) -> list[Fact]:
    stored = _until(facts, "webhook_stored", at_s)
    settled = ((fact, fact.fields.get("settled_at")) for fact in stored)
    return [fact for fact, when in settled if when is None or when > at_s]


def webhook_backlog(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Count the events that are stored and have not had their effect."""
    return {NOBODY: float(len(_owed(facts, at_s)))}


def webhook_oldest_age_seconds(facts: Facts, at_s: float) -> Mapping[Labels, float]:
    """Give the age of the oldest such event, 0 without any."""
    return {NOBODY: float(max((at_s - fact.at_s for fact in _owed(facts, at_s)), default=0.0))}


def database_up(facts: Facts, _: float) -> Mapping[Labels, float]:
    """Give 1 where facts were read from the database, and 0 where nothing can be."""
    return {NOBODY: float(bool(facts.events))}


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a gauge must say, the events that it is read from, and its meaning in a few words."""

    read: Level
    reads: tuple[str, ...]
    meaning: str


LEVELS: Mapping[str, Gauge] = {
    "billing_active_subscriptions": Gauge(
        active_subscriptions,
        ("subscription_created", "subscription_cancelled"),
        "subscriptions placed, less those ended",
    ),
    "billing_credits_outstanding": Gauge(
        credits_outstanding,
        ("credits_added", "credits_consumed", "credits_expired"),
        "credits granted, less those used, expired or taken back",
    ),
    "billing_ledger_cents": Gauge(
        ledger_cents,
        ("payment_processed",),
        "the sum of all movements of money, what went back being negative",
    ),
    "billing_revenue_24h_cents": Gauge(
        revenue_24h_cents,
        ("payment_processed",),
        "charges less refunds and disputes of the 24 hours before",
    ),
    "billing_reconciliation_difference_cents": Gauge(
        reconciliation_difference_cents,
        ("usage_tracked", "invoice_paid", "payment_processed"),
        "what charged fixes and paid invoices came to, less the charges in the books",
    ),
    "billing_duplicate_charges": Gauge(
        duplicate_charges,
        ("payment_processed", "usage_tracked", "charged_again"),
        "charges beyond the first for one fix of one customer, at the provider too",
    ),
    "billing_webhook_backlog": Gauge(
        webhook_backlog,
        ("webhook_stored",),
        "events stored that have not had their effect",
    ),
    "billing_webhook_oldest_age_seconds": Gauge(
        webhook_oldest_age_seconds,
        ("webhook_stored",),
        "the age of the oldest event that has not had its effect",
    ),
    "billing_database_up": Gauge(
        database_up,
        (),
        "1, since the facts were read",
    ),
}
"""Every gauge that is read from the database."""


def level(metric: str, by: Values | None = None, *, scale: float = 1.0) -> Oracle:
    """Make an oracle of a gauge; with `by`, every value of the labels is there, also at 0."""
    gauge = LEVELS[metric]

    def truth(facts: Facts, moment: Moment) -> Mapping[Labels, float]:
        found = dict.fromkeys(_keys(by or {}), 0.0)
        for key, value in gauge.read(facts, moment.end_s).items():
            kept = tuple(pair for pair in key if pair[0] in (by or {}))
            found[kept] = found.get(kept, 0.0) + value
        return {key: value * scale for key, value in found.items()}

    told = f" by {', '.join(by)}" if by else ""
    return Oracle(truth, EXACT, gauge.reads, f"{gauge.meaning}{told}")


def _keys(by: Values) -> list[Labels]:
    keys: list[Labels] = [()]
    for name, values in by.items():
        keys = [(*key, (name, value)) for key in keys for value in values]
    return [tuple(sorted(key)) for key in keys]
