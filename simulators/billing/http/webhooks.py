"""The door for Stripe's events: verified over the raw body, stored, and only then acknowledged."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from stripe import WebhookSignature

from simulators.billing import events
from simulators.billing.http import models
from simulators.billing.http.auth import address_of, core_of, limiter_of
from simulators.billing.http.card_data import without_card_data
from simulators.billing.http.documented import refusals
from simulators.billing.http.door import WEBHOOK_PATH
from simulators.billing.problems import Rejection
from simulators.billing.worker import inbox
from simulators.billing.worker.effects import HANDLERS

if TYPE_CHECKING:
    from simulators.billing.limits import Allowance
    from simulators.billing.settings import Settings

router = APIRouter(tags=["webhooks"])
log = structlog.get_logger("billing.webhooks")

_IS_WORD = re.compile(r"[!-~]{1,255}")
_WORD = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
_EVENT = {
    "type": "object",
    "description": "An event of Stripe's; only its type and the id of its object are read.",
    "required": ["id", "type", "data"],
    "properties": {
        "id": _WORD,
        "type": _WORD,
        "data": {
            "type": "object",
            "required": ["object"],
            "properties": {"object": {"type": "object"}},
        },
    },
}
_SIGNATURE = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "description": "Stripe's signature over the raw body, at most five minutes old.",
    "schema": {"type": "string"},
}


@router.post(
    WEBHOOK_PATH,
    response_model=models.Received,
    responses=refusals(
        {400: ("invalid_signature", "malformed_event"), 429: ("rate_limited",)}, keyed=False
    ),
    openapi_extra={
        "parameters": [_SIGNATURE],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _EVENT}}},
    },
)
async def receive(request: Request) -> Response:
    """Take an event in. A 2xx means that it is stored, and that no crash can lose it any more."""
    core = core_of(request)
    body = await request.body()
    try:
        verify(core.settings, body, request.headers.get("stripe-signature"))
        event = _event(body)
    except Rejection as refusal:
        allowance = await run_in_threadpool(_count, request, is_verified=False)
        events.tell(core.database, "webhook_handled", result="invalid_signature")
        refusal.headers |= allowance.headers()
        raise
    allowance = await run_in_threadpool(_count, request, is_verified=True)
    is_handled = event["type"] in HANDLERS
    is_new = await run_in_threadpool(
        inbox.store, core, event["id"], event["type"], json.dumps(event), is_handled=is_handled
    )
    if is_new and is_handled:
        request.app.state.worker.wake()
    if not (is_new and is_handled):
        result = "ignored" if is_new else "duplicate"
        events.tell(core.database, "webhook_handled", type=event["type"], result=result)
    body_out = {"received": True, "duplicate": not is_new}
    return JSONResponse(body_out, headers=allowance.headers())


def _count(request: Request, *, is_verified: bool) -> Allowance:
    """Count an event against its source's limit, or raise 429 when that is reached."""
    allowance = limiter_of(request).webhook(address_of(request), is_verified=is_verified)
    if not allowance.has_passed:
        raise allowance.refusal()
    return allowance


def verify(settings: Settings, body: bytes, header: str | None) -> None:
    """Raise unless one of the active secrets signed this very body, by the official verifier.

    The verifier takes wall time, also when the test clock stands elsewhere. It raises TypeError on
    a non-ASCII signature and UnicodeDecodeError on a body that is not UTF-8: whatever it raises is
    a no.
    """
    for secret in settings.stripe_webhook_secrets:
        try:
            WebhookSignature.verify_header(
                body, header, secret.get_secret_value(), settings.webhook_tolerance_s
            )
        except Exception as error:  # noqa: BLE001  # whatever it raises is a no
            log.info("signature_refused", error=type(error).__name__)
        else:
            return
    raise Rejection(400, "invalid_signature", "No active secret signed this body.")


def _event(body: bytes) -> dict[str, Any]:
    """Read an event. Not every object has an id (`invoice.upcoming`), only those we act on must."""
    try:
        event = json.loads(body)
        about = event["data"]["object"]
        words = [event["id"], event["type"]]
        if event["type"] in HANDLERS:
            words.append(about["id"])
        if isinstance(about, dict) and all(_IS_WORD.fullmatch(word) for word in words):
            # What merchants write at Stripe, a description say, can hold a card number.
            return dict(without_card_data(event))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Rejection(400, "malformed_event", "This is signed, but it is no event of Stripe's.")
