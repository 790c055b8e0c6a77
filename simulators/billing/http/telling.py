"""Tells telemetry what no row says: how long things took, and why charges failed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from simulators.billing import events
from simulators.billing.problems import AUTHENTICATION_REQUIRED, Problem, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Scope

    from simulators.billing.core import Core

T = TypeVar("T")
U = TypeVar("U")

_DECLINES = frozenset({"card_declined", AUTHENTICATION_REQUIRED})
# What a route is called in metrics, where its function has another name.
_OPERATIONS = {
    "onboard": "create_customer",
    "track_fix": "record_usage",
    "usage": "get_balance",
    "transactions": "list_ledger",
    "payments": "list_payments",
    "invoices": "list_invoices",
    "receive": "receive_webhook",
}


@contextmanager
def telling_sign_up(core: Core, source: str) -> Iterator[None]:
    """Tell what became of a sign-up and how long it took; its commit lies inside."""
    started = time.perf_counter()
    result = "failed"
    try:
        yield
        result = "succeeded"
    except Problem as problem:
        result = "refused" if problem.is_replayed else "unavailable"
        raise
    finally:
        duration_s = time.perf_counter() - started
        told = {"source": source, "result": result, "duration_s": duration_s}
        events.tell(core.database, "customer_onboarded", **told)


@contextmanager
def telling_declines(core: Core) -> Iterator[None]:
    """Tell of a card that was declined, with Stripe's reason; replays do not come through here."""
    try:
        yield
    except Refusal as refusal:
        if refusal.code in _DECLINES:
            code = refusal.extra.get("decline_code", refusal.code)
            told = {"status": "failed", "payment_method": "card", "failure_code": code}
            events.tell(core.database, "payment_processed", **told)
        raise


def timed(core: Core, event: str, work: Callable[[T], U]) -> Callable[[T], U]:
    """Give `work` with its duration told, however it ends."""

    def working(given: T) -> U:
        started = time.perf_counter()
        try:
            return work(given)
        finally:
            events.tell(core.database, event, duration_s=time.perf_counter() - started)

    return working


def tell_request(scope: Scope, status: int | None, duration_s: float) -> None:
    """Tell of a request; one without a route, or with one that is no operation, is `other`."""
    name = getattr(scope.get("route"), "name", "")
    events.tell(
        scope["app"].state.core.database,
        "request_served",
        operation=_OPERATIONS.get(name, name) or "other",
        status_class=f"{(status or 500) // 100}xx",
        duration_s=duration_s,
    )
