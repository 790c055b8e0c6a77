"""The ASGI application: Stripe's API under ``/v1``, the simulator's own under ``/simulator``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from simulators.stripe.admin import Admin, BadCommand, refuse
from simulators.stripe.api import Api
from simulators.stripe.errors import ApiError
from simulators.stripe.settings import Settings
from simulators.stripe.simulator import Simulator


def create_app(
    settings: Settings | None = None, *, wall: Callable[[], float] = time.time
) -> Starlette:
    """Return an application with a new account; its `Simulator` is ``app.state.simulator``.

    It works without a server too (``httpx.ASGITransport``): only what falls due by itself,
    while no request comes, needs the lifespan. `wall` replaces the wall clock's virtual side.
    """
    simulator = Simulator(settings, wall=wall)
    api = Api(simulator)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        simulator.catch_up()
        response = await api(Request(scope, receive))
        simulator.move_test_clocks()
        await response(scope, receive, send)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        keeper = asyncio.create_task(simulator.keep_time())
        try:
            yield
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
            await simulator.deliverer.close()

    routes = [
        Mount("/simulator", routes=Admin(simulator).routes()),
        Mount("/", app=answer),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={BadCommand: refuse, ApiError: refuse},
    )
    app.state.simulator = simulator
    return app
