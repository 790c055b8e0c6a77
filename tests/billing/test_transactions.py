"""How a transaction begins and ends: who waits for whom, and who waits for the disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError

from simulators.billing.limits import Limiter
from simulators.billing.storage import database as storage
from tests.billing.databases import on_both_databases

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.storage.database import Database
    from tests.billing.conftest import Bench

pytestmark = on_both_databases

WRITERS = 20


def waits_for_the_disk(database: Database, session: Session) -> bool:
    """Ask the database whether this transaction's commit will wait for the disk."""
    if database.is_sqlite:
        return int(session.scalar(text("PRAGMA synchronous")) or 0) == 2
    return str(session.scalar(text("SHOW synchronous_commit"))) == "on"


def test_a_write_waits_for_the_disk_and_a_count_does_not(bench: Bench) -> None:
    """One transaction that does not wait leaves every other one, before and after, waiting."""
    database = bench.core.database
    told = []
    for is_synced in (True, False, True):
        with database.write(is_synced=is_synced) as session:
            told.append(waits_for_the_disk(database, session))
    assert told == [True, False, True]


def test_only_the_limits_do_without_the_disk(bench: Bench) -> None:
    """A count is committed unsynced, and a sign-up with its credits, key and e-mails is not."""
    database, levels = bench.core.database, set()
    engine = database.writers

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, *_rest: object) -> None:
        if statement in {"PRAGMA synchronous = NORMAL", "SET LOCAL synchronous_commit = off"}:
            levels.add(statement)

    try:
        bench.customer()
        assert levels == set()
        Limiter(bench.core).request("cust_1", 1)
        assert len(levels) == 1
    finally:
        event.remove(engine, "before_cursor_execute", _note)


def test_a_count_outlives_the_process_that_did_not_wait(bench: Bench) -> None:
    """What was committed unsynced is there for every connection that is opened afterwards."""
    limiter = Limiter(bench.core)
    before = limiter.request("cust_1", 1)
    bench.core.database.dispose()
    assert limiter.request("cust_1", 1).remaining == before.remaining - 1


def test_writers_of_one_process_take_turns(bench: Bench) -> None:
    """Of twenty that come at once each has SQLite to itself, and none finds it locked."""
    database = bench.core.database
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has a queue of its own")
    inside: list[int] = []
    most: list[int] = []

    def write() -> None:
        with database.write() as session:
            inside.append(1)
            most.append(len(inside))
            session.execute(text("DELETE FROM rate_hits"))
            inside.pop()

    threads = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * WRITERS


def test_a_writer_waits_for_its_turn_without_a_connection_and_not_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one writes, the next holds none of the connections, and gives up after a while."""
    database = bench.core.database
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has a queue of its own")
    monkeypatch.setattr(storage, "_LOCK_WAIT_S", 0.05)
    refused = []

    def write() -> None:
        try:
            with database.write():
                pass
        except DatabaseTimeoutError as error:
            refused.append(error)

    with database.write() as session:
        session.execute(text("DELETE FROM rate_hits"))
        taken = database.engine.pool.checkedout()  # type: ignore[attr-defined]  # of a queue pool
        second = threading.Thread(target=write)
        second.start()
        second.join(30)
        assert database.engine.pool.checkedout() == taken  # type: ignore[attr-defined]  # as above
    assert len(refused) == 1
    with database.write() as session:
        session.execute(text("DELETE FROM rate_hits"))
