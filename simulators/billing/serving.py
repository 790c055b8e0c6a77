"""Serves the application on a socket, and says in one line when it is ready."""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from simulators.billing import failpoints
from simulators.billing.clock import MovableClock, WallClock
from simulators.billing.core import Core
from simulators.billing.domain.plans import Catalogue
from simulators.billing.environment import refuse_test_controls_in_production
from simulators.billing.http.app import create_app
from simulators.billing.identifiers import Vault
from simulators.billing.storage import migrate
from simulators.billing.storage.database import Database
from simulators.billing.stripe_gateway.gateway import StripeGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from simulators.billing.settings import Settings

_GRACE_S = 5
# Longer than the minute that proxies keep theirs: who closes an idle connection first resets the
# request that comes along it at that moment.
_KEEP_ALIVE_S = 75
_BACKLOG = 512


def build_core(settings: Settings) -> Core:
    """Put the service together; refuse an old database, and test controls in production."""
    database = Database(settings.database_url)
    if not migrate.is_at_head(database.engine):
        raise migrate.NotMigratedError(
            "the database is not at the newest revision; run: python -m simulators.billing migrate"
        )
    marker = database.marker()
    refuse_test_controls_in_production(settings, marker)
    failpoints.install(settings, marker)
    has_controls = settings.test_control_token is not None
    return Core(
        settings=settings,
        catalogue=Catalogue.of(settings),
        database=database,
        clock=MovableClock(database) if has_controls else WallClock(),
        stripe=StripeGateway(settings),
        vault=Vault(settings.key_hmac_secret),
    )


def listening_socket(host: str, port: int, fd: int | None) -> socket.socket:
    """Bind a socket, or take one that the parent bound."""
    if fd is not None:
        return socket.socket(fileno=fd)
    found = socket.create_server((host, port), backlog=_BACKLOG)
    found.set_inheritable(False)
    return found


def serve(
    core: Core, sock: socket.socket, prepare: Callable[[FastAPI], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything has stopped.

    `prepare` is handed the application before it serves.
    """
    app = create_app(core)
    if prepare:
        prepare(app)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        # Forwarded headers are believed from configured proxies alone; uvicorn trusts loopback.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    _Server(config).run(sockets=[sock])


class _Server(uvicorn.Server):
    """Uvicorn, saying when it is ready; and a signal to stop is a request, not a cause of death."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            ready = {"ready": True, "url": f"http://{host}:{port}"}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn raises the signal again after a clean end, and the status would then not be 0.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self.handle_exit)
        yield
