"""What a crash, a lost event or a restored backup left is settled if it is certain, else told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from simulators.billing import failpoints, ledger
from simulators.billing.core import Answer
from simulators.billing.failpoints import FailpointError
from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import cards, charging, gauges, subscriptions
from simulators.billing.operations.charging import Charge, Fix
from simulators.billing.operations.subscriptions import Start
from simulators.billing.problems import Problem
from simulators.billing.reconciler import Report
from simulators.billing.settings import Settings
from simulators.billing.storage.database import Database
from simulators.billing.storage.repairs import CardAttempt, Finding
from simulators.billing.storage.tables import Customer, FixAttempt, PaymentMethod
from simulators.billing.stripe_gateway.gateway import StripeGateway
from simulators.billing.worker.loop import Worker
from tests.billing.conftest import Bench
from tests.billing.running import process, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulators.billing.core import Core
    from tests.billing.running import Simulator


@pytest.fixture
def live(
    bench: Bench, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Give a core over the simulator, which has no endpoint to send events to: all are lost."""
    monkeypatch.setenv("BILLING_STRIPE_API_BASE", simulator.url)
    monkeypatch.setenv("BILLING_FAILPOINT_FOLDER", str(tmp_path))
    core = _over(bench.core, simulator)
    failpoints.install(core.settings, "test")
    yield Bench(core, bench.stripe)
    failpoints.disarm()
    failpoints.install(core.settings.model_copy(update={"test_control_token": None}), "test")


@pytest.fixture
def own_simulator(tmp_path: Path) -> Iterator[Simulator]:
    """Run a simulator that no other test's customers are in."""
    with running_simulator(tmp_path) as found:
        yield found


def _over(core: Core, simulator: Simulator) -> Core:
    settings = Settings().model_copy(update={"stripe_api_base": simulator.url})
    return replace(core, settings=settings, stripe=StripeGateway(settings))


def reconcile(bench: Bench) -> Report:
    """Let leases run out, make a pass, and give events their effects."""
    bench.pass_time(120)
    worker = Worker(bench.core)
    report = worker.reconciler.run()
    while worker.give_effects():
        pass
    return report


def at_stripe(bench: Bench, customer_id: str) -> str:
    """Give the Stripe customer of a customer."""
    with bench.core.database.read() as session:
        return session.get_one(Customer, customer_id).stripe_customer_id


def pay(bench: Bench, customer_id: str, fix_id: str) -> Answer:
    """Have a fix paid for."""
    slot = unkeyed_slot(bench.core)
    step = charging.begin(bench.core, customer_id, Fix(fix_id, None), slot)
    if isinstance(step, Charge):
        step = charging.carry_out(bench.core, step, slot)
    assert isinstance(step, Answer)
    return step


def subscribe(bench: Bench, customer_id: str) -> None:
    """Subscribe to pro."""
    step = subscriptions.begin(bench.core, customer_id, 1)
    assert isinstance(step, Start)
    subscriptions.carry_out(bench.core, step, unkeyed_slot(bench.core))


def cards_of(bench: Bench, customer_id: str) -> list[PaymentMethod]:
    """Give the cards on file."""
    mine = PaymentMethod.customer_id == customer_id, PaymentMethod.removed_at.is_(None)
    with bench.core.database.read() as session:
        return list(session.scalars(select(PaymentMethod).where(*mine)))


def balance(bench: Bench, customer_id: str) -> int:
    """Give a customer's credits."""
    with bench.core.database.read() as session:
        return ledger.balance(session, customer_id)


@pytest.mark.parametrize(
    "place", ["card.before_stripe", "card.between_attach_and_default", "card.after_stripe"]
)
def test_a_card_whose_request_was_cut_off_is_attached_once(live: Bench, place: str) -> None:
    """Wherever the request died, its holder has the card, as the default, and its credits."""
    customer_id = live.customer(card=False)
    failpoints.arm(place, "fail")
    slot = unkeyed_slot(live.core)
    with pytest.raises(FailpointError):
        cards.add(live.core, customer_id, "pm_card_visa", slot, consent=True)
    assert cards_of(live, customer_id) == []
    reconcile(live)
    assert [card.is_default for card in cards_of(live, customer_id)] == [1]
    assert balance(live, customer_id) == 5
    reconcile(live)
    assert len(cards_of(live, customer_id)) == 1


def test_a_card_that_came_later_stays_the_default(live: Bench) -> None:
    """An old attempt that is finished late does not push a newer card aside."""
    customer_id = live.customer(card=False)
    failpoints.arm("card.after_stripe", "fail")
    slot = unkeyed_slot(live.core)
    with pytest.raises(FailpointError):
        cards.add(live.core, customer_id, "pm_card_visa", slot, consent=True)
    live.pass_time(5)
    newer = cards.add(
        live.core, customer_id, "pm_card_mastercard", unkeyed_slot(live.core), consent=True
    )
    reconcile(live)
    defaults = [card.id for card in cards_of(live, customer_id) if card.is_default]
    assert defaults == [newer.body["payment_method_id"]]
    assert len(cards_of(live, customer_id)) == 2


def test_an_attempt_older_than_stripes_memory_is_left_to_a_person(live: Bench) -> None:
    """After a day the same key could attach a second card, so nothing is sent; it is reported."""
    customer_id = live.customer(card=False)
    failpoints.arm("card.before_stripe", "fail")
    slot = unkeyed_slot(live.core)
    with pytest.raises(FailpointError):
        cards.add(live.core, customer_id, "pm_card_visa", slot, consent=True)
    live.pass_time(86_400)
    assert ("card_in_doubt", slot.token) in reconcile(live).findings
    assert cards_of(live, customer_id) == []


@pytest.mark.parametrize("place", ["card_removal.before_stripe", "card_removal.after_stripe"])
def test_a_removal_that_was_cut_off_is_finished(
    live: Bench, simulator: Simulator, place: str
) -> None:
    """A card marked as removed is detached at Stripe, and never charged in between."""
    customer_id = live.customer()
    (card,) = cards_of(live, customer_id)
    failpoints.arm(place, "fail")
    with pytest.raises(FailpointError):
        cards.remove(live.core, customer_id, card.id)
    with pytest.raises(Problem, match="No credits"):
        pay(live, customer_id, "fix-1")
    reconcile(live)
    stripe_id = at_stripe(live, customer_id)
    assert simulator.official().v1.payment_methods.list({"customer": stripe_id}).data == []


@pytest.mark.nightly
@pytest.mark.parametrize("confirms", [True, False])
def test_an_authentication_is_followed_to_its_end(
    live: Bench, simulator: Simulator, *, confirms: bool
) -> None:
    """A payment confirmed later is booked, unasked; one left alone for a day is called off."""
    customer_id = live.customer(card=False)
    token = "pm_card_authenticationRequired"
    cards.add(live.core, customer_id, token, unkeyed_slot(live.core), consent=True)
    for number in range(balance(live, customer_id)):
        pay(live, customer_id, f"use-{number}")
    with pytest.raises(Problem) as asked:
        pay(live, customer_id, "fix-1")
    intent = str(asked.value.extra["payment_intent"])
    reconcile(live)
    assert simulator.official().v1.payment_intents.retrieve(intent).status != "canceled"
    if confirms:
        (card,) = cards_of(live, customer_id)
        simulator.official().v1.payment_intents.confirm(intent, {"payment_method": card.id})
        simulator.http.post(
            f"/simulator/payment_intents/{intent}/authenticate", json={"succeed": True}
        ).raise_for_status()
        reconcile(live)
        assert [p.amount_minor for p in live.payments(customer_id)] == [2900]
        assert pay(live, customer_id, "fix-1").body["outcome"] == "charged"
    else:
        live.pass_time(86_400)
        reconcile(live)
        assert simulator.official().v1.payment_intents.retrieve(intent).status == "canceled"
    assert simulator.taken_minor(at_stripe(live, customer_id)) == (2900 if confirms else 0)


def test_events_that_never_came_are_fetched(live: Bench, simulator: Simulator) -> None:
    """What was done at Stripe while nobody listened takes effect by the events it keeps."""
    customer_id = live.customer()
    subscribe(live, customer_id)
    stripe_id = at_stripe(live, customer_id)
    (found,) = simulator.official().v1.subscriptions.list({"customer": stripe_id}).data
    simulator.official().v1.subscriptions.cancel(found.id)
    (charge,) = live.payments(customer_id)
    simulator.official().v1.refunds.create({"charge": charge.stripe_id})
    report = reconcile(live)
    assert report.settled["event"] >= 2
    with live.core.database.read() as session:
        assert session.get_one(Customer, customer_id).plan == "payg"
    assert sum(p.amount_minor for p in live.payments(customer_id)) == 0
    assert balance(live, customer_id) == 0
    assert "event" not in reconcile(live).settled


def test_a_restored_backup_catches_up(live: Bench, simulator: Simulator, tmp_path: Path) -> None:
    """Fixes, subscriptions and refunds since the backup come back into the books, once."""
    if not live.core.database.is_sqlite:
        pytest.skip("a backup by copying the file")
    customer_id = live.customer()
    live.core.database.dispose()
    file = live.core.settings.database_url.removeprefix("sqlite:///")
    backup = tmp_path / "backup.db"
    with Database(f"sqlite:///{file}").write() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
    raw.execute("VACUUM INTO ?", (str(backup),))
    for number in range(3):
        pay(live, customer_id, f"fix-{number}")
    subscribe(live, customer_id)
    before = [(e.source, e.amount) for e in live.entries(customer_id)]
    live.core.database.dispose()
    raw.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"billing.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, file)
    assert live.payments(customer_id) == []
    reconcile(live)
    after = [(e.source, e.amount) for e in live.entries(customer_id)]
    assert sorted(after) == sorted(before)
    taken = simulator.taken_minor(at_stripe(live, customer_id))
    assert sum(p.amount_minor for p in live.payments(customer_id)) == taken == 59900 + 3 * 2900
    assert pay(live, customer_id, "fix-1").body["outcome"] == "charged"
    assert simulator.taken_minor(at_stripe(live, customer_id)) == taken


def charge_by_hand(
    live: Bench, simulator: Simulator, customer_id: str, metadata: dict[str, str] | None = None
) -> str:
    """Charge a customer's card at Stripe without the service; give the charge."""
    params = {
        "amount": 700,
        "currency": "usd",
        "customer": at_stripe(live, customer_id),
        "payment_method": cards_of(live, customer_id)[0].id,
        "confirm": True,
        "off_session": True,
        "metadata": metadata or {},
    }
    made = simulator.official().v1.payment_intents.create(params)  # type: ignore[arg-type]  # plain data
    return str(made.latest_charge)


@pytest.mark.parametrize("of_a_paid_fix", [True, False])
def test_a_charge_that_explains_nothing_is_reported_and_not_guessed_at(
    live: Bench, simulator: Simulator, *, of_a_paid_fix: bool
) -> None:
    """Money that no fix or invoice accounts for becomes one finding, however often it is seen."""
    customer_id = live.customer()
    pay(live, customer_id, "fix-1")
    metadata = {"customer_id": customer_id, "fix_id": "fix-1", "ledger_id": "att_other"}
    charge = charge_by_hand(live, simulator, customer_id, metadata if of_a_paid_fix else None)
    before = len(live.entries(customer_id))
    kind = "double_charge" if of_a_paid_fix else "unknown_charge"
    for _ in range(2):
        assert (kind, charge) in reconcile(live).findings
    assert len(live.entries(customer_id)) == before
    with live.core.database.read() as session:
        found = session.get_one(Finding, (kind, charge))
        assert gauges.read(live.core)["billing_duplicate_charges"] == [({}, float(of_a_paid_fix))]
        assert json.loads(found.detail) == {"amount_minor": 700}
        assert found.resolved_at is None
        assert found.last_seen_at > found.first_seen_at


def test_without_stripe_a_pass_changes_nothing_and_says_so(bench: Bench) -> None:
    """Steps that Stripe kept from their end are named; doubts stay for later."""
    customer_id = bench.customer()
    bench.stripe.faults.append("lost_request")
    with pytest.raises(Problem):
        pay(bench, customer_id, "fix-1")
    bench.stripe.down = True
    report = reconcile(bench)
    assert report.failed_steps == ["what_stripe_did"]
    with bench.core.database.read() as session:
        assert session.scalars(select(FixAttempt.outcome)).all()[-1] == "pending"
        assert session.scalars(select(CardAttempt.id)).all() == []


def test_one_process_at_a_time_makes_the_pass(live: Bench) -> None:
    """A pass is due at start and then on schedule, and a second process finds it taken."""
    first, second = Worker(live.core).reconciler, Worker(live.core).reconciler
    first.ask_for_a_pass()
    assert first.run_if_due() is not None
    assert second.run_if_due() is None
    live.pass_time(live.core.settings.reconcile_every_s)
    assert second.run_if_due() is not None


def test_nobody_joins_a_pass_that_takes_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over what a storm left outlives the lease of an event, and is still one's own."""
    first, second = Worker(bench.core).reconciler, Worker(bench.core).reconciler
    joined = []

    def long_pass() -> Report:
        bench.pass_time(bench.core.settings.worker_lease_s + 1)
        joined.append(second.run_if_due())
        return Report()

    monkeypatch.setattr(first, "run", long_pass)
    first.ask_for_a_pass()
    assert first.run_if_due() is not None
    assert joined == [None]


@pytest.mark.nightly
def test_the_command_tells_what_is_left_by_its_status(
    live: Bench, own_simulator: Simulator, tmp_path: Path
) -> None:
    """`reconcile` prints its report as a line of JSON; 0 when all is settled, 1 when not."""
    live = Bench(_over(live.core, own_simulator), live.stripe)
    customer_id = live.customer()
    env = {"BILLING_STRIPE_API_BASE": own_simulator.url}
    charge = None
    for status in (0, 1):
        with process(
            tmp_path, f"reconcile-{status}", ["simulators.billing", "reconcile"], env
        ) as child:
            assert child.popen.wait(30) == status, child.log.read_text()
            report = json.loads(child.log.read_text().splitlines()[-1])
        assert report["findings"] == ([["unknown_charge", charge]] if status else [])
        charge = charge_by_hand(live, own_simulator, customer_id)
