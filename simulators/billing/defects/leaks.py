"""Mistakes that put card data or secrets where they must not be, or let input become code."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import text

from simulators.billing import logs, paging
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import door, errors, once
from simulators.billing.http.door import Door
from simulators.billing.identifiers import Vault

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from simulators.billing import idempotency
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.paging import Listing

log = structlog.get_logger("billing.http")


@defect(
    "card-code-in-the-log",
    "logging",
    breaks=7,
    found_by=("test_no_card_data_reaches_a_log",),
)
def card_code_in_the_log(overlay: Overlay) -> None:
    """Log a body that is refused for its card data; the number is masked, the code is not."""
    _log_refused_cards(overlay)


@defect(
    "spaced-card-number-in-the-log",
    "logging",
    breaks=7,
    found_by=("test_no_card_data_reaches_a_log",),
)
def spaced_card_number_in_the_log(overlay: Overlay) -> None:
    """Mask sixteen digits in a row in the log, and no card number that is written in groups."""
    _log_refused_cards(overlay)
    overlay.replace(logs, "_SECRET", re.compile(r"\b\d{16}\b|\b[brs]k_[A-Za-z0-9_-]{8,}"))


@defect(
    "error-echoes-the-input",
    "logging",
    breaks=7,
    found_by=("test_an_error_repeats_nothing_of_the_input",),
)
def error_echoes_the_input(overlay: Overlay) -> None:
    """Say in a 422 what was sent, a mistyped card number too."""

    async def invalid(request: Request, error: Exception) -> Response:
        reply: Response = await genuine(request, error)
        if not isinstance(error, RequestValidationError) or reply.status_code != 422:  # noqa: PLR2004  # HTTP's own
            return reply
        problem = json.loads(bytes(reply.body))
        for field, each in zip(problem["errors"], error.errors(), strict=True):
            field["input"] = str(each.get("input"))
        return JSONResponse(problem, reply.status_code, media_type=reply.media_type)

    genuine = overlay.replace(errors, "_invalid", invalid)


@defect(
    "api-key-in-the-log",
    "logging",
    breaks=7,
    found_by=("test_no_key_reaches_a_log",),
)
def api_key_in_the_log(overlay: Overlay) -> None:
    """Log the headers of a refused request, in a dictionary that the scrubber passes by."""

    async def problem(request: Request, error: Exception) -> Response:
        log.warning("refused", headers=dict(request.headers))
        reply: Response = await genuine(request, error)
        return reply

    genuine = overlay.replace(errors, "_problem", problem)


@defect(
    "request-dumped-on-a-crash",
    "logging",
    breaks=7,
    found_by=("test_a_crash_leaves_no_secret_in_the_log",),
)
def request_dumped_on_a_crash(overlay: Overlay) -> None:
    """Dump the whole request to the error log when something breaks."""

    async def internal(request: Request, error: Exception) -> Response:
        sys.stderr.write(f"{request.method} {request.url} {dict(request.headers)}\n")
        reply: Response = await genuine(request, error)
        return reply

    genuine = overlay.replace(errors, "_internal", internal)


@defect(
    "api-key-plain-in-the-database",
    "logging",
    breaks=7,
    found_by=("test_no_secret_is_in_the_database",),
)
def api_key_plain_in_the_database(overlay: Overlay) -> None:
    """Store API keys as they are, and look them up by comparing."""

    def digest(self: Vault, purpose: str, *parts: str | bytes) -> str:
        hashed: str = genuine(self, purpose, *parts)
        return str(parts[0]) if purpose == "api key" else hashed

    genuine = overlay.replace(Vault, "digest", digest)


@defect(
    "secret-answers-kept-in-plain",
    "logging",
    breaks=7,
    found_by=("test_no_secret_is_in_the_database",),
)
def secret_answers_kept_in_plain(overlay: Overlay) -> None:
    """Keep every answer as it is for its idempotency key, those that show a new API key too."""

    def asked(
        request: Request, owner: str | None, body: BaseModel | None, *, is_secret: bool
    ) -> idempotency.Request | None:
        found: idempotency.Request | None = genuine(request, owner, body, is_secret=is_secret)
        return found and replace(found, is_secret=False)

    genuine = overlay.replace(once, "asked", asked)


class _Pasted:
    """A column that is compared by writing the value into the statement."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __eq__(self, value: object) -> ColumnElement[bool]:  # type: ignore[override]  # as SQLAlchemy's columns do
        return text(f"{self._name} = '{value}'".replace(":", r"\:"))  # type: ignore[return-value]  # `where` takes text, too

    __hash__ = object.__hash__


@defect(
    "sql-in-a-filter",
    "injection",
    breaks=6,
    found_by=("test_a_filter_is_a_value_and_never_sql",),
)
def sql_in_a_filter(overlay: Overlay) -> None:
    """Write the value of a filter into the SQL, so that a quote in it ends the string."""

    def read(listing: Listing, told: str) -> tuple[Any, str]:
        column: InstrumentedAttribute[Any]
        column, value = genuine(listing, told)
        return _Pasted(column.key), value

    genuine = overlay.replace(paging, "_filter", read)


@defect(
    "line-breaks-in-the-log",
    "injection",
    breaks=10,
    found_by=("test_a_request_forges_no_line_of_the_log",),
)
def line_breaks_in_the_log(overlay: Overlay) -> None:
    """Log the path as it came, line breaks and all, so that a request forges lines of the log."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sys.stderr.write(f"access {scope['method']} {scope['path']}\n")
        await genuine(self, scope, receive, send)

    genuine = overlay.replace(Door, "__call__", call)


def _log_refused_cards(overlay: Overlay) -> None:
    """Have a body with card data be logged when it is refused."""

    def has_card(body: bytes) -> bool:
        found: bool = genuine(body)
        if found:
            log.warning("card_data_refused", body=body.decode("latin-1"))
        return found

    genuine = overlay.replace(door, "_has_card", has_card)
