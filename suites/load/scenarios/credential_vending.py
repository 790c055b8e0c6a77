"""Credential vending: an API key traded for short-lived credentials of providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from suites.load.scenarios import crowd
from suites.load.scenarios.base import Base, pick

if TYPE_CHECKING:
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround

_PROVIDER = "github"
_TTL_MINUTES = 10
_CUSTOMERS_MIN = 10


class CredentialVending(Base):
    """Exchanges credentials of customers who have units."""

    name: ClassVar[str] = "credential-vending"
    help: ClassVar[str] = "API keys traded for short-lived credentials of providers."
    needs: ClassVar[frozenset[str]] = frozenset({"create_customer", "exchange_credentials"})
    rate: ClassVar[float] = 20.0
    objectives: ClassVar[tuple[str, ...]] = ("latency_ms.p95<200", "errors.ratio<0.01")

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Make as many customers as the limit of one key asks for."""
        least = -(-self.arrivals // crowd.requests_each(ground))
        made = crowd.many(ground, max(_CUSTOMERS_MIN, least), crowd.sign_up)
        return {"customers": crowd.ids(made)}

    def arrive(self, k: int, client: Client) -> None:
        """Trade a key."""
        client.perform(
            "exchange_credentials",
            kind="exchange",
            customer=pick(client, "customers", k),
            providers=[_PROVIDER],
            ttl_minutes=_TTL_MINUTES,
        )
