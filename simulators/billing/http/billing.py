"""Routes that bill: fixes and subscriptions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from simulators.billing.http import bodies, models
from simulators.billing.http.auth import core_of, lane_of, own_customer, owned_customer
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import answer_once, respond
from simulators.billing.http.telling import telling_declines, timed
from simulators.billing.idempotency import Slot, unkeyed_slot
from simulators.billing.operations import charging, subscriptions
from simulators.billing.problems import Refusal

if TYPE_CHECKING:
    from simulators.billing.core import Answer, Core

router = APIRouter(prefix="/api/v1", tags=["billing"])
CustomerId = Annotated[str, Depends(owned_customer)]
_DECLINED = ("card_declined", "authentication_required")
_DOUBT = {503: ("charge_unsettled", "payment_provider_unavailable")}
_PATH = "/customers/{customer_id}/subscription"


@router.post(
    "/billing/track_fix",
    response_model=models.FixTracked,
    responses=refusals(
        {402: ("no_billing_info", *_DECLINED), 403: ("customer_key_required",), **_DOUBT}, post=True
    ),
)
async def track_fix(
    request: Request, customer_id: Annotated[str, Depends(own_customer)], body: bodies.FixBody
) -> Response:
    """Track one deployed fix: a credit, or a charge; told again, the first success comes back."""
    core, lane = core_of(request), lane_of(request)
    fix = charging.Fix(body.fix_id, body.repository)

    async def pay(slot: Slot) -> Answer:
        with telling_declines(core):
            return await lane.carry(
                partial(charging.begin, core, customer_id, fix, slot),
                timed(core, "payment_timed", lambda it: charging.carry_out(core, it, slot)),
                core.settings.charge_patience_s,
            )

    return await answer_once(request, customer_id, body, pay)


@router.post(
    _PATH,
    status_code=201,
    response_model=models.SubscriptionView,
    responses=refusals(
        {
            402: ("no_billing_info", *_DECLINED),
            409: ("already_subscribed",),
            422: ("quantity_too_large",),
            **_DOUBT,
        },
        post=True,
    ),
)
async def subscribe(
    request: Request, customer_id: CustomerId, body: bodies.SubscribeBody
) -> Response:
    """Subscribe to pro. Stripe charges at once; a declined card leaves nothing behind."""
    core, lane = core_of(request), lane_of(request)

    async def start(slot: Slot) -> Answer:
        refuse_quantity(core, body.quantity)
        with telling_declines(core):
            return await lane.carry(
                partial(subscriptions.begin, core, customer_id, body.quantity),
                timed(
                    core,
                    "subscription_timed",
                    lambda it: subscriptions.carry_out(core, it, slot),
                ),
                core.settings.charge_patience_s,
            )

    return await answer_once(request, customer_id, body, start)


def refuse_quantity(core: Core, quantity: int) -> None:
    """Refuse more of a plan than is sold to one customer."""
    most = core.settings.pro_quantity_max
    if quantity > most:
        raise Refusal(422, "quantity_too_large", f"At most {most} of a plan are sold.")


@router.get(_PATH, response_model=models.SubscriptionView, responses=refusals())
def get_subscription(request: Request, customer_id: CustomerId) -> Response:
    """Look at the newest subscription."""
    return respond(subscriptions.show(core_of(request), customer_id))


@router.patch(
    _PATH,
    response_model=models.SubscriptionView,
    responses=refusals(
        {402: _DECLINED, 409: ("no_active_subscription",), 422: ("quantity_too_large",), **_DOUBT}
    ),
)
async def change_subscription(
    request: Request, customer_id: CustomerId, body: bodies.QuantityBody
) -> Response:
    """Change the quantity, with proration on the next invoice."""
    core, lane = core_of(request), lane_of(request)
    refuse_quantity(core, body.quantity)
    slot = unkeyed_slot(core)
    return respond(
        await lane.run(subscriptions.set_quantity, core, customer_id, body.quantity, slot)
    )


@router.delete(
    _PATH,
    response_model=models.SubscriptionView,
    responses=refusals({409: ("no_active_subscription",), **_DOUBT}),
)
async def cancel_subscription(
    request: Request, customer_id: CustomerId, *, at_period_end: bool = False
) -> Response:
    """Cancel now, or at the end of the paid period. Credits stay either way."""
    core, lane = core_of(request), lane_of(request)
    slot = unkeyed_slot(core)
    return respond(
        await lane.run(subscriptions.cancel, core, customer_id, slot, at_period_end=at_period_end)
    )


@router.post(
    f"{_PATH}/resume",
    response_model=models.SubscriptionView,
    responses=refusals({409: ("no_active_subscription",), **_DOUBT}, post=True),
)
async def resume_subscription(request: Request, customer_id: CustomerId) -> Response:
    """Take a scheduled cancellation back."""
    core, lane = core_of(request), lane_of(request)
    return await answer_once(
        request,
        customer_id,
        None,
        lambda slot: lane.run(subscriptions.resume, core, customer_id, slot),
    )
