"""What a load does, by name. Light to import: a scenario's module is loaded when it is asked for.

An adopter's own scenario is a class named as `package.module:Class`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from harness.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result
    from suites.load.plan import Model, Plan
    from suites.load.schedule import Stage

SCENARIOS = {
    "signup": "suites.load.scenarios.signup:Signup",
    "webhooks": "suites.load.scenarios.webhooks:Webhooks",
    "rate-limit": "suites.load.scenarios.rate_limit:RateLimit",
    "onboarding": "suites.load.scenarios.onboarding:Onboarding",
    "credential-vending": "suites.load.scenarios.credential_vending:CredentialVending",
    "usage": "suites.load.scenarios.usage:Usage",
    "renewal-storm": "suites.load.scenarios.renewal_storm:RenewalStorm",
    "soak": "suites.load.scenarios.soak:Soak",
    "breakpoint": "suites.load.scenarios.breakpoint:Breakpoint",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; None means the scenario's own figure.

    `scale` shortens every stage. `extra` are the scenario's own options, by name.
    """

    model: Model = "open"
    rate: float | None = None
    duration_s: float | None = None
    users: int | None = None
    scale: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Scenario(Protocol):
    """One kind of load. `shape`, `thresholds`, `prepare`, `review` run in the parent process.

    `ready` and `arrive` run in the load process, under gevent, in a fresh instance each worker.
    """

    name: str
    help: str
    needs: frozenset[str]
    """Operations of the profile that it cannot do without."""

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Give the stages: arrivals a second, or users where the model is closed."""
        ...

    def thresholds(self) -> tuple[str, ...]:
        """Give what must hold, as `--threshold` takes it."""
        ...

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Make customers, keys and what else it needs; what it gives becomes `plan.data`."""
        ...

    def ready(self, plan: Plan) -> None:
        """Get ready in the load process, before the first arrival."""
        ...

    def arrive(self, k: int, client: Client) -> None:
        """Do arrival number `k`, unique over all workers; called when its time has come."""
        ...

    def review(self, ground: LoadGround, result: Result) -> list[dict[str, Any]]:
        """Look afterwards for what must hold; give findings (`what`, `verdict`)."""
        ...


def find_scenario(name: str) -> Scenario:
    """Make the scenario of a name, or of a class. Raises `TargetError` where there is none."""
    spec = SCENARIOS.get(name, name)
    module_name, _, class_name = spec.partition(":")
    if not class_name:
        raise TargetError(
            f"there is no load scenario {name!r}",
            hint=f"Known: {', '.join(SCENARIOS)}. Or a class, as package.module:Class.",
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise TargetError(
            f"the load scenario {name} cannot be loaded: {error}",
            hint="Run the command where Python can import it, or set PYTHONPATH.",
        ) from None
    return cast("Scenario", found())
