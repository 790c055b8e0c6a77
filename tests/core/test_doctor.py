from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.doctor import Diagnosis, Means, diagnose, diagnose_reading
from harness.history import History
from harness.naming import Names
from harness.operations import OPERATIONS
from harness.redact import Redactor
from harness.session import Customer, Session
from harness.signing import SignatureError, verify
from harness.target.mapped import ProfileTarget
from harness.target.wire import NoReply, Reply
from tests.core.making import CREATE, SUBSCRIBE, TIMEOUT, answer, profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.target.profile import Profile
    from harness.target.wire import Call

MAPPED: dict[str, Any] = {
    "create_customer": CREATE,
    "get_balance": {"request": "GET /balance/{customer}", "reply": {"units": "data.units"}},
    "subscribe": SUBSCRIBE,
    "get_subscription": {"request": "GET /subscription/{customer}/{subscription}"},
    "cancel_subscription": {
        "request": "DELETE /subscription/{customer}/{subscription}",
        "query": {"end": "{at_period_end}"},
    },
    "advance_time": {"request": "POST /clock"},
}
RIGHT: dict[str, Reply | NoReply] = {
    "POST /v1/customers": answer(201, {"id": "c1", "api_key": "key-of-a-customer"}),
    "GET /balance/c1": answer(200, {"data": {"units": 3}}),
    "POST /v1/customers/c1/subscriptions": answer(201, {"id": "s1", "status": "active"}),
    "GET /subscription/c1/s1": answer(200, {}),
    "DELETE /subscription/c1/s1": answer(204),
}


def _examine(
    **changed: Reply | NoReply,
) -> tuple[dict[str, Diagnosis], list[Call]]:
    """Diagnose the small target; `changed` are answers by the last word of their path."""
    calls: list[Call] = []

    def send(call: Call) -> Reply | NoReply:
        calls.append(call)
        last = call.path.rpartition("/")[2]
        return changed.get(last) or RIGHT[f"{call.method} {call.path}"]

    found = diagnose(_session(profile(MAPPED), send))
    assert len({entry.operation for entry in found}) == len(found)
    return {entry.operation: entry for entry in found}, calls


def _session(shape: Profile, send: Callable[[Call], Reply | NoReply]) -> Session:
    redactor = Redactor()
    return Session(
        ProfileTarget(shape),
        send,
        History(None, redactor),
        redactor,
        names=Names(1, "run", "doctor"),
        wait=lambda _: None,
    )


def test_every_operation_is_told_and_every_mapped_one_tried() -> None:
    """Each operation of the harness works, is missing, or is not tried because it concerns all."""
    found, calls = _examine()
    assert set(found) == set(OPERATIONS)
    works = {name for name, entry in found.items() if entry.state == "works"}
    assert works == set(MAPPED) - {"advance_time"}
    assert found["advance_time"].state == "not tried"
    assert {entry.state for name, entry in found.items() if name not in MAPPED} == {"missing"}
    # An end is scheduled and looked at before the subscription is ended.
    assert len(calls) == len(works) + 2


def test_ids_of_earlier_answers_are_used_later() -> None:
    """The subscription's id goes from the answer into the requests that need it."""
    _, calls = _examine()
    own = [call for call in calls if call.path == "/subscription/c1/s1"]
    assert [call.method for call in own] == ["GET", "DELETE", "GET", "DELETE"]
    assert [own[1].query, own[3].query] == [(("end", "true"),), (("end", "false"),)]


def test_a_mismatch_is_explained_by_what_went_and_what_came() -> None:
    """An answer that does not fit is told with the request, the reason and the answer."""
    found, _ = _examine(c1=Reply(200, (("Content-Type", "text/html"),), b"<html>Hello</html>"))
    told = found["get_balance"]
    assert told.state == "mismatch"
    assert told.sent.startswith("GET /balance/c1")
    assert told.received == "HTTP 200 <html>Hello</html>"
    assert "expected JSON, received text/html" in told.why


def test_a_refusal_is_told_as_one() -> None:
    """A refusal of what must work is no mismatch of the profile, and its code is told."""
    found, _ = _examine(subscriptions=answer(402, {"error": "no card"}))
    told = found["subscribe"]
    assert (told.state, "http_402" in told.why) == ("refused", True)
    assert json.loads(told.sent.partition("subscriptions ")[2])["quantity"] == 1
    assert "no card" in told.received
    assert found["get_subscription"].state == "not tried"
    assert "subscription" in found["get_subscription"].why


def test_no_answer_is_told_as_one() -> None:
    """An operation that is not answered is a mismatch with its reason."""
    told = _examine(c1=TIMEOUT)[0]["get_balance"]
    assert (told.state, told.received) == ("mismatch", "no reply: timeout")


def test_without_a_customer_nothing_else_is_tried() -> None:
    """Where no customer can be made, that is the one thing told."""
    found, calls = _examine(customers=answer(500))
    assert found["create_customer"].state == "mismatch"
    assert found["subscribe"] == Diagnosis("subscribe", "not tried", "no customer could be made")
    assert len(calls) == 1


SECRET = "whsec_of_the_tests"
ONE = "/c/{customer}"
WHOLE: dict[str, Any] = {
    "create_customer": CREATE,
    "close_customer": {"request": f"DELETE {ONE}"},
    "set_plan": {"request": f"PUT {ONE}/plan", "body": {"plan": "{plan}"}},
    "record_usage": {"request": f"POST {ONE}/usage", "body": {"id": "{usage_id}"}},
    "subscribe": {"request": f"POST {ONE}/sub", "body": {"plan": "{plan}"}},
    "change_subscription": {"request": f"PATCH {ONE}/sub", "body": {"n": "{quantity}"}},
    "resume_subscription": {"request": f"POST {ONE}/resumption"},
    "cancel_subscription": {"request": f"DELETE {ONE}/sub", "query": {"end": "{at_period_end}"}},
    "list_payments": {
        "request": f"GET {ONE}/payments",
        "items": {"path": "data", "reply": {"payment": "id", "amount_minor": "a", "cause": "c"}},
    },
    "refund_payment": {
        "request": "POST /payments/{payment}/refund",
        "body": {"amount": "{amount_minor}"},
        "reply": {"refund": "id"},
    },
    "adjust_credits": {"request": f"POST {ONE}/units", "body": {"units": "{units}"}},
    "create_key": {"request": "POST /keys", "reply": {"key": "id", "credential": "key"}},
    "rotate_key": {
        "request": "POST /keys/{key}/rotate",
        "reply": {"key": "id", "credential": "key"},
    },
    "revoke_key": {"request": "DELETE /keys/{key}"},
    "exchange_credentials": {"request": "POST /exchange"},
    "advance_time": {"request": "POST /clock", "body": {"to": "{to}"}},
    "purge_customer": {"request": f"DELETE {ONE}/all"},
}


class Small:
    """A billing API of a few lines, which can be told to make mistakes."""

    def __init__(self, **mistakes: Any) -> None:
        self.mistakes = mistakes
        self.calls: list[Call] = []
        self.ended = False
        self.subscribed = False
        self.profile = profile(
            WHOLE,
            catalog={"plans": {"free": {"role": "trial"}, "big": {"role": "pro"}}},
            webhooks={"path": "/hook", "secret_env": "HOOK_SECRET"},
            auth={"customer": {"headers": {"X-Key": "{credential}"}}},
        )

    def send(self, call: Call) -> Reply:
        """Answer a call."""
        self.calls.append(call)
        request = f"{call.method} {call.path}"
        if request in self.mistakes.get("refusing", ()):
            return answer(409, {"error": "no"})
        if call.path == "/hook":
            return self._hook(call)
        if request == "POST /c/c1/usage" and self.mistakes.get("usage_of_subscribers"):
            return answer(200 if self.subscribed else 402, {})
        self.subscribed |= request == "POST /c/c1/sub"
        made = {"id": "c1" if call.path == "/v1/customers" else "new", "key": "k", "api_key": "own"}
        paid = [{"id": "p1", "a": -5}, {"id": "p2", "a": 40, "c": "x"}]
        return answer(200, made | {"data": self.mistakes.get("payments", paid)})

    def _hook(self, call: Call) -> Reply:
        given = dict(call.headers).get("Stripe-Signature")
        try:
            verify(call.body, given, SECRET)
        except SignatureError:
            return answer(200 if self.mistakes.get("takes_anything") else 400, {})
        return answer(200, {})

    def examined(self, **means: Any) -> dict[str, Diagnosis]:
        """Let the doctor in."""
        allowed = Means(**{"webhook_secret": SECRET, "patience_s": 0.0, **means})
        found = diagnose(_session(self.profile, self.send), allowed)
        return {entry.operation: entry for entry in found}

    def requests(self, path: str) -> list[Call]:
        """Give the calls of a path."""
        return [call for call in self.calls if call.path == path]


def test_each_operation_is_given_what_it_needs() -> None:
    """Plans, keys, refunds and events are tried in an order in which all of them work."""
    small = Small()
    found = small.examined()
    works = {name for name, entry in found.items() if entry.state == "works"}
    assert works == {*WHOLE, "receive_webhook"} - {"advance_time", "purge_customer"}
    assert [json.loads(call.body) for call in small.requests("/payments/p2/refund")] == [
        {"amount": 40}
    ]
    ends = [call.query for call in small.requests("/c/c1/sub") if call.method == "DELETE"]
    assert ends == [(("end", "true"),), (("end", "false"),)]
    assert json.loads(small.requests("/c/c1/plan")[0].body) == {"plan": "free"}
    assert small.calls[-1].path == "/c/c1", "the customer is closed, and that comes last"


def test_only_a_fresh_key_is_rotated_and_revoked() -> None:
    """The key in use is never given up: rotation is asked with the fresh one, and for it."""
    small = Small()
    small.examined()
    (rotated,) = small.requests("/keys/new/rotate")
    assert dict(rotated.headers)["X-Key"] == "k"
    (revoked,) = small.requests("/keys/new")
    assert dict(revoked.headers)["X-Key"] == "own"
    refusing = Small(refusing=["POST /keys"])
    found = refusing.examined()
    assert {found[name].state for name in ("rotate_key", "revoke_key")} == {"not tried"}
    assert "no key of its own" in found["revoke_key"].why


def test_an_event_that_nobody_signed_must_be_refused() -> None:
    """A signed event of a harmless type is taken; where an unsigned one is too, that is told."""
    assert Small().examined()["receive_webhook"].state == "works"
    told = Small(takes_anything=True).examined()["receive_webhook"]
    assert told.state == "mismatch"
    assert "nobody signed was ok, where it must be refused" in told.why
    assert '"product.created"' in told.sent
    assert "HTTP 200" in told.received
    unset = Small().examined(webhook_secret=None)["receive_webhook"]
    assert (unset.state, "secret_env" in unset.why) == ("not tried", True)


def test_time_is_moved_only_where_that_is_allowed() -> None:
    """Without leave nobody's clock is touched; with it the provider's moves first."""
    small = Small()
    assert "--controls" in small.examined()["advance_time"].why
    assert small.requests("/clock") == []
    moved: list[int] = []
    found = small.examined(now=lambda: 1000.0, move=moved.append)
    assert found["advance_time"].state == "works"
    assert json.loads(small.requests("/clock")[0].body) == {"to": moved[0]} == {"to": 1060}
    assert found["purge_customer"].state == "not tried"


def test_usage_of_subscribers_alone_is_tried_again() -> None:
    """What was refused before there was a subscription works after it."""
    assert Small(usage_of_subscribers=True).examined()["record_usage"].state == "works"


def test_what_one_operation_leaves_undone_is_the_reason_of_the_next() -> None:
    """Without payments, subscription or scheduled end the rest is not tried, with that reason."""
    found = Small(payments=[], refusing=["POST /c/c1/sub"]).examined()
    assert found["subscribe"].state == "refused"
    assert found["change_subscription"].why == "there is no subscription"
    assert "no end could be scheduled" in found["resume_subscription"].why
    assert "no payment" in found["refund_payment"].why
    assert found["list_payments"].why == "the list is empty: none of its fields was seen"


def test_a_field_that_no_item_of_a_list_has_is_told() -> None:
    """Of a list's fields those are named that stay empty in every item."""
    told = Small(payments=[{"id": "p2", "a": 40}]).examined()["list_payments"]
    assert (told.state, told.why) == ("works", "left empty: cause at 'c'")


def test_only_reading_reads_a_given_customer() -> None:
    """Every call is a GET with the credential given; a reading one mapped to POST is not sent."""
    mapped = {**MAPPED, "get_customer": {"request": "POST /graph/{customer}"}}
    auth = {"customer": {"headers": {"X-Key": "{credential}"}}}
    calls: list[Call] = []

    def send(call: Call) -> Reply:
        calls.append(call)
        return answer(200, {"data": {"units": 3}})

    session = _session(profile(mapped, auth=auth), send)
    found = {e.operation: e for e in diagnose_reading(session, Customer("c9", "theirs", None))}
    assert {call.method for call in calls} == {"GET"}
    assert [(call.path, dict(call.headers)["X-Key"]) for call in calls] == [
        ("/balance/c9", "theirs")
    ]
    assert found["get_balance"].state == "works"
    assert "POST" in found["get_customer"].why
    assert "subscription, which was not given" in found["get_subscription"].why
    assert found["subscribe"].why.startswith("it writes")
    assert found["set_plan"].state == "missing"
