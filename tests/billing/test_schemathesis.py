"""Schemathesis against the running service: every check, every operation, and nothing found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.billing.running import (
    CONTROL_TOKEN,
    OPERATOR_KEY,
    WEBHOOK_SECRET,
    running_service,
    running_simulator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.billing.databases import Databases
    from tests.billing.running import Service

METRICS_TOKEN = "metrics-token-of-the-tests"
SEED = "20260101"
FRESH = 12
# A refusal by the domain is a good answer to a good request; one by the schema is held against us
# by the check of our own.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "402", "403", "404", "409", "422"]
"""


@dataclass
class Prepared:
    """A service with customers for the fuzzer, and the secrets that it is told."""

    service: Service
    secrets: dict[str, str]
    folder: Path

    def fuzz(self, *options: str) -> dict[str, dict[str, int]]:
        """Run Schemathesis; hold that it found nothing; give each operation's statuses."""
        config, report = self.folder / "schemathesis.toml", self.folder / "statuses.json"
        config.write_text(CONFIG)
        command = ["-m", "schemathesis.cli", "--config-file", str(config), "run"]
        # Test controls are no part of the API: they can stop the clock and the process.
        found = ["--checks", "all", "--seed", SEED, "--exclude-tag", "test controls", *options]
        ended = subprocess.run(
            [sys.executable, *command, f"{self.service.url}/openapi.json", *found],
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.billing.fuzzing",
                "FUZZ": json.dumps(self.secrets),
                "FUZZ_REPORT": str(report),
                "COLUMNS": "120",
            },
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
        statuses: dict[str, dict[str, int]] = json.loads(report.read_text())
        return statuses


@pytest.fixture
def prepared(tmp_path: Path, databases: Databases) -> Iterator[Prepared]:
    """Run a service whose limits are out of the fuzzer's reach, alone on its Stripe account."""
    with (
        running_simulator(tmp_path) as simulator,
        running_service(
            tmp_path,
            simulator,
            database_url=databases.fresh(tmp_path),
            metrics_token=METRICS_TOKEN,
            limit_requests="10000000",
            limit_operator_requests="10000000",
            limit_unverified_webhooks="10000000",
            limit_verified_webhooks="10000000",
        ) as service,
        service.operator as operator,
    ):
        customer = sign_up(operator, "fuzzed")
        # Without credits each fix is charged, and a charge can be refunded.
        url = f"/api/v1/operator/customers/{customer['customer_id']}/adjustments"
        operator.post(url, json={"units": -10, "reason": "to be charged"}).raise_for_status()
        fresh = [sign_up(operator, f"fresh-{number}")["customer_id"] for number in range(FRESH)]
        secrets = {
            "customer": customer["api_key"],
            "fresh": " ".join(fresh),
            "operator": OPERATOR_KEY,
            "control": CONTROL_TOKEN,
            "metrics": METRICS_TOKEN,
            "webhook": WEBHOOK_SECRET,
        }
        yield Prepared(service, secrets, tmp_path)


def sign_up(http: httpx.Client, name: str) -> dict[str, str]:
    """Make a customer with a card."""
    body = {"email": f"{name}@example.com"}
    made: dict[str, str] = http.post("/api/v1/customers/onboard", json=body).json()
    card = {"payment_method": "pm_card_visa", "billing_consent": True}
    url = f"/api/v1/customers/{made['customer_id']}/payment-methods"
    http.post(url, json=card).raise_for_status()
    return made


def assert_all_reached(prepared: Prepared, statuses: dict[str, dict[str, int]]) -> None:
    """Hold that each operation had a success, none had a 5xx of ours, and nothing was unhandled."""
    unreached = [
        name for name, found in statuses.items() if not any(code.startswith("2") for code in found)
    ]
    assert not unreached
    with prepared.service.client() as http:
        document = http.get("/openapi.json").json()
    documented = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if not path.startswith("/test/")
    }
    assert set(statuses) == documented
    assert not [name for name, found in statuses.items() if "500" in found]
    logs = "".join(child.log.read_text() for child in prepared.service.children)
    assert '"level": "error"' not in logs


@pytest.mark.nightly
def test_a_seeded_run_finds_nothing(prepared: Prepared) -> None:
    """All checks over examples, random requests and linked ones: nothing, and all is reached."""
    statuses = prepared.fuzz("--phases", "examples,fuzzing,stateful", "--max-examples", "5")
    assert_all_reached(prepared, statuses)


@pytest.mark.nightly
def test_a_long_run_finds_nothing(prepared: Prepared) -> None:
    """The same with every phase and many more requests."""
    statuses = prepared.fuzz("--max-examples", "80")
    assert_all_reached(prepared, statuses)
