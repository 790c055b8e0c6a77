"""Loom's own rules: no credits, what is woven is billed with the month, and an honest document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.targets.loom.tiers import TIERS
from tests.targets.standing import clock_of, paid_minor, standing_on, with_card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Session

STUDIO = TIERS["studio"]
MONTH_DAYS = 32


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Run Loom and its simulator once for these tests."""
    with standing_on(str(Path(__file__).with_name("loom.toml"))) as ground:
        yield ground


@pytest.fixture
def loom(ground: Ground, request: pytest.FixtureRequest) -> Session:
    """Give a test a hold on Loom."""
    return ground.session(request.node.nodeid)


def test_cloth_is_billed_once_with_the_month_that_follows(loom: Session, ground: Ground) -> None:
    """Three yards, one of them told twice, come to the second invoice and to no other."""
    customer = with_card(loom)
    loom.refused("record_usage", "not_subscribed", customer=customer, usage_id="y0", quantity=1)
    loom.ok("subscribe", customer=customer, plan="studio", quantity=2)
    for usage_id, yards in (("y1", 1), ("y2", 2), ("y1", 1)):
        loom.ok("record_usage", customer=customer, usage_id=usage_id, quantity=yards)
    loom.refused("record_usage", "reference_in_use", customer=customer, usage_id="y1", quantity=5)
    assert loom.ok("get_balance", customer=customer)["owed_minor"] == 3 * STUDIO.yard_minor
    for _ in range(2):
        clock_of(loom, ground).advance(days=MONTH_DAYS)
    seats = 2 * STUDIO.seat_minor
    assert paid_minor(ground, customer) == [seats, seats + 3 * STUDIO.yard_minor, seats]
    assert loom.ok("get_balance", customer=customer)["owed_minor"] == 0


def test_closing_bills_what_was_woven_since(loom: Session, ground: Ground) -> None:
    """A workspace that closes pays its last yards, and its key opens nothing any more."""
    customer = with_card(loom)
    loom.ok("subscribe", customer=customer, plan="mill", quantity=1)
    loom.ok("record_usage", customer=customer, usage_id="last", quantity=4)
    loom.ok("close_customer", customer=customer)
    loom.ok("drain", deadline_s=5.0)
    mill = TIERS["mill"]
    assert paid_minor(ground, customer) == [mill.seat_minor, 4 * mill.yard_minor]
    loom.refused("get_customer", "not_signed_in", customer=customer)


def test_a_refund_is_given_once_for_its_reference(loom: Session, ground: Ground) -> None:
    """Told again a refund is the same; under another reference no more is given than is left."""
    customer = with_card(loom)
    loom.ok("subscribe", customer=customer, plan="studio", quantity=1)
    (payment,) = loom.ok("list_payments", customer=customer)["items"]
    about = {"payment": payment["payment"], "amount_minor": STUDIO.seat_minor - 1}
    for _ in range(2):
        loom.ok("refund_payment", idempotency_key="once", **about)
    loom.refused("refund_payment", "refund_too_large", **about)
    moved = [STUDIO.seat_minor, 1 - STUDIO.seat_minor]
    assert paid_minor(ground, customer) == moved
    listed = loom.ok("list_payments", customer=customer)["items"]
    assert [item["amount_minor"] for item in listed] == moved


def test_the_document_tells_all_that_the_profile_asks(ground: Ground) -> None:
    """Each request of the profile stands in /openapi.json, under a name, with who may make it."""
    document = httpx.get(f"{ground.target.profile.target.base_url}/openapi.json").json()
    told = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path)): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    for name, mapping in ground.target.profile.operations.items():
        method, _, path = mapping.request.partition(" ")
        operation = told[method, re.sub(r"\{\w+\}", "{}", path)]
        assert operation["security"], name
    names = [operation["operationId"] for operation in told.values()]
    assert len(set(names)) == len(names)
    assert set(document["components"]["securitySchemes"]) == {"workspaceKey", "operatorKey"}


def test_strangers_and_unsigned_events_are_refused(loom: Session, ground: Ground) -> None:
    """Another's key finds no workspace, a wrong one opens nothing, no unsigned event is kept."""
    holder, other = with_card(loom), with_card(loom)
    loom.refused("get_balance", "not_found", customer=holder, credential=other.credential)
    loom.refused("get_balance", "not_signed_in", customer=holder, credential="lk_test_guess")
    for body in (b"{}", b"\xff", b"[" * 50_000):
        loom.refused("receive_webhook", payload=body, signature_headers=())
    assert ground.webhook_secret
