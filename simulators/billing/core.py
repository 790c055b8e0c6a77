"""What every operation is handed: settings, database, clock, Stripe, and the vault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.billing.clock import Clock
    from simulators.billing.domain.plans import Catalogue
    from simulators.billing.identifiers import Vault
    from simulators.billing.settings import Settings
    from simulators.billing.storage.database import Database
    from simulators.billing.stripe_gateway.gateway import StripeGateway


@dataclass(frozen=True, slots=True)
class Core:
    """The service without its HTTP layer."""

    settings: Settings
    catalogue: Catalogue
    database: Database
    clock: Clock
    stripe: StripeGateway
    vault: Vault


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its status, and a JSON object."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InFlight:
    """Someone else is at it right now; ask again in a moment."""
