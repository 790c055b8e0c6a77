"""`dashboards prove`: what differs is told in money, and what cannot be run says the next step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from dashboards.facts import DAY_S, Fact, Facts, Moment
from dashboards.naming import OURS, Naming
from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.oracles import labels
from dashboards.proof import prove as proving
from dashboards.proof.clockwork import BEFORE_MARK_S, STEP_S, Snapshot
from dashboards.proof.judging import Shown, When, expanded, judge_alert, judge_query
from dashboards.proof.moments import judge_moments, virtual
from dashboards.proof.page import picture, render
from dashboards.proof.prometheus import Answer, Prometheus, backfill, prometheus
from dashboards.proof.prove import Course, Proof
from dashboards.proof.reading import Bounds
from dashboards.proof.telling import NEVER_SHOWN, lines
from harness.cli import build_app
from harness.errors import StackError
from harness.metrics import BillingTelemetry
from tests.dashboards.test_naming import ACME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dashboards.observables.model import Observable

BILLING = plans(Objectives())[0]
PANELS = {each.key: each for each in BILLING.observables}
ALERTS = {alert.name: alert for alert in BILLING.alerts}
NOW = 1_800_000_000
WHEN = When("now", Moment(NOW, DAY_S, 1200), NOW)
PAID = {"status": "succeeded", "currency": "usd", "customer": "other", "cause": "in_1"}


def answering(values: Mapping[Any, float], error: str | None = None) -> Callable[[str], Answer]:
    """Answer every query so."""
    return lambda _: Answer(values, error)


def paid(plan: str, minor: int) -> Fact:
    """Give a charge."""
    return Fact("payment_processed", NOW, {**PAID, "plan": plan, "amount_minor": minor})


def ask(key: str, facts: Facts, values: Mapping[Any, float], most: Facts | None = None) -> Shown:
    """Judge a panel's first query that shows these values."""
    each: Observable = PANELS[key]
    bounds = Bounds(facts, most or facts)
    return judge_query("billing", each, each.queries[0], bounds, WHEN, answering(values))


def test_a_difference_is_told_in_money() -> None:
    """Half the revenue is missing: panel, plan, and both sums in cents, and who tells the truth."""
    facts = Facts((paid("pro", 59900), paid("pro", 59900)))
    shown = ask("revenue_by_plan", facts, {labels(plan="pro", currency="usd"): 599.0})
    assert shown.differs == (
        "Revenue by plan, last 24 h, usd pro: the panel shows 59900 cents, the ledger 119800 cents",
    )


@pytest.mark.parametrize(
    ("values", "is_equal"),
    [
        ({labels(plan="pro", currency="usd"): 1198.0}, True),
        ({labels(plan="pro", currency="usd"): 1198.01}, False),
        ({labels(plan="payg", currency="usd"): 1198.0}, False),
        ({}, False),
        ({labels(plan="pro", currency="usd"): float("nan")}, False),
    ],
)
def test_money_is_equal_to_the_cent(values: Mapping[Any, float], is_equal: bool) -> None:  # noqa: FBT001 - a column
    """A cent too much, another plan, nothing, or no number at all are not the truth."""
    facts = Facts((paid("pro", 119_800),))
    assert ask("revenue_by_plan", facts, values).is_equal is is_equal


@pytest.mark.parametrize(
    ("shown_s", "is_equal"), [(0.3, True), (0.9, True), (0.15, False), (4, False)]
)
def test_a_duration_is_known_to_its_bounds(shown_s: float, is_equal: bool) -> None:  # noqa: FBT001 - a column
    """Between what the bank took and what the client waited, to a bucket, any value is right."""
    least, most = (Facts((Fact("payment_timed", NOW, {"duration_s": s}),)) for s in (0.25, 0.8))
    assert ask("payment_duration", least, {(): shown_s}, most).is_equal is is_equal


def test_a_query_that_is_refused_differs() -> None:
    """What Prometheus says of a query is what differs."""
    each = PANELS["payment_success"]
    wrong = answering({}, "parse error")
    shown = judge_query("billing", each, each.queries[0], Bounds(Facts(), Facts()), WHEN, wrong)
    assert shown.differs == ("parse error",)


def test_an_alert_that_is_silent_is_told() -> None:
    """An alert whose truth is that it must fire, and that does not, differs; and the other way."""
    stuck = Facts((Fact("webhook_stored", NOW - 900, {"settled_at": None}),))
    alert = ALERTS["BillingWebhookBacklogNotDraining"]
    silent = judge_alert("billing", alert, Bounds(stuck, stuck), WHEN, answering({}))
    assert silent.differs == ("BillingWebhookBacklogNotDraining is silent, and must fire",)
    wrong = judge_alert("billing", alert, Bounds(Facts(), Facts()), WHEN, answering({(): 900.0}))
    assert wrong.differs == ("BillingWebhookBacklogNotDraining fires, and must be silent",)


def test_recorded_series_are_put_in() -> None:
    """Of the past nothing was recorded, so an alert is asked with what the rules are made of."""
    assert "job:" not in expanded(ALERTS["BillingPaymentSuccessLow"].expr)


def recorded(telemetry: Callable[[], BillingTelemetry]) -> list[Snapshot]:
    """Give three snapshots of a service that sold a subscription and a fix in the second phase."""
    service = telemetry()
    found = [_seen(service, "nothing yet", NOW - DAY_S // 2)]
    service.record("payment_processed", **PAID, plan="pro", amount_minor=59900)
    service.record("customer_converted", stage="pro", source="direct")
    service.record("payment_processed", status="failed", failure_code="expired_card")
    found.append(_seen(service, "a sale", NOW - DAY_S // 4))
    return found


def _seen(service: BillingTelemetry, name: str, begins_s: int) -> Snapshot:
    begins_s = begins_s // STEP_S * STEP_S
    return Snapshot(name, begins_s, begins_s + STEP_S, 0.0, service.exposition()[0].decode())


@pytest.mark.program("prometheus")
@pytest.mark.program("promtool")
@pytest.mark.parametrize("naming", [OURS, ACME], ids=["ours", "an-owners"])
def test_recorded_metrics_are_proven_in_a_real_prometheus(tmp_path: Path, naming: Naming) -> None:
    """A recorded sale shows as it was; had it been two, the funnel would be told to differ.

    So it does where an owner calls every metric and some labels otherwise.
    """
    snapshots = recorded(BillingTelemetry)
    at_s = snapshots[1].mark_s - BEFORE_MARK_S
    facts = Facts(
        (
            Fact("customer_converted", at_s, {"stage": "pro", "source": "direct"}),
            Fact("payment_processed", at_s, {"status": "failed", "failure_code": "expired_card"}),
        )
    )
    twice = Facts((*facts.events, facts.events[0]))
    with virtual(tmp_path, snapshots, naming) as there:
        right = judge_moments(BILLING, Bounds(facts, facts), snapshots, there)
        wrong = judge_moments(BILLING, Bounds(twice, twice), snapshots, there)
    funnel = [s for s in right if s.key in {"conversion_funnel", "failed_payments"}]
    assert len(funnel) == 5
    assert [s.differs for s in funnel if not s.is_equal] == []
    assert all(naming.metric("billing_conversions_total") in s.expr for s in funnel[:4])
    told = {word for s in wrong if s.key == "conversion_funnel" for word in s.differs}
    assert told == {"Conversion funnel, 4 on pro: the panel shows 1, the ledger 2"}


def test_without_prometheus_the_next_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prove` is not able to run, exits with 2, and says what to install."""
    monkeypatch.setenv("PATH", "")
    told = CliRunner().invoke(build_app(), ["dashboards", "prove", "--seed", "7"])
    assert told.exit_code == 2
    with pytest.raises(StackError, match="not on the PATH") as refused:
        backfill_nothing()
    assert "apt-get install prometheus" in str(refused.value.hint)


def backfill_nothing() -> None:
    """Ask for blocks of nothing."""
    from pathlib import Path

    backfill(Path("nothing"), Path("nowhere"))


def test_a_prometheus_that_ends_at_once_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it said last is in the message."""
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\necho no space left\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with (
        pytest.raises(StackError, match="no space left"),
        prometheus(tmp_path, "data"),
    ):
        pytest.fail("it did not end")


def test_a_prometheus_that_is_gone_is_told() -> None:
    """Nobody answers: a message with a next step, and no value that passes for one."""
    with pytest.raises(StackError, match="did not answer") as refused:
        Prometheus("http://127.0.0.1:1").ask("1", NOW)
    assert refused.value.hint


def shown(*differs: str) -> Shown:
    """Give a query that shows 1."""
    values = {labels(plan="<pro>"): 1.0}
    told = ("billing", "revenue_by_plan", "Revenue", "{{plan}}", "sum(x) < 1", "now")
    return Shown(*told, values, values, differs)


@pytest.mark.parametrize(("differs", "status"), [((), 0), (("Revenue: 1, 2",), 1)])
def test_prove_tells_writes_and_exits(
    differs: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line a panel, a page, the facts as JSON, and 0 or 1."""
    proof = Proof(7, NOW, 2.0, (shown(*differs),))
    monkeypatch.setattr(proving, "prove", lambda *_: proof)
    page, facts = tmp_path / "new" / "p.html", tmp_path / "p.json"
    words = ["--seed", "7", "--page", str(page), "--json", str(facts)]
    told = CliRunner().invoke(build_app(), ["dashboards", "prove", *words])
    assert told.exit_code == status, told.output
    assert next(iter(lines(proof))) in told.output
    assert json.loads(facts.read_text())["shown"][0]["differs"] == list(differs)
    assert "sum(x) &lt; 1" in page.read_text()
    assert "&lt;pro&gt;" in page.read_text()


def test_the_page_opens_offline() -> None:
    """Nothing is fetched and no script runs; a chart is drawn of what has points."""
    text = render(
        Proof(7, NOW, 2.0, (shown(),), {"revenue_by_plan": (Course("a", ((1, 2), (3, 4))),)})
    )
    assert "<svg" in text
    assert "<script" not in text
    assert "http" not in text
    assert picture([Course("none", ()), Course("nan", ((1.0, float("nan")),))]) == []


@pytest.mark.nightly
@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-pushgateway")
def test_everything_is_proven(tmp_path: Path) -> None:
    """The whole proof: each panel and alert equals the truth, and shows something, once at least.

    What cannot is listed with its reason.
    """
    facts = tmp_path / "proof.json"
    words = ["--seed", "7", "--page", str(tmp_path / "p.html"), "--json", str(facts)]
    told = CliRunner().invoke(build_app(), ["dashboards", "prove", *words])
    assert told.exit_code == 0, told.output
    found = json.loads(facts.read_text())["shown"]
    asked = {(each["dashboard"], each["panel"]) for each in found}
    for plan in plans(Objectives()):
        wanted = {each.key for each in plan.observables} | {a.name for a in plan.alerts}
        assert {(plan.name, key) for key in wanted} <= asked
    shown = {
        (each["dashboard"], each["panel"], each["legend"])
        for each in found
        if any(truth["value"] for truth in each["truth"])
    }
    every = {(each["dashboard"], each["panel"], each["legend"]) for each in found}
    assert {panel for _, panel, _ in every - shown} == NEVER_SHOWN.keys()
