"""Mistakes about limits: walked around, or locking out for ever."""

from __future__ import annotations

import time
import zlib
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from starlette.datastructures import Headers

from simulators.billing import limits
from simulators.billing.defects.catalogue import defect
from simulators.billing.defects.overlay import ROUND_TRIP_S
from simulators.billing.http import address, auth, gate
from simulators.billing.limits import Allowance, Limiter, Policy
from simulators.billing.storage.traffic import RateHit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from simulators.billing.core import Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.http.address import Network
    from simulators.billing.http.auth import Caller
    from simulators.billing.problems import Rejection

_path: ContextVar[str] = ContextVar("path", default="")
_UNLIMITED = 10**9
_HIT_AGAIN = text(
    "INSERT INTO rate_hits (subject, at, hits) VALUES (:subject, :now, 1)"
    " ON CONFLICT (subject, at) DO UPDATE SET hits = rate_hits.hits + 1"
)


@defect(
    "forwarded-address-believed",
    "limits",
    breaks=9,
    found_by=("test_a_forwarded_address_resets_no_limit",),
)
def forwarded_address_believed(overlay: Overlay) -> None:
    """Take the client's address from `X-Forwarded-For`, which any client writes as it likes."""

    def client_address(scope: Scope, proxies: Sequence[Network]) -> str:
        told = Headers(scope=scope).get("x-forwarded-for", "").split(",")[0].strip()
        peer: str = genuine(scope, proxies)
        return told or peer

    genuine = overlay.replace(address, "client_address", client_address)


@defect(
    "limit-of-each-spelling",
    "limits",
    breaks=9,
    found_by=("test_no_spelling_of_a_path_resets_a_limit",),
)
def limit_of_each_spelling(overlay: Overlay) -> None:
    """Count by path as it was written, so another case or a slash at the end starts afresh."""

    def presented(scope: Scope) -> str | None:
        _path.set(scope["path"])
        found: str | None = seen(scope)
        return found

    def subject(customer_id: str, slot: int) -> str:
        return f"{genuine(customer_id, slot)}:{_path.get()}"

    seen = overlay.replace(gate, "_presented", presented)
    genuine = overlay.replace(limits, "key_subject", subject)


@defect(
    "refused-requests-prolong-the-limit",
    "limits",
    breaks=9,
    found_by=("test_a_limit_opens_again_for_who_keeps_asking",),
)
def refused_requests_prolong_the_limit(overlay: Overlay) -> None:
    """Count refused requests too, so that who keeps asking is locked out for ever."""

    def take(self: Limiter, policy: Policy, subject: str) -> Allowance:
        found: Allowance = genuine(self, policy, subject)
        if not found.has_passed:
            with self._core.database.write() as session:
                session.execute(_HIT_AGAIN, {"subject": subject, "now": found.now})
        return found

    genuine = overlay.replace(Limiter, "_take", take)


@defect(
    "limit-checked-before-it-is-counted",
    "limits",
    breaks=9,
    found_by=("test_a_burst_stays_within_the_limit",),
)
def limit_checked_before_it_is_counted(overlay: Overlay) -> None:
    """Look at the count, then add to it in a second step, so that a burst passes whole."""

    def take(self: Limiter, policy: Policy, subject: str) -> Allowance:
        since = self._core.clock.now() - policy.window_s
        hits = select(func.sum(RateHit.hits)).where(RateHit.subject == subject, RateHit.at > since)
        with self._core.database.read() as session:
            used = session.scalar(hits) or 0
        time.sleep(ROUND_TRIP_S)
        counted = policy if used >= policy.limit else replace(policy, limit=_UNLIMITED)
        found: Allowance = genuine(self, counted, subject)
        return replace(found, policy=policy, remaining=max(0, policy.limit - used - 1))

    genuine = overlay.replace(Limiter, "_take", take)


@defect(
    "rotated-key-starts-afresh",
    "limits",
    breaks=9,
    found_by=("test_rotating_a_key_resets_no_limit",),
)
def rotated_key_starts_afresh(overlay: Overlay) -> None:
    """Count by key, so that whoever rotates it has another hour's requests."""

    def identify(core: Core, key: str, method: str, path: str) -> Caller | None:
        caller: Caller | None = genuine(core, key, method, path)
        return caller and replace(caller, slot=zlib.crc32(caller.key_id.encode()))

    genuine = overlay.replace(auth, "identify", identify)


@defect(
    "refusal-without-retry-after",
    "limits",
    breaks=10,
    found_by=("test_a_refusal_by_a_limit_says_when_to_come_back",),
)
def refusal_without_retry_after(overlay: Overlay) -> None:
    """Answer 429 without `Retry-After`, so that clients come back at once."""

    def refusal(self: Allowance) -> Rejection:
        problem: Rejection = genuine(self)
        del problem.headers["Retry-After"]
        return problem

    genuine = overlay.replace(Allowance, "refusal", refusal)


@defect(
    "window-begins-with-the-hour",
    "limits",
    breaks=9,
    found_by=("test_a_windows_edge_doubles_no_allowance",),
)
def window_begins_with_the_hour(overlay: Overlay) -> None:
    """Count by the full hour, so that two allowances lie on either side of its edge."""

    def take(self: Limiter, policy: Policy, subject: str) -> Allowance:
        hour = self._core.clock.now() // policy.window_s
        found: Allowance = genuine(self, policy, f"{subject}:{hour}")
        return found

    genuine = overlay.replace(Limiter, "_take", take)


@defect(
    "remainder-that-never-falls",
    "limits",
    breaks=10,
    found_by=("test_an_answer_tells_the_limit_that_is_enforced",),
)
def remainder_that_never_falls(overlay: Overlay) -> None:
    """Tell in the headers what remained of the limit before anything was asked."""

    def headers(self: Allowance) -> dict[str, str]:
        told: dict[str, str] = genuine(replace(self, remaining=self.policy.limit))
        return told

    genuine = overlay.replace(Allowance, "headers", headers)


@defect(
    "forged-webhooks-without-a-limit",
    "limits",
    breaks=9,
    found_by=("test_forged_webhooks_are_held_off_and_right_ones_are_not",),
)
def forged_webhooks_without_a_limit(overlay: Overlay) -> None:
    """Let an address send as many forged events as it likes, each of which costs a hash."""

    def webhook(self: Limiter, address: str, *, is_verified: bool) -> Allowance:
        found: Allowance = genuine(self, address, is_verified=is_verified)
        return replace(found, has_passed=True)

    genuine = overlay.replace(Limiter, "webhook", webhook)
