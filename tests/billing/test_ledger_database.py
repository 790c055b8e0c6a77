"""The database itself refuses every row that would break the ledger, whatever the code does."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from simulators.billing import ledger
from simulators.billing.ledger import Posting
from simulators.billing.operations.purge import purge
from simulators.billing.storage.database import Database, locked_customer
from tests.billing.databases import on_both_databases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Bench

pytestmark = on_both_databases

PROCESSES = 4
DEBITS = 25


@pytest.fixture
def ledgered(bench: Bench) -> Iterator[tuple[Connection, str]]:
    """Give a raw connection, and a customer whose balance is 5 after entry 1."""
    customer_id = bench.customer(card=False, credits_left=5)
    with bench.core.database.writers.connect() as connection:
        yield connection, customer_id


def insert(connection: Connection, customer_id: str, **changes: Any) -> None:
    """Insert the entry that would rightly come next, with `changes`."""
    row = {
        "id": "txn_raw",
        "customer_id": customer_id,
        "sequence": 2,
        "previous_sequence": 1,
        "balance_before": 5,
        "amount": -1,
        "balance_after": 4,
        "source": "consumed",
        "cause": "fix-raw",
        "details": "{}",
        "created_at": 0,
    } | changes
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    statement = f"INSERT INTO credit_transactions ({names}) VALUES ({places})"  # noqa: S608  # constants
    with connection.begin():
        connection.execute(text(statement), row)


def test_the_entry_that_comes_next_is_taken(ledgered: tuple[Connection, str]) -> None:
    """The rows below are refused for what is wrong with them, not for what they have in common."""
    insert(*ledgered)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"balance_before": 6, "balance_after": 5}, id="stale balance"),
        pytest.param({"sequence": 3, "previous_sequence": 2}, id="gap"),
        pytest.param({"sequence": 3, "previous_sequence": 1}, id="skipped number"),
        pytest.param({"sequence": 1, "previous_sequence": None}, id="second first entry"),
        pytest.param({"previous_sequence": None}, id="no predecessor"),
        pytest.param(
            {"sequence": 0, "previous_sequence": None, "balance_before": 0, "amount": 5,
             "balance_after": 5, "source": "adjustment"},
            id="entry before the first",
        ),
        pytest.param({"balance_after": 5}, id="wrong sum"),
        pytest.param({"amount": -6, "balance_after": -1, "source": "adjustment"}, id="negative"),
        pytest.param({"amount": 0, "balance_after": 5, "source": "adjustment"}, id="zero"),
        pytest.param({"amount": 1, "balance_after": 6}, id="consumption that adds"),
        pytest.param({"amount": -2, "balance_after": 3}, id="two credits for one fix"),
        pytest.param({"source": "purchased"}, id="purchase that takes"),
        pytest.param({"source": "gift"}, id="source from nowhere"),
        pytest.param({"cause": ""}, id="no cause"),
        pytest.param(
            {"source": "trial_signup", "cause": "signup", "amount": 5, "balance_after": 10},
            id="second grant for one cause",
        ),
        pytest.param({"amount": -0.5, "balance_after": 4.5, "source": "adjustment"}, id="half"),
        pytest.param({"customer_id": "cust_nobody"}, id="nobody's"),
    ],
)  # fmt: skip
def test_a_row_that_breaks_the_chain_is_refused(
    ledgered: tuple[Connection, str], changes: dict[str, Any]
) -> None:
    """Stale, racing, negative, duplicate and uncaused entries fail at the database."""
    connection, customer_id = ledgered
    with pytest.raises(IntegrityError):
        insert(connection, **({"customer_id": customer_id} | changes))


def test_a_first_entry_starts_from_nothing(ledgered: tuple[Connection, str]) -> None:
    """A first entry has a balance before of 0: a nullable key alone would check nothing."""
    connection, customer_id = ledgered
    copy = text(
        "INSERT INTO customers SELECT 'cust_new', 'new@test', name, source, NULL, 'cus_new',"
        " plan, 0, NULL FROM customers WHERE id = :id"
    )
    with connection.begin():
        connection.execute(copy, {"id": customer_id})
    first = {"sequence": 1, "previous_sequence": None, "source": "adjustment", "cause": "gift"}
    with pytest.raises(IntegrityError):
        insert(connection, "cust_new", balance_before=100, balance_after=99, amount=-1, **first)
    insert(connection, "cust_new", balance_before=0, balance_after=3, amount=3, **first)


def test_of_two_racing_entries_one_is_refused(ledgered: tuple[Connection, str]) -> None:
    """Two entries that were both computed from the same balance cannot both be written."""
    connection, customer_id = ledgered
    insert(connection, customer_id)
    with pytest.raises(IntegrityError):
        insert(connection, customer_id, id="txn_other", cause="fix-other")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_transactions SET amount = 6, balance_after = 6",
        "UPDATE credit_transactions SET details = '{}'",
        "DELETE FROM credit_transactions",
        "UPDATE payments SET amount_minor = 1",
        "DELETE FROM payments",
        "UPDATE debts SET units = 1",
        "DELETE FROM debts",
    ],
)
def test_nothing_written_is_changed_or_deleted(bench: Bench, statement: str) -> None:
    """Ledger, payments and debts are append-only for every statement."""
    customer_id = bench.customer(card=False, credits_left=5)
    fill(bench, customer_id)
    with pytest.raises(IntegrityError, match="append-only"), bench.core.database.write() as session:
        session.execute(text(statement))


def fill(bench: Bench, customer_id: str) -> None:
    """Put a payment and a debt in, since a trigger fires for rows only."""
    with bench.core.database.write() as session:
        session.execute(
            text(
                "INSERT INTO payments (id, customer_id, kind, stripe_id, amount_minor, currency,"
                " cause, plan, created_at) VALUES ('pay_1', :c, 'charge', 'ch_1', 5, 'usd', 'f',"
                " 'payg', 0)"
            ),
            {"c": customer_id},
        )
        ledger.take_back(session, customer_id, 7, cause="re_1", at=0)


@pytest.mark.parametrize(
    ("kind", "amount_minor", "parent"),
    [("charge", -5, None), ("charge", 0, None), ("refund", 5, "pay_1"), ("refund", -5, None)],
)
def test_money_has_its_sign_and_its_parent(
    bench: Bench, kind: str, amount_minor: int, parent: str | None
) -> None:
    """A charge is above zero; a refund is below it and belongs to a charge."""
    customer_id = bench.customer(card=False, credits_left=5)
    fill(bench, customer_id)
    with pytest.raises(IntegrityError, match="sign"), bench.core.database.write() as session:
        session.execute(
            text(
                "INSERT INTO payments (id, customer_id, kind, stripe_id, parent_id, amount_minor,"
                " currency, cause, plan, created_at)"
                " VALUES ('pay_2', :c, :k, 're_9', :p, :a, 'usd', 'f', 'payg', 0)"
            ),
            {"c": customer_id, "k": kind, "a": amount_minor, "p": parent},
        )


@pytest.mark.parametrize("table", ["credit_transactions", "payments", "debts"])
def test_nothing_is_truncated(bench: Bench, table: str) -> None:
    """PostgreSQL's way past triggers for rows is closed too; SQLite does not know the word."""
    refusal = "syntax error" if bench.core.database.is_sqlite else "append-only"
    with pytest.raises(DBAPIError, match=refusal), bench.core.database.write() as session:
        session.execute(text(f"TRUNCATE {table} CASCADE"))


def test_two_refunds_at_once_do_not_exceed_their_charge(bench: Bench) -> None:
    """The second refund waits for the first and is refused, though neither could see the other."""
    customer_id = bench.customer(card=False, credits_left=5)
    fill(bench, customer_id)
    refund = text(
        "INSERT INTO payments (id, customer_id, kind, stripe_id, parent_id, amount_minor, currency,"
        " cause, plan, created_at) VALUES (:id, :c, 'refund', :id, 'pay_1', -3, 'usd', :id,"
        " 'payg', 0)"
    )
    refused = []

    def second() -> None:
        try:
            with bench.core.database.write() as session:
                session.execute(refund, {"id": "re_b", "c": customer_id})
        except IntegrityError as error:
            refused.append(str(error))

    waiting = threading.Thread(target=second)
    with bench.core.database.write() as session:
        session.execute(refund, {"id": "re_a", "c": customer_id})
        waiting.start()
        waiting.join(0.2)
    waiting.join(20)
    assert [p.amount_minor for p in bench.payments(customer_id)] == [5, -3]
    assert "refunds exceed" in refused[0]


def test_production_permits_no_purge(bench: Bench) -> None:
    """Where the database is marked as production, no permit to delete can be recorded."""
    permit = text("INSERT INTO purge_permits VALUES ('cust_1', 0)")
    with bench.core.database.write() as session:
        session.execute(text("UPDATE deployment SET environment = 'production'"))
    with pytest.raises(IntegrityError, match="production"), bench.core.database.write() as session:
        session.execute(permit)
    with pytest.raises(IntegrityError, match="for ever"), bench.core.database.write() as session:
        session.execute(text("UPDATE deployment SET environment = 'test'"))


def debit(url: str, customer_id: str, worker: int) -> None:
    """Take credits one by one, in a process of its own."""
    database = Database(url)
    for number in range(DEBITS):
        with database.write() as session:
            locked_customer(session, customer_id)
            posting = Posting(-1, "consumed", f"fix-{worker}-{number}")
            ledger.append(session, customer_id, posting, at=0)
    database.dispose()


@pytest.mark.nightly
def test_four_processes_lose_no_debit(bench: Bench) -> None:
    """Writers in four processes wait for each other, and every single debit is in the balance."""
    customer_id = bench.customer(card=False, credits_left=5)
    with bench.core.database.write() as session:
        gift = Posting(PROCESSES * DEBITS, "adjustment", "gift")
        ledger.append(session, customer_id, gift, at=0)
    url = bench.core.settings.database_url
    context = multiprocessing.get_context("spawn")
    children = [
        context.Process(target=debit, args=(url, customer_id, worker))
        for worker in range(PROCESSES)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    entries = bench.entries(customer_id)
    assert entries[-1].balance_after == 5
    assert sum(e.amount for e in entries) == 5
    assert [e.sequence for e in entries] == list(range(1, len(entries) + 1))


def test_what_was_used_before_it_was_taken_back_is_owed(bench: Bench) -> None:
    """The balance stops at zero; the rest is a debt, and the next grant pays it first."""
    customer_id = bench.customer(card=False, credits_left=2)
    with bench.core.database.write() as session:
        ledger.take_back(session, customer_id, 5, cause="re_1", at=0)
        assert (ledger.balance(session, customer_id), ledger.owed(session, customer_id)) == (0, 3)
        grant = Posting(60, "pro_subscription_payment", "in_1")
        ledger.append(session, customer_id, grant, at=0)
        assert (ledger.balance(session, customer_id), ledger.owed(session, customer_id)) == (57, 0)


def test_no_debt_is_taken_from_a_credit_that_was_paid_for(bench: Bench) -> None:
    """A purchased credit pays for the fix that bought it, whatever is owed."""
    customer_id = bench.customer(card=False, credits_left=0)
    with bench.core.database.write() as session:
        ledger.take_back(session, customer_id, 1, cause="re_1", at=0)
        ledger.append(session, customer_id, Posting(1, "purchased", "ch_1"), at=0)
        assert ledger.balance(session, customer_id) == 1


def test_a_purge_removes_everything(bench: Bench) -> None:
    """A permitted purge deletes a whole chain at once, and only that customer's."""
    gone, stays = bench.customer(credits_left=3), bench.customer(credits_left=3)
    purge(bench.core, gone)
    assert bench.entries(gone) == []
    assert bench.entries(stays) != []
