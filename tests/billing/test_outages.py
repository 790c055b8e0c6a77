"""A disk that is full, a database that is gone, a body that never ends: nothing is promised."""

from __future__ import annotations

import json
import resource
import socket
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from harness.stack.process import Child
from simulators.billing.storage.database import Database
from simulators.billing.storage.tables import FixAttempt, WebhookEvent
from tests.billing.audit import assert_all_agrees
from tests.billing.conftest import new_tenant
from tests.billing.crashing import Load, crashing_service, settle
from tests.billing.databases import databases as of_kind
from tests.billing.running import running_service, running_simulator
from tests.billing.test_webhooks import event, send, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.stack.postgres import PostgresServer
    from tests.billing.conftest import Tenant
    from tests.billing.running import Service, Simulator

_DEADLINE_S = 20.0
_ROOM = 64 * 1024


@contextmanager
def full_disk(service: Service) -> Iterator[None]:
    """Let no file of the service grow by more than a little; room comes back after the block."""
    (child,) = service.children
    largest = max(each.stat().st_size for each in service.folder.iterdir())
    limit = resource.RLIMIT_FSIZE
    before = resource.prlimit(child.popen.pid, limit)
    resource.prlimit(child.popen.pid, limit, (largest + _ROOM, before[1]))
    try:
        yield
    finally:
        resource.prlimit(child.popen.pid, limit, before)


def padded(name: str) -> bytes:
    """Make an event that takes up room."""
    return json.dumps(json.loads(event(name)) | {"padding": "x" * 8000}).encode()


def assert_not_ready(service: Service) -> None:
    """Hold that the service lives and says that it cannot work."""
    with service.client() as http:
        reply = http.get("/ready")
        assert (reply.status_code, reply.json()["code"]) == (503, "not_ready")
        assert int(reply.headers["Retry-After"]) > 0
        assert http.get("/health").status_code == 200


def assert_takes_nothing(service: Service, tenant: Tenant) -> None:
    """Hold that nothing is acknowledged that would have to be stored."""
    body = padded("evt_refused")
    replies = [
        send(service, body, signed(body)),
        tenant.fix("refused"),
        tenant.http.post("/api/v1/customers/onboard", json={"email": "refused@example.com"}),
    ]
    for reply in replies:
        assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
        assert int(reply.headers["Retry-After"]) > 0
        assert reply.headers["Content-Type"] == "application/problem+json"


def use_up_the_rest(service: Service) -> None:
    """Look at readiness, which writes a little, until not even that fits."""
    with service.client() as http:
        for _ in range(100):
            if http.get("/ready").status_code != 200:
                return
    pytest.fail("a small write always fitted")


def wait_until_ready(service: Service) -> None:
    """Wait until the service is ready again."""
    deadline = time.monotonic() + _DEADLINE_S
    with service.client() as http:
        while http.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def stored(service: Service) -> tuple[set[str], set[str]]:
    """Give the ids of all events and of all fixes that were paid for."""
    database = Database(service.env["BILLING_DATABASE_URL"])
    with database.read() as session:
        events = set(session.scalars(select(WebhookEvent.id)))
        fixes = select(FixAttempt.fix_id).where(FixAttempt.outcome == "credit")
        found = events, set(session.scalars(fixes))
    database.dispose()
    return found


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_stored(
    tmp_path: Path, simulator: Simulator
) -> None:
    """Not ready and all writes refused; what was acknowledged before is there, and work goes on."""
    told: set[str] = set()
    with running_service(tmp_path, simulator) as service, new_tenant(service) as tenant:
        with full_disk(service):
            for number in range(100):
                body = padded(f"evt_{number}")
                if send(service, body, signed(body)).status_code != 200:
                    break
                told.add(f"evt_{number}")
            else:
                pytest.fail("the disk never was full")
            use_up_the_rest(service)
            assert_not_ready(service)
            assert_takes_nothing(service, tenant)
        events, fixes = stored(service)
        assert told <= events
        assert "evt_refused" not in events
        assert fixes == set()
        wait_until_ready(service)
        assert tenant.fix("refused").json()["outcome"] == "credit"
        tenant.assert_books_balance()


@pytest.mark.nightly
def test_without_its_file_nothing_is_acknowledged(tmp_path: Path, simulator: Simulator) -> None:
    """SQLite would go on writing into a file that was removed; the service notices, and stops."""
    with running_service(tmp_path, simulator) as service, new_tenant(service) as tenant:
        file = service.database_file
        away = file.rename(tmp_path / "away.db")
        assert_not_ready(service)
        assert_takes_nothing(service, tenant)
        sqlite3.connect(file).close()  # another file of that name is not the database either
        assert_takes_nothing(service, tenant)
        away.rename(file)
        wait_until_ready(service)
        assert stored(service)[1] == set()
        assert tenant.fix("refused").json()["outcome"] == "credit"


def start_again(server: PostgresServer) -> None:
    """Start a server that was stopped, on the same data."""
    ended = server.child
    server.child = Child("postgres", ended._argv, env={}, log=ended.log)
    server._undo.callback(server.child.stop)
    server._wait()


@pytest.mark.nightly
@pytest.mark.nightly
def test_postgres_goes_away_in_mid_traffic_and_comes_back(tmp_path: Path) -> None:
    """Meanwhile it is not ready and acknowledges nothing; afterwards all books agree."""
    with (
        of_kind("postgres", tmp_path) as databases,
        running_simulator(tmp_path) as stripe,
        crashing_service(tmp_path, stripe, databases.fresh(tmp_path)) as (service, herd),
    ):
        server = databases._server
        assert server is not None
        herd.spawn()
        load = Load(service, seed=6)
        with load.running(clients=4):
            for _ in range(3):
                asked = sum(len(each.answers) for each in list(load.customers))
                wait_for_answers(load, asked + 20)
                server.child.stop()
                assert_not_ready(service)
                body = event("evt_while_gone")
                assert send(service, body, signed(body)).status_code >= 500
                start_again(server)
                wait_until_ready(service)
        settle(service)
        assert_all_agrees(service, load)


def wait_for_answers(load: Load, count: int) -> None:
    """Wait until the load was told of so many fixes."""
    deadline = time.monotonic() + 3 * _DEADLINE_S
    while sum(len(each.answers) for each in list(load.customers)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Service]:
    """Run a service that waits half a second for a body."""
    folder = tmp_path_factory.mktemp("impatient")
    with running_service(folder, simulator, body_deadline_s="0.5") as found:
        yield found


def begin_body(service: Service, key: str, part: bytes, *, length: int) -> socket.socket:
    """Send a request for a fix, and only the first part of its body."""
    where = urlsplit(service.url)
    found = socket.create_connection((str(where.hostname), where.port or 80), timeout=_DEADLINE_S)
    head = (
        "POST /api/v1/billing/track_fix HTTP/1.1\r\nHost: billing\r\n"
        f"Content-Type: application/json\r\nX-API-Key: {key}\r\nContent-Length: {length}\r\n\r\n"
    )
    found.sendall(head.encode() + part)
    return found


def test_a_body_that_comes_by_the_byte_is_cut_off(impatient: Service) -> None:
    """It is a 408 with the connection's end, although every byte came soon after the last."""
    with new_tenant(impatient) as tenant:
        key = str(tenant.http.headers["X-API-Key"])
        with begin_body(impatient, key, b'{"fix_id": "', length=10_000) as slow:
            slow.settimeout(0.05)
            answer = b""
            for _ in range(400):
                try:
                    slow.sendall(b"x")
                    if not (part := slow.recv(4096)):
                        break
                    answer += part
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        assert b'"code":"request_timeout"' in answer
        assert tenant.page("fix-attempts") == []


def test_half_a_body_is_no_request(impatient: Service) -> None:
    """What came before the client went away reads like a whole body, and nothing is done by it."""
    log = impatient.children[0].log
    with new_tenant(impatient) as tenant:
        key = str(tenant.http.headers["X-API-Key"])
        before = log.read_text().count("request_timeout")
        begin_body(impatient, key, b'{"fix_id": "half"}', length=1000).close()
        deadline = time.monotonic() + _DEADLINE_S
        while log.read_text().count("request_timeout") == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert tenant.page("fix-attempts") == []
        assert tenant.get()["credit_balance"] == 5
