"""The metrics of a billing service: a catalogue as data, and an instrument that fills it.

A service tells what happened (`BillingTelemetry.record`); which metrics move is decided here.
`dashboards` build panels and rules from the same catalogue. Every counter exists at 0 for each
combination of its labels from the start: one that is first seen at 4999 would show no increase, and
the sale would vanish from its panel.

Telemetry never breaks what it watches: a tag that is missing or not declared becomes `unknown` or
`other`, an amount that is none is left out and counted in `billing_telemetry_errors_total`.
Imports only prometheus-client and the standard library, so that a service can adopt it alone.
"""

from harness.metrics.catalogue import CATALOGUE, EFFECTS, Effect, Metric, catalogue
from harness.metrics.telemetry import BillingTelemetry, Readings

__all__ = [
    "CATALOGUE",
    "EFFECTS",
    "BillingTelemetry",
    "Effect",
    "Metric",
    "Readings",
    "catalogue",
]
