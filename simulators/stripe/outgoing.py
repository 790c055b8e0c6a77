"""An event as it goes out: in which shape to whom, and who has yet to acknowledge it.

An event keeps the data of the account's own version, and beside it the other shape when an
endpoint has use for it, both made at the moment it tells of.
"""

from dataclasses import dataclass

from simulators.stripe.versions import Shape, shape_of
from simulators.webhooks.events import Obj, encode_event


@dataclass(frozen=True)
class Outgoing:
    """An event and the endpoints it goes to; `by_hand`, it is sent again because someone asked."""

    event: Obj
    endpoints: list[Obj]
    by_hand: bool = False


def in_version(event: Obj, version: str) -> Obj:
    """Return the event as an endpoint of this version gets it."""
    shown = {key: value for key, value in event.items() if not key.startswith("_")}
    if version == event["api_version"]:
        return shown
    data = event["_other_shapes"].get(shape_of(version), event["data"])
    if shape_of(version) == shape_of(event["api_version"]):
        data = event["data"]
    return {**shown, "api_version": version, "data": data}


def encode(event: Obj, version: str) -> bytes:
    """Return the body that an endpoint of this version gets."""
    return encode_event(in_version(event, version))


def keep(event: Obj, endpoints: list[Obj], data: dict[Shape, Obj]) -> None:
    """Put on the event what it has to remember: other shapes, and who is to acknowledge it."""
    own = shape_of(event["api_version"])
    event["_other_shapes"] = {shape: each for shape, each in data.items() if shape != own}
    event["_awaited"] = [endpoint["id"] for endpoint in endpoints]
