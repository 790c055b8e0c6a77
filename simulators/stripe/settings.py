"""What can be set about a simulator, with Stripe's behaviour as the default."""

from dataclasses import dataclass, field
from typing import Literal

from simulators.stripe.versions import NEWEST
from simulators.webhooks.delivery import DeliverySettings

DAY_S = 86_400
HOUR_S = 3_600
CLOCK_CUSTOMERS = 3
CLOCK_INTERVALS = 2


@dataclass
class Settings:
    """Stripe publishes no figure for some of these; each can be told."""

    seed: int = 0
    api_version: str = NEWEST
    """The account's own version: of requests and endpoints that name none, and of events."""
    rate_limit_per_s: int | None = None
    """How many requests a second of wall time are answered; Stripe: 25 in a sandbox, 100 live."""
    running: bool = True
    """Whether the virtual clock runs on with wall time."""
    draft_s: int = HOUR_S
    """How long a renewal's invoice stays a draft."""
    dunning_s: tuple[int, ...] = (3 * DAY_S, 5 * DAY_S, 7 * DAY_S)
    """The waits before each retry of a failed renewal."""
    after_dunning: Literal["cancel", "unpaid", "past_due"] = "cancel"
    """What becomes of a subscription after the last retry."""
    incomplete_s: int = 23 * HOUR_S
    """How long a first payment may take before the subscription expires."""
    clock_customers_max: int | None = CLOCK_CUSTOMERS
    """How many customers may live by one test clock; None is no limit."""
    clock_intervals_max: int | None = CLOCK_INTERVALS
    """How many of the shortest subscription's intervals a test clock moves at once; or None."""
    fee_rate: float = 0.029
    fee_fixed_minor: int = 30
    dispute_fee_minor: int = 1_500
    """What a chargeback costs beside its amount; given back when it is won."""
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
