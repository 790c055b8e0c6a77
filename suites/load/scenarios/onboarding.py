"""Onboarding: an account, direct or from a marketplace, its first card, its first balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.session import Customer
from suites.load.scenarios.base import Base
from suites.load.scenarios.crowd import CARD

if TYPE_CHECKING:
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround


class Onboarding(Base):
    """Takes each new customer to where usage can begin."""

    name: ClassVar[str] = "onboarding"
    help: ClassVar[str] = (
        "Accounts from the site and a marketplace in turn, then the first card and balance."
    )
    needs: ClassVar[frozenset[str]] = frozenset({"create_customer"})
    rate: ClassVar[float] = 5.0
    users: ClassVar[int] = 10
    think_s: ClassVar[float] = 1.0
    objectives: ClassVar[tuple[str, ...]] = (
        "kind:onboarding.latency_ms.p95<500",
        "errors.ratio<0.01",
    )

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Note which of the steps the target has."""
        return {"operations": sorted(ground.target.operations)}

    def arrive(self, k: int, client: Client) -> None:
        """Bring one customer on board."""
        source: dict[str, Any] = {"source": "direct"}
        if k % 2:
            source = {"source": "marketplace", "installation": client.names.new("installation")}
        made = client.perform(
            "create_customer",
            kind="onboarding",
            email=client.names.email("onboarding"),
            name="Ada",
            **source,
        )
        if made.kind != "ok" or not made.get("credential"):
            return
        client.count(f"onboarded_{source['source']}")
        provider, key = made.get("provider_customer"), made["credential"]
        who = Customer(made["customer"], key, provider)
        if "add_payment_method" in client.data["operations"]:
            client.perform(
                "add_payment_method", customer=who, kind="first_card", token=CARD, consent=True
            )
        if "get_balance" in client.data["operations"]:
            client.perform("get_balance", customer=who, kind="first_balance")
