"""What billing APIs call things: how each operation is recognised, and each input and output.

A phrase stands for any name that holds all its words; the first phrase of a list is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.target.draft.words import all_of


@dataclass(frozen=True, slots=True)
class Pattern:
    """How an operation is recognised.

    `about`: what the fixed end of its path is about, by `words.meanings`, the usual one first.
    `verbs`: what it does with that; `must`: one of them has to be there, or a method that means it
    (`does`).
    `methods` are the usual ones, best first. `needs` and `shows`: inputs that the request must take
    and outputs that the reply should give. `item`: whether the path leads to one thing by its id
    (or to the only one there is), rather than to all of them.
    """

    about: tuple[str, ...]
    methods: tuple[str, ...]
    verbs: frozenset[str] = frozenset()
    does: tuple[str, ...] = ()
    must: bool = False
    item: bool = False
    needs: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()


def _pattern(  # noqa: PLR0913 - one argument a column of the table below
    about: str,
    methods: str,
    verbs: str = "",
    *,
    does: str = "",
    must: bool = False,
    item: bool = False,
    needs: str = "",
    shows: str = "",
) -> Pattern:
    return Pattern(
        about=tuple(about.split()),
        methods=tuple(methods.split()),
        verbs=frozenset(verbs.split()),
        does=tuple(does.split()),
        must=must,
        item=item,
        needs=tuple(needs.split()),
        shows=tuple(shows.split()),
    )


PATTERNS = {
    "create_customer": _pattern(
        "customer signup", "POST PUT", "create signup", needs="email", shows="customer"
    ),
    "get_customer": _pattern("customer", "GET", item=True),
    "close_customer": _pattern(
        "customer", "DELETE POST", "close", does="DELETE", must=True, item=True
    ),
    "get_subscription": _pattern("subscription", "GET", item=True, shows="status plan"),
    "add_payment_method": _pattern("payment_method", "POST PUT", "create", needs="token"),
    "list_payment_methods": _pattern("payment_method", "GET", shows="payment_method"),
    "remove_payment_method": _pattern(
        "payment_method", "DELETE POST", "remove close", does="DELETE", must=True, item=True
    ),
    "set_plan": _pattern("plan", "PUT PATCH POST", "change", item=True, needs="plan"),
    "subscribe": _pattern(
        "subscription plan", "POST PUT", "create signup", needs="plan", shows="subscription"
    ),
    "change_subscription": _pattern(
        "subscription", "PATCH PUT POST", "change", does="PATCH PUT", must=True, item=True
    ),
    "resume_subscription": _pattern(
        "subscription", "POST PUT PATCH DELETE", "resume", must=True, item=True
    ),
    "cancel_subscription": _pattern(
        "subscription", "DELETE POST PUT PATCH", "cancel", does="DELETE", must=True, item=True
    ),
    "record_usage": _pattern("usage", "POST PUT", "create", needs="usage_id"),
    "get_balance": _pattern("balance usage ledger", "GET", item=True, shows="units owed_minor"),
    "list_ledger": _pattern("ledger", "GET", shows="units"),
    "list_payments": _pattern("payment", "GET", shows="amount_minor"),
    "list_invoices": _pattern("invoice", "GET", shows="amount_minor"),
    "refund_payment": _pattern("refund", "POST PUT", "refund create", needs="payment"),
    "adjust_credits": _pattern("adjust balance", "POST", "adjust create", needs="units"),
    "create_key": _pattern("key credential", "POST", "create", shows="credential"),
    "rotate_key": _pattern(
        "key credential", "POST PUT", "rotate", must=True, item=True, shows="credential"
    ),
    "revoke_key": _pattern(
        "key credential", "DELETE POST", "remove close", does="DELETE", must=True, item=True
    ),
    "exchange_credentials": _pattern(
        "credential key", "POST", "exchange", must=True, needs="providers", shows="expires_at"
    ),
    "arm_failpoint": _pattern("failpoint", "POST PUT", "change", needs="point"),
    "advance_time": _pattern("clock", "POST PUT PATCH", "change", item=True, needs="to"),
    "drain": _pattern("drain", "POST PUT", shows="settled"),
    "purge_customer": _pattern(
        "customer purge", "DELETE POST", "purge", does="DELETE", must=True, item=True
    ),
}
"""Every operation that a request can be written for; webhooks are a section of their own."""

CONTROLS = frozenset({"arm_failpoint", "advance_time", "drain", "purge_customer"})
"""Operations that only a test environment has."""

INPUTS = {
    "email": "email|email address|mail",
    "name": "name|full name|display name|legal name",
    "source": "source|channel|origin",
    "installation": "installation|install",
    "token": "token|payment method|source|nonce|card",
    "consent": "consent|term accepted|accept term|mandate|agreed|agree",
    "plan": "plan|plan code|tariff|tier|price|product|package",
    "quantity": "quantity|seat|unit|count|qty|amount|value|number",
    "usage_id": "usage id|event id|reference|ref|external id|client id|transaction id|record id"
    "|dedupe|identifier|id",
    "at": "at|timestamp|occurred|time|happened",
    "amount_minor": "amount|value",
    "units": "unit|credit|delta|change|quantity|amount",
    "reason": "reason|note|comment|description|memo",
    "providers": "provider|service|scope|audience",
    "ttl_minutes": "ttl minute|ttl|minute|expire in minute|lifetime minute",
    "at_period_end": "at period end|period end|at term end|at end|renewal|when|effective",
    "to": "to|now|time|timestamp|at",
    "deadline_s": "deadline|timeout|wait",
    "point": "point|failpoint|name",
    "hit": "hit|nth|count",
    "key": "key|id",
    "payment": "payment|charge",
    "customer": "customer|account|user|tenant|workspace|client|member|organization|subscriber",
    "subscription": "subscription|contract|membership|agreement",
    "payment_method": "payment method|card|payment source|instrument",
}
"""What a request calls an input."""

_OWN_ID = "id|uuid|reference|number"
OUTPUTS = {
    "customer": f"customer id|account id|user id|tenant id|workspace id|customer|account|{_OWN_ID}",
    "provider_customer": "stripe customer|provider customer|payment customer|stripe id|stripe",
    "credential": "api key|access token|secret key|secret|token|key|credential",
    "balance": "credit balance|balance after|balance|unit left|credit left|remaining|credit|unit",
    "plan": "plan|tariff|tier|plan code|package",
    "status": "status|state|standing",
    "source": "source|channel|origin",
    "quantity": "quantity|seat|unit|count",
    "period_end": "current period end|period end|term end|renew at|renew|paid until",
    "cancel_at": "cancel at|end at|ending at|end on|cancelation date",
    "ends_at": "end at|cancel at|ended at|ending at|end on",
    "payment_method": f"payment method id|card id|payment method|card|{_OWN_ID}",
    "subscription": f"subscription id|contract id|membership id|subscription|{_OWN_ID}",
    "charged_minor": "charged|amount charged|charge|cost|amount|price",
    "get_balance.units": "credit balance|unit|balance|credit|credit remaining|remaining",
    "list_ledger.units": "unit|delta|change|credit|amount|quantity",
    "owed_minor": "owed|outstanding|amount due|due|accrued|unbilled|balance due|debt",
    "next_price_minor": "next price|next|unit price|price",
    "used_this_month": "used this month|used|usage|consumed",
    "warning": "warning|notice|alert",
    "balance_after": "balance after|new balance|running balance|balance|left",
    "list_ledger.source": "source|kind|type|origin|category",
    "cause": "cause|reason|for|about|reference|ref|cause id|description",
    "at": "created at|at|created|timestamp|date|time|occurred at",
    "payment": f"payment id|{_OWN_ID}|payment",
    "list_invoices.payment": "payment id|payment|charge",
    "amount_minor": "amount paid|amount|total|paid|value|amount due",
    "currency": "currency",
    "provider_id": "stripe id|provider id|external payment|stripe|charge|processor id",
    "list_invoices.provider_id": "stripe id|stripe invoice|provider id|stripe|id",
    "state": "state|status",
    "refund": f"stripe id|stripe|provider id|refund id|refund|{_OWN_ID}",
    "entry": f"entry id|adjustment id|transaction id|entry|{_OWN_ID}",
    "key": f"key id|{_OWN_ID}",
    "expires_at": "expire at|expiry|expire|valid until",
    "settled": "settled|done|idle|drained",
    "pending": "pending|left|queued|open",
}
"""What a reply calls an output, by itself or within one operation."""

SAME_WORDS = {
    "active": "active live running open enabled current valid ok",
    "past_due": "past_due overdue unpaid late delinquent",
    "canceled": "canceled cancelled ended terminated expired inactive",
    "closed": "closed deleted archived deactivated",
    "succeeded": "succeeded success collected paid captured complete completed settled",
    "refunded": "refunded returned",
    "marketplace": "marketplace gh_marketplace github_marketplace",
    "low_credits": "low_credits running_low low low_balance",
    "out_of_credits_no_billing": "out_of_credits_no_billing empty empty_without_card depleted",
    "trial_signup": "trial_signup welcome signup sign_up signup_grant signup_bonus",
    "trial_billing_added": "trial_billing_added card_bonus billing_added card_added",
    "pro_subscription_payment": "pro_subscription_payment subscription plan_paid tariff_paid"
    " renewal subscription_payment invoice_paid",
    "purchased": "purchased bought purchase top_up topup",
    "consumed": "consumed spent used usage consumption debit",
    "rollover_expired": "rollover_expired lapsed expired expiry forfeited",
    "adjustment": "adjustment adjust correction manual goodwill",
}
"""The harness's own words for states and sources, and what else they are called."""

STATUS_WORDS = {
    "get_customer.status": "active past_due closed",
    "status": "active past_due canceled",
    "state": "succeeded",
    "warning": "low_credits out_of_credits_no_billing",
    "list_ledger.source": "trial_signup trial_billing_added pro_subscription_payment purchased"
    " consumed rollover_expired adjustment",
    "source": "marketplace",
}
"""Which of the harness's words an output may hold, by itself or within one operation."""

KEY_PHRASES = ("idempotency key", "reference", "request id", "dedupe key", "client reference")
"""What a request calls a key that makes it safe to repeat, where it stands in the body."""

AT_END = all_of("end period month term renewal later scheduled")
AT_ONCE = all_of("now immediate immediately once today instant")
DONE_WORDS = all_of("done complete completed succeeded success settled processed billed")
DONE_WORDS |= all_of("charged covered applied recorded accepted ok active paid finished")
FAILED_WORDS = all_of("failed rejected declined refused error canceled cancelled")
