"""Brook's own rules: drops that do not keep, lists by the page, keys that stand for one request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.targets.brook.books import PLANS
from tests.targets.brook.desk import PAGE_SIZE
from tests.targets.standing import clock_of, paid_minor, standing_on, with_card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Customer, Session

RIVER, SPRING = PLANS["river"], PLANS["spring"]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Run Brook and its simulator once for these tests."""
    with standing_on(str(Path(__file__).with_name("brook.toml"))) as ground:
        yield ground


@pytest.fixture
def brook(ground: Ground, request: pytest.FixtureRequest) -> Session:
    """Give a test a hold on Brook."""
    return ground.session(request.node.nodeid)


def _ask(ground: Ground, customer: Customer, path: str, **how: Any) -> httpx.Response:
    headers = {"Authorization": f"Token {customer.credential}", **how.pop("headers", {})}
    base = ground.target.profile.target.base_url
    method = "POST" if how else "GET"
    return httpx.request(method, f"{base}{path}", headers=headers, **how)


def test_lists_come_by_the_page_and_are_read_whole(brook: Session, ground: Ground) -> None:
    """Eight entries are three pages, each with a link to the next; the harness reads them all."""
    customer = with_card(brook)
    for number in range(6):
        brook.ok("record_usage", customer=customer, usage_id=f"u{number}", quantity=1)
    first = _ask(ground, customer, f"/entries?customer={customer.id}")
    assert len(first.json()) == PAGE_SIZE
    assert first.links["next"]["url"] != first.links["first"]["url"]
    entries = brook.ok("list_ledger", customer=customer)["items"]
    assert [entry["units"] for entry in entries] == [4, 2, *[-1] * 6]
    assert [entry["balance_after"] for entry in entries] == [4, 6, 5, 4, 3, 2, 1, 0]


def test_no_drop_keeps_into_the_next_month(brook: Session, ground: Ground) -> None:
    """At a renewal whatever is left runs dry, and the month's drops are all that there is."""
    customer = with_card(brook)
    answer = brook.ok("subscribe", customer=customer, plan="river", quantity=1)
    brook.ok("drain", deadline_s=5.0)
    assert brook.ok("get_balance", customer=customer)["units"] == 6 + RIVER.drops
    clock_of(brook, ground).advance(days=32)
    assert brook.ok("get_balance", customer=customer)["units"] == RIVER.drops
    shown = brook.ok("get_subscription", customer=customer, subscription=answer["subscription"])
    assert shown["period_end"] > clock_of(brook, ground).now()
    assert paid_minor(ground, customer) == [RIVER.month_minor] * 2


def test_a_refunded_month_is_owed_in_drops(brook: Session, ground: Ground) -> None:
    """Drops that were used and then refunded come off the next that are granted."""
    customer = with_card(brook)
    brook.ok("subscribe", customer=customer, plan="river", quantity=1)
    brook.ok("record_usage", customer=customer, usage_id="most", quantity=RIVER.drops)
    (payment,) = brook.ok("list_payments", customer=customer)["items"]
    brook.ok("refund_payment", customer=customer, payment=payment["payment"])
    assert brook.ok("get_balance", customer=customer)["units"] == 0
    clock_of(brook, ground).advance(days=32)
    # Twelve were taken back, of which six were there.
    assert brook.ok("get_balance", customer=customer)["units"] == RIVER.drops - 6
    month = RIVER.month_minor
    assert paid_minor(ground, customer) == [month, -month, month]


def test_a_refusal_is_a_problem_document(brook: Session, ground: Ground) -> None:
    """Without drops and card usage is refused as RFC 9457 has it, and changes nothing."""
    brook.ok("create_customer", email=brook.names.email(), name="Ada", source="direct")
    customer = brook.customers[-1]
    body = {"customer": customer.id, "id": "much", "drops": 5}
    refused = _ask(ground, customer, "/usages", json=body)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, refused.json()["status"]) == (402, 402)
    assert refused.json()["type"].endswith("/no-source")
    assert brook.ok("get_balance", customer=customer)["units"] == 4


def test_a_key_stands_for_one_request(brook: Session, ground: Ground) -> None:
    """A request told again under its key is answered alike, and another under it is refused."""
    customer = with_card(brook)
    key = {"Idempotency-Key": "the same"}
    body = {"customer": customer.id, "id": "once", "drops": 7}
    told = [_ask(ground, customer, "/usages", json=body, headers=key) for _ in range(2)]
    assert [reply.json() for reply in told] == [{"charged": 8.5, "left": 0}] * 2
    other = _ask(ground, customer, "/usages", json={**body, "id": "twice"}, headers=key)
    assert (other.status_code, other.json()["type"].endswith("/key-in-use")) == (422, True)
    assert paid_minor(ground, customer) == [SPRING.drop_minor]
