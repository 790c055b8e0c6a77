"""Payment intents as a state machine, for the API and for invoices alike."""

from typing import Any

from simulators.stripe import debits, disputes
from simulators.stripe.charging import (
    Failure,
    bank_says,
    charge_card,
    release,
    settle_charge,
    wants_customer,
)
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.templates import PAYMENT_INTENT, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
AUTHORISED_S = 7 * 86_400


def new_intent(world: World, *, amount: int, currency: str, **given: Any) -> Obj:
    """Add an intent, with its event. `given` holds top-level fields that differ from none."""
    intent_id = world.ids.new("pi")
    intent = fresh(
        PAYMENT_INTENT,
        id=intent_id,
        amount=amount,
        client_secret=f"{intent_id}_secret_{world.ids.letters(25)}",
        created=world.account_now,
        currency=currency,
        **given,
    )
    if intent["payment_method"]:
        intent["status"] = "requires_confirmation"
    world.store.insert(intent)
    world.emit("payment_intent.created", intent)
    return intent


def attempt(
    world: World,
    intent: Obj,
    payment_method: Obj,
    *,
    off_session: bool,
    authenticated: bool = False,
) -> Failure | None:
    """Try to pay once; return the failure, or None when it is paid or needs the customer."""
    world.store.set(intent, payment_method=payment_method["id"], last_payment_error=None)
    if payment_method["type"] == "sepa_debit":
        _process(world, intent, payment_method)
        return None
    if wants_customer(payment_method) and not authenticated and not off_session:
        _ask_customer(world, intent)
        return None
    decline = bank_says(payment_method, off_session=off_session, authenticated=authenticated)
    capture = intent["capture_method"] != "manual"
    charge = charge_card(world, intent, payment_method, decline, capture=capture)
    if decline is None:
        _finish(world, intent, charge, capture=capture)
        if authenticated and intent["setup_future_usage"] == "off_session":
            world.store.set(payment_method, _authenticated=True)
        return None
    failure = Failure(decline, charge)
    _fail(world, intent, failure, payment_method)
    return failure


def _finish(world: World, intent: Obj, charge: Obj, *, capture: bool) -> None:
    world.store.set(
        intent,
        latest_charge=charge["id"],
        next_action=None,
        status="succeeded" if capture else "requires_capture",
        amount_received=intent["amount"] if capture else 0,
        amount_capturable=0 if capture else intent["amount"],
    )
    event = "succeeded" if capture else "amount_capturable_updated"
    world.emit(f"payment_intent.{event}", intent)
    _keep_for_later(world, intent)
    if capture:
        disputes.open_if_disputed(world, charge)
    else:
        ends_at = world.account_now + AUTHORISED_S
        world.store.schedule("expire_authorization", intent["id"], ends_at)


def _process(world: World, intent: Obj, payment_method: Obj) -> None:
    """Ask the customer's bank for a debit, which takes days to tell."""
    charge = debits.begin(world, intent, payment_method)
    world.store.set(intent, latest_charge=charge["id"], next_action=None, status="processing")
    world.emit("payment_intent.processing", intent)


def settle_debit(world: World, charge: Obj) -> Obj:
    """Let the bank's answer to a debit arrive; return the payment intent."""
    intent = world.fetch("payment_intent", charge["payment_intent"])
    payment_method = world.fetch("payment_method", charge["payment_method"])
    decline = debits.settle(world, charge, payment_method)
    if decline is None:
        _finish(world, intent, charge, capture=True)
    else:
        _fail(world, intent, Failure(decline, charge), payment_method)
    return intent


def _keep_for_later(world: World, intent: Obj) -> None:
    """Attach what paid to the customer, where ``setup_future_usage`` asks for it."""
    payment_method = world.fetch("payment_method", intent["payment_method"])
    if intent["setup_future_usage"] and intent["customer"] and not payment_method["customer"]:
        world.store.set(payment_method, customer=intent["customer"])
        world.emit("payment_method.attached", payment_method)


def _fail(world: World, intent: Obj, failure: Failure, payment_method: Obj) -> None:
    decline = failure.decline
    error = {
        "charge": failure.charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": world.show(payment_method),
        "type": "card_error",
    }
    world.store.set(
        intent,
        latest_charge=failure.charge["id"],
        last_payment_error=error,
        next_action=None,
        payment_method=None,
        status="requires_payment_method",
    )
    world.emit("payment_intent.payment_failed", intent)


def _ask_customer(world: World, intent: Obj) -> None:
    world.store.set(
        intent,
        status="requires_action",
        next_action={
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "type": "three_d_secure_redirect",
                "stripe_js": f"https://hooks.stripe.com/redirect/authenticate/{intent['id']}",
                "source": world.ids.new("src"),
            },
        },
    )
    world.emit("payment_intent.requires_action", intent)


def confirm(world: World, intent: Obj, payment_method: Obj, *, off_session: bool) -> None:
    """Confirm for a caller of the API: a decline is raised as a `CardError`."""
    failure = attempt(world, intent, payment_method, off_session=off_session)
    if failure is not None:
        raise failure.as_error(world, intent, payment_method)


def answer_authentication(world: World, intent: Obj, *, succeed: bool) -> None:
    """Answer for the customer who was asked to authenticate."""
    if intent["status"] != "requires_action":
        raise unexpected_state(world, intent, "authenticate", ("requires_action",))
    payment_method = world.fetch("payment_method", intent["payment_method"])
    if succeed:
        attempt(world, intent, payment_method, off_session=False, authenticated=True)
        return
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": world.show(payment_method),
        "type": "invalid_request_error",
    }
    world.store.set(
        intent,
        status="requires_payment_method",
        next_action=None,
        payment_method=None,
        last_payment_error=error,
    )
    world.emit("payment_intent.payment_failed", intent)


def capture_intent(world: World, intent: Obj, amount: int | None) -> None:
    """Take the authorised money, or a part of it; the rest is let go."""
    if intent["status"] != "requires_capture":
        raise unexpected_state(world, intent, "capture", ("requires_capture",))
    taken = intent["amount_capturable"] if amount is None else amount
    if not 0 < taken <= intent["amount_capturable"]:
        raise InvalidRequest(
            f"The payment could not be captured because the amount {taken} is not between 1 and "
            f"{intent['amount_capturable']}.",
            code="amount_too_large" if taken else "amount_too_small",
            param="amount_to_capture",
        )
    charge = world.fetch("charge", intent["latest_charge"])
    settle_charge(world, charge, taken)
    world.emit("charge.captured", charge)
    world.store.set(intent, status="succeeded", amount_received=taken, amount_capturable=0)
    world.store.schedule("expire_authorization", intent["id"], None)
    world.emit("payment_intent.succeeded", intent)
    disputes.open_if_disputed(world, charge)


def expire_authorization(world: World, intent: Obj) -> None:
    """Let go of an authorisation that was not captured within seven days."""
    if intent["status"] == "requires_capture":
        cancel_intent(world, intent, "automatic", event="charge.expired")


def cancel_intent(
    world: World, intent: Obj, reason: str | None, *, event: str = "charge.refunded"
) -> None:
    """Cancel an intent that has not been paid; an authorisation is released, with `event`."""
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(world, intent, "cancel", CANCELABLE)
    if intent["status"] == "requires_capture":
        charge = world.fetch("charge", intent["latest_charge"])
        release(world, charge, charge["amount"])
        world.emit(event, charge)
        world.store.schedule("expire_authorization", intent["id"], None)
    world.store.set(
        intent,
        status="canceled",
        canceled_at=world.account_now,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    world.emit("payment_intent.canceled", intent)


def unexpected_state(
    world: World, intent: Obj, verb: str, allowed: tuple[str, ...]
) -> InvalidRequest:
    """Build the error for something that the intent's status does not allow."""
    participle = {"cancel": "canceled", "capture": "captured"}.get(verb, f"{verb}ed")
    return InvalidRequest(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. "
        f"Only a PaymentIntent with one of the following statuses may be {participle}: "
        f"{', '.join(allowed)}.",
        code="payment_intent_unexpected_state",
        payment_intent=world.show(intent),
    )
