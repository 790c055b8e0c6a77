"""Virtual time in phases: each begins on a mark of five minutes, and is seen at the next one.

Between two phases nothing happens. So a window that begins and ends on a mark holds whole phases,
and what a query says of it can be held against what happened to the last unit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import Unknown
from harness.timeline import drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.provider import SimulatorProvider
    from harness.session import Session

Knows: TypeAlias = Literal["all", "books", "nothing"]
STEP_S = 300
BEFORE_MARK_S = 20
"""How long before the mark a snapshot is taken, by the service's clock."""
_SETTLE_S = 30.0
_AWAIT_S = 15.0
# A phase that took longer than this reached over its mark.
_PHASE_MAX_S = STEP_S - 2 * BEFORE_MARK_S


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service's metrics said, at a mark of virtual time.

    `wall_s` is when it was asked, and `took_s` how long it took. `knows` says what can be true of
    it: everything; the books alone, where somebody wrote past the service; or only that they
    cannot be read.
    """

    name: str
    begins_s: int
    mark_s: int
    wall_s: float
    page: str
    took_s: float = 0.0
    knows: Knows = "all"


@dataclass
class Clockwork:
    """Moves the service's clock and the provider's from phase to phase, and takes the snapshots."""

    session: Session
    provider: SimulatorProvider
    scrape: Callable[[], str]
    reconciled: Callable[[], int]
    snapshots: list[Snapshot] = field(default_factory=list)
    _begins_s: int = 0
    _wall_s: float = 0.0

    def begin(self, at_s: int, *, can_settle: bool) -> int:
        """Move time to the mark at or after a moment, and let happen what falls due until then.

        Give the service's time after it, in Unix seconds.
        The service goes first, so that what it does about it is dated when it does it. Where
        nothing can settle, as without a provider, nothing is waited for.
        """
        self._begins_s = -(-at_s // STEP_S) * STEP_S
        self._wall_s = time.monotonic()
        looked = self.reconciled()
        self.session.ok("advance_time", to=self._begins_s + 1)
        if self.snapshots:
            # The reconciler looks for events itself, and should not race those that are to come.
            await_that(lambda: self.reconciled() > looked, "the reconciler did not look around")
        if not self.provider.advance(max(self._begins_s + 1, self.provider.now()), _SETTLE_S):
            raise Unknown("the payment provider did not settle")
        if can_settle:
            self.settle()
        return self._begins_s + 1

    def settle(self) -> None:
        """Let every webhook arrive, and the service do what follows from it."""
        if self.provider.settle(_SETTLE_S) is False:
            raise Unknown("webhooks were not delivered")
        drain(self.session, _SETTLE_S)

    def end(self, name: str, *, can_settle: bool, knows: Knows = "all") -> Snapshot:
        """Move the service on to just before the next mark, and take the snapshot.

        Nothing is on its way then, so that it is clear what the snapshot has seen.
        """
        if can_settle:
            self.settle()
        took_s = time.monotonic() - self._wall_s
        if took_s > _PHASE_MAX_S:
            raise Unknown(f"{name} took {took_s:.0f} s; it must fit between two marks of time")
        mark_s = self._begins_s + STEP_S
        self.session.ok("advance_time", to=mark_s - BEFORE_MARK_S)
        wall_s = time.time()
        page = self.scrape()
        span_s = time.time() - wall_s
        found = Snapshot(name, self._begins_s, mark_s, wall_s, page, span_s, knows)
        self.snapshots.append(found)
        return found


def await_that(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until something holds. Raises `Unknown` at the deadline."""
    ends_at = time.monotonic() + _AWAIT_S
    while not condition():
        if time.monotonic() > ends_at:
            raise Unknown(otherwise)
        time.sleep(0.05)  # between two looks, bounded by the deadline
