"""Every named place can pause, fail or kill; whatever dies there, the books agree afterwards."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from simulators.billing import failpoints
from simulators.billing.environment import ProductionRefusedError
from simulators.billing.storage.database import Database
from simulators.billing.storage.tables import (
    ApiKey,
    CreditTransaction,
    Customer,
    EarnedGrant,
    OutboxEmail,
)
from tests.billing.audit import assert_all_agrees
from tests.billing.crashing import crashing_service, settle
from tests.billing.running import Service, running_simulator
from tests.billing.story import Survivor, add_card, sign_up, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Bench
    from tests.billing.databases import Databases
    from tests.billing.running import Simulator

# Where money, credits and events are lost by whoever gets the order wrong.
DAILY = (
    "fix.after_stripe",
    "fix.result.before_commit",
    "webhook.store.after_commit",
    "event.after_effect",
)


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Survivor]:
    """Run a service with a simulator of its own, and a client that survives its crashes."""
    folder = tmp_path_factory.mktemp("failpoints")
    with (
        running_simulator(folder) as simulator,
        crashing_service(folder, simulator, databases.fresh(folder)) as (service, herd),
    ):
        teller = Survivor(service, herd)
        yield teller
        teller.close()


@pytest.mark.nightly
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(name, marks=() if name in DAILY else pytest.mark.nightly)
        for name in failpoints.PLACES
    ],
)
def test_a_death_at_any_place_costs_nothing(crashing: Survivor, place: str) -> None:
    """The process dies at the place; after a restart nothing is lost, doubled or left hanging."""
    deaths = crashing.deaths
    crashing.arm(place, "kill")
    tell(crashing)
    assert crashing.has_acted(place)
    assert crashing.deaths == deaths + 1
    crashing.control("POST", "/test/failpoints", {"name": place, "action": "off"})
    settle(crashing.service)
    assert_all_agrees(crashing.service)


ONBOARDING = [
    name
    for name in failpoints.PLACES
    if name.startswith("onboarding.") and name != "onboarding.account.after_commit"
]


@pytest.mark.parametrize("place", ONBOARDING)
def test_a_sign_up_that_fails_at_any_step_leaves_nothing_here(
    crashing: Survivor, place: str
) -> None:
    """No customer, key, credit or e-mail stays; what stayed at Stripe is used by the next try."""
    service = crashing.service
    body = {"email": f"{place}@example.com"}
    before = counts(service)
    crashing.arm(place, "fail")
    with service.client() as anyone:
        assert anyone.post("/api/v1/customers/onboard", json=body).status_code == 500
    assert counts(service) == before
    crashing.control("POST", "/test/failpoints", {"name": place, "action": "off"})
    settle(service)
    official = service.simulator.official().v1.customers
    left = [each.id for each in official.list({"email": body["email"]}).data]
    with service.client() as anyone:
        made = anyone.post("/api/v1/customers/onboard", json=body).json()
    assert left in ([], [made["stripe_customer_id"]])
    assert [each.id for each in official.list({"email": body["email"]}).data] == [
        made["stripe_customer_id"]
    ]
    assert_all_agrees(service)


def counts(service: Service) -> list[int]:
    """Count the rows that a sign-up makes."""
    database = Database(service.env["BILLING_DATABASE_URL"])
    tables = (Customer, ApiKey, CreditTransaction, EarnedGrant, OutboxEmail)
    with database.read() as session:
        found = [session.scalar(select(func.count()).select_from(each)) or 0 for each in tables]
    database.dispose()
    return found


def test_a_paused_place_goes_on_when_it_is_let_go(crashing: Survivor) -> None:
    """A charge waits after Stripe's answer for as long as the place is armed, then succeeds."""
    customer_id, key = sign_up(crashing)
    add_card(crashing, customer_id, key)
    for number in range(10):
        crashing.send("POST", "/api/v1/billing/track_fix", {"fix_id": f"c{number}"}, key=key)
    crashing.arm("fix.after_stripe", "pause")
    answers = []

    def charge() -> None:
        reply = crashing.send("POST", "/api/v1/billing/track_fix", {"fix_id": "paid"}, key=key)
        answers.append(reply.json()["outcome"])

    asking = threading.Thread(target=charge)
    asking.start()
    while not crashing.has_acted("fix.after_stripe"):
        assert asking.is_alive()
    payments = f"/api/v1/customers/{customer_id}/payments"
    assert crashing.send("GET", payments, key=key).json()["data"] == []
    crashing.control("POST", "/test/failpoints", {"name": "fix.after_stripe", "action": "off"})
    asking.join(30)
    assert answers == ["charged"]


@pytest.mark.nightly
def test_the_nth_hit_counts_over_all_processes(simulator: Simulator, tmp_path: Path) -> None:
    """Two processes share one count, and a place acts once."""
    with crashing_service(tmp_path, simulator) as (service, herd):
        herd.spawn()
        herd.spawn()
        teller = Survivor(service, herd)
        teller.arm("onboarding.before_stripe", "fail", nth=5)
        statuses = []
        for number in range(10):
            with service.client() as anyone:  # a new connection, so either process may take it
                body = {"email": f"nth-{number}@example.com"}
                statuses.append(anyone.post("/api/v1/customers/onboard", json=body).status_code)
        assert statuses == [201] * 4 + [500] + [201] * 5
        teller.close()


def test_an_unknown_place_is_refused(crashing: Survivor) -> None:
    """A misspelt name is told, rather than never hit."""
    body = {"name": "no.such.place", "action": "kill"}
    reply = crashing.send("POST", "/test/failpoints", body)
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown_failpoint")


def test_the_readme_lists_every_place() -> None:
    """Whoever writes a test of crashes finds each name in the README."""
    readme = (Path(failpoints.__file__).parent / "README.md").read_text()
    assert [name for name in failpoints.PLACES if f"`{name}`" not in readme] == []


def test_failpoints_refuse_production(bench: Bench) -> None:
    """With a token where any sign says production they refuse; without one nothing can be armed."""
    settings = bench.core.settings
    with pytest.raises(ProductionRefusedError):
        failpoints.install(settings, "production")
    failpoints.install(settings.model_copy(update={"test_control_token": None}), "production")
    failpoints.hit("fix.after_stripe")
    with pytest.raises(RuntimeError, match="test controls"):
        failpoints.arm("fix.after_stripe", "kill")
