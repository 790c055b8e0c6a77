"""What a failed call to Stripe is taken to mean."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
import stripe
from stripe import _error

from simulators.billing.problems import declined
from simulators.billing.stripe_gateway.calls import Caller
from simulators.billing.stripe_gateway.errors import (
    GatewayError,
    StripeDoubt,
    StripeNotDone,
    StripeRefusal,
    interpret,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.billing.conftest import Bench


def raised(kind: type[stripe.StripeError], status: int | None) -> stripe.StripeError:
    """Make an exception of the official package, whatever its constructor wants."""
    error = kind.__new__(kind)
    stripe.StripeError.__init__(error, "told", http_status=status)
    return error


KINDS = [
    kind
    for _, kind in inspect.getmembers(_error, inspect.isclass)
    if issubclass(kind, stripe.StripeError)
]


def test_every_exception_of_the_official_package_is_understood() -> None:
    """Each exception class lands in one of the three meanings, with and without a status."""
    assert len(KINDS) > 8
    for kind in KINDS:
        for status in (None, 200, 302, 400, 402, 404, 409, 424, 429, 500, 503):
            meaning = interpret(raised(kind, status))
            assert isinstance(meaning, StripeRefusal | StripeNotDone | StripeDoubt)


@pytest.mark.parametrize(
    ("kind", "status", "meaning"),
    [
        (stripe.APIConnectionError, None, StripeDoubt),
        (stripe.APIError, 500, StripeDoubt),
        (stripe.APIError, 409, StripeDoubt),
        (stripe.APIError, 200, StripeDoubt),
        (stripe.CardError, 402, StripeRefusal),
        (stripe.InvalidRequestError, 400, StripeRefusal),
        (stripe.InvalidRequestError, 404, StripeRefusal),
        (stripe.APIError, 424, StripeRefusal),
        (stripe.RateLimitError, 429, StripeNotDone),
        (stripe.AuthenticationError, 401, StripeNotDone),
        (stripe.PermissionError, 403, StripeNotDone),
    ],
)
def test_a_timeout_is_unknown_and_never_failed(
    kind: type[stripe.StripeError], status: int | None, meaning: type[GatewayError]
) -> None:
    """Only an answer that says no is a no."""
    assert type(interpret(raised(kind, status))) is meaning


def scripted(*outcomes: stripe.StripeError | str) -> Callable[[], str]:
    """Give a request that does these things in turn."""
    left = list(outcomes)

    def request() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, stripe.StripeError):
            raise outcome
        return outcome

    return request


@pytest.fixture
def caller(bench: Bench) -> Caller:
    """Give a caller that tries three times and does not sleep."""
    settings = bench.core.settings.model_copy(update={"stripe_tries": 3})
    return Caller(settings, bench.stripe, pause=lambda _: None)


TIMEOUT = raised(stripe.APIConnectionError, None)
LIMITED = raised(stripe.RateLimitError, 429)
DECLINED = raised(stripe.CardError, 402)


def test_a_doubt_is_tried_again(caller: Caller) -> None:
    """All tries share one idempotency key, so trying again is safe."""
    assert caller.call(scripted(TIMEOUT, TIMEOUT, "done")) == "done"


def test_an_earlier_doubt_outlives_a_later_not_done(caller: Caller) -> None:
    """A rate limit after a timeout does not prove that the first try did nothing."""
    with pytest.raises(StripeDoubt):
        caller.call(scripted(TIMEOUT, LIMITED, LIMITED))


def test_a_refusal_ends_the_tries(caller: Caller) -> None:
    """Stripe's no is final at once."""
    with pytest.raises(StripeRefusal):
        caller.call(scripted(DECLINED, "done"))


def test_a_rate_limit_alone_is_not_done(caller: Caller) -> None:
    """Requests that were never taken on leave no doubt."""
    with pytest.raises(StripeNotDone):
        caller.call(scripted(LIMITED, LIMITED, LIMITED))


def test_a_replayed_failure_ends_the_tries(caller: Caller) -> None:
    """A stored 500 will be replayed for a day; asking again says nothing new."""
    stored = raised(stripe.APIError, 500)
    stored.headers = {"Idempotent-Replayed": "true"}
    with pytest.raises(StripeDoubt) as doubt:
        caller.call(scripted(stored, "done"))
    assert doubt.value.is_over


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("authentication_required", "authentication_required"),
        ("subscription_payment_intent_requires_action", "authentication_required"),
        ("card_declined", "card_declined"),
    ],
)
def test_whether_the_holder_is_wanted_is_told(code: str, told: str) -> None:
    """A card that its holder must confirm is not a declined one, in either of Stripe's words."""
    error = stripe.CardError("no", "", code, http_status=402)  # type: ignore[no-untyped-call]  # untyped there
    refusal = interpret(error)
    assert isinstance(refusal, StripeRefusal)
    assert declined(refusal).code == told
