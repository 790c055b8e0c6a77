"""Reads what an audit is asked for: which key, which books, which window."""

from __future__ import annotations

import contextlib
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.audit.api import ApiBooks
from harness.audit.database import open_books
from harness.audit.facts import Unreadable, Window
from harness.audit.provider import StripeReader
from harness.audit.tables import queries_of
from harness.audit.waiting import Reading
from harness.errors import SettingsError
from harness.history import History
from harness.naming import Names, new_run_id
from harness.provider import STRIPE_API_BASE
from harness.redact import Redactor
from harness.session import Session
from harness.stack.notice import lacking
from harness.target.wire import Call, Reply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.audit.facts import Books
    from harness.target.load import TargetSource
    from harness.target.profile import Profile

_STRIPE_TIMEOUT_S = 30.0
_SIMULATOR_KEY = "rk_test_harness_audits"  # any key of a test will do there
_WRITING_KEY = "sk_" + "live_"
_KEYS = ("rk_live_", "rk_test_", "sk_test_")
_AGO = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATABASE_HINT = (
    "Name a read-only user's address by [audit] database_url_env, or read by the API: --by api."
)


def moment(told: str, now: float) -> int:
    """Read a time: ISO 8601 (UTC without a zone), Unix seconds, or so long ago (`24h`, `7d`).

    >>> moment("2026-01-01", 0), moment("1h", 7200), moment("5", 0)
    (1767225600, 3600, 5)
    """
    if told.isdigit():
        return int(told)
    if ago := _AGO.fullmatch(told):
        return int(now) - int(ago[1]) * _SECONDS[ago[2]]
    try:
        read = datetime.fromisoformat(told)
    except ValueError:
        raise SettingsError(
            f"{told!r} is no time",
            hint="Write 24h or 7d (ago), 2026-01-31T06:00:00Z, or Unix seconds.",
        ) from None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())


def window_of(since: str, until: str | None, settle_s: int, now: float) -> Window:
    """Give the window; what is younger than `settle_s` may still be in flight, and stays out."""
    latest = int(now) - settle_s
    end = latest if until is None else min(moment(until, now), latest)
    begin = moment(since, now)
    if begin >= end:
        raise SettingsError(
            "the window is empty: it would begin when it ends, or later",
            hint=f"--since must be before --until, and {settle_s} s before now (--settle).",
        )
    return Window(begin, end)


class Access:
    """How one target's production is reached. `tell` is told of waits; secrets stay inside."""

    def __init__(
        self, source: TargetSource, deadline_s: float, tell: Callable[[str], None]
    ) -> None:
        self._environment = {**_of_a_local_stack(source), **os.environ}
        profile, secrets = source.file.resolve(self._environment)
        self.source = source
        self.profile: Profile = profile
        self._secrets = secrets
        self._deadline_s = deadline_s
        self._ends_at = time.monotonic() + deadline_s
        self._tell = tell
        self._undo = contextlib.ExitStack()
        self._simulator = _simulator(profile)
        self._stripe_reading = self._reading(self._simulator or STRIPE_API_BASE, _STRIPE_TIMEOUT_S)
        self.stripe = StripeReader(self._stripe_reading, self._key())

    def close(self) -> None:
        """Close connections."""
        self._undo.close()

    def now(self) -> float:
        """Give the provider's time: a simulator's may have been moved on."""
        if self._simulator is None:
            return time.time()
        reply = self._stripe_reading.send(Call("GET", "/simulator/clock"))
        if not isinstance(reply, Reply):
            raise Unreadable(f"no Stripe simulator answers at {self._simulator}: {reply.reason}")
        return float(reply.json()["now"])

    @contextlib.contextmanager
    def books(self, by: str | None, since: int) -> Iterator[Books]:
        """Open the books: by SQL where the profile names a database, else by the API."""
        section = self.profile.audit
        variable = section.database_url_env
        if by == "api" or (by is None and variable is None):
            yield ApiBooks(self._session(), self.stripe, section.customer, since)
            return
        url = self._environment.get(variable) if variable else None
        if not url:
            what = (
                f"the environment variable {variable} is not set"
                if variable
                else "no database is named"
            )
            raise SettingsError(f"{what}: the books cannot be read by SQL", hint=_DATABASE_HINT)
        left_s = max(1.0, self._ends_at - time.monotonic())
        with open_books(url, queries_of(section), left_s) as books:
            yield books

    def _key(self) -> str:
        if self._simulator is not None:
            return _SIMULATOR_KEY
        return _stripe_key(self.profile, self._environment)

    def _reading(self, url: str, timeout_s: float) -> Reading:
        transport = Transport(url, timeout_s)
        self._undo.callback(transport.close)
        return Reading(transport, self._ends_at, tell=self._tell)

    def _session(self) -> Session:
        target = self.profile.target
        reading = self._reading(target.base_url, target.timeout_s)
        redactor = Redactor(self._secrets)
        session = Session(
            self.source.build(self.profile),
            reading.send,
            History(None, redactor),
            redactor,
            names=Names(0, new_run_id(), "audit"),
            test="audit",
        )
        session.patient = False  # waiting is done below it, until the audit's own deadline
        return session


def _of_a_local_stack(source: TargetSource) -> Mapping[str, str]:
    """Give what the reference's profile needs of a stack that `up` keeps running here, if any."""
    is_reference = source.file.data.get("target", {}).get("stack") == "reference"
    return lacking(os.environ) if is_reference else {}


def _simulator(profile: Profile) -> str | None:
    provider = profile.payment_provider
    return None if profile.audit.stripe_key_env or provider is None else provider.simulator


def _stripe_key(profile: Profile, environment: Mapping[str, str]) -> str:
    """Give the key that reads Stripe. Raises `SettingsError`; a key that can write is refused."""
    provider = profile.payment_provider
    variable = profile.audit.stripe_key_env or (provider and provider.stripe_key_env)
    hint = (
        "Make a restricted key that may read charges, refunds, disputes, payment intents,"
        " customers and invoices, and write nothing (docs/AUDIT.md)."
    )
    if not variable:
        raise SettingsError("the profile does not say where Stripe's key is",
                            hint="Name it by [audit] stripe_key_env.")  # fmt: skip
    key = environment.get(variable)
    if not key:
        raise SettingsError(f"the environment variable {variable} is not set", hint=hint)
    if key.startswith(_WRITING_KEY):
        raise SettingsError(f"{variable} holds a live key that can write", hint=hint)
    if not key.startswith(_KEYS):
        raise SettingsError(f"{variable} holds no key of Stripe's", hint=hint)
    return key
