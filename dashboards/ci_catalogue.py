"""The metrics of a pipeline's last run as dashboards need them: names, labels, and their caps.

`ci.metrics` emits them; a test holds both lists together, for neither folder imports the other.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES_MAX = 100
"""No metric of a pipeline has more series than this for one repository and class of branch."""

_LABELS: Mapping[str, tuple[str, ...]] = {
    "ci_run_success": (),
    "ci_run_timestamp_seconds": (),
    "ci_run_success_ratio": (),
    "ci_tests": ("suite", "result"),
    "ci_tests_expected": (),
    "ci_tests_collected": (),
    "ci_suite_duration_seconds": ("suite",),
    "ci_run_duration_seconds": (),
    "ci_partition_duration_seconds": ("partition",),
    "ci_coverage_ratio": ("scope",),
    "ci_flaky_tests": ("suite",),
    "ci_flaky_test_info": ("test", "first_seen"),
    "ci_slowest_test_seconds": ("rank", "test"),
    "ci_newly_slow_tests": (),
    "ci_migration_ok": ("database",),
    "ci_lint_findings": ("tool",),
    "ci_security_failures": ("group",),
    "ci_gate_ok": ("gate",),
    "ci_load_rate": (),
    "ci_load_latency_seconds": ("scenario", "quantile"),
    "ci_load_error_ratio": ("scenario",),
    "ci_load_dropped": ("scenario",),
    "ci_kill_ratio": ("group",),
}

CI_CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        name: Metric(name, "gauge", name, MappingProxyType(dict.fromkeys(labels, ())))
        for name, labels in _LABELS.items()
    }
)
"""Every metric of a pipeline; which values its labels have is the repository's own."""
