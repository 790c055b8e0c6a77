"""How an address finds what answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulators.stripe.schema import Params
from simulators.stripe.world import World
from simulators.webhooks.events import Obj


@dataclass(frozen=True)
class Call:
    """One request as a handler sees it: parts of its path, and its parameters, checked."""

    path: dict[str, str]
    params: dict[str, Any]
    url: str

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path["id"]

    def pick(self, *names: str) -> dict[str, Any]:
        """Return those of the parameters that were given."""
        return {name: self.params[name] for name in names if name in self.params}


Handler = Callable[[World, Call], Obj]
"""Answers a call with an object of the state, or with a list."""


@dataclass(frozen=True)
class Route:
    """An endpoint: ``Route("GET", "/v1/customers/{id}", retrieve)``."""

    method: str
    path: str
    handler: Handler
    params: Params = field(default_factory=Params)


class Router:
    """Finds the route of a path by its segments; fixed ones come before named ones."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, route.path.strip("/").split("/")) for route in routes]
        self._routes.sort(key=lambda entry: sum(part.startswith("{") for part in entry[1]))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route and the named parts of the path."""
        given = path.strip("/").split("/")
        for route, parts in self._routes:
            if route.method == method and len(parts) == len(given):
                found = _match(parts, given)
                if found is not None:
                    return route, found
        return None


def _match(parts: list[str], given: list[str]) -> dict[str, str] | None:
    named = {}
    for part, value in zip(parts, given, strict=True):
        if part.startswith("{"):
            if not value:
                return None
            named[part.strip("{}")] = value
        elif part != value:
            return None
    return named
