"""Makes the documents of loads, and the profile of a service that runs on its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from suites.load.measuring.result import Result
from suites.load.plan import Plan
from suites.load.report.writing import document
from suites.load.schedule import Stage
from tests.cli.command import REFERENCE

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = {"p50": 4.0, "p90": 8.0, "p95": 12.5, "p99": 40.0, "p999": 88.0, "max": 91.0, "count": 60}


def made(**facts: Any) -> dict[str, Any]:
    """Give the document of a load of three seconds that went well, but for what `facts` say."""
    extra = {name: facts.pop(name) for name in ("target", "capacity") if name in facts}
    told: dict[str, Any] = {
        "scenario": "usage",
        "run_id": "run1",
        "started_at": 1_790_000_000.0,
        "requested_rate": 20.0,
        "connections": 20,
        "scheduled": 60,
        "sent": 60,
        "completed": 60,
        "duration_s": 3.0,
        "latency_ms": FIGURES,
        "service_ms": FIGURES,
        "spectrum": [[0.0, 1.0], [50.0, 4.0], [90.0, 8.0], [99.0, 40.0], [100.0, 91.0]],
        "series": [
            {"t": t, "sent": 20, "completed": 20, "errors": 0, "dropped": 0}
            | {"p50": 4.0 + t, "p99": 40.0, "max": 91.0}
            for t in (0.0, 1.0, 2.0)
        ],
        "kinds": {
            "fix": {
                "count": 60,
                "errors": 0,
                "latency_ms": FIGURES,
                "service_ms": FIGURES,
                "spectrum": [[0.0, 1.0], [99.0, 40.0]],
            }
        },
        "workers": [{"index": 0, "state": "done", "scheduled": 60, "sent": 60, "cpu": 0.1}],
        "generator": {"cpu": 0.1, "start_lateness_ms_p99": 1.0},
        "thresholds": [{"expression": "latency_ms.p99<50", "value": 40.0, "passed": True}],
        "partial": False,
        "money": {"verdict": "valid", "reasons": [], "customers": 0, "findings": [], "checks": []},
    }
    plan = Plan("usage", (Stage(3.0, 20.0),), "nowhere", {"spec": "reference"}, 7)
    return document(Result(**(told | facts)), plan, **({"target": "reference"} | extra))


def breach(**more: Any) -> dict[str, Any]:
    """Give a finding of the money as a document tells it."""
    told = {
        "check": "charges_are_explained",
        "message": "charged again for usage u7 by ch_9",
        "said": "cus_42: charged again for usage u7 by ch_9 (29.00 USD)",
        "customer": "cus_42",
        "operation": "record_usage",
        "call": "load0-17",
        "amount_minor": 2900,
        "currency": "usd",
    }
    return told | more


def staging_profile(folder: Path) -> Path:
    """Write the profile of a reference that somebody else started and calls his staging."""
    text = re.sub(r"^stack = .*\n", "", REFERENCE.read_text(), flags=re.MULTILINE)
    text = text.replace('environment = "test"', 'environment = "staging"')
    path = folder / "staging.toml"
    path.write_text(text.replace('name = "reference"', 'name = "staging"'))
    return path
