"""What a staging's commands stand on: a target that runs already, and who may be touched there."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StagingError, Unknown
from harness.guard import Aimed, refuse_production
from harness.history import History
from harness.naming import Names, new_run_id
from harness.provider import STRIPE_API_BASE, SimulatorProvider, provider_of
from harness.redact import Redactor
from harness.running import reach
from harness.session import Session
from harness.stack.notice import lacking
from harness.staging.clock import TestClock
from harness.staging.record import Record, read_record, record_path
from harness.target.load import find_target
from harness.target.wire import Call, NoReply, Reply
from harness.timeline import Timeline, drain
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.customers import Time
    from harness.driving import Send
    from harness.target.load import TargetSource
    from harness.target.profile import Profile
    from harness.target.protocol import Target

TEST_DOMAINS = ("test.example.com", "example.com")
"""Whose customers a staging's commands may touch; example.com belongs to nobody (RFC 2606)."""

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_DRAIN_S = 30.0
_SIMULATOR_KEY = "sk_test_harness_moves_clocks"  # any key of a test will do there
_TOO_MANY = 429


def is_of_test(email: str) -> bool:
    """Whether an address is of a test domain, and of no other that ends alike.

    >>> is_of_test("ada@Test.example.com"), is_of_test("ada@my-example.com")
    (True, False)
    """
    return email.rpartition("@")[2].lower() in TEST_DOMAINS


class Way:
    """The way out: it counts how often the target limits us, and holds readers to reading."""

    def __init__(self, send: Send, *, reads: bool = False) -> None:
        self._send = send
        self._reads = reads
        self.limited = 0

    def send(self, call: Call) -> Reply | NoReply:
        """Send a call."""
        if self._reads and call.method not in _SAFE_METHODS:
            raise StagingError(
                f"the profile reads by {call.method} {call.path}, and nothing but GET is sent here",
                hint="Map what is read by GET, or look at it elsewhere.",
            )
        reply = self._send(call)
        self.limited += isinstance(reply, Reply) and reply.status == _TOO_MANY
        return reply


@dataclass
class Footing:
    """One staging, stood upon. `time` is what moves time there, or None; `clock` if it is Stripe's.

    `shares_time` says that moving it moves everybody's.
    """

    target: Target
    session: Session
    way: Way
    record: Record
    time: Time | None = None
    clock: TestClock | None = None

    @property
    def name(self) -> str:
        """What the profile calls the target."""
        return self.target.profile.target.name

    @property
    def shares_time(self) -> bool:
        """Whether its time is everybody's."""
        return self.time is not None and self.clock is None


@contextlib.contextmanager
def standing(spec: str, record: Path | None = None, *, reads: bool = False) -> Iterator[Footing]:
    """Stand on a target that runs already; nothing is started.

    Refuses production, unless everything done `reads`: then whatever is not a GET is not sent.
    Raises `TargetUnreachable`, `ProfileError` for variables that are not set, `ProductionRefused`.
    """
    source = find_target(spec)
    if not reads:
        refuse_production(Aimed(source.file.profile), os.environ)
    environment = {**os.environ, **_variables(source)}
    profile, secrets = source.file.resolve(environment)
    if not reads:
        refuse_production(Aimed(profile), environment)
    reach(profile)
    if not reads:
        refuse_production(Aimed(profile), environment, ask=True)
    redactor = Redactor(secrets)
    with Transport(profile.target.base_url, profile.target.timeout_s) as transport:
        target = source.build(profile)
        way = Way(transport.send, reads=reads)
        names = Names(0, new_run_id(), "staging")
        session = Session(
            target, way.send, History(None, redactor), redactor, names=names, test="staging"
        )
        kept = read_record(record or _place(profile, environment))
        footing = Footing(target, session, way, kept)
        if not reads:
            _move_time(footing, environment)
        yield footing


def _variables(source: TargetSource) -> Mapping[str, str]:
    """Give what the environment lacks of the reference: the stack that is up on this machine."""
    return lacking(os.environ) if source.file.profile.target.stack else {}


def _place(profile: Profile, environment: Mapping[str, str]) -> Path:
    """Give the record's place: beside a local stack's database, with which it ends."""
    folder = environment.get("STACK_LOG_DIR") if profile.target.stack else None
    if folder and Path(folder).is_dir():
        return Path(folder) / "staging.json"
    return record_path(profile.target.name, profile.target.base_url)


def _move_time(footing: Footing, environment: Mapping[str, str]) -> None:
    """Find what can move time for the customers who need it; their own before everybody's."""
    profile, session = footing.target.profile, footing.session
    section = profile.payment_provider
    mapping = profile.operations.get("create_customer")
    if section and mapping and "{test_clock}" in str(mapping.model_dump()):
        if section.simulator:
            api_base, key = section.simulator, _SIMULATOR_KEY
        else:
            api_base, key = STRIPE_API_BASE, environment.get(section.stripe_key_env or "", "")
        name = f"billing-harness staging {footing.name}"
        if key:
            provider = SimulatorProvider(section.simulator) if section.simulator else None
            footing.clock = TestClock(api_base, key, name, partial(_settle, session, provider))
            footing.time = footing.clock
        return
    known = provider_of(section) if profile.clock else None
    if isinstance(known, SimulatorProvider) and "advance_time" in footing.target.operations:
        footing.time = Timeline(session, known)


def _settle(session: Session, provider: SimulatorProvider | None) -> None:
    """Let every webhook arrive, where that can be known, and the target do what follows."""
    if provider is not None and provider.settle(_DRAIN_S) is False:
        raise Unknown(f"webhooks were not delivered within {_DRAIN_S:g} s")
    drain(session, _DRAIN_S)


def clock_now(footing: Footing) -> int:
    """Give the moment at which a new test clock is to stand: the payment provider's own."""
    section = footing.target.profile.payment_provider
    if section and section.simulator:
        return SimulatorProvider(section.simulator).now()
    return int(time.time())
