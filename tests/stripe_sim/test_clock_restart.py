"""A test clock that is on its way when the process ends."""

import asyncio
from pathlib import Path

from simulators.stripe.app import create_app
from simulators.stripe.persist import Persistence
from simulators.stripe.settings import Settings
from tests.stripe_sim.test_search import local


def test_an_advance_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A stored account opened again takes its clock where it was told to go, and renews."""

    async def begin() -> str:
        persistence = Persistence(tmp_path / "a")
        app = create_app(Settings(seed=2, running=False), persistence=persistence)
        app.state.simulator.move_test_clocks = lambda: None  # the process ends before it moves
        async with local(app) as client:
            clock = (
                await client.post("/v1/test_helpers/test_clocks", data={"frozen_time": "86400"})
            ).json()["id"]
            customer = await client.post("/v1/customers", data={"test_clock": clock})
            product = (await client.post("/v1/products", data={"name": "P"})).json()["id"]
            form = {"product": product, "currency": "usd", "unit_amount": "0"}
            price = await client.post("/v1/prices", data={**form, "recurring[interval]": "day"})
            form = {"customer": customer.json()["id"], "items[0][price]": price.json()["id"]}
            assert (await client.post("/v1/subscriptions", data=form)).status_code == 200
            path = f"/v1/test_helpers/test_clocks/{clock}/advance"
            told = await client.post(path, data={"frozen_time": str(3 * 86_400)})
            assert told.json()["status"] == "advancing"
        persistence.close()
        return str(clock)

    async def go_on(clock: str) -> tuple[str, int, int]:
        persistence = Persistence(tmp_path / "a")
        app = create_app(Settings(seed=2, running=False), persistence=persistence)
        async with local(app) as client:
            settled = await client.post("/simulator/settle", json={"deadline_s": 20})
            assert settled.json()["settled"]
            now = (await client.get(f"/v1/test_helpers/test_clocks/{clock}")).json()
            invoices = (await client.get("/v1/invoices")).json()["data"]
        persistence.close()
        return now["status"], now["frozen_time"], len(invoices)

    clock = asyncio.run(begin())
    assert asyncio.run(go_on(clock)) == ("ready", 3 * 86_400, 3)
