"""A whole local stack: the Stripe simulator, the reference billing service, its database.

Linux and macOS; Windows is out of scope. What each part must know forces the order: sockets are
reserved first, so that both addresses are settled; the simulator starts beside the migration; the
webhook endpoint is made through Stripe's own API; the service starts with that endpoint's secret.
Every process is on a leash (``leash.py``) and has a log of its own in the stack's folder. A service
that a failpoint killed because a test asked for it is started again (``revival.py``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from harness.errors import StackError
from harness.stack.addresses import Addresses
from harness.stack.folder import DATABASE_FILE, stack_folder
from harness.stack.mailbox import MAIL_FOLDER, mailbox
from harness.stack.ports import LOOPBACK, reserve, url_of
from harness.stack.postgres import PostgresServer
from harness.stack.process import Child, DeadChild
from harness.stack.revival import Revival
from harness.stack.webhook import make_endpoint

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

WEBHOOK_PATH = "/api/webhooks/stripe"
# Enough for everybody, and few enough for a test to use up.
UNVERIFIED_WEBHOOKS = 300
# The user's own billing settings, Stripe keys and proxies are none of a local stack's business.
FOREIGN_PREFIXES = ("BILLING_", "STRIPE_", "STACK_")
FOREIGN_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def _module(name: str) -> tuple[str, ...]:
    """Return how to run one of our modules, whatever the current folder holds (-P)."""
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What a stack is made of. A port of 0 takes any free one.

    `database` is ``sqlite`` (a file in the folder), ``postgres`` (a server of the stack's own, from
    the extra of that name) or the URL of a PostgreSQL database. `folder` is
    a temporary one where None, removed at the end unless `keep`. `seed` decides the ids that the
    simulator makes. `workers` processes share the service's port. `billing_env` adds to the
    service's environment, or overrides it. `defects` are mistakes that the service is to make on
    purpose. `events` are those that its webhook endpoint asks Stripe for. `deadline_s` bounds each
    step of the start.
    """

    database: str = "sqlite"
    folder: Path | None = None
    keep: bool = False
    billing_port: int = 0
    stripe_port: int = 0
    workers: int = 1
    seed: int = 0
    billing_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    defects: tuple[str, ...] = ()
    events: tuple[str, ...] = ("*",)
    deadline_s: float = 30.0
    stripe_program: tuple[str, ...] = field(default_factory=lambda: _module("simulators.stripe"))
    billing_program: tuple[str, ...] = field(default_factory=lambda: _module("simulators.billing"))


class Stack:
    """A context manager: a running stack inside, nothing left of it outside."""

    addresses: Addresses

    def __init__(self, options: StackOptions | None = None) -> None:
        self.options = options or StackOptions()
        self._children: list[Child] = []
        self._revival: Revival | None = None
        self._undo = contextlib.ExitStack()
        self._folder: Path

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._undo.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, at)

    def environment(self) -> dict[str, str]:
        """Return the variables by which a target's profile refers to this stack."""
        return self.addresses.environment()

    def dead(self) -> list[DeadChild]:
        """Return the processes that ended though the stack should run."""
        if self._revival:
            return self._revival.dead()
        return [dead for child in self._children if (dead := child.dead())]

    def _start(self) -> None:
        options, undo = self.options, self._undo
        self._folder = undo.enter_context(stack_folder(options.folder, keep=options.keep))
        stripe = undo.enter_context(reserve(options.stripe_port, "the Stripe simulator"))
        billing = undo.enter_context(reserve(options.billing_port, "the billing service"))
        stripe_url, billing_url = url_of(stripe), url_of(billing)
        keys = _Keys()
        database_url = self._database()
        env = _service_environment(keys, database_url, stripe_url)
        env |= _mail_environment(undo.enter_context(mailbox(self._folder / MAIL_FOLDER)))
        env |= {"BILLING_FAILPOINT_FOLDER": str(self._folder), **options.billing_env}

        seed = ("--seed", str(options.seed))
        simulator = self._serve("stripe", options.stripe_program, {}, stripe, seed)
        self._children.append(simulator)
        migration = self._launch("migrate", [*options.billing_program, "migrate"], env)
        stripe.close()
        simulator.wait_ready(f"{stripe_url}/simulator/ready", options.deadline_s)
        webhook_url = billing_url + WEBHOOK_PATH
        secret = make_endpoint(stripe_url, keys.stripe_api, webhook_url, options.events)
        migration.finish(options.deadline_s)
        active = f"{secret},{keys.previous_webhook}"
        self._start_workers(billing, {"BILLING_STRIPE_WEBHOOK_SECRETS": active, **env})
        self.addresses = Addresses(
            billing_url=billing_url,
            stripe_url=stripe_url,
            webhook_url=webhook_url,
            webhook_secret=secret,
            previous_webhook_secret=keys.previous_webhook,
            operator_key=keys.operator,
            stripe_api_key=keys.stripe_api,
            test_control_token=keys.test_control,
            metrics_token=keys.metrics,
            api_docs_url=f"{billing_url}/docs",
            database_url=database_url,
            folder=str(self._folder),
        )

    def _database(self) -> str:
        """Return the SQLAlchemy URL of the stack's database; start its server if it has one."""
        if self.options.database == "postgres":
            server = PostgresServer(self._folder, deadline_s=self.options.deadline_s)
            self._undo.enter_context(server)
            self._children.append(server.child)
            server.execute("CREATE DATABASE billing")
            return server.url("billing")
        return _database_url(self.options.database, self._folder)

    def _start_workers(self, listener: socket.socket, env: Mapping[str, str]) -> None:
        """Start the service's processes on one socket; return when it is ready and all live."""
        program = self.options.billing_program
        url, port = url_of(listener), listener.getsockname()[1]
        names = [f"billing-{number}" for number in range(1, self.options.workers + 1)]
        broken = tuple(part for name in self.options.defects for part in ("--defect", name))
        workers = [self._serve(name, program, env, listener, broken) for name in names]
        for worker in workers:
            self._undo.callback(worker.let_go)  # at the end all are told before any is waited for
        listener.close()
        # The socket is shared, so whichever worker is up answers: with one ready, the service is.
        for worker in workers:
            worker.wait_ready(f"{url}/ready", self.options.deadline_s)
        self._children += workers
        if len(workers) == 1:  # of several, the others go on

            def again() -> Child:
                with reserve(port, "the billing service") as fresh:
                    worker = self._serve(names[0], program, env, fresh, broken)
                worker.wait_ready(f"{url}/ready", self.options.deadline_s)
                return worker

            revival = Revival(self._children, again, self._folder)
            self._revival = self._undo.enter_context(revival)

    def _serve(
        self,
        name: str,
        program: tuple[str, ...],
        env: Mapping[str, str],
        listener: socket.socket,
        more: tuple[str, ...] = (),
    ) -> Child:
        """Start a program that serves an inherited socket."""
        argv = [*program, "serve", "--fd", str(listener.fileno()), *more]
        return self._launch(name, argv, env, pass_fds=(listener.fileno(),))

    def _launch(
        self, name: str, argv: list[str], env: Mapping[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Child:
        log = self._folder / f"{name}.log"
        child = Child(name, argv, env={**_own_environment(), **env}, log=log, pass_fds=pass_fds)
        self._undo.callback(child.stop)
        return child


@dataclass(frozen=True, slots=True)
class _Keys:
    """The secrets of one stack, made for it; of no use anywhere else, so not from the seed."""

    operator: str = field(default_factory=lambda: f"op_test_{secrets.token_hex(24)}")
    stripe_api: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(24)}")
    test_control: str = field(default_factory=lambda: f"tc_test_{secrets.token_hex(24)}")
    metrics: str = field(default_factory=lambda: f"mt_test_{secrets.token_hex(24)}")
    hmac: str = field(default_factory=lambda: secrets.token_hex(32))
    previous_webhook: str = field(default_factory=lambda: f"whsec_{secrets.token_hex(24)}")


def _service_environment(keys: _Keys, database_url: str, stripe_url: str) -> dict[str, str]:
    """Return the service's settings, but for the webhook secret, which the simulator makes."""
    return {
        "BILLING_ENVIRONMENT": "test",
        "BILLING_DATABASE_URL": database_url,
        "BILLING_STRIPE_API_BASE": stripe_url,
        "BILLING_STRIPE_API_KEY": keys.stripe_api,
        "BILLING_OPERATOR_KEY": keys.operator,
        "BILLING_KEY_HMAC_SECRET": keys.hmac,
        "BILLING_TEST_CONTROL_TOKEN": keys.test_control,
        "BILLING_METRICS_TOKEN": keys.metrics,
        "BILLING_LIMIT_UNVERIFIED_WEBHOOKS": str(UNVERIFIED_WEBHOOKS),
    }


def _mail_environment(port: int) -> dict[str, str]:
    """Return how the service is to send its letters: to the stack's own mailbox."""
    return {
        "BILLING_SMTP_HOST": LOOPBACK,
        "BILLING_SMTP_PORT": str(port),
        "BILLING_SMTP_SECURITY": "none",
        "BILLING_MAIL_POLL_S": "0.2",
    }


def _own_environment() -> dict[str, str]:
    """Return this process's environment without what could reach into a local stack."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN_PREFIXES) and name.upper() not in FOREIGN_NAMES
    }


def _database_url(database: str, folder: Path) -> str:
    """Return the SQLAlchemy URL of the stack's database."""
    if database == "sqlite":
        return f"sqlite:///{folder / DATABASE_FILE}"
    if database.startswith("postgresql"):
        return database
    raise StackError(
        "the database is neither `sqlite` nor `postgres` nor a PostgreSQL URL",
        hint="Say `sqlite` or `postgres`, or give a URL such as postgresql+psycopg://user@host/name.",
    )
