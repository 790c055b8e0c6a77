"""The panels of the nightly audit: what Stripe and the books say differently, and since when."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dashboards.observables.alerts import on_gauge
from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.queries import select
from dashboards.oracles import EXACT, Oracle, labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.facts import Facts, Moment
    from dashboards.objectives import Objectives
    from dashboards.observables.model import Alert
    from dashboards.oracles import Truth

_NONE_ALLOWED = (Threshold("green"), Threshold("yellow", 0.5), Threshold("red", 1))
_FINDINGS, _CENTS = "audit_findings", "audit_difference_cents"
_SUCCESS, _ENDED = "audit_success_timestamp_seconds", "audit_timestamp_seconds"


def audits(objectives: Objectives) -> Section:
    """Give the panels of the last audit."""
    return Section(
        "Stripe, against the books", (_findings(), _difference(), _age(objectives), _unread())
    )


def _audited(meaning: str, read: Callable[[Facts, Moment], Truth]) -> Oracle:
    return Oracle(read, EXACT, ("audit",), meaning)


def _findings() -> Observable:
    def truth(facts: Facts, _: Moment) -> Truth:
        found: Counter[tuple[tuple[str, str], ...]] = Counter()
        for (kind, _currency), count in facts.audit["counts"].items():
            found[labels(target=facts.audit["target"], kind=kind)] += count
        return found

    alert = on_gauge(
        *("AuditFoundDifference", _FINDINGS, f"max by (job, target, kind) ({_FINDINGS}) > 0"),
        bad="2+0x30",
        good="0+0x30",
        hold="1m",
        severity="critical",
        summary="Stripe and the books of {{ $labels.target }} differ",
        description="The last audit found {{ $value }} of {{ $labels.kind }}.",
        next_step="Run the audit again with --json and read who is out how much, by which charge;"
        " docs/SUPPORT_RUNBOOK.md says what to do for each kind.",
        truth=lambda facts, _: bool(facts.audit["counts"]),
        own=(("kind", "wrong_amount"),),
    )
    return Observable(
        "audit_findings",
        "Differences by kind",
        "Charges, payments, refunds and balances of which Stripe and the books say something else.",
        Panel("bargauge", "short", 12, _NONE_ALLOWED, no_value="no audit"),
        (
            Query(
                f"max by (target, kind) ({select(_FINDINGS)})",
                "{{target}} {{kind}}",
                _audited("differences that the audit listed, by kind", truth),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _difference() -> Observable:
    def truth(facts: Facts, _: Moment) -> Truth:
        found: Counter[tuple[tuple[str, str], ...]] = Counter()
        for (_kind, currency), cents in facts.audit["amounts"].items():
            found[labels(target=facts.audit["target"], currency=currency)] += cents
        return found

    query = f"sum by (target, currency) (max by (target, kind, currency) ({select(_CENTS)}))"
    return Observable(
        "audit_difference",
        "Money in doubt",
        "What the differences are about, all added up, in the currency's minor units.",
        Panel("stat", "short", 12, _NONE_ALLOWED, no_value="no audit"),
        (
            Query(
                query,
                "{{target}} {{currency}}",
                _audited("the amounts of the audit's findings, added up", truth),
            ),
        ),
        "The same as for a difference: the audit's JSON names each of them.",
        no_alert="Each difference alerts, however small.",
    )


def _stale(limit_s: float) -> Alert:
    stale = f"time() - max by (job, target) ({_SUCCESS}) > {limit_s:g}"
    return on_gauge(
        *("AuditStale", _SUCCESS, stale),
        bad="0+0x660",
        good=f"{7200}+0x660",
        hold="10m",
        severity="warning",
        summary="No audit of {{ $labels.target }} could read everything for long",
        description="The last whole audit is {{ $value | humanizeDuration }} old.",
        next_step="Does the nightly job still run? Its last lines say what could not be read: a"
        " key without a right, a database out of reach, a deadline too near.",
        truth=lambda facts, moment: moment.end_s - facts.audit["succeeded_at"] > limit_s,
        told="1d 3h 0m 0s",
        eval_time="27h",
    )


def _age(objectives: Objectives) -> Observable:
    def since(key: str) -> Callable[[Facts, Moment], Truth]:
        return lambda facts, moment: {
            labels(target=facts.audit["target"]): moment.end_s - facts.audit[key]
        }

    limit_s = objectives.stale_after_s
    alert = _stale(limit_s)
    return Observable(
        "audit_age",
        "Age of the last audit",
        "How long ago an audit ended, and how long ago one could last read everything.",
        Panel(
            "timeseries", "s", 12, (Threshold("green"), Threshold("red", limit_s)), no_value="none"
        ),
        (
            Query(
                f"time() - max by (target) ({select(_ENDED)})",
                "{{target}} last",
                _audited("now, less when the audit ended", since("at")),
            ),
            Query(
                f"time() - max by (target) ({select(_SUCCESS)})",
                "{{target}} last whole",
                _audited("now, less when an audit last read everything", since("succeeded_at")),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _unread() -> Observable:
    def truth(facts: Facts, _: Moment) -> Truth:
        return {labels(target=facts.audit["target"]): facts.audit["unread"]}

    return Observable(
        "audit_unread",
        "Parts that could not be read",
        "How much of the last audit is unknown: with anything here, nothing is proven.",
        Panel("stat", "short", 12, _NONE_ALLOWED, no_value="no audit"),
        (
            Query(
                f"max by (target) ({select('audit_unread')})",
                "{{target}}",
                _audited("the audit's parts that could not be read", truth),
            ),
        ),
        "Read the audit's last lines: each part is named with the reason.",
        no_alert="Where it lasts, the last whole audit grows old, and that alerts.",
    )
