"""What whoever is on call looks at beside the ten panels: money that must agree, and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.levels import (
    duplicate_charges,
    level,
    reconciliation_difference_cents,
    webhook_oldest_age_seconds,
)
from dashboards.observables.alerts import BILLING, on_gauge
from dashboards.observables.model import Alert, Observable, Panel, Query, Section, Threshold
from dashboards.observables.queries import increase, quantile_of, rate, reading, select
from dashboards.observables.vocabulary import CURRENCIES, WEBHOOK_EDGE_S, edges, values
from dashboards.oracles import EXACT, NOBODY, Oracle, counted, per_second, quantile, share

if TYPE_CHECKING:
    from dashboards.facts import Facts, Moment
    from dashboards.objectives import Objectives

_NONE_ALLOWED = (Threshold("green"), Threshold("yellow", 0.5), Threshold("red", 1))
_BOOKS = "billing_reconciliation_difference_cents"
_TWICE = "billing_duplicate_charges"
_AGE = "billing_webhook_oldest_age_seconds"


def money() -> Section:
    """Give the panels of what must agree to the cent."""
    return Section("Money that must agree", (_difference(), _duplicates(), _database(), _ledger()))


def _difference() -> Observable:
    query = f"max (abs({select(_BOOKS)}))"
    oracle = Oracle(
        lambda facts, moment: {
            key: abs(cents)
            for key, cents in reconciliation_difference_cents(facts, moment.end_s).items()
        },
        EXACT,
        ("usage_tracked", "invoice_paid", "payment_processed"),
        "what fixes and invoices say was paid, less the charges in the books, without its sign",
    )

    def differs(facts: Facts, moment: Moment) -> bool:
        return any(reconciliation_difference_cents(facts, moment.end_s).values())

    alert = on_gauge(
        *("BillingLedgerDiffers", _BOOKS, f"max by (job) (abs({_BOOKS})) > 0"),
        bad="-700+0x30",
        good="0+0x30",
        hold="5m",
        severity="critical",
        summary="The ledger and what was paid differ",
        description="{{ $value }} cents were paid that the books do not have, or the other way.",
        next_step="List the provider's charges since it began and the ledger's payments, match them"
        " by the provider's id, and find the one that has no fellow. Until it is explained, refund"
        " nothing by hand.",
        truth=differs,
        shown=BILLING,
        told="700",
    )
    return Observable(
        "ledger_difference",
        "Paid, against the books",
        "What fixes and invoices say was paid, less the charges in the books, in cents of all"
        " currencies; anything but 0 is money that is lost or was taken wrongly.",
        Panel("stat", "short", 8, _NONE_ALLOWED, no_value="cannot be read"),
        (Query(query, "cents", oracle),),
        alert.next_step,
        alerts=(alert,),
    )


def _duplicates() -> Observable:
    def is_double(facts: Facts, moment: Moment) -> bool:
        return any(duplicate_charges(facts, moment.end_s).values())

    alert = on_gauge(
        *("BillingDoubleCharge", _TWICE, f"max by (job) ({_TWICE}) > 0"),
        bad="1+0x30",
        good="0+0x30",
        hold="1m",
        severity="critical",
        summary="A customer was charged twice",
        description="{{ $value }} charges were made beyond the first for one fix.",
        next_step="Find payments of one customer with one cause in the ledger, refund the later"
        " ones at the provider, then look for the retry that took a new idempotency key.",
        truth=is_double,
        shown=BILLING,
    )
    return Observable(
        "duplicate_charges",
        "Double charges",
        "Charges beyond the first for one fix of one customer, in the books or seen by the"
        " reconciler.",
        Panel("stat", "short", 8, _NONE_ALLOWED, no_value="cannot be read"),
        (Query(reading(_TWICE), "double charges", level(_TWICE)),),
        alert.next_step,
        alerts=(alert,),
    )


def _database() -> Observable:
    up = "billing_database_up"
    alert = on_gauge(
        *("BillingBooksUnreadable", up, f"min by (job) ({up}) < 1 or absent({up})"),
        bad="0+0x30",
        good="1+0x30",
        hold="5m",
        severity="critical",
        summary="The gauges of money cannot be read",
        description="Alerts on ledger, double charges and webhooks are blind: {{ $value }}.",
        next_step="Is the service scraped at all (`up`)? Then look for the database in its log. The"
        " other alerts on money are silent until this one is.",
        truth=lambda facts, _: not facts.events,
        shown=BILLING,
    )
    return Observable(
        "database_up",
        "Books can be read",
        "Whether each instance could read its gauges from the database at the last scrape.",
        Panel(
            "stat",
            "bool_yes_no",
            8,
            (Threshold("red"), Threshold("yellow", 0.5), Threshold("green", 1)),
            no_value="not scraped",
        ),
        (Query(f"min ({select(up)})", "readable", level(up)),),
        alert.next_step,
        alerts=(alert,),
    )


def _ledger() -> Observable:
    name = "billing_ledger_cents"
    by = {"kind": values(name, "kind"), "currency": CURRENCIES}
    owed = "billing_credits_outstanding"
    return Observable(
        "ledger_totals",
        "The ledger's totals",
        "Everything ever charged, refunded and disputed, in the currency's minor units, and the"
        " credits that customers have left.",
        Panel("timeseries", "short", 24),
        (
            Query(reading(name, "kind, currency"), "{{kind}} {{currency}}", level(name, by)),
            Query(reading(owed), "credits outstanding", level(owed)),
        ),
        "A total that falls where nothing was refunded: the ledger only ever grows, so restore.",
        no_alert="The difference between these and what was paid alerts.",
    )


def webhooks(objectives: Objectives) -> Section:
    """Give the panels of the provider's events."""
    return Section("Webhooks", (_backlog(objectives), _events(), _failed(), _processing()))


def _draining(objectives: Objectives) -> Alert:
    limit_s = objectives.webhook_age_s

    def is_stuck(facts: Facts, moment: Moment) -> bool:
        return webhook_oldest_age_seconds(facts, moment.end_s)[NOBODY] > limit_s

    return on_gauge(
        *("BillingWebhookBacklogNotDraining", _AGE, f"max by (job) ({_AGE}) > {limit_s:g}"),
        bad=f"{limit_s + 300:g}+0x30",
        good=f"{limit_s - 1:g}+0x30",
        hold="5m",
        severity="critical",
        summary="Webhooks wait for their effect",
        description="The oldest event has waited for {{ $value }} seconds.",
        next_step="Are the workers alive? If so, find the event at the head of the queue: one that"
        " always fails holds back what waits for it. Payments already taken are not lost.",
        truth=is_stuck,
        shown=BILLING,
    )


def _backlog(objectives: Objectives) -> Observable:
    alert = _draining(objectives)
    held = "billing_webhook_backlog"
    return Observable(
        "webhook_backlog",
        "Webhooks still owed their effect",
        "How many of the provider's events are stored without having had their effect, and for"
        " how long the oldest has waited, in seconds.",
        Panel("timeseries", "short"),
        (
            Query(reading(held), "events", level(held)),
            Query(f"max ({select(_AGE)})", "age of the oldest, s", level(_AGE)),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _events() -> Observable:
    name = "billing_webhook_events_total"
    results = {"result": values(name, "result")}
    return Observable(
        "webhook_events",
        "Webhooks by what became of them",
        "Events of the provider per second, by what the service made of them.",
        Panel("timeseries", "ops"),
        (Query(rate(name, "result"), "{{result}}", per_second("webhook_handled", results)),),
        "invalid_signature in number: the endpoint's secret was changed, or somebody forges.",
        no_alert="What matters is whether events wait for long, and that alerts.",
    )


def _failed() -> Observable:
    name = "billing_webhook_events_total"
    tried = ("processed", "failed")
    query = (
        f"{increase(name, result='failed')} / ({increase(name, result='~processed|failed')} > 0)"
    )
    return Observable(
        "webhook_failures",
        "Webhooks that failed",
        "The share of events that failed when they were given their effect; they are tried again.",
        Panel(
            "stat",
            "percentunit",
            thresholds=(Threshold("green"), Threshold("yellow", 0.01), Threshold("red", 0.05)),
            minimum=0,
            maximum=1,
            decimals=2,
            no_value="no events",
        ),
        (
            Query(
                query,
                "failed",
                share(
                    counted("webhook_handled", where={"result": ("failed",)}),
                    counted("webhook_handled", where={"result": tried}),
                ),
            ),
        ),
        "Find the type that fails in the log, and replay one such event on a laptop.",
        no_alert="A failed event is tried again; one that never succeeds makes the backlog alert.",
    )


def _processing() -> Observable:
    name = "billing_webhook_processing_duration_seconds"
    return Observable(
        "webhook_processing",
        "Webhook processing, p95",
        "The time within which 95 of 100 events had their effect; the objective is"
        f" {WEBHOOK_EDGE_S:g} s.",
        Panel("timeseries", "s", 24),
        (
            Query(
                quantile_of(0.95, name),
                "p95",
                quantile(0.95, "webhook_handled", "duration_s", edges(name)),
            ),
        ),
        "Slow but draining is no emergency: look at the database's load.",
        no_alert="Nobody waits for a webhook; that it happens at all is what alerts.",
    )
