"""Usage: units consumed from a balance, units charged at once, summaries read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from suites.load.scenarios import crowd
from suites.load.scenarios.base import Base, draw, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.target.profile import Catalog
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround

_HOLDERS_MIN, _PAYERS_MIN = 5, 10
_ANY = ("ok", "accepted", "refused")


class Usage(Base):
    """Records usage with units at hand and without, and reads balances, in declared shares.

    A share of the arrivals tells the usage of the arrival before once more, as a client does that
    lost its answer: it must count, and cost, once.
    """

    name: ClassVar[str] = "usage"
    help: ClassVar[str] = "Units consumed, units charged at once, summaries read; some told twice."
    needs: ClassVar[frozenset[str]] = frozenset({"create_customer", "record_usage", "get_balance"})
    rate: ClassVar[float] = 50.0
    users: ClassVar[int] = 20
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {
        "summaries": (0.5, "share of arrivals that read a balance"),
        "charges": (0.2, "share that use a unit which has to be charged"),
        "repeats": (0.05, "share of arrivals that tell the usage before once more"),
    }
    objectives: ClassVar[tuple[str, ...]] = (
        "kind:fix.latency_ms.p95<100",
        "kind:charge.latency_ms.p95<500",
        "kind:summary.latency_ms.p95<50",
        "errors.ratio<0.01",
    )

    def __init__(self) -> None:
        super().__init__()
        self.charged = True

    def meet(self, ground: LoadGround) -> None:
        """See whether the target charges usage at once, and keeps units to use up."""
        mapping = ground.target.profile.operations.get("get_balance")
        keeps_units = mapping is None or "units" in mapping.reply
        at_once = ground.target.profile.catalog.usage_billed == "at_once"
        self.charged = at_once and keeps_units

    def thresholds(self) -> tuple[str, ...]:
        """Leave out what this target, or this choice of shares, never does."""
        fixes = 1 - self.own["summaries"] - self.own["charges"]
        without = {
            "kind:summary": self.own["summaries"] <= 0,
            "kind:charge": self.own["charges"] <= 0 or not self.charged,
            "kind:fix": fixes <= 0,
        }
        return tuple(
            told for told in self.objectives if not without.get(told.partition(".")[0], False)
        )

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Make customers with units enough, and customers with none and a card."""
        each = crowd.requests_each(ground)
        summaries, charges = self.own["summaries"], self.own["charges"]
        fixes = self.arrivals * (1 - summaries - (charges if self.charged else 0))
        units = _units(ground.target.profile.catalog)
        most = min(each, units) if self.charged else each
        holders = max(
            min(_HOLDERS_MIN, self.arrivals), -(-int(fixes * (1 + self.own["repeats"]) + 1) // most)
        )
        readers = -(-int(self.arrivals * summaries) // max(1, each - most))
        subscribes = self.charged and "subscribe" in ground.target.operations
        make = crowd.subscriber if subscribes else crowd.with_card
        found = {"holders": crowd.ids(crowd.many(ground, max(holders, readers), make))}
        paid = self.arrivals * charges if self.charged else 0
        if paid:
            payers = max(min(_PAYERS_MIN, int(paid) or 1), -(-int(paid) // each))
            found["payers"] = crowd.ids(crowd.many(ground, payers, crowd.without_units))
        return found

    def arrive(self, k: int, client: Client) -> None:
        """Read a balance, or use a unit; now and then tell the arrival before once more."""
        again = k > 0 and draw(k * 7 + 3) < self.own["repeats"]
        number = k - 1 if again else k
        place = draw(number)
        if place < self.own["summaries"]:
            client.perform("get_balance", kind="summary", customer=pick(client, "holders", number))
            return
        paid = place < self.own["summaries"] + self.own["charges"] and "payers" in client.data
        group, kind = ("payers", "charge") if paid else ("holders", "fix")
        if again:
            client.count("told_again")
        client.perform(
            "record_usage",
            kind=kind,
            expect=_ANY if again else ("ok", "accepted"),
            customer=pick(client, group, number),
            usage_id=f"load-{client.plan.run_id}-{number}",
            quantity=1,
        )


def _units(catalog: Catalog) -> int:
    """Give how many units a prepared customer has to use, with the catalogue's word for it."""
    plan = catalog.plan("pro")
    included = plan[1].included_units if plan else 0
    return max(1, catalog.grants.sign_up + catalog.grants.billing_added + included)
