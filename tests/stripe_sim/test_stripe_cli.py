"""The official Stripe CLI, unmodified, drives the simulator with its own fixtures.

For each event that `stripe trigger` knows of a family, its steps must be answered so that it can
go on, and the event must be there about an object that is in the state that the event tells of.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stripe_sim.conftest import KEY, Account, Receiver

pytestmark = pytest.mark.program("stripe")

_TIMEOUT_S = 60
_FOO = {"metadata": {"foo": "bar"}}
_TRIAL = {"status": "trialing"}
_PAID = {"status": "paid", "amount_paid": 2_000, "attempted": True}

FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    "charges": {
        "charge.captured": {"captured": True, "amount_captured": 2_000},
        "charge.failed": {"status": "failed", "failure_code": "card_declined", "paid": False},
        "charge.refund.updated": {"object": "refund", "metadata": {"order_id": "6735"}},
        "charge.refunded": {"refunded": True, "amount_refunded": 100},
        "charge.succeeded": {"status": "succeeded", "paid": True, "amount": 100},
    },
    "coupons": {
        "coupon.created": {"percent_off": 20.0, "valid": True},
        "coupon.deleted": {"percent_off": 20.0},
        "coupon.updated": _FOO,
        "customer.discount.created": {"object": "discount", "subscription": None},
        "customer.discount.deleted": {"object": "discount"},
        "customer.discount.updated": {"object": "discount"},
    },
    "customers": {
        "customer.created": {"description": "(created by Stripe CLI)"},
        "customer.deleted": {"object": "customer"},
        "customer.source.created": {"object": "card", "last4": "4242"},
        "customer.source.updated": {"object": "card", **_FOO},
        "customer.subscription.created": {"status": "incomplete"},
        "customer.subscription.deleted": {"status": "canceled"},
        "customer.subscription.trial_will_end": _TRIAL,
        "customer.subscription.updated": {"status": "active", **_FOO},
        "customer.updated": _FOO,
        "subscription.payment_failed": {},
        "subscription.payment_succeeded": {},
    },
    "disputes": {
        "charge.dispute.closed": {"status": "warning_closed"},
        "charge.dispute.created": {"status": "warning_needs_response"},
        "charge.dispute.updated": {"status": "warning_needs_response", **_FOO},
    },
    "invoices": {
        "invoice.created": {"status": "draft", "total": 2_000},
        "invoice.deleted": {"status": "draft"},
        "invoice.finalized": {"status": "open", "amount_due": 2_000},
        "invoice.marked_uncollectible": {"status": "uncollectible"},
        "invoice.paid": _PAID,
        "invoice.payment_action_required": {"status": "open"},
        "invoice.payment_failed": {"status": "open", "attempt_count": 1},
        "invoice.payment_succeeded": _PAID,
        "invoice.sent": {"status": "open", "collection_method": "send_invoice"},
        "invoice.updated": _FOO,
        "invoice.voided": {"status": "void"},
        "invoiceitem.created": {"amount": 2_000, "invoice": None},
        "invoiceitem.deleted": {"amount": 2_000},
    },
    "payments": {
        "payment_intent.amount_capturable_updated": {
            "status": "requires_capture",
            "amount_capturable": 2_000,
        },
        "payment_intent.canceled": {"status": "canceled"},
        "payment_intent.created": {"status": "requires_payment_method"},
        "payment_intent.payment_failed": {"status": "requires_payment_method"},
        "payment_intent.processing": {"status": "processing", "currency": "eur"},
        "payment_intent.requires_action": {"status": "requires_action"},
        "payment_intent.succeeded": {"status": "succeeded", "amount_received": 2_000},
    },
    "payment methods": {
        "payment_method.attached": {"type": "card"},
        "payment_method.detached": {"customer": None},
        "payment_method.updated": _FOO,
    },
    "catalogue": {
        "plan.created": {"object": "plan", "amount": 2_000, "interval": "month"},
        "plan.deleted": {"object": "plan"},
        "plan.updated": {"object": "plan", **_FOO},
        "price.created": {"unit_amount": 1_500, "type": "recurring"},
        "price.updated": _FOO,
        "product.created": {"name": "myproduct", "active": True},
        "product.deleted": {"name": "myproduct"},
        "product.updated": _FOO,
    },
    "setups": {
        "setup_intent.canceled": {"status": "canceled"},
        "setup_intent.created": {"status": "requires_payment_method"},
        "setup_intent.requires_action": {"status": "requires_action"},
        "setup_intent.setup_failed": {"status": "requires_payment_method"},
        "setup_intent.succeeded": {"status": "succeeded"},
    },
    "test clocks": {
        "test_helpers.test_clock.advancing": {"status": "advancing"},
        "test_helpers.test_clock.created": {"status": "ready", "frozen_time": 1_577_836_800},
        "test_helpers.test_clock.deleted": {"frozen_time": 1_577_836_800},
        "test_helpers.test_clock.ready": {"status": "ready", "frozen_time": 1_580_515_200},
    },
}
"""For each event that can be triggered, what is to be found in its object."""

ANOTHER_NAME = {
    "subscription.payment_failed": ("invoice.payment_failed", {"status": "open"}),
    "subscription.payment_succeeded": ("invoice.payment_succeeded", {"status": "paid"}),
}
"""Triggers that are not called after an event, the event that they cause, and its object."""

NOT_BUILT = {"customer.subscription.paused", "payment_intent.partially_funded"}
_PREFIXES = (
    "charge.",
    "coupon.",
    "customer.",
    "invoice.",
    "invoiceitem.",
    "payment_intent.",
    "payment_method.",
    "plan.",
    "price.",
    "product.",
    "setup_intent.",
    "subscription.",
    "test_helpers.",
)


def stripe_cli(home: Path, *arguments: str) -> str:
    """Run the CLI with a home of its own; return what it wrote, failing if it failed."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "STRIPE_CLI_TELEMETRY_OPTOUT": "1",
        "XDG_CONFIG_HOME": str(home),
    }
    ended = subprocess.run(
        ["stripe", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_every_trigger_of_a_family_succeeds(account: Account, tmp_path: Path, family: str) -> None:
    """Each trigger ends well, and its event tells of an object in the right state."""
    for trigger, expected in FAMILIES[family].items():
        before = len(account.event_types())
        stripe_cli(tmp_path, "trigger", trigger, "--api-base", account.url, "--api-key", KEY)
        assert account.settle()["settled"]
        event_type, wanted = ANOTHER_NAME.get(trigger, (trigger, expected))
        events = account.simulator.world.store.all("event")[before:]
        objects = [event["data"]["object"] for event in events if event["type"] == event_type]
        assert objects, (trigger, [event["type"] for event in events])
        assert wanted.items() <= objects[-1].items(), (trigger, objects[-1])


def test_no_trigger_of_the_families_is_left_out(tmp_path: Path) -> None:
    """What this CLI can trigger of the families is in the table, but for what is not built."""
    words = stripe_cli(tmp_path, "trigger", "--help").split()
    offered = {word for word in words if word.startswith(_PREFIXES)}
    tried = {trigger for family in FAMILIES.values() for trigger in family}
    examples = {"payment_intent.created"}
    assert (offered | examples) - NOT_BUILT == tried


def test_the_cli_lists_and_sends_events_again(
    account: Account, open_receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    """``stripe events resend`` reaches all endpoints or one, with the id and body of before."""

    def cli(*arguments: str) -> dict[str, Any]:
        where = ("--api-base", account.url, "--api-key", KEY)
        answer: dict[str, Any] = json.loads(stripe_cli(tmp_path, *arguments, *where))
        return answer

    first, second = open_receiver(), open_receiver()
    ends = [
        cli("webhook_endpoints", "create", f"--url={each.url}", "--enabled-events=*")
        for each in (first, second)
    ]
    made = cli("customers", "create", "--email=cli@example.com", "-d", "metadata[a]=b")
    assert account.settle()["settled"]
    [event] = cli("events", "list", "--type=customer.created")["data"]
    assert event["data"]["object"] == made
    cli("events", "resend", event["id"])
    cli("events", "resend", event["id"], f"--webhook-endpoint={ends[1]['id']}")
    assert account.settle()["settled"]
    assert [len(each.received) for each in (first, second)] == [2, 3]
    sent = [json.loads(body) for _, body in first.received + second.received]
    assert all((each["id"], each["data"]) == (event["id"], event["data"]) for each in sent)
    unknown = cli("events", "resend", "evt_none")["error"]
    assert (unknown["code"], unknown["message"]) == (
        "resource_missing",
        "No such event: 'evt_none'",
    )
