"""Sluice is Brook behind a gate: each request is signed with its time, by a partner's secret.

No profile can say that, so the harness reaches it by a class:
`--target tests.targets.sluice:SluiceTarget`.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from harness.target.mapped import ProfileTarget
from harness.target.wire import Call

if TYPE_CHECKING:
    from harness.target.profile import Profile
    from harness.target.protocol import Outcome, Performance, Role


def signature(secret: str, at: str, method: str, path: str, body: bytes) -> str:
    """Sign a request: HMAC-SHA256 over its time, method, path and body."""
    said = f"{at}\n{method}\n{path}\n".encode() + body
    return hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


class SluiceTarget(ProfileTarget):
    """Does what its profile says, and signs every call as it goes out."""

    profile_file = "sluice.toml"

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._secret = profile.auth["partner"].headers["X-Sluice-Secret"]

    @override
    def perform(
        self, operation: str, /, *, role: Role, credential: str | None, **inputs: Any
    ) -> Performance:
        """Begin an operation."""
        return self._signed(super().perform(operation, role=role, credential=credential, **inputs))

    def _signed(self, performance: Performance) -> Performance:
        answer = None
        while True:
            try:
                step = performance.send(answer)
            except StopIteration as end:
                return cast("Outcome", end.value)
            answer = yield self._sign(step) if isinstance(step, Call) else step

    def _sign(self, call: Call) -> Call:
        at = str(int(time.time()))
        signed = signature(self._secret, at, call.method, call.path, call.body)
        return call.with_header("X-Sluice-Time", at).with_header("X-Sluice-Signature", signed)
