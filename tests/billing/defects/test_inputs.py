"""Defects over what clients write, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Message

    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
FIX = "/api/v1/billing/track_fix"
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "scheme": "http",
    "method": "GET",
    "path": "/health",
    "raw_path": b"/health",
    "query_string": b"",
    "headers": [],
    "client": ("127.0.0.1", 1),
    "server": ("shop", 80),
}


def test_statement_behind_a_name(both: Both) -> None:
    """A name with SQL in it is a name, or is run and answered by the database."""

    def story(shop: Shop) -> list[int]:
        names = ("'; SELECT 1 --", "'; SELECT x --")
        made = [{"email": f"s{n}@example.com", "name": name} for n, name in enumerate(names)]
        post = shop.client().post
        return [post("/api/v1/customers/onboard", json=body).status_code for body in made]

    assert both("statement-behind-a-name", story) == ([201, 201], [201, 422])


def test_sql_in_an_id(both: Both) -> None:
    """A condition in a card's id finds nothing, or the card."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant("pm_card_visa")
        path = f"{tenant.path}/payment-methods/x' OR '1'='1"
        return tenant.http.delete(path).status_code

    assert both("sql-in-an-id", story) == (404, 200)


def test_template_of_the_input(both: Both) -> None:
    """A sum in a refused field stays one, or is worked out."""

    def story(shop: Shop) -> bool:
        reply = shop.tenant().http.post(FIX, json={"fix_id": "{{41*271}}"})
        assert reply.status_code == 422
        return "11111" in reply.text

    assert both("template-of-the-input", story) == (False, True)


def test_file_by_the_name_of_an_id(both: Both) -> None:
    """A path for an id finds no customer, or a file."""

    def story(shop: Shop) -> int:
        return shop.tenant().http.get("/api/v1/customers/..%2F..%2F..%2Fetc%2Fpasswd").status_code

    assert both("file-by-the-name-of-an-id", story) == (404, 200)


def test_line_break_begins_a_header(both: Both) -> None:
    """A line break in a path begins no header, or does."""

    def story(shop: Shop) -> bool:
        reply = shop.tenant().http.get("/api/v1/customers/x%0D%0AX-Mine%3A%201")
        return "X-Mine" in reply.headers

    assert both("line-break-begins-a-header", story) == (False, True)


def test_value_of_any_type_taken(both: Both) -> None:
    """A list for an id is refused, or is an id."""

    def story(shop: Shop) -> int:
        return shop.tenant().http.post(FIX, json={"fix_id": []}).status_code

    assert both("value-of-any-type-taken", story) == (422, 200)


def test_field_that_stands_twice_counts_twice(both: Both) -> None:
    """A body with a field twice is refused, or is two fixes."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant = shop.tenant()
        headers = {"Content-Type": "application/json"}
        body = b'{"fix_id": "one", "fix_id": "other"}'
        status = tenant.http.post(FIX, content=body, headers=headers).status_code
        return status, tenant.get("/usage")["credit_balance"]

    assert both("field-that-stands-twice-counts-twice", story) == ((400, 5), (200, 3))


def test_page_as_long_as_was_asked(both: Both) -> None:
    """A page of more than any number is refused, or breaks the service."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        return tenant.http.get(f"{tenant.path}/transactions?limit={2**63}").status_code

    assert both("page-as-long-as-was-asked", story) == (422, 500)


def test_slow_senders_take_every_place(both: Both) -> None:
    """Whoever sends slowly keeps nobody waiting, or everybody."""

    def story(shop: Shop) -> str:
        first: str = shop.portal.call(_first_answered, shop.app)
        return first

    assert both("slow-senders-take-every-place", story) == ("quick", "slow")


def test_answers_without_a_type(both: Both) -> None:
    """An answer says of what kind it is, or not."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        return "Content-Type" in tenant.http.get(tenant.path).headers

    assert both("answers-without-a-type", story) == (True, False)


async def _first_answered(app: FastAPI) -> str:
    """Ask quickly while four send slowly, each until the other has its answer or gives up; tell."""
    told: list[str] = []
    quick_is_done = anyio.Event()

    async def ask(who: str) -> None:
        async def receive() -> Message:
            if who == "slow":
                with anyio.move_on_after(1):
                    await quick_is_done.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.append(who)

        await app({**SCOPE, "state": {}}, receive, send)
        if who == "quick":
            quick_is_done.set()

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(ask, "slow")
        await anyio.lowlevel.checkpoint()
        group.start_soon(ask, "quick")
    return told[0]
