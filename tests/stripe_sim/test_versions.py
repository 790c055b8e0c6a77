"""API versions: the newest conforms to the installed package, the oldest to a list of differences.

`GONE` and `CAME` are what the annotations of Stripe's Python package 10.12.0 (``2024-06-20``)
have more and less than those of the installed one, for the objects that there are here; see
docs/adr/0018.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stripe_sim.breaking import pay
from tests.stripe_sim.conformance import problems
from tests.stripe_sim.conftest import DAY_S, Account, Receiver
from tests.stripe_sim.stories import fail_from_now_on, item_of, subscribe

OLDEST, NEWEST = "2024-06-20", "2026-10-28.endive"

Kind = type | tuple[type, ...]
NONE = type(None)
REF = (str, dict, NONE)
GONE: dict[str, dict[str, Kind]] = {
    "charge": {"invoice": REF},
    "discount": {"coupon": dict},
    "invoice": {
        "application_fee_amount": NONE,
        "charge": REF,
        "discount": (dict, NONE),
        "paid": bool,
        "paid_out_of_band": bool,
        "payment_intent": REF,
        "quote": NONE,
        "subscription": REF,
        "subscription_details": dict,
        "tax": (int, NONE),
        "total_tax_amounts": list,
        "transfer_data": NONE,
    },
    "invoiceitem": {
        "plan": (dict, NONE),
        "price": (dict, NONE),
        "subscription": REF,
        "subscription_item": str,
        "unit_amount": (int, NONE),
        "unit_amount_decimal": (str, NONE),
    },
    "line_item": {
        "amount_excluding_tax": (int, NONE),
        "invoice_item": REF,
        "plan": (dict, NONE),
        "price": (dict, NONE),
        "proration": bool,
        "proration_details": (dict, NONE),
        "subscription_item": (str, NONE),
        "tax_amounts": list,
        "tax_rates": list,
        "type": str,
        "unit_amount_excluding_tax": (str, NONE),
    },
    "payment_intent": {"invoice": REF},
    "plan": {"aggregate_usage": NONE},
    "subscription": {
        "current_period_end": int,
        "current_period_start": int,
        "discount": (dict, NONE),
    },
}
CAME = {
    "balance_transaction": ["balance_type"],
    "customer": ["business_name", "customer_account", "individual_name"],
    "discount": ["customer_account", "source"],
    "dispute": ["enhanced_eligibility_types"],
    "invoice": [
        "amount_overpaid",
        "customer_account",
        "parent",
        "total_pretax_credit_amounts",
        "total_taxes",
    ],
    "invoiceitem": ["net_amount", "parent", "pricing", "proration_details", "quantity_decimal"],
    "line_item": ["parent", "pretax_credit_amounts", "pricing", "quantity_decimal", "subtotal"],
    "payment_intent": ["customer_account", "excluded_payment_method_types"],
    "setup_intent": ["customer_account", "excluded_payment_method_types"],
    "subscription": ["billing_mode", "billing_schedules", "customer_account"],
    "subscription_item": ["current_period_end", "current_period_start"],
}
CAME["line_item"].append("taxes")
CLASSES = {
    "charge": "Charge",
    "discount": "Discount",
    "invoice": "Invoice",
    "invoiceitem": "InvoiceItem",
    "line_item": "InvoiceLineItem",
    "payment_intent": "PaymentIntent",
    "plan": "Plan",
    "subscription": "Subscription",
    "subscription_item": "SubscriptionItem",
}
NAMES = {cls: kind for kind, cls in CLASSES.items()}


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside some JSON."""
    if isinstance(value, dict):
        if isinstance(value.get("object"), str) and not value.get("deleted"):
            yield value
        for each in value.values():
            yield from objects_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects_in(each)


def with_sources(shown: Any) -> Any:
    """Return JSON of before clover with its discounts as they are shown now."""
    renewed = json.loads(json.dumps(shown))
    for obj in objects_in(renewed):
        if obj["object"] == "discount":
            coupon = obj.pop("coupon")
            obj["source"] = {"coupon": coupon["id"], "type": "coupon"}
    return renewed


def old_problems(shown: Any) -> list[str]:
    """Return what of some JSON does not have the oldest version's shape."""
    found = []
    for obj in objects_in(shown):
        kind = obj["object"]
        found += [f"{kind}.{name}: not yet" for name in CAME.get(kind, []) if name in obj]
        for name, expected in GONE.get(kind, {}).items():
            if name not in obj and name != "subscription_item":
                found.append(f"{kind}.{name}: missing")
            elif name in obj and not isinstance(obj[name], expected):
                found.append(f"{kind}.{name}: {obj[name]!r:.40}")
    return found + [each for each in problems(with_sources(shown)) if not _documented(each)]


def _documented(problem: str) -> bool:
    """Tell whether a deviation from the newest version is one of the differences."""
    unknown = re.search(r"\.(\w+): unknown to (\w+)(?:\.Recurring)?$", problem)
    if unknown:
        name, cls = unknown.groups()
        return name in GONE.get(NAMES.get(cls, ""), {}) or (name, cls) == (
            "aggregate_usage",
            "Price",
        )
    missing = re.search(r"\.(\w+): missing$", problem)
    return missing is not None and any(missing[1] in names for names in CAME.values())


@pytest.fixture
def story(account: Account) -> dict[str, str]:
    """Let much happen to one customer; return the ids of what came of it, by kind."""
    customer = account.customer()
    price, better = account.price(), account.price(2_000)
    account.stripe.invoice_items.create(
        {"customer": customer, "amount": 300, "currency": "usd", "description": "extra"}
    )
    made = subscribe(account, customer, price, quantity=2)
    item = item_of(made)
    account.advance(account.now + 10 * DAY_S)
    items: Any = [{"id": item.id, "price": better}]
    account.stripe.subscriptions.update(made.id, {"items": items})
    account.stripe.refunds.create({"charge": account.stripe.charges.list().data[0].id})
    account.advance(item.current_period_end + DAY_S)
    fail_from_now_on(account, customer)
    account.advance(account.now + 31 * DAY_S)
    latest = account.stripe.subscriptions.retrieve(made.id).latest_invoice
    charge = account.stripe.charges.list().data[-1]
    return {
        "customer": customer,
        "subscription": made.id,
        "latest": str(latest),
        "invoice": account.stripe.invoices.list({"subscription": made.id}).data[-1].id,
        "charge": charge.id,
        "payment_intent": str(charge.payment_intent),
    }


PATHS = (
    "charges",
    "customers",
    "invoiceitems",
    "invoices",
    "payment_intents",
    "plans",
    "prices",
    "products",
    "refunds",
    "subscriptions",
    "balance_transactions",
)


def test_every_object_has_the_oldest_versions_shape(
    account: Account, story: dict[str, str]
) -> None:
    """All lists, in the oldest version: no field too many, none too few, types as documented."""
    assert story
    for path in PATHS:
        answer = account.raw.get(f"/v1/{path}?limit=100", headers={"Stripe-Version": OLDEST})
        assert answer.headers["stripe-version"] == OLDEST
        shown = answer.json()
        assert shown.get("data"), path
        assert old_problems(shown) == []


def test_the_old_fields_say_what_the_new_ones_do(account: Account, story: dict[str, str]) -> None:
    """Periods, and what ties charge, intent, invoice and subscription together."""
    old = {"Stripe-Version": OLDEST}
    subscription = account.raw.get(f"/v1/subscriptions/{story['subscription']}", headers=old).json()
    item = account.raw.get(f"/v1/subscriptions/{story['subscription']}").json()["items"]["data"][0]
    for name in ("current_period_start", "current_period_end"):
        assert subscription[name] == item[name]
    invoice = account.raw.get(f"/v1/invoices/{story['invoice']}", headers=old).json()
    assert (invoice["paid"], invoice["subscription"]) == (True, story["subscription"])
    assert (invoice["charge"], invoice["payment_intent"]) == (
        story["charge"],
        story["payment_intent"],
    )
    unpaid = account.raw.get(f"/v1/invoices/{story['latest']}", headers=old).json()
    assert unpaid["paid"] is False
    lines = unpaid["lines"]["data"]
    assert {line["type"] for line in lines} <= {"invoiceitem", "subscription"}
    assert all(line["price"]["object"] == "price" for line in lines)
    for path in ("charges", "payment_intents"):
        found = account.raw.get(f"/v1/{path}/{story[path[:-1]]}", headers=old).json()
        assert found["invoice"] == story["invoice"]


def test_old_fields_can_be_expanded(account: Account, story: dict[str, str]) -> None:
    """``latest_invoice.payment_intent`` and its kin work in the old version, and only there."""
    path = f"/v1/subscriptions/{story['subscription']}"
    params = {"expand[]": "latest_invoice.payment_intent.invoice"}
    old = account.raw.get(path, params=params, headers={"Stripe-Version": OLDEST})
    latest = old.json()["latest_invoice"]
    intent = latest["payment_intent"]
    assert [old_problems(each) for each in (latest, intent, intent["invoice"])] == [[], [], []]
    assert intent["invoice"]["id"] == story["latest"]
    new = account.raw.get(path, params=params)
    assert (new.status_code, new.json()["error"]["param"]) == (400, "expand")


def test_events_have_the_version_of_their_endpoint(
    account: Account, open_receiver: Callable[..., Receiver]
) -> None:
    """One event, two endpoints, two shapes, with previous attributes to match."""
    receivers = {version: open_receiver() for version in (OLDEST, NEWEST, "2025-08-27.basil")}
    for version, receiver in receivers.items():
        params: Any = {"url": receiver.url, "enabled_events": ["*"], "api_version": version}
        account.stripe.webhook_endpoints.create(params)
    made = subscribe(account, account.customer(), account.price())
    account.advance(item_of(made).current_period_end + DAY_S)
    events = {
        version: {e["id"]: e for e in (json.loads(body) for _, body in receiver.received)}
        for version, receiver in receivers.items()
    }
    old, new, basil = (events[v] for v in (OLDEST, NEWEST, "2025-08-27.basil"))
    assert old.keys() == new.keys() == basil.keys()
    assert {e["api_version"] for e in old.values()} == {OLDEST}
    assert [p for e in new.values() for p in problems(e)] == []
    assert [p for e in old.values() for p in old_problems(e)] == []
    assert all(basil[name]["data"] == new[name]["data"] for name in new)
    [renewed] = [
        e for e in old.values() if "current_period_end" in e["data"].get("previous_attributes", {})
    ]
    assert (
        renewed["data"]["previous_attributes"]["current_period_end"]
        == (renewed["data"]["object"]["current_period_start"])
    )
    twin = new[renewed["id"]]["data"]["previous_attributes"]
    assert "current_period_end" not in twin
    assert "items" in twin


def test_an_event_shows_the_moment_in_every_version(
    account: Account, open_receiver: Callable[..., Receiver]
) -> None:
    """A draft has no payment intent yet, also in the old shape that is made of it."""
    receiver = open_receiver()
    params: Any = {"url": receiver.url, "enabled_events": ["*"], "api_version": OLDEST}
    account.stripe.webhook_endpoints.create(params)
    subscribe(account, account.customer(), account.price())
    account.settle()
    by_type = {
        event["type"]: event["data"]["object"]
        for event in (json.loads(body) for _, body in receiver.received)
    }
    assert by_type["invoice.created"]["payment_intent"] is None
    assert by_type["invoice.finalized"]["payment_intent"].startswith("pi_")
    assert by_type["invoice.finalized"]["charge"] is None
    assert by_type["invoice.paid"]["charge"].startswith("ch_")


def test_errors_have_the_versions_shape(account: Account) -> None:
    """The intent inside a decline has an old caller's fields."""
    form = {"amount": "900", "currency": "usd", "confirm": "true"}
    answer = account.raw.post(
        "/v1/payment_intents",
        data=form | {"payment_method": "pm_card_chargeDeclined"},
        headers={"Stripe-Version": OLDEST},
    )
    assert answer.status_code == 402
    assert "invoice" in answer.json()["error"]["payment_intent"]


@pytest.mark.parametrize("version", ["2011-01-01", "2024-04-10", "nonsense", "2099-01-01.zzz"])
def test_unknown_versions_are_refused(account: Account, version: str) -> None:
    """A version that is not supported is a 400, of a request and of an endpoint alike."""
    answer = account.raw.get("/v1/customers", headers={"Stripe-Version": version})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert version in answer.json()["error"]["message"]
    form = {"url": "https://example.com", "enabled_events[]": "*", "api_version": version}
    made = account.raw.post("/v1/webhook_endpoints", data=form)
    assert (made.status_code, made.json()["error"]["param"]) == (400, "api_version")


def test_the_accounts_version_can_be_old(
    open_account: Callable[..., Account], open_receiver: Callable[..., Receiver]
) -> None:
    """Then requests and endpoints that name none are served in it, and others in their own."""
    from simulators.stripe.settings import Settings

    account = open_account(Settings(seed=1, running=False, api_version=OLDEST))
    receiver, modern = open_receiver(), open_receiver()
    for each, version in ((receiver, {}), (modern, {"api_version": NEWEST})):
        params: Any = {"url": each.url, "enabled_events": ["charge.succeeded"], **version}
        account.stripe.webhook_endpoints.create(params)
    pay(account)
    account.settle()
    old, new = (json.loads(each.received[0][1]) for each in (receiver, modern))
    assert old_problems(old) == []
    assert problems(new) == []
    charge = account.raw.get("/v1/charges").json()["data"][0]
    assert "invoice" in charge
    own = account.raw.get(f"/v1/charges/{charge['id']}", headers={"Stripe-Version": NEWEST})
    assert "invoice" not in own.json()
    store = account.simulator.world.store
    for event in store.all("event"):
        store.delete(event)  # they have the old shape, which is not what every test looks for
