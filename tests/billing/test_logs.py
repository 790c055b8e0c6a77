"""What reaches the log: one shape for everything, no secret, and nothing of a failed statement."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.billing.databases import on_both_databases

if TYPE_CHECKING:
    from tests.billing.conftest import Bench

PROGRAM = """
import logging, structlog
from simulators.billing import logs
logs.configure("info")
def fail(told):
    try:
        raise ValueError("4242 4242 4242 4242 with sk_test_0123456789, ada@example.com")
    except ValueError:
        told("broken")
fail(structlog.get_logger("ours").exception)
fail(logging.getLogger("a.library").exception)
logging.getLogger("a.library").info("chatter")
logging.getLogger("uvicorn.error").error("Exception in ASGI application")
"""


def test_libraries_log_in_our_shape_without_secrets() -> None:
    """An error of a library is a JSON line like ours, scrubbed too; chatter and echoes are not."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["broken", "broken"]
    for line in lines:
        assert line.keys() == {"event", "level", "timestamp", "exception"}
        assert line["level"] == "error"
        assert "ValueError: [redacted] with [redacted], [redacted]" in line["exception"]


@on_both_databases
def test_an_error_of_the_database_does_not_tell_what_was_written(bench: Bench) -> None:
    """A refused statement may be logged: it names columns, and none of the values."""
    bench.customer()
    broken = text("INSERT INTO customers (id, email) VALUES (:id, :email)")
    with pytest.raises(DBAPIError) as refused, bench.core.database.write() as session:
        session.execute(broken, {"id": "cust_1", "email": "ada@example.com"})
    told = str(refused.value)
    assert "INSERT INTO customers" in told
    assert "hidden due to hide_parameters" in told
    assert "[parameters:" not in told
