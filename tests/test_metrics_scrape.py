"""What a scrape shows: gauges from the database, exemplars, several workers' sums."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from harness import metrics
from harness.metrics import CATALOGUE, BillingTelemetry
from tests.test_metrics import FULL, samples


@pytest.fixture
def telemetry() -> BillingTelemetry:
    """Give a telemetry of its own, with one watched customer."""
    return BillingTelemetry(watched=["cust_big"])


def gauges() -> dict[str, list[tuple[dict[str, object], float]]]:
    """Give readings as a service would, with a currency that is not declared."""
    return {
        "billing_ledger_cents": [
            ({"kind": "charge", "currency": "usd"}, 5800.0),
            ({"kind": "charge", "currency": "sek"}, 10.0),
            ({"kind": "charge", "currency": "nok"}, 5.0),
        ],
        "billing_webhook_backlog": [({}, 3.0)],
    }


def test_gauges_are_read_at_the_scrape_and_complete() -> None:
    """Each gauge shows each combination; what is not declared is summed, so totals stay whole."""
    found = samples(BillingTelemetry(gauges))
    ledger = {labels: v for (name, labels), v in found.items() if name == "billing_ledger_cents"}
    assert len(ledger) == CATALOGUE["billing_ledger_cents"].series_max
    assert ledger[(("currency", "other"), ("kind", "charge"))] == 15
    assert sum(ledger.values()) == 5815
    assert found[("billing_webhook_backlog", ())] == 3
    assert found[("billing_database_up", ())] == 1


def test_a_database_that_cannot_be_read_is_told_and_hides_nothing_else() -> None:
    """Without the database its gauges are absent rather than 0, and the counters still there."""

    def broken() -> Any:
        raise ConnectionError("gone")

    found = samples(BillingTelemetry(broken))
    assert found[("billing_database_up", ())] == 0
    assert ("billing_webhook_backlog", ()) not in found
    assert ("billing_invoices_total", (("status", "paid"),)) in found


def test_open_metrics_carry_the_customer_as_an_exemplar(telemetry: BillingTelemetry) -> None:
    """OpenMetrics comes where it is asked for, and names a customer; plain text never does."""
    telemetry.record("payment_processed", **FULL)
    body, content_type = telemetry.exposition("application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    exemplars = [
        sample.exemplar.labels
        for family in open_metrics(body.decode())  # type: ignore[no-untyped-call]  # untyped there
        for sample in family.samples
        if sample.exemplar
    ]
    assert {"customer": "cust_1"} in exemplars
    plain, plain_type = telemetry.exposition("text/html, */*")
    assert plain_type.startswith("text/plain")
    assert b"cust_1" not in plain


@pytest.mark.parametrize("customer", ["x" * 200, "a\nb", 'quote"', 7, None])
def test_an_odd_customer_is_no_exemplar(telemetry: BillingTelemetry, customer: object) -> None:
    """What cannot be an id is not shown, and the event still counts."""
    telemetry.record("invoice_paid", customer=customer)
    body, _ = telemetry.exposition("application/openmetrics-text")
    assert b'billing_invoices_total{status="paid"} 1.0\n' in body


WORKER = """
import json, sys
from harness.metrics import BillingTelemetry
telemetry = BillingTelemetry(lambda: {"billing_webhook_backlog": [({}, 3.0)]})
for _ in range(int(sys.argv[1])):
    telemetry.record("invoice_paid", amount_minor=59900, currency="usd", customer="cust_1")
print(json.dumps(telemetry.exposition(sys.argv[2])[0].decode()))
"""


def test_two_workers_show_one_sum(tmp_path: Path) -> None:
    """In multiprocess mode a scrape of either worker has both workers' counts, gauges once."""

    def worker(times: int, accept: str = "") -> str:
        ended = subprocess.run(
            [sys.executable, "-c", WORKER, str(times), accept],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        told: str = json.loads(ended.stdout)
        return told

    assert 'billing_invoices_total{status="paid"} 2.0\n' in worker(2)
    seen = worker(3)
    assert 'billing_invoices_total{status="paid"} 5.0\n' in seen
    assert 'billing_invoice_amount_dollars_count{currency="usd"} 5.0\n' in seen
    assert 'billing_invoices_total{status="failed"} 0.0\n' in seen
    assert seen.count("billing_webhook_backlog 3.0\n") == 1
    assert "cust_1" not in worker(1, "application/openmetrics-text")


def test_it_can_be_adopted_alone() -> None:
    """The module imports prometheus-client and the standard library, and itself."""
    folder = Path(metrics.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                root = name.partition(".")[0]
                is_own = name.startswith("harness.metrics")
                assert is_own or root == "prometheus_client" or root in sys.stdlib_module_names
