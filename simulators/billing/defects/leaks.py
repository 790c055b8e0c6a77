"""Mistakes that put card data or secrets where they must not be, or let input become code."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import select, text
from starlette.datastructures import Headers

from simulators.billing import logs, paging
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import auth, card_data, door, errors, once
from simulators.billing.http.door import Door
from simulators.billing.identifiers import Vault
from simulators.billing.storage.tables import ApiKey

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
    from simulators.billing.problems import Rejection

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


@defect(
    "card-data-kept-with-an-event",
    "logging",
    breaks=7,
    found_by=("test_no_card_data_reaches_the_database",),
)
def card_data_kept_with_an_event(overlay: Overlay) -> None:
    """Store an event as it came, with the card number that somebody wrote into a description."""
    overlay.replace(card_data, "without_card_data", lambda value: value)


@defect(
    "request-id-echoed-whatever-it-is",
    "logging",
    breaks=7,
    found_by=("test_no_answer_shows_card_data",),
)
def request_id_echoed_whatever_it_is(overlay: Overlay) -> None:
    """Take a caller's request id over as it is, a card number too, into answers and logs."""

    def request_id(scope: Scope) -> str:
        told = Headers(scope=scope).get("x-request-id", "")
        made: str = genuine(scope)
        return told if told.isprintable() and told else made

    genuine = overlay.replace(door, "_request_id", request_id)


@defect(
    "key-under-a-broken-hash",
    "logging",
    breaks=7,
    found_by=("test_no_key_is_stored_under_a_broken_hash",),
)
def key_under_a_broken_hash(overlay: Overlay) -> None:
    """Store API keys as their MD5, without a secret of the service's own."""

    def digest(self: Vault, purpose: str, *parts: str | bytes) -> str:
        hashed: str = genuine(self, purpose, *parts)
        if purpose != "api key":
            return hashed
        return hashlib.md5(str(parts[0]).encode(), usedforsecurity=False).hexdigest()

    genuine = overlay.replace(Vault, "digest", digest)


@defect(
    "refusals-not-logged",
    "logging",
    breaks=10,
    found_by=("test_who_was_refused_can_be_found_in_the_log",),
)
def refusals_not_logged(overlay: Overlay) -> None:
    """Log what went well, so that nobody sees who tries keys and ids."""

    class _Quiet:
        def info(self, event: str, **about: Any) -> None:
            if about.get("status") not in {401, 403, 404}:
                genuine.info(event, **about)

        def error(self, event: str, **about: Any) -> None:
            genuine.error(event, **about)

    genuine = overlay.replace(door, "log", _Quiet())


@defect(
    "ended-key-told-from-none",
    "logging",
    breaks=6,
    found_by=("test_a_key_that_was_good_is_refused_like_any_other",),
)
def ended_key_told_from_none(overlay: Overlay) -> None:
    """Say in a 401 that the key was revoked, which tells that it was somebody's."""

    def refused(request: Request, *, is_presented: bool) -> Rejection:
        problem: Rejection = genuine(request, is_presented=is_presented)
        core = auth.core_of(request)
        digest = core.vault.digest("api key", request.headers.get("x-api-key", ""))
        with core.database.read() as session:
            if session.scalar(select(ApiKey).where(ApiKey.digest == digest)) is not None:
                problem.detail = "This API key was revoked."
        return problem

    genuine = overlay.replace(auth, "refused_credential", refused)


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
