"""Lists: newest first, a page at a time, from an id onwards, within times."""

import operator

from simulators.stripe.errors import InvalidRequest, no_such
from simulators.stripe.routes import Call
from simulators.webhooks.events import Obj

_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def page(call: Call, objects: list[Obj], *, equal: tuple[str, ...] = ()) -> Obj:
    """Return the page that a call asks for, of objects given oldest first.

    `equal` names parameters that filter by a top-level field of the same name.
    """
    for name in equal:
        if name in call.params:
            objects = [obj for obj in objects if obj.get(name) == call.params[name]]
    created = call.params.get("created", {})
    for bound, moment in created.items():
        compare = _COMPARE[bound]
        objects = [obj for obj in objects if compare(obj["created"], moment)]
    return _cut(call, objects[::-1])


def _cut(call: Call, objects: list[Obj]) -> Obj:
    limit = call.params.get("limit", 10)
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise InvalidRequest(
            "You cannot parameterize both starting_after and ending_before.",
            param="ending_before",
        )
    if before:
        rest = objects[: _index(objects, before, "ending_before")]
        shown = rest[-limit:]
    else:
        rest = objects[_index(objects, after, "starting_after") + 1 :] if after else objects
        shown = rest[:limit]
    return {
        "object": "list",
        "data": shown,
        "has_more": len(shown) < len(rest),
        "url": call.url,
    }


def _index(objects: list[Obj], object_id: str, param: str) -> int:
    for index, obj in enumerate(objects):
        if obj["id"] == object_id:
            return index
    raise no_such("object", object_id, param)
