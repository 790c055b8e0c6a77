"""Where events may be sent, and with which secret: loopback, a host that was named, or a profile's.

Everything here refuses before anything is sent. Production is refused by every sign that
`harness.guard` knows of.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl

import typer

from harness.errors import SettingsError
from simulators.webhooks.commands.options import WHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from harness.target.profile import Profile
    from harness.target.wire import Pairs

SECRET_ENV = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
_API_KEYS = ("sk_", "rk_", "pk_")
TIMEOUT_S_MAX = 120.0


def _option(text: str, metavar: str, *names: str) -> Any:
    """Describe the option of a field; its name is the field's unless one is given."""
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=WHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person said about where to send: an address or a target, hosts, and a secret."""

    to: Annotated[str | None, _option("The receiver's address.", "URL")] = None
    target: Annotated[
        str | None, _option("Take address and secret from a target's profile instead.", "TARGET")
    ] = None
    allow_host: Annotated[
        list[str], _option("Another machine that may be sent to; may be repeated.", "HOST")
    ] = field(default_factory=list)
    secret_env: Annotated[
        str | None,
        _option(
            f"The variable that holds the endpoint's secret: {SECRET_ENV} unless said.", "NAME"
        ),
    ] = None
    secret: Annotated[
        str | None,
        _option("The secret itself, for others on this machine to read.", "WHSEC"),
    ] = field(default=None, repr=False)
    timeout_s: Annotated[
        float,
        _option("How long a delivery may take; then it is unknown.", "SECONDS", "--timeout"),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A receiver that may be sent to. `origin` has no path; `path` stands as it goes out."""

    origin: str
    path: str
    query: Pairs
    secret: str = field(repr=False)
    timeout_s: float

    @property
    def url(self) -> str:
        """The whole address, but for the query's values, which may be secret."""
        asked = "?" + "&".join(f"{name}=…" for name, _ in self.query) if self.query else ""
        return f"{self.origin}{self.path}{asked}"


def find_destination(
    wish: Wish, environment: Mapping[str, str] | None = None, *, is_sent: bool = True
) -> Destination:
    """Find the receiver and its secret; `SettingsError`, `ProfileError` or `ProductionRefused`.

    With `is_sent` false nothing will be sent: any address will do, or none.
    """
    variables = os.environ if environment is None else environment
    if not 0 < wish.timeout_s <= TIMEOUT_S_MAX:
        raise SettingsError(
            f"--timeout {wish.timeout_s:g} is out of range", hint=f"Up to {TIMEOUT_S_MAX:g} s."
        )
    profile = _profile(wish, variables)
    url = _url(wish, profile, is_sent=is_sent)
    if is_sent:
        if wish.target is None:
            _check_host(url, wish.allow_host)
        _refuse_production(profile, url, variables)
    return Destination(
        origin=f"{url.scheme}://{url.netloc.decode()}",
        path=url.raw_path.decode().partition("?")[0],
        query=tuple(parse_qsl(url.query.decode(), keep_blank_values=True)),
        secret=_secret(wish, profile, variables),
        timeout_s=wish.timeout_s,
    )


def _profile(wish: Wish, environment: Mapping[str, str]) -> Profile | None:
    if wish.target is None:
        return None
    from harness.target.load import find_target

    if wish.to is not None:
        raise SettingsError("--to and --target both say where", hint="Give one of them.")
    profile, _ = find_target(wish.target).file.resolve(environment)
    if profile.webhooks is None:
        raise SettingsError(
            f"the profile of {wish.target} has no [webhooks]",
            hint="Add path and secret_env there, or give --to.",
        )
    return profile


def _url(wish: Wish, profile: Profile | None, *, is_sent: bool) -> httpx.URL:
    import httpx

    if profile is not None and profile.webhooks is not None:
        text = profile.target.base_url.rstrip("/") + profile.webhooks.path
    elif wish.to is not None:
        text = wish.to
    elif is_sent:
        raise SettingsError(
            "nobody to send to",
            hint="Give --to http://127.0.0.1:PORT/path, or --target; --print sends nothing.",
        )
    else:
        text = "http://127.0.0.1/"
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise SettingsError(
            "the address is none that events are sent to",
            hint="http:// or https://, a host, no user name: http://127.0.0.1:4242/webhooks",
        )
    return url


def _check_host(url: httpx.URL, allowed: list[str]) -> None:
    host = url.host.lower()
    if is_loopback(host) or host in {name.lower().strip("[]") for name in allowed}:
        return
    raise SettingsError(
        f"{host} is another machine, and nothing says that it may be sent to",
        hint=f"Say so with --allow-host {host}, or give a profile with --target.",
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, judged by its name alone: no name server is asked.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("127.0.0.1.example.com")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_production(
    profile: Profile | None, url: httpx.URL, environment: Mapping[str, str]
) -> None:
    from harness.guard import Aimed, refuse_production

    origin = f"{url.scheme}://{url.netloc.decode()}"
    refuse_production(Aimed(profile, url=origin), environment, ask=True)


def _secret(wish: Wish, profile: Profile | None, environment: Mapping[str, str]) -> str:
    """Read the secret; a variable that was named must be set, and no other is then taken."""
    webhooks = profile.webhooks if profile else None
    name = wish.secret_env or (webhooks.secret_env if webhooks else SECRET_ENV)
    if wish.secret is not None and wish.secret_env is not None:
        raise SettingsError("--secret and --secret-env both give one", hint="Leave --secret out.")
    found = (environment.get(name, "") if wish.secret is None else wish.secret).strip()
    if not found:
        raise SettingsError(
            f"no secret to sign with: {name} is not set",
            hint=f"export {name}=whsec_…, or name another variable with --secret-env.",
        )
    if found.startswith(_API_KEYS):
        raise SettingsError(
            "this is an API key of Stripe's and no webhook secret; it was not used",
            hint="An endpoint's secret begins with whsec_.",
        )
    return found
