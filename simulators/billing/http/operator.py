"""Routes that only the operator's key opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from simulators.billing.http import bodies, models
from simulators.billing.http.auth import core_of, lane_of, operator, owned_customer
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import answer_once
from simulators.billing.operations import corrections

if TYPE_CHECKING:
    from simulators.billing.storage.tables import Payment

router = APIRouter(prefix="/api/v1/operator", tags=["operator"], dependencies=[Depends(operator)])
_ONLY = {403: ("operator_key_required",)}


def _charge(request: Request, payment_id: Annotated[str, Path(max_length=64)]) -> Payment:
    return corrections.charge_of(core_of(request), payment_id)


@router.post(
    "/payments/{payment_id}/refund",
    status_code=201,
    response_model=models.Refunded,
    responses=refusals(
        {
            **_ONLY,
            422: ("refund_exceeds_charge", "refund_refused"),
            503: ("refund_unsettled", "payment_provider_unavailable"),
        },
        post=True,
    ),
)
async def refund_payment(
    request: Request,
    charge: Annotated[Any, Depends(_charge)],
    body: bodies.RefundBody | None = None,
) -> Response:
    """Give a charge back, whole or in part; the credits that it bought go back with it."""
    core, lane = core_of(request), lane_of(request)
    amount_minor = body.amount_minor if body else None
    return await answer_once(
        request,
        charge.customer_id,
        body,
        lambda slot: lane.run(corrections.refund, core, charge, amount_minor, slot),
    )


@router.post(
    "/customers/{customer_id}/adjustments",
    status_code=201,
    response_model=models.Transaction,
    responses=refusals(
        {**_ONLY, 409: ("account_closed",), 422: ("insufficient_credits",)}, post=True
    ),
)
async def adjust_credits(
    request: Request,
    customer_id: Annotated[str, Depends(owned_customer)],
    body: bodies.AdjustmentBody,
) -> Response:
    """Add credits (positive) or take them (negative), with a reason that the ledger keeps."""
    core = core_of(request)
    return await answer_once(
        request,
        customer_id,
        body,
        lambda slot: run_in_threadpool(
            corrections.adjust, core, customer_id, body.units, body.reason, slot
        ),
    )
