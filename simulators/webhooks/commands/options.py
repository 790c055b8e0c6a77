"""The options of the commands, each defined once, for those that share it."""

from __future__ import annotations

from typing import Annotated

import typer

ENV_PREFIX = "BILLING_HARNESS_WEBHOOK_"
"""`send-all` also takes its parameters from the environment: this and the parameter's name."""

_ABOUT = "What the event is about"
_HOW = "How it is signed and sent"
_WHERE = "Where it goes"


To = Annotated[
    str | None,
    typer.Option("--to", help="The receiver's address.", metavar="URL", rich_help_panel=_WHERE),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Take address and secret from a target's profile instead.",
        metavar="TARGET",
        rich_help_panel=_WHERE,
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Another machine that may be sent to; may be repeated.",
        metavar="HOST",
        rich_help_panel=_WHERE,
    ),
]
SecretEnv = Annotated[
    str | None,
    typer.Option(
        help="The environment variable that holds the endpoint's secret.",
        metavar="NAME",
        show_default="STRIPE_WEBHOOK_SECRET",
        rich_help_panel=_WHERE,
    ),
]
Secret = Annotated[
    str | None,
    typer.Option(
        help="The secret itself. Others on this machine can read it: prefer --secret-env.",
        metavar="WHSEC",
        rich_help_panel=_WHERE,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        help="How long one delivery may take; then its outcome is unknown.",
        metavar="SECONDS",
        rich_help_panel=_WHERE,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]

Tamper = Annotated[
    bool,
    typer.Option("--tamper", help="Change the body after signing it.", rich_help_panel=_HOW),
]
Forge = Annotated[
    str | None,
    typer.Option(
        help="Send a signature that must be refused: wrong-secret, only-v0, non-ascii,"
        " shifted-timestamp or no-signature.",
        metavar="KIND",
        rich_help_panel=_HOW,
    ),
]
TimestampOffset = Annotated[
    int,
    typer.Option(
        help="Sign as of so many seconds from now; negative is the past.",
        metavar="SECONDS",
        rich_help_panel=_HOW,
    ),
]
Times = Annotated[
    int,
    typer.Option(
        help="Send the same event so often.", metavar="N", min=1, max=1000, rich_help_panel=_HOW
    ),
]

_CUSTOMER = "The customer's id."
_SUBSCRIPTION = "The subscription's id."
_AMOUNT = "What it comes to in all, in the currency's smallest unit."
_CURRENCY = "The currency."
_QUANTITY = "How many units of the plan; they divide the amount."
_PLAN_FROM = "The plan (a price's id) until the event."
_PLAN_TO = "The plan (a price's id) from the event on."
_FAILURE = "Why the bank refused: card_declined, insufficient_funds, …"
_RETRY = "When Stripe tries again: +3d, 2030-01-31, Unix seconds, or none."


def _about(text: str, metavar: str, env: str | None = None) -> typer.models.OptionInfo:
    """Give an option that says what the event is about, and its variable where it has one."""
    found: typer.models.OptionInfo = typer.Option(
        help=text,
        metavar=metavar,
        envvar=f"{ENV_PREFIX}{env}" if env else None,
        rich_help_panel=_ABOUT,
    )
    return found


Customer = Annotated[str | None, _about(_CUSTOMER, "ID")]
Subscription = Annotated[str | None, _about(_SUBSCRIPTION, "ID")]
ObjectId = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="The id of the invoice, charge, intent, … in the event.",
        metavar="ID",
        rich_help_panel=_ABOUT,
    ),
]
AmountCents = Annotated[int | None, _about(_AMOUNT, "N")]
RefundCents = Annotated[int | None, _about("How much goes back; all of it unless said.", "N")]
Currency = Annotated[str | None, _about(_CURRENCY, "CODE")]
Quantity = Annotated[int | None, _about(_QUANTITY, "N")]
PlanFrom = Annotated[str | None, _about(_PLAN_FROM, "ID")]
PlanTo = Annotated[str | None, _about(_PLAN_TO, "ID")]
Reason = Annotated[str | None, _about("Why: `billing-harness webhooks events` lists them.", "WORD")]
FailureCode = Annotated[str | None, _about(_FAILURE, "CODE")]
NextRetry = Annotated[str | None, _about(_RETRY, "WHEN")]

ToFromEnv = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="The receiver's address.",
        metavar="URL",
        envvar=f"{ENV_PREFIX}TO",
        rich_help_panel=_WHERE,
    ),
]
CustomerFromEnv = Annotated[str | None, _about(_CUSTOMER, "ID", "CUSTOMER")]
SubscriptionFromEnv = Annotated[str | None, _about(_SUBSCRIPTION, "ID", "SUBSCRIPTION")]
AmountFromEnv = Annotated[int | None, _about(_AMOUNT, "N", "AMOUNT_CENTS")]
CurrencyFromEnv = Annotated[str | None, _about(_CURRENCY, "CODE", "CURRENCY")]
QuantityFromEnv = Annotated[int | None, _about(_QUANTITY, "N", "QUANTITY")]
PlanFromFromEnv = Annotated[str | None, _about(_PLAN_FROM, "ID", "PLAN_FROM")]
PlanToFromEnv = Annotated[str | None, _about(_PLAN_TO, "ID", "PLAN_TO")]
ReasonFromEnv = Annotated[str | None, _about("Why the subscription ends.", "WORD", "REASON")]
FailureFromEnv = Annotated[str | None, _about(_FAILURE, "CODE", "FAILURE_CODE")]
RetryFromEnv = Annotated[str | None, _about(_RETRY, "WHEN", "NEXT_RETRY")]
