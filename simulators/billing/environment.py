"""Is this production? Several signs are asked, and one is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .settings import Settings

_LIVE_KEY_PREFIXES = ("sk_live_", "rk_live_")


class ProductionRefusedError(Exception):
    """Something that must never run in production was asked for where a sign says production."""


def production_signs(settings: Settings, database_marker: str | None) -> tuple[str, ...]:
    """Name every sign that says production; none means that test controls may run."""
    return tuple(_signs(settings, database_marker))


def _signs(settings: Settings, database_marker: str | None) -> Iterator[str]:
    if settings.environment == "production":
        yield "BILLING_ENVIRONMENT"
    if settings.stripe_api_key.get_secret_value().startswith(_LIVE_KEY_PREFIXES):
        yield "the kind of BILLING_STRIPE_API_KEY"
    if database_marker == "production":
        yield "the database's marker"


def refuse_test_controls_in_production(settings: Settings, database_marker: str | None) -> None:
    """Raise `ProductionRefusedError` if test controls are set up where a sign says production."""
    if settings.test_control_token is None:
        return
    if signs := production_signs(settings, database_marker):
        raise ProductionRefusedError(
            "production_environment: BILLING_TEST_CONTROL_TOKEN is set, but this is production by "
            + ", ".join(signs)
            + "; unset the token"
        )
