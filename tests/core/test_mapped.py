from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import NotMapped
from harness.target.mapped import ProfileTarget
from harness.target.wire import Call, NoReply, Reply
from tests.core.making import CREATE, SUBSCRIBE, TIMEOUT, answer, drive, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.target.protocol import Outcome, Role

AUTH = {
    "operator": {"basic": {"user": "me", "password": "pass"}},
    "customer": {"headers": {"X-Key": "{credential}", "X-Version": "2"}},
    "other_tenant": {"headers": {"X-Other": "{credential}"}},
}


def _call(
    operation: str, mapping: dict[str, Any], *, role: Role = "customer", **inputs: Any
) -> Call:
    """Give the first call of an operation."""
    sections = inputs.pop("sections", {})
    credential = inputs.pop("credential", "k1")
    target = ProfileTarget(profile({operation: mapping}, **sections))
    performance = target.perform(operation, role=role, credential=credential, **inputs)
    _, (call, *_), _ = drive(performance, TIMEOUT)
    return call


def test_an_operation_becomes_one_request() -> None:
    """Path, body and content type follow the mapping; types in the body are kept."""
    call = _call("subscribe", SUBSCRIBE, customer="c/1", plan="pro", quantity=2)
    assert (call.method, call.path) == ("POST", "/v1/customers/c%2F1/subscriptions")
    assert json.loads(call.body) == {"plan": "pro", "quantity": 2}
    assert call.headers == (("Content-Type", "application/json"),)


def test_what_a_path_needs_must_be_given() -> None:
    """A path without its id is not sent: it would be another route."""
    target = ProfileTarget(profile({"subscribe": SUBSCRIBE}))
    for inputs in ({}, {"customer": None}, {"customer": ""}):
        with pytest.raises(NotMapped, match="needs customer"):
            target.perform("subscribe", role="customer", credential=None, **inputs)
    with pytest.raises(NotMapped, match="does not map get_balance"):
        target.perform("get_balance", role="customer", credential=None)


def test_a_yes_or_no_may_have_words_of_its_own() -> None:
    """A target that writes words where the harness says true or false is told its words."""
    words = {"at_period_end": {"true": "month_end", "false": "now"}}
    mapping = {"request": "DELETE /v1/plan", "query": {"when": "{at_period_end}"}, "words": words}
    for said, word in ((True, "month_end"), (False, "now")):
        call = _call("cancel_subscription", mapping, at_period_end=said)
        assert call.query == (("when", word),)


def test_defaults_stand_in_for_inputs_that_were_not_given() -> None:
    """A default fills what a test leaves open, and nothing else."""
    mapping = {**CREATE, "defaults": {"name": "Somebody"}}
    assert json.loads(_call("create_customer", mapping, email="e", name=None).body) == {
        "email": "e",
        "name": "Somebody",
    }
    assert json.loads(_call("create_customer", mapping, name="Ada").body) == {"name": "Ada"}


def test_queries_are_literal_and_filled() -> None:
    """A query in the path stays, absent inputs leave their keys out, truth is lower case."""
    mapping = {
        "request": "DELETE /v1/{customer}?force=1",
        "query": {"at_period_end": "{at_period_end}", "s": "{subscription}"},
    }
    call = _call("cancel_subscription", mapping, customer="c", at_period_end=False)
    assert (call.path, call.query) == ("/v1/c", (("force", "1"), ("at_period_end", "false")))
    assert call.body == b""


@pytest.mark.parametrize(
    ("fixed", "role", "headers"),
    [
        (None, "customer", {"X-Key": "k1", "X-Version": "2"}),
        (None, "operator", {"Authorization": "Basic " + base64.b64encode(b"me:pass").decode()}),
        (None, "other_tenant", {"X-Other": "k1"}),
        (None, "anonymous", {}),
        ("operator", "customer", {"Authorization": "Basic bWU6cGFzcw=="}),
        ("operator", "anonymous", {}),
        ("operator", "other_tenant", {"X-Other": "k1"}),
        ("anonymous", "customer", {}),
        ("anonymous", "operator", {"Authorization": "Basic bWU6cGFzcw=="}),
    ],
)
def test_a_call_identifies_itself_by_its_role(
    fixed: str | None, role: Role, headers: dict[str, str]
) -> None:
    """The profile's role stands unless a test asks for somebody else; anonymous sends nothing."""
    mapping = {"request": "GET /v1/{customer}", "reply": {}}
    if fixed:
        mapping["as"] = fixed
    sections = {"auth": AUTH, "target": {"headers": {"X-Static": "s"}}}
    call = _call("get_balance", mapping, role=role, customer="c", sections=sections)
    assert dict(call.headers) == {"X-Static": "s", **headers}


def test_without_a_credential_its_header_is_left_out() -> None:
    """A customer who has no credential sends the headers that need none."""
    sections = {"auth": AUTH}
    mapping = {"request": "GET /v1/{customer}"}
    call = _call("get_balance", mapping, customer="c", credential=None, sections=sections)
    assert dict(call.headers) == {"X-Version": "2"}


def test_other_tenants_are_customers_where_nothing_else_is_said() -> None:
    """Without a section of its own, another tenant identifies itself as customers do."""
    sections = {"auth": {"customer": AUTH["customer"]}}
    mapping = {"request": "GET /v1/{customer}"}
    call = _call("get_balance", mapping, role="other_tenant", customer="c", sections=sections)
    assert dict(call.headers)["X-Key"] == "k1"


def test_an_idempotency_key_goes_into_the_header_that_is_named() -> None:
    """The key is sent where the profile says so, and only when there is one."""
    sections = {"target": {"idempotency_header": "Idempotency-Key"}}
    given: dict[str, Any] = {"customer": "c", "plan": "p", "sections": sections}
    assert ("Idempotency-Key", "k7") in _call(
        "subscribe", SUBSCRIBE, idempotency_key="k7", **given
    ).headers
    assert "Idempotency-Key" not in dict(_call("subscribe", SUBSCRIBE, **given).headers)
    unnamed = _call("subscribe", SUBSCRIBE, idempotency_key="k7", customer="c", plan="p")
    assert "k7" not in str(unnamed)


def test_money_is_written_in_the_targets_form() -> None:
    """An amount in minor units goes out as the profile says that the target takes it."""
    mapping = {"request": "POST /r/{payment}", "body": {"amount": "{amount_minor}"}}
    catalog = {"catalog": {"currency": "eur", "money": "decimal_string"}}
    given: dict[str, Any] = {"payment": "p", "amount_minor": 1250}
    assert json.loads(_call("refund_payment", mapping, **given).body) == {"amount": 1250}
    written = _call("refund_payment", mapping, **given, sections=catalog)
    assert json.loads(written.body) == {"amount": "12.50"}


# accepted, and settled later

JOB = {
    **SUBSCRIBE,
    "as": "operator",
    "accepted": [202],
    "reply": {"subscription": "id"},
    "settle": {
        "poll": "GET /v1/jobs/{subscription}",
        "reply": {"state": "state", "reason": "why", "charged_minor": "charged"},
        "until": "state == 'done'",
        "refused": "state == 'failed'",
        "code": "reason",
        "deadline_s": 5,
    },
}
ACCEPTED = answer(202, {"id": "j1"})


def _settled(
    mapping: dict[str, Any], *replies: Reply | NoReply, **others: Any
) -> tuple[Outcome, list[Call]]:
    """Perform `subscribe` with a clock that moves a second at each look."""
    ticks: Iterator[float] = map(float, itertools.count())
    target = ProfileTarget(
        profile({"subscribe": mapping, **others}, auth=AUTH), monotonic=lambda: next(ticks)
    )
    performance = target.perform(
        "subscribe", role="customer", credential="k", customer="c", plan="p"
    )
    outcome, calls, waits = drive(performance, *replies)
    assert all(0 < wait.seconds <= 0.5 for wait in waits)
    return outcome, calls


def test_an_accepted_operation_is_followed_by_a_request() -> None:
    """It is polled, as whoever began it, until the condition holds; outputs of both are told."""
    outcome, calls = _settled(
        JOB, ACCEPTED, answer(404), TIMEOUT, answer(200, {"state": "done", "charged": 5})
    )
    assert outcome.kind == "ok"
    assert (outcome["subscription"], outcome["charged_minor"]) == ("j1", 5)
    assert [call.path for call in calls[1:]] == ["/v1/jobs/j1"] * 3
    assert {dict(call.headers)["Authorization"] for call in calls} == {"Basic bWU6cGFzcw=="}


def test_an_accepted_operation_is_followed_by_another_operation() -> None:
    """It is polled by an operation of the profile, as that operation is done."""
    mapping = {**JOB, "settle": {"poll": "get_subscription", "until": "status == 'active'"}}
    other = {
        "request": "GET /v1/{customer}/s/{subscription}",
        "as": "other_tenant",
        "reply": {"status": "state"},
        "values": {"status": {"live": "active"}},
    }
    outcome, calls = _settled(
        mapping,
        ACCEPTED,
        answer(200, {"state": "new"}),
        answer(200, {"state": "live"}),
        get_subscription=other,
    )
    assert (outcome.kind, outcome["status"]) == ("ok", "active")
    assert [call.path for call in calls[1:]] == ["/v1/c/s/j1"] * 2
    assert dict(calls[1].headers) == {"X-Other": "k"}


@pytest.mark.parametrize(
    ("why", "code"),
    [("card_declined", "card_declined"), (None, "refused_later"), (7, "refused_later")],
)
def test_an_accepted_operation_may_be_refused_later(why: object, code: str) -> None:
    """A refusal that comes late is one, with its code."""
    outcome, _ = _settled(JOB, ACCEPTED, answer(200, {"state": "failed", "why": why}))
    assert (outcome.kind, outcome.code) == ("refused", code)


@pytest.mark.parametrize(
    "reply",
    [answer(200, {"state": "new"}), answer(404), answer(500), TIMEOUT, Reply(200, (), b"<html>")],
    ids=["new", "404", "500", "timeout", "html"],
)
def test_an_accepted_operation_is_unknown_at_its_deadline(reply: Reply | NoReply) -> None:
    """What is not known by the deadline is *unknown*, whatever the polls answered."""
    outcome, calls = _settled(JOB, ACCEPTED, reply)
    assert outcome.kind == "unknown"
    assert "not known after 5 s" in (outcome.reason or "")
    assert outcome["subscription"] == "j1"
    assert 2 < len(calls) < 8


def test_what_was_accepted_without_an_id_to_follow_is_unknown() -> None:
    """Without the id that the poll needs, what was taken on stays in doubt."""
    outcome, calls = _settled(JOB, answer(202, {}))
    assert (outcome.kind, len(calls)) == ("unknown", 1)
    assert "needs subscription" in (outcome.reason or "")


def test_what_was_accepted_without_a_way_to_settle_stays_accepted() -> None:
    """Without `settle` nobody can tell what became of it."""
    outcome, calls = _settled({**SUBSCRIBE, "accepted": [202]}, ACCEPTED)
    assert (outcome.kind, len(calls)) == ("accepted", 1)


# webhooks


@pytest.mark.parametrize(
    ("status", "declared", "kind"),
    [
        (200, {}, "ok"),
        (204, {}, "ok"),
        (202, {"accepted_status": [202]}, "ok"),
        (200, {"accepted_status": [202]}, "unknown"),
        (400, {}, "refused"),
        (401, {}, "refused"),
        (403, {"refused_status": [403]}, "refused"),
        (400, {"refused_status": [403]}, "unknown"),
        (404, {}, "unknown"),
        (301, {}, "unknown"),
        (500, {}, "unknown"),
    ],
)
def test_a_webhooks_answer_is_read_by_its_status(
    status: int, declared: dict[str, list[int]], kind: str
) -> None:
    """Accepted, refused, or in doubt: a path that is not there refuses nothing."""
    outcome, call = _hook(answer(status), declared)
    assert outcome.kind == kind
    assert (call.method, call.path, call.body) == ("POST", "/hooks", b"\xff{}")
    assert ("Stripe-Signature", "t=1,v1=\xff") in call.headers


def test_a_webhook_without_an_answer_is_unknown() -> None:
    """A webhook may have been taken even though nothing came back."""
    assert _hook(TIMEOUT, {})[0].kind == "unknown"


def _hook(reply: Reply | NoReply, declared: dict[str, list[int]]) -> tuple[Outcome, Call]:
    target = ProfileTarget(profile(webhooks={"path": "/hooks", "secret_env": "SECRET", **declared}))
    assert "receive_webhook" in target.operations
    performance = target.perform(
        "receive_webhook",
        role="anonymous",
        credential=None,
        payload=b"\xff{}",
        signature_headers=(("Stripe-Signature", "t=1,v1=\xff"),),
    )
    outcome, (call,), _ = drive(performance, reply)
    return outcome, call
