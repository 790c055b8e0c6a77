"""Lists: newest first, a page at a time, from an id onwards, within times."""

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from simulators.stripe.errors import InvalidRequest, no_such
from simulators.stripe.routes import Call
from simulators.webhooks.events import Obj

_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}

Filter = Callable[[Obj], bool]


def page(
    call: Call,
    objects: Sequence[Obj],
    *,
    equal: tuple[str, ...] = (),
    where: Sequence[Filter] = (),
) -> Obj:
    """Return the page that a call asks for, of objects given oldest first.

    `equal` names parameters that filter by a top-level field of the same name; what is listed
    passes every filter of `where` too. Filters meet objects from the cursor on until the page is
    full and one more is found: whoever reads all, page by page, has each filtered about once.
    """
    limit = call.params.get("limit", 10)
    filters = [*_bounds(call), *_equals(call, equal), *where]
    walk, newest_first = _from(call, objects)
    found = list(islice((o for o in walk if all(each(o) for each in filters)), limit + 1))
    shown = found[:limit]
    return {
        "object": "list",
        "data": shown if newest_first else shown[::-1],
        "has_more": len(found) > limit,
        "url": call.url,
    }


def _bounds(call: Call) -> Iterator[Filter]:
    for bound, moment in call.params.get("created", {}).items():
        yield _field("created", _COMPARE[bound], moment)


def _equals(call: Call, names: tuple[str, ...]) -> Iterator[Filter]:
    for name in names:
        if name in call.params:
            yield _field(name, operator.eq, call.params[name])


def _field(name: str, compare: Callable[[Any, Any], bool], value: object) -> Filter:
    return lambda obj: compare(obj.get(name), value)


def _from(call: Call, objects: Sequence[Obj]) -> tuple[Iterator[Obj], bool]:
    """Walk away from the object that the page lies next to; tell whether newest come first."""
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise InvalidRequest(
            "You cannot parameterize both starting_after and ending_before.",
            param="ending_before",
        )
    if before:
        start = _position(objects, before, "ending_before") + 1
        return (objects[each] for each in range(start, len(objects))), False
    end = _position(objects, after, "starting_after") if after else len(objects)
    return (objects[each] for each in range(end - 1, -1, -1)), True


def _position(objects: Sequence[Obj], object_id: str, param: str) -> int:
    for position in range(len(objects) - 1, -1, -1):
        if objects[position]["id"] == object_id:
            return position
    raise no_such("object", object_id, param)
