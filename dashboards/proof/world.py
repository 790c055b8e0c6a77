"""Runs the scenario on a stack of its own, and keeps what everybody saw of it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.proof.bank import Bank
from dashboards.proof.clockwork import Clockwork
from dashboards.proof.hand import Hand
from dashboards.proof.reading import read_facts
from dashboards.proof.scenario import Scenario
from harness.errors import StackError, Unknown
from harness.ground import Ground, Plan
from harness.provider import SimulatorProvider
from harness.stack.stack import Stack, StackOptions
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dashboards.proof.bank import Answered
    from dashboards.proof.clockwork import Snapshot
    from dashboards.proof.reading import Bounds
    from harness.history import Record

_TIMEOUT_S = 20.0
_OK = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the world is to be: its seed, its database, defects, and more of the environment."""

    seed: int
    database: str = "sqlite"
    defects: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """A stack that runs, and the scenario that is to be played on it."""

    stack: Stack
    ground: Ground
    bank: Bank
    scenario: Scenario

    @property
    def metrics_url(self) -> str:
        """Give where the service's metrics are."""
        return f"{self.stack.addresses.billing_url}/metrics"

    def seen(self) -> Seen:
        """Give what everybody saw; nothing of it is the metrics' own."""
        provider = self.scenario.time.provider
        customers = frozenset(
            c.provider_customer for c in self.scenario.session.customers if c.provider_customer
        )
        deliveries = _json(f"{provider.url}/simulator/deliveries")["deliveries"]
        return Seen(
            tuple(self.scenario.time.snapshots),
            tuple(self.scenario.session.records),
            tuple(self.bank.answers),
            provider.journal(customers).movements,
            tuple(deliveries),
            tuple(_log_lines(Path(self.stack.addresses.folder))),
            self.stack.addresses.database_url,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What everybody saw: clients, the bank, the provider, the service's log, and its ledger."""

    snapshots: tuple[Snapshot, ...]
    records: tuple[Record, ...]
    answers: tuple[Answered, ...]
    movements: Sequence[Any]
    deliveries: tuple[Mapping[str, Any], ...]
    log: tuple[Mapping[str, Any], ...]
    database_url: str


@contextlib.contextmanager
def world(wanted: Wanted, folder: Path) -> Iterator[World]:
    """Start the stack with the bank before its provider. Raises `StackError`."""
    with contextlib.ExitStack() as undo:
        bank = undo.enter_context(Bank())
        options = StackOptions(
            folder=folder / "stack",
            keep=True,
            seed=wanted.seed,
            database=wanted.database,
            defects=wanted.defects,
            billing_env={"BILLING_STRIPE_API_BASE": bank.url, **wanted.environment},
        )
        stack = Stack(options)
        # The service asks the provider as soon as it runs, so the bank must know it by then.
        stack = undo.enter_context(_connected(stack, bank))
        plan = Plan("reference", wanted.seed, f"proof{wanted.seed}", "", stack.environment())
        ground = Ground(plan)
        undo.callback(ground.close)
        yield _world(stack, ground, bank)


@contextlib.contextmanager
def _connected(stack: Stack, bank: Bank) -> Iterator[Stack]:
    with stack:
        bank.connect(stack.addresses.stripe_url)
        yield stack


def _world(stack: Stack, ground: Ground, bank: Bank) -> World:
    session = ground.session("dashboards prove")
    provider = SimulatorProvider(stack.addresses.stripe_url)
    token = stack.addresses.metrics_token

    def scrape() -> str:
        return read_page(f"{stack.addresses.billing_url}/metrics", token)

    def log() -> Iterator[Mapping[str, Any]]:
        return _log_lines(Path(stack.addresses.folder))

    def reconciled() -> int:
        return sum(line["event"] == "reconciled" for line in log())

    clockwork = Clockwork(session, provider, scrape, reconciled)
    secret = stack.addresses.webhook_secret
    hand = Hand(stack.addresses.database_url)
    return World(stack, ground, bank, Scenario(session, clockwork, bank, secret, log, hand))


def read_page(url: str, token: str) -> str:
    """Read a page of metrics once. Raises `StackError`."""
    headers = (("Authorization", f"Bearer {token}"),)
    with Transport(url, _TIMEOUT_S) as transport:
        reply = transport.send(Call("GET", "", headers=headers))
    if isinstance(reply, NoReply) or reply.status != _OK:
        told = reply.reason if isinstance(reply, NoReply) else str(reply.status)
        raise StackError(f"the service's metrics cannot be read: {told}")
    return reply.body.decode()


def _json(url: str) -> Any:
    with Transport(url, _TIMEOUT_S) as transport:
        reply = transport.send(Call("GET", ""))
    if isinstance(reply, NoReply) or reply.status != _OK:
        raise StackError(f"{url} does not answer")
    return json.loads(reply.body)


def _log_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Give the lines of the service's log as facts, with Unix time as `wall_s`."""
    for path in sorted(folder.glob("billing-*.log")):
        for line in path.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # other programs' lines
                told = json.loads(line)
                at = datetime.fromisoformat(told["timestamp"])
                yield {**told, "wall_s": at.timestamp()}


def watch(
    wanted: Wanted, folder: Path, tell: Callable[[str], None]
) -> tuple[Sequence[Snapshot], Bounds]:
    """Play everything on a stack of its own; give its metrics, and what happened.

    Raises `StackError`.
    """
    with understood(), world(wanted, folder) as there:
        there.scenario.play(tell)
        there.scenario.play_past_the_service(tell)
        seen = there.seen()
        return seen.snapshots, read_facts(seen)


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Say that a scenario did not come about, where it did not. Raises `StackError`."""
    try:
        yield
    except (Unknown, AssertionError) as error:
        raise StackError(
            f"the scenario did not come about, so nothing is proven: {error}",
            hint="Run it again on its own; if it comes again, `billing-harness run --suite e2e`.",
        ) from None
