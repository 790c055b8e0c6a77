"""Mistakes with Stripe's events: believed, lost, or taken twice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import stripe
from sqlalchemy import select, update

from simulators.billing import ledger
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import webhooks
from simulators.billing.identifiers import new_id
from simulators.billing.ledger import Posting
from simulators.billing.reconciler import Reconciler
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Invoice, Subscription
from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.subscriptions import SubscriptionCalls
from simulators.billing.worker import inbox
from simulators.billing.worker.effects import HANDLERS
from simulators.billing.worker.loop import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.billing.core import Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.reconciler import Report
    from simulators.billing.settings import Settings
    from simulators.billing.worker.inbox import Event

_payload: ContextVar[Mapping[str, Any] | None] = ContextVar("payload", default=None)
_BELIEVED = frozenset({"customer.subscription.created", "customer.subscription.updated"})


@defect(
    "event-again-grants-again",
    "webhooks",
    breaks=2,
    found_by=(
        "invoices_grant_once",
        "grants_have_one_cause",
        "test_an_event_delivered_again_takes_effect_once",
    ),
)
def event_again_grants_again(overlay: Overlay) -> None:
    """Grant the units of an invoice each time that its `invoice.paid` is delivered."""

    def store(core: Core, event_id: str, kind: str, payload: str, *, is_handled: bool) -> bool:
        is_new: bool = genuine(core, event_id, kind, payload, is_handled=is_handled)
        if kind == "invoice.paid" and not is_new:
            invoice_id = str(json.loads(payload)["data"]["object"]["id"])
            _grant(core, invoice_id, cause=f"{invoice_id}:{new_id('again')}")
        return is_new

    genuine = overlay.replace(inbox, "store", store)


@defect(
    "both-events-of-a-payment-grant",
    "webhooks",
    breaks=2,
    found_by=(
        "invoices_grant_once",
        "test_subscribing_pays_once_and_grants_the_plans_units",
    ),
)
def both_events_of_a_payment_grant(overlay: Overlay) -> None:
    """Grant for `invoice.paid`, and for `invoice.payment_succeeded` again."""

    def succeeded(core: Core, invoice_id: str) -> None:
        genuine(core, invoice_id)
        _grant(core, invoice_id, cause=f"{invoice_id}:payment_succeeded")

    genuine = overlay.replace_item(HANDLERS, "invoice.payment_succeeded", succeeded)


@defect(
    "event-done-before-its-effect",
    "webhooks",
    breaks=5,
    found_by=("books_equal_provider", "test_an_event_whose_effect_fails_is_not_lost"),
)
def event_done_before_its_effect(overlay: Overlay) -> None:
    """Mark an event done when it is taken, so that one whose effect fails is never tried again."""

    def handle(self: Worker, event: Event) -> None:
        inbox.settle(self._core, event, "done")
        genuine(self, event)

    def give_up(core: Core, event: Event, state: str, reason: str) -> None:
        """Do nothing: the event is done as far as the database knows."""

    genuine = overlay.replace(Worker, "_handle", handle)
    overlay.replace(inbox, "try_again", give_up)
    _without_a_second_look(overlay)


@defect(
    "late-event-puts-state-back",
    "webhooks",
    breaks=8,
    found_by=("test_an_old_event_that_comes_late_changes_nothing",),
)
def late_event_puts_state_back(overlay: Overlay) -> None:
    """Believe what an event says of a subscription, however old it is, and revive an ended one."""
    overlay.without_index("uq_subscriptions_living")

    def claim(core: Core) -> Event | None:
        event: Event | None = claimed(core)
        _payload.set(event.object if event and event.type in _BELIEVED else None)
        return event

    def get(self: SubscriptionCalls, stripe_id: str) -> facts.SubscriptionFacts:
        told = _payload.get()
        if told is None or told["id"] != stripe_id:
            fresh: facts.SubscriptionFacts = fetched(self, stripe_id)
            return fresh
        with overlay.database.write() as session:
            revived = update(Subscription).where(Subscription.stripe_id == stripe_id)
            session.execute(revived.values(ended_at=None))
        return facts.subscription(stripe.Subscription.construct_from(dict(told), None))

    claimed = overlay.replace(inbox, "claim", claim)
    fetched = overlay.replace(SubscriptionCalls, "get", get)


@defect(
    "unsigned-accepted-without-a-secret",
    "webhooks",
    breaks=5,
    found_by=("test_a_forged_webhook_is_refused_without_effect",),
)
def unsigned_accepted_without_a_secret(overlay: Overlay) -> None:
    """Skip the signature where no secret is set, in a deployment that lacks the variable."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        deployed = settings.model_copy(update={"stripe_webhook_secrets": ()})
        if deployed.stripe_webhook_secrets:
            genuine(deployed, body, header)

    genuine = overlay.replace(webhooks, "verify", verify)


@defect(
    "missing-signature-falls-through",
    "webhooks",
    breaks=5,
    found_by=("test_a_forged_webhook_is_refused_without_effect",),
)
def missing_signature_falls_through(overlay: Overlay) -> None:
    """Check the signature if there is one, and go on to parsing if there is none."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        if header:
            genuine(settings, body, header)

    genuine = overlay.replace(webhooks, "verify", verify)


@defect(
    "replay-past-the-tolerance",
    "webhooks",
    breaks=5,
    found_by=("test_a_forged_webhook_is_refused_without_effect",),
)
def replay_past_the_tolerance(overlay: Overlay) -> None:
    """Check the signature, and not how old it is."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        genuine(settings.model_copy(update={"webhook_tolerance_s": None}), body, header)

    genuine = overlay.replace(webhooks, "verify", verify)


@defect(
    "body-written-anew-before-the-check",
    "webhooks",
    breaks=5,
    found_by=(
        "test_a_rightly_signed_webhook_is_accepted",
        "test_an_event_delivered_again_takes_effect_once",
    ),
)
def body_written_anew_before_the_check(overlay: Overlay) -> None:
    """Check the signature over the parsed and re-serialised body, which Stripe never signed."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        try:
            body = json.dumps(json.loads(body), separators=(",", ":")).encode()
        finally:
            genuine(settings, body, header)

    genuine = overlay.replace(webhooks, "verify", verify)


@defect(
    "acknowledged-before-it-is-stored",
    "webhooks",
    breaks=5,
    found_by=("test_an_acknowledged_webhook_outlives_a_crash",),
)
def acknowledged_before_it_is_stored(overlay: Overlay) -> None:
    """Answer 200 and store the event afterwards, so that a crash in between loses it."""
    pool = ThreadPoolExecutor(1, "store")

    def store(core: Core, event_id: str, kind: str, payload: str, *, is_handled: bool) -> bool:
        pool.submit(genuine, core, event_id, kind, payload, is_handled=is_handled)
        return True

    genuine = overlay.replace(inbox, "store", store)
    _without_a_second_look(overlay)


@defect(
    "event-before-its-customer-dropped",
    "webhooks",
    breaks=5,
    found_by=("test_an_event_that_comes_before_its_customer_is_kept",),
)
def event_before_its_customer_dropped(overlay: Overlay) -> None:
    """Ignore an event whose customer it does not find, though its own write is still to come."""

    def try_again(core: Core, event: Event, state: str, reason: str) -> None:
        if state == "waiting":
            inbox.settle(core, event, "ignored", reason)
        else:
            genuine(core, event, state, reason)

    genuine = overlay.replace(inbox, "try_again", try_again)


@defect(
    "refund-keeps-the-credits",
    "webhooks",
    breaks=2,
    found_by=("test_a_refund_takes_back_what_it_had_bought",),
)
def refund_keeps_the_credits(overlay: Overlay) -> None:
    """Book the money of a refund or dispute, and leave the credits that it had bought."""

    def take_back(*_: object, **__: object) -> None:
        """Leave them."""

    overlay.replace(ledger, "take_back", take_back)


@defect(
    "dispute-ignored",
    "webhooks",
    breaks=3,
    found_by=("books_equal_provider", "test_a_dispute_is_booked_and_takes_back_what_it_had_bought"),
)
def dispute_ignored(overlay: Overlay) -> None:
    """Acknowledge `charge.dispute.created` and do nothing about it."""

    def ignore(_core: Core, _dispute_id: str) -> None:
        """Leave money and credits as they are."""

    for kind in ("created", "funds_withdrawn", "funds_reinstated"):
        overlay.replace_item(HANDLERS, f"charge.dispute.{kind}", ignore)


class _OnlyKnown(dict[str, Any]):
    """A table of handlers whose reader never thought of another type."""

    def __contains__(self, kind: object) -> bool:
        if not super().__contains__(kind):
            raise NotImplementedError(f"no handler for {kind}")
        return True


@defect(
    "unknown-event-type-answers-500",
    "webhooks",
    breaks=5,
    found_by=("test_a_rightly_signed_webhook_is_accepted",),
)
def unknown_event_type_answers_500(overlay: Overlay) -> None:
    """Break over an event type that it does not know, which Stripe then sends again for days."""
    overlay.replace(webhooks, "HANDLERS", _OnlyKnown(HANDLERS))


def _without_a_second_look(overlay: Overlay) -> None:
    """Have no reconciler that fetches what was lost: most services have none."""

    def _what_stripe_did(_: Reconciler, _report: Report) -> None:
        """Look at nothing."""

    overlay.replace(Reconciler, "_what_stripe_did", _what_stripe_did)


def _grant(core: Core, invoice_id: str, *, cause: str) -> None:
    """Grant what an invoice granted before, for another cause."""
    with core.database.write() as session:
        invoice = session.scalar(select(Invoice).where(Invoice.id == invoice_id))
        if invoice is None or not invoice.credits_granted:
            return
        locked_customer(session, invoice.customer_id)
        posting = Posting(
            invoice.credits_granted, "pro_subscription_payment", cause, {"invoice": invoice_id}
        )
        if not ledger.has_entry(session, invoice.customer_id, posting.source, cause):
            ledger.append(session, invoice.customer_id, posting, at=core.clock.now())


@defect(
    "undelivered-event-is-never-looked-for",
    "webhooks",
    breaks=3,
    found_by=("test_what_is_never_delivered_is_found_at_the_provider",),
)
def undelivered_event_is_never_looked_for(overlay: Overlay) -> None:
    """Wait for events to come, and compare nothing with Stripe."""
    _without_a_second_look(overlay)


@defect(
    "signed-nonsense-answers-500",
    "webhooks",
    breaks=5,
    found_by=("test_a_signed_event_of_another_shape_breaks_nothing",),
)
def signed_nonsense_answers_500(overlay: Overlay) -> None:
    """Take whatever is signed for an event, and break over one without the usual fields."""

    def event(body: bytes) -> dict[str, Any]:
        found = json.loads(body)
        return {**found, "id": found["data"]["object"]["id"] and found["id"]}

    overlay.replace(webhooks, "_event", event)
