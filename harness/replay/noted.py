"""A payment provider whose faults and jumps of time stand in the history, to be told again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from harness.provider import SimulatorProvider
from harness.target.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.session import Session

FAULT = "provider.fault"
FAULT_ENDS = "provider.fault_ends"
ADVANCE = "provider.advance"


class NotedProvider(SimulatorProvider):
    """The simulator in the hands of one test, whose session takes note of what it does there."""

    def __init__(self, provider: SimulatorProvider, session: Session) -> None:
        super().__init__(provider.url)
        self._session = session

    @contextlib.contextmanager
    def fault(self, kind: str, on: str, *, customer: str, **says: Any) -> Iterator[None]:
        """Strike calls about one customer inside, as the simulator does."""
        own = [c.id for c in self._session.customers if c.provider_customer == customer]
        fault = self._session.names.new("fault")
        inputs = {"kind": kind, "on": on, **says}
        self._session.remark(FAULT, Outcome("ok", {"fault": fault}), customer=own[0], **inputs)
        try:
            with super().fault(kind, on, customer=customer, **says):
                yield
        finally:
            self._session.remark(FAULT_ENDS, Outcome("ok"), fault=fault)

    def advance(self, to: int, deadline_s: float) -> bool:
        """Move time on, as the simulator does."""
        self._session.remark(ADVANCE, Outcome("ok"), by_s=to - self.now())
        return super().advance(to, deadline_s)
