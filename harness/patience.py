"""When the harness sends an operation again of its own accord, and what it then believes.

The reasons are in docs/adr/0008-what-is-sent-again.md. Whatever is sent is in the history, and a
repetition carries the same key: a target that charges for both is found out, not covered up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.target.protocol import Outcome, unknown
from harness.target.wire import Call, NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.history import Exchange
    from harness.operations import Operation

TRIES = 3
PAUSE_S = 0.2
TOO_MANY = 429  # RFC 6585, section 4
_NAMED_BY = {"key": "idempotency_key", "client_id": "usage_id"}


@dataclass(slots=True)
class Patience:
    """Decides about one operation, with `inputs` as it was asked for.

    `limits_wait_s` is how long it may wait in all for a target that limits it; None where limits
    are what a test is about. `altered` operations are sent as somebody else would, so once.
    """

    operation: Operation
    inputs: Mapping[str, Any]
    limits_wait_s: float | None
    altered: bool
    _tries: int = field(default=1, init=False)
    _lost: bool = field(default=False, init=False)

    def pause_s(self, exchanges: Sequence[Exchange]) -> float | None:
        """Give how long to wait before it is sent again, or None; `exchanges` are of one try."""
        if not exchanges or self._tries >= TRIES:
            return None
        last = exchanges[-1].reply
        if isinstance(last, NoReply):
            pause_s = PAUSE_S if self._may_repeat(exchanges, last) else None
            self._lost |= last.sent and not self.operation.reads
        else:
            pause_s = self._wish_of(last)
        if pause_s is not None:
            self._tries += 1
        return pause_s

    def believed(self, outcome: Outcome, exchanges: Sequence[Exchange]) -> Outcome:
        """Give what an outcome is worth.

        Where an answer was lost, a refusal may come of the very request that was not answered; and
        a target that limits the harness says nothing about what was asked.
        """
        last = exchanges[-1].reply if exchanges else None
        limited = isinstance(last, Reply) and last.status == TOO_MANY and not self.altered
        if limited and self.limits_wait_s is not None and outcome.kind == "refused":
            return unknown("the target limits the harness: HTTP 429")
        if self._lost and outcome.kind == "refused":
            said = f"an answer was lost, and the request sent again was {outcome}"
            return replace(unknown(said), outputs=outcome.outputs)
        return outcome

    def _may_repeat(self, exchanges: Sequence[Exchange], last: NoReply) -> bool:
        if self.operation.reads:
            return True
        if self.altered or len(exchanges) > 1:
            return False
        if last.reason == "unreachable" and not last.sent:
            return True
        return last.reason == "reset" and self._is_named(exchanges[0].call)

    def _is_named(self, call: Call) -> bool:
        """Whether a request tells by itself that it is the same one, or cannot have two effects."""
        name = _NAMED_BY.get(self.operation.repeat)
        if name is None:
            return True
        value = self.inputs.get(name)
        return value is not None and _holds(call, str(value))

    def _wish_of(self, reply: Reply) -> float | None:
        """Give the wait that a target asks for, if it is within bounds (RFC 9110, 10.2.3)."""
        told = reply.header("Retry-After") or ""
        if reply.status != TOO_MANY or self.limits_wait_s is None or self.altered:
            return None
        if not (told.isascii() and told.isdigit()) or int(told) > self.limits_wait_s:
            return None
        self.limits_wait_s -= int(told)
        return max(float(told), PAUSE_S)


def _holds(call: Call, value: str) -> bool:
    texts = [call.path, *(text for pair in (*call.query, *call.headers) for text in pair)]
    return any(value in text for text in texts) or value.encode() in call.body
