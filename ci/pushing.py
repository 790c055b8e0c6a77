"""Hands the metrics of a run to a Pushgateway.

Pushed once, by the merging job, with PUT: what is not there this time disappears. The grouping key
is small and stable (job, repository, branch class); a run's id or a commit in it would leave a new
group behind with each run, for ever.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import basic_auth_handler, default_handler, push_to_gateway

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

JOB = "billing-harness"
TIMEOUT_S = 10.0
_MAIN = frozenset({"main", "master", "trunk"})
_RELEASE = re.compile(r"(release|hotfix)[/-].*|v?[0-9]+(\.[0-9x]+)*")
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


def grouping_key(branch: str | None, repository: str | None) -> dict[str, str]:
    """Give the labels under which the gateway keeps a run, until the next of its kind.

    >>> grouping_key("feature/x", "acme/billing")
    {'repository': 'acme/billing', 'branch_class': 'other'}
    """
    return {"repository": repository or "unknown", "branch_class": branch_class(branch)}


def branch_class(branch: str | None) -> str:
    """Sort a branch into one of three classes: main, release, other."""
    if branch in _MAIN:
        return "main"
    return "release" if branch and _RELEASE.fullmatch(branch) else "other"


def repository_of(environment: Mapping[str, str]) -> str | None:
    """Give the repository's name by the CI system's own variables."""
    names = ("GITHUB_REPOSITORY", "CI_PROJECT_PATH", "CIRCLE_PROJECT_REPONAME")
    return next((environment[name] for name in names if environment.get(name)), None)


def push(gateway: Gateway, registry: CollectorRegistry, key: Mapping[str, str]) -> str | None:
    """Push once; give the reason in a sentence where it did not arrive, and None where it did."""
    try:
        push_to_gateway(
            gateway.url, JOB, registry, dict(key), timeout=TIMEOUT_S, handler=_handler(gateway)
        )
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
