"""Sign-ups, renewals, amounts, and what watched customers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.queries import increase, quantile_of, rate
from dashboards.observables.vocabulary import BY_PLAN, BY_PLAN_CURRENCY, edges, values
from dashboards.oracles import EXACT, STRETCHED, Oracle, counted, per_second, quantile

if TYPE_CHECKING:
    from dashboards.facts import Facts, Moment
    from dashboards.oracles import Labels, Truth, Values

_SUCCEEDED = {"status": ("succeeded",)}


def flows() -> Section:
    """Give the panels of sign-ups, renewals and amounts."""
    return Section("Sign-ups, renewals and amounts", (*_signups(), *_invoices(), *_amounts()))


def _signups() -> tuple[Observable, ...]:
    name, took = "billing_onboardings_total", "billing_onboarding_duration_seconds"
    by = {
        "source": values(name, "source")[:2],
        "result": values(name, "result")[:-1],
    }
    return (
        Observable(
            "onboardings",
            "Sign-ups by source",
            "Sign-ups per second, direct and from the marketplace, by what became of them.",
            Panel("timeseries", "ops", 8),
            (
                Query(
                    rate(name, "source, result", source="!unknown", result="!unknown"),
                    "{{source}} {{result}}",
                    per_second("customer_onboarded", by),
                ),
            ),
            "unavailable: the provider could not be reached. refused in number: look for a robot.",
            no_alert="Sign-ups are too seldom to tell silence from a fault.",
        ),
        Observable(
            "onboarding_duration",
            "Signing up, p95",
            "The time within which 95 of 100 sign-ups ended, the provider's answer included.",
            Panel("timeseries", "s", 8),
            (
                Query(
                    quantile_of(0.95, took),
                    "p95",
                    quantile(0.95, "customer_onboarded", "duration_s", edges(took)),
                ),
            ),
            "The provider's status page; a sign-up waits for it once.",
            no_alert="A slow sign-up is a daytime matter.",
        ),
        _subscribing(),
    )


def _subscribing() -> Observable:
    took = "billing_subscription_creation_duration_seconds"
    return Observable(
        "subscribing_duration",
        "Subscribing, p95",
        "The time within which 95 of 100 subscriptions were placed at the provider, well or not.",
        Panel("timeseries", "s", 8),
        (
            Query(
                quantile_of(0.95, took),
                "p95",
                quantile(0.95, "subscription_timed", "duration_s", edges(took)),
            ),
        ),
        "Compare with payment duration: both slow is the provider, one alone is ours.",
        no_alert="A slow answer is a daytime matter.",
    )


def _invoices() -> tuple[Observable, ...]:
    paid, failed = (
        counted("invoice_paid"),
        counted("invoice_failed"),
    )
    name = "billing_invoices_total"
    return (
        Observable(
            "invoices",
            "Invoices paid and failed",
            "Invoices that were settled, and notices of failed payment, in the chosen time.",
            Panel("bargauge", "short", 12, (Threshold("blue"),)),
            (
                Query(f"round({increase(name, status='paid')})", "paid", paid),
                Query(f"round({increase(name, status='failed')})", "failed", failed),
            ),
            "More failed than usual on a day: cards that expire at the month's end, or declines.",
            no_alert="Failed payments are watched as payments.",
        ),
        Observable(
            "renewals",
            "Renewals by plan",
            "Renewals that were paid, in the chosen time.",
            Panel("bargauge", "short", 12, (Threshold("blue"),)),
            (
                Query(
                    f"round({increase('billing_subscriptions_renewed_total', 'plan')})",
                    "{{plan}}",
                    counted("subscription_renewed", BY_PLAN),
                ),
            ),
            "None on a day on which periods end: does the provider's invoice.paid arrive?",
            no_alert="A renewal that is paid and not booked shows in the ledger's difference.",
        ),
    )


def _amounts() -> tuple[Observable, ...]:
    money: tuple[tuple[str, str, str, Values], ...] = (
        ("payment", "payment_processed", "Payments", {**_SUCCEEDED}),
        ("subscription", "first_invoice_paid", "First invoices", {}),
        ("invoice", "invoice_paid", "Paid invoices", {}),
    )
    return (
        *(_amount(kind, event, title, where) for kind, event, title, where in money),
        _units("usage_quantity", "Units in one record of usage", ("usage_tracked", "quantity")),
        _units("credits_amount", "Credits in one grant", ("credits_added", "units")),
        _gross(),
        *_told(),
    )


def _amount(kind: str, event: str, title: str, where: Values) -> Observable:
    name = f"billing_{kind}_amount_dollars"
    oracle = quantile(
        *(0.5, event, "amount_minor", edges(name)),
        scale=0.01,
        where={**where, "currency": ("usd",)},
    )
    return Observable(
        f"{kind}_amount",
        f"{title}, median in dollars",
        f"The amount that half of them do not exceed, of those in dollars ({title.lower()}).",
        Panel("timeseries", "currencyUSD", 8),
        (Query(quantile_of(0.5, name, currency="usd"), "median", oracle),),
        "A jump in what a thing costs: prices changed, or amounts are in the wrong unit.",
        no_alert="Which sums are right, the ledger says.",
    )


def _units(metric: str, title: str, read: tuple[str, str]) -> Observable:
    name = f"billing_{metric}"
    event, amount = read
    return Observable(
        metric,
        f"{title}, p95",
        f"{title}: the amount that 95 of 100 do not exceed.",
        Panel("timeseries", "short", 12),
        (Query(quantile_of(0.95, name), "p95", quantile(0.95, event, amount, edges(name))),),
        "Far more than usual: somebody sends sums where single units are meant.",
        no_alert="What it costs is watched where it is charged.",
    )


def _gross() -> Observable:
    name = "billing_revenue_cents_total"
    oracle = per_second(
        "payment_processed", BY_PLAN_CURRENCY, amount="amount_minor", scale=0.01, where=_SUCCEEDED
    )
    return Observable(
        "gross_rate",
        "Money charged, per second",
        "Charges as they are made, gross, in major units; a shape, while sums are the ledger's.",
        Panel("timeseries", "short", 12),
        (Query(f"{rate(name, 'plan, currency')} / 100", "{{plan}} {{currency}}", oracle),),
        "Flat at 0 while payments succeed: the metric was renamed or its label has changed.",
        no_alert="Sums come from the ledger.",
    )


def _told() -> tuple[Observable, ...]:
    name = "billing_telemetry_errors_total"
    return (
        Observable(
            "telemetry_errors",
            "Events that made no sense",
            "Events or amounts that the telemetry could not count, in the chosen time.",
            Panel(
                *("stat", "short", 12),
                thresholds=(Threshold("green"), Threshold("yellow", 1), Threshold("red", 10)),
            ),
            (Query(f"round({increase(name)})", "errors", _nothing()),),
            "Which event? A service that was changed tells of it in other fields than declared.",
            no_alert="Panels that lack an event are a daytime matter; money has its own alerts.",
        ),
    )


def _nothing() -> Oracle:
    def none(_: Facts, __: Moment) -> dict[Labels, float]:
        return {(): 0.0}

    return Oracle(none, EXACT, (), "0: a right service tells nothing that makes no sense")


def watched() -> Section:
    """Give the panels of watched customers; everyone else is `other`, so that sums stay whole."""
    told: tuple[tuple[str, str, str | None, Values], ...] = (
        ("fixes", "usage_tracked", None, {}),
        ("payments", "payment_processed", None, {}),
        ("revenue_cents", "payment_processed", "amount_minor", _SUCCEEDED),
    )
    return Section("Watched customers", tuple(_watched(*each) for each in told))


def _watched(kind: str, event: str, amount: str | None, where: Values) -> Observable:
    name = f"billing_watched_{kind}_total"
    title = kind.replace("_", " in ")
    return Observable(
        f"watched_{kind}",
        f"Watched customers: {title}",
        f"{title.capitalize()} in the chosen time, of each customer who is watched and of all"
        " others together.",
        Panel("table", "short", 8),
        (
            Query(
                f"sort_desc(round({increase(name, 'customer')}))",
                "{{customer}}",
                _by_customer(event, amount, where),
            ),
        ),
        "One customer alone who fell to 0: ask them before they ask.",
        no_alert="What a single customer does is their own affair.",
    )


def _by_customer(event: str, amount: str | None, where: Values) -> Oracle:
    """Count by customer; whoever is not watched is `other`, as facts name them."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        customers = {str(f.fields.get("customer", "other")) for f in facts.of(event)}
        by = {"customer": tuple(sorted(customers))}
        return counted(event, by, amount=amount, where=where).truth(facts, moment)

    what = f"{amount} of" if amount else "number of"
    return Oracle(truth, STRETCHED, (event,), f"{what} `{event}` by customer in the window")
