"""Whatever comes: Stripe's error object or a whole object, never a 500, never half of anything."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.stripe.app import create_app
from simulators.stripe.settings import Settings
from tests.stripe_sim.conformance import problems
from tests.stripe_sim.conftest import KEY
from tests.stripe_sim.fuzzing import examples, ids_of, requests, send, snapshot
from tests.stripe_sim.test_search import local, seed_account

CARD_ERROR = 402
slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


async def _fuzz(data: st.DataObject, rounds: int) -> None:
    app = create_app(Settings(seed=3, running=False))
    simulator = app.state.simulator
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://s", auth=(KEY, "")
    ) as client:
        await seed_account(client)
        for number in range(rounds):
            method, path, pairs = data.draw(requests(ids_of(simulator)))
            before = snapshot(simulator)
            answer = await send(client, method, path, pairs, key=str(number))
            said = (method, path, pairs, answer.text[:600])
            assert answer.status_code < 500, said
            if answer.status_code == 200:
                shown = {k: v for k, v in answer.json().items() if k != "secret"}
                assert problems(shown) == [], said
            else:
                _check_error(answer.json(), said)
            if answer.status_code not in {200, CARD_ERROR}:
                assert snapshot(simulator) == before, said
            events = simulator.world.store.all("event")[-20:]
            assert [p for e in events for p in problems(simulator.world.show(e))] == [], said


def _check_error(body: dict[str, Any], said: object) -> None:
    error = body["error"]
    assert error["type"] in {"invalid_request_error", "card_error", "idempotency_error"}, said
    assert error["message"], said
    assert error["request_log_url"].startswith("https://"), said


@settings(deadline=None, max_examples=examples(30, 300), suppress_health_check=slow)
@given(st.data())
def test_a_refused_request_changes_nothing(data: st.DataObject) -> None:
    """State before = state after, for any request that is refused for what it says."""
    asyncio.run(_fuzz(data, 5))


@pytest.mark.nightly
@settings(deadline=None, max_examples=1_500, suppress_health_check=slow)
@given(st.data())
def test_a_refused_request_changes_nothing_in_the_long_run(data: st.DataObject) -> None:
    """The same, for hours of requests."""
    asyncio.run(_fuzz(data, 8))


@pytest.mark.parametrize(
    "form",
    [
        {"pause_collection[behavior]": "void", "pause_collection[resumes_at]": "0"},
        {"cancel_at": "1"},
    ],
    ids=["resumed", "cancelled"],
)
def test_what_falls_due_with_a_request_is_done_before_its_answer(form: dict[str, str]) -> None:
    """A time in the past is acted on at once, and not by the clock's next tick (found so)."""

    async def run() -> None:
        app = create_app(Settings(seed=3, running=False))
        world = app.state.simulator.world
        async with local(app) as client:
            *_, subscription, _, _ = await seed_account(client)
            answer = await client.post(f"/v1/subscriptions/{subscription}", data=form)
            assert answer.status_code == 200, answer.text
            due = world.store.next_due()
            assert due is None or due > world.now

    asyncio.run(run())
