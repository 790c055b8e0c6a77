"""Limits: how many requests a subject may make in any hour, counted in the service's database.

A sliding window, exact at every moment and for every process: a request counts from its second
until a whole window later, and what was refused never counts, so nobody is locked out for ever.
Counting and deciding are one write transaction, in which no other process counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, text, tuple_

from simulators.billing.problems import Rejection
from simulators.billing.storage.traffic import RateHit

if TYPE_CHECKING:
    from simulators.billing.core import Core
    from simulators.billing.settings import Settings

_FORGET = text("DELETE FROM rate_hits WHERE subject = :subject AND at <= :past")
_COUNT = text("SELECT COALESCE(SUM(hits), 0), MIN(at) FROM rate_hits WHERE subject = :subject")
_HIT = text(
    "INSERT INTO rate_hits (subject, at, hits) VALUES (:subject, :now, 1)"
    " ON CONFLICT (subject, at) DO UPDATE SET hits = rate_hits.hits + 1"
)
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Policy:
    """So many requests in any `window_s` seconds; `name` is what the headers call it."""

    name: str
    limit: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one request found: whether it passed, and what is left after it.

    `reset_at` is when the oldest request that counts leaves the window (Unix seconds).
    """

    policy: Policy
    has_passed: bool
    remaining: int
    reset_at: int
    now: int

    @property
    def reset_s(self) -> int:
        """Give the seconds until one more request is free again."""
        return max(1, self.reset_at - self.now)

    def headers(self) -> dict[str, str]:
        """Give the customary fields, and the IETF's (draft-ietf-httpapi-ratelimit-headers)."""
        name, limit = self.policy.name, self.policy.limit
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
            "RateLimit-Policy": f'"{name}";q={limit};w={self.policy.window_s}',
            "RateLimit": f'"{name}";r={self.remaining};t={self.reset_s}',
        }

    def refusal(self) -> Rejection:
        """Give the 429 for a request that did not pass."""
        problem = Rejection(429, "rate_limited", "Too many requests. Wait before the next one.")
        problem.headers |= {**self.headers(), "Retry-After": str(self.reset_s)}
        return problem


class Limiter:
    """The service's limits; each method counts one request and says whether it passes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        settings = core.settings
        self._key = _policy("api-key", settings.limit_requests, settings)
        self._operator = _policy("operator", settings.limit_operator_requests, settings)
        self._failed = _policy(
            "failed-authentications", settings.limit_failed_authentications, settings
        )
        self._unverified = _policy(
            "unverified-webhooks", settings.limit_unverified_webhooks, settings
        )
        self._verified = _policy("webhooks", settings.limit_verified_webhooks, settings)
        self._readiness = _policy("readiness", _UNLIMITED, settings)

    def request(self, customer_id: str, slot: int) -> Allowance:
        """Count a request by a key; a key that replaces another inherits its place and count."""
        return self._take(self._key, key_subject(customer_id, slot))

    def operator_request(self) -> Allowance:
        """Count a request by the operator's key."""
        return self._take(self._operator, "operator")

    def failed_authentication(self, address: str) -> Allowance:
        """Count a credential that opened nothing."""
        return self._take(self._failed, self._of_address("failed", address))

    def webhook(self, address: str, *, is_verified: bool) -> Allowance:
        """Count an event that was verified, or one that was not."""
        if is_verified:
            return self._take(self._verified, self._of_address("verified", address))
        return self._take(self._unverified, self._of_address("unverified", address))

    def readiness(self) -> None:
        """Count a look at readiness: a row that is committed is proof that rows can be."""
        self._take(self._readiness, "readiness")

    def _of_address(self, kind: str, address: str) -> str:
        # An address is personal data; only whether it is the same one counts.
        return f"{kind}:{self._core.vault.digest('address', address)}"

    def _take(self, policy: Policy, subject: str) -> Allowance:
        now = self._core.clock.now()
        # Only a subject's own rows are touched: on PostgreSQL two subjects then never wait for
        # each other. `forget` sees to those that never come back.
        alone_with = (f"limit:{subject}",)
        with self._core.database.write(alone_with=alone_with, is_synced=False) as session:
            session.execute(_FORGET, {"subject": subject, "past": now - policy.window_s})
            row = session.execute(_COUNT, {"subject": subject}).one()
            used, oldest = int(row[0]), row[1]
            has_passed = used < policy.limit
            if has_passed:
                session.execute(_HIT, {"subject": subject, "now": now})
        left = policy.limit - used - has_passed
        reset_at = (now if oldest is None else int(oldest)) + policy.window_s
        return Allowance(policy, has_passed, max(0, left), reset_at, now)


def forget(core: Core) -> None:
    """Delete what no window counts any more, but for rows that someone is counting right now."""
    past = core.clock.now() - core.settings.limit_window_s
    old = select(RateHit.subject, RateHit.at).where(RateHit.at <= past)
    with core.database.write() as session:
        found = old.with_for_update(skip_locked=True)
        session.execute(delete(RateHit).where(tuple_(RateHit.subject, RateHit.at).in_(found)))


def key_subject(customer_id: str, slot: int) -> str:
    """Name the place of a key: one of a customer's two, whichever key stands there."""
    return f"key:{customer_id}:{slot}"


def _policy(name: str, limit: int, settings: Settings) -> Policy:
    return Policy(name, limit, settings.limit_window_s)
