"""Hands metrics to a Pushgateway, and never fails what they tell of.

The gateway is `PUSHGATEWAY_URL`, one for each environment, with HTTP Basic authentication by
`PUSHGATEWAY_USER` and `PUSHGATEWAY_PASSWORD`.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import (
    basic_auth_handler,
    default_handler,
    push_to_gateway,
    pushadd_to_gateway,
)

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

TIMEOUT_S = 10.0
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where to push to, and as whom; one gateway for each environment."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def in_the_clear(self) -> bool:
        """Whether the password would cross a network unencrypted."""
        parts = urllib.parse.urlsplit(self.url)
        return bool(self.password) and parts.scheme == "http" and parts.hostname not in _LOCAL


def gateway_of(environment: Mapping[str, str]) -> Gateway:
    """Read PUSHGATEWAY_URL, _USER and _PASSWORD. Raises `SettingsError`."""
    url = environment.get("PUSHGATEWAY_URL", "").strip()
    user = environment.get("PUSHGATEWAY_USER") or None
    password = environment.get("PUSHGATEWAY_PASSWORD") or None
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(
            "PUSHGATEWAY_URL is no address of a Pushgateway",
            hint="Set it to something like https://push.example.com, or use `ci metrics write`.",
        )
    if parts.username or parts.password:
        raise SettingsError(
            "PUSHGATEWAY_URL holds a user or a password",
            hint="Set PUSHGATEWAY_USER and PUSHGATEWAY_PASSWORD instead.",
        )
    if (user is None) != (password is None):
        raise SettingsError(
            "PUSHGATEWAY_USER and PUSHGATEWAY_PASSWORD go together, and one is not set",
            hint="Set both, or neither.",
        )
    return Gateway(url, user, password)


def push(
    gateway: Gateway,
    job: str,
    registry: CollectorRegistry,
    key: Mapping[str, str],
    *,
    adding: bool = False,
) -> str | None:
    """Push once; give the reason in a sentence where it did not arrive, and None where it did.

    With PUT: what is not there this time disappears. `adding` keeps metrics that are not pushed.
    """
    send = pushadd_to_gateway if adding else push_to_gateway
    try:
        send(gateway.url, job, registry, dict(key), timeout=TIMEOUT_S, handler=_handler(gateway))
    except urllib.error.HTTPError as error:
        with error:
            hint = ": check PUSHGATEWAY_USER and _PASSWORD" if error.code in {401, 403} else ""
            return f"the Pushgateway answered {error.code}{hint}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"the Pushgateway was not reached: {error}"
    return None


def _handler(gateway: Gateway) -> Callable[..., Callable[[], None]]:
    if gateway.user is None:
        return default_handler

    def handler(*arguments: Any, **named: Any) -> Callable[[], None]:
        named |= {"username": gateway.user, "password": gateway.password}
        return basic_auth_handler(*arguments, **named)

    return handler
