"""How a call to Stripe is made: timeouts, tries, idempotency keys, and what a failure means.

The official package sends; the retries are ours, because the package counts a last 429 after a
timeout as "not done" although the try that timed out may have succeeded. All tries of a call share
one key.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

import stripe

from simulators.billing.stripe_gateway.errors import (
    GatewayError,
    StripeDoubt,
    StripeNotDone,
    StripeRefusal,
    interpret,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stripe._v1_services import V1Services

    from simulators.billing.settings import Settings

T = TypeVar("T")
U = TypeVar("U")

PAGE = 100
_PAUSE_S = 0.2


class Caller:
    """Sends requests by the official client, and raises `GatewayError` alone."""

    def __init__(
        self,
        settings: Settings,
        transport: stripe.HTTPClient | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        timeouts = (settings.stripe_connect_timeout_s, settings.stripe_read_timeout_s)
        self.v1: V1Services = stripe.StripeClient(
            settings.stripe_api_key.get_secret_value(),
            base_addresses={"api": settings.stripe_api_base},
            http_client=transport or stripe.RequestsClient(timeout=timeouts),
            max_network_retries=0,
        ).v1
        self.settings = settings
        self._pause = pause

    def metadata(self, **values: str) -> dict[str, str]:
        """Say on a Stripe object whose it is and which environment made it."""
        return {**values, "environment": self.settings.environment}

    def call(self, request: Callable[[], T]) -> T:
        """Send until there is an answer or no try is left; an earlier doubt outlives a later no."""
        doubt: StripeDoubt | None = None
        outcome: GatewayError = StripeNotDone("not tried")
        for pause_s in self._pauses():
            self._pause(pause_s)
            try:
                return request()
            except stripe.StripeError as error:
                outcome = interpret(error)
            if isinstance(outcome, StripeRefusal):
                raise outcome
            if isinstance(outcome, StripeDoubt):
                doubt = outcome
                if outcome.is_over:
                    break
        raise doubt or outcome

    def _pauses(self) -> Iterator[float]:
        yield 0.0
        for attempt in range(1, self.settings.stripe_tries):
            # Jitter spreads retries; it decides nothing that a test would need to repeat.
            yield _PAUSE_S * 2 ** (attempt - 1) * (0.5 + random.random() / 2)  # noqa: S311 - jitter


def read(reader: Callable[[U], T], answer: U) -> T:
    """Read an answer; one that makes no sense leaves in doubt what happened."""
    try:
        return reader(answer)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise StripeDoubt(f"an answer that cannot be read: {error!r}") from error


def ascertain(find: Callable[[], T | None], place: Callable[[], T], *, is_repeat: bool) -> T:
    """Have one thing exist once at Stripe, whatever became of earlier requests for it.

    `place` always sends the same idempotency key. A repeat looks first, by customer and metadata.
    What is not found is placed under the same key, so a request that is still on its way cannot
    make a second one. If Stripe replays a stored failure instead, that request is over; then a
    second look is final.
    """
    if is_repeat and (found := find()) is not None:
        return found
    try:
        return place()
    except StripeDoubt as doubt:
        if not doubt.is_over:
            raise
    if (found := find()) is None:
        raise StripeNotDone("Stripe failed for good and made nothing", is_final=True)
    return found
