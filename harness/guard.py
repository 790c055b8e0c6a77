"""The production guard: whatever writes asks it first, and any single sign refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ProductionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.profile import Profile

_WORDS = frozenset({"production", "prod", "live"})
_VARIABLES = ("ENVIRONMENT", "ENV", "APP_ENV", "BILLING_ENVIRONMENT", "BILLING_HARNESS_ENVIRONMENT")
_LIVE_KEYS = ("sk_" + "live_", "rk_" + "live_")


def refuse_production(profile: Profile, environment: Mapping[str, str]) -> None:
    """Raise `ProductionRefused`, naming every sign of production, if there is one."""
    signs = list(_signs(profile, environment))
    if signs:
        raise ProductionRefused(
            "this writes, and the target looks like production: " + "; ".join(signs),
            hint="Point it at a test or staging environment. Nothing was sent.",
        )


def _signs(profile: Profile, environment: Mapping[str, str]) -> Iterator[str]:
    if profile.target.environment.lower() in _WORDS:
        yield f"its profile says environment = {profile.target.environment!r}"
    for name in _VARIABLES:
        if environment.get(name, "").lower() in _WORDS:
            yield f"the environment variable {name} says so"
    section = profile.payment_provider
    named = section.stripe_key_env if section else None
    if named and environment.get(named, "").startswith(_LIVE_KEYS):
        yield f"{named} holds a live key of Stripe's"
    for role, auth in profile.auth.items():
        if any(key in value for value in auth.headers.values() for key in _LIVE_KEYS):
            yield f"[auth.{role}] holds a live key of Stripe's"
