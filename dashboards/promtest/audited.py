"""A nightly audit as facts, and the series that it leaves with a gateway.

`SAMPLES` are written by hand; a test finds them equal to what `harness.audit` makes of `AUDIT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.observables.alerts import AUDITED, selector
from dashboards.observables.model import Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.oracles import Labels

AUDIT: Mapping[str, Any] = {
    "target": "acme-production",
    "counts": {("charge_without_payment", "usd"): 2, ("wrong_amount", "usd"): 1},
    "amounts": {("charge_without_payment", "usd"): 5800, ("wrong_amount", "usd"): 400},
    "unread": 1,
    "at": 90_000.0,
    "succeeded_at": 3_600.0,
}
_FINDINGS = {"charge_without_payment": 2.0, "wrong_amount": 1.0}
_CENTS = {"charge_without_payment": 5800.0, "wrong_amount": 400.0}
_KINDS = (
    "charge_without_payment",
    "payment_without_charge",
    "wrong_amount",
    "wrong_currency",
    "missing_refund",
    "missing_reinstatement",
    "wrong_balance",
    "double_charge",
)

SAMPLES: tuple[tuple[str, Labels, float], ...] = (
    *(("audit_findings", (("kind", kind),), _FINDINGS.get(kind, 0.0)) for kind in _KINDS),
    *(
        ("audit_difference_cents", (("currency", "usd"), ("kind", kind)), _CENTS.get(kind, 0.0))
        for kind in _KINDS
    ),
    ("audit_unread", (), 1.0),
    ("audit_timestamp_seconds", (), 90_000.0),
    ("audit_success_timestamp_seconds", (), 3_600.0),
)


def told(steps: int) -> tuple[Series, ...]:
    """Give the samples as series that stay."""
    return tuple(
        Series(selector(name, (*AUDITED, *labels)), f"{value:.15g}+0x{steps}")
        for name, labels, value in SAMPLES
    )
