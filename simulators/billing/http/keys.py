"""Routes of API keys, and of what a key can be traded for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from simulators.billing.http import bodies, models
from simulators.billing.http.auth import (
    Caller,
    authenticate,
    core_of,
    own_customer,
    refused_credential,
    rotating,
)
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import answer_once, asked, respond
from simulators.billing.operations import keys
from simulators.billing.problems import Rejection

router = APIRouter(prefix="/api/v1/api-keys", tags=["keys"])
OwnId = Annotated[str, Depends(own_customer)]
_OWN = {403: ("customer_key_required",)}


@router.get("", response_model=models.KeyList, responses=refusals(_OWN))
def list_keys(
    request: Request, customer_id: OwnId, caller: Annotated[Caller, Depends(authenticate)]
) -> Response:
    """List the live keys, without the keys themselves."""
    return respond(keys.listing(core_of(request), customer_id, caller.key_id))


@router.post(
    "",
    status_code=201,
    response_model=models.KeyMade,
    responses=refusals({**_OWN, 409: ("key_limit_reached",)}, post=True),
)
async def create_key(request: Request, customer_id: OwnId) -> Response:
    """Make a second key, shown this once; two live keys make a change without downtime."""
    core = core_of(request)
    return await answer_once(
        request,
        customer_id,
        None,
        lambda slot: run_in_threadpool(keys.create, core, customer_id, slot),
        is_secret=True,
    )


@router.post(
    "/rotate",
    status_code=201,
    response_model=models.KeyMade,
    responses=refusals(_OWN, post=True),
)
async def rotate_key(
    request: Request,
    caller: Annotated[Caller, Depends(rotating)],
    body: bodies.RotateBody | None = None,
) -> Response:
    """Replace a key (the one of this request, unless another is named); the old one ends at once.

    Should the answer be lost, the old key may have it again for ten minutes, by the same
    idempotency key.
    """
    customer_id, core = caller.customer_id, core_of(request)
    if customer_id is None:
        raise Rejection(403, "customer_key_required", "This is done with a customer's own key.")
    if caller.rotated_by is not None:
        same = asked(request, customer_id, body, is_secret=True)
        if same is None or same.scope(core) != caller.rotated_by:
            raise await run_in_threadpool(refused_credential, request, is_presented=True)
    key_id = body.key_id if body and body.key_id else caller.key_id
    return await answer_once(
        request,
        customer_id,
        body,
        lambda slot: run_in_threadpool(keys.rotate, core, customer_id, key_id, slot),
        is_secret=True,
    )


@router.delete(
    "/{key_id}",
    response_model=models.KeyRevoked,
    responses=refusals({**_OWN, 409: ("last_key",)}),
)
def revoke_key(
    request: Request, customer_id: OwnId, key_id: Annotated[str, Path(max_length=64)]
) -> Response:
    """Revoke a key: no process takes it any more."""
    return respond(keys.revoke(core_of(request), customer_id, key_id))
