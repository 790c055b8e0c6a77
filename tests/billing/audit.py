"""Holds a service's database against Stripe's: money, credits, events, cards, customers."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulators.billing.storage.database import Database
from simulators.billing.storage.repairs import CardAttempt, Finding
from simulators.billing.storage.tables import (
    CreditTransaction,
    Customer,
    FixAttempt,
    OnboardingAttempt,
    Payment,
    PaymentMethod,
    Subscription,
    WebhookEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from tests.billing.crashing import Load
    from tests.billing.running import Service

_GRANTS = {"trial_signup": 5, "trial_billing_added": 5}


def assert_all_agrees(service: Service, load: Load | None = None) -> None:
    """Raise unless the books, Stripe's journal and what clients were told are one and the same."""
    delivered = _delivered(service)
    service.drain()
    database = Database(service.env["BILLING_DATABASE_URL"])
    try:
        with database.read() as session:
            _assert_nothing_hangs(session)
            _assert_money(session, service)
            _assert_ledger(session)
            _assert_grants(session, service)
            _assert_events(session, delivered)
            _assert_stripe_is_known(session, service)
            if load is not None:
                _assert_promises(session, load)
    finally:
        database.dispose()


def _assert_nothing_hangs(session: Session) -> None:
    assert session.scalars(select(CardAttempt.id)).all() == []
    assert session.scalars(select(Finding.subject).where(Finding.resolved_at.is_(None))).all() == []
    states = set(session.scalars(select(FixAttempt.outcome)))
    assert "pending" not in states
    assert "starting" not in set(session.scalars(select(Subscription.status)))
    removed = PaymentMethod.removed_at.is_not(None), PaymentMethod.detached_at.is_(None)
    assert session.scalars(select(PaymentMethod.id).where(*removed)).all() == []


def _assert_money(session: Session, service: Service) -> None:
    """Every charge at Stripe is one payment here, of the same amount; no fix was charged twice."""
    ours = dict(session.execute(select(Customer.stripe_customer_id, Customer.id)).all())
    entries = service.simulator.http.get("/simulator/journal").raise_for_status().json()["entries"]
    moved = [e for e in entries if e["state"] == "succeeded" and e["customer"] in ours]
    booked = {p.stripe_id: p.amount_minor for p in session.scalars(select(Payment))}
    assert booked == {e["provider_id"]: e["amount_minor"] for e in moved}
    fixes = Counter(
        (e["customer"], e["metadata"]["fix_id"]) for e in moved if e["metadata"].get("fix_id")
    )
    assert [fix for fix, times in fixes.items() if times > 1] == []


def _assert_ledger(session: Session) -> None:
    """Each customer's entries are a chain, and every charged or credited fix is in it once."""
    entries = select(CreditTransaction).order_by(
        CreditTransaction.customer_id, CreditTransaction.sequence
    )
    chains: dict[str, list[CreditTransaction]] = defaultdict(list)
    for entry in session.scalars(entries):
        chains[entry.customer_id].append(entry)
    attempts: dict[str, list[FixAttempt]] = defaultdict(list)
    for attempt in session.scalars(select(FixAttempt)):
        attempts[attempt.customer_id].append(attempt)
    for customer_id, chain in chains.items():
        balance = 0
        for number, entry in enumerate(chain, 1):
            assert (entry.sequence, entry.balance_before) == (number, balance)
            balance += entry.amount
            assert entry.balance_after == balance >= 0
        used = [e.cause for e in chain if e.source == "consumed"]
        paid = [a for a in attempts[customer_id] if a.outcome in {"credit", "charged"}]
        assert sorted(used) == sorted(a.fix_id for a in paid)
        bought = [e for e in chain if e.source == "purchased"]
        assert len(bought) == sum(a.outcome == "charged" for a in paid)


def _assert_grants(session: Session, service: Service) -> None:
    """Each grant names its cause, and every invoice that Stripe holds for paid was granted once."""
    granted: dict[str, int] = {}
    for entry in session.scalars(select(CreditTransaction)):
        if entry.source == "pro_subscription_payment":
            assert entry.cause not in granted
            granted[entry.cause] = entry.amount
        elif entry.source in _GRANTS:
            assert entry.amount == _GRANTS[entry.source]
    ours = set(session.scalars(select(Customer.stripe_customer_id)))
    invoices = _all(service, "invoices", status="paid")
    paid = {i.id for i in invoices if i.customer in ours and i.amount_paid > 0}
    assert set(granted) == paid
    assert set(granted.values()) <= {60}


def _delivered(service: Service) -> set[str]:
    """Give the events that were acknowledged so far; a retry may fall due at any moment."""
    url = f"{service.url}/api/webhooks/stripe"
    told = service.simulator.http.get("/simulator/deliveries").raise_for_status().json()
    return {e["event"] for e in told["deliveries"] if e["url"] == url and e["delivered"]}


def _assert_events(session: Session, delivered: set[str]) -> None:
    """Whatever event was acknowledged is stored, and had its effect."""
    states = dict(session.execute(select(WebhookEvent.id, WebhookEvent.state)).all())
    assert {states.get(event) for event in delivered} <= {"done", "ignored"}


def _assert_stripe_is_known(session: Session, service: Service) -> None:
    """No customer and no card at Stripe that is not here, or the reverse."""
    here = dict(session.execute(select(Customer.id, Customer.stripe_customer_id)).all())
    begun = {
        a.customer_id: a.stripe_customer_id for a in session.scalars(select(OnboardingAttempt))
    }
    for customer in _all(service, "customers"):
        ours = customer.metadata.to_dict().get("customer_id") if customer.metadata else None
        assert customer.id in {here.get(str(ours)), begun.get(str(ours))}, customer.id
    attached = session.scalars(select(PaymentMethod).where(PaymentMethod.removed_at.is_(None)))
    cards: dict[str, set[str]] = defaultdict(set)
    for card in attached:
        cards[card.customer_id].add(card.id)
    official = service.simulator.official().v1
    for customer_id, stripe_id in here.items():
        listed = official.payment_methods.list({"customer": stripe_id, "limit": 100})
        assert {each.id for each in listed.data} == cards[customer_id]


def _assert_promises(session: Session, load: Load) -> None:
    """Hold what clients were told of their fixes against the books."""
    for customer in load.customers:
        mine = FixAttempt.customer_id == customer.id
        outcomes = {
            a.fix_id: a.outcome
            for a in session.scalars(select(FixAttempt).where(mine))
            if a.answer is not None
        }
        for fix_id, answer in customer.answers.items():
            assert outcomes.get(fix_id) == answer["outcome"]


def _all(service: Service, name: str, **params: Any) -> Iterable[Any]:
    listing = getattr(service.simulator.official().v1, name).list
    return listing({"limit": 100, **params}).auto_paging_iter()  # type: ignore[no-any-return]  # untyped there
