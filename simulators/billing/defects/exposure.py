"""Mistakes of a service as a server: what it tells strangers, whom it believes, whom it calls."""

from __future__ import annotations

import contextlib
import itertools
import socket
import traceback
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from simulators.billing import identifiers
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import auth, bodies, door, errors, metrics, once
from simulators.billing.http.auth import Caller, authenticate
from simulators.billing.http.door import Door
from simulators.billing.operations import accounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.idempotency import Slot
    from simulators.billing.operations.accounts import SignUp
    from simulators.billing.problems import Rejection

_CALL_S = 0.5


@defect(
    "answers-for-browsers-to-guess-at",
    "platform",
    breaks=7,
    found_by=(
        "test_no_answer_is_for_browsers_to_guess_at",
        "test_no_answer_can_be_framed",
        "test_nothing_personal_is_kept_on_the_way",
    ),
)
def answers_for_browsers_to_guess_at(overlay: Overlay) -> None:
    """Say nothing of caches, frames and types, so that browsers and proxies do as they like."""
    overlay.replace(door, "_POLICY", {})


@defect(
    "any-origin-let-in",
    "platform",
    breaks=6,
    found_by=("test_no_foreign_page_may_read_with_somebodys_rights",),
)
def any_origin_let_in(overlay: Overlay) -> None:
    """Repeat whatever origin asks, with its visitor's rights, since that made the page work."""

    def added(scope: Scope) -> dict[str, str]:
        origin = Headers(scope=scope).get("origin")
        rights = {"Access-Control-Allow-Credentials": "true"}
        return {"Access-Control-Allow-Origin": origin, **rights} if origin else {}

    adding_headers(overlay, added)


@defect(
    "version-of-the-server-told",
    "platform",
    breaks=7,
    found_by=("test_no_answer_tells_the_version_of_a_program",),
)
def version_of_the_server_told(overlay: Overlay) -> None:
    """Name the server and its version in every answer, as it comes out of the box."""
    adding_headers(overlay, lambda _: {"Server": "uvicorn/0.34.0"})


@defect(
    "trace-answered",
    "platform",
    breaks=7,
    found_by=("test_no_unknown_method_does_anything",),
)
def trace_answered(overlay: Overlay) -> None:
    """Answer TRACE with the request, its key too."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "TRACE":
            told = "\n".join(f"{name}: {value}" for name, value in Headers(scope=scope).items())
            await PlainTextResponse(told)(scope, receive, send)
            return
        await genuine(self, scope, receive, send)

    genuine = overlay.replace(Door, "__call__", call)


@defect(
    "method-of-a-header-believed",
    "platform",
    breaks=4,
    found_by=("test_no_header_turns_reading_into_writing",),
)
def method_of_a_header_believed(overlay: Overlay) -> None:
    """Do what `X-HTTP-Method-Override` says, so that a GET closes an account."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method = Headers(scope=scope).get("x-http-method-override", scope["method"])
            scope = {**scope, "method": method}
        await genuine(self, scope, receive, send)

    genuine = overlay.replace(Door, "__call__", call)


@defect(
    "links-to-the-host-that-was-named",
    "platform",
    breaks=6,
    found_by=("test_no_answer_leads_to_a_host_that_the_client_named",),
)
def links_to_the_host_that_was_named(overlay: Overlay) -> None:
    """Build links from the request's `Host`, which leads whoever follows them to a stranger."""

    def added(scope: Scope) -> dict[str, str]:
        host = Headers(scope=scope).get("host", "")
        return {"Link": f"<http://{host}/docs>; rel=service-doc"}

    adding_headers(overlay, added)


@defect(
    "two-lengths-accepted",
    "platform",
    breaks=6,
    found_by=("test_a_request_ends_where_one_length_says",),
)
def two_lengths_accepted(overlay: Overlay) -> None:
    """Take a request with a length and chunks, and go on with what follows either's end."""
    overlay.replace(door, "_LENGTHS", {b"no such header"})


@defect(
    "metrics-open-to-strangers",
    "platform",
    breaks=7,
    found_by=("test_nothing_of_the_inside_is_open_to_strangers",),
)
def metrics_open_to_strangers(overlay: Overlay) -> None:
    """Show the metrics, and with them what the business earns, to whoever asks."""

    def anybody() -> None:
        """Let them pass."""

    overlay.replace_dependency(metrics._authorise, anybody)  # noqa: SLF001  # what is mistaken


@defect(
    "stack-trace-in-the-answer",
    "platform",
    breaks=7,
    found_by=("test_a_crash_leaves_no_secret_in_the_log",),
)
def stack_trace_in_the_answer(overlay: Overlay) -> None:
    """Answer with the stack trace when something breaks, as a debug mode does."""

    async def internal(request: Request, error: Exception) -> Response:
        await genuine(request, error)
        return PlainTextResponse("".join(traceback.format_exception(error)), 500)

    genuine = overlay.replace(errors, "_internal", internal)


@defect(
    "address-in-a-name-called",
    "platform",
    breaks=6,
    found_by=("test_nothing_calls_an_address_that_a_client_names",),
)
def address_in_a_name_called(overlay: Overlay) -> None:
    """Fetch a customer's picture from wherever the sign-up says that it is."""

    def onboard(core: Core, sign_up: SignUp, slot: Slot) -> Answer:
        parts = urlsplit(sign_up.name or "")
        if parts.scheme == "http" and parts.port:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((parts.hostname, parts.port), _CALL_S) as there,
            ):
                there.sendall(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        answer: Answer = genuine(core, sign_up, slot)
        return answer

    genuine = overlay.replace(accounts, "onboard", onboard)


@defect(
    "any-content-type-taken-for-json",
    "platform",
    breaks=4,
    found_by=("test_a_body_of_another_kind_is_not_taken",),
)
def any_content_type_taken_for_json(overlay: Overlay) -> None:
    """Read every body as JSON, also one that any page can send without asking first."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope = {**scope, "headers": [*kept, (b"content-type", b"application/json")]}
        await genuine(self, scope, receive, send)

    genuine = overlay.replace(Door, "__call__", call)


@defect(
    "deep-json-breaks",
    "platform",
    breaks=10,
    found_by=("test_a_heavy_body_harms_nothing",),
)
def deep_json_breaks(overlay: Overlay) -> None:
    """Walk through a body by recursion, and break over one that is nested too deep."""

    def has_card(body: bytes) -> bool:
        deepest = max(itertools.accumulate((b in b"[{") - (b in b"]}") for b in body), default=0)
        if deepest > 1000:  # noqa: PLR2004  # Python's own recursion limit
            raise RecursionError("maximum recursion depth exceeded")
        found: bool = genuine(body)
        return found

    genuine = overlay.replace(door, "_has_card", has_card)


@defect(
    "address-as-it-was-typed",
    "platform",
    breaks=2,
    found_by=("test_one_address_in_other_letters_is_one_customer",),
)
def address_as_it_was_typed(overlay: Overlay) -> None:
    """Know a customer by the very letters of the e-mail, so that capitals earn a second welcome."""

    async def onboard(request: Request, body: bodies.OnboardBody) -> Response:
        from simulators.billing.http import customers

        told = await request.json()
        as_typed = body.model_copy(update={"email": str(told["email"])})
        return await customers.onboard(request, as_typed)

    overlay.replace_route("POST", "/api/v1/customers/onboard", onboard)


@defect(
    "ids-counted-up",
    "platform",
    breaks=6,
    found_by=("test_ids_cannot_be_counted_up",),
)
def ids_counted_up(overlay: Overlay) -> None:
    """Give customers and their things numbers, in the order in which they come."""
    numbers = itertools.count(1_000_000)
    overlay.replace(identifiers, "new_id", lambda prefix: f"{prefix}_{next(numbers):08d}")


@defect(
    "keys-that-can-be-guessed",
    "platform",
    breaks=6,
    found_by=("test_no_key_can_be_guessed",),
)
def keys_that_can_be_guessed(overlay: Overlay) -> None:
    """Make keys of 64 bits, of which the upper half is a counter."""
    numbers = itertools.count(1)

    def new_api_key() -> str:
        return f"bk_{next(numbers):08x}{genuine()[3:11]}"

    genuine = overlay.replace(identifiers, "new_api_key", new_api_key)


@defect(
    "refusal-without-a-challenge",
    "platform",
    breaks=10,
    found_by=("test_every_operation_asks_who_is_calling",),
)
def refusal_without_a_challenge(overlay: Overlay) -> None:
    """Answer 401 and do not say how to identify oneself."""

    def unauthenticated() -> Rejection:
        problem: Rejection = genuine()
        del problem.headers["WWW-Authenticate"]
        return problem

    genuine = overlay.replace(auth, "unauthenticated", unauthenticated)


@defect(
    "customer-of-a-header-believed",
    "authorisation",
    breaks=6,
    found_by=("test_a_customer_named_twice_is_the_callers_own",),
)
def customer_of_a_header_believed(overlay: Overlay) -> None:
    """Take the customer from `X-Customer-Id`, which only a gateway was ever to set."""

    async def owned(
        request: Request,
        caller: Annotated[Caller, Depends(authenticate)],
        customer_id: Annotated[str, Path(max_length=64)],
    ) -> str:
        own = await auth.owned_customer(request, caller, customer_id)
        return request.headers.get("x-customer-id", own)

    overlay.replace_dependency(auth.owned_customer, owned)


@defect(
    "inner-fields-shown",
    "authorisation",
    breaks=7,
    found_by=("test_no_answer_shows_an_inner_field",),
)
def inner_fields_shown(overlay: Overlay) -> None:
    """Show a customer's whole row, with columns that are nobody's business."""

    def respond(answer: Answer, *, is_replayed: bool = False) -> Response:
        if "stripe_customer_id" in answer.body and "email" in answer.body:
            answer.body["email_digest"] = identifiers.new_id("digest")
        reply: Response = genuine(answer, is_replayed=is_replayed)
        return reply

    genuine = overlay.replace(once, "respond", respond)


def adding_headers(overlay: Overlay, added: Callable[[Scope], dict[str, str]]) -> None:
    """Have every answer say more."""

    async def call(self: Door, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(n.lower().encode(), v.encode()) for n, v in added(scope).items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        await genuine(self, scope, receive, sending)

    genuine = overlay.replace(Door, "__call__", call)
