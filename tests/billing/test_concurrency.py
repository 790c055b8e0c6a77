"""Many requests at once, over two processes: every effect happens once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.billing.databases import on_both_databases

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.billing.conftest import Tenant

pytestmark = on_both_databases

AT_ONCE = 50


def at_once(count: int, request: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """Send `count` requests that start together."""
    barrier = threading.Barrier(count)

    def send(number: int) -> httpx.Response:
        barrier.wait(30)
        return request(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


def leave_one_credit(tenant: Tenant) -> None:
    """Use all credits but one."""
    for number in range(tenant.get()["credit_balance"] - 1):
        tenant.fix(f"before-{number}")


@pytest.mark.nightly
def test_fifty_fixes_at_the_last_credit_with_a_card(tenant: Tenant) -> None:
    """One takes the credit, forty-nine are charged, none twice."""
    tenant.add_card()
    leave_one_credit(tenant)
    replies = at_once(AT_ONCE, lambda n: tenant.fix(f"fix-{n}"))
    settled = [
        reply if reply.status_code == 200 else tenant.fix(f"fix-{n}")
        for n, reply in enumerate(replies)
    ]
    assert Counter(r.json().get("outcome") for r in settled) == {"credit": 1, "charged": 49}
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 49 * 2900
    tenant.assert_books_balance()


def test_fifty_fixes_at_the_last_credit_without_a_card(tenant: Tenant) -> None:
    """One takes the credit, forty-nine are refused."""
    leave_one_credit(tenant)
    replies = at_once(AT_ONCE, lambda n: tenant.fix(f"fix-{n}"))
    assert Counter(r.status_code for r in replies) == {200: 1, 402: 49}
    assert tenant.get()["credit_balance"] == 0


def test_one_fix_told_fifty_times_at_once_is_charged_once(tenant: Tenant) -> None:
    """Whoever gets an answer gets the same one, and there is one charge."""
    tenant.add_card()
    tenant.use_up()
    replies = at_once(AT_ONCE, lambda _: tenant.fix("fix-1"))
    answers = [r.json() for r in replies if r.status_code == 200]
    assert answers
    assert all(answer == answers[0] for answer in answers)
    assert {r.status_code for r in replies} <= {200, 503}
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 2900
    tenant.assert_books_balance()


def test_one_idempotency_key_fifty_times_at_once_has_one_effect(tenant: Tenant) -> None:
    """One request runs; the others wait their turn or get its answer."""
    tenant.add_card()
    tenant.use_up()
    replies = at_once(AT_ONCE, lambda _: tenant.fix("fix-1", key="one-key"))
    codes = Counter(r.json().get("code", "ok") for r in replies)
    assert set(codes) <= {"ok", "idempotency_key_in_flight"}
    assert codes["ok"] >= 1
    assert tenant.fix("fix-1", key="one-key").headers["Idempotent-Replayed"] == "true"
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 2900


def test_fifty_subscribes_at_once_make_one_subscription(tenant: Tenant) -> None:
    """One is accepted, the others are told that there is one already."""
    tenant.add_card()
    replies = at_once(AT_ONCE, lambda _: tenant.subscribe())
    codes = Counter(r.json().get("code", "ok") for r in replies)
    assert codes["ok"] == 1
    assert set(codes) <= {"ok", "already_subscribed", "charge_unsettled"}
    tenant.service.drain()
    official = tenant.service.simulator.official()
    listed = official.v1.subscriptions.list({"customer": tenant.stripe_id, "status": "all"})
    assert len(listed.data) == 1
    assert tenant.get()["credit_balance"] == 70
    tenant.assert_books_balance()


def test_ten_first_cards_at_once_earn_once(tenant: Tenant) -> None:
    """Ten cards added together bring the first card's credits a single time."""
    replies = at_once(10, lambda _: tenant.add_card())
    assert [r.status_code for r in replies] == [201] * 10
    assert sum(r.json()["credits_granted"] for r in replies) == 5
    assert sum(c["is_default"] for c in tenant.page("payment-methods")) == 1


def test_one_e_mail_onboarded_many_times_at_once_makes_one_customer(tenant: Tenant) -> None:
    """One sign-up wins; the others are told that the e-mail is taken."""
    body = {"email": f"crowd-{tenant.id}@example.com"}
    with tenant.service.client() as anyone:
        replies = at_once(10, lambda _: anyone.post("/api/v1/customers/onboard", json=body))
    codes = Counter(r.json().get("code", "ok") for r in replies)
    assert codes == {"ok": 1, "email_taken": 9}
    official = tenant.service.simulator.official()
    assert len(official.v1.customers.list({"email": body["email"]}).data) == 1
