"""Scenarios that only ask, each arrival by its number: for the tests of the engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness.target.wire import Call

if TYPE_CHECKING:
    from harness.ground import Ground
    from suites.load.generator.client import Client
    from suites.load.measuring.result import Result
    from suites.load.plan import Plan
    from suites.load.scenarios import Options
    from suites.load.schedule import Stage


class Asking:
    """Asks for `/K`, and expects 200."""

    name = "asking"
    help = "Ask for a number."
    needs: frozenset[str] = frozenset()

    def shape(self, options: Options) -> tuple[Stage, ...]:
        raise NotImplementedError

    def thresholds(self) -> tuple[str, ...]:
        return ()

    def prepare(self, ground: Ground) -> dict[str, Any]:
        raise NotImplementedError

    def ready(self, plan: Plan) -> None:
        pass

    def arrive(self, k: int, client: Client) -> None:
        request = client.connection.write(Call("GET", f"/{k}"))
        client.post(request, "ask")

    def review(self, ground: Ground, result: Result) -> list[dict[str, Any]]:
        raise NotImplementedError


class Pondering(Asking):
    """Asks only after long thought, on the generator's own processor."""

    def arrive(self, k: int, client: Client) -> None:
        ends_at = time.process_time() + 0.03
        while time.process_time() < ends_at:
            pass
        super().arrive(k, client)
