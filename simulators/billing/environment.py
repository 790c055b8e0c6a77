"""Is this production? Several signs are asked, and one is enough."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .settings import Settings

_LIVE_KEY_PREFIXES = ("sk_live_", "rk_live_")
# The variables by which the harness, too, knows production (`harness.guard`).
_VARIABLES = (
    *("ENVIRONMENT", "ENV", "APP_ENV", "DEPLOY_ENV", "RAILS_ENV", "DJANGO_ENV"),
    "BILLING_HARNESS_ENVIRONMENT",
)
_WORDS = frozenset({"production", "prod", "live"})
_NOT = frozenset({"non", "not", "pre"})


class ProductionRefusedError(Exception):
    """Something that must never run in production was asked for where a sign says production."""


def production_signs(settings: Settings, database_marker: str | None) -> tuple[str, ...]:
    """Name every sign that says production; none means that test controls may run."""
    return tuple(_signs(settings, database_marker))


def _signs(settings: Settings, database_marker: str | None) -> Iterator[str]:
    if settings.environment == "production":
        yield "BILLING_ENVIRONMENT"
    for name in _VARIABLES:
        if _says_production(os.environ.get(name, "")):
            yield name
    if settings.stripe_api_key.get_secret_value().startswith(_LIVE_KEY_PREFIXES):
        yield "the kind of BILLING_STRIPE_API_KEY"
    for name, value in sorted(os.environ.items()):
        is_other = name != "BILLING_STRIPE_API_KEY"
        if is_other and value.strip().startswith(_LIVE_KEY_PREFIXES):
            yield f"the kind of {name}"
    yield from _database_signs(settings.database_url)
    if database_marker == "production":
        yield "the database's marker"


def _database_signs(url: str) -> Iterator[str]:
    """Look at the host and at the name of a database on a server; a file's path says nothing."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return
    labels = (parts.host or "").split(".")[:-1]
    if any(_says_production(label.replace("_", " ")) for label in labels):
        yield "the database's host"
    if _says_production((parts.database or "").replace("_", " ")):
        yield "the database's name"


def _says_production(text: str) -> bool:
    words = set(re.findall(r"[a-z]+", text.lower()))
    return bool(words & _WORDS) and not words & _NOT


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
