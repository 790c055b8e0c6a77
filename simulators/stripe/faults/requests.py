"""What faults do to a request to the API."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from simulators.stripe.errors import ApiError, IdempotencyError, InvalidRequest
from simulators.stripe.faults.book import Facts, FaultBook, Hit
from simulators.stripe.faults.kinds import REQUEST_KINDS
from simulators.stripe.forms import Raw
from simulators.stripe.store import Store
from simulators.webhooks.events import Obj

_CUSTOMER_PREFIX = "cus_"


def rate_limited() -> InvalidRequest:
    """Build the answer to one request too many. It runs before any idempotency key is read."""
    error = InvalidRequest(
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code="rate_limit",
    )
    error.headers["Stripe-Rate-Limited-Reason"] = "global-rate"
    return error


def _locked() -> ApiError:
    error = InvalidRequest(
        "This object cannot be accessed right now because another API request or Stripe process "
        "is currently accessing it. If you see this error intermittently, retry the request. If "
        "you see this error frequently and are making multiple concurrent requests to a single "
        "object, make your requests serially or at a lower rate. For more details, see "
        "https://stripe.com/docs/rate-limits#object-lock-timeouts.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code="lock_timeout",
    )
    error.headers["Stripe-Should-Retry"] = "true"
    return error


def _in_use() -> ApiError:
    return IdempotencyError(
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through).",
        status=HTTPStatus.CONFLICT,
        code="idempotency_key_in_use",
    )


def server_error(status: int) -> ApiError:
    """Build Stripe's answer to a failure of its own."""
    return ApiError("An unknown error occurred", status=status)


_REFUSALS = {"rate_limit": rate_limited, "lock_timeout": _locked, "conflict": _in_use}


@dataclass(frozen=True)
class RequestFaults:
    """What is to happen to one request; nothing, unless faults struck it."""

    hits: tuple[Hit, ...] = ()

    @property
    def refusal(self) -> ApiError | None:
        """The error that is answered before anything is begun."""
        for hit in self.hits:
            if hit.kind in _REFUSALS:
                return _REFUSALS[hit.kind]()
            if hit.kind == "error" and hit["effect"] == "none":
                return server_error(hit["status"])
        return None

    @property
    def failure(self) -> tuple[ApiError, bool] | None:
        """The error that is answered after execution, and whether its effect is kept."""
        hit = self._find("error")
        if hit is None or hit["effect"] == "none":
            return None
        return server_error(hit["status"]), hit["effect"] == "kept"

    @property
    def resets_before(self) -> bool:
        """Whether the connection is reset before anything is done."""
        hit = self._find("reset")
        return hit is not None and hit["effect"] == "none"

    @property
    def resets_after(self) -> bool:
        """Whether the connection is reset in place of the answer."""
        hit = self._find("reset")
        return hit is not None and hit["effect"] == "kept"

    def cut(self, size: int) -> int | None:
        """Return after how many bytes an answer of `size` ends; None: it is whole."""
        hit = self._find("truncate")
        if hit is None:
            return None
        return size // 2 if hit["bytes"] is None else min(int(hit["bytes"]), max(0, size - 1))

    async def wait(self, effect: str) -> None:
        """Wait where latency was asked for: before ("last") or after the effect ("first")."""
        wait_s = sum(
            hit.note["latency_s"]
            for hit in self.hits
            if hit.kind == "latency" and hit["effect"] == effect
        )
        if wait_s:
            await asyncio.sleep(wait_s)

    def _find(self, kind: str) -> Hit | None:
        return next((hit for hit in self.hits if hit.kind == kind), None)


def strike(book: FaultBook, facts: Facts, at: int) -> RequestFaults:
    """Return what is to happen to a request, and put it on record."""
    hits = book.strike(REQUEST_KINDS, facts, at)
    for hit in hits:
        if hit.kind == "latency":
            samples = hit["samples_s"] or [hit["seconds"]]
            hit.note["latency_s"] = hit.fault.draw("latency", hit.number).choice(samples)
    return RequestFaults(tuple(hits))


def facts_of(
    store: Store, labels: Mapping[str, str | None], path: Mapping[str, str], raw: dict[str, Raw]
) -> Facts:
    """Return what is known of a request: its form, and everyone whom it concerns."""
    body = dict(_flatten(raw))
    return Facts(labels, body, _metadata(raw), frozenset(_customers(store, path, body)))


def _flatten(raw: Raw, name: str = "") -> list[tuple[str, str]]:
    """Return a form's values by their bracketed names."""
    if isinstance(raw, str):
        return [(name, raw)]
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw)
    found: list[tuple[str, str]] = []
    for key, value in pairs:
        found += _flatten(value, f"{name}[{key}]" if name else str(key))
    return found


def _metadata(raw: dict[str, Raw]) -> dict[str, str]:
    given = raw.get("metadata")
    pairs = given.items() if isinstance(given, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _customers(store: Store, path: Mapping[str, str], body: dict[str, str]) -> set[str]:
    """Return who is named in the request, and to whom the things named in it belong."""
    named = {*path.values(), *body.values()}
    found = {value for value in named if value.startswith(_CUSTOMER_PREFIX)}
    return found.union(*(owners(store, thing) for value in named if (thing := store.find(value))))


def owners(store: Store, obj: Obj) -> set[str]:
    """Return the customer to whom an object belongs: itself, its own, or its subscription's."""
    if obj["object"] == "customer":
        return {obj["id"]}
    for name in ("customer", "_customer"):
        if isinstance(obj.get(name), str):
            return {obj[name]}
    holder = store.get("subscription", str(obj.get("subscription")))
    return {holder["customer"]} if holder else set()
