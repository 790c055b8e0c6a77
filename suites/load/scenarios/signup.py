"""Signing up: users come, 20, then 50, then 100 of them, each making an account every 5 s."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from suites.load.scenarios.base import Base
from suites.load.schedule import Stage

if TYPE_CHECKING:
    from suites.load.generator.client import Client
    from suites.load.measuring.result import Result
    from suites.load.scenarios import Options

_PEAK = 100
# Seconds, users at the beginning, users at the end.
_SHAPE = (
    *((20, 0, 20), (40, 20, 20), (20, 20, 50), (60, 50, 50)),
    *((20, 50, 100), (60, 100, 100), (20, 100, 0)),
)


class Signup(Base):
    """Makes customers, in a ramp, a hold, and down again."""

    name: ClassVar[str] = "signup"
    help: ClassVar[str] = (
        "New accounts: 20, 50, then 100 users, each signing up every 5 s. --users is the peak."
    )
    needs: ClassVar[frozenset[str]] = frozenset({"create_customer"})
    users: ClassVar[int] = _PEAK
    connections: ClassVar[int] = _PEAK
    think_s: ClassVar[float] = 5.0
    objectives: ClassVar[tuple[str, ...]] = ("latency_ms.p95<500", "errors.ratio<0.01")

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Give the ramp; `rate` is its peak, in the open model: users over their 5 s."""
        self.model = options.model
        self.own |= self.wanted(options.extra)
        peak = float(options.users or self.users)
        if options.model == "open":
            peak = peak / self.think_s if options.rate is None else options.rate
        whole_s = sum(length_s for length_s, _, _ in _SHAPE)
        longer = 1.0 if options.duration_s is None else options.duration_s / whole_s
        return tuple(
            Stage(length_s * longer, peak * first / _PEAK, peak * last / _PEAK)
            for length_s, first, last in _SHAPE
        )

    def arrive(self, k: int, client: Client) -> None:  # noqa: ARG002 - every arrival is alike
        """Sign up once."""
        email = client.names.email("signup")
        outcome = client.perform(
            "create_customer", kind="signup", email=email, name="Ada", source="direct"
        )
        client.count("signup_success" if outcome.kind in {"ok", "accepted"} else "signup_errors")

    def measures(self, result: Result) -> dict[str, float]:
        """Give the figures by the names that people of k6 know."""
        made, lost = (result.counters.get(f"signup_{n}", 0) for n in ("success", "errors"))
        kind = result.kinds.get("signup", {"latency_ms": {}})
        return {
            "signup_errors": lost,
            "signup_success_rate": made / (made + lost) if made + lost else 0.0,
            "signup_duration_p95_ms": kind["latency_ms"].get("p95", 0.0),
        }
