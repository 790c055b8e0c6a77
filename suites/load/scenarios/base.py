"""What scenarios share: figures that options override, arrivals counted, shares drawn by number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import SettingsError
from suites.load import schedule
from suites.load.schedule import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.session import Customer
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result
    from suites.load.plan import Plan
    from suites.load.scenarios import Options

_GOLDEN = 0.618_033_988_749_895
_ARRIVAL_S = 0.05  # of a user in the closed model, for a guess at how many there will be


class Base:
    """One kind of load. Subclasses say the figures and do the arrivals.

    `rate` and `duration_s` are the full size; `extras` the scenario's own options with their
    defaults and meaning. `meet` is called first, then `shape`, `resized`, `prepare`.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    rate: ClassVar[float] = 10.0
    duration_s: ClassVar[float] = 60.0
    users: ClassVar[int] = 10
    connections: ClassVar[int] = 20
    think_s: ClassVar[float] = 0.0
    objectives: ClassVar[tuple[str, ...]] = ()
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {}

    def __init__(self) -> None:
        self.stages: tuple[Stage, ...] = ()
        self.model = "open"
        self.own: dict[str, float] = {name: default for name, (default, _) in self.extras.items()}

    def meet(self, ground: LoadGround) -> None:
        """Look at the target before anything is planned."""

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Give the stages: arrivals a second, or users where the model is closed."""
        self.model = options.model
        self.own |= self.wanted(options.extra)
        level = options.users or self.users if options.model == "closed" else options.rate
        duration_s = self.duration_s if options.duration_s is None else options.duration_s
        return (Stage(duration_s, float(self.rate if level is None else level)),)

    def resized(self, stages: tuple[Stage, ...], scale: float) -> tuple[Stage, ...]:
        """Shorten the stages, and keep them for `prepare`."""
        self.stages = schedule.scaled(stages, scale)
        return self.stages

    def thresholds(self) -> tuple[str, ...]:
        """Give what must hold."""
        return self.objectives

    def prepare(self, ground: LoadGround) -> dict[str, Any]:  # noqa: ARG002 - the protocol has it
        """Make nothing."""
        return {}

    def ready(self, plan: Plan) -> None:
        """Keep what `prepare` and the user said, in the load process."""
        self.own |= {name: float(value) for name, value in plan.options.items()}
        self.model = plan.model

    def arrive(self, k: int, client: Client) -> None:
        """Do one arrival."""
        raise NotImplementedError

    def review(self, ground: LoadGround, result: Result) -> list[dict[str, Any]]:  # noqa: ARG002 - the same
        """Find nothing beyond what the money says."""
        return []

    @property
    def arrivals(self) -> int:
        """How many arrivals there will be; in the closed model a guess on the high side."""
        if self.model == "open":
            return schedule.count(self.stages)
        return math.ceil(sum(stage.area for stage in self.stages) / max(self.think_s, _ARRIVAL_S))

    def wanted(self, extra: Mapping[str, Any]) -> dict[str, float]:
        """Check the scenario's own options, and give them. Raises `SettingsError`."""
        for name, value in extra.items():
            if name not in self.extras:
                known = ", ".join(self.extras) or "it has none"
                raise SettingsError(
                    f"{self.name} has no option {name!r}", hint=f"Its own options: {known}."
                )
            if not math.isfinite(float(value)) or float(value) < 0:
                raise SettingsError(
                    f"{name} cannot be {value}", hint="Give a number that is not negative."
                )
        return {name: float(value) for name, value in extra.items()}


def draw(k: int) -> float:
    """Give a number from 0 to 1 for an arrival, the same in every worker and evenly spread.

    >>> [round(draw(k), 2) for k in range(4)]
    [0.0, 0.62, 0.24, 0.85]
    """
    return k * _GOLDEN % 1.0


def pick(client: Client, group: str, k: int) -> Customer:
    """Give the customer of a group whose turn it is."""
    members = client.data[group]
    chosen = members[k % len(members)]
    return client.customer(chosen["id"], chosen["provider_customer"])
