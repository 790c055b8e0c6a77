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


def refuse_in_production(what: str, settings: Settings, database_marker: str | None) -> None:
    """Raise `ProductionRefusedError` if a sign says production: `what` must never run there."""
    if signs := production_signs(settings, database_marker):
        raise ProductionRefusedError(
            f"production_environment: {what} was asked for, but this is production by "
            + ", ".join(signs)
        )


def refuse_test_controls_in_production(settings: Settings, database_marker: str | None) -> None:
    """Raise `ProductionRefusedError` if test controls are set up where a sign says production."""
    if settings.test_control_token is not None:
        refuse_in_production("BILLING_TEST_CONTROL_TOKEN", settings, database_marker)
