"""`webhooks send`, proven at a receiver that verifies with the official package."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from simulators.webhooks.commands.catalogue import KINDS
from simulators.webhooks.commands.posting import Poster
from tests.webhooks.conftest import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.webhooks.conftest import Ran, Receiver

    Run = Callable[..., Ran]
    Case = tuple[str, list[str], Callable[[dict[str, Any]], object], object]


@pytest.mark.parametrize("event", KINDS)
def test_every_event_is_accepted(run: Run, receiver: Receiver, event: str) -> None:
    """Each event arrives signed so that the official verifier takes it."""
    ran = run("send", event, "--to", receiver.url)
    assert (ran.status, receiver.types, receiver.refused) == (0, [event], 0), ran.err


OPTIONS: list[Case] = [
    ("invoice.paid", ["--customer", "cus_7"], lambda o: o["customer"], "cus_7"),
    (
        "invoice.paid",
        ["--subscription", "sub_7"],
        lambda o: o["parent"]["subscription_details"]["subscription"],
        "sub_7",
    ),
    ("invoice.paid", ["--id", "in_7"], lambda o: (o["id"], o["lines"]["data"][0]["invoice"]),
     ("in_7", "in_7")),
    ("invoice.paid", ["--amount-cents", "59900"], lambda o: o["amount_paid"], 59_900),
    ("invoice.paid", ["--currency", "JPY"], lambda o: o["currency"], "jpy"),
    ("invoice.paid", ["--quantity", "3"], lambda o: o["lines"]["data"][0]["quantity"], 3),
    ("invoice.paid", ["--plan-to", "price_gold"],
     lambda o: o["lines"]["data"][0]["pricing"]["price_details"]["price"], "price_gold"),
    ("invoice.paid", ["--reason", "subscription_create"], lambda o: o["billing_reason"],
     "subscription_create"),
    ("invoice.payment_failed", ["--next-retry", "2030-01-31"],
     lambda o: (o["next_payment_attempt"], o["auto_advance"]), (1_896_048_000, True)),
    ("invoice.payment_failed", ["--next-retry", "none"],
     lambda o: (o["next_payment_attempt"], o["auto_advance"]), (None, False)),
    ("payment_intent.payment_failed", ["--failure-code", "insufficient_funds"],
     lambda o: (o["last_payment_error"]["code"], o["last_payment_error"]["decline_code"]),
     ("card_declined", "insufficient_funds")),
    ("payment_intent.payment_failed", ["--failure-code", "expired_card"],
     lambda o: o["last_payment_error"]["code"], "expired_card"),
    ("charge.refunded", ["--amount-cents", "900", "--refund-cents", "400"],
     lambda o: (o["amount"], o["amount_refunded"], o["refunded"]), (900, 400, False)),
    ("customer.subscription.deleted", ["--reason", "payment_failed"],
     lambda o: (o["status"], o["cancellation_details"]["reason"]), ("canceled", "payment_failed")),
    ("customer.subscription.deleted", ["--plan-from", "price_old"],
     lambda o: o["items"]["data"][0]["price"]["id"], "price_old"),
    ("charge.dispute.created", ["--reason", "fraudulent"], lambda o: o["reason"], "fraudulent"),
    ("customer.deleted", ["--customer", "cus_9"], lambda o: o["id"], "cus_9"),
]  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS, ids=lambda case: f"{case[0]} {' '.join(case[1])}")
def test_an_option_shows_in_the_object(run: Run, receiver: Receiver, case: Case) -> None:
    """What an option says stands where Stripe would put it."""
    event, options, look, expected = case
    assert run("send", event, *options, "--to", receiver.url).status == 0
    assert look(receiver.object) == expected


def test_a_change_of_plan_names_both_plans(run: Run, receiver: Receiver) -> None:
    """The new plan is in the object, the old one in `previous_attributes`."""
    plans = ("--plan-from", "price_basic", "--plan-to", "price_gold")
    run("send", "customer.subscription.updated", *plans, "--to", receiver.url)
    (event,) = receiver.events
    (old,) = event["data"]["previous_attributes"]["items"]["data"]
    (new,) = event["data"]["object"]["items"]["data"]
    assert (old["price"]["id"], new["price"]["id"]) == ("price_basic", "price_gold")
    assert new["plan"]["id"] == "price_gold"


def test_a_failed_invoice_brings_the_intent_that_says_why(run: Run, receiver: Receiver) -> None:
    """An invoice names no failure, so its intent goes first: same customer, same amount."""
    options = ("--failure-code", "lost_card", "--amount-cents", "700", "--customer", "cus_1")
    run("send", "invoice.payment_failed", *options, "--to", receiver.url)
    assert receiver.types == ["payment_intent.payment_failed", "invoice.payment_failed"]
    intent, invoice = (event["data"]["object"] for event in receiver.events)
    assert intent["last_payment_error"]["decline_code"] == "lost_card"
    assert intent["amount"] == invoice["amount_due"] == invoice["amount_remaining"] == 700
    assert intent["customer"] == invoice["customer"] == "cus_1"


def test_an_event_can_come_again(run: Run, receiver: Receiver) -> None:
    """The same event arrives so many times, byte for byte."""
    ran = run("send", "invoice.paid", "--times", 3, "--to", receiver.url)
    assert ran.status == 0
    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1
    assert "3 sent: 3 accepted" in ran.out


@pytest.mark.parametrize(
    ("event", "order"),
    [
        ("customer.subscription.deleted", ["deleted", "updated"]),
        ("customer.subscription.created", ["updated", "created"]),
        ("invoice.paid", ["paid", "finalized"]),
        ("charge.refunded", ["refunded", "succeeded"]),
    ],
)
def test_events_can_come_out_of_order(
    run: Run, receiver: Receiver, event: str, order: list[str]
) -> None:
    """The later event about one object arrives before the earlier one, and their times say so."""
    assert run("send", event, "--out-of-order", "--to", receiver.url).status == 0
    later, earlier = receiver.events
    assert [each["type"].rpartition(".")[2] for each in receiver.events] == order
    assert later["created"] > earlier["created"]
    assert later["data"]["object"]["id"] == earlier["data"]["object"]["id"]


def test_an_event_that_stands_alone_has_no_order(run: Run) -> None:
    """Out of order is refused where there is none, with the events that have one."""
    ran = run("send", "invoice_payment.paid", "--out-of-order", "--print")
    assert ran.status == 2
    assert "stands alone" in ran.err
    assert "invoice.paid" in ran.err


FORGED = [
    ["--tamper"],
    ["--timestamp-offset", "-301"],
    *(["--forge", kind] for kind in ("wrong-secret", "only-v0", "non-ascii")),
    *(["--forge", kind] for kind in ("shifted-timestamp", "no-signature")),
]


@pytest.mark.parametrize("options", FORGED, ids=" ".join)
def test_forgeries_are_refused_and_that_is_right(
    run: Run, receiver: Receiver, options: list[str]
) -> None:
    """The official verifier refuses each forgery, and the status says that this is as it should."""
    ran = run("send", "invoice.paid", *options, "--to", receiver.url, "--json")
    assert (ran.status, ran.json["verdict"]) == (0, "valid")
    assert (receiver.types, receiver.refused) == ([], 1)
    assert ran.json["deliveries"][0]["outcome"] == "refused"


@pytest.mark.parametrize("offset", [-200, 600])
def test_an_offset_within_the_tolerance_is_accepted(
    run: Run, receiver: Receiver, offset: int
) -> None:
    """The timestamp is shifted by what was asked for; the future is not refused."""
    before = time.time()
    assert (
        run("send", "invoice.paid", "--timestamp-offset", offset, "--to", receiver.url).status == 0
    )
    signed_at = int(re.findall(r"t=(\d+)", receiver.headers[0] or "")[0])
    assert before + offset - 1 <= signed_at <= time.time() + offset


def test_whoever_accepts_a_forgery_is_told(
    run: Run, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that verifies nothing and says 200 gets status 1."""
    monkeypatch.setattr(receiver, "take", lambda _body, _header: 200)
    ran = run("send", "invoice.paid", "--tamper", "--to", receiver.url, "--json")
    assert (ran.status, ran.json["verdict"]) == (1, "invalid")


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [(204, 0, "accepted"), (302, 1, "refused"), (409, 1, "refused"), (500, 2, "unknown")],
)
def test_what_a_receiver_answers_decides(
    run: Run, receiver: Receiver, answer: int, status: int, outcome: str
) -> None:
    """2xx is accepted, 3xx and 4xx refused, and a 5xx unknown: it may have had its effect."""
    receiver.status = answer
    ran = run("send", "invoice.paid", "--to", receiver.url, "--json")
    assert (ran.status, ran.json["deliveries"][0]["outcome"]) == (status, outcome)
    assert ran.json["deliveries"][0]["status"] == answer


def test_a_timeout_is_unknown(run: Run, receiver: Receiver) -> None:
    """A receiver that does not answer in time may have taken the event in."""
    receiver.hold = threading.Event()
    ran = run("send", "invoice.paid", "--to", receiver.url, "--timeout", 0.2, "--json")
    assert ran.status == 2
    assert ran.json["deliveries"][0]["answer"].startswith("timeout")
    assert len(receiver.bodies) == 1


def test_nobody_there_is_unknown_and_says_that_nothing_was_sent(
    run: Run, receiver: Receiver
) -> None:
    """A refused connection is told apart from a timeout."""
    ran = run("send", "invoice.paid", "--to", "http://127.0.0.1:1/hook")
    assert ran.status == 2
    assert "never sent" in ran.out
    assert receiver.types == []


def test_print_sends_nothing_and_shows_what_would_be_sent(run: Run, receiver: Receiver) -> None:
    """Headers and body are printed as they would go out, and the official verifier takes them."""
    ran = run("send", "invoice.paid", "--print", "--json", "--to", receiver.url)
    (request,) = ran.json["requests"]
    assert receiver.headers == []
    assert receiver.take(request["body"].encode(), request["headers"]["Stripe-Signature"]) == 200
    text = run("send", "invoice.paid", "--print", "--id", "in_7").out
    assert re.search(r"^Stripe-Signature: t=\d+,v1=[0-9a-f]{64}$", text, re.MULTILINE)
    assert '"id": "in_7"' in text


def test_secrets_are_never_shown(run: Run, receiver: Receiver) -> None:
    """The secret appears nowhere, and one on the command line is warned about."""
    for arguments in (["--print"], ["--json", "--to", receiver.url], ["--to", receiver.url]):
        ran = run("send", "invoice.paid", "--secret", SECRET, *arguments)
        assert SECRET not in ran.out + ran.err
        assert "--secret-env" in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["customer.created", "--amount-cents", "5"], "It takes --customer."),
        (["invoice.paid", "--failure-code", "lost_card"], "does not take --failure-code"),
        (["invoice.paid", "--reason", "fraudulent"], "One of subscription_cycle"),
        (["invoice.payd"], "Did you mean invoice.paid"),
        (["charge.succeeded", "--amount-cents", "0"], "Say at least 1."),
        (
            ["charge.refunded", "--amount-cents", "5", "--refund-cents", "6"],
            "more than was charged",
        ),
        (["invoice.paid", "--amount-cents", "10", "--quantity", "3"], "Try --amount-cents 9 or 12"),
        (["invoice.paid", "--amount-cents", "100000000"], "From 0 to 99999999"),
        (["invoice.paid", "--currency", "dollars"], "Three letters"),
        (["invoice.paid", "--customer", "cus 1\n"], "is no id"),
        (["invoice.payment_failed", "--next-retry", "soon"], "is no moment"),
        (["invoice.payment_failed", "--failure-code", "NO!"], "is no code"),
        (["invoice.paid", "--forge", "rot13"], "One of wrong-secret"),
        (["invoice.paid", "--timestamp-offset", "999999999999"], "out of range"),
        (["invoice.paid", "--timeout", "0"], "--timeout 0 is out of range"),
        (["invoice.paid", "--quantity", "100001"], "From 1 to 100000"),
        (
            ["customer.subscription.updated", "--plan-from", "a", "--plan-to", "a"],
            "nothing would change",
        ),
        (
            ["customer.subscription.updated", "--plan-from", "a", "--reason", "payment_failed"],
            "the plan stays",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, receiver: Receiver, arguments: list[str], told: str
) -> None:
    """A bad request is told with what would do; nothing is sent."""
    ran = run("send", *arguments, "--to", receiver.url)
    assert ran.status == 2
    assert told in ran.err
    assert receiver.headers == []


def test_refusals_reach_machines_too(run: Run) -> None:
    """With --json a refusal is a document with a stable code."""
    ran = run("send", "no.such", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (2, "bad_settings")


def test_the_list_of_events_says_what_each_takes(run: Run) -> None:
    """`events` names every event, and its options are the ones that `send` takes."""
    told = {entry["type"]: entry["options"] for entry in run("events", "--json").json}
    assert told["charge.refunded"] == [
        "--customer",
        "--id",
        "--amount-cents",
        "--currency",
        "--refund-cents",
    ]
    assert set(told) == set(KINDS)
    text = run("events").out
    assert all(event in text for event in KINDS)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no tzset")
def test_a_moment_without_a_zone_is_utc(
    run: Run, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date means the same wherever the machine stands."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        run("send", "invoice.payment_failed", "--next-retry", "2030-01-31", "--to", receiver.url)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert receiver.object["next_payment_attempt"] == 1_896_048_000


def test_ctrl_c_tells_what_was_done(
    run: Run, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at the second of three, it tells the first and ends with 130."""
    post = Poster.post

    def interrupted(self: Poster, *arguments: Any) -> Any:
        if receiver.bodies:
            raise KeyboardInterrupt
        return post(self, *arguments)

    monkeypatch.setattr(Poster, "post", interrupted)
    ran = run("send", "invoice.paid", "--times", 3, "--to", receiver.url, "--json")
    assert ran.status == 130
    assert (len(ran.json["deliveries"]), ran.json["interrupted"]) == (1, True)
