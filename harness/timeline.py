"""Moves time for a target and its payment provider together."""

from __future__ import annotations

import contextlib
import fcntl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import NotMapped, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Plan
    from harness.provider import SimulatorProvider
    from harness.session import Session

HOUR_S = 3600
DAY_S = 24 * HOUR_S
_SETTLE_S = 30.0
_DRAIN_S = 3.0
TURNS = "turns.lock"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Time as one test's customers live through it; it only goes forward.

    The provider moves first and does what falls due on the way; then the target follows and
    settles what reached it. Whatever does not settle in time is *unknown*.
    """

    session: Session
    provider: SimulatorProvider

    def now(self) -> int:
        """Give the time, in Unix seconds, as the provider has it."""
        return self.provider.now()

    def advance(self, *, days: float = 0, hours: float = 0) -> int:
        """Move on by so much; give the time that it is then."""
        return self.advance_to(self.now() + round(days * DAY_S + hours * HOUR_S))

    def advance_to(self, moment: int) -> int:
        """Move on to a moment, in Unix seconds; give the time that it is then."""
        if not self.provider.advance(moment, _SETTLE_S):
            raise Unknown(f"the payment provider did not settle within {_SETTLE_S:g} s")
        self.session.ok("advance_time", to=moment)
        self.settle()
        return moment

    def settle(self) -> None:
        """Let every webhook arrive, and the target do what follows from it."""
        if self.provider.settle(_SETTLE_S) is False:
            raise Unknown(f"webhooks were not delivered within {_SETTLE_S:g} s")
        drain(self.session, _SETTLE_S)


def drain(session: Session, deadline_s: float) -> None:
    """Let the target do what is due, where it can be asked. Raises `Unknown` at the deadline.

    It is asked for a while at a time: a target's answer must come before a client gives up.
    """
    if "drain" not in session.target.operations:
        return
    ends_at = time.monotonic() + deadline_s
    while session.ok("drain", deadline_s=_DRAIN_S).get("settled") is False:
        if time.monotonic() > ends_at:
            raise Unknown(f"the target did not settle within {deadline_s:g} s")


def end_subscriptions(session: Session) -> None:
    """Cancel what a test subscribed to, or it would renew through every later story of time."""
    mapped = {"advance_time", "cancel_subscription"} <= session.target.operations
    if not mapped or session.target.profile.clock is None:
        return
    asked = {
        (record.customer, record.outcome.get("subscription"))
        for record in session.records
        if record.operation == "subscribe" and record.outcome.kind != "refused"
    }
    owners = {customer.id: customer for customer in session.customers}
    for who, subscription in sorted(asked, key=str):
        if who in owners:
            with contextlib.suppress(NotMapped):  # nobody knows its id
                session.perform(
                    "cancel_subscription",
                    customer=owners[who],
                    subscription=subscription,
                    at_period_end=False,
                )


@contextlib.contextmanager
def turn(plan: Plan, *, alone: bool) -> Iterator[None]:
    """Hold the right to use the run's target: with others, or `alone` in order to move its time.

    Where several processes share a target, they share its clock: while one moves time, no other
    test may be in the middle of something.
    """
    if not plan.shared:
        yield
        return
    with (Path(plan.folder) / TURNS).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
