from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.doctor import Diagnosis, diagnose
from harness.history import History
from harness.naming import Names
from harness.operations import OPERATIONS
from harness.redact import Redactor
from harness.session import Session
from harness.target.mapped import ProfileTarget
from harness.target.wire import NoReply, Reply
from tests.core.making import CREATE, SUBSCRIBE, TIMEOUT, answer, profile

if TYPE_CHECKING:
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

    redactor = Redactor()
    session = Session(
        ProfileTarget(profile(MAPPED)),
        send,
        History(None, redactor),
        redactor,
        names=Names(1, "run", "doctor"),
        wait=lambda _: None,
    )
    found = list(diagnose(session))
    assert len({entry.operation for entry in found}) == len(found)
    return {entry.operation: entry for entry in found}, calls


def test_every_operation_is_told_and_every_mapped_one_tried() -> None:
    """Each operation of the harness works, is missing, or is not tried because it concerns all."""
    found, calls = _examine()
    assert set(found) == set(OPERATIONS)
    works = {name for name, entry in found.items() if entry.state == "works"}
    assert works == set(MAPPED) - {"advance_time"}
    assert found["advance_time"].state == "not tried"
    assert {entry.state for name, entry in found.items() if name not in MAPPED} == {"missing"}
    assert len(calls) == len(works)


def test_ids_of_earlier_answers_are_used_later() -> None:
    """The subscription's id goes from the answer into the requests that need it."""
    _, calls = _examine()
    assert [call.path for call in calls[-2:]] == ["/subscription/c1/s1"] * 2
    assert calls[-1].query == (("end", "false"),)


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
