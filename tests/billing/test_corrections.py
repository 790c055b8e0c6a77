"""Refunds and adjustments: for the operator alone, never beyond what is there, once for a key."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from simulators.billing.idempotency import Request, Slot, open_slot
from simulators.billing.operations import corrections
from simulators.billing.problems import Problem
from tests.billing.test_ledger_database import fill

if TYPE_CHECKING:
    import httpx

    from tests.billing.conftest import Bench, Tenant


@pytest.fixture
def charged(tenant: Tenant) -> Tenant:
    """Make a customer who paid 2900 for one fix and has no credits."""
    tenant.add_card()
    tenant.use_up()
    assert tenant.fix("fix-paid").json()["charged_minor"] == 2900
    return tenant


def refund(tenant: Tenant, body: object = None, key: str | None = None) -> httpx.Response:
    """Refund the customer's charge as the operator."""
    (charge,) = [p for p in tenant.page("payments") if p["kind"] == "charge"]
    headers = {"Idempotency-Key": key} if key else {}
    with tenant.service.operator as operator:
        url = f"/api/v1/operator/payments/{charge['id']}/refund"
        return operator.post(url, json=body, headers=headers)


def adjust(tenant: Tenant, body: object, key: str | None = None) -> httpx.Response:
    """Adjust the customer's credits as the operator."""
    headers = {"Idempotency-Key": key} if key else {}
    with tenant.service.operator as operator:
        url = f"/api/v1/operator/customers/{tenant.id}/adjustments"
        return operator.post(url, json=body, headers=headers)


def test_a_whole_refund_is_in_every_book(charged: Tenant) -> None:
    """The money goes back at Stripe, in the payments, and the credit it bought is owed."""
    told = refund(charged)
    assert told.status_code == 201
    body = told.json()
    assert (body["amount_minor"], body["remaining_minor"], body["owed_credits"]) == (2900, 0, 1)
    row, charge = charged.page("payments")
    assert (row["id"], row["amount_minor"], row["parent_id"]) == (
        body["refund_id"],
        -2900,
        charge["id"],
    )
    assert charge["state"] == "refunded"
    charged.service.drain()
    assert len(charged.page("payments")) == 2
    charged.assert_books_balance()


def test_parts_add_up_to_the_charge_and_no_further(charged: Tenant) -> None:
    """Two parts go back, then only what is left does, and then nothing."""
    assert refund(charged, {"amount_minor": 1000}).json()["remaining_minor"] == 1900
    too_much = refund(charged, {"amount_minor": 1901})
    assert (too_much.status_code, too_much.json()["code"]) == (422, "refund_exceeds_charge")
    assert refund(charged).json()["amount_minor"] == 1900
    nothing = refund(charged)
    assert (nothing.status_code, nothing.json()["code"]) == (422, "refund_exceeds_charge")
    charged.service.drain()
    assert sum(p["amount_minor"] for p in charged.page("payments")) == 0
    charged.assert_books_balance()


@pytest.mark.parametrize("amount", [0, -1, 2901, "100", 1.5, True, 10**30])
def test_no_other_amount_is_refunded(charged: Tenant, amount: object) -> None:
    """Zero, negative, too much and what is no integer are refused, and change nothing."""
    before = charged.snapshot()
    assert refund(charged, {"amount_minor": amount}).status_code == 422
    assert charged.snapshot() == before


def test_the_same_key_refunds_once(charged: Tenant) -> None:
    """A repeated refund gets the first answer; another key is another refund."""
    first = refund(charged, {"amount_minor": 100}, key="r")
    again = refund(charged, {"amount_minor": 100}, key="r")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert refund(charged, {"amount_minor": 100}, key="s").json()["remaining_minor"] == 2700
    charged.assert_books_balance()


def test_concurrent_refunds_never_give_back_more_than_was_paid(charged: Tenant) -> None:
    """Of four refunds of a half at once two go through."""
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: refund(charged, {"amount_minor": 1450}), range(4)))
    assert sorted(r.status_code for r in replies) == [201, 201, 422, 422]
    charged.service.drain()
    assert sum(p["amount_minor"] for p in charged.page("payments")) == 0
    charged.assert_books_balance()


def test_a_refund_that_was_cut_off_is_found_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an answer that was lost, the same key books the refund that is there, and no second."""
    customer_id = bench.customer()
    with bench.core.database.write() as session:
        session.execute(
            text(
                "INSERT INTO payments (id, customer_id, kind, stripe_id, amount_minor, currency,"
                " cause, plan, created_at) VALUES ('pay_r', :c, 'charge', 'ch_r', 2900, 'usd',"
                " 'fix-r', 'payg', 0)"
            ),
            {"c": customer_id},
        )
    made = refunds_at_stripe(bench, monkeypatch)
    charge = corrections.charge_of(bench.core, "pay_r")
    asked = Request(customer_id, "POST", "/refund", "key", b"{}")
    for expected in ("refund_unsettled", None):
        slot = open_slot(bench.core, asked)
        assert isinstance(slot, Slot)
        if expected:
            with pytest.raises(Problem) as unsettled:
                corrections.refund(bench.core, charge, None, slot)
            assert unsettled.value.code == expected
            slot.release()
        else:
            answer = corrections.refund(bench.core, charge, None, slot)
            assert answer.body["amount_minor"] == 2900
    assert len(made) == 1
    assert sum(p.amount_minor for p in bench.payments(customer_id)) == 0


def refunds_at_stripe(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let the fake Stripe make refunds, and lose the answer to the first."""
    made: list[dict[str, Any]] = []
    answer = bench.stripe._answer

    def with_refunds(verb: str, path: str, params: dict[str, str]) -> tuple[int, bytes]:
        if path != "/v1/refunds":
            return answer(verb, path, params)
        return bench_refund(made, verb, params)

    monkeypatch.setattr(bench.stripe, "_answer", with_refunds)
    return made


def bench_refund(
    made: list[dict[str, Any]], verb: str, params: dict[str, str]
) -> tuple[int, bytes]:
    """Answer like Stripe's refunds; the first one made answers with a 500 all the same."""
    if verb == "GET":
        page = {"object": "list", "data": made, "has_more": False, "url": "/v1/refunds"}
        return 200, json.dumps(page).encode()
    made.append(
        {
            "id": "re_1",
            "object": "refund",
            "amount": int(params["amount"]),
            "currency": "usd",
            "status": "succeeded",
            "metadata": {"ledger_id": params["metadata[ledger_id]"]},
        }
    )
    return 500, b"{}"


def test_the_database_refuses_a_refund_beyond_its_charge(bench: Bench) -> None:
    """Whatever code would write it, refunds of a charge never add up to more than the charge."""
    customer_id = bench.customer(card=False, credits_left=5)
    fill(bench, customer_id)
    insert = text(
        "INSERT INTO payments (id, customer_id, kind, stripe_id, parent_id, amount_minor,"
        " currency, cause, plan, created_at)"
        " VALUES (:id, :c, 'refund', :id, 'pay_1', :a, 'usd', 'f', 'payg', 0)"
    )
    with bench.core.database.write() as session:
        session.execute(insert, {"id": "re_a", "c": customer_id, "a": -3})
    with (
        pytest.raises(IntegrityError, match="refunds exceed their charge"),
        bench.core.database.write() as session,
    ):
        session.execute(insert, {"id": "re_b", "c": customer_id, "a": -3})
    with bench.core.database.write() as session:
        session.execute(insert, {"id": "re_c", "c": customer_id, "a": -2})


def test_only_a_charge_can_be_refunded(charged: Tenant) -> None:
    """A refund's own id, and nobody's, is a 404."""
    refund_id = refund(charged).json()["refund_id"]
    with charged.service.operator as operator:
        for payment in (refund_id, "pay_nobody"):
            reply = operator.post(f"/api/v1/operator/payments/{payment}/refund")
            assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["payments/{pay}/refund", "customers/{id}/adjustments"])
def test_a_customer_is_no_operator(charged: Tenant, path: str) -> None:
    """A customer's key opens neither route, not even for what is theirs, and learns nothing."""
    before = charged.snapshot()
    body = {"units": 100, "reason": "because"}
    own = path.format(pay=charged.page("payments")[0]["id"], id=charged.id)
    nobodys = path.format(pay="pay_nobody", id="cust_nobody")
    for place in (own, nobodys):
        told = charged.post(f"/api/v1/operator/{place}", body if "adjust" in path else None)
        assert (told.status_code, told.json()["code"]) == (403, "operator_key_required")
    assert charged.snapshot() == before
    with charged.service.client() as anyone:
        assert anyone.post(f"/api/v1/operator/{own}", json=body).status_code == 401


def test_credits_are_added_and_taken_for_a_reason(tenant: Tenant) -> None:
    """Each adjustment is an entry of its own with its reason and the balance after it."""
    added = adjust(tenant, {"units": 7, "reason": "made good"}).json()
    assert (added["amount"], added["balance_after"], added["source"]) == (7, 12, "adjustment")
    assert adjust(tenant, {"units": -12, "reason": "taken back"}).json()["balance_after"] == 0
    newest, before, *_ = tenant.page("transactions")
    assert [newest["metadata"], before["metadata"]] == [
        {"reason": "taken back"},
        {"reason": "made good"},
    ]
    tenant.assert_books_balance()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"units": -6, "reason": "r"}, "insufficient_credits"),
        ({"units": 0, "reason": "r"}, "validation_failed"),
        ({"units": 1}, "validation_failed"),
        ({"units": 1, "reason": ""}, "validation_failed"),
        ({"units": 1.5, "reason": "r"}, "validation_failed"),
        ({"units": 10**30, "reason": "r"}, "validation_failed"),
        ({"units": 1, "reason": "r", "plan": "pro"}, "validation_failed"),
    ],
)
def test_no_other_adjustment_is_made(tenant: Tenant, body: object, code: str) -> None:
    """More than is there, nothing, or no reason: refused, and the ledger is as it was."""
    before = tenant.snapshot()
    refused = adjust(tenant, body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert tenant.snapshot() == before


def test_the_same_key_adjusts_once(tenant: Tenant) -> None:
    """A repeated adjustment gets the first answer; without a key each is one of its own."""
    body = {"units": 1, "reason": "r"}
    first = adjust(tenant, body, key="a")
    assert adjust(tenant, body, key="a").json() == first.json()
    assert adjust(tenant, {"units": 2, "reason": "r"}, key="a").status_code == 422
    adjust(tenant, body)
    assert tenant.get()["credit_balance"] == 7


def test_a_closed_account_is_not_adjusted(tenant: Tenant) -> None:
    """Nothing is added to who has left."""
    tenant.http.delete(tenant.path)
    refused = adjust(tenant, {"units": 1, "reason": "r"})
    assert (refused.status_code, refused.json()["code"]) == (409, "account_closed")


def test_of_concurrent_takings_no_more_is_taken_than_is_there(tenant: Tenant) -> None:
    """Of eight takings of two from five credits two succeed."""
    body = {"units": -2, "reason": "r"}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: adjust(tenant, body).status_code, range(8)))
    assert sorted(statuses) == [201] * 2 + [422] * 6
    query = text("SELECT SUM(amount) FROM credit_transactions WHERE customer_id = :c")
    with tenant.service.database() as connection:
        assert connection.scalar(query, {"c": tenant.id}) == 1
