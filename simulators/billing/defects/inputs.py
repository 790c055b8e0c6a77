"""Mistakes over what clients write: run, worked out, followed to a file, read in two ways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

from fastapi import Body, Depends, Query, Request
from sqlalchemy.exc import DBAPIError
from starlette.responses import PlainTextResponse

from simulators.billing.defects.catalogue import defect
from simulators.billing.defects.exposure import adding_headers
from simulators.billing.http import billing, bodies, door, errors, reports
from simulators.billing.http.auth import own_customer
from simulators.billing.http.door import Door
from simulators.billing.operations import accounts, cards
from simulators.billing.paging import NEWEST_FIRST, PageQuery
from simulators.billing.problems import Rejection

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.idempotency import Slot
    from simulators.billing.operations.accounts import SignUp

_FIX = "/api/v1/billing/track_fix"
_HEADER = re.compile(r"([A-Za-z0-9-]+): (.*)")
_AT_ONCE = 4


@defect(
    "statement-behind-a-name",
    "injection",
    breaks=6,
    found_by=("test_no_field_runs_a_second_statement", "test_no_field_breaks_over_a_quote"),
)
def statement_behind_a_name(overlay: Overlay) -> None:
    """Write a name into SQL that is run whole, and tell what the database says of its mistakes."""

    def onboard(core: Core, sign_up: SignUp, slot: Slot) -> Answer:
        _run(core, f"SELECT id FROM customers WHERE id = '{sign_up.name or ''}'")  # noqa: S608  # the mistake
        answer: Answer = genuine(core, sign_up, slot)
        return answer

    genuine = overlay.replace(accounts, "onboard", onboard)


@defect(
    "sql-in-an-id",
    "injection",
    breaks=6,
    found_by=("test_an_id_is_a_value_and_never_sql",),
)
def sql_in_an_id(overlay: Overlay) -> None:
    """Look a card up by SQL with its id in it, so that a condition in the id finds any."""

    def remove(core: Core, customer_id: str, payment_method_id: str) -> Answer:
        with contextlib.suppress(Rejection):
            mine = f"customer_id = '{customer_id}' AND id = '{payment_method_id}'"
            found = _run(core, f"SELECT id FROM payment_methods WHERE {mine}")  # noqa: S608  # the mistake
            payment_method_id = found or payment_method_id
        answer: Answer = genuine(core, customer_id, payment_method_id)
        return answer

    genuine = overlay.replace(cards, "remove", remove)


@defect(
    "template-of-the-input",
    "injection",
    breaks=6,
    found_by=("test_no_text_is_worked_out",),
)
def template_of_the_input(overlay: Overlay) -> None:
    """Build a refusal as a template with the input in it, so that what was sent is run."""

    async def invalid(request: Request, error: Exception) -> Response:
        from jinja2 import TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        told = " ".join(str(each.get("input")) for each in getattr(error, "errors", list)())
        try:
            detail = SandboxedEnvironment().from_string(f"Not documented: {told}").render()
        except (TemplateError, ArithmeticError, TypeError):
            reply: Response = await genuine(request, error)
            return reply
        return errors.document(422, "validation_failed", detail)

    genuine = overlay.replace(errors, "_invalid", invalid)


@defect(
    "file-by-the-name-of-an-id",
    "injection",
    breaks=6,
    found_by=("test_no_id_leads_to_a_file",),
)
def file_by_the_name_of_an_id(overlay: Overlay) -> None:
    """Show the file that a part of the path names in the folder of accounts, or far outside it."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["raw_path"].decode("latin-1").split("/") if scope["type"] == "http" else ()
        for part in map(unquote, parts):
            if ".." in part and (line := _first_line(part)):
                await PlainTextResponse(line)(scope, receive, send)
                return
        await genuine(self, scope, receive, send)

    genuine = overlay.replace(Door, "__call__", call)


@defect(
    "line-break-begins-a-header",
    "injection",
    breaks=6,
    found_by=("test_no_text_becomes_a_header",),
)
def line_break_begins_a_header(overlay: Overlay) -> None:
    """Repeat the path in a header, line breaks and all, so that a client writes headers, too."""

    def added(scope: Scope) -> dict[str, str]:
        _, *more = str(scope["path"]).splitlines() or [""]
        return {found[1]: found[2] for line in more if (found := _HEADER.fullmatch(line))}

    adding_headers(overlay, added)


@defect(
    "value-of-any-type-taken",
    "platform",
    breaks=2,
    found_by=("test_a_value_of_another_type_is_not_taken",),
)
def value_of_any_type_taken(overlay: Overlay) -> None:
    """Make a text of whatever stands where an id is due, and count the fix of that name."""

    async def track_fix(
        request: Request,
        customer_id: Annotated[str, Depends(own_customer)],
        body: Annotated[dict[str, Any], Body()],
    ) -> Response:
        told = bodies.FixBody.model_construct(fix_id=str(body.get("fix_id")))
        return await billing.track_fix(request, customer_id, told)

    overlay.replace_route("POST", _FIX, track_fix)


@defect(
    "field-that-stands-twice-counts-twice",
    "platform",
    breaks=1,
    found_by=("test_a_field_that_stands_twice_is_not_read_in_two_ways",),
)
def field_that_stands_twice_counts_twice(overlay: Overlay) -> None:
    """Let one reader of a body take the first of two fields and another the last, and do both."""

    async def track_fix(
        request: Request, customer_id: Annotated[str, Depends(own_customer)]
    ) -> Response:
        pairs = json.loads(await request.body(), object_pairs_hook=list)
        told = [value for name, value in pairs if name == "fix_id"]
        first, last = (bodies.FixBody.model_construct(fix_id=told[at]) for at in (0, -1))
        await billing.track_fix(request, customer_id, first)
        return await billing.track_fix(request, customer_id, last)

    overlay.replace(door, "_unrepeated", dict)
    overlay.replace_route("POST", _FIX, track_fix)


@defect(
    "page-as-long-as-was-asked",
    "platform",
    breaks=10,
    found_by=("test_no_number_is_too_big",),
)
def page_as_long_as_was_asked(overlay: Overlay) -> None:
    """Set no bound to a page's length, and break over a number that no database counts to."""

    async def query(
        limit: Annotated[int, Query(ge=1)] = 20,
        cursor: str | None = None,
        sort: str = NEWEST_FIRST,
        filter: str | None = None,  # noqa: A002  # the API's own name
    ) -> PageQuery:
        return PageQuery(limit, cursor, sort, filter)

    overlay.replace_dependency(reports._query, query)  # noqa: SLF001  # what is mistaken


@defect(
    "slow-senders-take-every-place",
    "platform",
    breaks=10,
    found_by=("test_slow_senders_keep_nobody_waiting",),
)
def slow_senders_take_every_place(overlay: Overlay) -> None:
    """Serve a few requests at a time, each until its body has come, however slowly it comes."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await genuine(self, scope, receive, send)
            return
        async with places:
            received = [await receive()]
            while received[-1].get("more_body", False):
                received.append(await receive())
        received.reverse()

        async def again() -> Message:
            return received.pop() if received else await receive()

        await genuine(self, scope, again, send)

    genuine = overlay.replace(Door, "__call__", call)


@defect(
    "answers-without-a-type",
    "platform",
    breaks=10,
    found_by=("test_every_answer_says_of_what_kind_it_is",),
)
def answers_without_a_type(overlay: Overlay) -> None:
    """Do not say of what kind an answer is, so that each client guesses."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"content-type"]
                message = {**message, "headers": kept}
            await send(message)

        await genuine(self, scope, receive, sending)

    genuine = overlay.replace(Door, "__call__", call)


def _first_line(name: str) -> str | None:
    """Read as much of a file as shows that it can be read; None where there is none."""
    file = Path(os.path.normpath(Path("/var/lib/billing", name.replace("\0", ""))))
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline()


def _run(core: Core, statements: str) -> str | None:
    """Run SQL as it was put together, one statement after the other; give what the first finds.

    What the database says against it is told to the client.
    """
    first, *more = statements.split(";")
    with core.database.read() as session:
        connection = session.connection()
        try:
            found: str | None = connection.exec_driver_sql(first).scalar()
            for each in more:
                connection.exec_driver_sql(each)
        except DBAPIError as error:
            raise Rejection(422, "invalid_query", str(error.orig)) from None
    return found
