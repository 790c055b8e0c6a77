"""What a load was asked to be, and what it must never be: production, a stranger, a flood."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.errors import SettingsError
from harness.guard import Aimed, refuse_production
from suites.load.parent.launcher import Spread
from suites.load.scenarios import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.plan import Model, Plan

RATE_CAP = 1000.0
RESULTS = Path("results")
SETTLE_S = 60.0
SENDS = "receive_webhook"  # the operation of scenarios that need a secret to sign with
SECRET_VARIABLE = "BILLING_HARNESS_WEBHOOK_SECRET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A load as a person asks for it; None leaves a figure to the scenario.

    `url` is a receiver's address where there is no profile; then `target` is not looked at.
    `events` are the types that webhooks sends, the scenario's own where there are none.
    `thresholds` are added to the scenario's own, unless not even those are `judged`. Rates are
    arrivals a second. `settle_s` bounds how long books may take to settle after the load.
    """

    scenario: str
    target: str
    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    events: tuple[str, ...] = ()
    model: Model = "open"
    rate: float | None = None
    duration_s: float | None = None
    users: int | None = None
    scale: float = 1.0
    poisson: bool = False
    connections: int | None = None
    think_s: float | None = None
    timeout_s: float = 30.0
    lateness_s_max: float = 30.0
    generator_lateness_ms: float = 50.0
    seed: int | None = None
    thresholds: tuple[str, ...] = ()
    judged: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    money: bool = True
    settle_s: float = SETTLE_S
    allow_hosts: tuple[str, ...] = ()
    rate_cap: float = RATE_CAP
    spread: Spread = field(default_factory=Spread)
    database: str = "sqlite"
    defects: tuple[str, ...] = ()
    target_command: str | None = None
    target_processes: int = 1
    folder: Path = RESULTS
    metrics_port: int | None = None
    trace: bool = False

    def __post_init__(self) -> None:
        """Find what makes no sense before anything starts. Raises `SettingsError`."""
        for name in ("rate", "duration_s", "users", "scale", "connections", "timeout_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                option = "--" + name.removesuffix("_s").replace("_", "-")
                raise SettingsError(f"{option} cannot be {value:g}", hint="Give a number above 0.")

    @property
    def options(self) -> Options:
        """Give what a scenario is told of it."""
        return Options(self.model, self.rate, self.duration_s, self.users, self.scale, self.extra)

    @property
    def place(self) -> Path:
        """The folder of this scenario's results."""
        return self.folder / self.scenario.rpartition(":")[2].lower()


def check_secret(wish: Wish, known: str | None, hint: str) -> str:
    """Give the secret that events are signed with. Raises `SettingsError` where there is none."""
    secret = wish.secret or known
    if not secret:
        raise SettingsError("there is no secret to sign the events with", hint=hint)
    return secret


def check_rate(wish: Wish, plan: Plan) -> None:
    """Refuse a flood that nobody asked for. Raises `SettingsError`."""
    most = plan.rate_max
    if wish.model == "open" and most > wish.rate_cap:
        raise SettingsError(
            f"{most:g} arrivals a second are above the cap of {wish.rate_cap:g}",
            hint=f"If the target's owner agrees, say --rate-cap {most:g}.",
        )


def check_address(wish: Wish, url: str) -> None:
    """Refuse an address that no profile vouches for, unless it is this machine or was allowed.

    Raises `SettingsError`, and `ProductionRefused` for any sign of production.
    """
    host = _host_of(url)
    refuse_production(Aimed(url=url), os.environ)
    if host not in {allowed.lower() for allowed in wish.allow_hosts} and not _is_here(host):
        raise SettingsError(
            f"{host} is not this machine, and no profile names it",
            hint=f"If its owner agrees to a load, say --allow-host {host}.",
        )
    refuse_production(Aimed(url=url), os.environ, ask=True)


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    with contextlib.suppress(ValueError):
        if parts.scheme in {"http", "https"} and parts.hostname:
            return parts.hostname.lower()
    raise SettingsError(
        f"{url!r} is no address of a receiver", hint="Give it whole: http, host, port and path."
    )


def _is_here(host: str) -> bool:
    """Whether every address of a host is a loopback one."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in found)
