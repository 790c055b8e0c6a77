"""`webhooks send-all`: a whole life, in sequence, from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.webhooks.conftest import Ran, Receiver

    Run = Callable[..., Ran]

PREFIX = "BILLING_HARNESS_WEBHOOK_"


def test_a_life_arrives_in_sequence(run: Run, receiver: Receiver) -> None:
    """Created, paid, changed, failed, deleted: in that order, all verified."""
    ran = run("send-all", "--to", receiver.url, "--json")
    assert (ran.status, ran.json["counts"]["accepted"]) == (0, len(receiver.types))
    turning_points = [
        "customer.created",
        "customer.subscription.created",
        "invoice.paid",
        "customer.subscription.updated",
        "invoice.payment_failed",
        "customer.subscription.deleted",
        "customer.deleted",
    ]
    places = [receiver.types.index(event) for event in turning_points]
    assert places == sorted(places)


def test_everything_can_come_from_the_environment(run: Run, receiver: Receiver) -> None:
    """Address and parameters are read from documented variables; an option wins over them."""
    said = {
        "TO": receiver.url,
        "CUSTOMER": "cus_env",
        "SUBSCRIPTION": "sub_env",
        "AMOUNT_CENTS": "1200",
        "CURRENCY": "eur",
        "QUANTITY": "4",
        "PLAN_FROM": "price_one",
        "PLAN_TO": "price_two",
        "FAILURE_CODE": "expired_card",
        "NEXT_RETRY": "2030-01-31",
        "REASON": "cancellation_requested",
    }
    variables = {f"{PREFIX}{name}": value for name, value in said.items()}
    assert run("send-all", "--customer", "cus_option", **variables).status == 0
    last = {event["type"]: event["data"]["object"] for event in receiver.events}
    ended = last["customer.subscription.deleted"]
    (item,) = ended["items"]["data"]
    assert (ended["customer"], ended["id"], ended["currency"]) == ("cus_option", "sub_env", "eur")
    assert (item["price"]["id"], item["quantity"], item["price"]["unit_amount"]) == (
        "price_two",
        4,
        300,
    )
    assert ended["cancellation_details"]["reason"] == "cancellation_requested"
    assert last["invoice.paid"]["lines"]["data"][0]["pricing"]["price_details"]["price"] == (
        "price_one"
    )
    assert last["payment_intent.payment_failed"]["last_payment_error"]["code"] == "expired_card"
    assert last["invoice.payment_failed"]["next_payment_attempt"] == 1_896_048_000


def test_one_refusal_makes_the_status(run: Run, receiver: Receiver) -> None:
    """All events are sent even if some are refused, and the status says so."""
    receiver.status = 404
    ran = run("send-all", "--to", receiver.url)
    assert ran.status == 1
    assert f"{len(receiver.bodies)} sent: {len(receiver.bodies)} refused" in ran.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--reason", "boredom"], "One of cancellation_requested"),
        (["--amount-cents", "0"], "at least 1"),
        (["--plan-from", "a", "--plan-to", "a"], "nothing would change"),
    ],
)
def test_a_life_that_cannot_be_is_refused(
    run: Run, receiver: Receiver, arguments: list[str], told: str
) -> None:
    """Nothing is sent of a life whose parameters contradict each other."""
    ran = run("send-all", *arguments, "--to", receiver.url)
    assert (ran.status, receiver.headers) == (2, [])
    assert told in ran.err
