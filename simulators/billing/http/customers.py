"""Routes of customers, their payment methods and their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from simulators.billing.http import bodies, models
from simulators.billing.http.auth import core_of, lane_of, owned_customer
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import answer_once, respond
from simulators.billing.http.telling import telling_sign_up
from simulators.billing.operations import accounts, cards

if TYPE_CHECKING:
    from simulators.billing.core import Answer
    from simulators.billing.idempotency import Slot

router = APIRouter(prefix="/api/v1/customers", tags=["customers"])
CustomerId = Annotated[str, Depends(owned_customer)]
TEST_CLOCK_HEADER = "X-Stripe-Test-Clock"
_UNAVAILABLE = {503: ("payment_provider_unavailable",)}


@router.post(
    "/onboard",
    status_code=201,
    response_model=models.Onboarded,
    responses=refusals(
        {409: ("email_taken", "install_taken"), **_UNAVAILABLE}, keyed=False, post=True
    ),
)
async def onboard(request: Request, body: bodies.OnboardBody) -> Response:
    """Sign a customer up: a Stripe customer, an API key (shown this once), credits, a welcome."""
    core, lane = core_of(request), lane_of(request)
    # Which of Stripe's clocks a customer lives by is a test control, like all that moves time.
    has_controls = core.settings.test_control_token is not None
    test_clock = request.headers.get(TEST_CLOCK_HEADER) if has_controls else None
    sign_up = accounts.SignUp(**body.model_dump(), test_clock=test_clock)

    async def sign_one_up(slot: Slot) -> Answer:
        with telling_sign_up(core, sign_up.source):
            return await lane.run(accounts.onboard, core, sign_up, slot)

    return await answer_once(request, None, body, sign_one_up, is_secret=True)


@router.get("/{customer_id}", response_model=models.CustomerView, responses=refusals())
def get_customer(request: Request, customer_id: CustomerId) -> Response:
    """Look at a customer."""
    return respond(accounts.show(core_of(request), customer_id))


@router.delete(
    "/{customer_id}",
    response_model=models.CustomerView,
    responses=refusals({409: ("subscription_active",)}),
)
def close_customer(request: Request, customer_id: CustomerId) -> Response:
    """Close the account. Its keys end; its ledger stays."""
    return respond(accounts.close(core_of(request), customer_id))


@router.put(
    "/{customer_id}/plan",
    response_model=models.CustomerView,
    responses=refusals(
        {402: ("no_billing_info",), 409: ("subscription_active",), 422: ("plan_not_available",)}
    ),
)
def set_plan(request: Request, customer_id: CustomerId, body: bodies.PlanBody) -> Response:
    """Move from trial to payg."""
    return respond(accounts.set_plan(core_of(request), customer_id, body.plan))


@router.post(
    "/{customer_id}/payment-methods",
    status_code=201,
    response_model=models.CardAdded,
    responses=refusals(
        {
            402: ("card_declined",),
            422: ("billing_consent_required", "raw_card_data_rejected", "invalid_payment_method"),
            503: ("charge_unsettled", "payment_provider_unavailable"),
        },
        post=True,
    ),
)
async def add_payment_method(
    request: Request, customer_id: CustomerId, body: bodies.PaymentMethodBody
) -> Response:
    """Attach a payment method as the default; the first one brings credits."""
    core, lane = core_of(request), lane_of(request)
    return await answer_once(
        request,
        customer_id,
        body,
        lambda slot: lane.run(
            cards.add, core, customer_id, body.payment_method, slot, consent=body.billing_consent
        ),
    )


@router.get("/{customer_id}/payment-methods", response_model=models.CardList, responses=refusals())
def list_payment_methods(request: Request, customer_id: CustomerId) -> Response:
    """List the payment methods on file."""
    return respond(cards.listing(core_of(request), customer_id))


@router.delete(
    "/{customer_id}/payment-methods/{payment_method_id}",
    response_model=models.CardRemoved,
    responses=refusals({409: ("subscription_active",), **_UNAVAILABLE}),
)
async def remove_payment_method(
    request: Request,
    customer_id: CustomerId,
    payment_method_id: Annotated[str, Path(max_length=100)],
) -> Response:
    """Detach a payment method."""
    core, lane = core_of(request), lane_of(request)
    return respond(await lane.run(cards.remove, core, customer_id, payment_method_id))
