"""A reset of the reference service, over its API and from inside: the same ten, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData, select
from typer.testing import CliRunner

from harness.cli import build_app
from harness.customers import load_states
from tests.billing.databases import databases
from tests.billing.running import CONTROL_TOKEN, OPERATOR_KEY, running_service, running_simulator
from tests.billing.test_process import run
from tests.stack.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.running import Service

TEN = list(load_states())
PROGRAM = Path(sys.executable).with_name("billing-harness")
# Ten customers and a month of time take seconds alone, and minutes on a machine full of work.
_END_S = 300.0


@pytest.fixture(
    scope="module",
    # by day tests/staging/test_states.py holds the same of a target within the process
    params=[pytest.param(kind, marks=pytest.mark.nightly) for kind in ("sqlite", "postgres")],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run the reference and a Stripe simulator beside it."""
    folder = tmp_path_factory.mktemp("staging")
    with (
        databases(request.param, tmp_path_factory.mktemp(request.param)) as made,
        running_simulator(folder) as simulator,
        running_service(
            folder, simulator, database_url=made.fresh(folder), environment="staging"
        ) as found,
    ):
        yield found


@pytest.fixture
def variables(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give the variables by which the reference's profile finds it, and set them."""
    told = {
        "STACK_BILLING_URL": service.url,
        "STACK_STRIPE_URL": service.simulator.url,
        "STACK_OPERATOR_KEY": OPERATOR_KEY,
        "STACK_TEST_CONTROL_TOKEN": CONTROL_TOKEN,
        "STACK_METRICS_TOKEN": "none",
        "STACK_LOG_DIR": str(tmp_path),
        "STACK_MAIL_DIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told


def staging(*arguments: str) -> tuple[int, Any]:
    """Run `staging … --json` in this process; give status and facts."""
    ended = CliRunner().invoke(build_app(), ["staging", *arguments, "--json"])
    assert "Traceback" not in ended.stderr
    return ended.exit_code, json.loads(ended.stdout)


def is_as_due() -> bool:
    """Whether all ten stand as they should, as a reader of the API sees them."""
    status, facts = staging("status")
    assert "states" in facts, facts
    assert {each["standing"] for each in facts["states"].values()} == {"as due"}, facts
    return status == 0


def somebody(service: Service, email: str) -> str:
    """Make a customer who pays, has used and is subscribed; give the id."""
    with service.client() as http:
        reply = http.post("/api/v1/customers/onboard", json={"email": email}).json()
        http.headers["X-API-Key"] = reply["api_key"]
        path = f"/api/v1/customers/{reply['customer_id']}"
        card = {"payment_method": "pm_card_visa", "billing_consent": True}
        http.post(f"{path}/payment-methods", json=card).raise_for_status()
        http.post("/api/v1/billing/track_fix", json={"fix_id": "one"}).raise_for_status()
        http.post(f"{path}/subscription", json={"plan": "pro"}).raise_for_status()
    service.drain()
    return str(reply["customer_id"])


def rows(service: Service, customer: str) -> list[str]:
    """Give every row of every table that names a customer."""
    tables = MetaData()
    with service.database() as connection:
        tables.reflect(connection)
        found = [str(row) for t in tables.sorted_tables for row in connection.execute(select(t))]
    return sorted(row for row in found if customer in row)


def test_two_resets_come_to_the_same_ten_and_touch_nobody_else(
    service: Service, variables: dict[str, str]
) -> None:
    """The other customer keeps every row, though two of the ten have lived through a month."""
    other = somebody(service, f"ada-{os.getpid()}@acme.dev")
    before = rows(service, other)
    assert len(before) > 5
    created = {"created": 10, "fixture_types": TEN}
    first, again = staging("reset"), staging("reset")
    assert first[0] == again[0] == 0, (first, again)
    assert first[1].items() >= created.items()
    assert again[1] == {"deleted": 10, **created}
    assert is_as_due()
    service.drain()
    assert rows(service, other) == before
    assert Path(variables["STACK_LOG_DIR"], "staging.json").stat().st_mode & 0o077 == 0


@pytest.mark.nightly
def test_from_inside_and_by_api_it_is_the_same_ten(
    service: Service, variables: dict[str, str]
) -> None:
    """What the service's own command makes, the other reads as due, keeps, and makes again."""
    inside = service.env | {"BILLING_TEST_CONTROL_TOKEN": ""}
    ended = run("reset-staging", inside, _END_S)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["fixture_types"] == TEN
    assert is_as_due()
    assert staging("seed") == (0, {"deleted": 0, "created": 0, "fixture_types": [], "kept": TEN})
    status, facts = staging("reset")
    assert (status, facts["deleted"], facts["created"]) == (0, 10, 10)
    ended = run("reset-staging", inside, _END_S)
    assert json.loads(ended.stdout) == {"deleted": 10, "created": 10, "fixture_types": TEN}
    assert is_as_due()
    assert variables


@pytest.mark.nightly
def test_interrupted_and_run_again_it_is_the_same_ten(
    service: Service, variables: dict[str, str]
) -> None:
    """Ctrl-C in the middle ends with 130 and says how far it came; the next reset comes to all."""
    record = Path(variables["STACK_LOG_DIR"], "staging.json")
    assert staging("reset")[0] == 0
    process = subprocess.Popen(
        [PROGRAM, "staging", "reset"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def is_half_way() -> bool:
        # While the old ones are removed the last is another, and the last to be made comes later.
        states = [each["state"] for each in json.loads(record.read_text("utf-8"))["customers"]]
        return process.poll() is not None or states[-1:] == ["pro_active"]

    assert eventually(is_half_way, _END_S)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=_END_S)
    assert process.returncode == 130, said
    assert "so far: " in said
    status, facts = staging("status")
    assert (status, facts["cut_off"]) == (1, "reset")
    assert "missing" in {each["standing"] for each in facts["states"].values()}
    assert staging("reset")[1]["created"] == 10
    assert is_as_due()
    assert service.url
