"""Commands to the simulator itself: JSON objects in, sentences out when they make no sense."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from simulators.stripe.errors import ApiError
from simulators.stripe.faults.kinds import BadFault

_BODY_MAX_BYTES = 4_000_000


class BadCommand(ValueError):
    """A command to the simulator that makes no sense."""


async def read_command(request: Request, known: set[str] | None = None) -> dict[str, Any]:
    """Read a command's JSON object; none at all is an empty one. `known` limits its names."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_MAX_BYTES:
            raise BadCommand(f"the body is larger than {_BODY_MAX_BYTES} bytes")
    try:
        command = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise BadCommand("the body is not JSON") from None
    if not isinstance(command, dict):
        raise BadCommand("the body must be a JSON object")
    if known is not None and (surplus := sorted(command.keys() - known)):
        raise BadCommand(f"unknown: {', '.join(surplus)}; known: {', '.join(sorted(known))}")
    return command


def seconds(command: dict[str, Any], name: str, default: float, maximum: float) -> float:
    """Return a length of time from a command."""
    value = command.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadCommand(f"{name} must be a number of seconds")
    if not 0 <= value <= maximum:
        raise BadCommand(f"{name} must be from 0 to {maximum:.0f}")
    return float(value)


async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Answer a bad command with a sentence."""
    status = error.status if isinstance(error, ApiError) else 400
    return JSONResponse({"error": str(error)}, status)


REFUSALS = {BadCommand: refuse, BadFault: refuse, ApiError: refuse}
"""What each exception of a command is answered with."""
