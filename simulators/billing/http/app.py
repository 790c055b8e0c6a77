"""Puts the application together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

from harness.metrics import BillingTelemetry
from simulators.billing import events
from simulators.billing.http import (
    billing,
    crash_controls,
    credentials,
    customers,
    docs,
    errors,
    health,
    keys,
    metrics,
    operator,
    reports,
    test_controls,
    webhooks,
)
from simulators.billing.http.documented import complete
from simulators.billing.http.door import Door
from simulators.billing.http.gate import Gate
from simulators.billing.http.lane import StripeLane
from simulators.billing.limits import Limiter
from simulators.billing.mailing import Mailer
from simulators.billing.operations import gauges
from simulators.billing.worker.loop import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulators.billing.core import Core


def create_app(core: Core) -> FastAPI:
    """Make the ASGI application of a service; its worker lives as long as it does."""
    app = FastAPI(
        title="Reference billing service",
        version="1",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.core = core
    app.state.worker = Worker(core)
    app.state.mailer = Mailer(core)
    app.state.lane = StripeLane(core.settings.stripe_workers, core.settings.stripe_queue)
    app.state.limiter = Limiter(core)
    app.state.telemetry = BillingTelemetry(
        partial(gauges.read, core),
        watched=core.settings.watched_customers,
        version=core.settings.version,
        commit=core.settings.commit,
    )
    events.attach(core.database, app.state.telemetry)
    for module in (
        customers,
        billing,
        keys,
        credentials,
        reports,
        operator,
        webhooks,
        health,
        docs,
    ):
        app.include_router(module.router)
    if core.settings.test_control_token is not None:
        app.include_router(test_controls.router)
        app.include_router(crash_controls.router)
    if core.settings.metrics_token is not None:
        app.include_router(metrics.router)
    errors.install(app)
    app.add_middleware(Gate)
    app.add_middleware(Door)
    app.state.places = errors.places(complete(app.openapi(), core.settings))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.worker.start()
    app.state.mailer.start()
    yield
    app.state.worker.stop()
    app.state.mailer.stop()
    app.state.lane.close()
    app.state.core.database.dispose()
