"""``/simulator``: what Stripe gives no tester. JSON in, JSON out, no key needed."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from simulators.stripe import setups
from simulators.stripe.billing import collection
from simulators.stripe.errors import ApiError
from simulators.stripe.intents import answer_authentication
from simulators.stripe.simulator import Simulator
from simulators.webhooks.events import Cause

_FAR_FUTURE = 2**33
_DEADLINE_MAX_S = 300.0


class BadCommand(ValueError):
    """A command to the simulator that makes no sense."""


class Admin:
    """The simulator's own endpoints."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at ``/simulator``."""
        return [
            Route("/ready", self.ready),
            Route("/clock", self.clock),
            Route("/clock", self.move_clock, methods=["POST"]),
            Route("/settle", self.settle, methods=["POST"]),
            Route("/deliveries", self.deliveries),
            Route("/journal", self.journal),
            Route("/payment_intents/{intent}/authenticate", self.authenticate, methods=["POST"]),
            Route("/setup_intents/{setup}/authenticate", self.authenticate_setup, methods=["POST"]),
        ]

    async def ready(self, _request: Request) -> JSONResponse:
        """Tell that requests are answered."""
        return JSONResponse({"ready": True})

    async def clock(self, _request: Request) -> JSONResponse:
        """Tell virtual time."""
        return self._time()

    async def move_clock(self, request: Request) -> JSONResponse:
        """Move time on to ``to``, and do what falls due on the way; or stop it, or let it run."""
        command = await _command(request, {"deadline_s", "running", "to"})
        clock = self._simulator.world.clock
        if "running" in command:
            if not isinstance(command["running"], bool):
                raise BadCommand("running must be true or false")
            (clock.run if command["running"] else clock.stop)()
        if "to" in command:
            to = command["to"]
            if not isinstance(to, int) or isinstance(to, bool) or to > _FAR_FUTURE:
                raise BadCommand("to must be a time in whole seconds since 1970")
            if to < clock.now:
                raise BadCommand(f"to must not be past: it is {clock.now} now")
            await self._simulator.advance(to, _seconds(command, 10.0))
        return self._time()

    def _time(self) -> JSONResponse:
        clock = self._simulator.world.clock
        return JSONResponse({"now": clock.now, "running": clock.running})

    async def settle(self, request: Request) -> JSONResponse:
        """Wait until no delivery that is due now is outstanding, or for ``deadline_s``."""
        command = await _command(request, {"deadline_s"})
        settled = await self._simulator.settle(_seconds(command, 5.0))
        deliverer = self._simulator.deliverer
        return JSONResponse(
            {
                "settled": settled,
                "pending_deliveries": deliverer.pending,
                "waiting_retries": deliverer.waiting_retries,
            }
        )

    async def deliveries(self, _request: Request) -> JSONResponse:
        """List every attempt to deliver, oldest first."""
        return JSONResponse(
            {"deliveries": [attempt.as_json() for attempt in self._simulator.deliverer.log]}
        )

    async def journal(self, request: Request) -> JSONResponse:
        """Tell all money that moved, of one ``customer`` or of all."""
        world = self._simulator.world
        return JSONResponse(
            {"now": world.now, **world.journal.as_json(request.query_params.get("customer"))}
        )

    async def authenticate(self, request: Request) -> JSONResponse:
        """Answer for the customer whom the bank asked to authenticate: ``succeed`` or not."""
        command = await _command(request, {"succeed"})
        world = self._simulator.world
        with world.transaction(Cause()):
            intent = world.fetch("payment_intent", request.path_params["intent"])
            answer_authentication(world, intent, succeed=command.get("succeed") is not False)
            collection.after_attempt(world, intent)
        return JSONResponse(world.show(intent))

    async def authenticate_setup(self, request: Request) -> JSONResponse:
        """Answer likewise for the customer whom the bank asked while a card was set up."""
        command = await _command(request, {"succeed"})
        world = self._simulator.world
        with world.transaction(Cause()):
            setup = world.fetch("setup_intent", request.path_params["setup"])
            setups.answer_authentication(world, setup, succeed=command.get("succeed") is not False)
        return JSONResponse(world.show(setup))


async def _command(request: Request, known: set[str]) -> dict[str, Any]:
    """Read a command's JSON object; none at all is an empty one."""
    body = await request.body()
    try:
        command = json.loads(body or b"{}")
    except ValueError:
        raise BadCommand("the body is not JSON") from None
    if not isinstance(command, dict):
        raise BadCommand("the body must be a JSON object")
    if surplus := sorted(command.keys() - known):
        raise BadCommand(f"unknown: {', '.join(surplus)}; known: {', '.join(sorted(known))}")
    return command


def _seconds(command: dict[str, Any], default: float) -> float:
    value = command.get("deadline_s", default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadCommand("deadline_s must be a number of seconds")
    if not 0 <= value <= _DEADLINE_MAX_S:
        raise BadCommand(f"deadline_s must be from 0 to {_DEADLINE_MAX_S:.0f}")
    return float(value)


async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Answer a bad command with a sentence."""
    status = error.status if isinstance(error, ApiError) else 400
    return JSONResponse({"error": str(error)}, status)
