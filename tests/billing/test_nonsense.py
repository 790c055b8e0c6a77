"""Stripe answers nonsense: the service says 503, knows or settles what happened, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.billing.conftest import new_tenant
from tests.billing.crooked import WAYS, crooked_stripe
from tests.billing.running import running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.billing.conftest import Tenant
    from tests.billing.crooked import Crooked
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator

_PATIENCE_PASSED_S = 120


@pytest.fixture(scope="module")
def stripe(simulator: Simulator) -> Iterator[Crooked]:
    """Stand between the service and the simulator."""
    with crooked_stripe(simulator) as found:
        yield found


@pytest.fixture(scope="module")
def bent(
    tmp_path_factory: pytest.TempPathFactory,
    simulator: Simulator,
    stripe: Crooked,
    databases: Databases,
) -> Iterator[Service]:
    """Run a service whose Stripe may answer nonsense."""
    folder = tmp_path_factory.mktemp("nonsense")
    with running_service(
        folder,
        simulator,
        stripe_api_base=stripe.url,
        stripe_tries="1",
        database_url=databases.fresh(folder),
    ) as found:
        yield found


def twice(
    stripe: Crooked, way: str, path: str, ask: Callable[[], httpx.Response]
) -> httpx.Response:
    """Ask while answers under `path` are bent, then again when they are straight."""
    before = stripe.bent
    stripe.way, stripe.path = way, path
    try:
        refused = ask()
    finally:
        stripe.way = None
    assert stripe.bent > before
    assert refused.status_code == 503, refused.text
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    return refused


def let_time_pass(service: Service) -> None:
    """Move the service's time past every claim on a request to Stripe."""
    with service.controls as controls:
        now = controls.get("/test/clock").json()["now"]
        controls.post("/test/clock", json={"to": now + _PATIENCE_PASSED_S}).raise_for_status()


@pytest.mark.parametrize("way", WAYS)
def test_nonsense_is_a_doubt_that_is_settled(bent: Service, stripe: Crooked, way: str) -> None:
    """Every write to Stripe that is answered by nonsense is a 503; asked again, it is done once."""
    with new_tenant(bent) as tenant:
        steps: list[tuple[str, Callable[[], httpx.Response]]] = [
            ("/v1/payment_methods", lambda: card(tenant)),
            ("/v1/payment_intents", lambda: tenant.fix("paid", "fix")),
            ("/v1/subscriptions", lambda: subscribe(tenant)),
            ("/v1/subscriptions", lambda: tenant.http.delete(f"{tenant.path}/subscription")),
        ]
        for path, ask in steps:
            if path == "/v1/payment_intents":
                tenant.use_up()
            twice(stripe, way, path, ask)
            let_time_pass(bent)
            done = ask()
            # Cancelling has no key: what the first request did, the second finds done.
            is_cancelled = done.status_code == 409
            assert done.status_code in {200, 201} or is_cancelled, done.text
        bent.drain()
        assert tenant.get("/subscription")["status"] == "canceled"
        assert len(tenant.page("payments")) == 2
        assert len(tenant.page("payment-methods")) == 1
        tenant.assert_books_balance()


def card(tenant: Tenant) -> httpx.Response:
    """Add a card under one idempotency key."""
    body = {"payment_method": "pm_card_visa", "billing_consent": True}
    return tenant.post(f"{tenant.path}/payment-methods", body, "card")


def subscribe(tenant: Tenant) -> httpx.Response:
    """Subscribe under one idempotency key."""
    return tenant.post(f"{tenant.path}/subscription", {"plan": "pro"}, "subscribe")


@pytest.mark.parametrize("way", WAYS)
def test_a_sign_up_answered_by_nonsense_keeps_nothing(
    bent: Service, stripe: Crooked, way: str
) -> None:
    """A 503 that leaves the e-mail free; the next try uses the Stripe customer that was made."""
    email = f"nonsense-{list(WAYS).index(way)}@example.com"
    official = bent.simulator.official().v1.customers
    with bent.client() as anyone:

        def sign_up() -> httpx.Response:
            return anyone.post("/api/v1/customers/onboard", json={"email": email})

        refused = twice(stripe, way, "/v1/customers", sign_up)
        assert refused.json()["code"] == "payment_provider_unavailable"
        (left,) = official.list({"email": email}).data
        assert sign_up().json()["stripe_customer_id"] == left.id
    assert len(official.list({"email": email}).data) == 1
