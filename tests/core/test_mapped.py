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


# lists


def _list(page: dict[str, Any] | None, *replies: Reply | NoReply) -> tuple[Outcome, list[Call]]:
    items: dict[str, Any] = {"path": "data", "reply": {"payment_method": "id"}}
    mapping = {"request": "GET /v1/{customer}/pm?all=1", "items": items}
    if page:
        items["page"] = page
    sections = {"target": {"base_url": "http://target.test/api"}}
    target = ProfileTarget(profile({"list_payment_methods": mapping}, **sections))
    performance = target.perform(
        "list_payment_methods", role="customer", credential=None, customer="c"
    )
    outcome, calls, _ = drive(performance, *replies)
    return outcome, calls


def _page(*ids: str, **more: object) -> Reply:
    headers = {"link": more.pop("link")} if "link" in more else {}
    return answer(200, {"data": [{"id": name} for name in ids], **more}, **headers)  # type: ignore[arg-type] # a link is text


def _ids(outcome: Outcome) -> list[str]:
    assert outcome.kind == "ok", outcome
    return [item["payment_method"] for item in outcome["items"]]


def _queries(calls: list[Call]) -> list[dict[str, str]]:
    assert {call.path for call in calls} == {"/v1/c/pm"}
    return [dict(call.query) for call in calls]


def test_a_list_without_pages_is_one_request() -> None:
    """A list that comes whole is read whole."""
    outcome, calls = _list(None, _page("a", "b"))
    assert (_ids(outcome), _queries(calls)) == (["a", "b"], [{"all": "1"}])


def test_pages_are_counted() -> None:
    """Style `page`: numbers go up until the total is there."""
    page = {"style": "page", "param": "p", "size_param": "n", "size": 2, "total": "total"}
    outcome, calls = _list(page, _page("a", "b", total=3), _page("c", total=3))
    assert _ids(outcome) == ["a", "b", "c"]
    assert _queries(calls) == [{"all": "1", "n": "2"}, {"all": "1", "n": "2", "p": "2"}]


def test_offsets_follow_what_came() -> None:
    """Style `offset`: a target that gives fewer than asked for is read to its end all the same."""
    page = {"style": "offset", "param": "from", "size_param": "n", "size": 50, "total": "total"}
    script = [_page("a", "b", total=5), _page("c", "d", total=5), _page("e", total=5)]
    outcome, calls = _list(page, *script)
    assert _ids(outcome) == ["a", "b", "c", "d", "e"]
    assert [query.get("from") for query in _queries(calls)] == [None, "2", "4"]


def test_pages_end_when_the_target_says_so() -> None:
    """A condition for more decides where there is one; else a page that is not full, or empty."""
    by_more = {"style": "page", "param": "p", "size": 1, "more": "more"}
    outcome, calls = _list(by_more, _page("a", more=True), _page("b", more=False))
    assert (_ids(outcome), len(calls)) == (["a", "b"], 2)
    by_size = {"style": "page", "param": "p", "size": 1}
    outcome, calls = _list(by_size, _page("a"), _page("b"), _page())
    assert (_ids(outcome), len(calls)) == (["a", "b"], 3)
    outcome, calls = _list({**by_more, "start": 0}, _page("a", more=True), _page("b", more=False))
    assert [query.get("p") for query in _queries(calls)] == [None, "1"]


def test_cursors_are_followed() -> None:
    """Style `cursor`: each page says where the next one is; none is the end."""
    page = {"style": "cursor", "param": "after", "next": "next"}
    outcome, calls = _list(page, _page("a", next="x y"), _page("b", next=7), _page("c", next=None))
    assert _ids(outcome) == ["a", "b", "c"]
    assert [query.get("after") for query in _queries(calls)] == [None, "x y", "7"]


def test_a_cursor_that_loops_is_unknown() -> None:
    """A cursor that leads back to its own page, or in a circle, ends the list in doubt."""
    page = {"style": "cursor", "param": "after", "next": "next"}
    outcome, calls = _list(page, _page("a", next="x"))
    assert (outcome.kind, len(calls)) == ("unknown", 2)
    assert "leads back" in (outcome.reason or "")
    circle = [_page("a", next="x"), _page("b", next="y")] * 501
    outcome, calls = _list(page, *circle)
    assert outcome.kind == "unknown"
    assert len(calls) <= 1000


@pytest.mark.parametrize(
    "link",
    [
        '<http://target.test/api/v1/c/pm?page=2>; rel="next"',
        '<http://elsewhere.test/v1/c/pm?page=2>; rel="next"',
        "</api/v1/c/pm?page=2>; rel=next",
        '<?page=2>; rel="next"',
        '<pm?page=2>; rel="next"',
        '<http://target.test/>; rel="prev", <http://target.test/api/v1/c/pm?page=2>; rel="next"',
    ],
)
def test_links_are_followed_on_the_target_alone(link: str) -> None:
    """Style `link`: by path and query, below the target's address and never to another host."""
    outcome, calls = _list({"style": "link"}, _page("a", link=link), _page("b"))
    assert _ids(outcome) == ["a", "b"]
    assert _queries(calls) == [{"all": "1"}, {"page": "2"}]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (TIMEOUT, "unknown"),
        (answer(500), "unknown"),
        (answer(404), "refused"),
        (answer(200, {"data": {}}), "unknown"),
        (Reply(200, (), b"<html>"), "unknown"),
    ],
    ids=["timeout", "500", "404", "no-list", "html"],
)
def test_a_page_that_is_missing_makes_the_list_unknown(reply: Reply | NoReply, kind: str) -> None:
    """A list is whole or it is not told: a part of it would look like the whole."""
    page = {"style": "cursor", "param": "after", "next": "next"}
    assert _list(page, reply)[0].kind == kind
    assert _list(page, _page("a", next="x"), reply)[0].kind == kind


def test_money_in_a_list_is_read_in_each_items_currency() -> None:
    """An item's own currency says how many decimals its amount has, wherever it stands."""
    reply = {"amount_minor": "amount.value", "currency": "amount.code", "provider_id": "id"}
    mapping = {"request": "GET /p", "items": {"path": "@", "reply": reply}}
    catalog = {"money": "decimal_string", "currency": "usd"}
    target = ProfileTarget(profile({"list_payments": mapping}, catalog=catalog))
    body = [
        {"amount": {"value": "12.50", "code": "EUR"}},
        {"amount": {"value": "500", "code": "jpy"}},
        {"amount": {"value": "1.00"}},
    ]
    performance = target.perform("list_payments", role="customer", credential=None)
    outcome, _, _ = drive(performance, answer(200, body))
    told = [(item["amount_minor"], item["currency"]) for item in outcome["items"]]
    assert told == [(1250, "eur"), (500, "jpy"), (100, None)]


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
