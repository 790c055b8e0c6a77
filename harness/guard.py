"""The production guard: whatever writes asks it first, and any single sign refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import ProductionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.profile import Profile

_WORDS = frozenset({"production", "prod", "live"})
_NOT = frozenset({"non", "not", "pre"})
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
    if _says_production(profile.target.environment):
        yield f"its profile says environment = {profile.target.environment!r}"
    for name in _VARIABLES:
        if _says_production(environment.get(name, "")):
            yield f"the environment variable {name} says so"
    section = profile.payment_provider
    named = section.stripe_key_env if section else None
    if named and environment.get(named, "").startswith(_LIVE_KEYS):
        yield f"{named} holds a live key of Stripe's"
    for key in _live_keys(profile.model_dump(), ""):
        yield f"{key} holds a live key of Stripe's"


def _says_production(text: str) -> bool:
    """Whether a name has a word for production in it: `eu-production`, but not `pre-prod`."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return bool(words & _WORDS) and not words & _NOT


def _live_keys(data: object, key: str) -> Iterator[str]:
    """Name every place of a profile where a live key stands."""
    if isinstance(data, dict):
        for name, entry in data.items():
            yield from _live_keys(entry, f"{key}.{name}".lstrip("."))
    elif isinstance(data, list):
        for entry in data:
            yield from _live_keys(entry, key)
    elif isinstance(data, str) and any(live in data for live in _LIVE_KEYS):
        yield key
