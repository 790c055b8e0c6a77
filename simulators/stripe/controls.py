"""``/simulator``: control over faults, and over who is sent what."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from simulators.stripe import endpoint_secrets
from simulators.stripe.command import BadCommand, read_command, seconds
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.faults.book import Fault
from simulators.stripe.simulator import Simulator
from simulators.webhooks.events import Cause, Obj


class Controls:
    """The endpoints for faults and deliveries."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at ``/simulator``."""
        return [
            Route("/faults", self.list_faults),
            Route("/faults", self.add_faults, methods=["POST"]),
            Route("/faults", self.remove_faults, methods=["DELETE"]),
            Route("/faults/log", self.fault_log),
            Route("/faults/{fault}", self.remove_faults, methods=["DELETE"]),
            Route("/faults/{fault}/release", self.release, methods=["POST"]),
            Route("/deliveries", self.deliveries),
            Route("/events/{event}/resend", self.resend, methods=["POST"]),
            Route("/webhook_endpoints/{endpoint}/roll_secret", self.roll_secret, methods=["POST"]),
        ]

    async def list_faults(self, _request: Request) -> JSONResponse:
        """List the faults in force, with how often each has matched and hit."""
        faults = self._simulator.faults.faults.values()
        return JSONResponse({"faults": [fault.as_json() for fault in faults]})

    async def add_faults(self, request: Request) -> JSONResponse:
        """Put one fault, or ``{"faults": […]}``, into force: all of them or none."""
        command = await read_command(request)
        given = command["faults"] if command.keys() == {"faults"} else [command]
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise BadCommand("faults must be a list of objects")
        made = self._simulator.faults.add_all(given)
        shown: dict[str, Any] = {"faults": [fault.as_json() for fault in made]}
        return JSONResponse(shown if "faults" in command else shown["faults"][0], 201)

    async def remove_faults(self, request: Request) -> JSONResponse:
        """Take one fault, or all, out of force; what they held is let go."""
        book = self._simulator.faults
        named = request.path_params.get("fault")
        faults = [self._fault(request)] if named else list(book.faults.values())
        released = 0
        for fault in faults:
            book.remove(fault.id)
            released += self._simulator.deliverer.let_go(fault.id)
        return JSONResponse({"removed": [fault.id for fault in faults], "released": released})

    async def fault_log(self, _request: Request) -> JSONResponse:
        """Tell what was hit by which fault, oldest first."""
        return JSONResponse({"log": self._simulator.faults.log})

    async def release(self, request: Request) -> JSONResponse:
        """Let go what a fault holds; it goes on holding what comes."""
        fault = self._fault(request)
        return JSONResponse({"released": self._simulator.deliverer.let_go(fault.id)})

    async def deliveries(self, _request: Request) -> JSONResponse:
        """List every attempt to deliver, oldest first, and what is held."""
        deliverer = self._simulator.deliverer
        held = [
            {
                "event": message.event_id,
                "type": message.event_type,
                "webhook_endpoint": message.receiver_id,
                "held_by": message.held_by,
            }
            for message in deliverer.held
        ]
        log = [attempt.as_json() for attempt in deliverer.log]
        return JSONResponse({"deliveries": log, "held": held})

    async def resend(self, request: Request) -> JSONResponse:
        """Send an event once more: to one ``webhook_endpoint``, or to all that want its type."""
        command = await read_command(request, {"webhook_endpoint"})
        world = self._simulator.world
        with world.transaction(Cause()):
            event = world.fetch("event", request.path_params["event"])
            endpoints = endpoint_secrets.to_resend(world, event, command.get("webhook_endpoint"))
            world.resend(event, endpoints)
        return JSONResponse({"resent_to": [endpoint["id"] for endpoint in endpoints]})

    async def roll_secret(self, request: Request) -> JSONResponse:
        """Give an endpoint a new secret; the old one signs too for ``expires_in_s`` seconds."""
        command = await read_command(request, {"expires_in_s"})
        overlap_s = int(seconds(command, "expires_in_s", 0, endpoint_secrets.OVERLAP_MAX_S))
        world = self._simulator.world
        with world.transaction(Cause()):
            endpoint = self._endpoint(request)
            secret = endpoint_secrets.roll(world, endpoint, overlap_s)
        expires_at = world.account_now + overlap_s
        return JSONResponse({"secret": secret, "old_secret_expires_at": expires_at})

    def _endpoint(self, request: Request) -> Obj:
        return self._simulator.world.fetch("webhook_endpoint", request.path_params["endpoint"])

    def _fault(self, request: Request) -> Fault:
        fault_id = request.path_params["fault"]
        fault = self._simulator.faults.faults.get(fault_id)
        if fault is None:
            raise InvalidRequest(f"No such fault: {fault_id}", status=404)
        return fault
