from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.operations import OPERATIONS
from harness.target.interpret import interpret
from harness.target.wire import NoReply, Reply
from tests.core.making import CREATE, SUBSCRIBE, answer, profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.target.protocol import Outcome

DECLINED = {"code": "card_declined", "status": 402, "body": "error.type == 'card'"}


def _outcome(
    received: Reply | NoReply,
    operation: str = "subscribe",
    /,
    *,
    catalog: Mapping[str, Any] | None = None,
    **mapping: Any,
) -> Outcome:
    base = {"subscribe": SUBSCRIBE, "create_customer": CREATE}.get(operation, {"request": "GET /x"})
    made = profile(
        {operation: {**base, **mapping}},
        target={"refusal_code": "error.code"},
        catalog=catalog or {},
    )
    return interpret(OPERATIONS[operation], made.operations[operation], made, received)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_success_that_is_understood_is_ok(status: int) -> None:
    """Any 2xx with the outputs that are due is *ok*, and its outputs are told by name."""
    outcome = _outcome(answer(status, {"id": "s1", "status": "live"}))
    assert (outcome.kind, dict(outcome.outputs)) == ("ok", {"subscription": "s1", "status": "live"})


@given(st.integers(300, 599) | st.integers(100, 199))
def test_no_status_of_its_own_means_failure(status: int) -> None:
    """Only a 4xx is a refusal by itself; every other status that is no success is *unknown*."""
    outcome = _outcome(answer(status, {"error": {"code": "odd"}}))
    assert outcome.kind == ("refused" if 400 <= status < 500 else "unknown")
    assert outcome.code == ("odd" if 400 <= status < 500 else None)


@pytest.mark.parametrize(
    "reply",
    [
        NoReply("timeout", sent=True),
        NoReply("reset", sent=True, detail="Connection reset by peer"),
        NoReply("unreachable", sent=False),
        NoReply("not_http", sent=True),
        NoReply("too_large", sent=True),
    ],
    ids=lambda reply: reply.reason,
)
def test_no_reply_is_never_a_failure(reply: NoReply) -> None:
    """However an answer went missing, the operation may have happened, and the reason is kept."""
    outcome = _outcome(reply)
    assert outcome.kind == "unknown"
    assert reply.reason in (outcome.reason or "")
    assert reply.detail in (outcome.reason or "")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, (("Content-Type", "text/html"),), b"<html>Welcome</html>"),
        Reply(200, (), b""),
        Reply(200, (), b"\xff\xfe"),
        answer(200, {"data": {}}),
        answer(200, {"id": ""}),
        answer(200, {"id": None}),
        answer(200, ["id"]),
        answer(200, "id"),
    ],
    ids=["html", "empty", "binary", "elsewhere", "blank", "null", "list", "text"],
)
def test_a_success_that_cannot_be_understood_is_unknown(reply: Reply) -> None:
    """A 2xx without what must be in it may be anything, and what came is quoted."""
    outcome = _outcome(reply, "create_customer")
    assert outcome.kind == "unknown"
    assert "expected" in (outcome.reason or "")
    assert "received" in (outcome.reason or "")


def test_a_customers_credential_is_known_even_where_its_id_is_not_found() -> None:
    """What cannot be understood may still hold a secret, which must be told to be kept quiet."""
    outcome = _outcome(answer(201, {"api_key": "key-of-a-customer"}), "create_customer")
    assert outcome.kind == "unknown"
    assert outcome.get("credential") == "key-of-a-customer"
    assert outcome.get("customer") is None


def test_a_5xx_is_a_refusal_by_status_and_condition_only() -> None:
    """A declared 5xx needs its status *and* its condition, be that a body's or the code's."""
    card, other = {"error": {"type": "card"}}, {"error": {"type": "other"}}
    by_body = {"code": "card_declined", "status": 503, "body": "error.type == 'card'"}
    assert _outcome(answer(503, card), refused=[by_body]).code == "card_declined"
    assert _outcome(answer(503, other), refused=[by_body]).kind == "unknown"
    assert _outcome(answer(500, card), refused=[by_body]).kind == "unknown"
    by_code = {"code": "busy", "status": 503}
    assert _outcome(answer(503, {"error": {"code": "busy"}}), refused=[by_code]).code == "busy"
    assert _outcome(answer(503, card), refused=[by_code]).kind == "unknown"
    anywhere = {"code": "card_declined", "body": "error.type == 'card'"}
    assert _outcome(answer(503, card), refused=[anywhere]).kind == "unknown"


def test_a_4xx_is_refused_with_the_first_code_that_fits() -> None:
    """The harness's code, where the profile has one; else the target's; else the status."""
    card = {"error": {"type": "card", "code": "own"}}
    assert _outcome(answer(402, card), refused=[DECLINED]).code == "card_declined"
    assert _outcome(answer(402, {"error": {"code": "own"}}), refused=[DECLINED]).code == "own"
    assert _outcome(answer(404, {}), refused=[DECLINED]).code == "http_404"
    assert _outcome(Reply(404, (), b"<html>"), refused=[DECLINED]).code == "http_404"
    by_status = {"code": "gone", "status": 410}
    assert _outcome(answer(410, {}), refused=[by_status]).code == "gone"
    assert _outcome(answer(409, {}), refused=[by_status]).code == "http_409"


def test_a_success_may_be_declared_a_refusal() -> None:
    """A target that answers 200 to everything is read by its body."""
    refusal = {"code": "card_declined", "body": "ok == `false`"}
    assert _outcome(answer(200, {"ok": False}), refused=[refusal]).code == "card_declined"
    assert _outcome(answer(200, {"ok": True}), refused=[refusal]).kind == "ok"


def test_declared_statuses_are_the_only_successes() -> None:
    """With `ok`, no other 2xx is one, and a status beyond 2xx may be."""
    assert _outcome(answer(200, {}), ok=[201]).kind == "unknown"
    assert _outcome(answer(302, {}), ok=[302]).kind == "ok"
    assert _outcome(answer(404, {}), ok=[200, 404]).kind == "ok"


def test_an_accepted_status_is_no_success_yet() -> None:
    """A declared status, or 202 where something settles, means that it was taken on."""
    settle = {"poll": "GET /jobs/{customer}", "until": "`true`"}
    assert _outcome(answer(202, {}), accepted=[202]).kind == "accepted"
    assert _outcome(answer(202, {}), settle=settle).kind == "accepted"
    assert _outcome(answer(200, {}), settle=settle).kind == "ok"
    assert _outcome(answer(202, {})).kind == "ok"


def test_values_are_told_in_the_harness_words() -> None:
    """A target's word for a state becomes the harness's, and what is not listed stays."""
    values = {"status": {"running": "active"}}
    assert _outcome(answer(200, {"status": "running"}), values=values)["status"] == "active"
    assert _outcome(answer(200, {"status": "odd"}), values=values)["status"] == "odd"


def test_outputs_come_from_headers_too() -> None:
    """A header's value is an output, whole or by a pattern's group, whatever the header's case."""
    reply = {"customer": r"header:location | /customers\/([^\/]+)$/", "credential": "header:X-Key"}
    outcome = _outcome(
        Reply(201, (("LOCATION", "/v1/customers/c7"), ("x-key", "k"))),
        "create_customer",
        reply=reply,
    )
    assert dict(outcome.outputs) == {"customer": "c7", "credential": "k"}
    lost = _outcome(Reply(201, (("Location", "/elsewhere"),)), "create_customer", reply=reply)
    assert lost.kind == "unknown"


@pytest.mark.parametrize(
    ("form", "currency", "value", "minor"),
    [
        ("minor", "usd", 1250, 1250),
        ("decimal_string", "usd", "12.50", 1250),
        ("decimal_number", "usd", Decimal("12.5"), 1250),
        ("decimal_string", "jpy", "1250", 1250),
        ("decimal_number", "kwd", 1, 1000),
    ],
)
def test_money_is_read_in_the_targets_form(
    form: str, currency: str, value: object, minor: int
) -> None:
    """An output in minor units is computed from whatever the target writes."""
    catalog = {"money": form, "currency": currency}
    body = f'{{"owed": {value if not isinstance(value, str) else chr(34) + value + chr(34)}}}'
    reply = Reply(200, (), body.encode())
    outcome = _outcome(reply, "get_balance", catalog=catalog, reply={"owed_minor": "owed"})
    assert outcome["owed_minor"] == minor


@pytest.mark.parametrize("value", ["12.505", 12.5, True, "free", "1e999999999"])
def test_money_that_is_none_makes_the_reply_unknown(value: object) -> None:
    """What is not exactly an amount in the declared form is not understood, never rounded."""
    outcome = _outcome(
        answer(200, {"owed": value}),
        "get_balance",
        catalog={"money": "decimal_string"},
        reply={"owed_minor": "owed"},
    )
    assert outcome.kind == "unknown"
    assert "owed_minor" in (outcome.reason or "")


@given(st.binary(max_size=60), st.integers(100, 599))
def test_no_body_breaks_the_interpreter(body: bytes, status: int) -> None:
    """Whatever bytes come with whatever status, there is an outcome."""
    outcome = _outcome(Reply(status, (), body), refused=[DECLINED])
    assert outcome.kind in {"ok", "refused", "unknown"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1769860800, 1769860800),
        ("2026-01-31T12:00:00Z", 1769860800),
        ("2026-01-31T13:00:00+01:00", 1769860800),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
        ("soon", "soon"),
    ],
)
def test_a_moment_is_read_in_unix_seconds(written: object, read: object) -> None:
    """Times come as numbers or as RFC 3339; without a zone they say no moment, and stay text."""
    mapping = {"reply": {"period_end": "ends"}}
    outcome = _outcome(answer(200, {"ends": written}), "get_subscription", **mapping)
    assert outcome["period_end"] == read
