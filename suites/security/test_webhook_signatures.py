"""Stripe's webhook: what is signed rightly is taken once, and nothing else has an effect.

The rules are Stripe's (https://docs.stripe.com/webhooks#verify-manually); what the official Python
verifier raises on odd input is in the simulators' documentation.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness import signing
from harness.target.wire import Reply
from simulators.webhooks.events import Cause, build_event, encode_event
from suites.e2e.steps import add_card, holding, settle, subscribed

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.protocol import Outcome

    Forge = Callable[[bytes, str, int], tuple[bytes, str | None]]

pytestmark = [
    pytest.mark.requires("create_customer", webhooks=True),
    pytest.mark.requirement("BH-5", "CWE-347"),
    pytest.mark.group("webhooks"),
]
STALE_S = 3600
HUGE_BYTES = 3_000_000
AT_ONCE = 6
BROKEN_FROM = 500


@pytest.fixture
def secret(ground: Ground) -> str:
    """Give the endpoint's secret; a test that needs it is skipped where there is none."""
    return ground.webhook_secret or ""


@pytest.fixture
def customer(billing: Session) -> Customer:
    """Give a new customer, whom the events are about."""
    billing.ok("create_customer", email=billing.names.email(), name="Ada", source="direct")
    return billing.customers[-1]


def _paid_invoice(billing: Session, customer: Customer) -> bytes:
    """Build an event that would grant units to a service which believes it."""
    catalog = billing.target.profile.catalog
    pro = catalog.plan("pro")
    amount_minor = pro[1].price_minor if pro else 1000
    invoice = {
        "id": billing.names.new("in"),
        "object": "invoice",
        "customer": customer.provider_customer,
        "status": "paid",
        "paid": True,
        "billing_reason": "subscription_create",
        "currency": catalog.currency,
        "amount_due": amount_minor,
        "amount_paid": amount_minor,
        "total": amount_minor,
    }
    event = build_event(
        "invoice.payment_succeeded",
        invoice,
        event_id=billing.names.new("evt"),
        created=int(time.time()),
        api_version="2025-03-31.basil",
        cause=Cause(),
    )
    return encode_event(event)


def _changed_customer(billing: Session, customer: Customer) -> dict[str, Any]:
    """Build an event that a service may take and has nothing to do about."""
    return build_event(
        "customer.updated",
        {"id": customer.provider_customer, "object": "customer", "metadata": {}},
        event_id=billing.names.new("evt"),
        created=int(time.time()),
        api_version="2025-03-31.basil",
        cause=Cause(),
        previous_attributes={"metadata": {}},
    )


def _deliver(billing: Session, payload: bytes, header: str | None) -> Outcome:
    headers = () if header is None else (("Stripe-Signature", header),)
    return billing.perform("receive_webhook", payload=payload, signature_headers=headers)


def _shown(billing: Session, customer: Customer) -> dict[str, object]:
    """Read everything that a webhook could change."""
    wanted = ("get_customer", "get_balance", "list_ledger", "list_payments")
    mapped = [name for name in wanted if name in billing.target.operations]
    return {name: billing.ok(name, customer=customer).outputs for name in mapped}


def _tampered(payload: bytes, secret: str, now: int) -> tuple[bytes, str]:
    changed = payload.replace(b'"status": "paid"', b'"status": "void"')
    assert changed != payload, "the payload has nothing to tamper with"
    return changed, signing.header(payload, secret, now)


def _not_utf8(payload: bytes, secret: str, now: int) -> tuple[bytes, str]:
    body = payload + b"\xff\xfe"
    return body, signing.header(body, f"{secret}x", now)


def _written_anew(payload: bytes, secret: str, now: int) -> tuple[bytes, str]:
    anew = json.dumps(json.loads(payload), separators=(",", ":")).encode()
    assert anew != payload, "the payload was compact before"
    return anew, signing.header(payload, secret, now)


FORGERIES: dict[str, Forge] = {
    "wrong-secret": lambda body, key, now: (body, signing.wrong_secret(body, key, now)),
    "tampered-body": _tampered,
    "stale": lambda body, key, now: (body, signing.header(body, key, now - STALE_S)),
    "no-header": lambda body, _key, _now: (body, None),
    "empty-header": lambda body, _key, _now: (body, ""),
    "garbled-header": lambda body, _key, _now: (body, "t=soon,v1"),
    "only-v0": lambda body, key, now: (body, signing.only_v0(body, key, now)),
    "shifted-timestamp": lambda body, key, now: (body, signing.shifted_timestamp(body, key, now)),
    "non-ascii-v1": lambda body, key, now: (body, signing.non_ascii(body, key, now)),
    "body-not-utf8": _not_utf8,
    "written-anew": _written_anew,
    "of-an-empty-body": lambda body, key, now: (body, signing.header(b"", key, now)),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_webhook_is_refused_without_effect(
    billing: Session, customer: Customer, secret: str, forge: Forge
) -> None:
    """A webhook that is not rightly signed is refused, and nothing of the customer's changes."""
    before = _shown(billing, customer)
    body, header = forge(_paid_invoice(billing, customer), secret, int(time.time()))
    outcome = _deliver(billing, body, header)
    assert outcome.kind != "ok", "receive_webhook accepted a webhook that is not rightly signed"
    after = _shown(billing, customer)
    assert after == before, f"a refused webhook changed the customer: {before} became {after}"
    assert outcome.kind == "refused", f"receive_webhook was {outcome}, where a refusal is due"


@pytest.mark.requirement("API4:2023", "CWE-400")
def test_a_huge_webhook_is_refused_without_effect(
    billing: Session, customer: Customer, secret: str
) -> None:
    """A body of megabytes that nobody signed is refused, or cut off, and breaks nothing."""
    before = _shown(billing, customer)
    body = _paid_invoice(billing, customer) + b" " * HUGE_BYTES
    header = signing.header(body, f"{secret}x", int(time.time()))
    outcome = _deliver(billing, body, header)
    reply = billing.last_reply
    assert outcome.kind != "ok", "receive_webhook took megabytes that nobody signed"
    assert not isinstance(reply, Reply) or reply.status < BROKEN_FROM, (
        f"receive_webhook breaks over a body of {len(body)} bytes: {outcome}"
    )
    assert _shown(billing, customer) == before, "a huge webhook changed what a customer has"


@pytest.mark.parametrize(
    "header_of",
    [signing.header, signing.two_v1_one_right],
    ids=["one-v1", "two-v1-one-right"],
)
def test_a_rightly_signed_webhook_is_accepted(
    billing: Session,
    customer: Customer,
    secret: str,
    header_of: Callable[[bytes, str, int], str],
) -> None:
    """A webhook with a right signature is accepted, also beside the one of a rolled secret."""
    body = encode_event(_changed_customer(billing, customer))
    outcome = _deliver(billing, body, header_of(body, secret, int(time.time())))
    assert outcome.kind == "ok", (
        f"an event that is rightly signed was {outcome}: what the payment provider tells is lost"
    )


@pytest.mark.requirement("CWE-324", "ASVS 5.0 V13.3.4")
@pytest.mark.parametrize("which", ["current", "previous"])
def test_while_a_secret_is_rolled_both_are_good_and_no_third(
    billing: Session, customer: Customer, secret: str, ground: Ground, which: str
) -> None:
    """An event signed with either of two active secrets alone is taken, with one of neither not."""
    if not ground.previous_webhook_secret:
        pytest.skip("the profile names no [webhooks] previous_secret_env, or it is not set")
    key = secret if which == "current" else ground.previous_webhook_secret
    body, now = encode_event(_changed_customer(billing, customer)), int(time.time())
    outcome = _deliver(billing, body, signing.header(body, f"{key}x", now))
    assert outcome.kind == "refused", (
        f"receive_webhook was {outcome} for an event signed with a secret that is not active"
    )
    outcome = _deliver(billing, body, signing.header(body, key, now))
    assert outcome.kind == "ok", (
        f"an event signed with the {which} secret alone was {outcome}: while secrets are rolled,"
        " what the payment provider tells is lost"
    )


@pytest.mark.requires("add_payment_method", "subscribe", "get_balance", provider=True)
@pytest.mark.requirement("BH-2", "CWE-294")
@pytest.mark.parametrize("kind", ["invoice.paid", "invoice.payment_succeeded"])
def test_an_event_delivered_again_takes_effect_once(
    billing: Session, customer: Customer, secret: str, ground: Ground, kind: str
) -> None:
    """Stripe's own event of a paid invoice, delivered three times more, grants nothing more."""
    if ground.provider is None or customer.provider_customer is None:
        pytest.skip("the target does not say who its customer is at the payment provider")
    add_card(billing, customer)
    subscribed(billing, customer)
    events = ground.provider.events(customer.provider_customer, kind)
    assert events, f"the payment provider shows no {kind} for the paid subscription"
    body = json.dumps(events[0], indent=2).encode()
    for _ in range(3):
        outcome = _deliver(billing, body, signing.header(body, secret, int(time.time())))
        assert outcome.kind == "ok", f"receive_webhook was {outcome}, where acceptance is due"


@pytest.mark.requires("add_payment_method", "subscribe", "get_balance", provider=True)
@pytest.mark.requirement("BH-2", "CWE-362", "ASVS 5.0 V2.3.4", "API10:2023")
def test_an_event_delivered_many_times_at_once_takes_effect_once(
    billing: Session, customer: Customer, secret: str, ground: Ground
) -> None:
    """Stripe's own event of a paid invoice, delivered many times at once, grants nothing more."""
    if ground.provider is None or customer.provider_customer is None:
        pytest.skip("the target does not say who its customer is at the payment provider")
    add_card(billing, customer)
    subscribed(billing, customer)
    before = holding(billing, customer)
    for kind in ("invoice.paid", "invoice.payment_succeeded"):
        events = ground.provider.events(customer.provider_customer, kind)
        assert events, f"the payment provider shows no {kind} for the paid subscription"
        # Another id, and so another event: the invoice is what counts.
        body = json.dumps({**events[0], "id": billing.names.new("evt")}).encode()
        header = signing.header(body, secret, int(time.time()))
        outcomes = billing.together([partial(_deliver, billing, body, header)] * AT_ONCE)
        kinds = {outcome.kind for outcome in outcomes}
        assert kinds == {"ok"}, f"receive_webhook was {kinds} for events that came at once"
    settle(billing, ground)
    after = holding(billing, customer)
    assert after == before, f"events that came at once turned {before} into {after}"


@pytest.mark.requirement("API10:2023", "CWE-20", "ASVS 5.0 V1.5.2")
def test_a_signed_event_of_another_shape_breaks_nothing(
    billing: Session, customer: Customer, secret: str
) -> None:
    """An event that is signed rightly and makes no sense is taken or refused, and no 500."""
    about = {"id": customer.provider_customer, "object": "customer"}
    event = {"id": billing.names.new("evt"), "object": "event", "type": "customer.updated"}
    odd: list[dict[str, object]] = [
        {"data": None},
        {"data": {"object": None}},
        {"data": {"object": []}},
        {"data": {"object": {**about, "id": {"x": 1}}}},
        {"data": {"object": about}, "type": ["invoice.paid"]},
        {"data": {"object": about}, "id": None},
        {"data": {"object": {**about, "amount_paid": "9" * 400}}, "type": "invoice.paid"},
    ]
    told = [json.dumps({**event, **each}).encode() for each in odd]
    for body in (b"[]", b"null", b"{}", b"[" * 3000 + b"]" * 3000, *told):
        _deliver(billing, body, signing.header(body, secret, int(time.time())))
        reply = billing.last_reply
        status = reply.status if isinstance(reply, Reply) else 0
        assert 0 < status < BROKEN_FROM, (
            f"a signed event that makes no sense breaks receive_webhook, and comes again for days:"
            f" {body[-60:]!r} is answered {status}"
        )
