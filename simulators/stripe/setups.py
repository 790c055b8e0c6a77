"""Setup intents: a payment method made ready for later, without a payment."""

from typing import Any

from simulators.stripe.cards import Decline
from simulators.stripe.charging import card_of, decline_error, wants_customer
from simulators.stripe.errors import CardError, InvalidRequest
from simulators.stripe.templates import SETUP_INTENT, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def new_setup(world: World, **given: Any) -> Obj:
    """Add a setup intent, with its event. `given` holds fields that differ from none."""
    setup_id = world.ids.new("seti")
    setup = fresh(
        SETUP_INTENT,
        id=setup_id,
        client_secret=f"{setup_id}_secret_{world.ids.letters(25)}",
        created=world.account_now,
        **given,
    )
    if setup["payment_method"]:
        setup["status"] = "requires_confirmation"
    world.store.insert(setup)
    world.emit("setup_intent.created", setup)
    return setup


def confirm(world: World, setup: Obj, payment_method: Obj) -> None:
    """Set a payment method up; one that the bank refuses is raised as a `CardError`."""
    world.store.set(setup, payment_method=payment_method["id"], last_setup_error=None)
    decline = _refusal(payment_method)
    if decline is not None:
        raise _fail(world, setup, payment_method, decline)
    if payment_method["type"] == "card" and wants_customer(payment_method):
        _ask_customer(world, setup)
    else:
        _succeed(world, setup, payment_method)


def _refusal(payment_method: Obj) -> Decline | None:
    """Return why the bank refuses; some cards decline only once they are charged."""
    if payment_method["type"] != "card":
        return None
    card = card_of(payment_method)
    return None if card.attaches else card.decline


def _ask_customer(world: World, setup: Obj) -> None:
    action = {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "type": "three_d_secure_redirect",
            "stripe_js": f"https://hooks.stripe.com/redirect/authenticate/{setup['id']}",
            "source": world.ids.new("src"),
        },
    }
    world.store.set(setup, status="requires_action", next_action=action)
    world.emit("setup_intent.requires_action", setup)


def _succeed(world: World, setup: Obj, payment_method: Obj) -> None:
    world.store.set(setup, status="succeeded", next_action=None)
    if setup["customer"] and payment_method["customer"] is None:
        world.store.set(payment_method, customer=setup["customer"])
        world.emit("payment_method.attached", payment_method)
    world.emit("setup_intent.succeeded", setup)


def _fail(world: World, setup: Obj, payment_method: Obj, decline: Decline) -> CardError:
    error = {
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": world.show(payment_method),
        "type": "card_error",
    }
    _give_back(world, setup, error)
    return decline_error(
        decline, payment_method=world.show(payment_method), setup_intent=world.show(setup)
    )


def _give_back(world: World, setup: Obj, error: Obj) -> None:
    """Let a setup that failed wait for another payment method."""
    world.store.set(
        setup,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=error,
    )
    world.emit("setup_intent.setup_failed", setup)


def answer_authentication(world: World, setup: Obj, *, succeed: bool) -> None:
    """Answer for the customer who was asked to authenticate."""
    if setup["status"] != "requires_action":
        raise unexpected_state(world, setup, "authenticate", ("requires_action",))
    payment_method = world.fetch("payment_method", setup["payment_method"])
    if succeed:
        world.store.set(payment_method, _authenticated=True)
        _succeed(world, setup, payment_method)
        return
    error = {
        "code": "setup_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/setup-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": world.show(payment_method),
        "type": "invalid_request_error",
    }
    _give_back(world, setup, error)


def cancel(world: World, setup: Obj, reason: str | None) -> None:
    """Cancel a setup that has not succeeded."""
    if setup["status"] not in OPEN:
        raise unexpected_state(world, setup, "cancel", OPEN)
    world.store.set(setup, status="canceled", cancellation_reason=reason, next_action=None)
    world.emit("setup_intent.canceled", setup)


def unexpected_state(
    world: World, setup: Obj, verb: str, allowed: tuple[str, ...]
) -> InvalidRequest:
    """Build the error for something that the setup's status does not allow."""
    return InvalidRequest(
        f"You cannot {verb} this SetupIntent because it has a status of {setup['status']}. Only a "
        f"SetupIntent with one of the following statuses allows it: {', '.join(allowed)}.",
        code="setup_intent_unexpected_state",
        setup_intent=world.show(setup),
    )
