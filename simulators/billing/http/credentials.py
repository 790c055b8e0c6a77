"""Routes by which a key is traded for something short-lived, and that checked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from simulators.billing.http import bodies, models
from simulators.billing.http.auth import core_of, own_customer
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import answer_once
from simulators.billing.operations import credentials

router = APIRouter(tags=["credentials"])


@router.post(
    "/api/v1/credentials/exchange",
    status_code=201,
    response_model=models.Exchanged,
    responses=refusals(
        {402: ("no_billing_info",), 403: ("customer_key_required", "provider_not_allowed")},
        post=True,
    ),
)
async def exchange_credentials(
    request: Request,
    customer_id: Annotated[str, Depends(own_customer)],
    body: bodies.ExchangeBody,
) -> Response:
    """Trade the API key for credentials that a provider takes, for four hours at most."""
    core = core_of(request)
    return await answer_once(
        request,
        customer_id,
        body,
        lambda slot: run_in_threadpool(
            credentials.exchange, core, customer_id, body.providers, body.ttl_minutes, slot
        ),
        is_secret=True,
    )


@router.get("/.well-known/jwks.json", response_model=models.KeySet)
def credential_keys(request: Request) -> Response:
    """Give the public key by which anyone checks such a credential (RFC 7517)."""
    return JSONResponse(credentials.key_set(core_of(request)))
