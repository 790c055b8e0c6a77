"""Defects are switched on by name, never in production, and nothing of them stays."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from harness.metrics import BillingTelemetry
from simulators.billing import defects, ledger
from simulators.billing.defects import DEFECTS, GROUPS, UnknownDefectError
from simulators.billing.defects.overlay import Overlay
from simulators.billing.environment import ProductionRefusedError
from simulators.billing.operations import charging, reports
from simulators.billing.storage.database import Database
from simulators.billing.worker import loop
from simulators.billing.worker.effects import HANDLERS
from tests.billing.defects.shop import open_shop
from tests.billing.running import process, service_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from simulators.billing.core import Core
    from tests.billing.databases import Databases
    from tests.billing.defects.shop import Shop
    from tests.billing.running import Simulator

_NOT_THE_SERVICE = ("simulators.billing.defects", "simulators.billing.migrations")
_DEADLINE_S = 30.0
_ID = re.compile(r"\b([a-z]{2,5})_[A-Za-z0-9_-]{10,}")
_TIME = re.compile(r"\b1[78]\d{8}\b")
# What the production's sign is, and how settings or database come by it.
SIGNS: dict[str, dict[str, str]] = {
    "environment": {"BILLING_ENVIRONMENT": "production"},
    "live key": {"BILLING_STRIPE_API_KEY": "sk_live_nobodys"},
    "marker": {},
}


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Iterator[Database]:
    """Give an empty database."""
    path = tmp_path / "billing.db"
    shutil.copy(template, path)
    found = Database(f"sqlite:///{path}")
    yield found
    found.dispose()


def everything() -> dict[tuple[str, ...], object]:
    """Give every attribute of the service's modules and classes, and what its tables hold."""
    found: dict[tuple[str, ...], object] = {}
    for path, module in list(sys.modules.items()):
        if not path.startswith("simulators.billing") or path.startswith(_NOT_THE_SERVICE):
            continue
        for name, value in vars(module).items():
            found[path, name] = value
            if isinstance(value, type) and value.__module__ == path:
                found |= {(path, name, own): each for own, each in vars(value).items()}
    found |= {("telemetry", own): each for own, each in vars(BillingTelemetry).items()}
    for name, table in (("handlers", HANDLERS), ("results", vars(loop)["_RESULTS"])):
        found |= {(name, key): each for key, each in table.items()}
    return found


def changed(before: dict[tuple[str, ...], object]) -> set[tuple[str, ...]]:
    """Name what is not what it was."""
    now = everything()
    return {name for name in before.keys() | now.keys() if before.get(name) is not now.get(name)}


@pytest.mark.parametrize("name", DEFECTS)
def test_nothing_of_a_defect_stays(
    name: str, database: Database, new_core: Callable[..., Core]
) -> None:
    """Inside something is replaced; afterwards every attribute is the genuine one again."""
    before = everything()
    with defects.switched_on([name], new_core().settings, database) as overlay:
        assert changed(before) or overlay.reroutes
    assert changed(before) == set()


def test_all_defects_leave_when_the_block_raises(
    database: Database, new_core: Callable[..., Core]
) -> None:
    """All at once are put back in the right order, also by an error."""
    before = everything()
    settings = new_core().settings

    def fail() -> None:
        with defects.switched_on(list(DEFECTS), settings, database):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert changed(before) == set()


def told(reply: httpx.Response) -> tuple[int, dict[str, str], str]:
    """Give a response without what is new each time: ids, secrets and times."""
    ignored = {"x-request-id", "content-length"}
    headers = {name: _TIME.sub("T", v) for name, v in reply.headers.items() if name not in ignored}
    headers = {name: re.sub(r"t=\d+", "t=T", value) for name, value in headers.items()}
    return reply.status_code, headers, _TIME.sub("T", _ID.sub(r"\1_", reply.text))


def recorded(shop: Shop) -> list[tuple[int, dict[str, str], str]]:
    """Tell a story of everything that a customer does, and give all that was answered."""
    email = {"email": "story@example.com"}
    onboarded = shop.client().post("/api/v1/customers/onboard", json=email)
    path = f"/api/v1/customers/{onboarded.json()['customer_id']}"
    http = shop.client(onboarded.json()["api_key"])
    card = {"payment_method": "pm_card_visa", "billing_consent": True}
    replies = [
        onboarded,
        http.post("/api/v1/billing/track_fix", json={"fix_id": "fix-1"}),
        http.put(f"{path}/plan", json={"plan": "pro"}),
        http.post(f"{path}/payment-methods", json={**card, "payment_method": "4242"}),
        http.post(f"{path}/payment-methods", json=card),
        http.post(f"{path}/subscription", json={"plan": "pro"}, headers={"Idempotency-Key": "k"}),
        http.post(f"{path}/subscription", json={"plan": "pro"}, headers={"Idempotency-Key": "k"}),
        http.delete(f"{path}/subscription"),
        http.post("/api/v1/operator/customers/x/adjustments", json={}),
        shop.client().post("/api/webhooks/stripe", content=b"{}"),
        http.post("/api/v1/api-keys/rotate"),
    ]
    key = replies[-1].json()["api_key"]
    pages = ("", "/usage", "/transactions?filter=source:consumed", "/invoices", "/payments")
    replies += [shop.client(key).get(f"{path}{page}") for page in pages]
    return [told(reply) for reply in replies]


@pytest.mark.usefixtures("_document_once")
def test_the_service_answers_as_before(
    new_core: Callable[..., Core], own_simulator: Simulator
) -> None:
    """One story is answered the same before and after every defect was on, and not by defects."""
    with open_shop(new_core(), own_simulator) as shop:
        before = recorded(shop)
    with open_shop(new_core(), own_simulator, *DEFECTS) as shop:
        assert recorded(shop) != before
    with open_shop(new_core(), own_simulator) as shop:
        assert recorded(shop) == before


def test_every_defect_has_a_direct_test() -> None:
    """A defect `some-name` of a module has `test_some_name` in that module's tests."""
    for module in GROUPS:
        group = module.__name__.rpartition(".")[2]
        tests = vars(__import__(f"tests.billing.defects.test_{group}", fromlist=["tests"]))
        own = [d for d in DEFECTS.values() if d.switch_on.__module__ == module.__name__]
        assert own
        missing = [d.name for d in own if f"test_{d.name.replace('-', '_')}" not in tests]
        assert missing == []


def test_every_defect_declares_itself() -> None:
    """Names are kebab-case and the function's own; each says who ought to find it, and why."""
    for each in DEFECTS.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each.name)
        assert vars(sys.modules[each.switch_on.__module__])[each.name.replace("-", "_")]
        assert re.fullmatch(r"[A-Z][^\n]{20,}\.", each.mistake), each.name
        assert each.found_by
        assert set(each.to_data()) == {"name", "group", "mistake", "invariant", "found_by"}


@pytest.mark.parametrize("sign", SIGNS)
def test_production_is_refused_by_every_sign(
    sign: str, database: Database, new_core: Callable[..., Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sign of production is enough, and nothing is replaced."""
    for name, value in SIGNS[sign].items():
        monkeypatch.setenv(name, value)
    if sign == "marker":
        with database.write() as session:
            session.execute(text("UPDATE deployment SET environment = 'production'"))
    before = everything()
    with (
        pytest.raises(ProductionRefusedError, match="production_environment: the defect canary"),
        defects.switched_on(["canary"], new_core().settings, database),
    ):
        pytest.fail("it was switched on")
    assert changed(before) == set()


def test_an_unknown_name_is_refused(database: Database, new_core: Callable[..., Core]) -> None:
    """A name that is no defect's switches nothing on, the others neither."""
    before = everything()
    with (
        pytest.raises(UnknownDefectError, match="no defect 'canery'"),
        defects.switched_on(["canary", "canery"], new_core().settings, database),
    ):
        pytest.fail("it was switched on")
    assert changed(before) == set()


def served(folder: Path, template: Path, *arguments: str, **env: str) -> tuple[int | None, str]:
    """Serve in a process of its own until it is ready or ends; give its status and output."""
    shutil.copy(template, folder / "billing.db")
    told = service_environment(folder, "http://127.0.0.1:1") | env
    command = ["simulators.billing", "serve", "--port", "0", *arguments]
    with process(folder, "billing", command, told) as child:
        deadline = time.monotonic() + _DEADLINE_S
        while '"ready": true' not in child.log.read_text() and time.monotonic() < deadline:
            if child.popen.poll() is not None:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.popen.wait(0.05)
        return child.popen.poll(), child.log.read_text()


@pytest.mark.parametrize(
    ("name", "env", "says"),
    [
        ("canery", {}, "unknown_defect: there is no defect 'canery'"),
        (
            "canary",
            {"BILLING_ENVIRONMENT": "production", "BILLING_TEST_CONTROL_TOKEN": ""},
            "production_environment: the defect canary was asked for",
        ),
    ],
)
def test_a_process_says_in_a_line_why_it_does_not_start(
    tmp_path: Path, template: Path, name: str, env: dict[str, str], says: str
) -> None:
    """An unknown defect, and any in production, end `serve` with status 2 and one line."""
    status, output = served(tmp_path, template, "--defect", name, **env)
    assert status == 2
    assert output.startswith(says)
    assert output.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("--defect", "canary")])
def test_a_service_without_defects_never_imports_them(
    tmp_path: Path, template: Path, arguments: tuple[str, ...]
) -> None:
    """The package of defects is imported for a defect, and for nothing else."""
    _, output = served(tmp_path, template, *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert '"ready": true' in output
    assert ("simulators.billing.defects" in output) == bool(arguments)


def test_a_function_is_replaced_under_all_its_names(database: Database) -> None:
    """A module that imported the function by name uses the new one, until the end."""
    genuine = reports.transaction_view

    def view(_: object) -> dict[str, Any]:
        return {}

    with Overlay(database) as overlay:
        assert overlay.replace(reports, "transaction_view", view) is genuine
        names = [name for name, value in everything().items() if value is view]
        assert ("simulators.billing.operations.corrections", "transaction_view") in names
        assert ("simulators.billing.operations.reports", "transaction_view") in names
    assert genuine is reports.transaction_view


def test_what_is_not_there_cannot_be_replaced(database: Database) -> None:
    """A seam that the service no longer has is told, rather than missed."""
    with Overlay(database) as overlay:
        with pytest.raises(AttributeError):
            overlay.replace(charging, "no_such_function", print)
        with pytest.raises(AttributeError):
            overlay.replace(charging.Fix, "no_such_method", print)
        with pytest.raises(KeyError):
            overlay.replace_item(HANDLERS, "no.such.event", print)
        with pytest.raises(LookupError):
            overlay.without_constraint("credit_transactions", "no_such_constraint")


def test_a_guard_is_taken_alone(database: Database) -> None:
    """Without one constraint, rows, other constraints, triggers and indexes are what they were."""

    def schema() -> set[tuple[str, str]]:
        with database.engine.connect() as connection:
            listed = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_auto%'"
            return {(kind, name) for kind, name in connection.exec_driver_sql(listed)}

    customer = text(
        "INSERT INTO customers (id, email, source, stripe_customer_id, plan, created_at)"
        " VALUES ('cust_1', 'a@shop.test', 'direct', 'cus_1', 'trial', 0)"
    )
    before = schema()
    with database.write() as session:
        session.execute(customer)
        ledger.append(session, "cust_1", ledger.Posting(5, "trial_signup", "signup"), at=0)
    with Overlay(database) as overlay:
        for _ in range(2):
            name = "ck_credit_transactions_never_negative"
            overlay.without_constraint("credit_transactions", name)
    assert schema() == before
    with database.write() as session:
        assert ledger.balance(session, "cust_1") == 5
        ledger.append(session, "cust_1", ledger.Posting(-9, "adjustment", "why"), at=0)
    copied = (
        "INSERT INTO credit_transactions SELECT 'x', customer_id, sequence, previous_sequence,"
        " balance_before, amount, balance_after, source, cause, details, 0"
        " FROM credit_transactions"
    )
    refused = ("UPDATE credit_transactions SET amount = 6", copied)
    for statement in refused:
        with pytest.raises(IntegrityError), database.write() as session:
            session.execute(text(statement))


def test_guards_are_taken_from_either_database(
    tmp_path: Path, databases: Databases, new_core: Callable[..., Core]
) -> None:
    """Every defect can be switched on, and again, over SQLite and PostgreSQL."""
    database = Database(databases.fresh(tmp_path))
    settings = new_core().settings
    for _ in range(2):
        with defects.switched_on(list(DEFECTS), settings, database):
            pass
    database.dispose()
