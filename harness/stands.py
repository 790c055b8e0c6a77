"""What the processes of a run stand on: a target each, or one for all that is not ours to multiply.

Whoever shares a target waits while another moves its time; a local stack more costs two seconds.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.ground import Ground
from harness.running import Running, reach, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.checks.verdict import CheckVerdict
    from harness.ground import Plan
    from harness.history import Record
    from harness.running import StartOptions
    from harness.session import Customer
    from harness.target.load import TargetSource

# A database of somebody else's is one, and has one clock.
_OWN_DATABASES = frozenset({"sqlite", "postgres"})
_GRAVEST_FIRST = ("invalid", "unknown", "valid", "skipped")


class Stands:
    """The targets of a run, each with the plan and the ground of the controlling process.

    Workers are seated one to a target; who takes a dead one's place takes its target. Customers
    belong to the target that they were made on, and so does what was done on it.
    """

    def __init__(self, plan: Plan, ups: Sequence[Running], *, shared: bool) -> None:
        self.plans = [replace(plan, variables=up.variables, shared=shared) for up in ups]
        self.customers: list[list[Customer]] = [[] for _ in ups]
        self.up = Running(dead=lambda: [child for up in ups for child in up.dead()])
        self._places: dict[str, int] = {}  # of workers, those that have gone, too
        self._seated: set[str] = set()
        first = Ground.open(self.plans[0], "preflight")
        self.grounds = [first, *(Ground(p, redactor=first.redactor) for p in self.plans[1:])]

    def seat(self, worker: str) -> Plan:
        """Give a worker its plan: that of the target with the fewest on it."""
        taken = Counter(self._places[name] for name in self._seated)
        place = min(range(len(self.plans)), key=lambda place: (taken[place], place))
        self._places[worker] = place
        self._seated.add(worker)
        return self.plans[place]

    def unseat(self, worker: str) -> None:
        """Have a worker's place free for another; what it did stays where it did it."""
        self._seated.discard(worker)

    def take_over(self, made: Iterable[Customer], worker: str | None) -> None:
        """Take over the customers that a worker made, or this process where there is none."""
        self.customers[self._places.get(worker or "", 0)] += made

    @property
    def silent(self) -> bool:
        """Whether one of the targets has stopped answering."""
        return any(ground.silent for ground in self.grounds)

    def judge(self, history: Sequence[Record]) -> list[CheckVerdict]:
        """Judge every target's customers by what was done on it; give one verdict for each check.

        Raises `HarnessError` where a target cannot be reached.
        """
        if len(self.plans) == 1:  # in this thread, so that an interrupt ends it
            return self._judge(0, history)
        pool = ThreadPoolExecutor(len(self.plans))
        try:
            all_judged = [pool.submit(self._judge, p, history) for p in range(len(self.plans))]
            found = [judged.result() for judged in all_judged]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what is left ends with its stack
        return [_joined(verdicts) for verdicts in zip(*found, strict=True)]

    def close(self) -> None:
        """Close the grounds."""
        for ground in self.grounds:
            ground.close()

    def _judge(self, place: int, history: Sequence[Record]) -> list[CheckVerdict]:
        ground, customers = self.grounds[place], self.customers[place]
        for customer in customers:
            ground.redactor.add(customer.credential)
        reach(ground.target.profile)
        own = [r for r in history if self._places.get(r.id.rpartition("-")[0], 0) == place]
        return ground.judge().judge(customers, own)


@contextlib.contextmanager
def stands(source: TargetSource, plan: Plan, how: StartOptions, workers: int) -> Iterator[Stands]:
    """Bring up what so many processes stand on, and stop it afterwards.

    Raises what `running` does.
    """
    own = bool(source.file.profile.target.stack) and how.database in _OWN_DATABASES
    count = max(workers, 1) if own else 1
    with contextlib.ExitStack() as undo:

        def start(place: int) -> Running:
            # The seed makes the simulator's ids, and no two objects of a run share one.
            return undo.enter_context(running(source, plan.seed + place, how))

        with ThreadPoolExecutor(count) as pool:
            ups = list(pool.map(start, range(count))) if count > 1 else [start(0)]
        all_up = Stands(plan, ups, shared=workers > count)
        undo.callback(all_up.close)
        yield all_up


def _joined(verdicts: Sequence[CheckVerdict]) -> CheckVerdict:
    """Give what one check says of all targets: the gravest, with all that was found."""
    gravest = min(verdicts, key=lambda verdict: _GRAVEST_FIRST.index(verdict.kind))
    return replace(
        gravest,
        examined=sum(verdict.examined for verdict in verdicts),
        facts=sum(verdict.facts for verdict in verdicts),
        findings=tuple(finding for verdict in verdicts for finding in verdict.findings),
    )
