"""Stripe's test clocks: a customer made on one lives by it, and by no other time."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import PAGE, Caller, read
from simulators.billing.stripe_gateway.errors import StripeNotDone, StripeRefusal

if TYPE_CHECKING:
    import stripe

_POLL_S = 0.2


class TestClockCalls:
    """What a reset of a staging does with test clocks; Stripe refuses all of it in live mode."""

    __test__ = False  # no test of pytest's, whatever its name

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, name: str, now: int) -> str:
        """Make a clock that stands at `now`, and give its id."""
        clocks = self._caller.v1.test_helpers.test_clocks
        made = self._caller.call(lambda: clocks.create({"name": name, "frozen_time": now}))
        return read(facts.own_id, made)

    def remove_all(self, name: str) -> None:
        """Delete every clock of this name, with the customers on it."""
        clocks = self._caller.v1.test_helpers.test_clocks

        def pick(page: stripe.ListObject[stripe.test_helpers.TestClock]) -> list[str]:
            return [clock.id for clock in page.auto_paging_iter() if clock.name == name]

        listed = self._caller.call(lambda: read(pick, clocks.list({"limit": PAGE})))
        for clock_id in listed:
            self._caller.call(partial(clocks.delete, clock_id))

    def advance(self, clock_id: str, to: int, deadline_s: float) -> None:
        """Move a clock on, and wait until all that falls due is done."""
        clocks = self._caller.v1.test_helpers.test_clocks
        self._caller.call(lambda: clocks.advance(clock_id, {"frozen_time": to}))
        ends_at = time.monotonic() + deadline_s
        while (status := self._caller.call(lambda: clocks.retrieve(clock_id)).status) != "ready":
            if status == "internal_failure":
                raise StripeRefusal("internal_failure", "Stripe could not move the test clock")
            if time.monotonic() > ends_at:
                raise StripeNotDone(f"the test clock was not ready after {deadline_s:g} s")
            time.sleep(_POLL_S)
