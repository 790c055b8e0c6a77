"""A renewal storm: every subscription renews at once, while customers go on reading."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import TargetError, Unknown
from harness.provider import SimulatorProvider
from harness.timeline import HOUR_S
from suites.load.ground import patiently
from suites.load.scenarios import crowd
from suites.load.scenarios.base import Base, pick

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from harness.session import Customer
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result
    from suites.load.scenarios import Options
    from suites.load.schedule import Stage

# A renewal is drafted, and finalised and paid an hour later.
_PAID_AFTER_S = 2 * HOUR_S
_PER_RENEWAL_S = 0.5
_READ_PER_RENEWAL_S = 0.1
_DEADLINE_MIN_S = 60.0
_SHOWN_MAX = 5


class RenewalStorm(Base):
    """Subscribes customers, then moves time past the end of everybody's period."""

    name: ClassVar[str] = "renewal-storm"
    help: ClassVar[str] = (
        "Every subscription renews at once, 10,000 of them, while customers read their balance."
    )
    needs: ClassVar[frozenset[str]] = frozenset(
        {"create_customer", "add_payment_method", "subscribe", "get_balance", "advance_time"}
    )
    rate: ClassVar[float] = 5.0
    users: ClassVar[int] = 5
    think_s: ClassVar[float] = 1.0
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {
        "subscriptions": (10_000, "active subscriptions; --scale makes them fewer"),
    }
    objectives: ClassVar[tuple[str, ...]] = (
        "kind:summary.latency_ms.p95<500",
        "errors.ratio<0.01",
    )

    def __init__(self) -> None:
        super().__init__()
        self._subscribers: list[Customer] = []
        self._count = 0
        self._due: dict[str, int] = {}
        self._took_s: float | None = None

    def meet(self, ground: LoadGround) -> None:
        """See that time can be moved. Raises `TargetError` where it cannot."""
        movable = ground.target.profile.clock and isinstance(ground.provider, SimulatorProvider)
        if not movable:
            raise TargetError(
                "renewals cannot be brought about: the profile names no [clock], or no simulator",
                hint="Try it on the reference, or give the profile a clock and a simulator.",
            )

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Read for as long as a storm of that size may take, unless told otherwise."""
        if options.duration_s is None:
            count = self.wanted(options.extra).get("subscriptions", self.own["subscriptions"])
            lasts_s = max(self.duration_s, count * _READ_PER_RENEWAL_S)
            options = replace(options, duration_s=lasts_s)
        return super().shape(options)

    def resized(self, stages: tuple[Stage, ...], scale: float) -> tuple[Stage, ...]:
        """Shorten the reading, and have fewer subscriptions."""
        self._count = max(1, round(self.own["subscriptions"] * min(scale, 1.0)))
        return super().resized(stages, scale)

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Subscribe everybody, and let what they paid for arrive."""
        self._subscribers = crowd.many(ground, self._count, crowd.subscriber)
        told = {"customers": crowd.ids(self._subscribers)}
        with patiently(ground.watcher, "letting what they paid for arrive …"):
            crowd.settle(ground, self._deadline_s)
        plan = ground.target.profile.catalog.plan("pro")
        grants = ground.target.profile.catalog.grants
        held = grants.sign_up + grants.billing_added + (plan[1].included_units if plan else 0)
        cap = plan[1].rollover_cap if plan else None
        kept = held if cap is None else min(held, cap)
        due = kept + (plan[1].included_units if plan else 0)
        self._due = {customer.id: due for customer in self._subscribers}
        return told

    def during(self, ground: LoadGround, stop: threading.Event) -> None:
        """Move time past everybody's period once reading is under way, and see it settle."""
        stop.wait(min(2.0, self.stages[0].duration_s / 4))
        provider = ground.provider
        assert isinstance(provider, SimulatorProvider)
        last = self._subscribers[-1].provider_customer or ""
        moment = provider.period_end(last) + _PAID_AFTER_S
        began = time.monotonic()
        ground.watcher.say(f"{self._count:,} periods end …")
        if not provider.advance(moment, self._deadline_s):
            raise Unknown(f"the payment provider did not settle within {self._deadline_s:g} s")
        took_s = time.monotonic() - began
        ground.watcher.say(f"the provider renewed them in {took_s:.0f} s; the target catches up …")
        ground.session("load/renewal-storm").ok("advance_time", to=moment)
        crowd.settle(ground, self._deadline_s)
        self._took_s = time.monotonic() - began

    def arrive(self, k: int, client: Client) -> None:
        """Read a balance."""
        customer = pick(client, "customers", k)
        client.perform("get_balance", kind="summary", customer=customer)

    def measures(self, result: Result) -> dict[str, float]:  # noqa: ARG002 - scenarios have it alike
        """Tell how many renewals there were, in what time."""
        if self._took_s is None:
            return {"renewals": 0}
        told = {"renewals": len(self._subscribers), "storm_s": self._took_s}
        return told | {"renewals_per_s": len(self._subscribers) / self._took_s}

    def review(self, ground: LoadGround, result: Result) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol
        """See that everybody was renewed once: as many units as the plan and its cap give."""
        if self._took_s is None:
            told = "the storm did not come to its end while anybody watched"
            return [{"what": told, "verdict": "unknown"}]
        session = ground.aside("load/renewed")
        wrong = []
        for customer in self._subscribers:
            units = session.perform("get_balance", customer=customer).get("units")
            if units is not None and units != self._due[customer.id]:
                wrong.append(f"{customer.id} has {units} units, where {self._due[customer.id]} are")
        if not wrong:
            return []
        shown = "; ".join(wrong[:_SHOWN_MAX])
        told = f"{len(wrong)} of {len(self._subscribers)} were not renewed as due: {shown} due"
        return [{"what": told, "verdict": "invalid"}]

    @property
    def _deadline_s(self) -> float:
        return max(_DEADLINE_MIN_S, self._count * _PER_RENEWAL_S)
