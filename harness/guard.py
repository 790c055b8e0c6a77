"""The production guard: whatever writes asks it first, and any single sign refuses.

Signs are looked for where they cost nothing (variables, the profile, kinds of keys, names of hosts
and databases) before a process starts or a request leaves. Then the target itself is asked, by
requests that only read, and so is its database where the profile gives one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import HarnessError, ProductionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.profile import Profile
    from harness.target.wire import NoReply, Reply

HOSTS_VARIABLE = "BILLING_HARNESS_PRODUCTION_HOSTS"
_WORDS = frozenset({"production", "prod", "live"})
_NOT = frozenset({"non", "not", "pre"})
_VARIABLES = (
    *("ENVIRONMENT", "ENV", "APP_ENV", "DEPLOY_ENV", "RAILS_ENV", "DJANGO_ENV"),
    *("BILLING_ENVIRONMENT", "BILLING_HARNESS_ENVIRONMENT"),
)
_LIVE_KEYS = ("sk_" + "live_", "rk_" + "live_")
_SAYING_PATHS = ("/health", "/ready")
_SAYING_HEADERS = ("x-environment", "x-env", "x-app-environment")
_SAYING_KEYS = ("environment", "env")
_ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Aimed:
    """What a command is about to write to, as far as it is known.

    A `profile`, where the target has one; else an address alone. `database_url` is one that the
    command itself was given. `allowed_host` is production that a person named in so many words.
    """

    profile: Profile | None = None
    url: str | None = None
    database_url: str | None = None
    allowed_host: str | None = None

    @property
    def base_url(self) -> str | None:
        """The address that requests would go to."""
        return self.profile.target.base_url if self.profile else self.url

    def database(self, environment: Mapping[str, str]) -> str | None:
        """Give the database's address, as SQLAlchemy writes it."""
        named = self.profile.evidence.database_url_env if self.profile else None
        return self.database_url or (environment.get(named) if named else None)


def refuse_production(aimed: Aimed, environment: Mapping[str, str], *, ask: bool = False) -> None:
    """Raise `ProductionRefused`, naming every sign of production, if there is one.

    With `ask` the target and its database are asked, too, once nothing else speaks against it; all
    that is sent are GET requests, and the database is opened for reading only. Raises
    `SettingsError` where the host that is allowed is not the target's.
    """
    if aimed.allowed_host is not None:
        _check_allowed(aimed)
        return
    signs, sent = list(_signs(aimed, environment)), "Nothing was sent."
    if not signs and ask:
        signs, sent = list(_asked(aimed, environment)), "Nothing was sent that writes."
    if signs:
        raise ProductionRefused(
            "production_environment: this writes, and the target looks like production: "
            + "; ".join(signs),
            hint=f"Point it at a test or staging environment. {sent}",
        )


def says_production(text: str) -> bool:
    """Whether a name has a word for production in it: `eu-production`, but not `pre-prod`."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return bool(words & _WORDS) and not words & _NOT


def _check_allowed(aimed: Aimed) -> None:
    from harness.errors import SettingsError

    host = _host(aimed.base_url or "")
    if host != (aimed.allowed_host or "").lower():
        raise SettingsError(
            f"--i-know-this-is-production names {aimed.allowed_host}, and the target is {host}",
            hint="Name the very host that the profile's base_url has.",
        )


def _signs(aimed: Aimed, environment: Mapping[str, str]) -> Iterator[str]:
    """Give the signs that are there without anything being sent."""
    profile = aimed.profile
    if profile and says_production(profile.target.environment):
        yield f"its profile says environment = {profile.target.environment!r}"
    for name in _VARIABLES:
        if says_production(environment.get(name, "")):
            yield f"the environment variable {name} says so"
    for name, value in sorted(environment.items()):
        if value.strip().startswith(_LIVE_KEYS):
            yield f"the environment variable {name} holds a live key of Stripe's"
    for key in _live_keys(profile.model_dump() if profile else {}, ""):
        yield f"{key} holds a live key of Stripe's"
    yield from _host_signs(aimed, environment)
    yield from _database_name_signs(aimed.database(environment))


def _host_signs(aimed: Aimed, environment: Mapping[str, str]) -> Iterator[str]:
    host = _host(aimed.base_url or "")
    if _named_production(host):
        yield f"the host {host} has a name of production"
    patterns = [part.strip() for part in environment.get(HOSTS_VARIABLE, "").split(",")]
    listed = {HOSTS_VARIABLE: patterns}
    if aimed.profile:
        listed["production_hosts of its profile"] = list(aimed.profile.target.production_hosts)
    for place, names in listed.items():
        if any(name and fnmatchcase(host, name.lower()) for name in names):
            yield f"the host {host} is listed by {place}"


def _database_name_signs(url: str | None) -> Iterator[str]:
    """Look at the host and at the name of a database on a server; a file's path says nothing."""
    parts = urlsplit(url or "")
    if parts.scheme.startswith("sqlite"):
        return
    try:
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if _named_production(host):
        yield f"the database's host {host} has a name of production"
    if says_production(name := parts.path.strip("/").replace("_", " ")):
        yield f"the database {name.replace(' ', '_')} has a name of production"


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # an address that is none, such as one whose variables are not filled in
        return ""


def _named_production(host: str) -> bool:
    """Whether a label of a host's name speaks of production; `acme.live` is just a domain.

    A name without a dot, as within a cluster, has no domain: it is looked at whole.
    """
    labels = host.split(".")
    return any(says_production(label.replace("_", " ")) for label in labels[:-1] or labels)


def _live_keys(data: object, key: str) -> Iterator[str]:
    """Name every place of a profile where a live key stands."""
    if isinstance(data, dict):
        for name, entry in data.items():
            yield from _live_keys(entry, f"{key}.{name}".lstrip("."))
    elif isinstance(data, list | tuple):
        for entry in data:
            yield from _live_keys(entry, key)
    elif isinstance(data, str) and any(live in data for live in _LIVE_KEYS):
        yield key


def _asked(aimed: Aimed, environment: Mapping[str, str]) -> Iterator[str]:
    """Give what the target says of itself, and what stands in its database."""
    yield from _own_word(aimed)
    url = aimed.database(environment)
    query = aimed.profile.evidence.database_marker if aimed.profile else None
    if url:
        from harness.marker import database_words

        for place, word in database_words(url, query):
            if says_production(word.replace("_", " ")):
                yield f"its database says {word!r} ({place})"


def _own_word(aimed: Aimed) -> Iterator[str]:
    from harness.target.wire import Call
    from harness.transport import Transport

    url = aimed.base_url
    if not url:
        return
    for path in _saying_paths(aimed.profile):
        try:
            with Transport(url, _ASK_S) as transport:
                told = _environment_told(transport.send(Call("GET", path)))
        except (HarnessError, ValueError, TypeError):  # no address: whoever sends will say so
            return
        for place, word in told:
            if says_production(word.replace("_", " ")):
                yield f"the target itself says {word!r} ({place} of GET {path})"
                return


def _saying_paths(profile: Profile | None) -> tuple[str, ...]:
    """Give the paths at which a target is asked: the profile's own, or the usual ones."""
    target = profile.target if profile else None
    if target and target.says_environment:
        return (target.says_environment,)
    ready = (target.start.ready,) if target and target.start else ()
    return tuple(dict.fromkeys((*ready, *_SAYING_PATHS)))


def _environment_told(reply: Reply | NoReply) -> Iterator[tuple[str, str]]:
    """Give each place of an answer that names an environment, and the name."""
    from harness.target.wire import Reply

    if not isinstance(reply, Reply):
        return
    for name in _SAYING_HEADERS:
        if value := reply.header(name):
            yield f"the header {name}", value
    try:
        body = json.loads(reply.body)
    except ValueError:
        return
    if isinstance(body, dict):
        for key in _SAYING_KEYS:
            if isinstance(value := body.get(key), str):
                yield f"{key!r} in the answer", value
