"""Where `prove` reads each kind of fact from: SQL on the ledger, or another record."""
# ruff: noqa: S608 - every query is made of constants of this file

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """Where `prove` reads facts of an event from: SQL on the ledger, or another record."""

    event: str
    record: Literal["ledger", "journal", "bank", "history", "log"]
    query: str


_WHO = "CASE c.source WHEN 'gh_marketplace' THEN 'marketplace' ELSE 'self_serve' END"
_JOIN = "JOIN customers c ON c.id = r.customer_id"

SOURCES: tuple[Source, ...] = (
    Source(
        "payment_processed",
        "ledger",
        "SELECT r.created_at AS at_s, CASE r.kind WHEN 'charge' THEN 'succeeded' WHEN 'refund'"
        " THEN 'refunded' ELSE 'disputed' END AS status, 'card' AS payment_method,"
        " ABS(r.amount_minor) AS amount_minor, r.currency, r.plan, r.customer_id AS customer,"
        f" r.cause, {_WHO} AS customer_segment FROM payments r {_JOIN}",
    ),
    Source("payment_processed", "bank", "its noes to requests that charge: failure_code"),
    Source("charged_again", "journal", "charges beyond the first for one fix"),
    Source("payment_timed", "history", "calls that charge, and what the bank took: duration_s"),
    Source(
        "subscription_created",
        "ledger",
        f"SELECT r.created_at AS at_s, r.plan, r.status, {_WHO} AS customer_segment"
        f" FROM subscriptions r {_JOIN} WHERE r.stripe_id IS NOT NULL",
    ),
    Source("subscription_timed", "history", "calls of subscribe: duration_s"),
    Source(
        "subscription_cancelled",
        "ledger",
        "SELECT r.ended_at AS at_s, r.plan, CASE r.cancel_at_period_end WHEN 1 THEN 'period_end'"
        f" ELSE 'at_once' END AS mode, {_WHO} AS customer_segment FROM subscriptions r {_JOIN}"
        " WHERE r.ended_at IS NOT NULL AND r.stripe_id IS NOT NULL",
    ),
    Source(
        "subscription_renewed",
        "ledger",
        f"SELECT r.settled_at AS at_s, 'pro' AS plan, {_WHO} AS customer_segment"
        f" FROM invoices r {_JOIN}"
        " WHERE r.settled_at IS NOT NULL AND r.billing_reason = 'subscription_cycle'",
    ),
    Source(
        "invoice_paid",
        "ledger",
        "SELECT settled_at AS at_s, amount_paid_minor AS amount_minor, currency FROM invoices"
        " WHERE settled_at IS NOT NULL",
    ),
    Source(
        "first_invoice_paid",
        "ledger",
        "SELECT settled_at AS at_s, amount_paid_minor AS amount_minor, currency FROM invoices"
        " WHERE settled_at IS NOT NULL AND billing_reason = 'subscription_create'",
    ),
    Source(
        "invoice_failed",
        "ledger",
        "SELECT due_at AS at_s FROM outbox_emails WHERE template = 'payment_failed'",
    ),
    Source(
        "usage_tracked",
        "ledger",
        "SELECT CASE r.outcome WHEN 'refused' THEN r.created_at"
        " ELSE COALESCE(r.settled_at, r.created_at) END AS at_s, r.plan, r.outcome,"
        " r.amount_minor, r.currency, r.fix_id AS cause, r.customer_id AS customer,"
        " 1 AS quantity, CASE WHEN r.repository IS NULL THEN 'unspecified' ELSE 'repository' END"
        f" AS resource_type, {_WHO} AS customer_segment FROM fix_attempts r {_JOIN}"
        " WHERE r.outcome <> 'pending'",
    ),
    Source(
        "credits_added",
        "ledger",
        "SELECT created_at AS at_s, source, amount AS units FROM credit_transactions"
        " WHERE amount > 0",
    ),
    Source(
        "credits_consumed",
        "ledger",
        "SELECT r.created_at AS at_s, c.plan, -r.amount AS units FROM credit_transactions r"
        f" {_JOIN} WHERE r.source = 'consumed'",
    ),
    Source(
        "credits_expired",
        "ledger",
        "SELECT created_at AS at_s, -amount AS units FROM credit_transactions"
        " WHERE amount < 0 AND source <> 'consumed'",
    ),
    Source(
        "customer_converted",
        "ledger",
        "SELECT created_at AS at_s, 'signup' AS stage, source FROM customers UNION ALL"
        " SELECT r.created_at, 'billing_added', c.source FROM credit_transactions r"
        f" {_JOIN} WHERE r.source = 'trial_billing_added'",
    ),
    Source("customer_converted", "history", "set_plan and subscribe that came to ok: stage"),
    Source("customer_onboarded", "history", "calls of create_customer: source, result, duration_s"),
    Source("request_served", "log", "every request: operation, status_class, duration_s"),
    Source("webhook_handled", "history", "forged and repeated deliveries: result"),
    Source("webhook_handled", "log", "each try to give an effect: type, result, duration_s"),
    Source(
        "webhook_handled",
        "ledger",
        "SELECT received_at AS at_s, type, 'ignored' AS result FROM webhook_events"
        " WHERE reason = 'unknown_type'",
    ),
    Source(
        "webhook_stored",
        "ledger",
        "SELECT received_at AS at_s, type, settled_at, state FROM webhook_events",
    ),
)
"""Where each kind of fact is read; SQL gives the fact's fields and `at_s`, of the reference."""
