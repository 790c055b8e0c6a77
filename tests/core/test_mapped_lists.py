from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.target.mapped import ProfileTarget
from harness.target.wire import NoReply, Reply
from tests.core.making import TIMEOUT, answer, drive, profile

if TYPE_CHECKING:
    from harness.target.protocol import Outcome
    from harness.target.wire import Call


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
