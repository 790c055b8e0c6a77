"""The ASGI application: Stripe's API under ``/v1``, the simulator's own under ``/simulator``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulators.stripe.admin import Admin
from simulators.stripe.api import Api
from simulators.stripe.command import REFUSALS
from simulators.stripe.controls import Controls
from simulators.stripe.persist import Persistence
from simulators.stripe.settings import Settings
from simulators.stripe.simulator import Simulator


def create_app(
    settings: Settings | None = None,
    *,
    wall: Callable[[], float] = time.time,
    persistence: Persistence | None = None,
) -> Starlette:
    """Return an application with a new account; its `Simulator` is ``app.state.simulator``.

    It works without a server too (``httpx.ASGITransport``): only what falls due by itself,
    while no request comes, needs the lifespan. `wall` replaces the wall clock's virtual side.
    With a `persistence` the account goes on from what its file holds.
    """
    simulator = Simulator(settings, wall=wall, persistence=persistence)
    api = Api(simulator)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        simulator.catch_up()
        response = await api(Request(scope, receive))
        # What the request planned for now is done before its answer, not some tick later.
        simulator.catch_up()
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
            if persistence is not None:
                persistence.close()

    commands = Starlette(
        routes=[*Admin(simulator).routes(), *Controls(simulator).routes()],
        exception_handlers=REFUSALS,
    )
    routes = [
        Mount("/simulator", app=_saving(simulator, commands)),
        Mount("/", app=answer),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.simulator = simulator
    return app


def _saving(simulator: Simulator, commands: ASGIApp) -> ASGIApp:
    """Have what a command changed written down before it is answered."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_saved(message: Message) -> None:
            simulator.save()
            await send(message)

        await commands(scope, receive, send_saved)

    return answer
