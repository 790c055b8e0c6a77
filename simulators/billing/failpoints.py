"""Named places at which a test can have the service pause, fail or die at the nth hit.

Off, a place costs one look at a variable; `install` is called with test controls only, and refuses
production by whatever sign. Armed places are in a file that every process of one service shares
(its name is derived from database and token), since nobody can tell which process a request meets;
hits are counted in it under a lock, and each armed place acts once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from simulators.billing.environment import refuse_test_controls_in_production

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulators.billing.settings import Settings

Action = Literal["pause", "fail", "kill"]
_KILLED = 128 + signal.SIGKILL  # as a shell tells it

log = structlog.get_logger("billing.failpoints")

# Each of these transactions has a place `….before_commit` and one `….after_commit`.
_TRANSACTIONS: Mapping[str, str] = {
    "onboarding.attempt": "a sign-up's customer id is fixed",
    "onboarding.account": "the account is written: customer, key, credits, e-mails",
    "card.attempt": "a card is about to be attached",
    "card.record": "an attached card is written, and its credits",
    "card_removal.record": "a card is marked as removed",
    "card_removal.done": "a card is known to be detached",
    "fix.attempt": "a fix is paid by a credit, or its charge is about to be made",
    "fix.result": "a charge's result is written: payment, credit, fix",
    "subscription.record": "a subscription is about to be placed",
    "subscription.result": "what Stripe says of a subscription is applied",
    "subscription.answer": "a subscription's answer is kept",
    "invoice.settle": "a paid invoice becomes payment and credits",
    "reversal.record": "a refund or dispute is written, and credits go back",
    "webhook.store": "a verified event is stored",
    "event.claim": "a worker takes an event",
    "event.settle": "what became of an event is written",
}
# Each of these exchanges with Stripe has a place `….before_stripe` and one `….after_stripe`.
_EXCHANGES: Mapping[str, str] = {
    "onboarding": "the Stripe customer is looked for or made",
    "card": "a card is attached",
    "card_removal": "a card is detached",
    "fix": "a charge is made or looked up",
    "subscription": "a subscription is placed or looked up",
    "subscription_change": "a subscription is changed or cancelled",
}
_MOMENTS: Mapping[str, str] = {
    "card.between_attach_and_default": "a card is attached, and not yet the default",
    "event.before_effect": "an event was taken, and has had no effect",
    "event.after_effect": "an event had its effect, and this is not written yet",
    "reconciler.before_step": "the reconciler is about to take its next step",
}


def _all_places() -> Iterator[tuple[str, str]]:
    for name, meaning in _TRANSACTIONS.items():
        yield f"{name}.before_commit", f"before the commit in which {meaning}"
        yield f"{name}.after_commit", f"after the commit in which {meaning}"
    for name, meaning in _EXCHANGES.items():
        yield f"{name}.before_stripe", f"before {meaning}"
        yield f"{name}.after_stripe", f"after {meaning}"
    for name, meaning in _MOMENTS.items():
        yield name, f"when {meaning}"


PLACES: Mapping[str, str] = dict(_all_places())

_PAUSE_POLL_S = 0.02
_PAUSE_MAX_S = 60.0


class FailpointError(Exception):
    """A failpoint was told to fail here."""


class UnknownFailpointError(Exception):
    """There is no failpoint of that name."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A place that will act at its `nth` hit; `hits` counts so far, `has_acted` is once for all.

    A pause lasts until the place is disarmed, a minute at most.
    """

    name: str
    action: Action
    nth: int
    hits: int = 0
    has_acted: bool = False


_file: Path | None = None


def install(settings: Settings, database_marker: str | None) -> None:
    """Let places act in this process; raises `ProductionRefusedError` where a sign says so.

    Without a token of test controls nothing can be armed, and this does nothing.
    """
    global _file  # noqa: PLW0603  # one process serves one service
    _file = None
    if settings.test_control_token is None:
        return
    refuse_test_controls_in_production(settings, database_marker)
    secret = settings.test_control_token.get_secret_value()
    digest = hashlib.sha256(f"{settings.database_url}\n{secret}".encode()).hexdigest()[:32]
    folder = settings.failpoint_folder or tempfile.gettempdir()
    _file = Path(folder) / f"billing-failpoints-{digest}.json"


def hit(name: str) -> None:
    """Pass a place. It does nothing unless a test has armed it."""
    if _file is not None and _file.exists():
        _act(name)


def arm(name: str, action: Action, nth: int = 1) -> None:
    """Have the place act at its `nth` hit from now, in whichever process that is."""
    if name not in PLACES:
        raise UnknownFailpointError(name)
    with _shared() as armed:
        armed[name] = Armed(name, action, nth)


def disarm(name: str | None = None) -> None:
    """Take back what was armed, one place or all; whoever pauses there goes on."""
    with _shared() as armed:
        for each in [name] if name else list(armed):
            armed.pop(each, None)


def armed_places() -> list[Armed]:
    """List what is armed, and how often it was hit."""
    with _shared() as armed:
        return list(armed.values())


def _act(name: str) -> None:
    with _shared() as armed:
        found = armed.get(name)
        if found is None or found.has_acted:
            return
        hits = found.hits + 1
        acts = hits >= found.nth
        armed[name] = Armed(name, found.action, found.nth, hits, acts)
    if not acts:
        return
    log.warning("failpoint", name=name, action=found.action, hits=hits)
    if found.action == "kill":
        # As a signal ends it, with nothing cleaned up; but what measures it is heard first.
        os._exit(_KILLED)
    if found.action == "fail":
        raise FailpointError(name)
    _pause(name)


def _pause(name: str) -> None:
    deadline = time.monotonic() + _PAUSE_MAX_S
    while time.monotonic() < deadline:
        if name not in {each.name for each in armed_places()}:
            return
        time.sleep(_PAUSE_POLL_S)


@contextmanager
def _shared() -> Iterator[dict[str, Armed]]:
    """Give what is armed, alone among all processes, and write down what the block made of it.

    The file is there only while something is armed: that is what makes an idle place cheap.
    """
    if _file is None:
        raise RuntimeError("failpoints come with test controls only")
    with _file.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = json.loads(_file.read_text()) if _file.exists() else []
        armed = {each["name"]: Armed(**each) for each in told}
        before = dict(armed)
        yield armed
        if not armed:
            _file.unlink(missing_ok=True)
        elif armed != before:
            # Whole or not at all: the process may be killed right here.
            fresh = _file.with_suffix(".new")
            fresh.write_text(json.dumps([asdict(each) for each in armed.values()]))
            fresh.replace(_file)
