"""A PostgreSQL server of the stack's own: it serves, and nothing of it is ever left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from harness.errors import StackError
from harness.stack import Stack, StackOptions
from harness.stack.postgres import PostgresServer
from tests.stack.processes import driver, eventually, linux_only, marked

pytestmark = linux_only


def processes_of(database_url: str) -> set[int]:
    """Give the server and its processes, whose titles hide what they were started with."""
    lock = Path(database_url.partition("host=")[2]) / ".s.PGSQL.5432.lock"
    server = int(lock.read_text().splitlines()[0])
    found = {server}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == server:
                found.add(int(stat.parent.name))
    return found


def alive(pids: set[int]) -> set[int]:
    """Give those that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def test_a_stack_runs_on_a_server_of_its_own(marker: str) -> None:
    """The service works on PostgreSQL, and the server ends with the stack."""
    with Stack(StackOptions(database="postgres")) as stack:
        assert stack.addresses.database_url.startswith("postgresql+psycopg://")
        body = {"email": "pg@example.com"}
        url = f"{stack.addresses.billing_url}/api/v1/customers/onboard"
        assert httpx.post(url, json=body, trust_env=False, timeout=20).status_code == 201
        assert stack.dead() == []
        assert marked(marker, "postgres_main.py")
        server = processes_of(stack.addresses.database_url)
        assert len(server) > 3
    assert eventually(lambda: not marked(marker) and not alive(server))


@pytest.mark.nightly
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_server_does_not_outlive_its_parent(how: signal.Signals, marker: str) -> None:
    """A kill -9 and a Ctrl-C of the command leave no process of PostgreSQL behind."""
    with driver("postgres") as process:
        assert process.stdout
        server = processes_of(json.loads(process.stdout.readline())["database_url"])
        assert len(server) > 3
        os.killpg(process.pid, how)
        assert process.wait(timeout=30) != 0
        assert eventually(lambda: not marked(marker) and not alive(server))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A setting that PostgreSQL refuses is told with the end of its log."""
    with pytest.raises(StackError, match="no_such_setting"):
        PostgresServer(tmp_path, "no_such_setting=1").__enter__()
