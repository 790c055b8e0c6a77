"""``/simulator``: what Stripe gives no tester. JSON in, JSON out, no key needed."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from simulators.stripe import setups
from simulators.stripe.billing import collection
from simulators.stripe.command import BadCommand, read_command, seconds
from simulators.stripe.intents import answer_authentication
from simulators.stripe.simulator import Simulator
from simulators.webhooks.events import Cause

_FAR_FUTURE = 2**33
_DEADLINE_MAX_S = 300.0
_JOURNAL_FILTERS = {"customer", "idempotency_key", "invoice", "payment_intent"}


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
        command = await read_command(request, {"deadline_s", "running", "to"})
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
            await self._simulator.advance(to, seconds(command, "deadline_s", 10.0, _DEADLINE_MAX_S))
        return self._time()

    def _time(self) -> JSONResponse:
        clock = self._simulator.world.clock
        return JSONResponse({"now": clock.now, "running": clock.running})

    async def settle(self, request: Request) -> JSONResponse:
        """Wait until no delivery that is due now is outstanding, or for ``deadline_s``."""
        command = await read_command(request, {"deadline_s"})
        settled = await self._simulator.settle(seconds(command, "deadline_s", 5.0, _DEADLINE_MAX_S))
        deliverer = self._simulator.deliverer
        return JSONResponse(
            {
                "settled": settled,
                "pending_deliveries": deliverer.pending,
                "waiting_retries": deliverer.waiting_retries,
                "held_deliveries": len(deliverer.held),
            }
        )

    async def journal(self, request: Request) -> JSONResponse:
        """Tell all money that moved, or what has the values asked for in these fields."""
        wanted = dict(request.query_params)
        if surplus := sorted(wanted.keys() - _JOURNAL_FILTERS):
            known = ", ".join(sorted(_JOURNAL_FILTERS))
            raise BadCommand(f"unknown: {', '.join(surplus)}; known: {known}")
        world = self._simulator.world
        return JSONResponse({"now": world.now, **world.journal.as_json(**wanted)})

    async def authenticate(self, request: Request) -> JSONResponse:
        """Answer for the customer whom the bank asked to authenticate: ``succeed`` or not."""
        command = await read_command(request, {"succeed"})
        world = self._simulator.world
        with world.transaction(Cause()):
            intent = world.fetch("payment_intent", request.path_params["intent"])
            answer_authentication(world, intent, succeed=command.get("succeed") is not False)
            collection.after_attempt(world, intent)
        return JSONResponse(world.show(intent))

    async def authenticate_setup(self, request: Request) -> JSONResponse:
        """Answer likewise for the customer whom the bank asked while a card was set up."""
        command = await read_command(request, {"succeed"})
        world = self._simulator.world
        with world.transaction(Cause()):
            setup = world.fetch("setup_intent", request.path_params["setup"])
            setups.answer_authentication(world, setup, succeed=command.get("succeed") is not False)
        return JSONResponse(world.show(setup))
