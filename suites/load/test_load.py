"""A short load of each kind on the run's own target: what only shows when much happens at once.

How quick a target is, these say nothing about: a machine that runs other tests as well measures
nothing. `billing-harness load` does, and `make nightly` at full size.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.judge import read_state
from suites.e2e.steps import sign_up
from suites.load.parent.loading import Silent
from suites.load.parent.running import load_on
from suites.load.parent.wish import Wish

if TYPE_CHECKING:
    from pathlib import Path

    from harness.ground import Ground
    from harness.session import Session

_MISSED = 99
_PATIENCE_MS = 60_000.0

pytestmark = [
    pytest.mark.requires("create_customer", provider=True),
    pytest.mark.skipif(
        importlib.util.find_spec("locust") is None or importlib.util.find_spec("hdrh") is None,
        reason="a load needs the extra: pip install 'billing-harness[load]'",
    ),
]


def _loaded(ground: Ground, folder: Path, scenario: str, **figures: Any) -> dict[str, Any]:
    """Load the run's target; fail over what is wrong, and raise `Unknown` over what is in doubt."""
    asked: dict[str, Any] = {
        "thresholds": ("errors.ratio<0.01", "dropped.count<1"),
        "judged": False,
        "generator_lateness_ms": _PATIENCE_MS,
        "connections": 8,
        **figures,
    }
    wish = Wish(scenario=scenario, target=ground.plan.spec, folder=folder, **asked)
    data = load_on(wish, Silent(), ground.plan)
    if data["verdict"] == "invalid":
        found = [finding["said"] for finding in data["money"]["findings"]]
        found += [finding["what"] for finding in data["findings"]]
        raise AssertionError("\n".join(found))
    missed = [told["expression"] for told in data["thresholds"] if told["passed"] is False]
    why = f"{', '.join(missed)}: {data['headline']}; {data['error_reasons']}"
    assert data["exit_status"] != _MISSED, why
    if data["exit_status"]:
        reasons = [*data["void_reasons"], *data["unknown_reasons"], *data["money"]["reasons"]]
        raise Unknown("; ".join(reasons))
    return data


def _needs_an_operator_who_reads(billing: Session) -> None:
    """Skip where only customers read their books: of those whom a load signs up, no key is kept."""
    customer = replace(sign_up(billing), credential=None)
    refused = [told for told in read_state(billing, customer).problems if "was refused" in told]
    if refused:
        pytest.skip(f"of sign-ups no key is kept, and the operator may not read: {refused[0]}")


@pytest.mark.requirement("BH-LOAD-SIGNUP", "BH-2", "BH-3")
def test_many_sign_ups_make_an_account_each(
    billing: Session,
    ground: Ground,
    tmp_path: Path,
) -> None:
    """Customers who sign up one upon the other all get their account, with what is due to it."""
    _needs_an_operator_who_reads(billing)
    data = _loaded(ground, tmp_path, "signup", rate=24.0, duration_s=1.2)
    assert data["measures"]["signup_success_rate"] == 1.0
    assert data["money"]["customers"] > data["completed"] / 2


@pytest.mark.requires("record_usage", "get_balance", "list_ledger")
@pytest.mark.requirement("BH-LOAD-USAGE", "BH-1", "BH-2", "BH-3")
def test_usage_under_load_counts_and_costs_once(
    billing: Session,  # noqa: ARG001 - the same
    ground: Ground,
    tmp_path: Path,
) -> None:
    """Usage of many customers at once, some of it told twice, is consumed and charged once each."""
    own = {"summaries": 0.2, "charges": 0.2, "repeats": 0.2}
    data = _loaded(ground, tmp_path, "usage", rate=30.0, duration_s=1.2, extra=own)
    assert data["counters"].get("told_again"), "nothing was told twice"


@pytest.mark.requires("receive_webhook", webhooks=True)
@pytest.mark.requirement("BH-LOAD-WEBHOOKS", "BH-5")
def test_webhooks_under_load_are_acknowledged(
    billing: Session,  # noqa: ARG001 - the same
    ground: Ground,
    tmp_path: Path,
) -> None:
    """Signed events one upon the other are all acknowledged, and forged ones all refused."""
    own = {"bad_signatures": 0.2}
    data = _loaded(ground, tmp_path, "webhooks", rate=40.0, duration_s=1.0, extra=own)
    assert data["counters"].get("bad_signatures_refused"), "nothing forged was sent"


@pytest.mark.nightly
@pytest.mark.requires("exchange_credentials")
@pytest.mark.requirement("BH-LOAD-CREDENTIALS")
def test_credentials_under_load_are_given(
    billing: Session,  # noqa: ARG001 - the same
    ground: Ground,
    tmp_path: Path,
) -> None:
    """Keys traded for short-lived credentials one upon the other are all honoured."""
    _loaded(ground, tmp_path, "credential-vending", rate=10.0, duration_s=3.0)


@pytest.mark.nightly
@pytest.mark.requires("get_balance")
@pytest.mark.requirement("BH-LOAD-LIMITS", "BH-9", "BH-10", "RFC 6585")
def test_a_key_beyond_its_allowance_is_refused(
    billing: Session,  # noqa: ARG001 - the same
    ground: Ground,
    tmp_path: Path,
) -> None:
    """What comes after the last request that the limit allows is refused, and told why."""
    if ground.target.profile.limits.get("api_per_hour") is None:
        pytest.skip("the profile states no limit api_per_hour")
    _loaded(ground, tmp_path, "rate-limit", scale=0.2, connections=1)


@pytest.mark.nightly
@pytest.mark.requires("add_payment_method", "subscribe", "get_balance", "advance_time")
@pytest.mark.requirement("BH-LOAD-RENEWAL", "BH-3", "BH-8")
def test_a_storm_of_renewals_is_paid_once(
    clock: object,  # noqa: ARG001 - time moves: nobody else runs meanwhile
    ground: Ground,
    tmp_path: Path,
) -> None:
    """Subscriptions that all renew in the same moment are paid once each, and get their units."""
    own = {"subscriptions": 20.0}
    data = _loaded(ground, tmp_path, "renewal-storm", duration_s=6.0, extra=own)
    assert data["measures"]["renewals"] == own["subscriptions"]
