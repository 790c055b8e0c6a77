"""`billing-harness webhooks send`: one event, to any receiver."""

import time
from typing import Annotated

import typer

from simulators.webhooks.commands import options as o
from simulators.webhooks.commands.catalogue import find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.delivering import Outgoing, deliver, show
from simulators.webhooks.commands.destination import Wish
from simulators.webhooks.commands.parameters import Parameters
from simulators.webhooks.commands.posting import Signing
from simulators.webhooks.commands.telling import told


def send(  # noqa: PLR0913 - typer turns parameters into options
    event: Annotated[
        str,
        typer.Argument(
            help="Its type: `billing-harness webhooks events` lists them.", metavar="EVENT"
        ),
    ],
    *,
    to: o.To = None,
    target: o.Target = None,
    allow_host: o.AllowHost = None,
    secret_env: o.SecretEnv = None,
    secret: o.Secret = None,
    timeout_s: o.Timeout = 10.0,
    customer: o.Customer = None,
    subscription: o.Subscription = None,
    object_id: o.ObjectId = None,
    amount_cents: o.AmountCents = None,
    refund_cents: o.RefundCents = None,
    currency: o.Currency = None,
    quantity: o.Quantity = None,
    plan_from: o.PlanFrom = None,
    plan_to: o.PlanTo = None,
    reason: o.Reason = None,
    failure_code: o.FailureCode = None,
    next_retry: o.NextRetry = None,
    tamper: o.Tamper = False,
    forge: o.Forge = None,
    timestamp_offset: o.TimestampOffset = 0,
    times: o.Times = 1,
    out_of_order: Annotated[
        bool,
        typer.Option(
            "--out-of-order",
            help="Send the later of two events about one object before the earlier.",
            rich_help_panel="How it is signed and sent",
        ),
    ] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print headers and body, and send nothing.")
    ] = False,
    as_json: o.AsJson = False,
) -> int:
    """Send one event, built whole and signed as Stripe signs, to any receiver.

    Exit status: 0 accepted (or, where it was forged, refused); 1 the receiver answered wrongly;
    2 unknown: no answer in time, or a 5xx.
    """
    wish = Wish(
        to=to,
        target=target,
        allow_host=tuple(allow_host or ()),
        secret_env=secret_env,
        secret=secret,
        timeout_s=timeout_s,
    )

    def run() -> int:
        given = Parameters(
            customer=customer,
            subscription=subscription,
            object_id=object_id,
            amount_cents=amount_cents,
            refund_cents=refund_cents,
            currency=currency,
            quantity=quantity,
            plan_from=plan_from,
            plan_to=plan_to,
            reason=reason,
            failure_code=failure_code,
            next_retry=next_retry,
        )
        how = Signing(tamper=tamper, forge=forge, offset_s=timestamp_offset)
        kind = find_kind(event)
        found = compose(kind, given, int(time.time()), is_out_of_order=out_of_order)
        events = [Outgoing(each) for each in found]
        if print_only:
            return show(wish, events, how, as_json=as_json)
        return deliver(wish, events, how, times=times, as_json=as_json)

    return told(run, as_json=as_json)
