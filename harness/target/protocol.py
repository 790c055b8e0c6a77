"""The target adapter: it says what to send and what a reply means, and never sends."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.target.wire import Call, NoReply, Reply, Wait

if TYPE_CHECKING:
    from harness.target.profile import Profile

Kind = Literal["ok", "accepted", "refused", "unknown"]
Role = Literal["operator", "customer", "other_tenant", "anonymous"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation.

    `ok`: it happened. `accepted`: it was taken on. `refused`: it did not happen, with a stable
    `code`. `unknown`: it may have happened, with the `reason` for the doubt.
    """

    kind: Kind
    outputs: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None
    reason: str | None = None

    def __getitem__(self, output: str) -> Any:
        """Give an output by name."""
        return self.outputs[output]

    def get(self, output: str) -> Any:
        """Give an output by name, or None."""
        return self.outputs.get(output)

    def __str__(self) -> str:
        """Say it in a few words."""
        detail = self.code or self.reason
        return f"{self.kind} ({detail})" if detail else self.kind


def refused(code: str, reason: str | None = None) -> Outcome:
    """Say that it did not happen."""
    return Outcome("refused", code=code, reason=reason)


def unknown(reason: str) -> Outcome:
    """Say that it may have happened."""
    return Outcome("unknown", reason=reason)


Performance = Generator[Call | Wait, Reply | NoReply | None, Outcome]
"""An operation under way: it yields calls and waits, is handed replies, and returns its outcome."""


class Target(Protocol):
    """A billing API under test."""

    @property
    def profile(self) -> Profile:
        """Catalogue, capabilities, limits, webhooks, payment provider."""
        ...

    @property
    def operations(self) -> frozenset[str]:
        """The names of the operations that this target has."""
        ...

    def perform(
        self, operation: str, /, *, role: Role, credential: str | None, **inputs: Any
    ) -> Performance:
        """Begin an operation. Raises `NotMapped` where the target does not have it."""
        ...
